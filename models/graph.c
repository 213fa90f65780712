#include "models/graph.h"

#include <stdarg.h>
#include <string.h>

#include "models/models_private.h"

struct PwGraphBuilder {
  char *name;
  PwShape input, target;
  GArray *layers;    /* PwLayer */
  GArray *units;     /* PwUnit */
  GHashTable *names; /* of layers and units; borrowed from them */
  GError *error;     /* the first */
};

PwGraphBuilder *
pw_graph_builder_new (const char *name, PwShape input, PwShape target) {
  PwGraphBuilder *builder = g_new0 (PwGraphBuilder, 1);
  builder->name = g_strdup (name);
  builder->input = input;
  builder->target = target;
  builder->layers = g_array_new (FALSE, TRUE, sizeof (PwLayer));
  builder->units = g_array_new (FALSE, TRUE, sizeof (PwUnit));
  builder->names = g_hash_table_new (g_str_hash, g_str_equal);
  return builder;
}

/* Only the first error counts. Returns -1. */
static int fail (PwGraphBuilder *builder, const char *where, PwModelError code, const char *format,
                 ...) G_GNUC_PRINTF (4, 5);
static int
fail (PwGraphBuilder *builder, const char *where, PwModelError code, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  if (builder->error == NULL)
    g_set_error (&builder->error, PW_MODEL_ERROR, (int)code, "%s: %s: %s", builder->name, where,
                 message);
  return -1;
}

/* The same with the words of ERROR, which is freed. */
static void
fail_with (PwGraphBuilder *builder, const char *where, GError *error) {
  fail (builder, where, (PwModelError)error->code, "%s", error->message);
  g_error_free (error);
}

static PwLayer *
layer_at (const PwGraphBuilder *builder, int number) {
  return &g_array_index (builder->layers, PwLayer, number);
}

static gboolean
check_last_unit (PwGraphBuilder *builder) {
  if (builder->units->len == 0)
    return TRUE;
  const PwUnit *unit = &g_array_index (builder->units, PwUnit, builder->units->len - 1);
  if (unit->n_layers == 0)
    fail (builder, unit->name, PW_MODEL_ERROR_SHAPE, "a unit without layers");
  return unit->n_layers > 0;
}

void
pw_graph_builder_begin_unit (PwGraphBuilder *builder, const char *name, gboolean is_end) {
  if (builder->error != NULL || !check_last_unit (builder))
    return;
  PwUnit unit = {
    .name = g_strdup (name),
    .first_layer = (int)builder->layers->len,
    .is_end = is_end != FALSE,
  };
  g_array_append_val (builder->units, unit);
  if (!g_hash_table_add (builder->names, unit.name))
    fail (builder, name, PW_MODEL_ERROR_ATTRIBUTE, "the name is used twice");
}

/* A type says what comes in that it cannot take; the reader wants to know from where, too. */
static void
fail_inputs (PwGraphBuilder *builder, const PwLayer *layer, const int *inputs, int n_inputs,
             const char *message) {
  g_autoptr (GString) text = g_string_new (message);
  for (int i = 0; i < n_inputs; i++)
    g_string_append_printf (
        text, "%s %s", i == 0 ? " from" : " and",
        inputs[i] == PW_GRAPH_INPUT ? "the sample" : layer_at (builder, inputs[i])->name);
  fail (builder, layer->name, PW_MODEL_ERROR_SHAPE, "%s", text->str);
}

static gboolean
check_inputs (PwGraphBuilder *builder, const PwLayer *layer, int n_inputs, const int *inputs,
              PwShape *shapes) {
  const PwLayerType *type = layer->type;
  if (n_inputs != type->n_inputs) {
    fail (builder, layer->name, PW_MODEL_ERROR_SHAPE, "%s reads %d tensor%s, not %d", type->name,
          type->n_inputs, type->n_inputs == 1 ? "" : "s", n_inputs);
    return FALSE;
  }
  for (int i = 0; i < n_inputs; i++) {
    int from = inputs[i];
    if (from < PW_GRAPH_INPUT || from >= (int)builder->layers->len) {
      fail (builder, layer->name, PW_MODEL_ERROR_SHAPE, "reads layer %d, which is not before it",
            from);
      return FALSE;
    }
    shapes[i] = from == PW_GRAPH_INPUT ? builder->input : layer_at (builder, from)->info.output;
    gboolean is_integer = shapes[i].dtype == PW_DTYPE_I32;
    if (is_integer != (type->input_dtype == PW_DTYPE_I32)) {
      g_autofree char *found = pw_shape_to_string (&shapes[i]);
      g_autofree char *message
          = g_strdup_printf ("%s needs %s, but %s comes in", type->name,
                             is_integer ? "a float type" : "integers", found);
      fail_inputs (builder, layer, &from, 1, message);
      return FALSE;
    }
  }
  return TRUE;
}

