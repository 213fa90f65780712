#include <string.h>

#include "models/registry.h"

static const PwShape ten = { .n_dims = 1, .dims = { 10 } };

static PwGraphBuilder *
builder_new (void) {
  PwGraphBuilder *builder = pw_graph_builder_new ("g", ten, (PwShape){ 0 });
  pw_graph_builder_begin_unit (builder, "u", FALSE);
  return builder;
}

static int
add_linear (PwGraphBuilder *builder, const char *name, int from, int64_t in, int64_t out) {
  PwLayerAttributes attributes = { .in = in, .out = out, .bias = TRUE };
  return pw_graph_builder_add (builder, "linear", name, &attributes, &from, 1);
}

/* Ends BUILDER and expects this error. */
static void
assert_fails (PwGraphBuilder *builder, PwModelError code, const char *message) {
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_graph_builder_finish (builder, &error));
  g_assert_error (error, PW_MODEL_ERROR, (int)code);
  g_assert_cmpstr (error->message, ==, message);
}

static void
test_first_error (void) {
  PwGraphBuilder *builder = builder_new ();
  g_assert_cmpint (add_linear (builder, "a", PW_GRAPH_INPUT, 10, 5), ==, 0);
  g_assert_cmpint (add_linear (builder, "b", 0, 6, 5), ==, -1);
  g_assert_cmpint (add_linear (builder, "c", 0, 7, 5), ==, -1);
  g_assert_null (pw_graph_builder_last (builder));
  assert_fails (builder, PW_MODEL_ERROR_SHAPE,
                "g: u.b: needs 6 features, but [5] fp32 comes in from u.a");
}

static void
test_bad_structure (void) {
  PwGraphBuilder *builder = builder_new ();
  pw_graph_builder_add (builder, "linaer", "a", NULL, (int[]){ PW_GRAPH_INPUT }, 1);
  assert_fails (builder, PW_MODEL_ERROR_UNKNOWN,
                "g: u.a: there is no layer type \"linaer\", did you mean \"linear\"?");

  builder = builder_new ();
  pw_graph_builder_add (builder, "add", "a", NULL, (int[]){ PW_GRAPH_INPUT }, 1);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE, "g: u.a: add reads 2 tensors, not 1");

  builder = builder_new ();
  pw_graph_builder_add (builder, "relu", "a", NULL, (int[]){ 0 }, 1);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE, "g: u.a: reads layer 0, which is not before it");

  builder = builder_new ();
  add_linear (builder, "a", PW_GRAPH_INPUT, 10, 5);
  add_linear (builder, "a", 0, 5, 5);
  assert_fails (builder, PW_MODEL_ERROR_ATTRIBUTE, "g: u.a: the name is used twice");

  builder = builder_new ();
  add_linear (builder, "a", PW_GRAPH_INPUT, 10, 10);
  add_linear (builder, "b", PW_GRAPH_INPUT, 10, 10);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE, "g: u.a: no layer reads its output");

  builder = builder_new ();
  pw_graph_builder_add (builder, "mse", "a", NULL, (int[]){ PW_GRAPH_INPUT }, 1);
  add_linear (builder, "b", 0, 1, 1);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE, "g: b: a layer after the loss");

  builder = builder_new ();
  PwLayerAttributes attributes = { .vocabulary = 5, .features = 5 };
  pw_graph_builder_add (builder, "embedding", "a", &attributes, (int[]){ PW_GRAPH_INPUT }, 1);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE,
                "g: u.a: embedding needs integers, but [10] fp32 comes in from the sample");

  builder = builder_new ();
  add_linear (builder, "a", PW_GRAPH_INPUT, 10, 5);
  add_linear (builder, "b", 0, 5, 4);
  pw_graph_builder_add (builder, "add", "c", NULL, (int[]){ 0, 1 }, 2);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE,
                "g: u.c: needs two of one shape, but [5] fp32 and [4] fp32 come in from u.a and "
                "u.b");

  assert_fails (builder_new (), PW_MODEL_ERROR_SHAPE, "g: layers: a model needs at least one");

  builder = pw_graph_builder_new ("g", ten, (PwShape){ 0 });
  add_linear (builder, "a", PW_GRAPH_INPUT, 10, 5);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE, "g: a: a layer before the first unit");
}

