/* What is computed does not depend on schedule, ranks, transport, delays: equal to sequential
 * training to the last bit. */
#include "exec_case.h"

#include <glib/gstdio.h>
#include <string.h>

#include "tests/support/repeats.h"

#define STEPS TEST_REPEATS (20, 4)

static const char *const models[] = { PW_TEST_MLP, PW_TEST_GPT, PW_TEST_LIST };

static const char *const optimizers[] = {
  "{'name': 'sgd', 'learning_rate': 0.05, 'momentum': 0.9}",
  "{'name': 'adam', 'learning_rate': 0.003}",
  "{'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}",
};

static ExecCase *
make_case (int model, const char *optimizer, const char *schedule, const char *more, int ranks,
           int microbatches, int batch) {
  g_autofree char *text = g_strdup_printf (
      "'model': %s, 'ranks': %d, 'partition': {'method': 'flops'}, 'schedule': {'name': '%s', "
      "'microbatches': %d}, 'batch': %d, 'seed': 7, 'optimizer': %s, 'data': 'random'%s",
      models[model], ranks, schedule, microbatches, batch, optimizer, more);
  return exec_case_new (text, NULL);
}

static char *
run (ExecCase *c, gboolean sequential, const PwTransport *transport, int steps, double *losses) {
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .transport = transport, .timeout_s = 60 };
  g_autoptr (PwExec) exec = sequential ? pw_exec_new_sequential (c->resolved, &options, &error)
                                       : pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  return exec_case_train (c, exec, steps, losses);
}

static char *
compare_with_sequential (ExecCase *c, const PwTransport *transport, int steps) {
  double expected[STEPS], losses[STEPS];
  g_autofree char *reference = run (c, TRUE, NULL, steps, expected);
  g_autofree char *sha = run (c, FALSE, transport, steps, losses);
  g_assert_cmpstr (sha, ==, reference);
  for (int s = 0; s < steps; s++)
    g_assert_cmpfloat (losses[s], ==, expected[s]);
  return g_steal_pointer (&sha);
}

static void
schedules_and_ranks (void) {
  static const char *const schedules[] = { "naive", "gpipe", "1f1b" };
  static const int ranks[] = { 1, 2, 4 };
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++)
    for (gsize o = 0; o < G_N_ELEMENTS (optimizers); o++) {
      g_autofree char *of_one_rank = NULL;
      for (gsize r = 0; r < G_N_ELEMENTS (ranks); r++)
        for (gsize s = 0; s < G_N_ELEMENTS (schedules); s++) {
          g_autoptr (ExecCase) c
              = make_case ((int)m, optimizers[o], schedules[s], "", ranks[r], 3, 8);
          /* No tensor of these models has readers in two stages, so the cut does not matter. */
          g_autofree char *sha = compare_with_sequential (c, NULL, STEPS);
          if (of_one_rank)
            g_assert_cmpstr (sha, ==, of_one_rank);
          else
            of_one_rank = g_steal_pointer (&sha);
        }
    }
}

static void
losses_fall (void) {
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++) {
    g_autoptr (ExecCase) c = make_case ((int)m, optimizers[1], "1f1b", "", 2, 2, 8);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
    int program = pw_exec_add (exec, c->resolved->lowered, &error);
    g_assert_no_error (error);
    PwExecBatch batch = exec_case_batch (c, 0);
    PwExecStep first, last;
    for (int s = 0; s < 60; s++) {
      pw_exec_run (exec, program, &batch, s == 0 ? &first : &last, &error);
      g_assert_no_error (error);
    }
    g_assert_cmpfloat (last.loss, <, 0.7 * first.loss);
  }
}

static void
microbatch_counts (void) {
  for (int m = 1; m <= 9; m++)
    for (int batch = m; batch <= 18; batch += m == 1 ? 17 : 18 - m) {
      int size = (batch + m - 1) / m;
      if ((batch + size - 1) / size != m)
        continue;
      g_autoptr (ExecCase) c = make_case (1, optimizers[2], "1f1b", "", 2, m, batch);
      g_free (compare_with_sequential (c, NULL, 3));
    }
}

static void
uneven_microbatches (void) {
  static const int batches[][2] = { { 5, 3 }, { 7, 4 }, { 13, 5 }, { 17, 9 }, { 11, 6 } };
  for (gsize i = 0; i < G_N_ELEMENTS (batches); i++)
    for (gsize m = 0; m < G_N_ELEMENTS (models); m++) {
      g_autoptr (ExecCase) c
          = make_case ((int)m, optimizers[0], "gpipe", "", 2, batches[i][1], batches[i][0]);
      g_free (compare_with_sequential (c, NULL, 4));
    }
}

static void
random_delays (void) {
  for (int i = 0; i < 6; i++) {
    int m = g_test_rand_int_range (2, 9);
    g_autoptr (ExecCase) c = make_case (i % 3, optimizers[1], i % 2 ? "gpipe" : "1f1b", "",
                                        i < 3 ? 2 : 4, m, m * g_test_rand_int_range (1, 3));
    g_free (compare_with_sequential (c, &exec_case_delayed, 3));
  }
}

