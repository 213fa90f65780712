#include "exec/exec.h"

#include "exec/processes_private.h"

GQuark
pw_exec_error_quark (void) {
  return g_quark_from_static_string ("pw-exec-error-quark");
}

#define POLL_S 0.05 /* how often a waiting caller looks whether it was interrupted */

/* ---- Tasks ---- */

gboolean
pw__exec_is_interrupted (const PwExec *exec) {
  return atomic_load (&exec->is_interrupted) || (exec->watched && *exec->watched);
}

void
pw__exec_stop_task (PwExec *exec, const char *reason) {
  if (atomic_exchange (&exec->is_stopping, 1) == 0)
    exec->transport->abort (exec->transport_state, reason);
}

static void
wait_until_finished (PwExec *exec) {
  while (exec->n_unfinished > 0) {
    struct timespec t = pw__timespec (pw__now_s () + POLL_S);
    pthread_cond_timedwait (&exec->finished, &exec->mutex, &t);
    if (exec->run.stream)
      pw__stream_report (exec->run.stream, exec);
    if (exec->task_aborts && pw__exec_is_interrupted (exec))
      pw__exec_stop_task (exec, "interrupted");
    if (exec->task_aborts && exec->processes)
      pw__processes_watch (exec);
  }
}

/* The part of a task that is this process's. NULL: done. */
static GError *
do_here (PwExec *exec, int rank, PwTask task, gpointer data, gboolean aborts) {
  pthread_mutex_lock (&exec->mutex);
  exec->task = task;
  exec->task_data = data;
  exec->task_rank = rank;
  exec->task_aborts = aborts;
  exec->n_unfinished = rank < 0 ? exec->n_local : pw__exec_has_rank (exec, rank);
  exec->generation++;
  pthread_cond_broadcast (&exec->start);
  wait_until_finished (exec);
  GError *failure = g_steal_pointer (&exec->task_error);
  pthread_mutex_unlock (&exec->mutex);
  return failure;
}

gboolean
pw__exec_on_all (PwExec *exec, PwTask task, gpointer data, GError **error) {
  return pw__processes_agree (exec, do_here (exec, -1, task, data, FALSE), error);
}

gboolean
pw__exec_on_all_together (PwExec *exec, PwTask task, gpointer data, GError **error) {
  gboolean aborts = exec->processes != NULL;
  return pw__processes_agree (exec, do_here (exec, -1, task, data, aborts), error);
}

gboolean
pw__exec_on (PwExec *exec, int rank, PwTask task, gpointer data, GError **error) {
  return pw__processes_agree (exec, do_here (exec, rank, task, data, FALSE), error);
}

void
pw_exec_interrupt (PwExec *exec) {
  atomic_store (&exec->is_interrupted, 1);
}

void
pw__exec_watch (PwExec *exec, const volatile int *flag) {
  exec->watched = flag;
}

/* ---- Making and unmaking ---- */

/* A worker's own things are made by its own thread: they lie near its core. */
static gboolean
set_up_worker (PwWorker *worker, gpointer data, GError **error) {
  PwExec *exec = worker->exec;
  const PwPinning *pinning = data;
  if (!exec->options.no_pinning)
    pw__pinning_apply (pinning, worker->place);
  worker->context = (PwOpContext){ .backend = exec->backend,
                                   .rank = worker->rank,
                                   .seed = (uint64_t)exec->resolved->seed,
                                   .tf32 = exec->resolved->precision == PW_PRECISION_TF32 };
  worker->context.stream = exec->backend->stream_new (worker->place, error);
  if (!worker->context.stream) {
    g_prefix_error (error, "rank %d: ", worker->rank);
    return FALSE;
  }
  worker->memory = pw__memory_new (exec->backend, worker->context.stream, worker->rank,
                                   exec->options.memory_limit);
  worker->marks = exec->is_host_memory ? NULL : pw__marks_new (exec->backend);
  for (int s = 0; s < exec->n_places; s++)
    if (exec->stages[s].rank == worker->rank
        && !pw__stage_allocate (worker, &exec->stages[s], error))
      return FALSE;
  return TRUE;
}

