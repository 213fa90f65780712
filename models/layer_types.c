/* The layer types, one row each at the end; above it, what each says of a layer. */
#include <math.h>
#include <stddef.h>

#include "models/models_private.h"

#define SIZE_MAXIMUM 2147483647.0 /* of one dimension */

static gboolean
fail_shape (const PwShape *input, GError **error, const char *wanted) {
  g_autofree char *found = pw_shape_to_string (input);
  g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE, "needs %s, but %s comes in", wanted,
               found);
  return FALSE;
}

/* Sizes come from JSON, where the keys bound them, or from a caller's struct. */
static gboolean
check_size (const char *name, int64_t value, GError **error) {
  if (value >= 1 && (double)value <= SIZE_MAXIMUM)
    return TRUE;
  g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_ATTRIBUTE,
               "%s is %" G_GINT64_FORMAT ", expected 1 to %.0f", name, value, SIZE_MAXIMUM);
  return FALSE;
}

static gboolean
check_last (const PwShape *input, int64_t features, GError **error) {
  if (input->n_dims >= 1 && input->dims[input->n_dims - 1] == features)
    return TRUE;
  g_autofree char *wanted = g_strdup_printf ("%" G_GINT64_FORMAT " features", features);
  return fail_shape (input, error, wanted);
}

static int64_t
rows_of (const PwShape *shape) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < shape->n_dims; i++)
    rows = pw__multiply (rows, shape->dims[i]);
  return rows;
}

/* SHAPE without its last dimension. */
static PwShape
leading (const PwShape *shape, PwDtype dtype) {
  PwShape result = *shape;
  result.dtype = dtype;
  result.dims[--result.n_dims] = 0;
  return result;
}

static PwShape
shape_1 (PwDtype dtype, int64_t a) {
  return (PwShape){ .dtype = dtype, .n_dims = 1, .dims = { a } };
}

static PwShape
shape_2 (PwDtype dtype, int64_t a, int64_t b) {
  return (PwShape){ .dtype = dtype, .n_dims = 2, .dims = { a, b } };
}

/* y = x w^T + b. Unless told otherwise weights and biases start as torch's do, uniform within
 * 1/sqrt(in). */
static gboolean
describe_linear (const PwLayerType *type, const PwLayerAttributes *attributes,
                 const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  int64_t in = attributes->in, out = attributes->out;
  if (!check_size ("in", in, error) || !check_size ("out", out, error)
      || !check_last (&inputs[0], in, error))
    return FALSE;
  info->output = inputs[0];
  info->output.dims[inputs[0].n_dims - 1] = out;
  gboolean is_normal = attributes->init_scale > 0;
  double uniform = 1 / sqrt ((double)in);
  info->parameters[info->n_parameters++] = (PwLayerParameter){
    .name = "weight",
    .shape = shape_2 (inputs[0].dtype, out, in),
    .init = is_normal ? PW_INIT_NORMAL : PW_INIT_UNIFORM,
    .scale = is_normal ? attributes->init_scale : uniform,
    .from_weight_gradient = TRUE,
  };
  if (attributes->bias)
    info->parameters[info->n_parameters++] = (PwLayerParameter){
      .name = "bias",
      .shape = shape_1 (inputs[0].dtype, out),
      .init = is_normal ? PW_INIT_ZEROS : PW_INIT_UNIFORM,
      .scale = is_normal ? 0 : uniform,
    };
  int64_t product = pw__multiply (2, pw__multiply (rows_of (&inputs[0]), pw__multiply (in, out)));
  int64_t bytes = pw_shape_bytes (&inputs[0]) + pw_shape_bytes (&info->output);
  info->flops_forward = info->flops_input = info->flops_weight = product;
  info->bytes_forward = info->bytes_input = info->bytes_weight = bytes;
  info->weight_reads_inputs = 1;
  info->weight_reads_output_gradient = TRUE;
  info->has_input_gradient = TRUE;
  return TRUE;
}

