/* A rank's worker: a pinned thread that waits for tasks, and the one loop over lowered actions, the
 * same for every backend and transport. */
#include "exec/exec_private.h"

static void
trace_compute (PwWorker *worker, const PwStep *step, double start, double end) {
  PwMemoryUse peak;
  int32_t iteration = pw__step_iteration (worker, step);
  PwTraceRecord record = {
    .action = step->action, .rank = worker->rank, .iteration = iteration, .start = start, .end = end
  };
  pw__trace_ring_add (worker->ring, &record);
  /* The peak within the action, drawn at its start, then what is left at its end. */
  pw__memory_window (worker->memory, &peak);
  pw__trace_ring_add_memory (worker->ring, iteration, start, &peak);
  pw__trace_ring_add_memory (worker->ring, iteration, end, pw__memory_use (worker->memory));
}

static void
note_compute (PwWorker *worker, const PwStep *step, double start, double end) {
  worker->figures.busy_time += end - start;
  if (worker->first_start == 0)
    worker->first_start = start;
  worker->last_end = end;
  if (worker->ring)
    trace_compute (worker, step, start, end);
}

static gboolean
run_compute (PwWorker *worker, const PwStep *step, GError **error) {
  double start = 0;
  if (!pw__compute (worker, step, &start, error))
    return FALSE;
  if (worker->marks) {
    if (!pw__mark_end (worker, worker->mark, step, 0, error))
      return FALSE;
  } else
    note_compute (worker, step, start, pw__now_s ());
  gboolean is_update = step->action.kind == PW_ACTION_UPDATE;
  return !worker->exec->run.stream || !(step->ends_microbatch || is_update)
         || pw__stream_note_end (worker, step->stage, step->microbatch, error);
}

static int64_t
gradient_bytes (const PwWorker *worker, const PwExecStage *stage) {
  const PwGraph *graph = worker->exec->resolved->graph;
  int64_t bytes = 0;
  for (int i = 0; i < stage->n_layers; i++)
    for (int p = 0; p < graph->layers[stage->first_layer + i].info.n_parameters; p++)
      bytes += pw_tensor_bytes (&stage->parameters[i][p].gradient);
  return bytes;
}

static gboolean
reduce_on_device (PwWorker *worker, const PwStep *step, GError **error) {
  uint64_t mark;
  return pw__mark_begin (worker, PW_MARK_REDUCTION, &mark, error)
         && pw__stage_reduce (worker, step->stage, error)
         && pw__mark_end (worker, mark, step, gradient_bytes (worker, step->stage), error);
}

static gboolean
run_reduction (PwWorker *worker, const PwStep *step, GError **error) {
  if (worker->marks)
    return reduce_on_device (worker, step, error);
  double start = pw__now_s ();
  if (!pw__stage_reduce (worker, step->stage, error))
    return FALSE;
  double end = pw__now_s ();
  worker->figures.wait_time += end - start;
  if (!worker->ring)
    return TRUE;
  PwTraceRecord record = { .action = step->action,
                           .rank = worker->rank,
                           .iteration = pw__step_iteration (worker, step),
                           .bytes = gradient_bytes (worker, step->stage),
                           .start = start,
                           .end = end };
  pw__trace_ring_add (worker->ring, &record);
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
  if (step->action.grouped)
    return TRUE;
  if (worker->in_group && !exec->transport->group_end (exec->transport_state, worker->rank, error))
    return FALSE;
  worker->in_group = FALSE;
  if (!pw_policies[exec->run.program->schedule->policy].blocks_program) {
    g_array_set_size (worker->group, 0);
    return TRUE;
  }
  return pw__block_program (worker, step, error);
}

static gboolean
dispatch (PwWorker *worker, const PwStep *step, GError **error) {
  if (pw_action_kinds[step->action.kind].is_compute)
    return run_compute (worker, step, error);
  if (step->action.kind == PW_ACTION_REDUCE_GRADIENT)
    return run_reduction (worker, step, error);
  return run_message (worker, step, error);
}

/* With its name, for a profiler. */
static gboolean
dispatch_named (PwWorker *worker, const PwStep *step, GError **error) {
  const PwBackend *backend = worker->exec->backend;
  char text[PW_ACTION_TEXT_MAX];
  backend->range_push (pw_action_format (step->action, text));
  gboolean good = dispatch (worker, step, error);
  backend->range_pop ();
  return good;
}

