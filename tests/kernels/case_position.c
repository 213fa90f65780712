#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

/* batch, tokens, features, rows of the table beyond the tokens */
static const int64_t sizes[][4]
    = { { 1, 1, 1 }, { 3, 7, 5 }, { 5, 3, 33, 2 }, { 2, 16, 16, 1 }, { 9, 2, 7 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0]
      = (OpOperand){ .n_dims = 3, .dims = { size[0], size[1], size[2] }, .low = -1, .high = 1 };
  inputs[1] = (OpOperand){ .n_dims = 2,
                           .dims = { size[1] + size[3], size[2] },
                           .low = -1,
                           .high = 1,
                           .gradient = OP_GRADIENT_ACCUMULATED };
  outputs[0] = (OpOperand){ .n_dims = 3, .dims = { size[0], size[1], size[2] } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_position (in[0], in[1], out[0], size[0], size[1], size[2]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.position_forward (context, &in[0], &in[1], &out[0], error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in G_GNUC_UNUSED,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d,
          PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.position_weight_gradient (context, dy, &d[1], error);
}

const OpCase op_case_position = {
  .op = "position",
  .n_inputs = 2,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-6,
  .operands = operands,
  .reference = reference,
  .forward = forward,
  .gradient = gradient,
};
