/* CUDA graphs: a step that has been run twice is captured, on every rank, and launched from then
 * on.
 *
 *   run        1      2      3                     4       5
 *   caller     plain  plain  capture               replay  replay      as long as runs are the same
 *   rank 0                   enqueues ─┐ launches  launches ...
 *   rank 1                   enqueues ─┤ launches  launches ...
 *                                      all have a graph, or all run the step plainly
 *
 * Two plain steps let the pool have all it needs, and libraries choose and connect what they need.
 * The two ends of an NCCL message have to be both in graphs or both not, hence the same way on all
 * ranks.
 *
 * A graph writes where the captured step did. Between two launches others may have that memory, but
 * not keep it: who keeps some (a further program) or gives some back to the device has the graphs
 * dropped. */
#include "exec/exec_private.h"
#include "exec/processes_private.h"

#define PLAIN_RUNS 2

gboolean
pw__graphs_check (const PwExec *exec, GError **error) {
  if (!exec->options.cuda_graphs)
    return TRUE;
  g_autofree char *why = NULL;
  if (!exec->backend->graph_begin)
    why = g_strdup_printf ("the %s backend has none; --backend cuda has", exec->backend->name);
  else if (pw_schedule_is_endless (exec->resolved->compute))
    why = g_strdup_printf ("the endless schedule %s has no step that ends; choose another or leave "
                           "out --cuda-graphs",
                           exec->resolved->compute->name);
  else if (exec->n_ranks > 1 && !g_str_equal (exec->transport->name, "nccl"))
    why = g_strdup_printf ("%d ranks need --transport nccl for them, since copies between ranks "
                           "cannot be captured",
                           exec->n_ranks);
  if (!why)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "CUDA graphs: %s", why);
  return FALSE;
}

/* ---- Which way a run goes: on the caller's thread ---- */

void
pw__graphs_init (PwGraphs *graphs) {
  atomic_init (&graphs->is_void, 1);
}

static void
forget_step (PwGraphs *graphs) {
  g_clear_pointer (&graphs->reason, g_free);
  g_clear_pointer (&graphs->samples, g_free);
  g_clear_pointer (&graphs->loss_scales, g_free);
  graphs->program = NULL;
  graphs->n_plain = 0;
  graphs->are_made = FALSE;
}

void
pw__graphs_clear (PwGraphs *graphs) {
  forget_step (graphs);
}

void
pw__graphs_void (PwGraphs *graphs) {
  atomic_store (&graphs->is_void, 1);
}

/* At most one update of each stage: its numbers have one place. */
static gboolean
updates_once (const PwExec *exec, const PwExecProgram *program) {
  g_autofree int *updates = g_new0 (int, (gsize)exec->n_places);
  for (int r = 0; r < program->n_ranks; r++) {
    const PwStepList *list = &program->lists[r];
    for (int64_t i = 0; i < list->n_prologue + list->n_body + list->n_epilogue; i++)
      if (list->steps[i].action.kind == PW_ACTION_UPDATE
          && ++updates[list->steps[i].stage - exec->stages] > 1)
        return FALSE;
  }
  return TRUE;
}

/* A loss function computes on the host, and a timer reads times of layers. */
static gboolean
may_capture (const PwExec *exec, const PwExecBatch *batch) {
  const PwExecProgram *program = exec->run.program;
  for (int r = 0; r < exec->n_ranks; r++)
    if (exec->workers[r].timer)
      return FALSE;
  return !batch->loss_func && program->is_synchronous && program->has_forward
         && (program->has_backward || !program->is_training) && updates_once (exec, program);
}

static gboolean
is_same_step (const PwExec *exec, const PwExecBatch *batch) {
  const PwGraphs *graphs = &exec->graphs;
  const PwExecProgram *program = exec->run.program;
  return graphs->program == program && graphs->inputs == batch->inputs
         && graphs->targets == batch->targets && graphs->outputs == batch->outputs
         && graphs->output_gradients == batch->output_gradients
         && memcmp (graphs->samples, exec->run.samples,
                    (gsize)program->per_minibatch * sizeof (int64_t))
                == 0
         && memcmp (graphs->loss_scales, exec->run.single.loss_scales,
                    (gsize)program->n_groups * sizeof (double))
                == 0;
}

static void
remember_step (PwExec *exec, const PwExecBatch *batch) {
  PwGraphs *graphs = &exec->graphs;
  const PwExecProgram *program = exec->run.program;
  graphs->program = program;
  graphs->inputs = batch->inputs;
  graphs->targets = batch->targets;
  graphs->outputs = batch->outputs;
  graphs->output_gradients = batch->output_gradients;
  graphs->samples = g_memdup2 (exec->run.samples, (gsize)program->per_minibatch * sizeof (int64_t));
  graphs->loss_scales
      = g_memdup2 (exec->run.single.loss_scales, (gsize)program->n_groups * sizeof (double));
}

static PwRunWay
choose (PwExec *exec, const PwExecBatch *batch) {
  PwGraphs *graphs = &exec->graphs;
  gboolean is_void = atomic_exchange (&graphs->is_void, 0);
  if (is_void || !graphs->program || !is_same_step (exec, batch)) {
    forget_step (graphs);
    if (!may_capture (exec, batch))
      return PW_RUN_PLAIN;
    remember_step (exec, batch);
  }
  if (graphs->are_made)
    return PW_RUN_LAUNCH;
  return graphs->n_plain++ < PLAIN_RUNS ? PW_RUN_PLAIN : PW_RUN_CAPTURE;
}