/* relu and gelu: element by element, the gradient from the input. */
static gboolean
describe_activation (const PwLayerType *type, const PwLayerAttributes *attributes,
                     const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type, (void)attributes, (void)error;
  info->output = inputs[0];
  info->bytes_forward = pw__multiply (2, pw_shape_bytes (&inputs[0]));
  info->bytes_input = pw__multiply (3, pw_shape_bytes (&inputs[0]));
  info->input_reads_inputs = 1;
  info->has_input_gradient = TRUE;
  return TRUE;
}

static gboolean
check_norm (const PwLayerAttributes *attributes, const PwShape *input, GError **error) {
  int64_t features = attributes->features;
  if (!check_size ("features", features, error) || !check_last (input, features, error))
    return FALSE;
  if (attributes->epsilon > 0)
    return TRUE;
  g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_ATTRIBUTE,
               "epsilon is %g, expected a positive number", attributes->epsilon);
  return FALSE;
}

static gboolean
describe_layernorm (const PwLayerType *type, const PwLayerAttributes *attributes,
                    const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  if (!check_norm (attributes, &inputs[0], error))
    return FALSE;
  info->output = inputs[0];
  PwShape features_shape = shape_1 (inputs[0].dtype, attributes->features);
  info->n_parameters = 2;
  info->parameters[0]
      = (PwLayerParameter){ .name = "gain", .shape = features_shape, .init = PW_INIT_ONES };
  info->parameters[1]
      = (PwLayerParameter){ .name = "bias", .shape = features_shape, .init = PW_INIT_ZEROS };
  info->n_stashes = 2;
  PwShape row_shape = leading (&inputs[0], PW_DTYPE_F32);
  info->stashes[0] = (PwLayerStash){ .name = "mean", .shape = row_shape };
  info->stashes[1] = (PwLayerStash){ .name = "rstd", .shape = row_shape };
  int64_t bytes = pw_shape_bytes (&inputs[0]), rows = pw_shape_bytes (&row_shape);
  info->bytes_forward = pw__multiply (2, bytes + rows);
  info->bytes_input = pw__multiply (3, bytes) + pw__multiply (2, rows);
  info->input_reads_inputs = 1;
  info->has_input_gradient = TRUE;
  return TRUE;
}

static gboolean
describe_rmsnorm (const PwLayerType *type, const PwLayerAttributes *attributes,
                  const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  if (!check_norm (attributes, &inputs[0], error))
    return FALSE;
  info->output = inputs[0];
  info->n_parameters = 1;
  info->parameters[0] = (PwLayerParameter){
    .name = "gain",
    .shape = shape_1 (inputs[0].dtype, attributes->features),
    .init = PW_INIT_ONES,
  };
  info->n_stashes = 1;
  PwShape row_shape = leading (&inputs[0], PW_DTYPE_F32);
  info->stashes[0] = (PwLayerStash){ .name = "rstd", .shape = row_shape };
  int64_t bytes = pw_shape_bytes (&inputs[0]), rows = pw_shape_bytes (&row_shape);
  info->bytes_forward = pw__multiply (2, bytes) + rows;
  info->bytes_input = pw__multiply (3, bytes) + rows;
  info->input_reads_inputs = 1;
  info->has_input_gradient = TRUE;
  return TRUE;
}

/* What is dropped is drawn again for the gradient, so nothing is kept. */
static gboolean
describe_dropout (const PwLayerType *type, const PwLayerAttributes *attributes,
                  const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  if (!(attributes->probability >= 0 && attributes->probability < 1)) {
    g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_ATTRIBUTE,
                 "probability is %g, expected at least 0 and less than 1", attributes->probability);
    return FALSE;
  }
  info->output = inputs[0];
  info->bytes_forward = info->bytes_input = pw__multiply (2, pw_shape_bytes (&inputs[0]));
  info->has_input_gradient = TRUE;
  return TRUE;
}

/* Rows of a table [vocabulary, features] picked by integers. The table has the shape of the weight
 * of a linear layer from features to vocabulary, so the two can be tied. */
