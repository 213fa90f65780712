/* A layer's call with everything filled in but the pointers of a micro-batch: shapes depend on the
 * number of samples alone, and a mini-batch has one or two sizes. */
#include "exec/exec_private.h"

PwTensor
pw__tensor (const PwShape *shape, int64_t samples, void *data) {
  PwTensor tensor = { .data = data, .element = pw_layer_element (shape->dtype) };
  if (samples > 0)
    tensor.dims[tensor.n_dims++] = samples;
  for (int d = 0; d < shape->n_dims; d++)
    tensor.dims[tensor.n_dims++] = shape->dims[d];
  return tensor;
}

static void
fill_call (PwLayerCall *call, PwWorker *worker, const PwExecStage *stage, int i, int64_t samples) {
  const PwGraph *graph = worker->exec->resolved->graph;
  const PwLayer *layer = &graph->layers[stage->first_layer + i];
  call->context = &worker->context;
  call->layer = layer;
  call->samples = samples;
  for (int k = 0; k < layer->n_inputs; k++) {
    int input = layer->inputs[k];
    const PwShape *shape
        = input == PW_GRAPH_INPUT ? &graph->input : &graph->layers[input].info.output;
    call->inputs[k] = pw__tensor (shape, samples, NULL);
    call->input_gradients[k] = pw__tensor (shape, samples, NULL);
  }
  call->output = pw__tensor (&layer->info.output, samples, NULL);
  call->output_gradient = pw__tensor (&layer->info.output, samples, NULL);
  for (int s = 0; s < layer->info.n_stashes; s++)
    call->stashes[s] = pw__tensor (&layer->info.stashes[s].shape, samples, NULL);
  for (int p = 0; p < layer->info.n_parameters; p++) {
    call->parameters[p] = stage->parameters[i][p].value;
    call->parameter_gradients[p] = stage->parameters[i][p].gradient;
  }
  if (layer->info.is_loss)
    call->targets = pw__tensor (&graph->target, samples, NULL);
}

static gboolean
reserve_workspace (PwWorker *worker, const PwExecStage *stage, int64_t samples, GError **error) {
  const PwGraph *graph = worker->exec->resolved->graph;
  gsize need = 0;
  for (int i = 0; i < stage->n_layers; i++)
    need = MAX (need, pw_layer_runner_workspace (stage->runners[i],
                                                 &graph->layers[stage->first_layer + i],
                                                 &worker->context, samples));
  if (need <= worker->workspace.bytes)
    return TRUE;
  if (worker->workspace.data)
    pw__memory_give (worker->memory, PW_MEMORY_WORKSPACE, worker->workspace.data,
                     (int64_t)worker->workspace.bytes);
  worker->workspace.bytes = 0;
  worker->workspace.data = pw__buffer_take (worker, PW_MEMORY_WORKSPACE, (int64_t)need, error);
  if (!worker->workspace.data)
    return FALSE;
  worker->workspace.bytes = need;
  return TRUE;
}

PwLayerCall *
pw__stage_calls (PwWorker *worker, PwExecStage *stage, int64_t samples, GError **error) {
  for (guint i = 0; i < stage->sized_calls->len; i++) {
    const PwSizedCalls *sized = &g_array_index (stage->sized_calls, PwSizedCalls, i);
    if (sized->samples == samples)
      return sized->calls;
  }
  if (!reserve_workspace (worker, stage, samples, error))
    return NULL;
  PwSizedCalls sized
      = { .samples = samples, .calls = g_new0 (PwLayerCall, (gsize)stage->n_layers) };
  for (int i = 0; i < stage->n_layers; i++)
    fill_call (&sized.calls[i], worker, stage, i, samples);
  g_array_append_val (stage->sized_calls, sized);
  return sized.calls;
}
