/* The cost file:
 *
 *   {"version": 1, "source": "measured", "machine": "...", "model": "gpt", "precision": "fp32",
 *    "action_overhead_s": 1e-06, "link": {"latency_s": ..., "bandwidth": ..., "sharing": "own"},
 *    "tables": [{"samples": 4, "layers": [{"layer": "embedding.token", "forward_s": ...}, ...]}]}
 */
#include "plans/costs.h"

#include <string.h>

#include "plans/plan_private.h"

#define SECONDS_MAX 1e9

static const PwJsonKey layer_keys[] = {
  {
      .key = "layer",
      .type = PW_JSON_STRING,
      .offset = offsetof (PwLayerCost, layer),
      .required = TRUE,
  },
  {
      .key = "forward_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwLayerCost, forward_s),
      .required = TRUE,
      .maximum = SECONDS_MAX,
      .unit = "s",
  },
  {
      .key = "input_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwLayerCost, input_s),
      .required = TRUE,
      .maximum = SECONDS_MAX,
      .unit = "s",
  },
  {
      .key = "weight_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwLayerCost, weight_s),
      .required = TRUE,
      .maximum = SECONDS_MAX,
      .unit = "s",
  },
  {
      .key = "update_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwLayerCost, update_s),
      .maximum = SECONDS_MAX,
      .unit = "s",
  },
  {
      .key = "workspace_bytes",
      .type = PW_JSON_BYTES,
      .offset = offsetof (PwLayerCost, workspace_bytes),
      .maximum = 1e15,
      .unit = "bytes",
  },
};

/* A table as it is read: its number of layers is checked once all are known. */
typedef struct {
  int64_t samples;
  int n_layers;
  PwLayerCost *layers;
} TableRows;

static gboolean
read_layers (PwJsonPlace place, json_t *value, void *field, GError **error) {
  TableRows *rows = field;
  if (!json_is_array (value) || json_array_size (value) == 0)
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected a list of layers");
  gsize n = json_array_size (value);
  rows->layers = g_new0 (PwLayerCost, n);
  rows->n_layers = (int)n;
  for (gsize i = 0; i < n; i++) {
    g_autofree char *path = pw_json_path_index (place.path, i);
    if (!pw_json_read_object ((PwJsonPlace){ place.file, path }, json_array_get (value, i),
                              layer_keys, G_N_ELEMENTS (layer_keys), &rows->layers[i], error))
      return FALSE;
  }
  return TRUE;
}

static const PwJsonKey table_keys[] = {
  {
      .key = "samples",
      .type = PW_JSON_INTEGER,
      .offset = offsetof (TableRows, samples),
      .required = TRUE,
      .minimum = 1,
      .maximum = 1e12,
  },
  { .key = "layers", .type = PW_JSON_CUSTOM, .required = TRUE, .read = read_layers },
};

/* Takes the rows over, unless it fails. */
static gboolean
add_table (PwLayerCosts *costs, PwJsonPlace place, const TableRows *rows, GError **error) {
  const PwLayerCostTable *before = costs->n_tables > 0 ? &costs->tables[costs->n_tables - 1] : NULL;
  if (before != NULL && rows->n_layers != costs->n_layers)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error,
                         "lists %d layers, the table before it %d", rows->n_layers,
                         costs->n_layers);
  if (before != NULL && rows->samples <= before->samples)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error,
                         "tables stand in ascending order of \"samples\", each size once");
  costs->n_layers = rows->n_layers;
  costs->tables[costs->n_tables++]
      = (PwLayerCostTable){ .samples = rows->samples, .layers = rows->layers };
  return TRUE;
}

static void
clear_rows (PwLayerCost *layers, int n) {
  for (int i = 0; layers != NULL && i < n; i++)
    g_free (layers[i].layer);
  g_free (layers);
}

/* FIELD is the PwLayerCosts itself. */
static gboolean
read_tables (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwLayerCosts *costs = field;
  if (!json_is_array (value) || json_array_size (value) == 0)
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected a list of tables");
  costs->tables = g_new0 (PwLayerCostTable, json_array_size (value));
  for (gsize i = 0; i < json_array_size (value); i++) {
    g_autofree char *path = pw_json_path_index (place.path, i);
    PwJsonPlace here = { place.file, path };
    TableRows rows = { 0 };
    if (!pw_json_read_object (here, json_array_get (value, i), table_keys,
                              G_N_ELEMENTS (table_keys), &rows, error)
        || !add_table (costs, here, &rows, error)) {
      clear_rows (rows.layers, rows.n_layers);
      return FALSE;
    }
  }
  return TRUE;
}

typedef struct {
  PwLayerCosts costs; /* first: read_tables takes it at offset 0 */
  int64_t version;
} CostFile;

