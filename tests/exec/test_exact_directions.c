/* Two pipes through the same ranks: what is trained is what a sequential run computes that sums the
 * micro-batches of the two directions apart and adds the two sums. */
#include "reference.h"

#include <glib/gstdio.h>
#include <string.h>

#include "exec/checkpoint.h"
#include "tests/support/repeats.h"

#define STEPS TEST_REPEATS (4, 2)

static const char *const models[] = {
  "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 5, 'output': 7}",
  "{'name': 'gpt', 'blocks': 4, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}",
};
static const char *const schedules[] = { "chimera", "dualpipe" };
static const char *const optimizers[] = {
  "{'name': 'sgd', 'learning_rate': 0.05, 'momentum': 0.9}",
  "{'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}",
};

static ExecCase *
make_case (int model, int schedule, int optimizer, const char *more, int ranks, int microbatches) {
  g_autofree char *text = g_strdup_printf (
      "'model': %s, 'ranks': %d, 'partition': {'method': 'flops'}, 'schedule': {'name': '%s', "
      "'microbatches': %d}, 'batch': %d, 'seed': 7, 'optimizer': %s, 'data': 'random'%s",
      models[model], ranks, schedules[schedule], microbatches, 2 * microbatches - 1,
      optimizers[optimizer], more);
  return exec_case_new (text, NULL);
}

/* Trains C, holding the replicas against each other after every step. */
static char *
train (ExecCase *c, const PwTransport *transport, double *losses) {
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .transport = transport, .timeout_s = 60 };
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  g_assert_no_error (error);
  const PwGraph *graph = c->resolved->graph;
  for (int s = 0; s < STEPS; s++) {
    PwExecBatch batch = exec_case_batch (c, s);
    PwExecStep step;
    pw_exec_run (exec, program, &batch, &step, &error);
    g_assert_no_error (error);
    losses[s] = step.loss;
    for (int l = 0; l < graph->n_layers; l++)
      for (int p = 0; p < graph->layers[l].info.n_parameters; p++) {
        gsize n = (gsize)pw_shape_elements (&graph->layers[l].info.parameters[p].shape);
        g_autofree float *one = g_new (float, n), *other = g_new (float, n);
        pw_exec_get_replica (exec, 0, l, p, one, &error);
        pw_exec_get_replica (exec, 1, l, p, other, &error);
        g_assert_no_error (error);
        g_assert_cmpint (memcmp (one, other, n * sizeof (float)), ==, 0);
      }
  }
  return pw_exec_parameters_sha256 (exec, &error);
}

static void
compare (ExecCase *c, const PwTransport *transport, const char *expected,
         const double *expected_losses) {
  double losses[STEPS];
  g_autofree char *sha = train (c, transport, losses);
  g_assert_cmpstr (sha, ==, expected);
  for (int s = 0; s < STEPS; s++)
    g_assert_cmpfloat (losses[s], ==, expected_losses[s]);
}

static void
every_rank_count (void) {
  for (int model = 0; model < 2; model++)
    for (int schedule = 0; schedule < 2; schedule++)
      for (int optimizer = TEST_REPEATS (0, 1); optimizer < 2; optimizer++)
        for (int ranks = 2; ranks <= 4; ranks += 2)
          for (int times = 2; times <= 3; times++) {
            g_autoptr (ExecCase) c
                = make_case (model, schedule, optimizer, "", ranks, times * ranks);
            double by_hand[STEPS], sequential[STEPS];
            g_autofree char *expected = reference_train_replicas (c, models[model], STEPS, by_hand);
            compare (c, NULL, expected, by_hand);
            g_autofree char *sha = exec_case_train_new (c, TRUE, NULL, STEPS, sequential);
            g_assert_cmpstr (sha, ==, expected);
            for (int s = 0; s < STEPS; s++)
              g_assert_cmpfloat (sequential[s], ==, by_hand[s]);
          }
}

