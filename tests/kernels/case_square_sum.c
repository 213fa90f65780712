#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

static const int64_t sizes[][4] = { { 1 }, { 7 }, { 33 }, { 128 }, { 4099 }, { 9001 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){ .n_dims = 1, .dims = { size[0] }, .low = -2, .high = 2 };
  outputs[0] = (OpOperand){ .kind = OP_OUTPUT_SCALAR };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  out[0][0] = 0;
  pw_reference_square_sum (in[0], out[0], size[0]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  return context->backend->workspace.sum (context, size[0]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace, GError **error) {
  return context->backend->ops.square_sum (context, &in[0], out[0].data, workspace, error);
}

const OpCase op_case_square_sum = {
  .op = "square_sum",
  .n_inputs = 1,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-12, /* summed in double on both sides */
  .operands = operands,
  .reference = reference,
  .workspace = workspace_bytes,
  .forward = forward,
};
