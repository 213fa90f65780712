/* Runs that fail: they end on every rank, the first error is told with its place, nothing leaks. */
#include "exec_case.h"

#include <stdatomic.h>
#include <string.h>

#define MEMBERS                                                                                    \
  "'model': " PW_TEST_GPT ", 'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 3}, "        \
  "'batch': 6, 'data': 'random'"

static atomic_int calls_until_failure; /* counts down; fails at 0 */

static gboolean
fails (GError **error) {
  if (atomic_fetch_sub (&calls_until_failure, 1) != 1)
    return FALSE;
  g_set_error_literal (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY, "gelu: planted failure");
  return TRUE;
}

static gboolean
failing_gelu (PwOpContext *context, const PwTensor *x, const PwTensor *w, const PwTensor *bias,
              PwTensor *h, PwTensor *y, PwWorkspace workspace, GError **error) {
  return !fails (error)
         && pw_backend_cpu.ops.linear_gelu_forward (context, x, w, bias, h, y, workspace, error);
}

static gboolean
failing_gelu_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy, PwTensor *dx,
                       PwTensor *dbias, PwWorkspace workspace, GError **error) {
  return !fails (error)
         && pw_backend_cpu.ops.gelu_bias_input_gradient (context, x, dy, dx, dbias, workspace,
                                                         error);
}

static void *
failing_alloc (PwStream *stream, gsize bytes, GError **error) {
  return fails (error) ? NULL : pw_backend_cpu.alloc (stream, bytes, error);
}

/* Copies of the CPU's table live as long as the executors that use them. */
static const PwBackend *
failing_backend (gboolean ops, gboolean alloc) {
  static PwBackend backends[4];
  PwBackend *backend = &backends[2 * ops + alloc];
  *backend = pw_backend_cpu;
  if (ops) {
    backend->ops.linear_gelu_forward = failing_gelu;
    backend->ops.gelu_bias_input_gradient = failing_gelu_gradient;
  }
  if (alloc)
    backend->alloc = failing_alloc;
  return backend;
}

static gboolean
train (ExecCase *c, const PwExecOptions *options, int steps, PwExec **out, GError **error) {
  PwExec *exec = pw_exec_new (c->resolved, options, error);
  int program = exec ? pw_exec_add (exec, c->resolved->lowered, error) : -1;
  gboolean good = program >= 0;
  for (int s = 0; good && s < steps; s++) {
    PwExecBatch batch = exec_case_batch (c, s);
    good = pw_exec_run (exec, program, &batch, NULL, error);
  }
  if (out)
    *out = exec;
  else
    pw_exec_free (exec);
  return good;
}

static void
ops_fail (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  PwExecOptions options = { .backend = failing_backend (TRUE, FALSE) };
  /* 4 gelus, forward and back, 3 micro-batches. */
  for (int n = 1; n <= 25; n++) {
    g_autoptr (GError) error = NULL;
    atomic_store (&calls_until_failure, n);
    gboolean good = train (c, &options, 1, NULL, &error);
    g_assert_cmpint (good, ==, n > 24);
    if (good)
      break;
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_KERNEL);
    g_assert_nonnull (strstr (error->message, "rank "));
    g_assert_nonnull (strstr (error->message, "gelu: planted failure"));
    g_assert_nonnull (strstr (error->message, "layer block"));
  }
}

static void
allocations_fail (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  PwExecOptions options = { .backend = failing_backend (FALSE, TRUE) };
  int failures = 0;
  for (int n = 1;; n += 1 + n / 8) {
    g_autoptr (GError) error = NULL;
    atomic_store (&calls_until_failure, n);
    if (train (c, &options, 1, NULL, &error))
      break;
    failures++;
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY);
    g_assert_nonnull (strstr (error->message, "rank "));
    g_assert_nonnull (strstr (error->message, "planted failure"));
  }
  g_assert_cmpint (failures, >, 20);
}

