/* Steps that are launched as CUDA graphs, streams late at random: the same losses and parameters as
 * without, to the last bit, a trace of every step, and plain steps again as soon as anything
 * changes. */
#include <cuda_runtime_api.h>
#include <glib/gstdio.h>
#include <string.h>

#include "exec/checkpoint.h"
#include "tests/device/fake/fake.h"
#include "tests/exec/exec_case.h"

#define STEPS 8
#define PLAIN 2 /* steps before a graph */

#define MLP "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': %d, 'output': 3}"
#define GPT "{'name': 'gpt', 'blocks': %d, 'width': 8, 'heads': 1, 'tokens': 4, 'vocabulary': 11}"
#define DROPOUT                                                                                    \
  "{'name': 'gpt', 'blocks': %d, 'width': 8, 'heads': 1, 'tokens': 4, 'vocabulary': 11, "          \
  "'dropout': 0.2}"
#define ADAMW "{'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}"

extern const PwBackend pw_backend_cuda;
extern const PwTransport pw_transport_nccl;

typedef struct {
  const char *model;
  int ranks, stages;
  const char *schedule;
  int microbatches, batch;
  const char *more; /* members */
} Row;

static ExecCase *
make_case (const Row *row) {
  g_autoptr (GString) text = g_string_new ("'model': ");
  g_string_append_printf (text, row->model, row->stages); /* NOLINT: formats are ours */
  g_string_append_printf (text,
                          ", 'ranks': %d, 'schedule': {%s, 'microbatches': %d}, 'batch': %d, "
                          "'seed': 7, 'optimizer': " ADAMW ", 'data': 'random'%s",
                          row->ranks, row->schedule, row->microbatches, row->batch, row->more);
  return exec_case_new (text->str, NULL);
}

static PwExec *
make_exec (const ExecCase *c, gboolean graphs, double timeout_s) {
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .backend = &pw_backend_cuda,
                            .transport = c->plan->ranks > 1 ? &pw_transport_nccl : NULL,
                            .timeout_s = timeout_s,
                            .no_pinning = TRUE,
                            .trace_iterations = STEPS,
                            .cuda_graphs = graphs };
  pw_fake_set_devices (c->plan->ranks);
  pw_fake_set_seed ((uint64_t)g_test_rand_int () | 1);
  pw_fake_set_delay_us (30);
  PwExec *exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pw_exec_add (exec, c->resolved->lowered, &error), ==, 0);
  return exec;
}

static PwExecStep
run_batch (PwExec *exec, const PwExecBatch *batch) {
  g_autoptr (GError) error = NULL;
  PwExecStep step;
  pw_exec_run (exec, 0, batch, &step, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (step.iteration_s, >, 0);
  return step;
}

static PwExecStep
run_step (ExecCase *c, PwExec *exec, int64_t s) {
  PwExecBatch batch = exec_case_batch (c, s);
  return run_batch (exec, &batch);
}

static void
assert_nothing_is_left (void) {
  g_assert_cmpint (pw_fake_live_allocations () + pw_fake_live_streams () + pw_fake_live_events ()
                       + pw_fake_live_graphs (),
                   ==, 0);
}

/* Each step's actions are there once, on each rank one after another. */
static void
check_trace (ExecCase *c, PwExec *exec) {
  PwTrace *trace = pw_exec_trace (exec);
  g_autofree double *end = g_new0 (double, (gsize)c->plan->ranks);
  int n[STEPS] = { 0 };
  g_assert_cmpint (trace->info.iterations, ==, STEPS);
  for (int i = 0; i < STEPS; i++)
    for (guint k = 0; k < trace->records->len; k++) {
      const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, k);
      if (record->iteration != i)
        continue;
      n[i]++;
      g_assert_cmpfloat (record->end, >=, record->start);
      if (!pw_action_kinds[record->action.kind].is_compute)
        continue;
      g_assert_cmpfloat (record->start, >=, end[record->rank]);
      end[record->rank] = record->end;
    }
  for (int i = 0; i < STEPS; i++)
    g_assert_cmpint (n[i], ==, n[0]);
  g_assert_cmpint (n[0], >, 0);
  pw_trace_free (trace);
}

