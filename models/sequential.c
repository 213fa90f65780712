/* A model written in the plan as a list of layers. */
#include <stddef.h>
#include <string.h>

#include "models/models_private.h"

#define REPEAT_MAX 65536

typedef struct {
  char *name;
  char *loss;
  GArray *input;  /* int */
  json_t *layers; /* borrowed */
} List;

static gboolean
read_layers (PwJsonPlace place, json_t *value, void *field, GError **error) {
  if (!json_is_array (value) || json_array_size (value) == 0)
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected a list of layers");
  *(json_t **)field = value;
  return TRUE;
}

static const PwJsonKey list_keys[] = {
  { .key = "layers",
    .type = PW_JSON_CUSTOM,
    .offset = offsetof (List, layers),
    .required = TRUE,
    .read = read_layers },
  { .key = "loss", .type = PW_JSON_STRING, .offset = offsetof (List, loss) },
  { .key = "input",
    .type = PW_JSON_INT_LIST,
    .offset = offsetof (List, input),
    .minimum = 1,
    .maximum = 2147483647.0 },
  { .key = "name", .type = PW_JSON_STRING, .offset = offsetof (List, name) },
};

/* One entry of the list: what every entry may say, then its type's own attributes. */
typedef struct {
  const PwLayerType *type;
  char *type_name, *name;
  int64_t repeat;
  PwLayerAttributes attributes;
} Entry;

static const PwJsonKey entry_keys[] = {
  { .key = "type",
    .type = PW_JSON_STRING,
    .offset = offsetof (Entry, type_name),
    .required = TRUE },
  { .key = "name", .type = PW_JSON_STRING, .offset = offsetof (Entry, name) },
  { .key = "repeat",
    .type = PW_JSON_INTEGER,
    .offset = offsetof (Entry, repeat),
    .minimum = 1,
    .maximum = REPEAT_MAX },
};

static void
entry_clear (Entry *entry) {
  g_free (entry->type_name);
  g_free (entry->name);
}

static gboolean
fail_type (PwJsonPlace place, const char *name, GError **error) {
  GError *unknown = pw__unknown_type_error (name);
  pw_json_prefix_error (place, &unknown);
  g_propagate_error (error, unknown);
  return FALSE;
}

/* The type's own keys with the list's, so that an unknown one is compared with both. */
static gboolean
read_entry (PwJsonPlace place, json_t *value, Entry *entry, GError **error) {
  json_t *type = json_object_get (value, "type");
  gsize n = G_N_ELEMENTS (entry_keys);
  if (!json_is_string (type)) /* no object, no type or a wrong one: the reader says which */
    return pw_json_read_object (place, value, entry_keys, n, entry, error);
  entry->type = pw_layer_type_get (json_string_value (type));
  if (entry->type == NULL) {
    g_autofree char *path = pw_json_path_key (place.path, "type");
    return fail_type ((PwJsonPlace){ place.file, path }, json_string_value (type), error);
  }
  g_autofree PwJsonKey *keys = g_new (PwJsonKey, n + entry->type->n_keys);
  memcpy (keys, entry_keys, sizeof entry_keys);
  for (gsize i = 0; i < entry->type->n_keys; i++) {
    keys[n + i] = entry->type->keys[i];
    keys[n + i].offset += offsetof (Entry, attributes);
  }
  return pw_json_read_object (place, value, keys, n + entry->type->n_keys, entry, error);
}

/* The input of one sample: as written, or as the first layer's sizes have it. */
static gboolean
find_input (PwJsonPlace place, const List *list, const Entry *first, PwShape *input,
            GError **error) {
  *input = (PwShape){ .dtype = first->type->input_dtype };
  if (list->input != NULL) {
    if (list->input->len > PW_SHAPE_DIMS_MAX) {
      g_autofree char *path = pw_json_path_key (place.path, "input");
      return pw_json_fail ((PwJsonPlace){ place.file, path }, PW_JSON_ERROR_RANGE, error,
                           "%u dimensions are above the maximum %d", list->input->len,
                           PW_SHAPE_DIMS_MAX);
    }
    for (guint i = 0; i < list->input->len; i++)
      input->dims[input->n_dims++] = g_array_index (list->input, int, i);
    return TRUE;
  }
  int64_t features = first->attributes.in > 0 ? first->attributes.in : first->attributes.features;
  if (features == 0 || input->dtype == PW_DTYPE_I32)
    return pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error,
                         "missing key \"input\": the shape of a sample, which a first layer of the "
                         "type %s does not say",
                         first->type->name);
  input->dims[input->n_dims++] = features;
  return TRUE;
}

