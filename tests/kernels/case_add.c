#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

static const int64_t sizes[][4] = { { 1 }, { 7 }, { 33 }, { 256 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){ .n_dims = 1, .dims = { size[0] }, .low = -1, .high = 1 };
  inputs[1] = inputs[0];
  outputs[0] = (OpOperand){ .n_dims = 1, .dims = { size[0] } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_add (in[0], in[1], out[0], size[0]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.add (context, &in[0], &in[1], &out[0], error);
}

const OpCase op_case_add = {
  .op = "add",
  .n_inputs = 2,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-7,
  .operands = operands,
  .reference = reference,
  .forward = forward,
};
