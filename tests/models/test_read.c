/* "model" of a plan: names with sizes, lists, files, and everything that can be wrong with them. */
#include <glib/gstdio.h>
#include <string.h>

#include "io/file.h"
#include "models/registry.h"

static PwGraph *
read_plan (const char *text, GError **error) {
  g_autoptr (PwJsonFile) json = pw_json_file_parse ("p.json", text, error);
  if (json == NULL)
    return NULL;
  return pw_model_read ((PwJsonPlace){ json, "model" }, json_object_get (json->root, "model"),
                        error);
}

#define LIST_FLAT(entries) "{\"model\": {\"layers\": [" entries "]}}"
#define LIST(entries) "{\"model\": {\"layers\": [\n" entries "]}}"
#define NAMED(name) "{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"name\": \"" name "\"}"
#define ADD(from) "{\"type\": \"add\", \"from\": " from "}"
#define LINEAR "{\"type\": \"linear\", \"in\": 4, \"out\": 4}"

static const struct {
  const char *text;
  gboolean is_json; /* the domain: PW_JSON_ERROR, else PW_MODEL_ERROR */
  int code;
  const char *message;
} bad[] = {
  { "{\"model\": 3}", TRUE, PW_JSON_ERROR_TYPE,
    "p.json:1: model: expected a model's name, a path or an object" },
  { "{\"model\": \"gtp\"}", FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:1: model: there is no model \"gtp\", did you mean \"gpt\"?" },
  { "{\"model\":\n{\"name\": \"resnet\"}}", FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:2: model.name: there is no model \"resnet\", there are: mlp, gpt" },
  { "{\"model\": {}}", TRUE, PW_JSON_ERROR_MISSING_KEY,
    "p.json:1: model: missing key \"name\" (of a model) or \"layers\" (a list)" },
  { "{\"model\": {\"name\": 3}}", TRUE, PW_JSON_ERROR_TYPE,
    "p.json:1: model.name: expected a text" },
  { "{\"model\": {\"name\": \"gpt\",\n\"block\": 3}}", TRUE, PW_JSON_ERROR_UNKNOWN_KEY,
    "p.json:2: model.block: unknown key, did you mean \"blocks\"?" },
  { "{\"model\": {\"name\": \"gpt\",\n\"blocks\": 0}}", TRUE, PW_JSON_ERROR_RANGE,
    "p.json:2: model.blocks: 0 is below the minimum 1" },
  { "{\"model\": {\"name\": \"gpt\", \"width\": -4}}", TRUE, PW_JSON_ERROR_RANGE,
    "p.json:1: model.width: -4 is below the minimum 1" },
  { "{\"model\": {\"name\": \"gpt\", \"width\": 99999999999}}", TRUE, PW_JSON_ERROR_RANGE,
    "p.json:1: model.width: 99999999999 is above the maximum 16777216" },
  { "{\"model\": {\"name\": \"gpt\", \"width\": 256.0}}", TRUE, PW_JSON_ERROR_TYPE,
    "p.json:1: model.width: expected an integer, not 256.0" },
  { "{\"model\":\n\n{\"name\": \"gpt\", \"heads\": 3}}", FALSE, PW_MODEL_ERROR_ATTRIBUTE,
    "p.json:1: model: gpt: block0.attention: 3 heads do not divide 256 features" },
  { "{\"model\": {\"name\": \"gpt\", \"tokens\": 16777216, \"width\": 16777216}}", FALSE,
    PW_MODEL_ERROR_ATTRIBUTE,
    "p.json:1: model: gpt: block0.qkv: too large for its FLOPs and bytes to be counted" },
  { "{\"model\": {\"name\": \"mlp\", \"loss\": \"mae\"}}", TRUE, PW_JSON_ERROR_RANGE,
    "p.json:1: model.loss: unknown \"mae\", did you mean \"mse\"?" },
  { "{\"model\": \"no-such.json\"}", FALSE, -1,
    "p.json:1: model: no-such.json: cannot be opened: No such file or directory" },
  { "{\"model\": {\"layers\": []}}", TRUE, PW_JSON_ERROR_TYPE,
    "p.json:1: model.layers: expected a list of layers" },
  { "{\"model\": {\"layers\": 3}}", TRUE, PW_JSON_ERROR_TYPE,
    "p.json:1: model.layers: expected a list of layers" },
  { "{\"model\": {\"layers\": [" LINEAR "], \"los\": \"mse\"}}", TRUE, PW_JSON_ERROR_UNKNOWN_KEY,
    "p.json:1: model.los: unknown key, did you mean \"loss\"?" },
  { LIST ("7"), TRUE, PW_JSON_ERROR_TYPE, "p.json:2: model.layers[0]: expected an object, not 7" },
  { LIST ("{\"in\": 3}"), TRUE, PW_JSON_ERROR_UNKNOWN_KEY,
    "p.json:2: model.layers[0].in: unknown key" },
  { LIST ("{}"), TRUE, PW_JSON_ERROR_MISSING_KEY,
    "p.json:2: model.layers[0]: missing key \"type\"" },
  { LIST ("{\"type\": 1}"), TRUE, PW_JSON_ERROR_TYPE,
    "p.json:2: model.layers[0].type: expected a text, not 1" },
  { LIST (LINEAR ",\n{\"type\": \"relv\"}"), FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:3: model.layers[1].type: there is no layer type \"relv\", did you mean \"relu\"?" },
  { LIST ("{\"type\": \"linear\", \"in\": 4}"), TRUE, PW_JSON_ERROR_MISSING_KEY,
    "p.json:2: model.layers[0]: missing key \"out\"" },
  { LIST ("{\"type\": \"linear\", \"in\": 4,\n\"out\": 0}"), TRUE, PW_JSON_ERROR_RANGE,
    "p.json:3: model.layers[0].out: 0 is below the minimum 1" },
  { LIST ("{\"type\": \"relu\", \"in\": 4}"), TRUE, PW_JSON_ERROR_UNKNOWN_KEY,
    "p.json:2: model.layers[0].in: unknown key" },
  { LIST ("{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"repaet\": 2}"), TRUE,
    PW_JSON_ERROR_UNKNOWN_KEY,
    "p.json:2: model.layers[0].repaet: unknown key, did you mean \"repeat\"?" },
  { LIST ("{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"repeat\": 0}"), TRUE,
    PW_JSON_ERROR_RANGE, "p.json:2: model.layers[0].repeat: 0 is below the minimum 1" },
  { LIST (LINEAR ",\n" LINEAR ",\n\n{\"type\": \"linear\", \"in\": 5, \"out\": 4}"), FALSE,
    PW_MODEL_ERROR_SHAPE,
    "p.json:5: model.layers[2]: layers: linear2.linear: needs 5 features, but [4] fp32 comes in "
    "from linear1.linear" },
  { LIST ("{\"type\": \"linear\", \"in\": 4, \"out\": 5, \"repeat\": 2}"), FALSE,
    PW_MODEL_ERROR_SHAPE,
    "p.json:2: model.layers[0]: layers: linear0-1.linear: needs 4 features, but [5] fp32 comes "
    "in from linear0-0.linear" },
  { LIST (LINEAR ", {\"type\": \"add\"}"), TRUE, PW_JSON_ERROR_MISSING_KEY,
    "p.json:2: model.layers[1]: missing key \"from\": add reads 2 layers, name them: \"from\": "
    "[\"a\", \"b\"]" },
  { LIST (NAMED ("a") ",\n" ADD ("3")), TRUE, PW_JSON_ERROR_TYPE,
    "p.json:3: model.layers[1].from: expected the name of a layer, or a list of names" },
  { LIST (NAMED ("a") ",\n" ADD ("[]")), TRUE, PW_JSON_ERROR_TYPE,
    "p.json:3: model.layers[1].from: expected the name of a layer, or a list of names" },
  { LIST (NAMED ("a") ",\n" ADD ("[\"a\",\n 7]")), TRUE, PW_JSON_ERROR_TYPE,
    "p.json:4: model.layers[1].from[1]: expected the name of a layer" },
  { LIST (NAMED ("a") ",\n" ADD ("\"a\"")), TRUE, PW_JSON_ERROR_RANGE,
    "p.json:3: model.layers[1].from: add reads 2 layers, not 1" },
  { LIST (NAMED ("a") ",\n" ADD ("[\"a\", \"a\", \"input\"]")), TRUE, PW_JSON_ERROR_RANGE,
    "p.json:3: model.layers[1].from: add reads 2 layers, not 3" },
  { LIST (NAMED ("a") ", {\"type\": \"relu\", \"from\": [\"a\", \"a\"]}"), TRUE,
    PW_JSON_ERROR_RANGE, "p.json:2: model.layers[1].from: relu reads 1 layer, not 2" },
  { LIST (NAMED ("enc") ",\n" ADD ("[\"enc\",\n \"encc\"]")), FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:4: model.layers[1].from[1]: there is no layer \"encc\", did you mean \"enc\"?" },
  { LIST (NAMED ("a") ", {\"type\": \"relu\", \"from\": \"nowhere\"}"), FALSE,
    PW_MODEL_ERROR_UNKNOWN,
    "p.json:2: model.layers[1].from: there is no layer \"nowhere\", there are: input, a" },
  { LIST (NAMED ("a") ", {\"type\": \"linear\", \"in\": 4, \"out\": 4, \"repeat\": 30},\n" ADD (
        "[\"a\", \"nowhere\"]")),
    FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:3: model.layers[2].from[1]: there is no layer \"nowhere\" before it" },
  { LIST (NAMED ("a") ", " NAMED ("b") ",\n" ADD ("[\"b\", \"later\"]") ", " NAMED ("later")),
    FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:3: model.layers[2].from[1]: layer \"later\" is not before it" },
  { LIST (NAMED ("a") ", {\"type\": \"relu\", \"name\": \"b\", \"from\": \"b\"}"), FALSE,
    PW_MODEL_ERROR_UNKNOWN, "p.json:2: model.layers[1].from: layer \"b\" is not before it" },
  { LIST ("{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"name\": \"enc\", \"repeat\": 3},\n" ADD (
        "[\"enc0\", \"enc\"]")),
    FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:3: model.layers[1].from[1]: \"enc\" is repeated: say which, \"enc0\" to \"enc2\"" },
  { LIST (NAMED ("a") ",\n{\"type\": \"add\", \"from\": [\"a\", \"input\"],\n\"repeat\": 2}"), TRUE,
    PW_JSON_ERROR_RANGE,
    "p.json:4: model.layers[1].repeat: what reads several layers cannot be repeated: each would "
    "read the same" },
  { LIST (NAMED ("input")), TRUE, PW_JSON_ERROR_RANGE,
    "p.json:2: model.layers[0].name: \"input\" is the name of the sample" },
  { LIST (NAMED ("a") ",\n" NAMED ("b") ", {\"type\": \"relu\", \"from\": \"a\"}"), FALSE,
    PW_MODEL_ERROR_SHAPE, "p.json:3: model.layers[1]: no layer reads the output of b" },
  { LIST (NAMED ("a") ", {\"type\": \"linear\", \"in\": 4, \"out\": 3, \"name\": \"b\"},\n" ADD (
        "[\"a\", \"b\"]")),
    FALSE, PW_MODEL_ERROR_SHAPE,
    "p.json:3: model.layers[2]: layers: add2.add: needs two of one shape, but [4] fp32 and [3] "
    "fp32 come in from a.linear and b.linear" },
  { "{\"model\": {\"input\": [2, 4], \"layers\": [" NAMED (
        "a") ",\n{\"type\": \"linear\", "
             "\"in\": 4, \"out\": 3, \"name\": \"b\"}, {\"type\": \"concat\", \"from\": [\"a\", "
             "\"b\"]}]}}",
    FALSE, PW_MODEL_ERROR_SHAPE,
    "p.json:2: model.layers[2]: layers: concat2.concat: needs two of one shape except for the first "
    "dimension, but [2, 4] fp32 and [2, 3] fp32 come in from a.linear and b.linear" },
  { LIST ("{\"type\": \"relu\"}"), TRUE, PW_JSON_ERROR_MISSING_KEY,
    "p.json:1: model: missing key \"input\": the shape of a sample, which a first layer of the "
    "type "
    "relu does not say" },
  { LIST (LINEAR ", {\"type\": \"mse\"}, " LINEAR), FALSE, PW_MODEL_ERROR_SHAPE,
    "p.json:2: model.layers[2]: layers: linear: a layer after the loss" },
  { "{\"model\": {\"layers\": [" LINEAR ", {\"type\": \"mse\"}],\n\"loss\": \"mse\"}}", TRUE,
    PW_JSON_ERROR_RANGE, "p.json:2: model.loss: the list ends with the loss mse already" },
  { "{\"model\": {\"layers\": [" LINEAR "],\n\"loss\": \"relu\"}}", TRUE, PW_JSON_ERROR_RANGE,
    "p.json:2: model.loss: relu is not a loss" },
  { "{\"model\": {\"layers\": [" LINEAR "],\n\"loss\": \"mae\"}}", FALSE, PW_MODEL_ERROR_UNKNOWN,
    "p.json:2: model.loss: there is no layer type \"mae\", did you mean \"mse\"?" },
  { "{\"model\": {\"input\": [4, 0], \"layers\": [" LINEAR "]}}", TRUE, PW_JSON_ERROR_RANGE,
    "p.json:1: model.input[1]: 0 is below the minimum 1" },
  { "{\"model\": {\"input\": [1, 1, 1, 1, 4], \"layers\": [" LINEAR "]}}", TRUE,
    PW_JSON_ERROR_RANGE, "p.json:1: model.input: 5 dimensions are above the maximum 4" },
  { "{\"model\": {\"input\": [5], \"layers\": [\n" LINEAR "]}}", FALSE, PW_MODEL_ERROR_SHAPE,
    "p.json:2: model.layers[0]: layers: linear0.linear: needs 4 features, but [5] fp32 comes in "
    "from the sample" },
  { LIST ("{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"name\": \"a\"},\n"
          "{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"name\": \"a\"}"),
    FALSE, PW_MODEL_ERROR_ATTRIBUTE,
    "p.json:3: model.layers[1]: layers: a: the name is used twice" },
};