/* Fills LAYER but for its unit; on failure the builder's error is set. */
static gboolean
describe_layer (PwGraphBuilder *builder, PwLayer *layer, const int *inputs, int n_inputs) {
  PwShape shapes[PW_LAYER_INPUTS_MAX];
  if (!check_inputs (builder, layer, n_inputs, inputs, shapes))
    return FALSE;
  layer->n_inputs = n_inputs;
  memcpy (layer->inputs, inputs, (gsize)n_inputs * sizeof (int));
  g_autoptr (GError) error = NULL;
  if (pw__layer_describe (layer, shapes, &error))
    return TRUE;
  if (g_error_matches (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE))
    fail_inputs (builder, layer, inputs, n_inputs, error->message);
  else
    fail_with (builder, layer->name, g_steal_pointer (&error));
  return FALSE;
}

int
pw_graph_builder_add (PwGraphBuilder *builder, const char *type, const char *name,
                      const PwLayerAttributes *attributes, const int *inputs, int n_inputs) {
  if (builder->error != NULL)
    return -1;
  if (builder->units->len == 0)
    return fail (builder, name, PW_MODEL_ERROR_SHAPE, "a layer before the first unit");
  if (builder->layers->len > 0 && pw_graph_builder_last (builder)->info.is_loss)
    return fail (builder, name, PW_MODEL_ERROR_SHAPE, "a layer after the loss");
  int number = (int)builder->layers->len;
  PwUnit *unit = &g_array_index (builder->units, PwUnit, builder->units->len - 1);
  PwLayer layer = { .unit = (int)builder->units->len - 1, .shares_with = -1 };
  layer.name = g_strconcat (unit->name, ".", name, NULL);
  if (attributes != NULL)
    layer.attributes = *attributes;
  else
    pw_layer_attributes_init (&layer.attributes);
  layer.type = pw_layer_type_get (type);
  if (layer.type == NULL)
    fail_with (builder, layer.name, pw__unknown_type_error (type));
  else if (describe_layer (builder, &layer, inputs, n_inputs)
           && g_hash_table_contains (builder->names, layer.name))
    fail (builder, layer.name, PW_MODEL_ERROR_ATTRIBUTE, "the name is used twice");
  if (builder->error != NULL) {
    g_free (layer.name);
    return -1;
  }
  g_hash_table_add (builder->names, layer.name);
  g_array_append_val (builder->layers, layer);
  unit->is_end |= layer.info.is_loss && unit->n_layers == 0;
  unit->n_layers++;
  return number;
}

const PwLayer *
pw_graph_builder_last (const PwGraphBuilder *builder) {
  if (builder->error != NULL || builder->layers->len == 0)
    return NULL;
  return layer_at (builder, (int)builder->layers->len - 1);
}

void
pw_graph_builder_share (PwGraphBuilder *builder, int layer, int owner) {
  if (builder->error != NULL)
    return;
  g_assert (layer >= 0 && layer < (int)builder->layers->len && owner >= 0 && owner < layer);
  PwLayer *user = layer_at (builder, layer);
  if (layer_at (builder, owner)->shares_with >= 0)
    owner = layer_at (builder, owner)->shares_with;
  const PwLayer *root = layer_at (builder, owner);
  if (user->info.n_parameters == 0 || root->info.n_parameters == 0
      || !pw_shape_equal (&user->info.parameters[0].shape, &root->info.parameters[0].shape))
    fail (builder, user->name, PW_MODEL_ERROR_SHAPE,
          "cannot share the first parameter of %s, whose shape is another", root->name);
  user->shares_with = owner;
}

/* The loss says what targets it wants. */
static void
settle_target (PwGraphBuilder *builder) {
  const PwLayer *last = pw_graph_builder_last (builder);
  if (last == NULL || !last->info.is_loss)
    return;
  const PwShape *wanted = &last->info.target;
  PwShape unset = { 0 };
  if (pw_shape_equal (&builder->target, &unset)) {
    builder->target = *wanted;
  } else if (!pw_shape_equal (&builder->target, wanted)) {
    g_autofree char *has = pw_shape_to_string (&builder->target);
    g_autofree char *wants = pw_shape_to_string (wanted);
    fail (builder, last->name, PW_MODEL_ERROR_SHAPE, "needs targets %s, the model has %s", wants,
          has);
  }
}