static PwRunWay
make (PwExec *exec) {
  PwGraphs *graphs = &exec->graphs;
  g_autoptr (GError) reason = NULL;
  g_clear_pointer (&graphs->reason, g_free);
  graphs->are_made = pw__exec_on_all (exec, pw__graph_capture, NULL, &reason);
  if (graphs->are_made)
    return PW_RUN_LAUNCH;
  graphs->reason = g_strdup (reason->message);
  graphs->n_plain = 0;
  return PW_RUN_PLAIN;
}

PwRunWay
pw__graphs_prepare (PwExec *exec, const PwExecBatch *batch) {
  if (!exec->options.cuda_graphs)
    return PW_RUN_PLAIN;
  PwRunWay mine = choose (exec, batch);
  PwRunWay way = pw__processes_least (exec, mine);
  if (way != mine)
    pw__graphs_void (&exec->graphs); /* something has changed in another process */
  return way == PW_RUN_CAPTURE ? make (exec) : way;
}

const char *
pw_exec_graphs_reason (const PwExec *exec) {
  return exec->graphs.reason;
}

/* ---- On a rank's own thread ---- */

static PwExecStage *
next_own_stage (const PwWorker *worker, PwExecStage *stage) {
  PwExec *exec = worker->exec;
  stage = stage ? stage + 1 : exec->stages;
  while (stage < exec->stages + exec->n_places && stage->rank != worker->rank)
    stage++;
  return stage < exec->stages + exec->n_places ? stage : NULL;
}

static void
forget_receives (PwExecStage *stage, PwMicrobatch *microbatch) {
  for (int w = 0; w < PW_WALK_N; w++)
    for (int b = 0; b < stage->walks[w].lifetimes->n_buffers; b++)
      microbatch->slots[w][b].receive.request = NULL;
  for (int i = 0; i < stage->n_out; i++)
    microbatch->parts[i].receive.request = NULL;
  microbatch->n_sends = 0;
}

/* Nothing of what was enqueued will be done: all is as before. */
static void
undo (PwWorker *worker) {
  PwExec *exec = worker->exec;
  if (exec->transport->abandon)
    exec->transport->abandon (exec->transport_state, worker->rank);
  worker->in_group = FALSE;
  g_array_set_size (worker->group, 0);
  g_array_set_size (worker->sends, 0);
  pw__marks_abandon (worker->marks);
  for (int place = exec->n_places - 1; place >= 0; place--) {
    PwExecStage *stage = &exec->stages[place];
    if (stage->rank != worker->rank)
      continue;
    stage->n_updates = stage->updates_before;
    for (guint m = 0; m < stage->microbatches->len; m++) {
      PwMicrobatch *microbatch = g_ptr_array_index (stage->microbatches, m);
      forget_receives (stage, microbatch);
      pw__microbatch_reset (worker, stage, microbatch);
    }
  }
}

void
pw__graph_drop (PwWorker *worker) {
  if (worker->graph_is_new)
    undo (worker);
  worker->graph_is_new = FALSE;
  if (!worker->graph)
    return;
  worker->exec->backend->graph_free (g_steal_pointer (&worker->graph));
  pw__marks_drop_kept (worker->marks);
  pw__memory_keep (worker->memory, FALSE);
}

static gboolean
capture (PwWorker *worker, GError **error) {
  const PwBackend *backend = worker->exec->backend;
  if (!backend->graph_begin (worker->context.stream, error))
    return FALSE;
  worker->is_capturing = TRUE;
  pw__memory_keep (worker->memory, TRUE);
  gboolean good = pw__worker_enqueue (worker, error);
  worker->graph = backend->graph_end (worker->context.stream, good ? error : NULL);
  worker->is_capturing = FALSE;
  if (good && worker->graph)
    return TRUE;
  pw__memory_keep (worker->memory, FALSE);
  return FALSE;
}

/* Nothing here waits for a device or another rank. */
gboolean
pw__graph_capture (PwWorker *worker, gpointer data, GError **error) {
  (void)data;
  PwExec *exec = worker->exec;
  pw__graph_drop (worker);
  for (PwExecStage *s = next_own_stage (worker, NULL); s; s = next_own_stage (worker, s))
    s->updates_before = s->n_updates;
  exec->transport->progress (exec->transport_state, worker->rank);
  worker->graph_is_new = TRUE;
  if (!capture (worker, error)) {
    pw__graph_drop (worker);
    return FALSE;
  }
  pw__marks_keep (worker->marks);
  worker->graph_actions = worker->figures.actions;
  for (PwExecStage *s = next_own_stage (worker, NULL); s; s = next_own_stage (worker, s))
    s->graph_updates = s->n_updates - s->updates_before;
  return TRUE;
}

/* What the capture left for its first launch, later ones have to bring about. */
static void
advance (PwWorker *worker) {
  worker->context.step = worker->exec->run.step;
  for (PwExecStage *s = next_own_stage (worker, NULL); s; s = next_own_stage (worker, s)) {
    s->n_updates += s->graph_updates;
    s->optimizer_step.step = s->n_updates;
  }
}

gboolean
pw__graph_launch (PwWorker *worker, GError **error) {
  if (!worker->graph_is_new)
    advance (worker);
  worker->graph_is_new = FALSE;
  worker->figures.actions = worker->graph_actions;
  return worker->exec->backend->graph_launch (worker->graph, worker->context.stream, error)
         && pw__marks_launch (worker, error);
}