static gboolean
describe_embedding (const PwLayerType *type, const PwLayerAttributes *attributes,
                    const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  if (!check_size ("vocabulary", attributes->vocabulary, error)
      || !check_size ("features", attributes->features, error))
    return FALSE;
  if (inputs[0].n_dims + 1 > PW_SHAPE_DIMS_MAX)
    return fail_shape (&inputs[0], error, "fewer dimensions");
  info->output = inputs[0];
  info->output.dtype = attributes->element;
  info->output.dims[info->output.n_dims++] = attributes->features;
  info->n_parameters = 1;
  info->parameters[0] = (PwLayerParameter){
    .name = "weight",
    .shape = shape_2 (attributes->element, attributes->vocabulary, attributes->features),
    .init = PW_INIT_NORMAL,
    .scale = attributes->init_scale > 0 ? attributes->init_scale : 1,
    .from_weight_gradient = TRUE,
  };
  PwShape gradient_rows = info->output;
  gradient_rows.dtype = PW_DTYPE_F32;
  int64_t tokens = pw_shape_bytes (&inputs[0]), output = pw_shape_bytes (&info->output);
  info->bytes_forward = tokens + pw__multiply (2, output);
  info->bytes_weight = tokens + output + pw_shape_bytes (&gradient_rows);
  info->weight_reads_inputs = 1;
  info->weight_reads_output_gradient = TRUE;
  return TRUE;
}

/* y[t] = x[t] + table[t]: the gradient passes through, the table's is summed over the samples. */
static gboolean
describe_positional_embedding (const PwLayerType *type, const PwLayerAttributes *attributes,
                               const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  int64_t positions = attributes->positions;
  if (!check_size ("positions", positions, error)
      || !check_size ("features", attributes->features, error))
    return FALSE;
  if (inputs[0].n_dims != 2)
    return fail_shape (&inputs[0], error, "[tokens, features]");
  if (!check_last (&inputs[0], attributes->features, error))
    return FALSE;
  if (inputs[0].dims[0] > positions) {
    g_autofree char *wanted = g_strdup_printf ("at most %" G_GINT64_FORMAT " positions", positions);
    return fail_shape (&inputs[0], error, wanted);
  }
  info->output = inputs[0];
  info->n_parameters = 1;
  info->parameters[0] = (PwLayerParameter){
    .name = "weight",
    .shape = shape_2 (inputs[0].dtype, positions, attributes->features),
    .init = PW_INIT_NORMAL,
    .scale = attributes->init_scale > 0 ? attributes->init_scale : 1,
    .from_weight_gradient = TRUE,
  };
  int64_t bytes = pw_shape_bytes (&inputs[0]);
  info->bytes_forward = info->bytes_input = pw__multiply (2, bytes);
  info->bytes_weight = bytes;
  info->weight_reads_output_gradient = TRUE;
  info->has_input_gradient = TRUE;
  return TRUE;
}

/* [T, 3C] = [q | k | v] to [T, C]. Forward is two products of T x T x C over all heads, q k^T and
 * p v, so 4 T T C; the gradient has two for each of them, and makes q k^T again: what is kept of
 * the probabilities is a number per row (FlashAttention-2, 2307.08691). */