static gboolean
attach_worker (PwWorker *worker, gpointer data, GError **error) {
  (void)data;
  const PwExec *exec = worker->exec;
  g_autoptr (GError) own = NULL;
  worker->is_attached
      = exec->transport->attach (exec->transport_state, worker->rank, worker->context.stream, &own);
  if (worker->is_attached)
    return TRUE;
  if (!g_str_has_prefix (own->message, "rank ") && !g_str_has_prefix (own->message, "process "))
    g_prefix_error (&own, "rank %d: ", worker->rank);
  g_propagate_error (error, g_steal_pointer (&own));
  return FALSE;
}

static gboolean
detach_worker (PwWorker *worker, gpointer data, GError **error) {
  (void)data;
  (void)error;
  pw__graph_drop (worker); /* a communicator may wait until no graph uses it */
  if (worker->is_attached)
    worker->exec->transport->detach (worker->exec->transport_state, worker->rank);
  worker->is_attached = FALSE;
  return TRUE;
}

static gboolean
make_stages (PwExec *exec, GError **error) {
  exec->stages = g_new0 (PwExecStage, (gsize)exec->n_places);
  for (int place = 0; place < exec->n_places; place++)
    if (!pw__stage_init (&exec->stages[place], exec, place, error))
      return FALSE;
  for (int s = 0; s < exec->n_places; s++)
    if (!pw__stage_connect (&exec->stages[s], exec, error))
      return FALSE;
  for (int s = 0; s < exec->n_places; s++)
    pw__stage_match_ends (&exec->stages[s]);
  return pw__check_precision (exec, error) && pw__check_shared (exec, error);
}

static void
worker_init (PwWorker *worker, PwExec *exec, int rank) {
  worker->exec = exec;
  worker->rank = rank;
  worker->figures.rank = rank;
  if (!pw__exec_has_rank (exec, rank))
    return;
  worker->place = exec->first_place + rank - exec->first_rank;
  worker->sends = g_array_new (FALSE, FALSE, sizeof (PwSendInFlight));
  worker->group = g_array_new (FALSE, FALSE, sizeof (PwStep));
  worker->ring = exec->options.trace_iterations > 0 ? pw__trace_ring_new () : NULL;
}

static gboolean
start_workers (PwExec *exec, GError **error) {
  GError *own = NULL;
  exec->workers = g_new0 (PwWorker, (gsize)exec->n_ranks);
  for (int r = 0; r < exec->n_ranks; r++)
    worker_init (&exec->workers[r], exec, r);
  for (int r = exec->first_rank; !own && r < exec->first_rank + exec->n_local; r++)
    pw__worker_start (&exec->workers[r], &own);
  if (!pw__processes_agree (exec, own, error))
    return FALSE;
  PwPinning *pinning = exec->options.no_pinning ? NULL : pw__pinning_new ();
  gboolean good = pw__exec_on_all (exec, set_up_worker, pinning, error);
  pw__pinning_free (pinning);
  return good
         && (!exec->transport->attach
             || pw__exec_on_all_together (exec, attach_worker, NULL, error));
}

/* Lists with an R may come where the plan has none. */
static gboolean *
again_new (const PwResolvedPlan *resolved) {
  gsize n = (gsize)resolved->graph->n_layers;
  if (resolved->again)
    return g_memdup2 (resolved->again, n * sizeof *resolved->again);
  gboolean *again = g_new (gboolean, n);
  for (gsize l = 0; l < n; l++)
    again[l] = TRUE;
  return again;
}

static PwExec *
exec_alloc (const PwResolvedPlan *resolved, const PwPlacement *placement, gboolean is_sequential,
            const PwExecOptions *options) {
  PwExec *exec = g_new0 (PwExec, 1);
  exec->resolved = resolved;
  if (options)
    exec->options = *options;
  exec->backend = exec->options.backend ? exec->options.backend : &pw_backend_cpu;
  exec->transport = exec->options.transport ? exec->options.transport : &pw_transport_threads;
  exec->is_sequential = is_sequential;
  exec->is_training = resolved->mode == PW_MODE_TRAINING;
  exec->is_host_memory = pw__is_host_memory (exec->backend);
  if (!exec->is_host_memory && exec->transport == &pw_transport_threads)
    exec->transport = &pw_transport_copies;
  exec->placement = pw_placement_copy (placement);
  exec->n_ranks = exec->n_local = placement->ranks;
  exec->n_stages = placement->stages;
  exec->again = again_new (resolved);
  exec->n_places = placement->directions * placement->stages;
  exec->programs = g_ptr_array_new ();
  exec->last_program = -1;
  atomic_init (&exec->is_interrupted, 0);
  atomic_init (&exec->is_stopping, 0);
  pthread_mutex_init (&exec->mutex, NULL);
  pthread_mutex_init (&exec->loss_mutex, NULL);
  pw__cond_init (&exec->start);
  pw__cond_init (&exec->finished);
  pw__graphs_init (&exec->graphs);
  /* GLib registers an error domain on first use, which is not for workers to race on. */
  g_error_free (g_error_new_literal (PW_EXEC_ERROR, PW_EXEC_ERROR_DATA, ""));
  g_error_free (g_error_new_literal (PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY, ""));
  return exec;
}

