#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

/* samples, channels of the first, of the second, pixels */
static const int64_t sizes[][4]
    = { { 1, 1, 1, 1 }, { 3, 7, 2, 1 }, { 2, 3, 5, 9 }, { 4, 8, 16, 16 }, { 5, 1, 70, 33 } };

static OpOperand
image (const int64_t *size, int64_t channels) {
  return (OpOperand){ .n_dims = 3, .dims = { size[0], channels, size[3] }, .low = -1, .high = 1 };
}

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = image (size, size[1]);
  inputs[1] = image (size, size[2]);
  inputs[0].gradient = inputs[1].gradient = OP_GRADIENT_ASSIGNED;
  outputs[0] = image (size, size[1] + size[2]);
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_concat (in[0], in[1], out[0], size[0], size[1] * size[3], size[2] * size[3]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.concat_forward (context, &in[0], &in[1], &out[0], error);
}

/* Where the samples are an odd number, each gradient alone. */
static gboolean
gradient (PwOpContext *context, const int64_t *size, const PwTensor *in G_GNUC_UNUSED,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d,
          PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  const PwOps *ops = &context->backend->ops;
  if (size[0] % 2 == 0)
    return ops->concat_input_gradient (context, dy, &d[0], &d[1], error);
  return ops->concat_input_gradient (context, dy, &d[0], NULL, error)
         && ops->concat_input_gradient (context, dy, NULL, &d[1], error);
}

const OpCase op_case_concat = {
  .op = "concat",
  .n_inputs = 2,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-7,
  .operands = operands,
  .reference = reference,
  .forward = forward,
  .gradient = gradient,
};
