#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

/* rows, vocabulary, features: more rows than words make rows meet in one sum */
static const int64_t sizes[][4]
    = { { 1, 1, 1 }, { 7, 33, 5 }, { 33, 7, 17 }, { 16, 16, 64 }, { 300, 9, 3 }, { 5, 3, 600 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){
    .n_dims = 1, .dims = { size[0] }, .low = 0, .high = (double)size[1], .index = TRUE
  };
  inputs[1] = (OpOperand){ .n_dims = 2,
                           .dims = { size[1], size[2] },
                           .low = -1,
                           .high = 1,
                           .gradient = OP_GRADIENT_ACCUMULATED };
  outputs[0] = (OpOperand){ .n_dims = 2, .dims = { size[0], size[2] } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_embedding (in[0], in[1], out[0], size[0], size[2]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  return context->backend->workspace.embedding (context, size[0], size[1], size[2]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.embedding_forward (context, &in[0], &in[1], &out[0], error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d, PwWorkspace workspace,
          GError **error) {
  return context->backend->ops.embedding_weight_gradient (context, &in[0], dy, &d[1], workspace,
                                                          error);
}

const OpCase op_case_embedding = {
  .op = "embedding",
  .n_inputs = 2,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-6,
  .operands = operands,
  .reference = reference,
  .workspace = workspace_bytes,
  .forward = forward,
  .gradient = gradient,
};
