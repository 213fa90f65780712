/* What a layer's type says of it, checked and settled; and the same once more for another type of
 * element. */
#include <string.h>

#include "models/models_private.h"

/* A layer that reads nothing but the sample makes no input gradient: those of biases and gains are
 * all that is left of its I. */
static void
settle_gradients (PwLayer *layer, const PwShape *inputs) {
  PwLayerInfo *info = &layer->info;
  layer->needs_gradient = !info->is_loss;
  for (int i = 0; i < layer->n_inputs; i++)
    if (layer->inputs[i] != PW_GRAPH_INPUT)
      return;
  gboolean makes_parameters = FALSE;
  for (int i = 0; i < info->n_parameters; i++)
    makes_parameters |= !info->parameters[i].from_weight_gradient;
  info->has_input_gradient = FALSE;
  info->flops_input = info->flops_again = 0;
  if (makes_parameters) {
    for (int i = 0; i < layer->n_inputs; i++)
      info->bytes_input = MAX (info->bytes_input - pw_shape_bytes (&inputs[i]), 0);
    return;
  }
  info->bytes_input = 0;
  info->input_reads_inputs = 0;
  info->input_reads_output = FALSE;
}

static const char *
check_shape (const PwShape *shape) {
  if (shape->n_dims < 0 || shape->n_dims > PW_SHAPE_DIMS_MAX || shape->dtype >= PW_DTYPE_N)
    return "its type describes an impossible shape";
  for (int i = 0; i < shape->n_dims; i++)
    if (shape->dims[i] < 1)
      return "a dimension below 1";
  if (pw_shape_bytes (shape) >= PW_LAYER_FIGURE_MAX)
    return "a tensor too large to count";
  return NULL;
}

/* What is wrong with INFO, NULL if nothing is: types may be the user's own. */
static const char *
check_info (const PwLayerType *type, const PwLayerInfo *info) {
  if (info->n_parameters < 0 || info->n_parameters > PW_LAYER_PARAMETERS_MAX || info->n_stashes < 0
      || info->n_stashes > PW_LAYER_STASHES_MAX)
    return "its type describes too many tensors";
  if (info->output.dtype == PW_DTYPE_I32)
    return "its output has integers, through which no gradient passes";
  if (type->input_dtype != PW_DTYPE_I32 && !info->has_input_gradient)
    return "its type makes no gradient of its input";
  const char *wrong = check_shape (&info->output);
  for (int i = 0; i < info->n_parameters && wrong == NULL; i++)
    wrong = check_shape (&info->parameters[i].shape);
  for (int i = 0; i < info->n_stashes && wrong == NULL; i++)
    wrong = check_shape (&info->stashes[i].shape);
  if (wrong == NULL && info->is_loss)
    wrong = check_shape (&info->target);
  if (wrong != NULL)
    return wrong;
  const int64_t figures[] = { info->flops_forward, info->flops_input, info->flops_weight,
                              info->bytes_forward, info->bytes_input, info->bytes_weight };
  for (gsize i = 0; i < G_N_ELEMENTS (figures); i++)
    if (figures[i] < 0 || figures[i] >= PW_LAYER_FIGURE_MAX)
      return "too large for its FLOPs and bytes to be counted";
  if (info->flops_again < 0 || info->flops_again > info->flops_input)
    return "its type does more again than it does";
  return NULL;
}

gboolean
pw__layer_describe (PwLayer *layer, const PwShape *inputs, GError **error) {
  const PwLayerType *type = layer->type;
  memset (&layer->info, 0, sizeof layer->info);
  if (!type->describe (type, &layer->attributes, inputs, &layer->info, error))
    return FALSE;
  const char *wrong = check_info (type, &layer->info);
  if (wrong != NULL) {
    g_set_error_literal (error, PW_MODEL_ERROR, PW_MODEL_ERROR_ATTRIBUTE, wrong);
    return FALSE;
  }
  settle_gradients (layer, inputs);
  return TRUE;
}

gboolean
pw_graph_set_element (PwGraph *graph, PwDtype element, GError **error) {
  g_assert (element < PW_DTYPE_N && element != PW_DTYPE_I32);
  if (graph->input.dtype != PW_DTYPE_I32)
    graph->input.dtype = element;
  for (int l = 0; l < graph->n_layers; l++) {
    PwLayer *layer = &graph->layers[l];
    PwShape inputs[PW_LAYER_INPUTS_MAX];
    for (int i = 0; i < layer->n_inputs; i++)
      inputs[i] = layer->inputs[i] == PW_GRAPH_INPUT ? graph->input
                                                     : graph->layers[layer->inputs[i]].info.output;
    layer->attributes.element = element;
    if (!pw__layer_describe (layer, inputs, error)) {
      g_prefix_error (error, "%s: %s: in %s: ", graph->name, layer->name, pw_dtype_name (element));
      return FALSE;
    }
    if (layer->info.is_loss)
      graph->target = layer->info.target;
  }
  return pw_graph_check (graph, error);
}
