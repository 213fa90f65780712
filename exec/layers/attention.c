/* Multi-head attention over a joint [q | k | v]; the stash is the log of each row's sum, and the
 * gradient reads the layer's own output. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  const PwLayerAttributes *a = &call->layer->attributes;
  return pw_layer_ops (call)->attention_forward (call->context, &call->inputs[0], a->heads,
                                                 a->causal, NULL, &call->output, &call->stashes[0],
                                                 call->workspace, error);
}

static gboolean
input_gradient (PwLayerCall *call, GError **error) {
  const PwLayerAttributes *a = &call->layer->attributes;
  if (!call->input_gradients[0].data)
    return TRUE;
  return pw_layer_ops (call)->attention_input_gradient (
      call->context, &call->inputs[0], a->heads, a->causal, NULL, &call->output, &call->stashes[0],
      &call->output_gradient, &call->input_gradients[0], call->workspace, error);
}

static gsize
workspace (const PwLayer *layer, PwOpContext *context, int64_t samples) {
  const PwShape *output = &layer->info.output;
  const PwLayerAttributes *a = &layer->attributes;
  return context->backend->workspace.attention (context, pw_layer_element (output->dtype),
                                                a->causal, samples, a->heads, output->dims[0],
                                                output->dims[1]);
}

const PwLayerRunner pw__layer_attention = {
  .name = "attention",
  .forward = forward,
  .input_gradient = input_gradient,
  .workspace = workspace,
};
