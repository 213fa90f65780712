/* Losses: the forward adds to the micro-batch's loss, the input gradient starts the backward. */
#include "exec/layers/rows_private.h"

static gboolean
cross_entropy_forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->cross_entropy_forward (call->context, &call->inputs[0],
                                                     &call->targets, call->loss_scale,
                                                     &call->stashes[0], call->loss, error);
}

static gboolean
cross_entropy_input_gradient (PwLayerCall *call, GError **error) {
  if (!call->input_gradients[0].data)
    return TRUE;
  return pw_layer_ops (call)->cross_entropy_input_gradient (
      call->context, &call->inputs[0], &call->stashes[0], &call->targets, call->loss_scale,
      &call->input_gradients[0], error);
}

static gboolean
mse_forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->mse_forward (call->context, &call->inputs[0], &call->targets,
                                           call->loss_scale, call->loss, call->workspace, error);
}

static gsize
mse_workspace (const PwLayer *layer, PwOpContext *context, int64_t samples) {
  int64_t elements = samples * pw_shape_elements (&layer->info.target);
  return context->backend->workspace.sum (context, elements);
}

static gboolean
mse_input_gradient (PwLayerCall *call, GError **error) {
  if (!call->input_gradients[0].data)
    return TRUE;
  return pw_layer_ops (call)->mse_input_gradient (call->context, &call->inputs[0], &call->targets,
                                                  call->loss_scale, &call->input_gradients[0],
                                                  error);
}

const PwLayerRunner pw__layer_cross_entropy = {
  .name = "cross_entropy",
  .forward = cross_entropy_forward,
  .input_gradient = cross_entropy_input_gradient,
};

const PwLayerRunner pw__layer_mse = {
  .name = "mse",
  .forward = mse_forward,
  .input_gradient = mse_input_gradient,
  .workspace = mse_workspace,
};