static void
limits_are_kept (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  g_autoptr (GError) error = NULL;
  PwExec *exec = NULL;
  PwExecOptions options = { 0 };
  g_assert_true (train (c, &options, 1, &exec, &error));
  PwExecRank rank[2];
  for (int r = 0; r < 2; r++)
    pw_exec_rank (exec, r, &rank[r]);
  pw_exec_free (exec);
  int64_t peak = MAX (rank[0].peak_memory_bytes, rank[1].peak_memory_bytes);
  options.memory_limit = 2 * peak;
  g_assert_true (train (c, &options, 2, NULL, &error));
  g_assert_no_error (error);
  options.memory_limit = peak / 2; /* what is sent may be gone sooner or later */
  g_assert_false (train (c, &options, 2, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "limit"));
  g_clear_error (&error);
  options.memory_limit = 100;
  g_assert_false (train (c, &options, 2, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "limit of 100 bytes"));
}

/* ---- Messages that never come ---- */

static char lost_message;

static PwRequest *
losing_post_send (PwTransportState *state, int rank, PwChannel channel, const void *buffer,
                  gsize bytes, PwEvent *event, GError **error) {
  if (channel.is_backward)
    return (PwRequest *)(void *)&lost_message;
  return pw_transport_threads.post_send (state, rank, channel, buffer, bytes, event, error);
}

static gboolean
losing_test (PwTransportState *state, int rank, PwRequest *request) {
  return (void *)request == &lost_message || pw_transport_threads.test (state, rank, request);
}

static gboolean
losing_wait (PwTransportState *state, int rank, PwRequest *request, PwStream *stream,
             GError **error) {
  return (void *)request == &lost_message
         || pw_transport_threads.wait (state, rank, request, stream, error);
}

/* With two micro-batches rank 0 has sent all it ever will before it waits, so only it can time out.
 */
