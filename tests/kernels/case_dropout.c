/* The numbers behind the mask are written down once more here, from the published algorithm. */
#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

#define SEED 20240229
#define STEP 11
#define LAYER 7

/* samples, elements of one, the first sample's number, per cent that are dropped */
static const int64_t sizes[][4] = { { 1, 1, 0, 50 },  { 3, 7, 5, 10 },   { 2, 33, 0, 90 },
                                    { 5, 16, 64, 0 }, { 2, 130, 1, 25 }, { 1, 1023, 9, 50 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){ .n_dims = 2,
                           .dims = { size[0], size[1] },
                           .low = -1,
                           .high = 1,
                           .gradient = OP_GRADIENT_ASSIGNED };
  outputs[0] = (OpOperand){ .n_dims = 2, .dims = { size[0], size[1] } };
}

/* Number I of a splitmix64 generator that begins at STATE. */
static uint64_t
splitmix64 (uint64_t state, uint64_t i) {
  uint64_t z = state + (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static gboolean
is_kept (int64_t sample, int64_t element, double probability) {
  uint64_t state = splitmix64 (SEED, 0);
  state = splitmix64 (state ^ STEP, 0);
  state = splitmix64 (state ^ LAYER, 0);
  state = splitmix64 (state ^ (uint64_t)sample, 0);
  uint64_t both = splitmix64 (state, (uint64_t)element / 2);
  uint32_t number = (uint32_t)(element % 2 == 0 ? both : both >> 32);
  return (double)number / 4294967296.0 >= probability;
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  double probability = (double)size[3] / 100;
  g_autofree gboolean *keep = g_new (gboolean, (gsize)(size[0] * size[1]));
  for (int64_t sample = 0; sample < size[0]; sample++)
    for (int64_t element = 0; element < size[1]; element++)
      keep[sample * size[1] + element] = is_kept (size[2] + sample, element, probability);
  pw_reference_dropout (in[0], keep, probability, out[0], size[0] * size[1]);
}

static void
set_place (PwOpContext *context) {
  context->seed = SEED;
  context->step = STEP;
  context->layer = LAYER;
}

static gboolean
forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  set_place (context);
  return context->backend->ops.dropout_forward (context, &in[0], (double)size[3] / 100, size[2],
                                                &out[0], error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size, const PwTensor *in G_GNUC_UNUSED,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d,
          PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  set_place (context);
  return context->backend->ops.dropout_input_gradient (context, dy, (double)size[3] / 100, size[2],
                                                       &d[0], error);
}

const OpCase op_case_dropout = {
  .op = "dropout",
  .n_inputs = 1,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-6,
  .operands = operands,
  .reference = reference,
  .forward = forward,
  .gradient = gradient,
};