static gboolean
check_devices (const PwExec *exec, GError **error) {
  const PwBootstrap *bootstrap = exec->options.bootstrap;
  const PwBackendRun run = { .ranks = exec->n_local,
                             .first_place = exec->first_place,
                             .processes = bootstrap ? bootstrap->local_size : 1,
                             .share_devices = exec->options.share_devices,
                             .graphs = exec->options.cuda_graphs };
  return !exec->backend->check || exec->backend->check (&run, error);
}

static gboolean
open_transport (PwExec *exec, GError **error) {
  const PwResolvedPlan *resolved = exec->resolved;
  PwTransportSetup setup = { .edges = resolved->edges,
                             .placement = exec->placement,
                             .policy = resolved->lowered->policy,
                             .timeout_s = exec->options.timeout_s,
                             .backend = exec->backend,
                             .bootstrap = pw__processes_bootstrap (exec) };
  exec->transport_state = exec->transport->open (&setup, error);
  return exec->transport_state != NULL;
}

/* Nothing is allocated before the other processes and the machine are known to do. */
static gboolean
check_run (PwExec *exec, GError **error) {
  GError *own = NULL;
  if (!pw__processes_open (exec, error))
    return FALSE;
  if (check_devices (exec, &own))
    pw__graphs_check (exec, &own);
  return pw__processes_agree (exec, own, error);
}

PwExec *
pw__exec_new (const PwResolvedPlan *resolved, const PwPlacement *placement, gboolean is_sequential,
              const PwExecOptions *options, GError **error) {
  g_assert (placement->stages == resolved->partition->stages);
  g_autoptr (PwExec) exec = exec_alloc (resolved, placement, is_sequential, options);
  GError *own = NULL;
  if (!check_run (exec, error))
    return NULL;
  if (open_transport (exec, &own))
    make_stages (exec, &own);
  if (!pw__processes_agree (exec, own, error) || !start_workers (exec, error))
    return NULL;
  return g_steal_pointer (&exec);
}

PwExec *
pw_exec_new (const PwResolvedPlan *resolved, const PwExecOptions *options, GError **error) {
  return pw__exec_new (resolved, resolved->lowered->placement, FALSE, options, error);
}

static void
stop_workers (PwExec *exec) {
  int last = exec->first_rank + exec->n_local - 1;
  if (exec->transport->attach && exec->workers && exec->workers[last].is_started)
    do_here (exec, -1, detach_worker, NULL, FALSE);
  pthread_mutex_lock (&exec->mutex);
  exec->is_closing = TRUE;
  pthread_cond_broadcast (&exec->start);
  pthread_mutex_unlock (&exec->mutex);
  for (int r = 0; exec->workers && r < exec->n_ranks; r++) {
    PwWorker *worker = &exec->workers[r];
    if (worker->is_started)
      pthread_join (worker->thread, NULL);
    if (worker->sends)
      g_array_free (worker->sends, TRUE);
    if (worker->group)
      g_array_free (worker->group, TRUE);
    pw__trace_ring_free (worker->ring);
  }
}

