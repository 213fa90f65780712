#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"
#include <string.h>

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

/* ---- Padded: the same of every sequence cut to its length ---- */

static const int64_t padded_sizes[][4] = {
  { 7, 3, 5, 1 },  { 7, 2, 5, 0 },   { 33, 2, 8, 1 },   { 33, 1, 7, 0 },
  { 65, 1, 6, 1 }, { 130, 1, 9, 0 }, { 35, 1, 128, 1 },
};

static void
padded_operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  operands (size, inputs, outputs);
  inputs[1] = (OpOperand){
    .n_dims = 1, .dims = { BATCH }, .index = TRUE, .low = 0, .high = (double)(size[0] + 1)
  };
}

static void
padded_reference (const int64_t *size, double *const *in, double *const *out) {
  int64_t tokens = size[0], heads = size[1], features = size[1] * size[2];
  memset (out[0], 0, (gsize)(BATCH * tokens * features) * sizeof (double));
  memset (out[1], 0, (gsize)(BATCH * tokens * heads) * sizeof (double));
  g_autofree double *lse = g_new (double, (gsize)(tokens * heads));
  for (int64_t b = 0; b < BATCH; b++) {
    int64_t length = (int64_t)in[1][b];
    if (length == 0)
      continue;
    pw_reference_attention (in[0] + b * tokens * 3 * features, heads, (gboolean)size[3],
                            out[0] + b * tokens * features, lse, 1, length, features);
    for (int64_t h = 0; h < heads; h++)
      memcpy (out[1] + (b * heads + h) * tokens, lse + h * length, (gsize)length * sizeof (double));
  }
}

static gboolean
padded_forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
                PwWorkspace workspace, GError **error) {
  return context->backend->ops.attention_forward (context, &in[0], size[1], (gboolean)size[3],
                                                  &in[1], &out[0], &out[1], workspace, error);
}

static gboolean
padded_gradient (PwOpContext *context, const int64_t *size, const PwTensor *in, const PwTensor *out,
                 const PwTensor *dy, PwTensor *d, PwWorkspace workspace, GError **error) {
  return context->backend->ops.attention_input_gradient (context, &in[0], size[1],
                                                         (gboolean)size[3], &in[1], &out[0],
                                                         &out[1], dy, &d[0], workspace, error);
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

const OpCase op_case_attention_padded = {
  .op = "attention-padded",
  .n_inputs = 2,
  .n_outputs = 2,
  .sizes = padded_sizes,
  .n_sizes = G_N_ELEMENTS (padded_sizes),
  .tolerance = 3e-6,
  .operands = padded_operands,
  .reference = padded_reference,
  .workspace = workspace_bytes,
  .forward = padded_forward,
  .gradient = padded_gradient,
};
