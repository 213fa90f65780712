#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

#define BATCH 2

/* tokens, heads, width of a head, causal: below, at and beyond the blocks of rows and of keys,
 * heads from one number wide to the widest that a tile is made for */
static const int64_t sizes[][4] = {
  { 1, 1, 1, 1 },   { 1, 2, 8, 0 },   { 7, 3, 5, 1 },    { 7, 2, 5, 0 },    { 33, 2, 8, 1 },
  { 33, 1, 7, 0 },  { 64, 1, 4, 1 },  { 65, 1, 3, 1 },   { 65, 1, 6, 0 },   { 130, 1, 9, 1 },
  { 40, 1, 64, 1 }, { 20, 1, 96, 1 }, { 35, 1, 128, 0 }, { 18, 1, 256, 1 },
};

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  int64_t tokens = size[0], heads = size[1], features = size[1] * size[2];
  inputs[0] = (OpOperand){ .n_dims = 3,
                           .dims = { BATCH, tokens, 3 * features },
                           .low = -2,
                           .high = 2,
                           .gradient = OP_GRADIENT_ASSIGNED };
  outputs[0] = (OpOperand){ .n_dims = 3, .dims = { BATCH, tokens, features } };
  outputs[1] = (OpOperand){ .n_dims = 3, .dims = { BATCH, heads, tokens }, .kind = OP_OUTPUT_KEPT };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_attention (in[0], size[1], (gboolean)size[3], out[0], out[1], BATCH, size[0],
                          size[1] * size[2]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  static const PwElement elements[] = { PW_ELEMENT_F32, PW_ELEMENT_BF16, PW_ELEMENT_F16 };
  gsize most = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (elements); i++) {
    gsize bytes = context->backend->workspace.attention (
        context, elements[i], (gboolean)size[3], BATCH, size[1], size[0], size[1] * size[2]);
    most = MAX (most, bytes);
  }
  return most;
}

static gboolean
forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace, GError **error) {
  return context->backend->ops.attention_forward (context, &in[0], size[1], (gboolean)size[3], NULL,
                                                  &out[0], &out[1], workspace, error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size, const PwTensor *in, const PwTensor *out,
          const PwTensor *dy, PwTensor *d, PwWorkspace workspace, GError **error) {
  return context->backend->ops.attention_input_gradient (context, &in[0], size[1],
                                                         (gboolean)size[3], NULL, &out[0], &out[1],
                                                         dy, &d[0], workspace, error);
}

const OpCase op_case_attention = {
  .op = "attention",
  .n_inputs = 1,
  .n_outputs = 2,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 3e-6,
  .operands = operands,
  .reference = reference,
  .workspace = workspace_bytes,
  .forward = forward,
  .gradient = gradient,
};
