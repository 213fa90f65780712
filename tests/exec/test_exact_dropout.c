/* What dropout drops hangs on the seed, the step, the layer and the sample: no schedule, cut into
 * micro-batches, recomputation or resumption changes it. */
#include "exec_case.h"

#include <string.h>

#define STEPS 4

static const char *const models[] = {
  "{'layers': [{'type': 'linear', 'in': 9, 'out': 14},"
  "{'type': 'dropout', 'probability': 0.2}, {'type': 'rmsnorm', 'features': 14},"
  "{'type': 'gelu'}, {'type': 'linear', 'in': 14, 'out': 9},"
  "{'type': 'dropout', 'probability': 0.5}, {'type': 'relu'}, {'type': 'rmsnorm', 'features': 9},"
  "{'type': 'linear', 'in': 9, 'out': 5}], 'loss': 'mse'}",
  "{'name': 'gpt', 'blocks': 6, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32, "
  "'norm': 'rmsnorm', 'dropout': 0.1}",
};
#define PLAIN                                                                                      \
  "{'name': 'gpt', 'blocks': 6, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32, "          \
  "'norm': 'rmsnorm'}"

/* All orders accumulate in that of the micro-batches, so one run on one rank is all they equal. */
static void
schedules (gconstpointer data) {
  const char *model = data;
  static const struct {
    const char *schedule, *more;
    int ranks;
  } rows[] = {
    { "'name': 'gpipe'", ", 'recompute': 'stage'", 2 },
    { "'name': 'gpipe'", "", 1 },
    { "'name': '1f1b'", "", 4 },
    { "'name': '1f1b'", ", 'recompute': 'except-last'", 3 },
    { "'name': 'interleaved-1f1b', 'chunks': 2", ", 'recompute': 'stage'", 2 },
    { "'name': 'zb-h1'", "", 3 },
    { "'name': '1f1b'", ", 'recompute': {'layers': [1, 2, 4, 6]}", 3 },
    { "'name': 'gpipe'", ", 'recompute': {'layers': [0, 3, 8]}", 2 },
    { "'name': 'interleaved-1f1b', 'chunks': 2", ", 'recompute': {'layers': [1, 5, 7]}", 2 },
    { "'name': 'zb-h1'", ", 'recompute': {'layers': ['*dropout*', 1, 4]}", 3 },
    { "'name': 'zb-v'", "", 2 },
  };
  double expected[STEPS], losses[STEPS];
  g_autoptr (ExecCase) one = exec_case_new_scheduled (model, "'name': 'naive'", "", 1, 4);
  g_autofree char *reference = exec_case_train_new (one, TRUE, NULL, STEPS, expected);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_test_message ("%s%s on %d ranks", rows[i].schedule, rows[i].more, rows[i].ranks);
    g_autoptr (ExecCase) c
        = exec_case_new_scheduled (model, rows[i].schedule, rows[i].more, rows[i].ranks, 4);
    g_autofree char *sha = exec_case_train_new (c, FALSE, &exec_case_delayed, STEPS, losses);
    g_assert_cmpstr (sha, ==, reference);
    for (int s = 0; s < STEPS; s++)
      g_assert_cmpfloat (losses[s], ==, expected[s]);
  }
}

static void
two_directions (void) {
  static const char *const names[] = { "'name': 'chimera'", "'name': 'dualpipe'" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (gsize m = 0; m < G_N_ELEMENTS (models); m++) {
      g_autoptr (ExecCase) c = exec_case_new_scheduled (models[m], names[i], "", 2, 4);
      exec_case_compare_with_sequential (c, NULL, STEPS);
    }
}

/* An asynchronous schedule's mini-batches overlap, each draws by its own step. */
static void
stream (void) {
  g_autofree char *reference = NULL;
  for (int delayed = 0; delayed <= 1; delayed++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (ExecCase) c
        = exec_case_new_scheduled (models[1], "'name': 'pipedream-2bw'", "", 2, 4);
    PwExecOptions options = { .transport = delayed ? &exec_case_delayed : NULL, .timeout_s = 60 };
    g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
    g_assert_no_error (error);
    double losses[STEPS];
    g_autofree char *sha = exec_case_stream (c, exec, STEPS, losses);
    if (reference)
      g_assert_cmpstr (sha, ==, reference);
    else
      reference = g_steal_pointer (&sha);
  }
}

static double
first_loss (const char *model, int microbatches, int batch) {
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': 1, 'schedule': {'name': 'gpipe', 'microbatches': %d}, 'batch': %d, "
      "'seed': 7, 'data': 'random'",
      model, microbatches, batch);
  g_autoptr (ExecCase) c = exec_case_new (members, NULL);
  double loss;
  g_free (exec_case_train_new (c, FALSE, NULL, 1, &loss));
  return loss;
}

