/* Element by element: relu and gelu. Their gradients read the input. */
#include "exec/layers/rows_private.h"

static gboolean
relu_forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->relu_forward (call->context, &call->inputs[0], &call->output, error);
}

static gboolean
relu_input_gradient (PwLayerCall *call, GError **error) {
  if (!call->input_gradients[0].data)
    return TRUE;
  return pw_layer_ops (call)->relu_input_gradient (
      call->context, &call->inputs[0], &call->output_gradient, &call->input_gradients[0], error);
}

static gboolean
gelu_forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->gelu_forward (call->context, &call->inputs[0], &call->output, error);
}

static gboolean
gelu_input_gradient (PwLayerCall *call, GError **error) {
  if (!call->input_gradients[0].data)
    return TRUE;
  return pw_layer_ops (call)->gelu_input_gradient (
      call->context, &call->inputs[0], &call->output_gradient, &call->input_gradients[0], error);
}

const PwLayerRunner pw__layer_relu = {
  .name = "relu",
  .forward = relu_forward,
  .input_gradient = relu_input_gradient,
};

const PwLayerRunner pw__layer_gelu = {
  .name = "gelu",
  .forward = gelu_forward,
  .input_gradient = gelu_input_gradient,
};
