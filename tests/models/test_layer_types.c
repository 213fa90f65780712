#include <math.h>
#include <string.h>

#include "models/layer.h"

#define SHAPE(...)                                                                                 \
  {                                                                                                \
    .n_dims = (int)(sizeof ((int64_t[]){ __VA_ARGS__ }) / sizeof (int64_t)), .dims                 \
                                                                             = { __VA_ARGS__ }     \
  }

static PwLayerInfo
describe (const char *name, PwLayerAttributes attributes, PwShape input) {
  const PwLayerType *type = pw_layer_type_get (name);
  PwShape inputs[PW_LAYER_INPUTS_MAX] = { input, input };
  PwLayerInfo info = { 0 };
  g_autoptr (GError) error = NULL;
  type->describe (type, &attributes, inputs, &info, &error);
  g_assert_no_error (error);
  return info;
}

static void
test_figures (void) {
  const int64_t T = 12, C = 20, H = 5, V = 33, out = 7, rows = 3 * 4;
  PwShape cube = SHAPE (3, 4, C);
  PwLayerInfo linear
      = describe ("linear", (PwLayerAttributes){ .in = C, .out = out, .bias = TRUE }, cube);
  g_assert_cmpint (linear.flops_forward, ==, 2 * rows * C * out);
  g_assert_cmpint (linear.flops_input, ==, linear.flops_forward);
  g_assert_cmpint (linear.flops_weight, ==, linear.flops_forward);
  g_assert_cmpint (linear.bytes_forward, ==, 4 * rows * (C + out));
  g_assert_cmpint (pw_layer_info_parameters (&linear), ==, C * out + out);
  g_assert_cmpint (pw_shape_elements (&linear.output), ==, rows * out);
  g_assert_cmpfloat (linear.parameters[0].scale, ==, 1 / sqrt ((double)C));

  PwLayerInfo norm
      = describe ("layernorm", (PwLayerAttributes){ .features = C, .epsilon = 1e-5 }, cube);
  g_assert_cmpint (pw_layer_info_parameters (&norm), ==, 2 * C);
  g_assert_cmpint (norm.n_stashes, ==, 2);
  g_assert_cmpint (pw_shape_elements (&norm.stashes[1].shape), ==, rows);

  PwLayerInfo rms
      = describe ("rmsnorm", (PwLayerAttributes){ .features = C, .epsilon = 1e-5 }, cube);
  g_assert_cmpint (pw_layer_info_parameters (&rms), ==, C);
  g_assert_cmpint (rms.n_stashes, ==, 1);
  g_assert_cmpint (rms.bytes_forward, ==, 4 * (2 * rows * C + rows));
  g_assert_cmpint (rms.bytes_input, ==, 4 * (3 * rows * C + rows));

  PwLayerInfo dropout = describe ("dropout", (PwLayerAttributes){ .probability = 0.1 }, cube);
  g_assert_cmpint (dropout.bytes_input, ==, 4 * 2 * rows * C);
  g_assert_cmpint (dropout.n_stashes, ==, 0);
  g_assert_cmpuint (dropout.input_reads_inputs, ==, 0);
  g_assert_false (dropout.input_reads_output);

  PwLayerInfo attention
      = describe ("attention", (PwLayerAttributes){ .heads = H }, (PwShape)SHAPE (T, 3 * C));
  g_assert_cmpint (attention.flops_forward, ==, 4 * T * T * C);
  /* Two products for each of the forward's, and the scores once more. */
  g_assert_cmpint (attention.flops_input, ==, 10 * T * T * C);
  g_assert_cmpint (attention.flops_again, ==, 2 * T * T * C);
  g_assert_cmpint (attention.flops_weight, ==, 0);
  g_assert_cmpint (pw_shape_elements (&attention.stashes[0].shape), ==, H * T);
  g_assert_true (attention.input_reads_output);

  PwLayerInfo add = describe ("add", (PwLayerAttributes){ 0 }, cube);
  g_assert_true (pw_shape_equal (&add.output, &cube));
  g_assert_cmpint (add.bytes_forward, ==, 4 * 3 * rows * C);
  PwLayerInfo concat = describe ("concat", (PwLayerAttributes){ 0 }, cube);
  PwShape joined = SHAPE (6, 4, C);
  g_assert_true (pw_shape_equal (&concat.output, &joined));
  g_assert_cmpint (concat.flops_forward, ==, 0);
  g_assert_cmpint (concat.bytes_forward, ==, 4 * 4 * rows * C);
  g_assert_cmpint (concat.bytes_input, ==, concat.bytes_forward);
  g_assert_cmpuint (concat.input_reads_inputs, ==, 0);

  PwShape tokens = SHAPE (T);
  tokens.dtype = PW_DTYPE_I32;
  PwLayerInfo embedding
      = describe ("embedding", (PwLayerAttributes){ .vocabulary = V, .features = C }, tokens);
  g_assert_cmpint (pw_shape_elements (&embedding.output), ==, T * C);
  g_assert_cmpint (pw_layer_info_parameters (&embedding), ==, V * C);
  g_assert_false (embedding.has_input_gradient);

  PwLayerInfo loss = describe ("cross_entropy", (PwLayerAttributes){ 0 }, (PwShape)SHAPE (T, V));
  g_assert_true (loss.is_loss);
  g_assert_true (pw_shape_equal (&loss.target, &tokens));
  g_assert_cmpint (pw_shape_bytes (&loss.output), ==, 4);
  g_assert_cmpint (pw_shape_elements (&loss.stashes[0].shape), ==, T);
  g_assert_cmpuint (loss.input_reads_inputs, ==, 1);
}

