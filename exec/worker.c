/* A rank's worker: a pinned thread that waits for tasks, and the one loop over lowered actions, the
 * same for every backend and transport. */
#include "exec/exec_private.h"

static void
trace_compute (PwWorker *worker, PwAction action, double start, double end) {
  PwMemoryUse peak;
  int32_t iteration = worker->exec->run.iteration;
  PwTraceRecord record = {
    .action = action, .rank = worker->rank, .iteration = iteration, .start = start, .end = end
  };
  pw__trace_ring_add (worker->ring, &record);
  /* The peak within the action, drawn at its start, then what is left at its end. */
  pw__memory_window (worker->memory, &peak);
  pw__trace_ring_add_memory (worker->ring, iteration, start, &peak);
  pw__trace_ring_add_memory (worker->ring, iteration, end, pw__memory_use (worker->memory));
}

static gboolean
run_compute (PwWorker *worker, const PwStep *step, GError **error) {
  double start = 0;
  if (!pw__compute (worker, step, &start, error))
    return FALSE;
  double end = pw__now_s ();
  worker->figures.busy_time += end - start;
  if (worker->first_start == 0)
    worker->first_start = start;
  worker->last_end = end;
  if (worker->ring)
    trace_compute (worker, step->action, start, end);
  return TRUE;
}

static gboolean
run_message (PwWorker *worker, const PwStep *step, GError **error) {
  PwExec *exec = worker->exec;
  if (step->action.grouped && !worker->in_group) {
    exec->transport->group_begin (exec->transport_state, worker->rank);
    worker->in_group = TRUE;
  }
  if (!(pw_action_kinds[step->action.kind].is_send ? pw__post_send (worker, step, error)
                                                   : pw__post_recv (worker, step, error)))
    return FALSE;
  if (!worker->in_group || step->action.grouped)
    return TRUE;
  worker->in_group = FALSE;
  return exec->transport->group_end (exec->transport_state, worker->rank, error);
}

static gboolean
run_step (PwWorker *worker, const PwStep *step, GError **error) {
  PwExec *exec = worker->exec;
  char text[PW_ACTION_TEXT_MAX];
  if (atomic_load_explicit (&exec->is_stopping, memory_order_relaxed)) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED, "rank %d was stopped before %s",
                 worker->rank, pw_action_format (step->action, text));
    return FALSE;
  }
  exec->transport->progress (exec->transport_state, worker->rank);
  if (worker->sends->len > 0)
    pw__poll_sends (worker);
  if (pw_action_kinds[step->action.kind].is_compute ? run_compute (worker, step, error)
                                                    : run_message (worker, step, error))
    return TRUE;
  g_prefix_error (error, "rank %d, %s: ", worker->rank, pw_action_format (step->action, text));
  return FALSE;
}

/* Sizes of this run; what an earlier forward without a backward left behind goes, last stage first:
 * it borrows from the ones before. */