static void
test_bad (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", bad[i].text);
    g_assert_null (read_plan (bad[i].text, &error));
    GQuark domain = bad[i].is_json ? PW_JSON_ERROR : PW_MODEL_ERROR;
    if (bad[i].code >= 0)
      g_assert_error (error, domain, bad[i].code);
    else
      g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_READ);
    g_assert_cmpstr (error->message, ==, bad[i].message);
  }
}

static PwGraph *
read_good (const char *text) {
  g_autoptr (GError) error = NULL;
  PwGraph *graph = read_plan (text, &error);
  g_assert_no_error (error);
  g_assert_true (pw_graph_check (graph, NULL));
  return graph;
}

static void
test_list (void) {
  g_autoptr (PwGraph) graph = read_good (
      "{\"model\": {\"layers\": ["
      "{\"type\": \"linear\", \"in\": 1000, \"out\": 1000, \"repeat\": 100, \"bias\": false},"
      "{\"type\": \"gelu\", \"name\": \"act\"}], \"name\": \"wide\"}}");
  g_assert_cmpstr (graph->name, ==, "wide");
  g_assert_cmpint (graph->n_units, ==, 102);
  g_assert_cmpint (graph->n_layers, ==, 102);
  g_assert_cmpint (pw_graph_parameters (graph, 0, graph->n_layers), ==, 100000000);
  g_assert_cmpstr (graph->layers[100].name, ==, "act.gelu");
  g_assert_cmpstr (graph->layers[101].type->name, ==, "mse");
  g_assert_true (graph->units[101].is_end);
  g_assert_false (graph->units[100].is_end);
  g_assert_true (pw_shape_equal (&graph->target, &graph->input));
}

