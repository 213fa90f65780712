/* Mini-batches without a flush between them. A few are in progress at once, in a ring of buffers:
 * the first worker that comes to one fills it, the last that leaves it reports its loss and time.
 * Which micro-batches a stage has under way is known from its list, so they, too, move through a
 * fixed number of places.
 *
 * Of several processes each counts the ends of its own stages, and notes when it has left a
 * mini-batch and, if it has the last stage, the loss; what the mini-batches were is known after the
 * run. */
#include "exec/processes_private.h"

struct PwStreamRun {
  const PwExecStream *given;
  pthread_mutex_t mutex; /* of the ring */
  PwMiniBatch *ring;
  int n_ring;
  gboolean *is_busy; /* [n_ring] */
  double last_end;
  /* [steps] of several processes, else NULL: when the stages here had left, and the loss. */
  double *ends, *losses;
  /* With the executor's mutex held. */
  int64_t n_done, n_reported;
};

static PwStreamRun *
stream_new (const PwExecStream *given, PwExec *exec, const PwExecProgram *program) {
  const PwGraph *graph = exec->resolved->graph;
  int64_t batch = exec->resolved->batch;
  PwStreamRun *stream = g_new0 (PwStreamRun, 1);
  stream->given = given;
  pthread_mutex_init (&stream->mutex, NULL);
  stream->n_ring = program->n_minibatches;
  stream->ring = g_new0 (PwMiniBatch, (gsize)stream->n_ring);
  stream->is_busy = g_new0 (gboolean, (gsize)stream->n_ring);
  stream->last_end = pw__now_s ();
  if (exec->processes) {
    stream->ends = g_new0 (double, (gsize)given->steps + 1);
    stream->losses = g_new0 (double, (gsize)given->steps + 1);
  }
  for (int i = 0; i < stream->n_ring; i++) {
    PwMiniBatch *minibatch = &stream->ring[i];
    pw__minibatch_init (minibatch, program);
    minibatch->losses = g_new0 (double, (gsize)program->per_minibatch);
    minibatch->inputs = g_malloc ((gsize)(batch * pw_shape_bytes (&graph->input)) + 1);
    minibatch->targets = g_malloc ((gsize)(batch * pw_shape_bytes (&graph->target)) + 1);
    minibatch->own = (PwExecBatch){ .inputs = minibatch->inputs, .targets = minibatch->targets };
    minibatch->batch = &minibatch->own;
    atomic_init (&minibatch->n_left, 0);
  }
  return stream;
}

static void
stream_free (PwStreamRun *stream) {
  for (int i = 0; i < stream->n_ring; i++)
    pw__minibatch_clear (&stream->ring[i]);
  pthread_mutex_destroy (&stream->mutex);
  g_free (stream->ring);
  g_free (stream->is_busy);
  g_free (stream->ends);
  g_free (stream->losses);
  g_free (stream);
}

/* ---- On the workers ---- */

/* With the mutex held. */
static void
fill (PwStreamRun *stream, const PwExec *exec, PwMiniBatch *minibatch, int64_t step) {
  const PwExecProgram *program = exec->run.program;
  stream->given->fill (step, minibatch->inputs, minibatch->targets, stream->given->data);
  minibatch->step = step;
  pw__minibatch_scale (minibatch, exec);
  minibatch->n_losses_left = program->per_minibatch;
  atomic_store (&minibatch->n_left, (int)program->n_ends);
  stream->is_busy[minibatch - stream->ring] = TRUE;
}

/* Where the list of one rank has nothing that waits for the others, it may come round the ring
 * before they have left. */
