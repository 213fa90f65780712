/* What is dropped hangs on (seed, step, layer, sample, element), so the gradient, and a forward
 * that is run again, draw the same. Without training nothing is dropped. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  if (!call->is_training)
    return call->context->backend->copy (call->context->stream, call->output.data,
                                         call->inputs[0].data,
                                         (gsize)pw_tensor_bytes (&call->output), error);
  return pw_layer_ops (call)->dropout_forward (call->context, &call->inputs[0],
                                               call->layer->attributes.probability,
                                               call->first_sample, &call->output, error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  if (!call->input_gradients[0].data)
    return TRUE;
  return pw_layer_ops (call)->dropout_input_gradient (
      call->context, &call->output_gradient, call->layer->attributes.probability,
      call->first_sample, &call->input_gradients[0], error);
}

const PwLayerRunner pw__layer_dropout = {
  .name = "dropout",
  .forward = forward,
  .input_gradient = input_gradient,
};
