/* What an action of a stage does, written down once: allocate, run, free, in the order the lifetime
 * table (models/lifetime.h) says. The same script serves every micro-batch. */
#include "exec/exec_private.h"

static void
emit (GArray *script, PwCode code, PwPhase phase, int index) {
  PwInstruction instruction = { .code = code, .phase = phase, .index = index };
  g_array_append_val (script, instruction);
}

static gboolean
is_at (PwMoment moment, PwPhase phase, int layer) {
  return moment.phase == phase && moment.layer == layer;
}

static void
emit_frees (GArray *script, const PwWalk *walk, PwPhase phase, int layer, gboolean is_split) {
  const PwLifetimes *lifetimes = walk->lifetimes;
  for (int b = 0; b < lifetimes->n_buffers; b++) {
    const PwBuffer *buffer = &lifetimes->buffers[b];
    PwMoment dies = is_split ? buffer->dies_split : buffer->dies_fused;
    if (is_at (dies, phase, layer))
      emit (script, PW_CODE_FREE, phase, b);
  }
}

/* What is seen of the first one is not yet there when its own place is over. */
static gboolean
runs_with_next (const PwExecStage *stage, const PwExec *exec, int i) {
  const PwGraph *graph = exec->resolved->graph;
  int layer = stage->first_layer + i;
  return i >= 0 && i + 1 < stage->n_layers && layer != pw__result_layer (graph)
         && pw_graph_runs_with_next (graph, exec->again, layer);
}

static void
emit_allocs (GArray *script, const PwLayerBinding *binding) {
  if (binding->output >= 0)
    emit (script, PW_CODE_ALLOC, PW_PHASE_FORWARD, binding->output);
  for (int s = 0; s < PW_LAYER_STASHES_MAX; s++)
    if (binding->stashes[s] >= 0)
      emit (script, PW_CODE_ALLOC, PW_PHASE_FORWARD, binding->stashes[s]);
}

static gboolean
is_again (const PwExecStage *stage, const PwExec *exec, int i) {
  return exec->again[stage->first_layer + i];
}

/* A loss has nothing to do in inference, and one that R runs nothing in F. */
static gboolean
runs_forward (const PwWalk *walk, const PwExecStage *stage, const PwExec *exec, int i) {
  if (!exec->resolved->graph->layers[stage->first_layer + i].info.is_loss)
    return TRUE;
  PwLifetimesKind kind = walk->lifetimes->kind;
  return kind == PW_LIFETIMES_TRAINING
         || (kind == PW_LIFETIMES_FIRST && !is_again (stage, exec, i));
}

static void
emit_forward (GArray *script, const PwExecStage *stage, const PwExec *exec, int i) {
  if (runs_with_next (stage, exec, i - 1))
    emit (script, PW_CODE_RUN_TWO, PW_PHASE_FORWARD, i - 1);
  else if (!runs_with_next (stage, exec, i))
    emit (script, PW_CODE_RUN, PW_PHASE_FORWARD, i);
}

static void
write_forward (PwWalk *walk, const PwExecStage *stage, const PwExec *exec) {
  GArray *script = walk->scripts[PW_SCRIPT_FORWARD];
  for (int i = 0; i < stage->n_layers; i++) {
    int layer = stage->first_layer + i;
    const PwLayerBinding *binding = &walk->bindings[i];
    emit_allocs (script, binding);
    if (runs_forward (walk, stage, exec, i))
      emit_forward (script, stage, exec, i);
    if (layer == pw__result_layer (exec->resolved->graph))
      emit (script, PW_CODE_RESULT, PW_PHASE_FORWARD, binding->output);
    emit_frees (script, walk, PW_PHASE_FORWARD, layer, FALSE);
  }
}