static void
compare (const Row *row) {
  g_test_message ("%s, %d ranks%s", row->schedule, row->ranks, row->more);
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (row);
  double losses[STEPS];
  char *sha[2];
  PwExecRank figures[2];
  for (int graphs = 0; graphs <= 1; graphs++) {
    g_autoptr (PwExec) exec = make_exec (c, graphs, 120);
    for (int s = 0; s < STEPS; s++) {
      PwExecStep step = run_step (c, exec, s);
      g_assert_cmpint (step.is_graph, ==, graphs && s >= PLAIN);
      if (graphs)
        g_assert_cmpfloat (step.loss, ==, losses[s]);
      losses[s] = step.loss;
    }
    sha[graphs] = pw_exec_parameters_sha256 (exec, &error);
    g_assert_no_error (error);
    pw_exec_rank (exec, c->plan->ranks - 1, &figures[graphs]);
    check_trace (c, exec);
  }
  g_assert_cmpstr (sha[0], ==, sha[1]);
  g_assert_cmpint (figures[0].actions, ==, figures[1].actions);
  assert_nothing_is_left ();
  g_free (sha[0]);
  g_free (sha[1]);
}

#define PER_EDGE ", 'p2p_policy': 'per-edge'"
#define SHARED ", 'p2p_policy': 'shared-stream'"
static const Row rows[] = {
  { MLP, 1, 2, "'name': 'gpipe'", 3, 5, "" },
  { GPT, 1, 1, "'name': '1f1b'", 2, 2, "" },
  { MLP, 2, 2, "'name': 'gpipe'", 3, 5, PER_EDGE },
  { MLP, 2, 2, "'name': '1f1b'", 3, 5, SHARED ", 'p2p_batched': true" },
  { MLP, 2, 2, "'name': 'zb-h1'", 3, 5, PER_EDGE },
  { MLP, 2, 4, "'name': 'interleaved-1f1b', 'chunks': 2", 4, 7, PER_EDGE },
  { GPT, 2, 2, "'name': '1f1b'", 2, 2, PER_EDGE ", 'recompute': 'stage'" },
  { MLP, 2, 2, "'name': 'chimera'", 2, 3, PER_EDGE },
  { DROPOUT, 2, 2, "'name': '1f1b'", 2, 2, PER_EDGE },
  { MLP, 4, 4, "'name': 'gpipe'", 4, 7, SHARED },
  { MLP, 4, 4, "'name': '1f1b'", 5, 9, PER_EDGE },
  { MLP, 4, 4, "'name': 'zb-h1'", 5, 9, ", 'p2p_policy': 'per-peer', 'p2p_batched': true" },
  { MLP, 4, 8, "'name': 'interleaved-1f1b', 'chunks': 2", 4, 7, PER_EDGE },
};

/* The thread sanitizer takes ten times as long. */
static void
graphs_equal_plain_steps (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
#ifdef __SANITIZE_THREAD__
    if (i != 3)
      continue;
#endif
    compare (&rows[i]);
  }
}

/* Trained on from a checkpoint: steps are numbered on, runs of the executor are not. */
static void
resumed_equals_uninterrupted (void) {
  static const Row row = { DROPOUT, 1, 1, "'name': '1f1b'", 2, 2, "" };
  static const int first = 3;
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (&row);
  g_autofree char *file = g_strdup_printf ("%s/graphs-%d", g_get_tmp_dir (), g_test_rand_int ());
  double losses[STEPS];
  for (int graphs = 0; graphs <= 1; graphs++) {
    PwExec *exec = make_exec (c, graphs, 120);
    for (int s = 0; s < STEPS; s++) {
      PwExecStep step = run_step (c, exec, s);
      if (graphs)
        g_assert_cmpfloat (step.loss, ==, losses[s]);
      losses[s] = step.loss;
      if (!graphs || s != first)
        continue;
      pw_checkpoint_save (exec, file, &error);
      pw_exec_free (exec);
      exec = make_exec (c, TRUE, 120);
      pw_checkpoint_load (exec, file, &error);
      g_assert_no_error (error);
    }
    pw_exec_free (exec);
  }
  g_unlink (file);
}