PwGraph *
pw_graph_builder_finish (PwGraphBuilder *builder, GError **error) {
  if (builder->error == NULL && builder->layers->len == 0)
    fail (builder, "layers", PW_MODEL_ERROR_SHAPE, "a model needs at least one");
  if (builder->error == NULL && check_last_unit (builder))
    settle_target (builder);
  GError *failure = g_steal_pointer (&builder->error);
  g_hash_table_unref (builder->names);
  PwGraph *graph = g_new0 (PwGraph, 1);
  graph->name = builder->name;
  graph->input = builder->input;
  graph->target = builder->target;
  graph->n_layers = (int)builder->layers->len;
  graph->layers = (PwLayer *)(void *)g_array_free (builder->layers, FALSE);
  graph->n_units = (int)builder->units->len;
  graph->units = (PwUnit *)(void *)g_array_free (builder->units, FALSE);
  g_free (builder);
  if (failure == NULL)
    pw_graph_check (graph, &failure);
  if (failure != NULL) {
    g_propagate_error (error, failure);
    pw_graph_free (graph);
    return NULL;
  }
  return graph;
}

void
pw_graph_free (PwGraph *graph) {
  if (graph == NULL)
    return;
  for (int i = 0; i < graph->n_layers; i++)
    g_free (graph->layers[i].name);
  for (int i = 0; i < graph->n_units; i++)
    g_free (graph->units[i].name);
  g_free (graph->layers);
  g_free (graph->units);
  g_free (graph->name);
  g_free (graph);
}

/* An earlier layer of [first, l) holds the parameter that layer L shares. */
static gboolean
is_held_before (const PwGraph *graph, int first, int l) {
  int owner = graph->layers[l].shares_with;
  if (owner < 0)
    return FALSE;
  if (owner >= first)
    return TRUE;
  for (int i = first; i < l; i++)
    if (graph->layers[i].shares_with == owner)
      return TRUE;
  return FALSE;
}

static void
add_size (PwParameterSize *size, const PwShape *shape, int64_t sign) {
  int64_t elements = pw_shape_elements (shape);
  size->elements += sign * elements;
  size->bytes += sign * pw_shape_bytes (shape);
  if (pw_dtype_bytes (shape->dtype) < pw_dtype_bytes (PW_DTYPE_F32))
    size->master_bytes += sign * elements * pw_dtype_bytes (PW_DTYPE_F32);
}

PwParameterSize
pw_graph_parameter_size (const PwGraph *graph, int first_layer, int n_layers) {
  PwParameterSize size = { 0 };
  for (int l = first_layer; l < first_layer + n_layers; l++) {
    const PwLayerInfo *info = &graph->layers[l].info;
    for (int i = 0; i < info->n_parameters; i++)
      add_size (&size, &info->parameters[i].shape, 1);
    if (is_held_before (graph, first_layer, l))
      add_size (&size, &info->parameters[0].shape, -1);
  }
  return size;
}

int64_t
pw_graph_parameters (const PwGraph *graph, int first_layer, int n_layers) {
  int64_t elements = 0;
  for (int l = first_layer; l < first_layer + n_layers; l++) {
    const PwLayerInfo *info = &graph->layers[l].info;
    elements += pw_layer_info_parameters (info);
    if (is_held_before (graph, first_layer, l))
      elements -= pw_shape_elements (&info->parameters[0].shape);
  }
  return elements;
}

gboolean
pw_graph_runs_with_next (const PwGraph *graph, const gboolean *again, int layer) {
  const PwLayer *first = &graph->layers[layer], *next = first + 1;
  return layer + 1 < graph->n_layers && next->unit == first->unit && next->inputs[0] == layer
         && g_str_equal (first->type->name, "linear") && g_str_equal (next->type->name, "gelu")
         && (again == NULL || again[layer] == again[layer + 1]);
}

int64_t
pw_graph_flops (const PwGraph *graph, int first_layer, int n_layers) {
  int64_t flops = 0;
  for (int l = first_layer; l < first_layer + n_layers; l++)
    flops += pw__layer_flops (&graph->layers[l].info);
  return flops;
}
