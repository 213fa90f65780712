#include <math.h>

#include "models/lifetime.h"
#include "models/registry.h"

static PwGraph *
read_model (const char *text) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwJsonFile) json = pw_json_file_parse ("test", text, &error);
  g_assert_no_error (error);
  PwGraph *graph = pw_model_read ((PwJsonPlace){ json, "" }, json->root, &error);
  g_assert_no_error (error);
  return graph;
}

/* The closed forms, as Narayanan et al. (2104.04473, section 3.4) and its appendix have them. */
static void
check_gpt (int64_t L, int64_t C, int64_t heads, int64_t T, int64_t V, gboolean tied) {
  g_autofree char *text = g_strdup_printf (
      "{\"name\": \"gpt\", \"blocks\": %" G_GINT64_FORMAT ", \"width\": %" G_GINT64_FORMAT
      ", \"heads\": %" G_GINT64_FORMAT ", \"tokens\": %" G_GINT64_FORMAT
      ", \"vocabulary\": %" G_GINT64_FORMAT ", \"tied\": %s}",
      L, C, heads, T, V, tied ? "true" : "false");
  g_autoptr (PwGraph) graph = read_model (text);
  g_assert_true (pw_graph_check (graph, NULL));
  int64_t parameters = L * (12 * C * C + 13 * C) + (V + T) * C + 2 * C + (tied ? 0 : V * C);
  g_assert_cmpint (pw_graph_parameters (graph, 0, graph->n_layers), ==, parameters);
  /* 72 L T C^2 (1 + T/(6C) + V/(12 L C)), multiplied out. */
  int64_t flops = 72 * L * T * C * C + 12 * L * T * T * C + 6 * T * C * V;
  g_assert_cmpint (pw_graph_flops (graph, 0, graph->n_layers), ==, flops);
  const PwUnit *block = &graph->units[1];
  g_assert_cmpint (pw_graph_parameters (graph, block->first_layer, block->n_layers), ==,
                   12 * C * C + 13 * C);
  g_assert_cmpint (graph->n_units, ==, L + 2);
}

static void
test_gpt (void) {
  check_gpt (8, 256, 4, 128, 256, FALSE);
  check_gpt (24, 1024, 16, 1024, 50257, FALSE);
  check_gpt (96, 12288, 96, 2048, 51200, TRUE);
  for (int i = 0; i < 50; i++) {
    int heads = g_test_rand_int_range (1, 9);
    check_gpt (g_test_rand_int_range (1, 20), heads * g_test_rand_int_range (1, 65), heads,
               g_test_rand_int_range (1, 300), g_test_rand_int_range (1, 1000), g_test_rand_bit ());
  }
}

/* RMSNorm has no bias; dropout stands behind the embeddings and at the end of each branch. */
static void
test_gpt_options (void) {
  g_autoptr (PwGraph) plain = read_model ("{\"name\": \"gpt\", \"blocks\": 3}");
  g_autoptr (PwGraph) graph
      = read_model ("{\"name\": \"gpt\", \"blocks\": 3, \"norm\": \"rmsnorm\", \"dropout\": 0.25}");
  g_assert_cmpint (pw_graph_parameters (graph, 0, graph->n_layers), ==,
                   pw_graph_parameters (plain, 0, plain->n_layers) - (2 * 3 + 1) * 256);
  g_assert_cmpint (pw_graph_flops (graph, 0, graph->n_layers), ==,
                   pw_graph_flops (plain, 0, plain->n_layers));
  g_assert_cmpint (graph->n_layers, ==, plain->n_layers + 1 + 2 * 3);
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayer *layer = &graph->layers[l];
    g_assert_cmpstr (layer->type->name, !=, "layernorm");
    if (!g_str_equal (layer->type->name, "dropout"))
      continue;
    const char *before = graph->layers[layer->inputs[0]].name;
    g_assert_true (g_str_has_suffix (before, ".position")
                   || g_str_has_suffix (before, ".projection")
                   || g_str_has_suffix (before, ".fc2"));
    g_assert_cmpfloat (layer->attributes.probability, ==, 0.25);
  }
}

