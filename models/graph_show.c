/* `model show`: a table for the reader, an object for programs. */
#include <string.h>

#include "models/models_private.h"

/* 1234567 -> "1,234,567". */
static char *
with_commas (int64_t number) {
  char digits[32];
  int n = g_snprintf (digits, sizeof digits, "%" G_GINT64_FORMAT, number);
  GString *text = g_string_new (NULL);
  for (int i = 0; i < n; i++) {
    if (i > 0 && (n - i) % 3 == 0)
      g_string_append_c (text, ',');
    g_string_append_c (text, digits[i]);
  }
  return g_string_free (text, FALSE);
}

/* Two units are shown as one row where all they would show is equal. */
static gboolean
units_look_alike (const PwGraph *graph, int a, int b) {
  const PwUnit *first = &graph->units[a], *second = &graph->units[b];
  if (first->n_layers != second->n_layers || first->is_end || second->is_end)
    return FALSE;
  for (int i = 0; i < first->n_layers; i++) {
    const PwLayer *x = &graph->layers[first->first_layer + i];
    const PwLayer *y = &graph->layers[second->first_layer + i];
    if (x->type != y->type || strcmp (strrchr (x->name, '.'), strrchr (y->name, '.')) != 0
        || !pw_shape_equal (&x->info.output, &y->info.output) || x->shares_with != y->shares_with
        || pw_layer_info_parameters (&x->info) != pw_layer_info_parameters (&y->info)
        || pw__layer_flops (&x->info) != pw__layer_flops (&y->info))
      return FALSE;
  }
  return TRUE;
}

static void
append_row (GString *text, const char *label, const char *type, const char *output,
            int64_t parameters, int64_t flops) {
  g_autofree char *parameters_text = with_commas (parameters);
  g_autofree char *flops_text = with_commas (flops);
  g_string_append_printf (text, "%-28s %-21s %-22s %15s %19s\n", label, type, output,
                          parameters_text, flops_text);
}

static void
append_layer (GString *text, const PwGraph *graph, int l) {
  const PwLayer *layer = &graph->layers[l];
  g_autofree char *label = g_strconcat ("      ", strrchr (layer->name, '.') + 1, NULL);
  g_autofree char *output = pw_shape_to_string (&layer->info.output);
  append_row (text, label, layer->type->name, output, pw_layer_info_parameters (&layer->info),
              pw__layer_flops (&layer->info));
  if (layer->shares_with >= 0)
    g_string_append_printf (text, "        its weight is that of %s\n",
                            graph->layers[layer->shares_with].name);
}

/* A run of units from FIRST that look alike, shown by the first; returns the unit after it. */
static int
append_units (GString *text, const PwGraph *graph, int first) {
  int next = first + 1;
  while (next < graph->n_units && units_look_alike (graph, first, next))
    next++;
  const PwUnit *unit = &graph->units[first];
  gboolean is_run = next - first > 1;
  g_autofree char *numbers
      = is_run ? g_strdup_printf ("%d-%d", first, next - 1) : g_strdup_printf ("%d", first);
  g_autofree char *names = is_run
                               ? g_strconcat (unit->name, "..", graph->units[next - 1].name, NULL)
                               : g_strdup (unit->name);
  g_autofree char *label = g_strdup_printf ("%-5s %s", numbers, names);
  g_autofree char *note = is_run ? g_strdup_printf ("%d units, each", next - first)
                                 : g_strdup (unit->is_end ? "end" : "");
  append_row (text, label, note, "", pw_graph_parameters (graph, unit->first_layer, unit->n_layers),
              pw_graph_flops (graph, unit->first_layer, unit->n_layers));
  for (int l = unit->first_layer; l < unit->first_layer + unit->n_layers; l++)
    append_layer (text, graph, l);
  return next;
}

/* Cuts the padding of last columns that are empty. */
static char *
strip_line_ends (GString *text) {
  GString *result = g_string_sized_new (text->len);
  for (gsize i = 0; i < text->len; i++) {
    if (text->str[i] == '\n')
      while (result->len > 0 && result->str[result->len - 1] == ' ')
        g_string_truncate (result, result->len - 1);
    g_string_append_c (result, text->str[i]);
  }
  g_string_free (text, TRUE);
  return g_string_free (result, FALSE);
}

