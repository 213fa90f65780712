/* A graph whose tensors are of another type of element. */
#include <string.h>

#include "models/lifetime.h"
#include "models/registry.h"
#include "random_graph.h"

static PwGraph *
graph_new (const PwModel *model) {
  g_autofree void *options = g_malloc0 (model->options_size);
  model->defaults (options);
  PwGraph *graph = model->build (options, NULL);
  g_assert_nonnull (graph);
  return graph;
}

static void
set_element (PwGraph *graph, PwDtype element) {
  g_autoptr (GError) error = NULL;
  pw_graph_set_element (graph, element, &error);
  g_assert_no_error (error);
}

/* What is left to compute is the same; what holds activations or parameters is of ELEMENT. */
static void
assert_only_the_type_differs (const PwGraph *fp32, const PwGraph *graph, PwDtype element) {
  g_assert_cmpint (graph->input.dtype, ==,
                   fp32->input.dtype == PW_DTYPE_I32 ? PW_DTYPE_I32 : element);
  g_assert_true (pw_shape_equal (&graph->target, &fp32->target));
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayerInfo *a = &fp32->layers[l].info, *b = &graph->layers[l].info;
    PwShape output = a->output;
    output.dtype = a->is_loss ? PW_DTYPE_F32 : element;
    g_assert_true (pw_shape_equal (&b->output, &output));
    g_assert_cmpint (b->flops_forward, ==, a->flops_forward);
    g_assert_cmpint (b->flops_input, ==, a->flops_input);
    g_assert_cmpint (b->flops_weight, ==, a->flops_weight);
    g_assert_cmpint (b->bytes_forward, <=, a->bytes_forward);
    g_assert_cmpint (2 * b->bytes_forward, >=, a->bytes_forward);
    g_assert_cmpint (2 * b->bytes_input, >=, a->bytes_input);
    g_assert_cmpint (2 * b->bytes_weight, >=, a->bytes_weight);
    g_assert_cmpint (b->has_input_gradient, ==, a->has_input_gradient);
    g_assert_cmpint (graph->layers[l].needs_gradient, ==, fp32->layers[l].needs_gradient);
    for (int i = 0; i < b->n_parameters; i++)
      g_assert_cmpint (b->parameters[i].shape.dtype, ==, element);
    for (int i = 0; i < b->n_stashes; i++)
      g_assert_true (pw_shape_equal (&b->stashes[i].shape, &a->stashes[i].shape));
  }
  PwParameterSize size = pw_graph_parameter_size (graph, 0, graph->n_layers);
  int64_t elements = pw_graph_parameters (fp32, 0, fp32->n_layers);
  g_assert_cmpint (size.elements, ==, elements);
  g_assert_cmpint (size.bytes, ==, elements * pw_dtype_bytes (element));
  g_assert_cmpint (size.master_bytes, ==, element == PW_DTYPE_F32 ? 0 : 4 * elements);
}

static void
test_types (void) {
  for (const PwModel *const *model = pw_model_list (); *model != NULL; model++) {
    g_autoptr (PwGraph) fp32 = graph_new (*model), graph = graph_new (*model);
    static const PwDtype elements[]
        = { PW_DTYPE_F32, PW_DTYPE_BF16, PW_DTYPE_BF16, PW_DTYPE_F16, PW_DTYPE_F32 };
    for (gsize i = 0; i < G_N_ELEMENTS (elements); i++) {
      set_element (graph, elements[i]);
      assert_only_the_type_differs (fp32, graph, elements[i]);
    }
    json_t *a = pw_graph_to_json (fp32), *b = pw_graph_to_json (graph);
    g_assert_true (json_equal (a, b));
    json_decref (a);
    json_decref (b);
  }
}

static void
test_shown (void) {
  g_autoptr (PwGraph) graph = graph_new (pw_model_get ("gpt"));
  g_autofree char *before = pw_graph_to_string (graph);
  g_assert_nonnull (strstr (before, "[128, 256] fp32"));
  set_element (graph, PW_DTYPE_BF16);
  g_autofree char *text = pw_graph_to_string (graph);
  g_assert_nonnull (strstr (text, "[128, 256] bf16"));
  g_assert_nonnull (strstr (text, "input [128] int32"));
  g_assert_null (strstr (text, "256] fp32"));
}