/* ---- What makes a step plain ---- */

static const Row small = { MLP, 2, 2, "'name': '1f1b'", 3, 5, "" };

static void
update_between (ExecCase *c, PwExec *exec) {
  (void)c;
  g_assert_true (pw_exec_update (exec, NULL));
}

static void
set_parameter (ExecCase *c, PwExec *exec) {
  static const float values[8] = { 0.25f, -1 };
  (void)c;
  g_assert_true (pw_exec_set_parameter (exec, 0, 1, values, NULL));
}

static void
add_program (ExecCase *c, PwExec *exec) {
  g_assert_cmpint (pw_exec_add (exec, c->resolved->lowered, NULL), >, 0);
}

/* Counts of samples, buffers and programs; what is done to values between steps changes nothing. */
static void
changes_go_plainly (void) {
  static const int64_t other[] = { 1, 2, 2 };
  static const struct {
    const int64_t *samples;
    gboolean moves, is_graph;
    void (*before) (ExecCase *c, PwExec *exec);
  } steps[] = {
    { .is_graph = FALSE },
    { .is_graph = FALSE },
    { .is_graph = TRUE },
    { .is_graph = TRUE, .before = update_between },
    { .is_graph = TRUE, .before = set_parameter },
    { .is_graph = FALSE, .samples = other },
    { .is_graph = FALSE, .samples = other },
    { .is_graph = TRUE, .samples = other },
    { .is_graph = FALSE },
    { .is_graph = FALSE },
    { .is_graph = TRUE },
    { .is_graph = FALSE, .moves = TRUE },
    { .is_graph = FALSE, .moves = TRUE },
    { .is_graph = TRUE, .moves = TRUE },
    { .is_graph = FALSE, .moves = TRUE, .before = add_program },
  };
  g_autoptr (ExecCase) c = make_case (&small);
  gsize bytes = (gsize)(c->resolved->batch * pw_shape_bytes (&c->resolved->graph->input));
  double losses[G_N_ELEMENTS (steps)];
  for (int graphs = 0; graphs <= 1; graphs++) {
    g_autoptr (PwExec) exec = make_exec (c, graphs, 120);
    g_autofree void *moved = g_malloc (bytes);
    for (gsize i = 0; i < G_N_ELEMENTS (steps); i++) {
      PwExecBatch batch = exec_case_batch (c, (int64_t)i);
      batch.samples = steps[i].samples;
      if (steps[i].moves)
        batch.inputs = memcpy (moved, batch.inputs, bytes);
      if (steps[i].before)
        steps[i].before (c, exec);
      PwExecStep step = run_batch (exec, &batch);
      g_test_message ("step %d", (int)i);
      g_assert_cmpint (step.is_graph, ==, graphs && steps[i].is_graph);
      if (graphs)
        g_assert_cmpfloat (step.loss, ==, losses[i]);
      losses[i] = step.loss;
    }
  }
  assert_nothing_is_left ();
}

/* One rank's capture fails somewhere: no rank has a graph, the step is run plainly, and captured
 * later. */