/* Each entry reads what it names; what it does not name is the layer before it. */
static void
test_skips (void) {
  g_autoptr (PwGraph) graph = read_good (LIST (NAMED (
      "a") ", {\"type\": \"relu\"}, "
           "{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"name\": \"enc\", "
           "\"repeat\": 3, \"from\": [\"a\"]}, " ADD (
               "[\"relu1\", \"enc0\"]") ", {\"type\": \"concat\", \"from\": [\"enc2\", \"add3\"], "
                                        "\"name\": \"c\"}, "
                                        "{\"type\": \"linear\", \"in\": 4, \"out\": 8, \"from\": "
                                        "\"input\"}, "
                                        "{\"type\": \"add\", \"from\": [\"c\", \"linear5\"]}"));
  static const struct {
    const char *name;
    int inputs[2];
  } expected[] = {
    { "a.linear", { -1 } },   { "relu1.relu", { 0 } },      { "enc0.linear", { 0 } },
    { "enc1.linear", { 2 } }, { "enc2.linear", { 3 } },     { "add3.add", { 1, 2 } },
    { "c.concat", { 4, 5 } }, { "linear5.linear", { -1 } }, { "add6.add", { 6, 7 } },
    { "loss.mse", { 8 } },
  };
  g_assert_cmpint (graph->n_layers, ==, (int)G_N_ELEMENTS (expected));
  for (int l = 0; l < graph->n_layers; l++) {
    g_assert_cmpstr (graph->layers[l].name, ==, expected[l].name);
    for (int i = 0; i < graph->layers[l].n_inputs; i++)
      g_assert_cmpint (graph->layers[l].inputs[i], ==, expected[l].inputs[i]);
  }
  g_assert_cmpint (graph->layers[6].info.output.dims[0], ==, 8);
}