static void
test_gpt2 (void) {
  g_autoptr (PwGraph) graph
      = read_model ("{\"name\": \"gpt\", \"blocks\": 12, \"width\": 768, \"heads\": 12,"
                    " \"tokens\": 1024, \"vocabulary\": 50257, \"tied\": true}");
  g_assert_cmpint (pw_graph_parameters (graph, 0, graph->n_layers), ==, 124439808);
}

static void
test_gpt_initial_values (void) {
  g_autoptr (PwGraph) graph = read_model ("{\"name\": \"gpt\", \"blocks\": 2}");
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayer *layer = &graph->layers[l];
    for (int i = 0; i < layer->info.n_parameters; i++) {
      const PwLayerParameter *parameter = &layer->info.parameters[i];
      gboolean is_residual
          = g_str_has_suffix (layer->name, ".projection") || g_str_has_suffix (layer->name, ".fc2");
      if (!parameter->from_weight_gradient)
        g_assert_true (parameter->init == PW_INIT_ZEROS || parameter->init == PW_INIT_ONES);
      else
        g_assert_cmpfloat_with_epsilon (parameter->scale, is_residual ? 0.02 / sqrt (4) : 0.02,
                                        1e-15);
    }
  }
}

static void
test_mlp (void) {
  for (int i = 0; i < 50; i++) {
    int64_t in = g_test_rand_int_range (1, 50), C = g_test_rand_int_range (1, 50);
    int64_t depth = g_test_rand_int_range (1, 10), out = g_test_rand_int_range (1, 50);
    g_autofree char *text = g_strdup_printf (
        "{\"name\": \"mlp\", \"input\": %d, \"width\": %d, \"depth\": %d, \"output\": %d,"
        " \"activation\": \"gelu\", \"loss\": \"cross_entropy\"}",
        (int)in, (int)C, (int)depth, (int)out);
    g_autoptr (PwGraph) graph = read_model (text);
    g_assert_true (pw_graph_check (graph, NULL));
    int64_t weights = in * C + (depth - 1) * C * C + C * out;
    g_assert_cmpint (pw_graph_parameters (graph, 0, graph->n_layers), ==,
                     weights + depth * C + out);
    /* The first layer has no input gradient. */
    g_assert_cmpint (pw_graph_flops (graph, 0, graph->n_layers), ==, 6 * weights - 2 * in * C);
    g_assert_cmpint (graph->n_units, ==, depth + 2);
    g_assert_cmpint (graph->target.n_dims, ==, 0);
    g_assert_cmpint (graph->target.dtype, ==, PW_DTYPE_I32);
  }
}

/* Whatever model is added: its defaults build, pass the check and can be cut between any units. */
static void
test_every_model (void) {
  for (const PwModel *const *model = pw_model_list (); *model != NULL; model++) {
    g_assert_true (pw_model_get ((*model)->name) == *model);
    g_autofree char *text = g_strdup_printf ("{\"name\": \"%s\"}", (*model)->name);
    g_autoptr (PwGraph) graph = read_model (text);
    g_assert_cmpstr (graph->name, ==, (*model)->name);
    g_assert_true (pw_graph_check (graph, NULL));
    g_autofree int *bounds = g_new0 (int, (gsize)(graph->n_units + 1));
    for (int u = 0; u < graph->n_units; u++)
      bounds[u + 1] = graph->units[u].first_layer + graph->units[u].n_layers;
    for (int u = 0; u < graph->n_units; u++) {
      g_autoptr (PwLifetimes) lifetimes
          = pw_lifetimes_new_stage (graph, bounds, graph->n_units, u, TRUE);
      PwFootprint footprint;
      pw_lifetimes_footprint (lifetimes, &footprint);
      g_assert_cmpint (footprint.received_bytes, >, 0);
    }
  }
  g_assert_null (pw_model_get ("none"));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/zoo/gpt-has-the-closed-forms", test_gpt);
  g_test_add_func ("/models/zoo/gpt-takes-rmsnorm-and-dropout", test_gpt_options);
  g_test_add_func ("/models/zoo/gpt-2-has-124439808-parameters", test_gpt2);
  g_test_add_func ("/models/zoo/gpt-starts-as-gpt-2-does", test_gpt_initial_values);
  g_test_add_func ("/models/zoo/mlp-has-the-closed-forms", test_mlp);
  g_test_add_func ("/models/zoo/every-model-builds-and-can-be-cut", test_every_model);
  return g_test_run ();
}