/* Buffers are the same ones; activations and their gradients have half the bytes. */
static void
test_lifetimes (void) {
  for (int round = 0; round < 50; round++) {
    g_autoptr (PwGraph) graph = random_graph_new (12);
    g_autoptr (PwLifetimes) before = pw_lifetimes_new (graph, 0, graph->n_layers, TRUE);
    set_element (graph, round % 2 == 0 ? PW_DTYPE_BF16 : PW_DTYPE_F16);
    g_autoptr (PwLifetimes) after = pw_lifetimes_new (graph, 0, graph->n_layers, TRUE);
    g_assert_cmpint (after->n_buffers, ==, before->n_buffers);
    for (int i = 0; i < after->n_buffers; i++) {
      const PwBuffer *a = &before->buffers[i], *b = &after->buffers[i];
      g_assert_cmpint (b->layer, ==, a->layer);
      gboolean is_whole = b->layer == PW_GRAPH_INPUT && graph->input.dtype == PW_DTYPE_I32;
      if (b->kind != PW_BUFFER_STASH)
        g_assert_cmpint ((is_whole ? 1 : 2) * b->bytes_per_sample, ==, a->bytes_per_sample);
    }
  }
}

/* A type that makes nothing but fp32 stays what it is, and what follows it follows it. */
static gboolean
describe_stubborn (const PwLayerType *type, const PwLayerAttributes *attributes,
                   const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type, (void)attributes, (void)error;
  info->output = inputs[0];
  info->output.dtype = PW_DTYPE_F32;
  info->has_input_gradient = TRUE;
  return TRUE;
}

static gboolean
describe_refusing (const PwLayerType *type, const PwLayerAttributes *attributes,
                   const PwShape *inputs, PwLayerInfo *info, GError **error) {
  if (inputs[0].dtype == PW_DTYPE_F32)
    return describe_stubborn (type, attributes, inputs, info, error);
  g_set_error_literal (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE, "needs fp32");
  return FALSE;
}

static PwGraph *
chain_of (const char *type) {
  PwShape ten = { .n_dims = 1, .dims = { 10 } };
  PwGraphBuilder *builder = pw_graph_builder_new ("g", ten, (PwShape){ 0 });
  pw_graph_builder_begin_unit (builder, "u", FALSE);
  int from = pw_graph_builder_add (builder, "relu", "a", NULL, (int[]){ PW_GRAPH_INPUT }, 1);
  from = pw_graph_builder_add (builder, type, "b", NULL, &from, 1);
  pw_graph_builder_add (builder, "relu", "c", NULL, &from, 1);
  return pw_graph_builder_finish (builder, NULL);
}

static void
test_user_types (void) {
  static const PwLayerType stubborn
      = { .name = "stubborn", .n_inputs = 1, .describe = describe_stubborn };
  static const PwLayerType refusing
      = { .name = "refusing", .n_inputs = 1, .describe = describe_refusing };
  g_assert_true (pw_layer_type_register (&stubborn) && pw_layer_type_register (&refusing));
  g_autoptr (PwGraph) graph = chain_of ("stubborn");
  set_element (graph, PW_DTYPE_BF16);
  g_assert_cmpint (graph->layers[0].info.output.dtype, ==, PW_DTYPE_BF16);
  g_assert_cmpint (graph->layers[1].info.output.dtype, ==, PW_DTYPE_F32);
  g_assert_cmpint (graph->layers[2].info.output.dtype, ==, PW_DTYPE_F32);

  g_autoptr (PwGraph) other = chain_of ("refusing");
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_graph_set_element (other, PW_DTYPE_F16, &error));
  g_assert_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE);
  g_assert_cmpstr (error->message, ==, "g: u.b: in fp16: needs fp32");
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/element/only-the-type-differs", test_types);
  g_test_add_func ("/models/element/the-type-is-shown", test_shown);
  g_test_add_func ("/models/element/lifetimes-keep-their-buffers", test_lifetimes);
  g_test_add_func ("/models/element/users-types-may-insist-or-refuse", test_user_types);
  return g_test_run ();
}
