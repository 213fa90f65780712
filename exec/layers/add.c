/* y = a + b: residual connections. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->add (call->context, &call->inputs[0], &call->inputs[1], &call->output,
                                   error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  return pw__layer_hand_on (call, 0, error) && pw__layer_hand_on (call, 1, error);
}

const PwLayerRunner pw__layer_add = {
  .name = "add",
  .forward = forward,
  .input_gradient = input_gradient,
};