static void
write_again (PwWalk *walk, const PwExecStage *stage, const PwExec *exec) {
  GArray *script = walk->scripts[PW_SCRIPT_AGAIN];
  for (int i = 0; i < stage->n_layers; i++) {
    if (!is_again (stage, exec, i))
      continue;
    emit_allocs (script, &walk->bindings[i]);
    emit_forward (script, stage, exec, i);
    for (int b = 0; b < walk->lifetimes->n_buffers; b++)
      if (walk->lifetimes->buffers[b].dies_again == stage->first_layer + i)
        emit (script, PW_CODE_FREE, PW_PHASE_FORWARD, b);
  }
}

static gboolean
has_gradient_step (const PwLayer *layer, const PwLayerBinding *binding) {
  return layer->info.is_loss || binding->output_gradient >= 0;
}

/* A gelu whose gradient is all of what the linear layer before it gets, bias and all. */
static gboolean
sums_bias_before (const PwWalk *walk, const PwExecStage *stage, const PwExec *exec, int i) {
  if (!runs_with_next (stage, exec, i - 1))
    return FALSE;
  const PwLayer *linear = &exec->resolved->graph->layers[stage->first_layer + i - 1];
  int gradient = walk->bindings[i].input_gradients[0];
  return linear->info.n_parameters > 1 && gradient >= 0
         && walk->lifetimes->buffers[gradient].n_gradient_parts == 1;
}

static void
write_input (PwWalk *walk, const PwExecStage *stage, const PwExec *exec, int i, gboolean is_split,
             GArray *script) {
  const PwLayer *layer = &exec->resolved->graph->layers[stage->first_layer + i];
  const PwLayerBinding *binding = &walk->bindings[i];
  if (has_gradient_step (layer, binding)) {
    for (int k = 0; k < layer->n_inputs; k++)
      if (binding->input_gradients[k] >= 0 && binding->is_first[k])
        emit (script, PW_CODE_ALLOC, PW_PHASE_INPUT, binding->input_gradients[k]);
    if (i > 0 && walk->bindings[i - 1].bias_is_done)
      emit (script, PW_CODE_RUN_TWO, PW_PHASE_INPUT, i - 1);
    else if (stage->runners[i]->input_gradient)
      emit (script, PW_CODE_RUN, PW_PHASE_INPUT, i);
  }
  emit_frees (script, walk, PW_PHASE_INPUT, stage->first_layer + i, is_split);
}

static void
write_weight (PwWalk *walk, const PwExecStage *stage, const PwLayer *layer, int i,
              gboolean is_split, GArray *script) {
  if (has_gradient_step (layer, &walk->bindings[i]) && stage->runners[i]->weight_gradient)
    emit (script, PW_CODE_RUN, PW_PHASE_WEIGHT, i);
  emit_frees (script, walk, PW_PHASE_WEIGHT, stage->first_layer + i, is_split);
}

static void
write_backwards (PwWalk *walk, const PwExecStage *stage, const PwExec *exec) {
  for (int i = stage->n_layers - 1; i >= 0; i--) {
    const PwLayer *layer = &exec->resolved->graph->layers[stage->first_layer + i];
    if (i > 0)
      walk->bindings[i - 1].bias_is_done = sums_bias_before (walk, stage, exec, i);
    write_input (walk, stage, exec, i, FALSE, walk->scripts[PW_SCRIPT_BACKWARD]);
    write_weight (walk, stage, layer, i, FALSE, walk->scripts[PW_SCRIPT_BACKWARD]);
    write_input (walk, stage, exec, i, TRUE, walk->scripts[PW_SCRIPT_INPUT]);
    write_weight (walk, stage, layer, i, TRUE, walk->scripts[PW_SCRIPT_WEIGHT]);
  }
}