static gboolean
describe_attention (const PwLayerType *type, const PwLayerAttributes *attributes,
                    const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  int64_t heads = attributes->heads;
  if (!check_size ("heads", heads, error))
    return FALSE;
  if (inputs[0].n_dims != 2 || inputs[0].dims[1] % 3 != 0)
    return fail_shape (&inputs[0], error, "[tokens, 3 * features] (query, key, value)");
  int64_t tokens = inputs[0].dims[0], features = inputs[0].dims[1] / 3;
  if (features % heads != 0) {
    g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_ATTRIBUTE,
                 "%" G_GINT64_FORMAT " heads do not divide %" G_GINT64_FORMAT " features", heads,
                 features);
    return FALSE;
  }
  info->output = shape_2 (inputs[0].dtype, tokens, features);
  info->n_stashes = 1;
  info->stashes[0] = (PwLayerStash){
    .name = "lse",
    .shape = shape_2 (PW_DTYPE_F32, heads, tokens),
  };
  int64_t square = pw__multiply (pw__multiply (tokens, tokens), features);
  info->flops_forward = pw__multiply (4, square);
  info->flops_input = pw__multiply (10, square);
  info->flops_again = pw__multiply (2, square);
  int64_t qkv = pw_shape_bytes (&inputs[0]), output = pw_shape_bytes (&info->output);
  int64_t lse = pw_shape_bytes (&info->stashes[0].shape);
  info->bytes_forward = qkv + output + lse;
  info->bytes_input = pw__multiply (2, qkv) + pw__multiply (2, output) + lse;
  info->input_reads_inputs = 1;
  info->input_reads_output = TRUE;
  info->has_input_gradient = TRUE;
  return TRUE;
}

static gboolean
describe_mse (const PwLayerType *type, const PwLayerAttributes *attributes, const PwShape *inputs,
              PwLayerInfo *info, GError **error) {
  (void)type, (void)attributes, (void)error;
  info->is_loss = TRUE;
  info->output = (PwShape){ .dtype = PW_DTYPE_F32 };
  info->target = inputs[0];
  info->target.dtype = PW_DTYPE_F32;
  int64_t input = pw_shape_bytes (&inputs[0]), target = pw_shape_bytes (&info->target);
  info->bytes_forward = input + target;
  info->bytes_input = pw__multiply (2, input) + target;
  info->input_reads_inputs = 1;
  info->has_input_gradient = TRUE;
  return TRUE;
}

/* Logits [.., V] against integers [..]; the gradient makes the probabilities again from the logits
 * and the log of each row's sum. */
static gboolean
describe_cross_entropy (const PwLayerType *type, const PwLayerAttributes *attributes,
                        const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type;
  if (inputs[0].n_dims < 1)
    return fail_shape (&inputs[0], error, "[.., classes]");
  if (attributes->vocabulary != 0 && !check_last (&inputs[0], attributes->vocabulary, error))
    return FALSE;
  info->is_loss = TRUE;
  info->output = (PwShape){ .dtype = PW_DTYPE_F32 };
  info->target = leading (&inputs[0], PW_DTYPE_I32);
  info->n_stashes = 1;
  info->stashes[0] = (PwLayerStash){ .name = "lse", .shape = leading (&inputs[0], PW_DTYPE_F32) };
  int64_t logits = pw_shape_bytes (&inputs[0]);
  int64_t rows = pw_shape_bytes (&info->target) + pw_shape_bytes (&info->stashes[0].shape);
  info->bytes_forward = logits + rows;
  info->bytes_input = pw__multiply (2, logits) + rows;
  info->input_reads_inputs = 1;
  info->has_input_gradient = TRUE;
  return TRUE;
}

#define SIZE(key_, field_, required_)                                                              \
  {                                                                                                \
    .key = key_, .type = PW_JSON_INTEGER, .offset = offsetof (PwLayerAttributes, field_),          \
    .required = required_, .minimum = 1, .maximum = SIZE_MAXIMUM                                   \
  }
#define INIT_SCALE                                                                                 \
  {                                                                                                \
    .key = "init_scale", .type = PW_JSON_NUMBER,                                                   \
    .offset = offsetof (PwLayerAttributes, init_scale), .maximum = 1e6                             \
  }

