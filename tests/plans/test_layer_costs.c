#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "models/registry.h"
#include "plans/costs.h"

static PwGraph *
graph_new (const char *model) {
  g_autoptr (GError) error = NULL;
  json_t *value = json_loads (model, JSON_DECODE_ANY, NULL);
  PwGraph *graph = pw_model_read ((PwJsonPlace){ NULL, "model" }, value, &error);
  g_assert_no_error (error);
  json_decref (value);
  return graph;
}

static double
random_time (void) {
  return ldexp (g_test_rand_double (), -g_test_rand_int_range (0, 40));
}

static PwLayerCosts *
random_costs (const PwGraph *graph, int tables) {
  PwLayerCosts *costs = pw_layer_costs_new (graph, "measured", tables);
  costs->machine = g_strdup ("a \"quoted\" processor, äöü");
  costs->link = (PwLink){ .latency_s = random_time (),
                          .bandwidth = 1 / random_time (),
                          .sharing = PW_LINK_FCFS };
  costs->action_overhead_s = random_time ();
  for (int t = 0; t < tables; t++) {
    costs->tables[t].samples = 1 + t * t;
    for (int l = 0; l < graph->n_layers; l++) {
      PwLayerCost *cost = &costs->tables[t].layers[l];
      cost->forward_s = random_time ();
      cost->input_s = random_time ();
      cost->weight_s = random_time ();
      cost->update_s = random_time ();
      cost->workspace_bytes = g_test_rand_int_range (0, G_MAXINT32);
    }
  }
  return costs;
}

static void
assert_equal (const PwLayerCosts *a, const PwLayerCosts *b) {
  g_assert_cmpstr (a->source, ==, b->source);
  g_assert_cmpstr (a->machine, ==, b->machine);
  g_assert_cmpstr (a->model, ==, b->model);
  g_assert_true (a->link.latency_s == b->link.latency_s && a->link.bandwidth == b->link.bandwidth
                 && a->link.sharing == b->link.sharing);
  g_assert_true (a->action_overhead_s == b->action_overhead_s);
  g_assert_cmpint (a->n_tables, ==, b->n_tables);
  g_assert_cmpint (a->n_layers, ==, b->n_layers);
  for (int t = 0; t < a->n_tables; t++) {
    g_assert_cmpint (a->tables[t].samples, ==, b->tables[t].samples);
    for (int l = 0; l < a->n_layers; l++) {
      const PwLayerCost *x = &a->tables[t].layers[l], *y = &b->tables[t].layers[l];
      g_assert_cmpstr (x->layer, ==, y->layer);
      g_assert_true (x->forward_s == y->forward_s && x->input_s == y->input_s
                     && x->weight_s == y->weight_s && x->update_s == y->update_s
                     && x->workspace_bytes == y->workspace_bytes);
    }
  }
}

static void
test_round_trip (void) {
  g_autoptr (PwGraph) graph = graph_new ("{\"name\": \"gpt\", \"blocks\": 2}");
  g_autofree char *folder = g_dir_make_tmp ("pw-costs-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "costs.json", NULL);
  for (int round = 0; round < 10; round++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwLayerCosts) costs = random_costs (graph, 1 + round % 3);
    g_assert_true (pw_layer_costs_save (costs, path, &error));
    g_autoptr (PwLayerCosts) back = pw_layer_costs_load (path, graph, &error);
    g_assert_no_error (error);
    assert_equal (costs, back);
    g_autoptr (PwLayerCosts) copy = pw_layer_costs_copy (back);
    assert_equal (costs, copy);
  }
  g_remove (path);
  g_rmdir (folder);
}

static void
test_mismatch (void) {
  g_autoptr (PwGraph) two = graph_new ("{\"name\": \"gpt\", \"blocks\": 2}");
  g_autoptr (PwGraph) three = graph_new ("{\"name\": \"gpt\", \"blocks\": 3}");
  g_autoptr (PwGraph) mlp = graph_new ("\"mlp\"");
  g_autofree char *folder = g_dir_make_tmp ("pw-costs-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "costs.json", NULL);
  g_autoptr (PwLayerCosts) costs = random_costs (two, 1);
  g_assert_true (pw_layer_costs_save (costs, path, NULL));
  const PwGraph *const others[] = { three, mlp };
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_layer_costs_load (path, others[i], &error));
    g_assert_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH);
    int differs = 0;
    while (differs < two->n_layers
           && strcmp (two->layers[differs].name, others[i]->layers[differs].name) == 0)
      differs++;
    g_assert_nonnull (strstr (error->message, "costs.json:"));
    g_assert_nonnull (strstr (error->message, two->layers[differs].name));
    g_assert_nonnull (strstr (error->message, others[i]->layers[differs].name));
  }
  g_remove (path);
  g_rmdir (folder);
}

