#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

/* rows, columns: one part and several, packs that are not full */
static const int64_t sizes[][4]
    = { { 1, 1 }, { 7, 5 }, { 33, 40 }, { 130, 20 }, { 300, 3 }, { 257, 132 } };

/* A bias of 0 has been added to x; its gradient is asked for there. */
static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){ .n_dims = 2,
                           .dims = { size[0], size[1] },
                           .low = -6,
                           .high = 6,
                           .gradient = OP_GRADIENT_ASSIGNED };
  inputs[1] = (OpOperand){ .n_dims = 1, .dims = { size[1] }, .gradient = OP_GRADIENT_ACCUMULATED };
  outputs[0] = (OpOperand){ .n_dims = 2, .dims = { size[0], size[1] } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  for (int64_t i = 0; i < size[0] * size[1]; i++)
    out[0][i] = in[0][i] + in[1][i % size[1]];
  pw_reference_gelu (out[0], out[0], size[0] * size[1]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  return context->backend->workspace.linear (context, size[0], 1, size[1]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.gelu_forward (context, &in[0], &out[0], error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d, PwWorkspace workspace,
          GError **error) {
  return context->backend->ops.gelu_bias_input_gradient (context, &in[0], dy, &d[0], &d[1],
                                                         workspace, error);
}

/* In a half type the bias's sums are of what was rounded: tests/device/test_ops.c has those. */
const OpCase op_case_gelu_bias = {
  .op = "gelu-bias",
  .n_inputs = 2,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 2e-6,
  .float32_only = TRUE,
  .operands = operands,
  .reference = reference,
  .workspace = workspace_bytes,
  .forward = forward,
  .gradient = gradient,
};
