/* PipeDream and PipeDream-2BW compute what a sequential program with the same delays computes: one
 * micro-batch after another, each with the weights of as many updates as its schedule gives it. */
#include "reference.h"

#include <string.h>

#include "tests/support/repeats.h"

static const char *const models[] = {
  "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 5, 'output': 7}",
  "{'name': 'gpt', 'blocks': 4, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}",
};
static const char *const optimizers[] = {
  "{'name': 'sgd', 'learning_rate': 0.02, 'momentum': 0.9}",
  "{'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}",
};

/* EVERY: micro-batches between two updates; 0: pipedream. */
static ExecCase *
make_case (int model, int every, int optimizer, const char *more, int ranks, int microbatches) {
  g_autofree char *schedule
      = every > 0 ? g_strdup_printf ("'name': 'pipedream-2bw', 'update_every': %d", every)
                  : g_strdup ("'name': 'pipedream'");
  g_autofree char *text = g_strdup_printf (
      "'model': %s, 'ranks': %d, 'partition': {'method': 'flops'}, 'schedule': {%s, "
      "'microbatches': %d}, 'batch': %d, 'seed': 7, 'optimizer': %s, 'data': 'random'%s",
      models[model], ranks, schedule, microbatches, 2 * microbatches - 1, optimizers[optimizer],
      more);
  return exec_case_new (text, NULL);
}

/* ---- Streams ---- */

typedef struct {
  char *sha;
  double *losses;
  PwExecRank rank[4];
  PwTrace *trace;
} Run;

static void
run_clear (Run *run) {
  g_free (run->sha);
  g_free (run->losses);
  pw_trace_free (run->trace);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, run_clear)

static Run
stream_of (ExecCase *c, const PwTransport *transport, int steps) {
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .transport = transport, .timeout_s = 60, .trace_iterations = 2 };
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  Run run = { .losses = g_new (double, (gsize)steps) };
  run.sha = exec_case_stream (c, exec, steps, run.losses);
  run.trace = pw_exec_trace (exec);
  for (int r = 0; r < pw_exec_ranks (exec); r++)
    pw_exec_rank (exec, r, &run.rank[r]);
  return run;
}

/* Old weights kept at once are never more than the schedule promises. */
static void
check_versions (const ExecCase *c, const Run *run) {
  const PwSchedule *schedule = c->resolved->compute;
  for (int r = 0; r < schedule->ranks; r++) {
    int64_t old = run->rank[r].peak_by_category[PW_MEMORY_VERSIONS];
    int64_t one = c->resolved->costs->stage[r].parameter_bytes;
    g_assert_cmpint (old, <=, (schedule->promise.weight_versions - 1) * one);
    if (schedule->promise.version_rule == PW_VERSIONS_NEWEST)
      g_assert_cmpint (old, <=, (schedule->ranks - r - 1) * one);
  }
}

static void
compare (ExecCase *c, const char *model, int steps, const PwTransport *transport) {
  g_autofree double *expected = g_new (double, (gsize)steps);
  g_autofree char *sha = reference_train_delayed (c, model, steps, expected);
  g_auto (Run) run = stream_of (c, transport, steps);
  g_assert_cmpstr (run.sha, ==, sha);
  for (int s = 0; s < steps; s++)
    g_assert_cmpfloat (run.losses[s], ==, expected[s]);
  check_versions (c, &run);
}

/* ---- Tests ---- */

static void
pipedream (void) {
  static const int microbatches[2][2] = { { 1, 4 }, { 3, 4 } };
  for (int model = 0; model < 2; model++)
    for (int optimizer = TEST_REPEATS (0, 1); optimizer < 2; optimizer++)
      for (int ranks = 1; ranks <= 4; ranks++)
        for (gsize i = 0; i < 2; i++) {
          g_autoptr (ExecCase) c
              = make_case (model, 0, optimizer, "", ranks, microbatches[optimizer][i]);
          compare (c, models[model], 24 / microbatches[optimizer][i], NULL);
        }
}

static void
two_buffered (void) {
  static const int sizes[][3] = { { 1, 3, 1 }, { 2, 4, 2 }, { 2, 3, 3 }, { 3, 6, 3 },
                                  { 3, 4, 4 }, { 4, 8, 4 }, { 4, 6, 6 } };
  for (int model = 0; model < 2; model++)
    for (int optimizer = TEST_REPEATS (0, 1); optimizer < 2; optimizer++)
      for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
        g_autoptr (ExecCase) c
            = make_case (model, sizes[i][2], optimizer, "", sizes[i][0], sizes[i][1]);
        compare (c, models[model], 6, NULL);
      }
}

/* Too short for anything to repeat. */
static void
short_streams (void) {
  for (int steps = 1; steps <= 6; steps++)
    for (int every = 0; every <= 4; every += 4) {
      g_autoptr (ExecCase) c = make_case (1, every, 1, "", 4, 4);
      compare (c, models[1], steps, NULL);
    }
}

static void
policies (void) {
  for (int every = 0; every <= 4; every += 4)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        g_autofree char *more
            = g_strdup_printf (", 'p2p_policy': '%s', 'p2p_batched': %s", pw_policies[policy].name,
                               batched ? "true" : "false");
        int model = (int)policy % 2;
        g_autoptr (ExecCase) c = make_case (model, every, 1, more, 3, 4);
        compare (c, models[model], 6, &exec_case_delayed);
      }
}

