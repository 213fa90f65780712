/* A learned vector per position, added. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->position_forward (call->context, &call->inputs[0],
                                                &call->parameters[0], &call->output, error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  return pw__layer_hand_on (call, 0, error);
}

static gboolean
weight_gradient (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->position_weight_gradient (call->context, &call->output_gradient,
                                                        &call->parameter_gradients[0], error);
}

const PwLayerRunner pw__layer_positional_embedding = {
  .name = "positional_embedding",
  .forward = forward,
  .input_gradient = input_gradient,
  .weight_gradient = weight_gradient,
};