/* The micro-batch the step means OFFSET further on. */
static gboolean
place_step (PwWorker *worker, PwStep *step, int64_t offset, GError **error) {
  if (!pw_action_kinds[step->action.kind].has_microbatch)
    return TRUE;
  int64_t number = step->action.microbatch + offset;
  int slot = (int)(number % worker->exec->run.program->n_slots);
  step->microbatch = g_ptr_array_index (step->stage->microbatches, slot);
  if (step->microbatch->number != number
      && !pw__stream_claim (worker, step->stage, step->microbatch, number, error))
    return FALSE;
  step->action.microbatch = (uint32_t)step->microbatch->index & 0xffffffu;
  return TRUE;
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
  if (!worker->is_capturing) {
    exec->transport->progress (exec->transport_state, worker->rank);
    if (worker->sends->len > 0 && !worker->in_group)
      pw__poll_sends (worker);
  }
  if (exec->backend->range_push ? dispatch_named (worker, step, error)
                                : dispatch (worker, step, error))
    return TRUE;
  g_prefix_error (error, "rank %d, %s: ", worker->rank, pw_action_format (step->action, text));
  return FALSE;
}

/* Of a run without a stream. */
static gboolean
prepare_microbatch (PwWorker *worker, PwExecStage *stage, PwMicrobatch *microbatch,
                    GError **error) {
  PwRun *run = &worker->exec->run;
  int m = microbatch->slot;
  if (!run->program->has_forward && microbatch->phase != PW_MICROBATCH_EMPTY
      && microbatch->samples != run->samples[m]) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA,
                 "micro-batch %d had %" G_GINT64_FORMAT " samples in its forward, not "
                 "%" G_GINT64_FORMAT,
                 m, microbatch->samples, run->samples[m]);
    return FALSE;
  }
  microbatch->number = microbatch->index = microbatch->loss_at = m;
  microbatch->iteration = run->iteration;
  microbatch->step = run->step;
  microbatch->minibatch = &run->single;
  microbatch->samples = run->samples[m];
  microbatch->calls = pw__stage_calls (worker, stage, run->samples[m], error);
  if (run->program->has_forward)
    microbatch->user_loss = 0;
  return microbatch->calls != NULL;
}

/* What an earlier forward without a backward left behind goes, last stage first: it borrows from
 * the ones before. */
static gboolean
prepare_stage (PwWorker *worker, PwExecStage *stage, GError **error) {
  PwExec *exec = worker->exec;
  const PwExecProgram *program = exec->run.program;
  pw__versions_begin (worker, stage);
  stage->minibatch = NULL;
  for (int m = 0; m < program->n_slots; m++) {
    PwMicrobatch *microbatch = g_ptr_array_index (stage->microbatches, m);
    if (program->has_forward)
      pw__microbatch_reset (worker, stage, microbatch);
    microbatch->number = -1;
    if (!exec->run.stream && !prepare_microbatch (worker, stage, microbatch, error))
      return FALSE;
  }
  return !stage->losses
         || exec->backend->zero (worker->context.stream, stage->losses,
                                 (gsize)stage->n_losses * sizeof (double), error);
}

static gboolean
prepare_stages (PwWorker *worker, GError **error) {
  PwExec *exec = worker->exec;
  for (int place = exec->n_places - 1; place >= 0; place--)
    if (exec->stages[place].rank == worker->rank
        && !prepare_stage (worker, &exec->stages[place], error))
      return FALSE;
  return TRUE;
}

static gboolean
read_losses (PwWorker *worker, GError **error) {
  PwExec *exec = worker->exec;
  for (int s = 0; s < exec->n_places; s++) {
    PwExecStage *stage = &exec->stages[s];
    if (stage->rank == worker->rank && stage->losses
        && !exec->backend->copy_to_host (worker->context.stream, stage->host_losses, stage->losses,
                                         (gsize)stage->n_losses * sizeof (double), error))
      return FALSE;
  }
  return TRUE;
}

/* Nothing is waited for inside a group, so its micro-batches find their places before it. */
static gboolean
place_group (PwWorker *worker, const PwStep *steps, int64_t n, int64_t offset, GError **error) {
  for (int64_t i = 0; i < n; i++) {
    PwStep step = steps[i];
    if (!place_step (worker, &step, offset, error))
      return FALSE;
    if (!steps[i].action.grouped)
      break;
  }
  return TRUE;
}

static gboolean
run_steps (PwWorker *worker, const PwStep *steps, int64_t n, int64_t offset, GError **error) {
  for (int64_t i = 0; i < n; i++) {
    PwStep step = steps[i];
    if (step.action.grouped && !worker->in_group
        && !place_group (worker, steps + i, n - i, offset, error))
      return FALSE;
    if (!place_step (worker, &step, offset, error) || !run_step (worker, &step, error))
      return FALSE;
    worker->figures.actions++;
  }
  return TRUE;
}