/* Weights and tables are W's, biases and gains are I's: the split the schedules count on. */
static void
test_gradient_owners (void) {
  PwLayerAttributes attributes = { .in = 6,
                                   .out = 6,
                                   .features = 6,
                                   .heads = 2,
                                   .vocabulary = 6,
                                   .positions = 6,
                                   .epsilon = 0.1,
                                   .bias = TRUE };
  for (const PwLayerType *const *type = pw_layer_type_list (); *type != NULL; type++) {
    PwShape input = SHAPE (6, 6);
    input.dtype = (*type)->input_dtype;
    PwLayerInfo info = describe ((*type)->name, attributes, input);
    gboolean has_weight_gradient = FALSE;
    for (int i = 0; i < info.n_parameters; i++) {
      const PwLayerParameter *parameter = &info.parameters[i];
      g_assert_cmpint (parameter->from_weight_gradient, ==,
                       strcmp (parameter->name, "weight") == 0);
      has_weight_gradient |= parameter->from_weight_gradient;
    }
    g_assert_cmpint (info.weight_reads_output_gradient, ==, has_weight_gradient);
    g_assert_true (has_weight_gradient || info.flops_weight == 0);
    g_assert_nonnull ((*type)->summary);
  }
}

static void
test_bad (void) {
  static const struct {
    const char *type;
    PwLayerAttributes attributes;
    PwShape input;
    PwModelError code;
    const char *message;
  } cases[] = {
    { "linear",
      { .in = 0, .out = 2 },
      SHAPE (2),
      PW_MODEL_ERROR_ATTRIBUTE,
      "in is 0, expected 1 to 2147483647" },
    { "linear",
      { .in = 2, .out = -1 },
      SHAPE (2),
      PW_MODEL_ERROR_ATTRIBUTE,
      "out is -1, expected 1 to 2147483647" },
    { "linear",
      { .in = 3, .out = 2 },
      SHAPE (4, 2),
      PW_MODEL_ERROR_SHAPE,
      "needs 3 features, but [4, 2] fp32 comes in" },
    { "linear",
      { .in = 3, .out = 2 },
      { 0 },
      PW_MODEL_ERROR_SHAPE,
      "needs 3 features, but [] fp32 comes in" },
    { "layernorm",
      { .features = 3, .epsilon = 0 },
      SHAPE (3),
      PW_MODEL_ERROR_ATTRIBUTE,
      "epsilon is 0, expected a positive number" },
    { "layernorm",
      { .features = 4, .epsilon = 1 },
      SHAPE (3),
      PW_MODEL_ERROR_SHAPE,
      "needs 4 features, but [3] fp32 comes in" },
    { "rmsnorm",
      { .features = 3, .epsilon = -1 },
      SHAPE (3),
      PW_MODEL_ERROR_ATTRIBUTE,
      "epsilon is -1, expected a positive number" },
    { "rmsnorm",
      { .features = 4, .epsilon = 1 },
      SHAPE (3),
      PW_MODEL_ERROR_SHAPE,
      "needs 4 features, but [3] fp32 comes in" },
    { "dropout",
      { .probability = 1 },
      SHAPE (3),
      PW_MODEL_ERROR_ATTRIBUTE,
      "probability is 1, expected at least 0 and less than 1" },
    { "dropout",
      { .probability = NAN },
      SHAPE (3),
      PW_MODEL_ERROR_ATTRIBUTE,
      "probability is nan, expected at least 0 and less than 1" },
    { "attention",
      { .heads = 4 },
      SHAPE (5, 18),
      PW_MODEL_ERROR_ATTRIBUTE,
      "4 heads do not divide 6 features" },
    { "attention",
      { .heads = 0 },
      SHAPE (5, 18),
      PW_MODEL_ERROR_ATTRIBUTE,
      "heads is 0, expected 1 to 2147483647" },
    { "attention",
      { .heads = 4 },
      SHAPE (5, 8),
      PW_MODEL_ERROR_SHAPE,
      "needs [tokens, 3 * features] (query, key, value), but [5, 8] fp32 comes in" },
    { "attention",
      { .heads = 4 },
      SHAPE (12),
      PW_MODEL_ERROR_SHAPE,
      "needs [tokens, 3 * features] (query, key, value), but [12] fp32 comes in" },
    { "positional_embedding",
      { .positions = 4, .features = 2 },
      SHAPE (5, 2),
      PW_MODEL_ERROR_SHAPE,
      "needs at most 4 positions, but [5, 2] fp32 comes in" },
    { "cross_entropy",
      { .vocabulary = 9 },
      SHAPE (5, 2),
      PW_MODEL_ERROR_SHAPE,
      "needs 9 features, but [5, 2] fp32 comes in" },
    { "cross_entropy",
      { 0 },
      { 0 },
      PW_MODEL_ERROR_SHAPE,
      "needs [.., classes], but [] fp32 comes in" },
    { "embedding",
      { .vocabulary = 9, .features = 0 },
      SHAPE (5),
      PW_MODEL_ERROR_ATTRIBUTE,
      "features is 0, expected 1 to 2147483647" },
    { "embedding",
      { .vocabulary = 9, .features = 2 },
      SHAPE (1, 2, 3, 4),
      PW_MODEL_ERROR_SHAPE,
      "needs fewer dimensions, but [1, 2, 3, 4] fp32 comes in" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    const PwLayerType *type = pw_layer_type_get (cases[i].type);
    PwLayerInfo info = { 0 };
    g_autoptr (GError) error = NULL;
    g_assert_false (type->describe (type, &cases[i].attributes, &cases[i].input, &info, &error));
    g_assert_error (error, PW_MODEL_ERROR, (int)cases[i].code);
    g_assert_cmpstr (error->message, ==, cases[i].message);
  }
}

/* Both must be there, and agree in all that is not joined. */
static void
test_bad_joins (void) {
  static const struct {
    const char *type;
    PwShape inputs[2];
    const char *message;
  } cases[] = {
    { "add",
      { SHAPE (3), SHAPE (4) },
      "needs two of one shape, but [3] fp32 and [4] fp32 come in" },
    { "add",
      { SHAPE (1, 4), SHAPE (4) },
      "needs two of one shape, but [1, 4] fp32 and [4] fp32 come in" },
    { "concat",
      { SHAPE (3, 5), SHAPE (3, 4) },
      "needs two of one shape except for the first dimension, but [3, 5] fp32 and [3, 4] fp32 come "
      "in" },
    { "concat",
      { SHAPE (3), SHAPE (3, 1) },
      "needs two of one shape except for the first dimension, but [3] fp32 and [3, 1] fp32 come in" },
    { "concat",
      { { 0 }, { 0 } },
      "needs two of one shape except for the first dimension, but [] fp32 and [] fp32 come in" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    const PwLayerType *type = pw_layer_type_get (cases[i].type);
    PwLayerAttributes attributes = { 0 };
    PwLayerInfo info = { 0 };
    g_autoptr (GError) error = NULL;
    g_assert_false (type->describe (type, &attributes, cases[i].inputs, &info, &error));
    g_assert_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE);
    g_assert_cmpstr (error->message, ==, cases[i].message);
  }
}

static void
test_shapes (void) {
  PwShape shape = SHAPE (128, 256);
  g_autofree char *text = pw_shape_to_string (&shape);
  g_assert_cmpstr (text, ==, "[128, 256] fp32");
  g_assert_cmpint (pw_shape_elements (&shape), ==, 32768);
  shape.dtype = PW_DTYPE_BF16;
  g_assert_cmpint (pw_shape_bytes (&shape), ==, 65536);
  PwShape scalar = { .dtype = PW_DTYPE_I32 };
  g_assert_cmpint (pw_shape_bytes (&scalar), ==, 4);
  g_assert_false (pw_shape_equal (&shape, &scalar));
  /* Products beyond 64 bits stay at the limit instead of wrapping. */
  PwShape huge = SHAPE (G_MAXINT, G_MAXINT, G_MAXINT, G_MAXINT);
  g_assert_cmpint (pw_shape_bytes (&huge), ==, PW_LAYER_FIGURE_MAX);
}

static gboolean
describe_scaled (const PwLayerType *type, const PwLayerAttributes *attributes,
                 const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)error;
  info->output = inputs[0];
  info->flops_forward = *(const int *)type->data * *(const int *)attributes->data;
  info->has_input_gradient = TRUE;
  return TRUE;
}

