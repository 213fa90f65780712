#include "exec_case.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

static void
delay (void) {
  static atomic_uint counter;
  unsigned x = atomic_fetch_add_explicit (&counter, 1, memory_order_relaxed) * 2654435761u;
  struct timespec t = { .tv_nsec = (long)(x >> 13) % 300000 };
  if ((x >> 8) % 4 == 0)
    nanosleep (&t, NULL);
}

static PwRequest *
delayed_post_send (PwTransportState *state, int rank, PwChannel channel, const void *buffer,
                   gsize bytes, PwEvent *event, GError **error) {
  delay ();
  return pw_transport_threads.post_send (state, rank, channel, buffer, bytes, event, error);
}

static PwRequest *
delayed_post_recv (PwTransportState *state, int rank, PwChannel channel, void *buffer, gsize bytes,
                   PwEvent *event, GError **error) {
  delay ();
  return pw_transport_threads.post_recv (state, rank, channel, buffer, bytes, event, error);
}

static PwTransportState *
delayed_open (const PwTransportSetup *setup, GError **error) {
  return pw_transport_threads.open (setup, error);
}

static void
delayed_close (PwTransportState *state) {
  pw_transport_threads.close (state);
}

static gboolean
delayed_test (PwTransportState *state, int rank, PwRequest *request) {
  return pw_transport_threads.test (state, rank, request);
}

static gboolean
delayed_wait (PwTransportState *state, int rank, PwRequest *request, PwStream *stream,
              GError **error) {
  delay ();
  return pw_transport_threads.wait (state, rank, request, stream, error);
}

static void
delayed_group_begin (PwTransportState *state, int rank) {
  pw_transport_threads.group_begin (state, rank);
}

static gboolean
delayed_group_end (PwTransportState *state, int rank, GError **error) {
  return pw_transport_threads.group_end (state, rank, error);
}

static void
delayed_progress (PwTransportState *state, int rank) {
  pw_transport_threads.progress (state, rank);
}

static void
delayed_abort (PwTransportState *state, const char *reason) {
  pw_transport_threads.abort (state, reason);
}

const PwTransport exec_case_delayed = {
  .name = "delayed",
  .summary = "threads, late at random",
  .open = delayed_open,
  .close = delayed_close,
  .post_send = delayed_post_send,
  .post_recv = delayed_post_recv,
  .test = delayed_test,
  .wait = delayed_wait,
  .group_begin = delayed_group_begin,
  .group_end = delayed_group_end,
  .progress = delayed_progress,
  .abort = delayed_abort,
};

ExecCase *
exec_case_new (const char *members, const PwResolveOptions *options) {
  g_autoptr (GError) error = NULL;
  ExecCase *c = g_new0 (ExecCase, 1);
  g_autofree char *text = g_strdup_printf ("{%s}", members);
  for (char *t = text; *t; t++)
    *t = *t == '\'' ? '"' : *t;
  c->plan = pw_plan_parse ("case", text, &error);
  g_assert_no_error (error);
  c->resolved = pw_plan_resolve (c->plan, options, &error);
  g_assert_no_error (error);
  PwDataPlan random = { .kind = PW_DATA_RANDOM };
  c->dataset = pw_dataset_open (&random, c->resolved->graph, c->resolved->seed, &error);
  g_assert_no_error (error);
  gsize batch = (gsize)c->resolved->batch;
  c->inputs = g_malloc (batch * (gsize)pw_shape_bytes (&c->resolved->graph->input) + 1);
  c->targets = g_malloc (batch * (gsize)pw_shape_bytes (&c->resolved->graph->target) + 1);
  return c;
}

void
exec_case_free (ExecCase *c) {
  if (!c)
    return;
  pw_dataset_free (c->dataset);
  pw_resolved_plan_free (c->resolved);
  pw_plan_free (c->plan);
  g_free (c->inputs);
  g_free (c->targets);
  g_free (c);
}

PwExecBatch
exec_case_batch (ExecCase *c, int64_t step) {
  pw_dataset_fill (c->dataset, step, c->resolved->batch, c->inputs, c->targets);
  return (PwExecBatch){ .inputs = c->inputs, .targets = c->targets };
}

char *
exec_case_train (ExecCase *c, PwExec *exec, int steps, double *losses) {
  g_autoptr (GError) error = NULL;
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  g_assert_no_error (error);
  for (int s = 0; s < steps; s++) {
    PwExecBatch batch = exec_case_batch (c, s);
    PwExecStep step;
    pw_exec_run (exec, program, &batch, &step, &error);
    g_assert_no_error (error);
    if (losses)
      losses[s] = step.loss;
  }
  char *sha = pw_exec_parameters_sha256 (exec, &error);
  g_assert_no_error (error);
  return sha;
}