static void
bind_forward (PwWalk *walk, const PwExecStage *stage, const PwExec *exec) {
  for (int i = 0; i < stage->n_layers; i++) {
    int layer = stage->first_layer + i;
    const PwLayer *l = &exec->resolved->graph->layers[layer];
    PwLayerBinding *binding = &walk->bindings[i];
    for (int k = 0; k < PW_LAYER_INPUTS_MAX; k++) {
      binding->inputs[k]
          = k < l->n_inputs ? pw_lifetimes_find (walk->lifetimes, PW_BUFFER_OUTPUT, l->inputs[k], 0)
                            : -1;
      binding->input_gradients[k] = -1;
    }
    binding->output = pw_lifetimes_find (walk->lifetimes, PW_BUFFER_OUTPUT, layer, 0);
    for (int s = 0; s < PW_LAYER_STASHES_MAX; s++)
      binding->stashes[s] = pw_lifetimes_find (walk->lifetimes, PW_BUFFER_STASH, layer, s);
    binding->output_gradient = pw_lifetimes_find (walk->lifetimes, PW_BUFFER_GRADIENT, layer, 0);
  }
}

/* Contributions come in the order of the backward walk: a received gradient before all, then the
 * readers in this stage, last layer first. */
static void
bind_gradients (PwWalk *walk, const PwExecStage *stage, const PwExec *exec) {
  const PwGraph *graph = exec->resolved->graph;
  g_autofree gboolean *has_part = g_new0 (gboolean, (gsize)walk->lifetimes->n_buffers + 1);
  for (int b = 0; b < walk->lifetimes->n_buffers; b++)
    has_part[b] = walk->lifetimes->buffers[b].is_received;
  for (int i = stage->n_layers - 1; i >= 0; i--) {
    const PwLayer *layer = &graph->layers[stage->first_layer + i];
    PwLayerBinding *binding = &walk->bindings[i];
    if (!has_gradient_step (layer, binding) || !layer->info.has_input_gradient)
      continue;
    for (int k = 0; k < layer->n_inputs; k++) {
      int input = layer->inputs[k];
      if (input == PW_GRAPH_INPUT || !graph->layers[input].needs_gradient)
        continue;
      int b = pw_lifetimes_find (walk->lifetimes, PW_BUFFER_GRADIENT, input, 0);
      binding->input_gradients[k] = b;
      if (b >= 0) {
        binding->is_first[k] = !has_part[b];
        has_part[b] = TRUE;
      }
    }
  }
}

int
pw__result_layer (const PwGraph *graph) {
  int last = graph->n_layers - 1;
  return graph->layers[last].info.is_loss ? graph->layers[last].inputs[0] : last;
}

void
pw__walk_init (PwWalk *walk, const PwExecStage *stage, const PwExec *exec, PwLifetimesKind kind) {
  const PwResolvedPlan *resolved = exec->resolved;
  walk->lifetimes
      = pw_lifetimes_new_again (resolved->graph, resolved->partition->bounds,
                                resolved->partition->stages, stage->number, kind, exec->again);
  walk->n_edges = g_new0 (int, (gsize)walk->lifetimes->n_buffers + 1);
  walk->sample = pw_lifetimes_find (walk->lifetimes, PW_BUFFER_OUTPUT, PW_GRAPH_INPUT, 0);
  walk->bindings = g_new0 (PwLayerBinding, (gsize)stage->n_layers);
  for (int s = 0; s < PW_SCRIPT_N; s++)
    walk->scripts[s] = g_array_new (FALSE, FALSE, sizeof (PwInstruction));
  bind_forward (walk, stage, exec);
  write_forward (walk, stage, exec);
  if (kind != PW_LIFETIMES_TRAINING)
    return;
  bind_gradients (walk, stage, exec);
  write_backwards (walk, stage, exec);
  write_again (walk, stage, exec);
}

void
pw__walk_clear (PwWalk *walk) {
  pw_lifetimes_free (walk->lifetimes);
  g_free (walk->n_edges);
  g_free (walk->bindings);
  for (int s = 0; s < PW_SCRIPT_N; s++)
    if (walk->scripts[s])
      g_array_free (walk->scripts[s], TRUE);
}