char *
pw_graph_to_string (const PwGraph *graph) {
  GString *text = g_string_new (NULL);
  g_autofree char *input = pw_shape_to_string (&graph->input);
  g_autofree char *parameters = with_commas (pw_graph_parameters (graph, 0, graph->n_layers));
  g_autofree char *flops = with_commas (pw_graph_flops (graph, 0, graph->n_layers));
  g_string_append_printf (text, "%s: %d units, %d layers, input %s\n", graph->name, graph->n_units,
                          graph->n_layers, input);
  g_string_append_printf (text, "parameters: %s\n", parameters);
  g_string_append_printf (text, "FLOPs of one sample, forward and both gradients: %s\n\n", flops);
  g_string_append_printf (text, "%-28s %-21s %-22s %15s %19s\n", "unit", "type", "output",
                          "parameters", "FLOPs");
  for (int u = 0; u < graph->n_units;)
    u = append_units (text, graph, u);
  return strip_line_ends (text);
}

static json_t *
shape_to_json (const PwShape *shape) {
  json_t *dims = json_array ();
  for (int i = 0; i < shape->n_dims; i++)
    json_array_append_new (dims, json_integer (shape->dims[i]));
  return json_pack ("{s:o, s:s}", "dims", dims, "type", pw_dtype_name (shape->dtype));
}

static json_t *
layer_to_json (const PwGraph *graph, int l) {
  const PwLayer *layer = &graph->layers[l];
  const PwLayerInfo *info = &layer->info;
  json_t *inputs = json_array ();
  for (int i = 0; i < layer->n_inputs; i++)
    json_array_append_new (inputs, json_integer (layer->inputs[i]));
  json_t *object = json_pack (
      "{s:i, s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "layer", l, "name",
      layer->name, "type", layer->type->name, "inputs", inputs, "output",
      shape_to_json (&info->output), "parameters", (json_int_t)pw_layer_info_parameters (info),
      "flops_forward", (json_int_t)info->flops_forward, "flops_input",
      (json_int_t)info->flops_input, "flops_weight", (json_int_t)info->flops_weight, "flops_again",
      (json_int_t)info->flops_again, "bytes_forward", (json_int_t)info->bytes_forward,
      "bytes_input", (json_int_t)info->bytes_input, "bytes_weight", (json_int_t)info->bytes_weight);
  if (layer->shares_with >= 0)
    json_object_set_new (object, "shares_with", json_integer (layer->shares_with));
  return object;
}

static json_t *
unit_to_json (const PwGraph *graph, int u) {
  const PwUnit *unit = &graph->units[u];
  json_t *layers = json_array ();
  for (int l = unit->first_layer; l < unit->first_layer + unit->n_layers; l++)
    json_array_append_new (layers, layer_to_json (graph, l));
  return json_pack ("{s:i, s:s, s:b, s:I, s:I, s:o}", "unit", u, "name", unit->name, "end",
                    unit->is_end, "parameters",
                    (json_int_t)pw_graph_parameters (graph, unit->first_layer, unit->n_layers),
                    "flops", (json_int_t)pw_graph_flops (graph, unit->first_layer, unit->n_layers),
                    "layers", layers);
}

json_t *
pw_graph_to_json (const PwGraph *graph) {
  json_t *units = json_array ();
  for (int u = 0; u < graph->n_units; u++)
    json_array_append_new (units, unit_to_json (graph, u));
  return json_pack ("{s:s, s:o, s:o, s:I, s:I, s:o}", "name", graph->name, "input",
                    shape_to_json (&graph->input), "target", shape_to_json (&graph->target),
                    "parameters", (json_int_t)pw_graph_parameters (graph, 0, graph->n_layers),
                    "flops", (json_int_t)pw_graph_flops (graph, 0, graph->n_layers), "units",
                    units);
}
