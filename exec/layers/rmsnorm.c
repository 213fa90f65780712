/* Normalisation by the mean square over the last dimension. The gain has its gradient from I; the
 * stash is 1/root of the mean square. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->rmsnorm_forward (
      call->context, &call->inputs[0], &call->parameters[0], call->layer->attributes.epsilon,
      &call->output, &call->stashes[0], error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  PwTensor *dx = call->input_gradients[0].data ? &call->input_gradients[0] : NULL;
  return pw_layer_ops (call)->rmsnorm_input_gradient (
      call->context, &call->inputs[0], &call->parameters[0], &call->stashes[0],
      &call->output_gradient, dx, &call->parameter_gradients[0], call->workspace, error);
}

static gsize
workspace (const PwLayer *layer, PwOpContext *context, int64_t samples) {
  int64_t features = layer->attributes.features;
  int64_t rows = samples * pw_shape_elements (&layer->info.output) / features;
  return context->backend->workspace.layernorm (context, rows, features);
}

const PwLayerRunner pw__layer_rmsnorm = {
  .name = "rmsnorm",
  .forward = forward,
  .input_gradient = input_gradient,
  .workspace = workspace,
};
