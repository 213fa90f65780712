#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

static const int64_t sizes[][4] = { { 1 }, { 7 }, { 16 }, { 33 }, { 130 }, { 1023 }, { 2050 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){
    .n_dims = 1, .dims = { size[0] }, .low = -6, .high = 6, .gradient = OP_GRADIENT_ASSIGNED
  };
  outputs[0] = (OpOperand){ .n_dims = 1, .dims = { size[0] } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_gelu (in[0], out[0], size[0]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.gelu_forward (context, &in[0], &out[0], error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d,
          PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.gelu_input_gradient (context, &in[0], dy, &d[0], error);
}

const OpCase op_case_gelu = {
  .op = "gelu",
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
