/* Normalisation over the last dimension. Gain and bias have their gradients from I; mean and
 * 1/deviation are the stashes, in this order. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->layernorm_forward (
      call->context, &call->inputs[0], &call->parameters[0], &call->parameters[1],
      call->layer->attributes.epsilon, &call->output, &call->stashes[0], &call->stashes[1], error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  PwTensor *dx = call->input_gradients[0].data ? &call->input_gradients[0] : NULL;
  return pw_layer_ops (call)->layernorm_input_gradient (
      call->context, &call->inputs[0], &call->parameters[0], &call->stashes[0], &call->stashes[1],
      &call->output_gradient, dx, &call->parameter_gradients[0], &call->parameter_gradients[1],
      call->workspace, error);
}

static gsize
workspace (const PwLayer *layer, PwOpContext *context, int64_t samples) {
  int64_t features = layer->attributes.features;
  int64_t rows = samples * pw_shape_elements (&layer->info.output) / features;
  return context->backend->workspace.layernorm (context, rows, features);
}

const PwLayerRunner pw__layer_layernorm = {
  .name = "layernorm",
  .forward = forward,
  .input_gradient = input_gradient,
  .workspace = workspace,
};