static void
test_bad_units (void) {
  PwGraphBuilder *builder = builder_new ();
  pw_graph_builder_begin_unit (builder, "v", FALSE);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE, "g: u: a unit without layers");

  builder = builder_new ();
  add_linear (builder, "a", PW_GRAPH_INPUT, 10, 10);
  pw_graph_builder_begin_unit (builder, "v", TRUE);
  add_linear (builder, "a", 0, 10, 10);
  pw_graph_builder_begin_unit (builder, "w", FALSE);
  add_linear (builder, "a", 1, 10, 10);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE, "g: v: an end unit between others");

  builder = pw_graph_builder_new ("g", ten, (PwShape){ .n_dims = 1, .dims = { 11 } });
  pw_graph_builder_begin_unit (builder, "u", FALSE);
  add_linear (builder, "a", PW_GRAPH_INPUT, 10, 10);
  pw_graph_builder_add (builder, "mse", "loss", NULL, (int[]){ 0 }, 1);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE,
                "g: u.loss: needs targets [10] fp32, the model has [11] fp32");
}

static void
test_too_large (void) {
  const int64_t most = G_MAXINT;
  PwShape rows = { .n_dims = 3, .dims = { most, most, 1 } };
  PwGraphBuilder *builder = pw_graph_builder_new ("g", rows, (PwShape){ 0 });
  pw_graph_builder_begin_unit (builder, "u", FALSE);
  add_linear (builder, "a", PW_GRAPH_INPUT, 1, most);
  assert_fails (builder, PW_MODEL_ERROR_ATTRIBUTE, "g: u.a: a tensor too large to count");
  rows = (PwShape){ .n_dims = 2, .dims = { 1 << 10, 1 << 20 } };
  builder = pw_graph_builder_new ("g", rows, (PwShape){ 0 });
  pw_graph_builder_begin_unit (builder, "u", FALSE);
  add_linear (builder, "a", PW_GRAPH_INPUT, 1 << 20, most);
  assert_fails (builder, PW_MODEL_ERROR_ATTRIBUTE,
                "g: u.a: too large for its FLOPs and bytes to be counted");
}

static void
test_sums (void) {
  PwGraphBuilder *builder = builder_new ();
  int a = add_linear (builder, "a", PW_GRAPH_INPUT, 10, 10);
  int b = add_linear (builder, "b", a, 10, 10);
  int c = add_linear (builder, "c", b, 10, 10);
  int d = add_linear (builder, "d", c, 10, 10);
  pw_graph_builder_share (builder, b, a);
  pw_graph_builder_share (builder, d, b);
  g_autoptr (PwGraph) graph = pw_graph_builder_finish (builder, NULL);
  g_assert_nonnull (graph);
  g_assert_cmpint (graph->layers[d].shares_with, ==, a);
  /* The shared matrix once in any range that holds one of its users, the biases always. */
  g_assert_cmpint (pw_graph_parameters (graph, 0, 4), ==, 2 * 100 + 4 * 10);
  g_assert_cmpint (pw_graph_parameters (graph, 1, 3), ==, 2 * 100 + 3 * 10);
  g_assert_cmpint (pw_graph_parameters (graph, 3, 1), ==, 100 + 10);
  /* The first layer makes no input gradient. */
  g_assert_cmpint (pw_graph_flops (graph, 0, 1), ==, 2 * 200);
  g_assert_cmpint (pw_graph_flops (graph, 0, 4), ==, 2 * 200 + 3 * 3 * 200);
  g_assert_false (graph->layers[a].info.has_input_gradient);
  g_assert_true (graph->layers[b].info.has_input_gradient);
}

static void
test_bad_share (void) {
  PwGraphBuilder *builder = builder_new ();
  int a = add_linear (builder, "a", PW_GRAPH_INPUT, 10, 5);
  int b = add_linear (builder, "b", a, 5, 10);
  pw_graph_builder_share (builder, b, a);
  assert_fails (builder, PW_MODEL_ERROR_SHAPE,
                "g: u.b: cannot share the first parameter of u.a, whose shape is another");
}