void
exec_case_fill (int64_t step, void *inputs, void *targets, gpointer data) {
  ExecCase *c = data;
  pw_dataset_fill (c->dataset, step, c->resolved->batch, inputs, targets);
}

char *
exec_case_stream (ExecCase *c, PwExec *exec, int steps, double *losses) {
  g_autoptr (GError) error = NULL;
  PwLowerOptions options
      = { .policy = c->plan->policy, .batched = c->plan->batched, .recompute = c->plan->recompute };
  int program = pw_exec_add_endless (exec, c->resolved->compute, &options, steps, &error);
  g_assert_no_error (error);
  g_autofree PwExecStep *results = g_new0 (PwExecStep, (gsize)steps);
  PwExecStream stream = { .steps = steps, .fill = exec_case_fill, .data = c, .results = results };
  int64_t done;
  pw_exec_run_stream (exec, program, &stream, &done, &error);
  g_assert_no_error (error);
  g_assert_cmpint (done, ==, steps);
  for (int s = 0; s < steps; s++) {
    losses[s] = results[s].loss;
    g_assert_cmpfloat (results[s].iteration_s, >, 0);
  }
  char *sha = pw_exec_parameters_sha256 (exec, &error);
  g_assert_no_error (error);
  return sha;
}

ExecCase *
exec_case_new_scheduled (const char *model, const char *schedule, const char *more, int ranks,
                         int microbatches) {
  g_autofree char *text = g_strdup_printf (
      "'model': %s, 'ranks': %d, 'partition': {'method': 'flops'}, "
      "'schedule': {%s, 'microbatches': %d}, 'batch': %d, 'seed': 7, "
      "'optimizer': {'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}, "
      "'data': 'random'%s",
      model, ranks, schedule, microbatches, 2 * microbatches - 1, more);
  return exec_case_new (text, NULL);
}

gboolean
exec_case_trains (const PwScheduleType *type) {
  static const struct {
    const char *name, *why;
  } excluded[] = {
    { "forward-only", "it does not train" },
    { "seq1f1b", "the executor does not cut sequences into pieces" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (excluded); i++)
    if (g_str_equal (excluded[i].name, type->name))
      return FALSE;
  return TRUE;
}

gboolean
exec_case_allows (const PwScheduleType *type, int ranks, int microbatches) {
  g_autoptr (GError) error = NULL;
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  g_autoptr (PwSchedule) schedule = pw_schedule_generate (type->name, &params, &error);
  if (!schedule)
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
  return schedule != NULL;
}

char *
exec_case_train_new (ExecCase *c, gboolean sequential, const PwTransport *transport, int steps,
                     double *losses) {
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .transport = transport, .timeout_s = 60 };
  g_autoptr (PwExec) exec = sequential ? pw_exec_new_sequential (c->resolved, &options, &error)
                                       : pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  return exec_case_train (c, exec, steps, losses);
}

void
exec_case_compare_with_sequential (ExecCase *c, const PwTransport *transport, int steps) {
  g_autofree double *expected = g_new (double, (gsize)steps);
  g_autofree double *losses = g_new (double, (gsize)steps);
  g_autofree char *reference = exec_case_train_new (c, TRUE, NULL, steps, expected);
  g_autofree char *sha = exec_case_train_new (c, FALSE, transport, steps, losses);
  g_assert_cmpstr (sha, ==, reference);
  for (int s = 0; s < steps; s++)
    g_assert_cmpfloat (losses[s], ==, expected[s]);
}

PwSchedule *
exec_case_half (const PwSchedule *lowered, gboolean forward) {
  g_autoptr (GError) error = NULL;
  PwSchedule *schedule = pw_schedule_unroll (lowered, 1, &error);
  g_assert_no_error (error);
  for (int r = 0; r < schedule->ranks; r++) {
    PwProgram *program = &schedule->programs[r];
    int64_t n = 0;
    for (int64_t i = 0; i < program->n_prologue; i++) {
      PwActionKind kind = program->actions[i].kind;
      gboolean is_forward = kind == PW_ACTION_FORWARD || kind == PW_ACTION_SEND_FORWARD
                            || kind == PW_ACTION_RECV_FORWARD;
      if (is_forward == forward)
        program->actions[n++] = program->actions[i];
    }
    program->n_prologue = n;
  }
  return schedule;
}
