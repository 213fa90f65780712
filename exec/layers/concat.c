/* Two inputs, one behind the other along the first dimension of a sample. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->concat_forward (call->context, &call->inputs[0], &call->inputs[1],
                                              &call->output, error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  PwTensor *gradients[2] = { NULL, NULL };
  for (int i = 0; i < 2; i++)
    if (call->input_gradients[i].data)
      gradients[i] = &call->input_gradients[i];
  if (!gradients[0] && !gradients[1])
    return TRUE;
  return pw_layer_ops (call)->concat_input_gradient (call->context, &call->output_gradient,
                                                     gradients[0], gradients[1], error);
}

const PwLayerRunner pw__layer_concat = {
  .name = "concat",
  .forward = forward,
  .input_gradient = input_gradient,
};