static PwMiniBatch *
take_minibatch (PwWorker *worker, int64_t step, GError **error) {
  PwExec *exec = worker->exec;
  PwStreamRun *stream = exec->run.stream;
  int at = (int)(step % stream->n_ring);
  PwMiniBatch *minibatch = &stream->ring[at];
  while (!atomic_load_explicit (&exec->is_stopping, memory_order_relaxed)) {
    pthread_mutex_lock (&stream->mutex);
    gboolean is_there = minibatch->step == step;
    if (!is_there && !stream->is_busy[at]) {
      fill (stream, exec, minibatch, step);
      is_there = TRUE;
    }
    pthread_mutex_unlock (&stream->mutex);
    if (is_there)
      return minibatch;
    exec->transport->progress (exec->transport_state, worker->rank);
    g_usleep (50);
  }
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED, "rank %d was stopped",
               worker->rank);
  return NULL;
}

gboolean
pw__stream_claim (PwWorker *worker, PwExecStage *stage, PwMicrobatch *slot, int64_t number,
                  GError **error) {
  const PwRun *run = &worker->exec->run;
  int M = run->program->per_minibatch;
  if (!pw__finish_sends_of (worker, slot, error))
    return FALSE;
  g_assert (slot->phase == PW_MICROBATCH_EMPTY);
  slot->minibatch = take_minibatch (worker, number / M, error);
  if (!slot->minibatch)
    return FALSE;
  slot->number = number;
  slot->index = (int)(number % M);
  slot->iteration = run->iteration + (int32_t)slot->minibatch->step;
  slot->step = run->step + slot->minibatch->step;
  slot->loss_at = (int)(slot->minibatch->step % run->program->n_minibatches) * M + slot->index;
  slot->samples = run->samples[slot->index];
  slot->calls = pw__stage_calls (worker, stage, slot->samples, error);
  return slot->calls != NULL;
}

/* The loss layer adds: what was read is made zero for the next mini-batch in this place. */
static gboolean
read_losses (PwWorker *worker, const PwExecStage *stage, PwMiniBatch *minibatch, GError **error) {
  const PwBackend *backend = worker->exec->backend;
  const PwExecProgram *program = worker->exec->run.program;
  int64_t at = minibatch->step % program->n_minibatches * program->per_minibatch;
  gsize bytes = (gsize)program->per_minibatch * sizeof (double);
  return backend->copy_to_host (worker->context.stream, minibatch->losses, stage->losses + at,
                                bytes, error)
         && backend->stream_synchronize (worker->context.stream, error)
         && backend->zero (worker->context.stream, stage->losses + at, bytes, error);
}

static void
finish (PwExec *exec, PwMiniBatch *minibatch) {
  PwStreamRun *stream = exec->run.stream;
  PwExecStep *result = &stream->given->results[minibatch->step];
  double end = pw__now_s ();
  int64_t n_done = minibatch->step + 1;
  pthread_mutex_lock (&stream->mutex);
  result->loss = pw__minibatch_loss (minibatch, exec->run.program, minibatch->losses);
  if (stream->ends) {
    stream->ends[minibatch->step] = end;
    stream->losses[minibatch->step] = result->loss;
  } else {
    result->iteration_s = end - stream->last_end;
    stream->last_end = end;
  }
  stream->is_busy[minibatch - stream->ring] = FALSE;
  pthread_mutex_unlock (&stream->mutex);
  pthread_mutex_lock (&exec->mutex);
  stream->n_done = MAX (stream->n_done, n_done);
  pthread_cond_signal (&exec->finished);
  pthread_mutex_unlock (&exec->mutex);
}

gboolean
pw__stream_note_end (PwWorker *worker, PwExecStage *stage, const PwMicrobatch *microbatch,
                     GError **error) {
  if (worker->marks && !pw__marks_collect_many (worker, error))
    return FALSE;
  if (microbatch) {
    stage->minibatch = microbatch->minibatch;
    if (stage->losses && --stage->minibatch->n_losses_left == 0
        && !read_losses (worker, stage, stage->minibatch, error))
      return FALSE;
  }
  if (atomic_fetch_sub (&stage->minibatch->n_left, 1) == 1)
    finish (worker->exec, stage->minibatch);
  return TRUE;
}

