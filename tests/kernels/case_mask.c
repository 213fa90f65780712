#include "tests/kernels/op_case.h"

/* samples, tokens, features */
static const int64_t sizes[][4]
    = { { 1, 1, 1 }, { 3, 5, 7 }, { 2, 33, 4 }, { 4, 16, 16 }, { 2, 130, 33 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){ .n_dims = 3,
                           .dims = { size[0], size[1], size[2] },
                           .low = -1,
                           .high = 1,
                           .gradient = OP_GRADIENT_ASSIGNED };
  inputs[1] = (OpOperand){
    .n_dims = 1, .dims = { size[0] }, .index = TRUE, .low = 0, .high = (double)(size[1] + 1)
  };
  outputs[0] = (OpOperand){ .n_dims = 3, .dims = { size[0], size[1], size[2] } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  for (int64_t b = 0; b < size[0]; b++)
    for (int64_t t = 0; t < size[1]; t++)
      for (int64_t c = 0; c < size[2]; c++) {
        int64_t at = (b * size[1] + t) * size[2] + c;
        out[0][at] = (double)t < in[1][b] ? in[0][at] : 0;
      }
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.mask_rows (context, &in[0], &in[1], &out[0], error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d,
          PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.mask_rows (context, dy, &in[1], &d[0], error);
}

const OpCase op_case_mask = {
  .op = "mask",
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