static const PwJsonKey linear_keys[] = {
  SIZE ("in", in, TRUE),
  SIZE ("out", out, TRUE),
  { .key = "bias", .type = PW_JSON_BOOLEAN, .offset = offsetof (PwLayerAttributes, bias) },
  INIT_SCALE,
};
static const PwJsonKey norm_keys[] = {
  SIZE ("features", features, TRUE),
  { .key = "epsilon",
    .type = PW_JSON_NUMBER,
    .offset = offsetof (PwLayerAttributes, epsilon),
    .minimum = 1e-30,
    .maximum = 1 },
};
static const PwJsonKey dropout_keys[] = {
  { .key = "probability",
    .type = PW_JSON_NUMBER,
    .offset = offsetof (PwLayerAttributes, probability),
    .required = TRUE,
    .maximum = 1 },
};
static const PwJsonKey embedding_keys[] = {
  SIZE ("vocabulary", vocabulary, TRUE),
  SIZE ("features", features, TRUE),
  INIT_SCALE,
};
static const PwJsonKey positional_embedding_keys[] = {
  SIZE ("positions", positions, TRUE),
  SIZE ("features", features, TRUE),
  INIT_SCALE,
};
static const PwJsonKey attention_keys[] = {
  SIZE ("heads", heads, TRUE),
  { .key = "causal", .type = PW_JSON_BOOLEAN, .offset = offsetof (PwLayerAttributes, causal) },
};
static const PwJsonKey cross_entropy_keys[] = {
  SIZE ("vocabulary", vocabulary, FALSE),
};

const PwLayerType pw__layer_types[] = {
  {
      .name = "linear",
      .summary = "y = x w^T + bias over the last dimension",
      .keys = linear_keys,
      .n_keys = G_N_ELEMENTS (linear_keys),
      .n_inputs = 1,
      .describe = describe_linear,
  },
  {
      .name = "relu",
      .summary = "max(x, 0)",
      .n_inputs = 1,
      .describe = describe_activation,
  },
  {
      .name = "gelu",
      .summary = "x times the normal distribution's share below it (tanh form)",
      .n_inputs = 1,
      .describe = describe_activation,
  },
  {
      .name = "layernorm",
      .summary = "last dimension to mean 0 and variance 1, then gain and bias",
      .keys = norm_keys,
      .n_keys = G_N_ELEMENTS (norm_keys),
      .n_inputs = 1,
      .describe = describe_layernorm,
  },
  {
      .name = "rmsnorm",
      .summary = "last dimension to mean square 1, then gain",
      .keys = norm_keys,
      .n_keys = G_N_ELEMENTS (norm_keys),
      .n_inputs = 1,
      .describe = describe_rmsnorm,
  },
  {
      .name = "dropout",
      .summary = "in training, drops elements at random and scales up the rest",
      .keys = dropout_keys,
      .n_keys = G_N_ELEMENTS (dropout_keys),
      .n_inputs = 1,
      .describe = describe_dropout,
  },
  {
      .name = "embedding",
      .summary = "rows of a table, picked by integers",
      .keys = embedding_keys,
      .n_keys = G_N_ELEMENTS (embedding_keys),
      .n_inputs = 1,
      .input_dtype = PW_DTYPE_I32,
      .describe = describe_embedding,
  },
  {
      .name = "positional_embedding",
      .summary = "adds a learned row per position",
      .keys = positional_embedding_keys,
      .n_keys = G_N_ELEMENTS (positional_embedding_keys),
      .n_inputs = 1,
      .describe = describe_positional_embedding,
  },
  {
      .name = "attention",
      .summary = "multi-head attention over [query | key | value]",
      .keys = attention_keys,
      .n_keys = G_N_ELEMENTS (attention_keys),
      .n_inputs = 1,
      .describe = describe_attention,
  },
  {
      .name = "add",
      .summary = "sum of two inputs",
      .n_inputs = 2,
      .describe = pw__describe_add,
  },
  {
      .name = "concat",
      .summary = "two inputs, joined along a sample's first dimension",
      .n_inputs = 2,
      .describe = pw__describe_concat,
  },
  {
      .name = "mse",
      .summary = "loss: mean of squared differences",
      .n_inputs = 1,
      .describe = describe_mse,
  },
  {
      .name = "cross_entropy",
      .summary = "loss: -log softmax at the target",
      .keys = cross_entropy_keys,
      .n_keys = G_N_ELEMENTS (cross_entropy_keys),
      .n_inputs = 1,
      .describe = describe_cross_entropy,
  },
};
const gsize pw__n_layer_types = G_N_ELEMENTS (pw__layer_types);