static gboolean
run_list (PwWorker *worker, const PwStepList *list, int64_t more_repeats, GError **error) {
  const PwStep *body = list->steps + list->n_prologue;
  if (!run_steps (worker, list->steps, list->n_prologue, 0, error))
    return FALSE;
  for (int64_t r = 0; r < list->repeats + more_repeats; r++)
    if (!run_steps (worker, body, list->n_body, r * list->shift, error))
      return FALSE;
  return run_steps (worker, body + list->n_body, list->n_epilogue, more_repeats * list->shift,
                    error);
}

static void
reset_figures (PwWorker *worker) {
  worker->figures.busy_time = worker->figures.wait_time = worker->figures.wall_time = 0;
  worker->figures.actions = 0;
  worker->first_start = worker->last_end = 0;
  worker->in_group = FALSE;
  g_array_set_size (worker->group, 0);
}

gboolean
pw__worker_enqueue (PwWorker *worker, GError **error) {
  const PwRun *run = &worker->exec->run;
  reset_figures (worker);
  if (!prepare_stages (worker, error))
    return FALSE;
  double start = pw__now_s ();
  if (!run_list (worker, &run->program->lists[worker->rank], run->more_repeats, error)
      || !pw__finish_sends (worker, error))
    return FALSE;
  worker->figures.wall_time = pw__now_s () - start;
  return run->stream || read_losses (worker, error);
}

static gboolean
start (PwWorker *worker, GError **error) {
  if (worker->exec->run.way == PW_RUN_LAUNCH) {
    reset_figures (worker);
    return pw__graph_launch (worker, error);
  }
  pw__graph_drop (worker);
  return pw__worker_enqueue (worker, error);
}

/* All is enqueued; what it took is known when it is done. */
static gboolean
finish_on_device (PwWorker *worker, GError **error) {
  if (!pw__marks_finish (worker, error)) {
    pw__marks_collect (worker, NULL);
    return FALSE;
  }
  worker->figures.wall_time = worker->last_end - worker->first_start;
  worker->figures.wait_time = worker->figures.wall_time - worker->figures.busy_time;
  return TRUE;
}

gboolean
pw__worker_run (PwWorker *worker, gpointer data, GError **error) {
  (void)data;
  const PwBackend *backend = worker->exec->backend;
  gboolean is_started = start (worker, error);
  gboolean good = is_started
                  && (worker->marks ? finish_on_device (worker, error)
                                    : backend->stream_synchronize (worker->context.stream, error));
  if (!is_started && worker->marks)
    pw__marks_collect (worker, NULL);
  if (!good)
    pw__graph_drop (worker); /* before communicators are aborted, which may wait for it */
  return good;
}

/* ---- The thread ---- */

/* What a backend says of itself becomes the executor's: which rank. */
static void
own_error (const PwWorker *worker, GError **error) {
  if ((*error)->domain == PW_EXEC_ERROR)
    return;
  g_autoptr (GError) said = g_steal_pointer (error);
  gboolean is_memory = g_error_matches (said, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY);
  g_autofree char *where = g_str_has_prefix (said->message, "rank ")
                               ? g_strdup ("")
                               : g_strdup_printf ("rank %d: ", worker->rank);
  g_set_error (error, PW_EXEC_ERROR, is_memory ? PW_EXEC_ERROR_MEMORY : PW_EXEC_ERROR_KERNEL,
               "%s%s", where, said->message);
}

static gboolean
do_task (PwWorker *worker, PwTask task, gpointer data) {
  PwExec *exec = worker->exec;
  g_autoptr (GError) error = NULL;
  if (task (worker, data, &error))
    return TRUE;
  own_error (worker, &error);
  g_autofree char *reason = g_strdup (error->message);
  pthread_mutex_lock (&exec->mutex);
  gboolean is_first = exec->task_error == NULL;
  if (is_first) {
    exec->task_error = g_steal_pointer (&error);
    exec->task_failed_s = pw__now_s ();
  }
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
  PwStream *stream = worker->context.stream;
  /* After a failure there may be work under way on what is freed. */
  if (stream)
    worker->context.backend->stream_synchronize (stream, NULL);
  pw__graph_drop (worker);
  pw__marks_free (worker->marks);
  pw__memory_free (worker->memory);
  if (stream)
    worker->context.backend->stream_free (stream);
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
