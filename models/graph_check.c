/* The invariants of a graph, each with the sentence that says it does not hold. */
#include <string.h>

#include "models/models_private.h"

static gboolean
fail (const PwGraph *graph, const char *where, GError **error, const char *message) {
  g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE, "%s: %s: %s", graph->name, where,
               message);
  return FALSE;
}

/* Units cover the layers without gaps; end units stand only at the two ends. */
static gboolean
check_units (const PwGraph *graph, GError **error) {
  int next = 0, first = graph->n_units, last = -1;
  for (int u = 0; u < graph->n_units; u++) {
    const PwUnit *unit = &graph->units[u];
    if (unit->first_layer != next || unit->n_layers < 1)
      return fail (graph, unit->name, error, "a gap between units");
    for (int l = next; l < next + unit->n_layers; l++)
      if (l >= graph->n_layers || graph->layers[l].unit != u)
        return fail (graph, unit->name, error, "a layer of another unit");
    next += unit->n_layers;
    if (!unit->is_end) {
      first = MIN (first, u);
      last = u;
    }
  }
  if (next != graph->n_layers)
    return fail (graph, "units", error, "layers outside the units");
  for (int u = first; u < last; u++)
    if (graph->units[u].is_end)
      return fail (graph, graph->units[u].name, error, "an end unit between others");
  return TRUE;
}

/* Describes the layer once more from its inputs' shapes. */
static gboolean
check_shapes (const PwGraph *graph, const PwLayer *layer, GError **error) {
  PwShape shapes[PW_LAYER_INPUTS_MAX];
  for (int i = 0; i < layer->n_inputs; i++)
    shapes[i] = layer->inputs[i] == PW_GRAPH_INPUT ? graph->input
                                                   : graph->layers[layer->inputs[i]].info.output;
  PwLayerInfo info = { 0 };
  if (!layer->type->describe (layer->type, &layer->attributes, shapes, &info, error)) {
    g_prefix_error (error, "%s: %s: ", graph->name, layer->name);
    return FALSE;
  }
  if (!pw_shape_equal (&info.output, &layer->info.output)
      || info.flops_forward != layer->info.flops_forward)
    return fail (graph, layer->name, error, "does not fit its inputs");
  return TRUE;
}

static gboolean
check_layer (const PwGraph *graph, int l, gboolean *is_read, GError **error) {
  const PwLayer *layer = &graph->layers[l];
  if (layer->n_inputs != layer->type->n_inputs)
    return fail (graph, layer->name, error, "another number of inputs than its type has");
  for (int i = 0; i < layer->n_inputs; i++) {
    if (layer->inputs[i] < PW_GRAPH_INPUT || layer->inputs[i] >= l)
      return fail (graph, layer->name, error, "reads a layer that is not before it");
    if (layer->inputs[i] != PW_GRAPH_INPUT)
      is_read[layer->inputs[i]] = TRUE;
  }
  if (layer->info.is_loss && l + 1 < graph->n_layers)
    return fail (graph, layer->name, error, "a loss that is not the last layer");
  if (layer->shares_with >= 0) {
    if (layer->shares_with >= l || graph->layers[layer->shares_with].shares_with >= 0)
      return fail (graph, layer->name, error, "shares with a layer that cannot own");
    if (!pw_shape_equal (&layer->info.parameters[0].shape,
                         &graph->layers[layer->shares_with].info.parameters[0].shape))
      return fail (graph, layer->name, error, "shares a parameter of another shape");
  }
  return check_shapes (graph, layer, error);
}

gboolean
pw_graph_check (const PwGraph *graph, GError **error) {
  if (!check_units (graph, error))
    return FALSE;
  g_autofree gboolean *is_read = g_new0 (gboolean, (gsize)graph->n_layers);
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  double parameters = 0, flops = 0;
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayer *layer = &graph->layers[l];
    if (!check_layer (graph, l, is_read, error))
      return FALSE;
    if (!g_hash_table_add (names, layer->name))
      return fail (graph, layer->name, error, "the name is used twice");
    parameters += (double)pw_layer_info_parameters (&layer->info);
    flops += (double)pw__layer_flops (&layer->info);
  }
  for (int l = 0; l + 1 < graph->n_layers; l++)
    if (!is_read[l])
      return fail (graph, graph->layers[l].name, error, "no layer reads its output");
  if (MAX (parameters, flops) > 4 * (double)PW_LAYER_FIGURE_MAX)
    return fail (graph, "layers", error, "too many parameters or FLOPs to be counted");
  return TRUE;
}
