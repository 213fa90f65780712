/* GPT-2 (Radford et al. 2019): pre-norm blocks, learned positions, weights of deviation 0.02 and
 * the two projections onto the residual stream scaled by 1/sqrt(2 blocks). A unit is a block;
 * embedding and head are end units. Per block with C = width and four-fold ffn: 12 C^2 + 13 C
 * parameters. Dropout stands where GPT-2 has it, but not on the attention's probabilities: after
 * the embeddings and at the end of both branches of a block. */
#include <math.h>
#include <stddef.h>

#include "models/models_private.h"

typedef struct {
  int64_t blocks, width, heads, tokens, vocabulary;
  int64_t ffn; /* 0: four times the width */
  gboolean tied;
  double dropout; /* 0: there are no such layers */
  int norm;
} Options;

static const char *const norms[] = { "layernorm", "rmsnorm", NULL };

#define SIZE(name, limit, help)                                                                    \
  {                                                                                                \
    .key = #name, .type = PW_JSON_INTEGER, .offset = offsetof (Options, name), .minimum = 1,       \
    .maximum = limit, .unit = help                                                                 \
  }

static const PwJsonKey keys[] = {
  SIZE (blocks, 1 << 16, NULL),
  SIZE (width, 1 << 24, NULL),
  SIZE (heads, 1 << 24, NULL),
  SIZE (tokens, 1 << 24, NULL),
  SIZE (vocabulary, 1 << 24, NULL),
  SIZE (ffn, 1 << 26, "features"),
  { .key = "tied", .type = PW_JSON_BOOLEAN, .offset = offsetof (Options, tied) },
  { .key = "dropout", .type = PW_JSON_NUMBER, .offset = offsetof (Options, dropout), .maximum = 1 },
  { .key = "norm", .type = PW_JSON_ENUM, .offset = offsetof (Options, norm), .names = norms },
};

static void
set_defaults (void *data) {
  Options *options = data;
  *options = (Options){ .blocks = 8, .width = 256, .heads = 4, .tokens = 128, .vocabulary = 256 };
}

typedef struct {
  const Options *options;
  PwGraphBuilder *builder;
  double residual_scale;
} Gpt;

static int
add (const Gpt *gpt, const char *type, const char *name, PwLayerAttributes attributes, int from) {
  return pw_graph_builder_add (gpt->builder, type, name, &attributes, &from, 1);
}

static int
add_linear (const Gpt *gpt, const char *name, int from, int64_t in, int64_t out, double scale) {
  return add (gpt, "linear", name,
              (PwLayerAttributes){ .in = in, .out = out, .bias = TRUE, .init_scale = scale }, from);
}

static int
add_norm (const Gpt *gpt, const char *name, int from) {
  return add (gpt, norms[gpt->options->norm], name,
              (PwLayerAttributes){ .features = gpt->options->width, .epsilon = 1e-5 }, from);
}

static int
add_dropout (const Gpt *gpt, const char *name, int from) {
  double probability = gpt->options->dropout;
  if (probability == 0)
    return from;
  return add (gpt, "dropout", name, (PwLayerAttributes){ .probability = probability }, from);
}

static int
add_residual (const Gpt *gpt, const char *name, int stream, int branch) {
  return pw_graph_builder_add (gpt->builder, "add", name, NULL, (int[]){ stream, branch }, 2);
}

static int
add_embedding (const Gpt *gpt, int *token) {
  const Options *options = gpt->options;
  PwLayerAttributes attributes = {
    .vocabulary = options->vocabulary,
    .features = options->width,
    .positions = options->tokens,
    .init_scale = 0.02,
  };
  pw_graph_builder_begin_unit (gpt->builder, "embedding", TRUE);
  *token = add (gpt, "embedding", "token", attributes, PW_GRAPH_INPUT);
  return add_dropout (gpt, "dropout",
                      add (gpt, "positional_embedding", "position", attributes, *token));
}

static int
add_block (const Gpt *gpt, int64_t number, int stream) {
  const Options *options = gpt->options;
  int64_t width = options->width, ffn = options->ffn > 0 ? options->ffn : 4 * width;
  g_autofree char *name = g_strdup_printf ("block%" G_GINT64_FORMAT, number);
  pw_graph_builder_begin_unit (gpt->builder, name, FALSE);
  int x = add_norm (gpt, "ln1", stream);
  x = add_linear (gpt, "qkv", x, width, 3 * width, 0.02);
  x = add (gpt, "attention", "attention",
           (PwLayerAttributes){ .heads = options->heads, .causal = TRUE }, x);
  x = add_linear (gpt, "projection", x, width, width, gpt->residual_scale);
  stream = add_residual (gpt, "add1", stream, add_dropout (gpt, "dropout1", x));
  x = add_norm (gpt, "ln2", stream);
  x = add_linear (gpt, "fc1", x, width, ffn, 0.02);
  x = add (gpt, "gelu", "gelu", (PwLayerAttributes){ 0 }, x);
  x = add_linear (gpt, "fc2", x, ffn, width, gpt->residual_scale);
  return add_residual (gpt, "add2", stream, add_dropout (gpt, "dropout2", x));
}

static void
add_head (const Gpt *gpt, int stream, int token) {
  const Options *options = gpt->options;
  pw_graph_builder_begin_unit (gpt->builder, "head", TRUE);
  int x = add_norm (gpt, "ln", stream);
  x = add (
      gpt, "linear", "output",
      (PwLayerAttributes){ .in = options->width, .out = options->vocabulary, .init_scale = 0.02 },
      x);
  if (options->tied && x >= 0)
    pw_graph_builder_share (gpt->builder, x, token);
  add (gpt, "cross_entropy", "loss", (PwLayerAttributes){ .vocabulary = options->vocabulary }, x);
}

static PwGraph *
build (const void *data, GError **error) {
  const Options *options = data;
  PwShape input = { .dtype = PW_DTYPE_I32, .n_dims = 1, .dims = { options->tokens } };
  Gpt gpt = {
    .options = options,
    .builder = pw_graph_builder_new ("gpt", input, input),
    .residual_scale = 0.02 / sqrt (2 * (double)options->blocks),
  };
  int token;
  int stream = add_embedding (&gpt, &token);
  for (int64_t i = 0; i < options->blocks; i++)
    stream = add_block (&gpt, i, stream);
  add_head (&gpt, stream, token);
  return pw_graph_builder_finish (gpt.builder, error);
}

const PwModel pw__model_gpt = {
  .name = "gpt",
  .summary = "GPT-2: causal transformer over tokens",
  .keys = keys,
  .n_keys = G_N_ELEMENTS (keys),
  .options_size = sizeof (Options),
  .defaults = set_defaults,
  .build = build,
};
