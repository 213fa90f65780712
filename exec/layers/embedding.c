/* Rows of a table by token. Tokens have no gradient; the table's is made by W. */
#include "exec/layers/rows_private.h"

static gboolean
forward (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->embedding_forward (call->context, &call->inputs[0],
                                                 &call->parameters[0], &call->output, error);
}

static gboolean
weight_gradient (PwLayerCall *call, GError **error) {
  return pw_layer_ops (call)->embedding_weight_gradient (
      call->context, &call->inputs[0], &call->output_gradient, &call->parameter_gradients[0],
      call->workspace, error);
}

static gsize
workspace (const PwLayer *layer, PwOpContext *context, int64_t samples) {
  const PwShape *output = &layer->info.output;
  int64_t features = output->dims[output->n_dims - 1];
  int64_t rows = samples * pw_shape_elements (output) / features;
  return context->backend->workspace.embedding (context, rows, layer->attributes.vocabulary,
                                                features);
}

const PwLayerRunner pw__layer_embedding = {
  .name = "embedding",
  .forward = forward,
  .weight_gradient = weight_gradient,
  .workspace = workspace,
};