static void
test_list_with_tokens (void) {
  g_autoptr (PwGraph) graph
      = read_good ("{\"model\": {\"input\": [16], \"layers\": ["
                   "{\"type\": \"embedding\", \"vocabulary\": 50, \"features\": 12},"
                   "{\"type\": \"positional_embedding\", \"positions\": 20, \"features\": 12},"
                   "{\"type\": \"layernorm\", \"features\": 12, \"epsilon\": 1e-6},"
                   "{\"type\": \"linear\", \"in\": 12, \"out\": 36},"
                   "{\"type\": \"attention\", \"heads\": 3, \"causal\": false},"
                   "{\"type\": \"linear\", \"in\": 12, \"out\": 50, \"init_scale\": 0.5},"
                   "{\"type\": \"cross_entropy\", \"vocabulary\": 50}]}}");
  g_assert_cmpint (graph->input.dtype, ==, PW_DTYPE_I32);
  g_assert_true (pw_shape_equal (&graph->input, &graph->target));
  g_assert_cmpint (graph->n_layers, ==, 7);
  g_assert_true (graph->units[6].is_end);
  g_assert_cmpfloat (graph->layers[2].attributes.epsilon, ==, 1e-6);
  g_assert_false (graph->layers[4].attributes.causal);
  g_assert_true (graph->layers[3].attributes.bias);
  g_assert_cmpint (graph->layers[5].info.parameters[0].init, ==, PW_INIT_NORMAL);
}

