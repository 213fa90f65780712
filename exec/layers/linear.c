/* y = x w^T + bias. The bias gradient belongs to I, the weight's to W. */
#include "exec/layers/rows_private.h"

static gboolean
has_bias (const PwLayerCall *call) {
  return call->layer->info.n_parameters > 1;
}

static gboolean
forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->linear_forward (call->context, &call->inputs[0], &call->parameters[0],
                                              has_bias (call) ? &call->parameters[1] : NULL,
                                              &call->output, call->workspace, error);
}

gboolean
pw_layer_linear_gelu_forward (PwLayerCall *call, PwLayerCall *gelu, GError **error) {
  return pw_layer_ops (call)->linear_gelu_forward (
      call->context, &call->inputs[0], &call->parameters[0],
      has_bias (call) ? &call->parameters[1] : NULL, &call->output, &gelu->output, call->workspace,
      error);
}

gboolean
pw_layer_gelu_bias_gradient (PwLayerCall *call, PwLayerCall *gelu, GError **error) {
  return pw_layer_ops (call)->gelu_bias_input_gradient (
      call->context, &gelu->inputs[0], &gelu->output_gradient, &gelu->input_gradients[0],
      &call->parameter_gradients[1], call->workspace, error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  PwTensor *dx = call->input_gradients[0].data ? &call->input_gradients[0] : NULL;
  PwTensor *dbias = has_bias (call) && !call->bias_is_done ? &call->parameter_gradients[1] : NULL;
  if (!dx && !dbias)
    return TRUE;
  return pw_layer_ops (call)->linear_input_gradient (call->context, &call->output_gradient,
                                                     &call->parameters[0], dx, dbias,
                                                     call->workspace, error);
}

static gboolean
weight_gradient (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->linear_weight_gradient (
      call->context, &call->inputs[0], &call->output_gradient, &call->parameter_gradients[0],
      call->workspace, error);
}

static gsize
workspace (const PwLayer *layer, PwOpContext *context, int64_t samples) {
  const PwLayerAttributes *a = &layer->attributes;
  int64_t rows = samples * pw_shape_elements (&layer->info.output) / a->out;
  return context->backend->workspace.linear (context, rows, a->in, a->out);
}

const PwLayerRunner pw__layer_linear = {
  .name = "linear",
  .forward = forward,
  .input_gradient = input_gradient,
  .weight_gradient = weight_gradient,
  .workspace = workspace,
};