static void
a_capture_that_fails_is_given_up (void) {
  g_autoptr (ExecCase) c = make_case (&small);
  double losses[STEPS];
#ifdef __SANITIZE_THREAD__
  const long step = 13;
#else
  const long step = 1;
#endif
  for (long n = 0; n <= 26; n += n < 4 ? step : 11) {
    g_autoptr (PwExec) exec = make_exec (c, TRUE, 120);
    for (int s = 0; s < STEPS; s++) {
      pw_fake_fail_launch (s == PLAIN ? n : 0, cudaErrorLaunchOutOfResources);
      PwExecStep step = run_step (c, exec, s);
      g_assert_cmpint (step.is_graph, ==, s >= (n > 0 ? 2 * PLAIN + 1 : PLAIN));
      if (n > 0)
        g_assert_cmpfloat (step.loss, ==, losses[s]);
      if (n > 0 && s == PLAIN)
        g_assert_nonnull (strstr (pw_exec_graphs_reason (exec), "too many resources"));
      losses[s] = step.loss;
    }
  }
  pw_fake_fail_launch (0, 0);
  assert_nothing_is_left ();
}

/* ---- What is refused, and what fails ---- */

static void
what_cannot_be_captured_is_refused (void) {
  static const struct {
    const char *message, *schedule;
    const PwBackend *backend;
    const PwTransport *transport;
    int devices;
  } cases[] = {
    { "the cpu backend has none", "gpipe", &pw_backend_cpu, NULL, 2 },
    { "2 ranks need --transport nccl", "gpipe", &pw_backend_cuda, NULL, 2 },
    { "endless schedule pipedream", "pipedream", &pw_backend_cuda, &pw_transport_nccl, 2 },
    { "need one for each rank", "gpipe", &pw_backend_cuda, &pw_transport_nccl, 1 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *schedule = g_strdup_printf ("'name': '%s'", cases[i].schedule);
    g_autoptr (ExecCase) c = exec_case_new_scheduled (
        "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': 3, 'output': 3}", schedule, "", 2, 2);
    PwExecOptions options = { .backend = cases[i].backend,
                              .transport = cases[i].transport,
                              .share_devices = TRUE,
                              .cuda_graphs = TRUE };
    pw_fake_set_devices (cases[i].devices);
    g_assert_null (pw_exec_new (c->resolved, &options, &error));
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, cases[i].message));
  }
  assert_nothing_is_left ();
}

/* In the launch of a graph, too, a peer that is gone ends the run, with the rank and where its
 * device stands. */
static void
a_peer_is_lost (gconstpointer data) {
  PwFakeNcclFault fault = (PwFakeNcclFault)GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (&small);
  g_autoptr (PwExec) exec = make_exec (c, TRUE, 1);
  for (int s = 0; s < PLAIN + 2; s++)
    run_step (c, exec, s);
  PwExecBatch batch = exec_case_batch (c, 9);
  pw_fake_nccl_fault (1, 3, fault);
  g_assert_false (pw_exec_run (exec, 0, &batch, NULL, &error));
  pw_fake_nccl_fault (1, 0, PW_FAKE_NCCL_WELL);
  g_test_message ("%s", error->message);
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (error->message, "rank "));
  if (fault == PW_FAKE_NCCL_HUNG)
    g_assert_nonnull (strstr (error->message, "its device has not come to the end of it"));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/device/graphs/equal-plain-steps", graphs_equal_plain_steps);
  g_test_add_func ("/device/graphs/resumed-equals-uninterrupted", resumed_equals_uninterrupted);
  g_test_add_func ("/device/graphs/changes-go-plainly", changes_go_plainly);
  g_test_add_func ("/device/graphs/a-capture-that-fails-is-given-up",
                   a_capture_that_fails_is_given_up);
  g_test_add_func ("/device/graphs/what-cannot-be-captured-is-refused",
                   what_cannot_be_captured_is_refused);
  g_test_add_data_func ("/device/graphs/a-peer-hangs", GINT_TO_POINTER (PW_FAKE_NCCL_HUNG),
                        a_peer_is_lost);
  g_test_add_data_func ("/device/graphs/a-peer-dies", GINT_TO_POINTER (PW_FAKE_NCCL_DEAD),
                        a_peer_is_lost);
  return g_test_run ();
}