/* The check sees each way in which a graph is spoilt after it was built. */
static void
test_check (void) {
  const PwModel *model = pw_model_get ("gpt");
  g_autofree void *options = g_malloc0 (model->options_size);
  model->defaults (options);
  g_autoptr (PwGraph) graph = model->build (options, NULL);
  g_assert_true (pw_graph_check (graph, NULL));
  PwLayer *layer = &graph->layers[10];
  PwLayer saved = *layer;
  g_autoptr (GError) error = NULL;
#define ASSERT_SPOILT(change)                                                                      \
  do {                                                                                             \
    change;                                                                                        \
    g_assert_false (pw_graph_check (graph, &error));                                               \
    g_assert_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE);                                  \
    g_clear_error (&error);                                                                        \
    *layer = saved;                                                                                \
  } while (0)
  ASSERT_SPOILT (layer->inputs[0] = 10);
  ASSERT_SPOILT (layer->inputs[0] = -2);
  ASSERT_SPOILT (layer->unit++);
  ASSERT_SPOILT (layer->info.output.dims[0]++);
  ASSERT_SPOILT (layer->name = graph->layers[11].name);
  ASSERT_SPOILT (layer->n_inputs = 2);
  ASSERT_SPOILT (layer->info.is_loss = TRUE);
#undef ASSERT_SPOILT
  graph->units[1].is_end = FALSE;
  graph->units[3].is_end = TRUE;
  g_assert_false (pw_graph_check (graph, NULL));
  graph->units[3].is_end = FALSE;
  graph->units[2].n_layers--;
  g_assert_false (pw_graph_check (graph, NULL));
}

static void
test_json (void) {
  for (const PwModel *const *model = pw_model_list (); *model != NULL; model++) {
    g_autofree void *options = g_malloc0 ((*model)->options_size);
    (*model)->defaults (options);
    g_autoptr (PwGraph) graph = (*model)->build (options, NULL);
    json_t *json = pw_graph_to_json (graph);
    json_int_t parameters = 0, flops = 0, layers = 0;
    gsize u;
    json_t *unit;
    json_array_foreach (json_object_get (json, "units"), u, unit) {
      g_assert_cmpint (json_integer_value (json_object_get (unit, "unit")), ==, (int)u);
      parameters += json_integer_value (json_object_get (unit, "parameters"));
      flops += json_integer_value (json_object_get (unit, "flops"));
      layers += (json_int_t)json_array_size (json_object_get (unit, "layers"));
    }
    g_assert_cmpint (layers, ==, graph->n_layers);
    g_assert_cmpint (parameters, ==, pw_graph_parameters (graph, 0, graph->n_layers));
    g_assert_cmpint (flops, ==, pw_graph_flops (graph, 0, graph->n_layers));
    g_assert_cmpint (flops, ==, json_integer_value (json_object_get (json, "flops")));
    json_decref (json);
  }
}

static void
test_table (void) {
  PwGraphBuilder *builder = pw_graph_builder_new ("net", ten, (PwShape){ 0 });
  int from = PW_GRAPH_INPUT;
  for (int i = 0; i < 3; i++) {
    g_autofree char *name = g_strdup_printf ("block%d", i);
    pw_graph_builder_begin_unit (builder, name, FALSE);
    from = add_linear (builder, "fc", from, 10, 10);
  }
  pw_graph_builder_begin_unit (builder, "loss", TRUE);
  pw_graph_builder_add (builder, "mse", "mse", NULL, &from, 1);
  g_autoptr (PwGraph) graph = pw_graph_builder_finish (builder, NULL);
  g_autofree char *text = pw_graph_to_string (graph);
  static const char *const lines[] = {
    "net: 4 units, 4 layers, input [10] fp32\n",
    "parameters: 330\n",
    "FLOPs of one sample, forward and both gradients: 1,600\n",
    "\n0     block0 ",
    "\n1-2   block1..block2         2 units, each",
    "\n3     loss                   end ",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++) {
    g_test_message ("%s", lines[i]);
    g_assert_nonnull (strstr (text, lines[i]));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/graph/the-first-error-is-kept", test_first_error);
  g_test_add_func ("/models/graph/bad-structure-is-named", test_bad_structure);
  g_test_add_func ("/models/graph/bad-units-are-named", test_bad_units);
  g_test_add_func ("/models/graph/what-cannot-be-counted-is-refused", test_too_large);
  g_test_add_func ("/models/graph/shared-parameters-count-once", test_sums);
  g_test_add_func ("/models/graph/shared-shapes-must-agree", test_bad_share);
  g_test_add_func ("/models/graph/check-sees-every-spoilt-graph", test_check);
  g_test_add_func ("/models/graph/json-adds-up", test_json);
  g_test_add_func ("/models/graph/equal-units-are-one-row", test_table);
  return g_test_run ();
}