static void
recomputation (void) {
  for (int every = 0; every <= 4; every += 4) {
    g_autoptr (ExecCase) c = make_case (1, every, 1, ", 'recompute': 'stage'", 3, 4);
    compare (c, models[1], 6, NULL);
  }
}

/* One iteration as a plain list, with a flush behind it, is a stream of one step. */
static void
one_iteration (void) {
  for (int every = 0; every <= 4; every += 4) {
    g_autoptr (ExecCase) c = make_case (1, every, 1, "", 4, 8);
    double loss;
    g_autofree char *sha = exec_case_train_new (c, FALSE, NULL, 1, &loss);
    g_auto (Run) run = stream_of (c, NULL, 1);
    g_assert_cmpstr (sha, ==, run.sha);
    g_assert_cmpfloat (loss, ==, run.losses[0]);
  }
}

/* Neither lists nor memory grow with the length of the stream. */
static void
long_streams (void) {
  for (int every = 0; every <= 4; every += 4) {
    g_autoptr (ExecCase) c = make_case (0, every, 0, "", 4, 4);
    g_auto (Run) some = stream_of (c, NULL, 40);
    g_auto (Run) more = stream_of (c, NULL, 400);
    for (int r = 0; r < 4; r++) {
      g_assert_cmpint (more.rank[r].actions, ==, some.rank[r].actions / 40 * 400);
      for (int k = 0; k < PW_MEMORY_N; k++)
        if (k == PW_MEMORY_PARAMETERS || k == PW_MEMORY_VERSIONS || k == PW_MEMORY_WORKSPACE)
          g_assert_cmpint (more.rank[r].peak_by_category[k], ==, some.rank[r].peak_by_category[k]);
    }
    for (int s = 0; s < 40; s++)
      g_assert_cmpfloat (some.losses[s], ==, more.losses[s]);
  }
}

/* The last mini-batches, each with all its actions. */
static void
traces (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (1, 2, 1, "", 2, 4);
  g_auto (Run) run = stream_of (c, NULL, 9);
  pw_trace_check (run.trace, &error);
  g_assert_no_error (error);
  g_assert_cmpint (run.trace->info.iterations, ==, 2);
  g_assert_cmpint (run.trace->info.microbatches, ==, 4);
  /* 4 F, 4 B, 2 U and 8 messages on each of two ranks. */
  g_assert_cmpuint (run.trace->records->len, ==, 2 * 2 * (4 + 4 + 2 + 8));
}

static void
fill_badly (int64_t step, void *inputs, void *targets, gpointer data) {
  exec_case_fill (step, inputs, targets, data);
  if (step == 7)
    *(int32_t *)inputs = 32; /* no such token */
}

/* The steps before are whole; afterwards nothing runs any more. */
static void
failures (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (1, 0, 1, "", 3, 4);
  PwExecOptions options = { .timeout_s = 60 };
  PwLowerOptions lower = { .policy = PW_POLICY_DEFAULT };
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  int program = pw_exec_add_endless (exec, c->resolved->compute, &lower, 30, &error);
  g_assert_no_error (error);
  PwExecStep results[30];
  PwExecStream stream = { .steps = 30, .fill = fill_badly, .data = c, .results = results };
  g_auto (Run) run = stream_of (c, NULL, 30);
  int64_t done;
  g_assert_false (pw_exec_run_stream (exec, program, &stream, &done, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_KERNEL);
  g_clear_error (&error);
  g_assert_cmpint (done, <=, 7);
  for (int s = 0; s < done; s++)
    g_assert_cmpfloat (results[s].loss, ==, run.losses[s]);
  g_assert_false (pw_exec_run_stream (exec, program, &stream, &done, &error));
  g_assert_cmpint (done, ==, 0);
}

static void
refusals (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (0, 0, 0, "", 2, 3);
  g_autoptr (PwExec) sequential = pw_exec_new_sequential (c->resolved, NULL, &error);
  g_assert_cmpint (pw_exec_add (sequential, c->resolved->lowered, &error), ==, -1);
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  PwLowerOptions lower = { .policy = PW_POLICY_DEFAULT };
  g_assert_cmpint (pw_exec_add_endless (sequential, c->resolved->compute, &lower, 9, &error), ==,
                   -1);
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  int program = pw_exec_add_endless (exec, c->resolved->compute, &lower, 1, &error);
  g_assert_no_error (error);
  PwExecStep results[30];
  PwExecStream given = { .steps = 30, .fill = exec_case_fill, .data = c, .results = results };
  int64_t done;
  g_assert_false (pw_exec_run_stream (exec, program, &given, &done, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/exact-asynchronous/pipedream-has-its-delays", pipedream);
  g_test_add_func ("/exec/exact-asynchronous/2bw-has-its-delays", two_buffered);
  g_test_add_func ("/exec/exact-asynchronous/short-streams", short_streams);
  g_test_add_func ("/exec/exact-asynchronous/policies-and-delays-change-nothing", policies);
  g_test_add_func ("/exec/exact-asynchronous/recomputation-changes-nothing", recomputation);
  g_test_add_func ("/exec/exact-asynchronous/one-iteration-is-a-stream-of-one", one_iteration);
  g_test_add_func ("/exec/exact-asynchronous/long-streams-need-no-more-memory", long_streams);
  g_test_add_func ("/exec/exact-asynchronous/traces-hold-whole-mini-batches", traces);
  g_test_add_func ("/exec/exact-asynchronous/a-failure-ends-a-stream", failures);
  g_test_add_func ("/exec/exact-asynchronous/what-cannot-be-streamed-is-refused", refusals);
  return g_test_run ();
}
