/* A model written in the plan as a list of layers. A layer reads the one before it, or those that
 * its entry names:
 *
 *   linear a ──> relu ──> linear b ──> add ["a", "b"] ──> ...
 *          \____________________________/
 */
#include <stddef.h>
#include <string.h>

#include "models/sequential_private.h"

#define LAYERS_MAX (1 << 24)

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

/* The input of one sample: as written, or as the first layer's sizes have it. */
static gboolean
find_input (PwJsonPlace place, const List *list, const PwListEntry *first, PwShape *input,
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
  input->dims[input->n_dims++] = features;
  const PwShape inputs[PW_LAYER_INPUTS_MAX] = { *input, *input };
  PwLayerInfo info = { 0 };
  if (features == 0 || input->dtype == PW_DTYPE_I32
      || !first->type->describe (first->type, &first->attributes, inputs, &info, NULL))
    return pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error,
                         "missing key \"input\": the shape of a sample, which a first layer of the "
                         "type %s does not say",
                         first->type->name);
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
    return pw__list_fail_type (loss_place, name, error);
  pw_graph_builder_begin_unit (builder, "loss", TRUE);
  if (pw_graph_builder_add (builder, name, name, NULL, &from, 1) < 0)
    return TRUE;
  return pw_graph_builder_last (builder)->info.is_loss
         || pw_json_fail (loss_place, PW_JSON_ERROR_RANGE, error, "%s is not a loss", name);
}

/* An entry of the list while it is turned into layers. */
typedef struct {
  PwJsonPlace place; /* of the list */
  const PwListEntry *entries;
  const PwListNames *names;
  PwGraphBuilder *builder;
  gboolean *is_read; /* [layers] */
} Maker;

/* Adds entry NUMBER, whose layers are numbered from FIRST. */
static gboolean
add_entry (Maker *maker, PwJsonPlace place, gsize number, int first, GError **error) {
  const PwListEntry *entry = &maker->entries[number];
  const PwLayerType *type = entry->type;
  int inputs[PW_LAYER_INPUTS_MAX];
  if (!pw__list_names_resolve (place, maker->names, entry, first, inputs, error))
    return FALSE;
  for (int64_t i = 0; i < entry->repeat; i++) {
    pw_graph_builder_begin_unit (maker->builder, pw__list_names_get (maker->names, first + (int)i),
                                 FALSE);
    int layer = pw_graph_builder_add (maker->builder, type->name, type->name, &entry->attributes,
                                      inputs, type->n_inputs);
    if (layer < 0) {
      fail_at (place, maker->builder, error);
      maker->builder = NULL;
      return FALSE;
    }
    for (int k = 0; k < type->n_inputs; k++)
      if (inputs[k] != PW_GRAPH_INPUT)
        maker->is_read[inputs[k]] = TRUE;
    inputs[0] = layer;
  }
  return TRUE;
}

static gboolean
add_entries (Maker *maker, gsize n, int *n_layers, GError **error) {
  g_autofree char *layers_path = pw_json_path_key (maker->place.path, "layers");
  *n_layers = 0;
  for (gsize i = 0; i < n; i++) {
    g_autofree char *path = pw_json_path_index (layers_path, i);
    if (!add_entry (maker, (PwJsonPlace){ maker->place.file, path }, i, *n_layers, error))
      return FALSE;
    *n_layers += (int)maker->entries[i].repeat;
  }
  for (int l = 0; l + 1 < *n_layers; l++)
    if (!maker->is_read[l]) {
      g_autofree char *path
          = pw_json_path_index (layers_path, pw__list_names_entry (maker->names, l));
      g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE, "no layer reads the output of %s",
                   pw__list_names_get (maker->names, l));
      pw_json_prefix_error ((PwJsonPlace){ maker->place.file, path }, error);
      return FALSE;
    }
  return TRUE;
}

static PwGraph *
build (PwJsonPlace place, const List *list, const PwListEntry *entries, GError **error) {
  gsize n = json_array_size (list->layers);
  int64_t n_layers = 0;
  for (gsize i = 0; i < n; i++)
    n_layers += entries[i].repeat;
  if (n_layers > LAYERS_MAX) {
    pw_json_fail (place, PW_JSON_ERROR_RANGE, error,
                  "%" G_GINT64_FORMAT " layers are above the "
                  "maximum %d",
                  n_layers, LAYERS_MAX);
    return NULL;
  }
  PwShape input;
  if (!find_input (place, list, &entries[0], &input, error))
    return NULL;
  g_autoptr (PwListNames) names = pw__list_names_new (entries, n);
  g_autofree gboolean *is_read = g_new0 (gboolean, (gsize)n_layers);
  const char *name = list->name != NULL ? list->name : "layers";
  Maker maker = { .place = place,
                  .entries = entries,
                  .names = names,
                  .builder = pw_graph_builder_new (name, input, (PwShape){ 0 }),
                  .is_read = is_read };
  int last;
  if (!add_entries (&maker, n, &last, error)
      || !add_loss (place, list, maker.builder, last - 1, error)) {
    if (maker.builder != NULL)
      pw_graph_free (pw_graph_builder_finish (maker.builder, NULL));
    return NULL;
  }
  if (pw_graph_builder_last (maker.builder) == NULL)
    return fail_at (place, maker.builder, error);
  return pw_graph_builder_finish (maker.builder, error);
}

static PwGraph *
read_list (PwJsonPlace place, const List *list, GError **error) {
  gsize n = json_array_size (list->layers), read = 0;
  g_autofree PwListEntry *entries = g_new0 (PwListEntry, n);
  g_autofree char *layers_path = pw_json_path_key (place.path, "layers");
  PwGraph *graph = NULL;
  for (; read < n; read++) {
    g_autofree char *path = pw_json_path_index (layers_path, read);
    if (!pw__list_entry_read ((PwJsonPlace){ place.file, path },
                              json_array_get (list->layers, read), &entries[read], error))
      break;
  }
  if (read == n)
    graph = build (place, list, entries, error);
  for (gsize i = 0; i < read; i++)
    pw__list_entry_clear (&entries[i]);
  return graph;
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