static void
test_names (void) {
  g_autoptr (PwGraph) by_name = read_good ("{\"model\": \"gpt\"}");
  g_autoptr (PwGraph) by_object = read_good ("{\"model\": {\"name\": \"gpt\", \"blocks\": 8,"
                                             "\"width\": 256, \"heads\": 4, \"tokens\": 128,"
                                             "\"vocabulary\": 256, \"ffn\": 1024}}");
  g_autofree char *a = pw_graph_to_string (by_name);
  g_autofree char *b = pw_graph_to_string (by_object);
  g_assert_cmpstr (a, ==, b);
}

/* A path is beside the file that names it. */
static void
test_file (void) {
  g_autofree char *folder = g_dir_make_tmp ("pw-model-XXXXXX", NULL);
  g_autofree char *plan = g_build_filename (folder, "plan.json", NULL);
  g_autofree char *net = g_build_filename (folder, "net.json", NULL);
  static const char good[] = LIST (LINEAR);
  static const char worse[] = "{\"layers\": [\n{\"type\": \"linear\", \"in\": 4, \"out\": 0}]}";
  g_autoptr (GError) error = NULL;
  g_assert_true (pw_file_write (plan, "{\"model\": \"net.json\"}", 21, NULL));
  g_assert_true (pw_file_write (net, good + 10, strlen (good + 10) - 1, NULL));
  g_autoptr (PwJsonFile) json = pw_json_file_load (plan, NULL);
  PwJsonPlace place = { json, "model" };
  g_autoptr (PwGraph) graph = pw_model_read (place, json_object_get (json->root, "model"), &error);
  g_assert_no_error (error);
  g_assert_cmpint (graph->n_layers, ==, 2);
  g_assert_true (pw_file_write (net, worse, strlen (worse), NULL));
  g_assert_null (pw_model_read (place, json_object_get (json->root, "model"), &error));
  g_autofree char *message = g_strdup_printf ("%s:2: layers[0].out: 0 is below the minimum 1", net);
  g_assert_cmpstr (error->message, ==, message);
  g_unlink (plan);
  g_unlink (net);
  g_rmdir (folder);
}