static const PwJsonKey file_keys[] = {
  {
      .key = "version",
      .type = PW_JSON_INTEGER,
      .offset = offsetof (CostFile, version),
      .required = TRUE,
  },
  { .key = "source", .type = PW_JSON_STRING, .offset = offsetof (CostFile, costs.source) },
  { .key = "machine", .type = PW_JSON_STRING, .offset = offsetof (CostFile, costs.machine) },
  { .key = "model", .type = PW_JSON_STRING, .offset = offsetof (CostFile, costs.model) },
  {
      .key = "precision",
      .type = PW_JSON_ENUM,
      .offset = offsetof (CostFile, costs.precision),
      .names = pw_precision_names,
  },
  {
      .key = "action_overhead_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (CostFile, costs.action_overhead_s),
      .maximum = SECONDS_MAX,
      .unit = "s",
  },
  {
      .key = "link",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (CostFile, costs.link),
      .read = pw__link_read,
  },
  {
      .key = "messages",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (CostFile, costs.messages),
      .read = pw__messages_read,
  },
  {
      .key = "tables",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (CostFile, costs),
      .required = TRUE,
      .read = read_tables,
  },
};

/* Before the rows: a newer file may have keys this reader does not know. */
static gboolean
check_version (PwJsonPlace place, json_t *root, GError **error) {
  json_t *version = json_object_get (root, "version");
  if (version == NULL || !json_is_integer (version)
      || json_integer_value (version) == PW_COSTS_VERSION)
    return TRUE;
  return pw_json_fail ((PwJsonPlace){ place.file, "version" }, PW_JSON_ERROR_VERSION, error,
                       "this program reads version %d of cost files, not %" JSON_INTEGER_FORMAT,
                       PW_COSTS_VERSION, json_integer_value (version));
}

static gboolean
check_graph (const PwLayerCosts *costs, const PwJsonFile *json, const PwGraph *graph,
             GError **error) {
  int n = MIN (costs->n_layers, graph->n_layers);
  for (int t = 0; t < costs->n_tables; t++)
    for (int l = 0; l < n; l++) {
      const char *name = costs->tables[t].layers[l].layer;
      if (strcmp (name, graph->layers[l].name) == 0)
        continue;
      g_set_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH,
                   "tables[%d].layers[%d] is \"%s\", the model's layer %d is \"%s\"", t, l, name, l,
                   graph->layers[l].name);
      g_autofree char *path = g_strdup_printf ("tables[%d].layers[%d]", t, l);
      pw_json_prefix_error ((PwJsonPlace){ json, path }, error);
      return FALSE;
    }
  if (costs->n_layers == graph->n_layers)
    return TRUE;
  gboolean fewer = costs->n_layers < graph->n_layers;
  g_set_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH,
               "has %d layers, the model %d: the first without its like is \"%s\"", costs->n_layers,
               graph->n_layers, fewer ? graph->layers[n].name : costs->tables[0].layers[n].layer);
  pw_json_prefix_error ((PwJsonPlace){ json, "tables" }, error);
  return FALSE;
}

PwLayerCosts *
pw_layer_costs_load (const char *path, const PwGraph *graph, GError **error) {
  g_autoptr (PwJsonFile) json = pw_json_file_load (path, error);
  if (json == NULL)
    return NULL;
  PwJsonPlace place = { .file = json, .path = "" };
  CostFile file = { .costs = { .precision = -1 } };
  g_autoptr (PwLayerCosts) costs = NULL;
  gboolean ok = check_version (place, json->root, error)
                && pw_json_read_object (place, json->root, file_keys, G_N_ELEMENTS (file_keys),
                                        &file, error);
  costs = g_memdup2 (&file.costs, sizeof file.costs);
  if (!ok || (graph != NULL && !check_graph (costs, json, graph, error)))
    return NULL;
  if (costs->source == NULL)
    costs->source = g_strdup ("measured");
  return g_steal_pointer (&costs);
}

static json_t *
table_to_json (const PwLayerCostTable *table, int n_layers) {
  json_t *layers = json_array ();
  for (int l = 0; l < n_layers; l++) {
    const PwLayerCost *cost = &table->layers[l];
    json_array_append_new (layers,
                           json_pack ("{s:s, s:f, s:f, s:f, s:f, s:I}", "layer", cost->layer,
                                      "forward_s", cost->forward_s, "input_s", cost->input_s,
                                      "weight_s", cost->weight_s, "update_s", cost->update_s,
                                      "workspace_bytes", (json_int_t)cost->workspace_bytes));
  }
  return json_pack ("{s:I, s:o}", "samples", (json_int_t)table->samples, "layers", layers);
}

gboolean
pw_layer_costs_save (const PwLayerCosts *costs, const char *path, GError **error) {
  json_t *tables = json_array ();
  for (int t = 0; t < costs->n_tables; t++)
    json_array_append_new (tables, table_to_json (&costs->tables[t], costs->n_layers));
  json_t *root = json_pack (
      "{s:i, s:s*, s:s*, s:s*, s:s*, s:f, s:o}", "version", PW_COSTS_VERSION, "source",
      costs->source, "machine", costs->machine, "model", costs->model, "precision",
      costs->precision >= 0 ? pw_precision_names[costs->precision] : NULL, "action_overhead_s",
      costs->action_overhead_s, "link", pw__link_to_json (&costs->link));
  pw__messages_add (root, &costs->messages);
  json_object_set_new (root, "tables", tables);
  return pw__json_save (root, path, error);
}
