#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

#define SCALE 0.25

/* rows, classes; targets are drawn from -1 on */
static const int64_t sizes[][4]
    = { { 1, 1 }, { 7, 33 }, { 33, 7 }, { 9, 16 }, { 3, 130 }, { 2, 1031 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){ .n_dims = 2,
                           .dims = { size[0], size[1] },
                           .low = -4,
                           .high = 4,
                           .gradient = OP_GRADIENT_ASSIGNED };
  inputs[1] = (OpOperand){
    .n_dims = 1, .dims = { size[0] }, .low = -1, .high = (double)size[1], .index = TRUE
  };
  outputs[0] = (OpOperand){ .kind = OP_OUTPUT_SCALAR };
  outputs[1] = (OpOperand){ .n_dims = 1, .dims = { size[0] }, .kind = OP_OUTPUT_KEPT };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  out[0][0] = 0;
  pw_reference_cross_entropy (in[0], in[1], SCALE, out[1], out[0], size[0], size[1]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.cross_entropy_forward (context, &in[0], &in[1], SCALE, &out[1],
                                                      out[0].data, error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in,
          const PwTensor *out, const PwTensor *dy G_GNUC_UNUSED, PwTensor *d,
          PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.cross_entropy_input_gradient (context, &in[0], &out[1], &in[1],
                                                             SCALE, &d[0], error);
}

const OpCase op_case_cross_entropy = {
  .op = "cross_entropy",
  .n_inputs = 2,
  .n_outputs = 2,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 2e-6,
  .operands = operands,
  .reference = reference,
  .forward = forward,
  .gradient = gradient,
};