/* Mutations of a plan: a graph that passes its check, or an error that names the file. */
static void
test_mutations (void) {
  static const char *const seeds[] = {
    "{\"model\": {\"name\": \"gpt\", \"blocks\": 2, \"width\": 12, \"heads\": 3, \"ffn\": 7}}",
    "{\"model\": {\"layers\": [{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"repeat\": 3},"
    "{\"type\": \"relu\", \"name\": \"a\"}], \"loss\": \"cross_entropy\", \"input\": [2, 4]}}",
    LIST_FLAT (NAMED ("a") ", {\"type\": \"relu\", \"name\": \"b\"}, " ADD (
        "[\"a\", \"b\"]") ", {\"type\": \"concat\", \"from\": [\"input\", \"b\"], \"name\": "
                          "\"c\"}, "
                          "{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"from\": \"add2\", "
                          "\"repeat\": 2}"
                          ", {\"type\": \"concat\", \"from\": [\"linear4-1\", \"c\"]}"),
  };
  static const char bytes[] = "{}[]\",:0123456789-.eE ainlt";
  for (int round = 0; round < 20000; round++) {
    g_autoptr (GString) text = g_string_new (seeds[round % (int)G_N_ELEMENTS (seeds)]);
    int edits = g_test_rand_int_range (1, 4);
    for (int i = 0; i < edits; i++) {
      gsize at = (gsize)g_test_rand_int_range (0, (int)text->len);
      char byte = bytes[g_test_rand_int_range (0, (int)sizeof bytes - 1)];
      if (g_test_rand_bit ())
        text->str[at] = byte;
      else
        g_string_insert_c (text, (gssize)at, byte);
    }
    g_autoptr (GError) error = NULL;
    g_autoptr (PwJsonFile) json = pw_json_file_parse ("p.json", text->str, NULL);
    json_t *value = json != NULL ? json_object_get (json->root, "model") : NULL;
    if (value == NULL || strstr (text->str, ".json") != NULL)
      continue;
    g_autoptr (PwGraph) graph = pw_model_read ((PwJsonPlace){ json, "model" }, value, &error);
    g_assert_true ((graph == NULL) == (error != NULL));
    if (graph != NULL)
      g_assert_true (pw_graph_check (graph, NULL));
    else
      g_assert_true (g_str_has_prefix (error->message, "p.json:1: model"));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/read/what-is-wrong-is-named-with-its-place", test_bad);
  g_test_add_func ("/models/read/a-list-repeats", test_list);
  g_test_add_func ("/models/read/a-list-has-named-skips", test_skips);
  g_test_add_func ("/models/read/a-list-may-start-with-tokens", test_list_with_tokens);
  g_test_add_func ("/models/read/a-name-means-its-defaults", test_names);
  g_test_add_func ("/models/read/a-path-is-beside-its-plan", test_file);
  g_test_add_func ("/models/read/mutations-build-or-say-why-not", test_mutations);
  return g_test_run ();
}