static void
test_register (void) {
  static const int six = 6, seven = 7;
  static const PwLayerType mine
      = { .name = "mine", .n_inputs = 1, .describe = describe_scaled, .data = &six };
  static const PwLayerType taken = { .name = "relu", .n_inputs = 1, .describe = describe_scaled };
  g_assert_null (pw_layer_type_get ("mine"));
  const PwLayerType *const *list = pw_layer_type_list ();
  gsize before = 0, after = 0;
  while (list[before] != NULL)
    before++;
  g_assert_true (pw_layer_type_register (&mine));
  g_assert_false (pw_layer_type_register (&mine));
  g_assert_false (pw_layer_type_register (&taken));
  while (list[after] != NULL)
    after++;
  g_assert_cmpuint (after, ==, before + 1);
  g_assert_true (pw_layer_type_get ("mine") == &mine);
  PwLayerInfo info = describe ("mine", (PwLayerAttributes){ .data = &seven }, (PwShape)SHAPE (2));
  g_assert_cmpint (info.flops_forward, ==, 42);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/layer-types/figures-have-closed-forms", test_figures);
  g_test_add_func ("/models/layer-types/weights-are-of-w-and-biases-of-i", test_gradient_owners);
  g_test_add_func ("/models/layer-types/bad-sizes-are-named", test_bad);
  g_test_add_func ("/models/layer-types/joins-of-unlike-shapes-are-refused", test_bad_joins);
  g_test_add_func ("/models/layer-types/shapes-count", test_shapes);
  g_test_add_func ("/models/layer-types/users-add-their-own", test_register);
  return g_test_run ();
}
