/* A chain of linear layers with an activation between them: `depth` hidden ones, then the output.
 * A unit is a linear layer with its activation. */
#include <stddef.h>

#include "models/models_private.h"

typedef struct {
  int64_t input, width, depth, output;
  int activation, loss;
} Options;

static const char *const activations[] = { "relu", "gelu", NULL };
static const char *const losses[] = { "mse", "cross_entropy", NULL };

#define SIZE(name, limit)                                                                          \
  {                                                                                                \
    .key = #name, .type = PW_JSON_INTEGER, .offset = offsetof (Options, name), .minimum = 1,       \
    .maximum = limit                                                                               \
  }

static const PwJsonKey keys[] = {
  SIZE (input, 1 << 24),
  SIZE (width, 1 << 24),
  SIZE (depth, 1 << 16),
  SIZE (output, 1 << 24),
  { .key = "activation",
    .type = PW_JSON_ENUM,
    .offset = offsetof (Options, activation),
    .names = activations },
  { .key = "loss", .type = PW_JSON_ENUM, .offset = offsetof (Options, loss), .names = losses },
};

static void
set_defaults (void *data) {
  Options *options = data;
  *options = (Options){ .input = 32, .width = 64, .depth = 4, .output = 10 };
}

static int
add_linear (PwGraphBuilder *builder, int from, int64_t in, int64_t out) {
  PwLayerAttributes attributes;
  pw_layer_attributes_init (&attributes);
  attributes.in = in;
  attributes.out = out;
  return pw_graph_builder_add (builder, "linear", "linear", &attributes, &from, 1);
}

static PwGraph *
build (const void *data, GError **error) {
  const Options *options = data;
  PwShape input = { .dtype = PW_DTYPE_F32, .n_dims = 1, .dims = { options->input } };
  PwGraphBuilder *builder = pw_graph_builder_new ("mlp", input, (PwShape){ 0 });
  int from = PW_GRAPH_INPUT;
  for (int64_t i = 0; i < options->depth; i++) {
    g_autofree char *name = g_strdup_printf ("hidden%" G_GINT64_FORMAT, i);
    const char *activation = activations[options->activation];
    pw_graph_builder_begin_unit (builder, name, FALSE);
    from = add_linear (builder, from, i == 0 ? options->input : options->width, options->width);
    from = pw_graph_builder_add (builder, activation, activation, NULL, &from, 1);
  }
  pw_graph_builder_begin_unit (builder, "output", FALSE);
  from = add_linear (builder, from, options->width, options->output);
  const char *loss = losses[options->loss];
  pw_graph_builder_begin_unit (builder, "loss", TRUE);
  pw_graph_builder_add (builder, loss, loss, NULL, &from, 1);
  return pw_graph_builder_finish (builder, error);
}

const PwModel pw__model_mlp = {
  .name = "mlp",
  .summary = "linear layers with activations between",
  .keys = keys,
  .n_keys = G_N_ELEMENTS (keys),
  .options_size = sizeof (Options),
  .defaults = set_defaults,
  .build = build,
};