/* ---- On the caller's thread ---- */

void
pw__stream_report (PwStreamRun *stream, PwExec *exec) {
  const PwExecStream *given = stream->given;
  while (!stream->ends && stream->n_reported < stream->n_done) {
    int64_t step = stream->n_reported++;
    if (!given->progress)
      continue;
    pthread_mutex_unlock (&exec->mutex);
    given->progress (step, &given->results[step], given->data);
    pthread_mutex_lock (&exec->mutex);
  }
}

/* A mini-batch has ended when the last process has left it. */
static gboolean
share_results (PwStreamRun *stream, PwExec *exec, GError **error) {
  const PwExecStream *given = stream->given;
  double last_end = stream->last_end;
  if (!pw__processes_share_stream (exec, given->steps, stream->ends, stream->losses, &last_end,
                                   &stream->n_done, error))
    return FALSE;
  for (int64_t s = 0; s < stream->n_done; s++) {
    given->results[s].loss = stream->losses[s];
    given->results[s].iteration_s = stream->ends[s] - last_end;
    last_end = stream->ends[s];
  }
  g_clear_pointer (&stream->ends, g_free);
  return TRUE;
}

static gboolean
find_repeats (const PwExecProgram *program, int64_t steps, int64_t *more, GError **error) {
  int64_t missing = steps * program->per_minibatch - program->n_microbatches;
  int64_t shift = program->lists[0].n_body > 0 ? program->lists[0].shift : 0;
  *more = shift > 0 ? missing / shift : 0;
  if (missing >= 0 && *more * shift == missing)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
               "schedule %s was not prepared for %" G_GINT64_FORMAT " steps",
               program->schedule->name, steps);
  return FALSE;
}

static gboolean
check_stream (const PwExec *exec, const PwExecStream *stream, GError **error) {
  const PwGraph *graph = exec->resolved->graph;
  const char *what = NULL;
  if (!graph->layers[graph->n_layers - 1].info.is_loss)
    what = "the model has no loss layer, which a stream needs";
  else if (stream->steps > G_MAXINT32 - exec->n_runs)
    what = "too many steps to be numbered";
  if (!what)
    return TRUE;
  g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, what);
  return FALSE;
}

gboolean
pw_exec_run_stream (PwExec *exec, int program_number, const PwExecStream *given, int64_t *done,
                    GError **error) {
  g_assert (program_number >= 0 && program_number < (int)exec->programs->len);
  const PwExecProgram *program = g_ptr_array_index (exec->programs, program_number);
  PwRun *run = &exec->run;
  g_assert (program->is_stream);
  *done = 0;
  if (!pw__exec_is_ready (exec, error) || !check_stream (exec, given, error)
      || !find_repeats (program, given->steps, &run->more_repeats, error))
    return FALSE;
  pw__exec_set_samples (exec, program, exec->resolved->samples);
  run->stream = stream_new (given, exec, program);
  run->way = PW_RUN_PLAIN;
  exec->last_program = program_number;
  int32_t before = exec->n_runs;
  exec->n_runs += (int32_t)given->steps;
  exec->n_steps += given->steps;
  gboolean good = pw__exec_run_task (exec);
  if (exec->processes && !share_results (run->stream, exec, good ? &exec->failure : NULL))
    good = FALSE;
  pthread_mutex_lock (&exec->mutex);
  pw__stream_report (run->stream, exec);
  pthread_mutex_unlock (&exec->mutex);
  *done = run->stream->n_done;
  if (!good) {
    exec->n_runs = before + (int32_t)MIN (*done + 1, given->steps);
    exec->n_steps += exec->n_runs - before - given->steps;
    g_propagate_error (error, g_error_copy (exec->failure));
  }
  g_clear_pointer (&run->stream, stream_free);
  run->more_repeats = 0;
  return good;
}