static void
policies (void) {
  for (int schedule = 0; schedule < 2; schedule++)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        g_autofree char *more
            = g_strdup_printf (", 'p2p_policy': '%s', 'p2p_batched': %s", pw_policies[policy].name,
                               batched ? "true" : "false");
        g_autoptr (ExecCase) c = make_case ((int)policy % 2, schedule, 1, more, 4, 8);
        double expected[STEPS];
        g_autofree char *sha = exec_case_train_new (c, TRUE, NULL, STEPS, expected);
        compare (c, &exec_case_delayed, sha, expected);
      }
}

static void
recomputation (void) {
  for (int schedule = 0; schedule < 2; schedule++) {
    g_autoptr (ExecCase) plain = make_case (1, schedule, 1, "", 4, 8);
    g_autoptr (ExecCase) c = make_case (1, schedule, 1, ", 'recompute': 'stage'", 4, 8);
    double expected[STEPS];
    g_autofree char *sha = train (plain, NULL, expected);
    compare (c, NULL, sha, expected);
  }
}

/* Gradients are the sum over both replicas; what is set is set in both. */
static void
by_hand_updates (void) {
  g_autoptr (GError) error = NULL;
  PwResolveOptions without_u = { .mode = PW_MODE_TRAINING };
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': 2, 'schedule': {'name': 'chimera', 'microbatches': 4}, 'batch': 8, "
      "'seed': 7, 'optimizer': %s",
      models[1], optimizers[1]);
  g_autoptr (ExecCase) with = exec_case_new (members, NULL);
  g_autoptr (ExecCase) without = exec_case_new (members, &without_u);
  double losses[STEPS];
  g_autofree char *expected = train (with, NULL, losses);
  g_autoptr (PwExec) exec = pw_exec_new (without->resolved, NULL, &error);
  int program = pw_exec_add (exec, without->resolved->lowered, &error);
  g_assert_no_error (error);
  for (int s = 0; s < STEPS; s++) {
    PwExecBatch batch = exec_case_batch (without, s);
    pw_exec_run (exec, program, &batch, NULL, &error);
    g_assert_no_error (error);
    pw_exec_update (exec, &error);
    g_assert_no_error (error);
  }
  g_autofree char *sha = pw_exec_parameters_sha256 (exec, &error);
  g_assert_cmpstr (sha, ==, expected);
  float values[12 * 16] = { 1, 2, 3 }, found[12 * 16];
  int layer = with->resolved->graph->n_layers - 3, index = 0;
  int64_t n
      = pw_shape_elements (&with->resolved->graph->layers[layer].info.parameters[index].shape);
  g_assert_cmpint (n, <=, (gint64)G_N_ELEMENTS (values));
  pw_exec_set_parameter (exec, layer, index, values, &error);
  pw_exec_get_replica (exec, 1, layer, index, found, &error);
  g_assert_no_error (error);
  g_assert_cmpint (memcmp (values, found, (gsize)n * sizeof (float)), ==, 0);
}

static ExecCase *
case_of_csv (const char *csv, const char *balance) {
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("pw-directions-XXXXXX", &error);
  g_autofree char *path = g_build_filename (folder, "list.csv", NULL);
  g_file_set_contents (path, csv, -1, &error);
  g_assert_no_error (error);
  g_autofree char *members = g_strdup_printf ("'model': %s, 'partition': {'balance': %s}, "
                                              "'schedule': {'csv': '%s'}, 'batch': 7, 'seed': 7, "
                                              "'optimizer': %s",
                                              models[1], balance, path, optimizers[1]);
  ExecCase *c = exec_case_new (members, NULL);
  g_unlink (path);
  g_rmdir (folder);
  return c;
}

/* A file has no REDUCE_GRAD and no U; it trains as the generated schedule does. */
static void
files (void) {
  double losses[STEPS], expected[STEPS];
  g_autoptr (ExecCase) c = case_of_csv ("0F0,1F1,1B1,0B0,0F2,1F3,1B3,0B2\n"
                                        "0F1,1F0,1B0,0B1,0F3,1F2,1B2,0B3\n",
                                        "[2, 2]");
  g_autoptr (ExecCase) generated = make_case (1, 0, 1, "", 2, 4);
  g_autofree char *sha = train (generated, NULL, expected);
  compare (c, NULL, sha, expected);
  g_autofree char *sequential = exec_case_train_new (c, TRUE, NULL, STEPS, losses);
  g_assert_cmpstr (sequential, ==, sha);
}