static gboolean
prepare_microbatches (PwWorker *worker, GError **error) {
  PwExec *exec = worker->exec;
  const PwRun *run = &exec->run;
  for (int s = exec->n_stages - 1; s >= 0; s--) {
    PwExecStage *stage = &exec->stages[s];
    if (stage->rank != worker->rank)
      continue;
    for (int m = 0; m < run->program->n_microbatches; m++) {
      PwMicrobatch *microbatch = g_ptr_array_index (stage->microbatches, m);
      if (run->program->has_forward)
        pw__microbatch_reset (worker, stage, microbatch);
      else if (microbatch->phase != PW_MICROBATCH_EMPTY && microbatch->samples != run->samples[m]) {
        g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA,
                     "micro-batch %d had %" G_GINT64_FORMAT " samples in its forward, not "
                     "%" G_GINT64_FORMAT,
                     m, microbatch->samples, run->samples[m]);
        return FALSE;
      }
      microbatch->samples = run->samples[m];
      microbatch->calls = pw__stage_calls (worker, stage, run->samples[m], error);
      if (!microbatch->calls)
        return FALSE;
      if (run->program->has_forward)
        microbatch->user_loss = 0;
    }
    if (stage->losses
        && !exec->backend->zero (worker->context.stream, stage->losses,
                                 (gsize)stage->n_losses * sizeof (double), error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
read_losses (PwWorker *worker, GError **error) {
  PwExec *exec = worker->exec;
  for (int s = 0; s < exec->n_stages; s++) {
    PwExecStage *stage = &exec->stages[s];
    if (stage->rank == worker->rank && stage->losses
        && !exec->backend->copy_to_host (worker->context.stream, stage->host_losses, stage->losses,
                                         (gsize)stage->n_losses * sizeof (double), error))
      return FALSE;
  }
  return exec->backend->stream_synchronize (worker->context.stream, error);
}

gboolean
pw__worker_run (PwWorker *worker, gpointer data, GError **error) {
  (void)data;
  const PwExec *exec = worker->exec;
  const GArray *steps = exec->run.program->steps[worker->rank];
  worker->figures.busy_time = worker->figures.wait_time = worker->figures.wall_time = 0;
  worker->figures.actions = 0;
  worker->first_start = worker->last_end = 0;
  worker->in_group = FALSE;
  worker->context.step = exec->run.iteration;
  if (!prepare_microbatches (worker, error))
    return FALSE;
  double start = pw__now_s ();
  for (guint i = 0; i < steps->len; i++) {
    if (!run_step (worker, &g_array_index (steps, PwStep, i), error))
      return FALSE;
    worker->figures.actions++;
  }
  if (!pw__finish_sends (worker, error))
    return FALSE;
  worker->figures.wall_time = pw__now_s () - start;
  return read_losses (worker, error);
}

/* ---- The thread ---- */

static gboolean
do_task (PwWorker *worker, PwTask task, gpointer data) {
  PwExec *exec = worker->exec;
  g_autoptr (GError) error = NULL;
  if (task (worker, data, &error))
    return TRUE;
  g_autofree char *reason = g_strdup (error->message);
  pthread_mutex_lock (&exec->mutex);
  gboolean is_first = exec->task_error == NULL;
  if (is_first)
    exec->task_error = g_steal_pointer (&error);
  gboolean aborts = exec->task_aborts;
  pthread_mutex_unlock (&exec->mutex);
  if (is_first && aborts) {
    atomic_store (&exec->is_stopping, 1);
    exec->transport->abort (exec->transport_state, reason);
  }
  return FALSE;
}

static void
serve (PwWorker *worker) {
  PwExec *exec = worker->exec;
  uint64_t seen = 0;
  pthread_mutex_lock (&exec->mutex);
  for (;;) {
    while (exec->generation == seen && !exec->is_closing)
      pthread_cond_wait (&exec->start, &exec->mutex);
    if (exec->is_closing)
      break;
    seen = exec->generation;
    if (exec->task_rank >= 0 && exec->task_rank != worker->rank)
      continue;
    PwTask task = exec->task;
    gpointer data = exec->task_data;
    pthread_mutex_unlock (&exec->mutex);
    do_task (worker, task, data);
    pthread_mutex_lock (&exec->mutex);
    if (--exec->n_unfinished == 0)
      pthread_cond_signal (&exec->finished);
  }
  pthread_mutex_unlock (&exec->mutex);
}

static void *
worker_main (void *data) {
  PwWorker *worker = data;
  serve (worker);
  pw__memory_free (worker->memory);
  if (worker->context.stream)
    worker->context.backend->stream_free (worker->context.stream);
  return NULL;
}

gboolean
pw__worker_start (PwWorker *worker, GError **error) {
  int code = pthread_create (&worker->thread, NULL, worker_main, worker);
  if (code != 0) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY, "rank %d: no thread: %s", worker->rank,
                 g_strerror (code));
    return FALSE;
  }
  worker->is_started = TRUE;
  return TRUE;
}