void
pw_exec_free (PwExec *exec) {
  if (!exec)
    return;
  stop_workers (exec);
  for (guint i = 0; i < exec->programs->len; i++)
    pw__program_free (g_ptr_array_index (exec->programs, i));
  g_ptr_array_free (exec->programs, TRUE);
  for (int s = 0; exec->stages && s < exec->n_places; s++)
    pw__stage_clear (&exec->stages[s]);
  if (exec->transport_state)
    exec->transport->close (exec->transport_state);
  pthread_cond_destroy (&exec->start);
  pthread_cond_destroy (&exec->finished);
  pw__graphs_clear (&exec->graphs);
  pthread_mutex_destroy (&exec->mutex);
  pthread_mutex_destroy (&exec->loss_mutex);
  pw_placement_free (exec->placement);
  pw__processes_free (exec->processes);
  g_clear_error (&exec->failure);
  g_free (exec->run.first_sample);
  pw__minibatch_clear (&exec->run.single);
  g_free (exec->stages);
  g_free (exec->again);
  g_free (exec->workers);
  g_free (exec);
}

/* ---- Programs ---- */

/* Twice what the iterations of the trace write: two samples of memory for each action. */
static gsize
records_of (const PwExec *exec, const PwExecProgram *program, int rank) {
  const PwStepList *list = &program->lists[rank];
  gsize K = (gsize)exec->options.trace_iterations;
  gsize once = (gsize)(list->n_prologue + list->n_epilogue), body = (gsize)list->n_body;
  return program->is_stream ? 2 * (once + K * body) : 2 * K * (once + (gsize)list->repeats * body);
}

static gboolean
reserve (PwWorker *worker, gpointer data, GError **error) {
  const PwExecProgram *program = data;
  PwExec *exec = worker->exec;
  for (int s = 0; s < exec->n_places; s++)
    if (exec->stages[s].rank == worker->rank
        && !pw__stage_reserve_losses (worker, &exec->stages[s],
                                      program->n_minibatches * program->per_minibatch, error))
      return FALSE;
  if (worker->ring)
    pw__trace_ring_reserve (worker->ring, records_of (exec, program, worker->rank));
  return TRUE;
}

/* OWNED: LOWERED if it is the executor's from now on; else NULL. */
static int
add_program (PwExec *exec, const PwSchedule *lowered, PwSchedule *owned, int per_minibatch,
             GError **error) {
  PwExecProgram *program = pw__program_new (exec, lowered, per_minibatch, error);
  if (!program) {
    pw_schedule_free (owned);
    return -1;
  }
  program->owned = owned;
  pw__graphs_void (&exec->graphs);
  if (!pw__exec_on_all (exec, reserve, program, error)) {
    pw__program_free (program);
    return -1;
  }
  g_ptr_array_add (exec->programs, program);
  return (int)exec->programs->len - 1;
}

int
pw_exec_add (PwExec *exec, const PwSchedule *lowered, GError **error) {
  if (!exec->is_sequential)
    return add_program (exec, lowered, NULL, 0, error);
  PwSchedule *sequential = pw__sequential_schedule (lowered, exec->resolved->edges, error);
  return sequential ? add_program (exec, sequential, sequential, 0, error) : -1;
}

int
pw_exec_add_endless (PwExec *exec, const PwSchedule *compute, const PwLowerOptions *options,
                     int64_t steps, GError **error) {
  g_assert (pw_schedule_is_endless (compute) && steps >= 1);
  if (exec->is_sequential) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "schedule %s: an endless schedule has no sequential program", compute->name);
    return -1;
  }
  PwSchedule *lowered = pw__lower_endless (compute, exec->resolved->edges, options, steps, error);
  return lowered ? add_program (exec, lowered, lowered, compute->microbatches, error) : -1;
}

/* ---- Runs ---- */

static gboolean
check_batch (const PwExec *exec, const PwExecProgram *program, const PwExecBatch *batch,
             GError **error) {
  const PwGraph *graph = exec->resolved->graph;
  gboolean has_loss = graph->layers[graph->n_layers - 1].info.is_loss;
  const char *what = NULL;
  if (program->has_forward && !batch->inputs)
    what = "inputs";
  else if (has_loss && program->is_training && !batch->targets)
    what = "targets";
  if (!what)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA, "the mini-batch has no %s", what);
  return FALSE;
}

void
pw__exec_set_samples (PwExec *exec, const PwExecProgram *program, const int64_t *samples) {
  PwRun *run = &exec->run;
  int n = program->per_minibatch;
  g_free (run->first_sample);
  run->first_sample = g_new0 (int64_t, (gsize)n + 1);
  for (int m = 0; m < n; m++)
    run->first_sample[m + 1] = run->first_sample[m] + samples[m];
  run->samples = samples;
  run->program = program;
  run->iteration = exec->n_runs;
  run->step = exec->n_steps;
}