/* Sums in another order differ by rounding; other elements dropped would differ by far more. */
static void
microbatches (void) {
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++) {
    double whole = first_loss (models[m], 1, 7);
    g_assert_cmpfloat_with_epsilon (first_loss (models[m], 3, 7), whole, 1e-6 * whole);
    g_assert_cmpfloat_with_epsilon (first_loss (models[m], 7, 7), whole, 1e-6 * whole);
  }
}

/* The same mini-batch with the same weights: a step draws anew, a forward alone is no step. */
static void
steps (void) {
  g_autoptr (GError) error = NULL;
  PwResolveOptions options = { .mode = PW_MODE_TRAINING }; /* no updates */
  g_autofree char *members
      = g_strdup_printf ("'model': %s, 'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 2},"
                         "'batch': 4, 'data': 'random'",
                         models[0]);
  g_autoptr (ExecCase) c = exec_case_new (members, &options);
  g_autoptr (PwSchedule) forward = exec_case_half (c->resolved->lowered, TRUE);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  g_assert_no_error (error);
  int programs[2]
      = { pw_exec_add (exec, forward, &error), pw_exec_add (exec, c->resolved->lowered, &error) };
  g_assert_no_error (error);
  PwExecBatch batch = exec_case_batch (c, 0);
  PwExecStep results[4];
  for (int i = 0; i < 4; i++) {
    pw_exec_run (exec, programs[i >= 2], &batch, &results[i], &error);
    g_assert_no_error (error);
  }
  g_assert_cmpfloat (results[1].loss, ==, results[0].loss);
  g_assert_cmpfloat (results[2].loss, ==, results[0].loss);
  g_assert_cmpfloat (results[3].loss, !=, results[0].loss);
}

static float *
infer (const char *model, gsize *n) {
  g_autoptr (GError) error = NULL;
  PwResolveOptions options = { .mode = PW_MODE_INFERENCE };
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': 2, 'schedule': {'name': 'gpipe', 'microbatches': 2}, 'batch': 3, "
      "'seed': 7, 'data': 'random'",
      model);
  g_autoptr (ExecCase) c = exec_case_new (members, &options);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  g_assert_no_error (error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  g_assert_no_error (error);
  *n = (gsize)(3 * pw_shape_elements (pw_exec_output_shape (exec)));
  float *outputs = g_new (float, *n);
  PwExecBatch batch = exec_case_batch (c, 0);
  batch.outputs = outputs;
  pw_exec_run (exec, program, &batch, NULL, &error);
  g_assert_no_error (error);
  return outputs;
}

static void
inference (void) {
  gsize n;
  g_autofree float *with = infer (models[1], &n);
  g_autofree float *without = infer (PLAIN, &n);
  g_assert_cmpint (memcmp (with, without, n * sizeof *with), ==, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/exec/exact-dropout/no-schedule-or-recomputation-changes-a-list",
                        models[0], schedules);
  g_test_add_data_func ("/exec/exact-dropout/no-schedule-or-recomputation-changes-gpt", models[1],
                        schedules);
  g_test_add_func ("/exec/exact-dropout/two-directions-equal-sequential", two_directions);
  g_test_add_func ("/exec/exact-dropout/delays-change-no-stream", stream);
  g_test_add_func ("/exec/exact-dropout/the-cut-into-micro-batches-does-not-matter", microbatches);
  g_test_add_func ("/exec/exact-dropout/a-step-of-training-draws-anew", steps);
  g_test_add_func ("/exec/exact-dropout/inference-leaves-it-out", inference);
  return g_test_run ();
}