/* The middle one of three ranks has both replicas of its stage: they share their values. */
static void
both_on_one_rank (void) {
  g_autoptr (ExecCase) c = case_of_csv ("0F0,2F1,2B1,0B0,0F2,0B2,2F3,2B3\n"
                                        "1F0,1F1,1B1,1B0,1F2,1B2,1F3,1B3\n"
                                        "0F1,2F0,2B0,0B1,2F2,2B2,0F3,0B3\n",
                                        "[1, 2, 1]");
  double expected[STEPS], sequential[STEPS];
  g_autofree char *sha = reference_train_replicas (c, models[1], STEPS, expected);
  compare (c, NULL, sha, expected);
  g_autofree char *other = exec_case_train_new (c, TRUE, NULL, STEPS, sequential);
  g_assert_cmpstr (other, ==, sha);
}

/* Written from one replica, read into both. */
static void
checkpoints (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (1, 1, 1, "", 4, 8);
  g_autofree char *folder = g_dir_make_tmp ("pw-directions-XXXXXX", &error);
  g_autofree char *path = g_build_filename (folder, "half.safetensors", NULL);
  g_autofree char *expected = exec_case_train_new (c, FALSE, NULL, STEPS, NULL);
  for (int half = 0; half < 2; half++) {
    g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
    g_assert_no_error (error);
    if (half == 1)
      g_assert_true (pw_checkpoint_load (exec, path, &error));
    int program = pw_exec_add (exec, c->resolved->lowered, &error);
    for (int s = 0; s < STEPS / 2; s++) {
      PwExecBatch batch = exec_case_batch (c, half * STEPS / 2 + s);
      pw_exec_run (exec, program, &batch, NULL, &error);
      g_assert_no_error (error);
    }
    g_autofree char *sha = pw_exec_parameters_sha256 (exec, &error);
    if (half == 1)
      g_assert_cmpstr (sha, ==, expected);
    else
      g_assert_true (pw_checkpoint_save (exec, path, &error));
  }
  g_unlink (path);
  g_rmdir (folder);
}

/* U without a sum of both, or a sum that other work stands behind. */
static void
wrong_reductions (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (0, 0, 0, "", 2, 4);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  g_assert_no_error (error);
  PwProgram *program = &c->resolved->lowered->programs[0];
  PwAction *end = program->actions + program->n_prologue;
  const struct {
    int from_end; /* the action of the list that becomes `action` */
    PwAction action;
    const char *says;
  } rows[] = {
    { 4, pw_action (PW_ACTION_UPDATE, 0, 0), "REDUCE_GRAD is missing" },
    { 2, pw_action (PW_ACTION_FORWARD, 0, 0), "behind a REDUCE_GRAD" },
    { 1, end[-2], "REDUCE_GRAD is missing" },
    { 4, end[-3], "" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwAction before = end[-rows[i].from_end];
    end[-rows[i].from_end] = rows[i].action;
    g_assert_cmpint (pw_exec_add (exec, c->resolved->lowered, &error), ==, -1);
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, rows[i].says));
    g_clear_error (&error);
    end[-rows[i].from_end] = before;
  }
  g_assert_cmpint (pw_exec_add (exec, c->resolved->lowered, &error), >=, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/exact-directions/two-groups-summed-apart", every_rank_count);
  g_test_add_func ("/exec/exact-directions/policies-and-delays-change-nothing", policies);
  g_test_add_func ("/exec/exact-directions/recomputation-changes-nothing", recomputation);
  g_test_add_func ("/exec/exact-directions/updates-by-hand-equal-u", by_hand_updates);
  g_test_add_func ("/exec/exact-directions/files-train-like-generated-schedules", files);
  g_test_add_func ("/exec/exact-directions/both-replicas-on-one-rank", both_on_one_rank);
  g_test_add_func ("/exec/exact-directions/checkpoints-go-on-exactly", checkpoints);
  g_test_add_func ("/exec/exact-directions/replicas-are-added-before-they-are-updated",
                   wrong_reductions);
  return g_test_run ();
}