static gboolean
prepare_run (PwExec *exec, const PwExecProgram *program, const PwExecBatch *batch, int64_t **cut,
             GError **error) {
  const PwResolvedPlan *resolved = exec->resolved;
  int n = program->n_microbatches;
  const int64_t *samples = batch->samples;
  if (!samples && n == resolved->microbatches)
    samples = resolved->samples;
  if (!samples)
    samples = *cut = pw_plan_cut_batch (resolved->batch, n, error);
  if (!samples)
    return FALSE;
  pw__exec_set_samples (exec, program, samples);
  PwMiniBatch *minibatch = &exec->run.single;
  pw__minibatch_clear (minibatch);
  *minibatch = (PwMiniBatch){ .batch = batch };
  minibatch->losses = g_new0 (double, (gsize)n);
  pw__minibatch_init (minibatch, program);
  pw__minibatch_scale (minibatch, exec);
  return TRUE;
}

/* One double per micro-batch, in their order whatever order they came in. A micro-batch has gone
 * through one of two replicas of the last stage. */
static void
collect_losses (const PwExec *exec, const PwExecProgram *program) {
  double *losses = exec->run.single.losses;
  for (int s = 0; s < exec->n_places; s++) {
    const PwExecStage *stage = &exec->stages[s];
    for (int m = 0; pw__exec_has_rank (exec, stage->rank) && m < program->n_microbatches; m++) {
      const PwMicrobatch *microbatch = g_ptr_array_index (stage->microbatches, m);
      losses[m] += stage->host_losses ? stage->host_losses[m] : 0;
      losses[m] += stage->caller_gradient >= 0 ? microbatch->user_loss : 0;
    }
  }
}

static double
iteration_time (const PwExec *exec) {
  double start = 0;
  double end = 0;
  for (int r = 0; r < exec->n_ranks; r++) {
    const PwWorker *worker = &exec->workers[r];
    if (worker->first_start > 0 && (start == 0 || worker->first_start < start))
      start = worker->first_start;
    end = MAX (end, worker->last_end);
  }
  return end - start;
}

gboolean
pw__exec_is_ready (PwExec *exec, GError **error) {
  if (exec->failure) {
    g_propagate_error (error, g_error_copy (exec->failure));
    g_prefix_error (error, "an earlier run failed: ");
    return FALSE;
  }
  /* Several processes find out together, in the run. */
  if (exec->processes || !pw__exec_is_interrupted (exec))
    return TRUE;
  g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED, "interrupted");
  return FALSE;
}

gboolean
pw__exec_run_task (PwExec *exec) {
  GError *own = do_here (exec, -1, pw__worker_run, NULL, TRUE);
  if (!exec->run.stream)
    collect_losses (exec, exec->run.program);
  if (pw__processes_agree_run (exec, own, &exec->failure))
    return TRUE;
  pw__exec_stop_task (exec, exec->failure->message);
  return FALSE;
}

gboolean
pw_exec_run (PwExec *exec, int program_number, const PwExecBatch *batch, PwExecStep *step,
             GError **error) {
  g_assert (program_number >= 0 && program_number < (int)exec->programs->len);
  const PwExecProgram *program = g_ptr_array_index (exec->programs, program_number);
  g_autofree int64_t *cut = NULL;
  g_assert (!program->is_stream);
  if (!pw__exec_is_ready (exec, error) || !check_batch (exec, program, batch, error)
      || !prepare_run (exec, program, batch, &cut, error))
    return FALSE;
  exec->n_runs++;
  exec->n_steps += program->has_backward;
  exec->last_program = program_number;
  exec->run.way = pw__graphs_prepare (exec, batch);
  gboolean good = pw__exec_run_task (exec);
  if (step) {
    step->is_graph = exec->run.way == PW_RUN_LAUNCH;
    step->loss = pw__minibatch_loss (&exec->run.single, program, exec->run.single.losses);
    step->iteration_s = iteration_time (exec);
  }
  if (!good)
    g_propagate_error (error, g_error_copy (exec->failure));
  return good && pw__processes_share_outputs (exec, batch, error);
}
