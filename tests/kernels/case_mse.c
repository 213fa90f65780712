#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

#define SCALE 0.125

static const int64_t sizes[][4] = { { 1 }, { 7 }, { 33 }, { 128 }, { 1001 }, { 9001 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){
    .n_dims = 1, .dims = { size[0] }, .low = -2, .high = 2, .gradient = OP_GRADIENT_ASSIGNED
  };
  inputs[1] = (OpOperand){ .n_dims = 1, .dims = { size[0] }, .low = -2, .high = 2 };
  outputs[0] = (OpOperand){ .kind = OP_OUTPUT_SCALAR };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  out[0][0] = 0;
  pw_reference_mse (in[0], in[1], SCALE, out[0], size[0]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  return context->backend->workspace.sum (context, size[0]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace, GError **error) {
  return context->backend->ops.mse_forward (context, &in[0], &in[1], SCALE, out[0].data, workspace,
                                            error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy G_GNUC_UNUSED, PwTensor *d,
          PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.mse_input_gradient (context, &in[0], &in[1], SCALE, &d[0], error);
}

const OpCase op_case_mse = {
  .op = "mse",
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