static void
policies (void) {
  for (int p = 0; p < PW_POLICY_N; p++)
    for (int batched = 0; batched < 2; batched++) {
      g_autofree char *more = g_strdup_printf (", 'p2p_policy': '%s', 'p2p_batched': %s",
                                               pw_policy_names[p], batched ? "true" : "false");
      g_autoptr (ExecCase) c = make_case (1, optimizers[2], "1f1b", more, 4, 5, 10);
      g_free (compare_with_sequential (c, NULL, 3));
    }
}

static void
recomputation (void) {
  static const char *const kinds[] = { "stage", "except-last" };
  for (gsize k = 0; k < G_N_ELEMENTS (kinds); k++)
    for (gsize m = 0; m < G_N_ELEMENTS (models); m++) {
      g_autofree char *more = g_strdup_printf (", 'recompute': '%s'", kinds[k]);
      g_autoptr (ExecCase) plain = make_case ((int)m, optimizers[2], "gpipe", "", 2, 4, 8);
      g_autoptr (ExecCase) c = make_case ((int)m, optimizers[2], "gpipe", more, 2, 4, 8);
      double expected[4], losses[4];
      g_autofree char *reference = run (plain, FALSE, NULL, 4, expected);
      g_autofree char *sha = run (c, FALSE, NULL, 4, losses);
      g_free (compare_with_sequential (c, NULL, 4));
      g_assert_cmpstr (sha, ==, reference);
      for (int s = 0; s < 4; s++)
        g_assert_cmpfloat (losses[s], ==, expected[s]);
    }
}

/* I and W apart, backward in descending order, W late: by hand, for two stages. */
static void
split_and_descending (void) {
  static const char *const lists[][2] = {
    { "0F0,0F1,0F2,0I0,0I1,0I2,0W0,0W1,0W2", "1F0,1I0,1W0,1F1,1I1,1W1,1F2,1I2,1W2" },
    { "0F0,0F1,0F2,0B2,0B1,0B0", "1F0,1F1,1F2,1B2,1B1,1B0" },
    { "0F0,0F1,0F2,0I2,0I0,0I1,0W1,0W2,0W0", "1F0,1F1,1F2,1I2,1I0,1I1,1W0,1W1,1W2" },
  };
  for (gsize l = 0; l < G_N_ELEMENTS (lists); l++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp ("pw-exact-XXXXXX", &error);
    g_autofree char *csv = g_build_filename (folder, "list.csv", NULL);
    g_autofree char *text = g_strdup_printf ("%s\n%s\n", lists[l][0], lists[l][1]);
    g_file_set_contents (csv, text, -1, &error);
    g_assert_no_error (error);
    g_autofree char *members = g_strdup_printf (
        "'model': %s, 'partition': {'balance': [2, 2]}, 'schedule': {'csv': '%s'}, 'batch': 6, "
        "'seed': 3, 'optimizer': %s, 'data': 'random'",
        PW_TEST_GPT, csv, optimizers[2]);
    g_autoptr (ExecCase) c = exec_case_new (members, NULL);
    g_free (compare_with_sequential (c, NULL, 4));
    g_unlink (csv);
    g_rmdir (folder);
  }
}

/* The output layer uses the embedding's table: two accumulators, summed in layer order. */
static void
tied_weights (void) {
  g_autoptr (GError) error = NULL;
  const char *format
      = "'model': {'name': 'gpt', 'blocks': 2, 'width': 16, 'heads': 2, 'tokens': 8, "
        "'vocabulary': 32, 'tied': true}, 'ranks': %d, 'schedule': {'name': '%s', "
        "'microbatches': 3}, 'batch': 6, 'optimizer': %s, 'data': 'random'";
  g_autofree char *one = g_strdup_printf (format, 1, "gpipe", optimizers[1]);
  g_autofree char *two = g_strdup_printf (format, 2, "gpipe", optimizers[1]);
  g_autoptr (ExecCase) c = exec_case_new (one, NULL);
  g_free (compare_with_sequential (c, NULL, STEPS));
  g_autoptr (ExecCase) cut = exec_case_new (two, NULL);
  g_assert_null (pw_exec_new (cut->resolved, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "share a parameter"));
  /* On one rank the cut does not matter. */
  double expected[STEPS];
  g_autofree char *reference = run (c, TRUE, NULL, STEPS, expected);
  g_autofree char *sha = run (cut, TRUE, NULL, STEPS, NULL);
  g_assert_cmpstr (sha, ==, reference);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/exact/every-schedule-and-rank-count-equals-sequential",
                   schedules_and_ranks);
  g_test_add_func ("/exec/exact/losses-fall", losses_fall);
  g_test_add_func ("/exec/exact/any-number-of-micro-batches", microbatch_counts);
  g_test_add_func ("/exec/exact/batches-that-micro-batches-do-not-divide", uneven_microbatches);
  g_test_add_func ("/exec/exact/delays-change-nothing", random_delays);
  g_test_add_func ("/exec/exact/policies-change-nothing", policies);
  g_test_add_func ("/exec/exact/recomputation-changes-nothing", recomputation);
  g_test_add_func ("/exec/exact/split-backwards-and-other-orders", split_and_descending);
  g_test_add_func ("/exec/exact/tied-weights-on-one-rank", tied_weights);
  return g_test_run ();
}