/* Adds the entry as often as it says; FALSE when the builder has an error. */
static gboolean
add_entry (PwGraphBuilder *builder, const Entry *entry, gsize number, int *from) {
  for (int64_t i = 0; i < entry->repeat; i++) {
    g_autofree char *unit = NULL;
    if (entry->name != NULL && entry->repeat == 1)
      unit = g_strdup (entry->name);
    else if (entry->name != NULL)
      unit = g_strdup_printf ("%s%" G_GINT64_FORMAT, entry->name, i);
    else if (entry->repeat == 1)
      unit = g_strdup_printf ("%s%zu", entry->type->name, number);
    else
      unit = g_strdup_printf ("%s%zu-%" G_GINT64_FORMAT, entry->type->name, number, i);
    pw_graph_builder_begin_unit (builder, unit, FALSE);
    *from = pw_graph_builder_add (builder, entry->type->name, entry->type->name, &entry->attributes,
                                  from, 1);
    if (*from < 0)
      return FALSE;
  }
  return TRUE;
}

/* Ends BUILDER, which has an error, and says where in the file it is. */
static PwGraph *
fail_at (PwJsonPlace place, PwGraphBuilder *builder, GError **error) {
  GError *failure = NULL;
  PwGraph *graph = pw_graph_builder_finish (builder, &failure);
  g_assert (graph == NULL);
  pw_json_prefix_error (place, &failure);
  g_propagate_error (error, failure);
  return NULL;
}

static gboolean
add_loss (PwJsonPlace place, const List *list, PwGraphBuilder *builder, int from, GError **error) {
  const char *name = list->loss != NULL ? list->loss : "mse";
  if (g_str_equal (name, "none"))
    return TRUE;
  g_autofree char *path = pw_json_path_key (place.path, "loss");
  PwJsonPlace loss_place = { place.file, path };
  const PwLayer *last = pw_graph_builder_last (builder);
  if (last->info.is_loss)
    return list->loss == NULL
           || pw_json_fail (loss_place, PW_JSON_ERROR_RANGE, error,
                            "the list ends with the loss %s already", last->type->name);
  if (pw_layer_type_get (name) == NULL)
    return fail_type (loss_place, name, error);
  pw_graph_builder_begin_unit (builder, "loss", TRUE);
  if (pw_graph_builder_add (builder, name, name, NULL, &from, 1) < 0)
    return TRUE;
  return pw_graph_builder_last (builder)->info.is_loss
         || pw_json_fail (loss_place, PW_JSON_ERROR_RANGE, error, "%s is not a loss", name);
}

static PwGraph *
read_list (PwJsonPlace place, const List *list, GError **error) {
  PwGraphBuilder *builder = NULL;
  int from = PW_GRAPH_INPUT;
  g_autofree char *layers_path = pw_json_path_key (place.path, "layers");
  for (gsize i = 0; i < json_array_size (list->layers); i++) {
    g_autofree char *path = pw_json_path_index (layers_path, i);
    PwJsonPlace entry_place = { place.file, path };
    Entry entry = { .repeat = 1 };
    pw_layer_attributes_init (&entry.attributes);
    gboolean ok = read_entry (entry_place, json_array_get (list->layers, i), &entry, error);
    PwShape input;
    if (ok && builder == NULL) {
      ok = find_input (place, list, &entry, &input, error);
      if (ok)
        builder = pw_graph_builder_new (list->name != NULL ? list->name : "layers", input,
                                        (PwShape){ 0 });
    }
    gboolean is_added = ok && add_entry (builder, &entry, i, &from);
    entry_clear (&entry);
    if (ok && !is_added)
      return fail_at (entry_place, builder, error);
    if (!ok) {
      if (builder != NULL)
        pw_graph_free (pw_graph_builder_finish (builder, NULL));
      return NULL;
    }
  }
  if (!add_loss (place, list, builder, from, error)) {
    pw_graph_free (pw_graph_builder_finish (builder, NULL));
    return NULL;
  }
  if (pw_graph_builder_last (builder) == NULL)
    return fail_at (place, builder, error);
  return pw_graph_builder_finish (builder, error);
}

PwGraph *
pw_sequential_read (PwJsonPlace place, json_t *value, GError **error) {
  List list = { 0 };
  PwGraph *graph = NULL;
  if (pw_json_read_object (place, value, list_keys, G_N_ELEMENTS (list_keys), &list, error))
    graph = read_list (place, &list, error);
  g_free (list.name);
  g_free (list.loss);
  g_clear_pointer (&list.input, g_array_unref);
  return graph;
}