#define LAYER "{\"layer\": \"a\", \"forward_s\": 1, \"input_s\": 1, \"weight_s\": 1}"
static const struct {
  const char *text;
  PwJsonError code;
  const char *message;
} bad[] = {
  { "[]", PW_JSON_ERROR_TYPE, "expected an object" },
  { "{\"tables\": []}", PW_JSON_ERROR_MISSING_KEY, "missing key \"version\"" },
  { "{\"version\": 1}", PW_JSON_ERROR_MISSING_KEY, "missing key \"tables\"" },
  { "{\n\"version\": 2, \"new\": 3}", PW_JSON_ERROR_VERSION, ":2: version: " },
  { "{\"version\": 1, \"tables\": []}", PW_JSON_ERROR_TYPE, "tables: expected a list" },
  { "{\"version\": 1, \"tables\": [{\"samples\": 1, \"layers\": []}]}", PW_JSON_ERROR_TYPE,
    "tables[0].layers: expected a list" },
  { "{\"version\": 1, \"tables\": [{\"samples\": 0, \"layers\": [" LAYER "]}]}",
    PW_JSON_ERROR_RANGE, "tables[0].samples: 0 is below the minimum 1" },
  { "{\"version\": 1, \"tables\": [{\"samples\": 1, \"layers\": [" LAYER "]},\n{\"samples\": 1, "
    "\"layers\": [" LAYER "]}]}",
    PW_JSON_ERROR_RANGE, "tables[1]: tables stand in ascending order" },
  { "{\"version\": 1, \"tables\": [{\"samples\": 1, \"layers\": [" LAYER "]},\n{\"samples\": 2, "
    "\"layers\": [" LAYER "," LAYER "]}]}",
    PW_JSON_ERROR_RANGE, "tables[1]: lists 2 layers, the table before it 1" },
  { "{\"version\": 1, \"tables\": [{\"samples\": 1, \"layers\": [" LAYER ", {\"layer\": \"b\", "
    "\"forward_s\": -1, \"input_s\": 1, \"weight_s\": 1}]}]}",
    PW_JSON_ERROR_RANGE, "tables[0].layers[1].forward_s: -1 is below the minimum 0" },
  { "{\"version\": 1, \"tables\": [{\"samples\": 1, \"layers\": [{\"forward_s\": 1}]}]}",
    PW_JSON_ERROR_MISSING_KEY, "tables[0].layers[0]: missing key \"layer\"" },
};

static void
test_bad_files (void) {
  g_autofree char *folder = g_dir_make_tmp ("pw-costs-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "costs.json", NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_true (g_file_set_contents (path, bad[i].text, -1, NULL));
    g_assert_null (pw_layer_costs_load (path, NULL, &error));
    g_test_message ("%s", error->message);
    g_assert_error (error, PW_JSON_ERROR, (int)bad[i].code);
    g_assert_nonnull (strstr (error->message, bad[i].message));
  }
  g_remove (path);
  g_rmdir (folder);
}

static void
test_interpolation (void) {
  g_autoptr (PwGraph) graph = graph_new ("\"mlp\"");
  g_autoptr (PwLayerCosts) costs = random_costs (graph, 3); /* 1, 2 and 5 samples */
  for (int l = 0; l < graph->n_layers; l++) {
    PwLayerCost out;
    for (int t = 0; t < 3; t++) {
      const PwLayerCost *measured = &costs->tables[t].layers[l];
      pw_layer_costs_at (costs, l, (double)costs->tables[t].samples, &out);
      g_assert_true (out.forward_s == measured->forward_s && out.input_s == measured->input_s
                     && out.weight_s == measured->weight_s && out.update_s == measured->update_s
                     && out.workspace_bytes == measured->workspace_bytes);
      g_assert_cmpstr (out.layer, ==, graph->layers[l].name);
    }
    const PwLayerCost *low = &costs->tables[0].layers[l], *two = &costs->tables[1].layers[l];
    const PwLayerCost *five = &costs->tables[2].layers[l];
    pw_layer_costs_at (costs, l, 3.5, &out);
    g_assert_cmpfloat_with_epsilon (out.forward_s, (two->forward_s + five->forward_s) / 2, 1e-15);
    g_assert_cmpfloat_with_epsilon (out.update_s, (two->update_s + five->update_s) / 2, 1e-15);
    pw_layer_costs_at (costs, l, 10, &out);
    g_assert_true (out.weight_s == 2 * five->weight_s && out.update_s == five->update_s);
    g_assert_cmpint (out.workspace_bytes, ==, 2 * five->workspace_bytes);
    pw_layer_costs_at (costs, l, 0.5, &out);
    g_assert_true (out.input_s == low->input_s / 2 && out.update_s == low->update_s);
  }
}

/* More samples never take less, and the two slopes of the roof are met. */
static void
test_roofline (void) {
  g_autoptr (PwGraph) graph = graph_new (
      "{\"layers\": [{\"type\": \"linear\", \"in\": 4096, \"out\": 4096, \"repeat\": 2}]}");
  const PwHardware *hardware = pw_hardware_get ("v100-32g-sxm");
  const PwLayer *layer = &graph->layers[1];
  double rate = hardware->flops * hardware->efficiency;
  double before = 0;
  for (int64_t samples = 1; samples <= 1 << 16; samples *= 2) {
    g_autoptr (PwLayerCosts) costs
        = pw_layer_costs_new_analytic (graph, hardware, PW_PRECISION_FP32, samples);
    double forward = costs->tables[0].layers[1].forward_s;
    g_assert_cmpfloat (forward, >=, before);
    g_assert_cmpfloat (forward, >=, (double)(samples * layer->info.flops_forward) / rate);
    if (samples == 1) /* the weights must come from memory */
      g_assert_cmpfloat (forward, >=, 4.0 * 4096 * 4096 / hardware->memory_bandwidth);
    before = forward;
  }
  g_assert_cmpfloat_with_epsilon (before, 65536.0 * (double)layer->info.flops_forward / rate,
                                  1e-12);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/layer-costs/file-round-trips-to-the-last-bit", test_round_trip);
  g_test_add_func ("/plans/layer-costs/another-model-is-named-by-its-first-difference",
                   test_mismatch);
  g_test_add_func ("/plans/layer-costs/bad-files-name-place-and-cause", test_bad_files);
  g_test_add_func ("/plans/layer-costs/interpolation-is-linear-between-measurements",
                   test_interpolation);
  g_test_add_func ("/plans/layer-costs/estimate-follows-the-roofline", test_roofline);
  return g_test_run ();
}