static void
lost_messages_time_out (void) {
  g_autoptr (ExecCase) c
      = exec_case_new ("'model': " PW_TEST_GPT ", 'ranks': 2, 'batch': 6, 'data': 'random', "
                       "'schedule': {'name': '1f1b', 'microbatches': 2}",
                       NULL);
  g_autoptr (GError) error = NULL;
  PwTransport losing = pw_transport_threads;
  losing.post_send = losing_post_send;
  losing.test = losing_test;
  losing.wait = losing_wait;
  PwExecOptions options = { .transport = &losing, .timeout_s = 2 };
  g_assert_false (train (c, &options, 1, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (error->message, "rank 0, 0B0: "));
  g_assert_nonnull (strstr (error->message, "receiving from rank 1"));
  g_assert_nonnull (strstr (error->message, "edge 0"));
}

/* ---- Interrupts ---- */

/* Slow enough for the caller to see the flag before the list is through. */
static atomic_int gelus;
static PwExec *interrupted_exec;
static volatile int interrupt_flag;

static gboolean
interrupting_gelu (PwOpContext *context, const PwTensor *x, const PwTensor *w, const PwTensor *bias,
                   PwTensor *h, PwTensor *y, PwWorkspace workspace, GError **error) {
  if (atomic_fetch_add (&gelus, 1) == 5) {
    if (interrupted_exec)
      pw_exec_interrupt (interrupted_exec);
    else
      interrupt_flag = 1;
    g_usleep (300000);
  }
  return pw_backend_cpu.ops.linear_gelu_forward (context, x, w, bias, h, y, workspace, error);
}

static void
interrupts_stop_all_ranks (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  g_autoptr (GError) error = NULL;
  PwBackend backend = pw_backend_cpu;
  backend.ops.linear_gelu_forward = interrupting_gelu;
  PwExecOptions options = { .backend = &backend, .trace_iterations = 3 };
  atomic_store (&gelus, -24);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  g_assert_no_error (error);
  interrupted_exec = exec;
  int steps = 0;
  for (gboolean good = TRUE; good && steps < 10; steps += good) {
    PwExecBatch batch = exec_case_batch (c, steps);
    good = pw_exec_run (exec, program, &batch, NULL, &error);
  }
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED);
  g_assert_cmpint (steps, ==, 2);
  g_clear_error (&error);
  /* What was done can still be read. */
  g_autoptr (PwTrace) trace = pw_exec_trace (exec);
  g_assert_true (pw_trace_check (trace, &error));
  g_assert_cmpuint (trace->records->len, >, 2 * (2 * 7 + 2 * 6));
  g_autofree char *sha = pw_exec_parameters_sha256 (exec, &error);
  g_assert_no_error (error);
  /* But it runs no more. */
  PwExecBatch batch = exec_case_batch (c, 0);
  g_assert_false (pw_exec_run (exec, program, &batch, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED);
}

/* ---- Refusals ---- */

static void
wrong_data (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  PwExecBatch batch = exec_case_batch (c, 0);
  PwExecBatch no_targets = { .inputs = batch.inputs };
  g_assert_false (pw_exec_run (exec, program, &no_targets, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA);
  g_clear_error (&error);
  /* A refused batch has run nothing: the executor goes on. */
  g_assert_true (pw_exec_run (exec, program, &batch, NULL, &error));
  ((int32_t *)c->inputs)[3] = 32;
  g_assert_false (pw_exec_run (exec, program, &batch, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_KERNEL);
  g_assert_nonnull (strstr (error->message, "embedding"));
}

static void
edit_list (PwSchedule *schedule, int rank, int64_t at, PwAction action) {
  schedule->programs[rank].actions[at] = action;
}

static void
wrong_lists (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  PwSchedule *lowered = c->resolved->lowered;
  g_assert_cmpint (pw_exec_add (exec, c->resolved->compute, &error), ==, -1);
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
  static const struct {
    PwAction action;
    const char *message;
  } cases[] = {
    { { .kind = PW_ACTION_NORM }, "norm" },
    { { .kind = PW_ACTION_REDUCE_GRADIENT }, "data-parallel" },
    { { .kind = PW_ACTION_FORWARD, .stage = 1 }, "not on this rank" },
    { { .kind = PW_ACTION_FORWARD, .microbatch = 3 }, "micro-batch" },
    { { .kind = PW_ACTION_FORWARD, .direction = 1 }, "no second pipe" },
    { { .kind = PW_ACTION_FORWARD, .microbatch = 0 }, "twice" },
    { { .kind = PW_ACTION_UPDATE }, "weight versions" },
    { { .kind = PW_ACTION_SEND_BACKWARD }, "no such edge" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_clear_error (&error);
    PwAction before = lowered->programs[0].actions[1];
    edit_list (lowered, 0, 1, cases[i].action);
    g_assert_cmpint (pw_exec_add (exec, lowered, &error), ==, -1);
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
    if (!strstr (error->message, cases[i].message))
      g_error ("%s: should say %s", error->message, cases[i].message);
    edit_list (lowered, 0, 1, before);
  }
}

/* A backward whose forward is missing is told where it stands. */
static void
incomplete_lists (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) lowered = pw_schedule_unroll (c->resolved->lowered, 1, &error);
  g_assert_no_error (error);
  PwProgram *program = &lowered->programs[1];
  for (int64_t i = 0; i < program->n_prologue; i++)
    if (program->actions[i].kind == PW_ACTION_FORWARD && program->actions[i].microbatch == 1) {
      memmove (&program->actions[i], &program->actions[i + 1],
               (gsize)(program->n_prologue - i - 1) * sizeof (PwAction));
      program->n_prologue--;
      break;
    }
  PwExecOptions options = { .timeout_s = 20 };
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  int number = pw_exec_add (exec, lowered, &error);
  g_assert_no_error (error);
  PwExecBatch batch = exec_case_batch (c, 0);
  g_assert_false (pw_exec_run (exec, number, &batch, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "rank 1, 1B1: its forward has not run"));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/failures/a-failing-op-ends-the-run", ops_fail);
  g_test_add_func ("/exec/failures/a-failing-allocation-ends-the-run", allocations_fail);
  g_test_add_func ("/exec/failures/memory-limits-are-kept", limits_are_kept);
  g_test_add_func ("/exec/failures/lost-messages-time-out", lost_messages_time_out);
  g_test_add_func ("/exec/failures/interrupts-stop-all-ranks", interrupts_stop_all_ranks);
  g_test_add_func ("/exec/failures/wrong-data-is-refused", wrong_data);
  g_test_add_func ("/exec/failures/wrong-lists-are-refused", wrong_lists);
  g_test_add_func ("/exec/failures/incomplete-lists-end-with-an-error", incomplete_lists);
  return g_test_run ();
}
