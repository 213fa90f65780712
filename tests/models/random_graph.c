#include "random_graph.h"

#define TOKENS 2
#define FEATURES 6

/* A type that no built-in one is like: the gradients read the output, W reads the input, and there
 * are stashes of two sizes. */
static gboolean
describe_odd (const PwLayerType *type, const PwLayerAttributes *attributes, const PwShape *inputs,
              PwLayerInfo *info, GError **error) {
  (void)type, (void)attributes, (void)error;
  info->output = inputs[0];
  info->input_reads_output = TRUE;
  info->input_reads_inputs = 2;
  info->weight_reads_inputs = 1;
  info->weight_reads_output_gradient = TRUE;
  info->has_input_gradient = TRUE;
  info->n_stashes = 2;
  info->stashes[0] = (PwLayerStash){ .name = "a", .shape = { .n_dims = 1, .dims = { 5 } } };
  info->stashes[1] = (PwLayerStash){ .name = "b", .shape = inputs[1] };
  return TRUE;
}

static const PwLayerType odd = { .name = "odd", .n_inputs = 2, .describe = describe_odd };

static int
random_earlier (int last, int first) {
  return g_test_rand_int_range (first, last + 1);
}

static int
add_random_layer (PwGraphBuilder *builder, int number, int from, int first) {
  static const char *const types[]
      = { "linear", "relu", "gelu", "layernorm", "rmsnorm", "dropout", "add", "odd" };
  const char *type = types[g_test_rand_int_range (0, (int)G_N_ELEMENTS (types))];
  int inputs[2] = { from, random_earlier (from, first) };
  PwLayerAttributes attributes;
  pw_layer_attributes_init (&attributes);
  attributes.in = attributes.out = attributes.features = FEATURES;
  attributes.bias = g_test_rand_bit ();
  attributes.probability = 0.1;
  g_autofree char *name = g_strdup_printf ("%s%d", type, number);
  return pw_graph_builder_add (builder, type, name, &attributes, inputs,
                               pw_layer_type_get (type)->n_inputs);
}

PwGraph *
random_graph_new (int layers_max) {
  pw_layer_type_register (&odd);
  gboolean has_embedding = g_test_rand_bit (), has_loss = g_test_rand_bit ();
  PwShape input = { .dtype = has_embedding ? PW_DTYPE_I32 : PW_DTYPE_F32,
                    .n_dims = has_embedding ? 1 : 2,
                    .dims = { TOKENS, has_embedding ? 0 : FEATURES } };
  PwGraphBuilder *builder = pw_graph_builder_new ("random", input, (PwShape){ 0 });
  pw_graph_builder_begin_unit (builder, "all", FALSE);
  int from = PW_GRAPH_INPUT, first = has_embedding ? 0 : PW_GRAPH_INPUT;
  if (has_embedding) {
    PwLayerAttributes attributes = { .vocabulary = 11, .features = FEATURES };
    from = pw_graph_builder_add (builder, "embedding", "embedding", &attributes, &from, 1);
  }
  int n = g_test_rand_int_range (1, layers_max + 1);
  for (int i = 0; i < n; i++)
    from = add_random_layer (builder, i, from, first);
  if (has_loss)
    pw_graph_builder_add (builder, g_test_rand_bit () ? "mse" : "cross_entropy", "loss", NULL,
                          &from, 1);
  GError *error = NULL;
  PwGraph *graph = pw_graph_builder_finish (builder, &error);
  g_assert_no_error (error);
  return graph;
}

int *
random_bounds_new (int n, int stages_max, int *stages) {
  int *bounds = g_new0 (int, (gsize)(n + 1));
  int count = 0;
  for (int l = 1; l < n && count + 1 < stages_max; l++)
    if (g_test_rand_int_range (0, 3) == 0)
      bounds[++count] = l;
  bounds[++count] = n;
  *stages = count;
  return bounds;
}
