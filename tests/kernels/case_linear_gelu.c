#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

/* rows, in, out, without bias. Multiples of 8 in the last are what cuBLASLt does in one product. */
static const int64_t sizes[][4] = { { 1, 1, 1 },      { 7, 33, 5 },   { 5, 9, 8 },
                                    { 8, 16, 24, 1 }, { 33, 20, 40 }, { 97, 10, 13, 1 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  int64_t rows = size[0], in = size[1], out = size[2];
  inputs[0] = (OpOperand){ .n_dims = 2, .dims = { rows, in }, .low = -1, .high = 1 };
  inputs[1] = (OpOperand){ .n_dims = 2, .dims = { out, in }, .low = -1, .high = 1 };
  inputs[2] = (OpOperand){ .n_dims = 1, .dims = { out }, .low = -1, .high = 1 };
  outputs[0] = (OpOperand){ .n_dims = 2, .dims = { rows, out } };
  outputs[1] = (OpOperand){ .n_dims = 2, .dims = { rows, out } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_linear (in[0], in[1], size[3] ? NULL : in[2], out[1], size[0], size[1], size[2]);
  pw_reference_gelu (out[1], out[0], size[0] * size[2]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  return context->backend->workspace.linear (context, size[0], size[1], size[2]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace, GError **error) {
  return context->backend->ops.linear_gelu_forward (
      context, &in[0], &in[1], size[3] ? NULL : &in[2], &out[1], &out[0], workspace, error);
}

const OpCase op_case_linear_gelu = {
  .op = "linear-gelu",
  .n_inputs = 3,
  .n_outputs = 2,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 2e-6,
  .operands = operands,
  .reference = reference,
  .workspace = workspace_bytes,
  .forward = forward,
};
