#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

/* rows, in, out, without bias. The last two are large enough for the compiled product. */
static const int64_t sizes[][4] = {
  { 1, 1, 1 },   { 1, 7, 33 },    { 7, 33, 1 },     { 33, 1, 7 },
  { 8, 16, 24 }, { 7, 33, 5, 1 }, { 97, 101, 113 }, { 100, 128, 96, 1 },
};

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  int64_t rows = size[0], in = size[1], out = size[2];
  inputs[0] = (OpOperand){
    .n_dims = 2, .dims = { rows, in }, .low = -1, .high = 1, .gradient = OP_GRADIENT_ASSIGNED
  };
  inputs[1] = (OpOperand){
    .n_dims = 2, .dims = { out, in }, .low = -1, .high = 1, .gradient = OP_GRADIENT_ACCUMULATED
  };
  inputs[2] = (OpOperand){
    .n_dims = 1, .dims = { out }, .low = -1, .high = 1, .gradient = OP_GRADIENT_ACCUMULATED
  };
  outputs[0] = (OpOperand){ .n_dims = 2, .dims = { rows, out } };
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_linear (in[0], in[1], size[3] ? NULL : in[2], out[0], size[0], size[1], size[2]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  return context->backend->workspace.linear (context, size[0], size[1], size[2]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace, GError **error) {
  return context->backend->ops.linear_forward (context, &in[0], &in[1], size[3] ? NULL : &in[2],
                                               &out[0], workspace, error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size, const PwTensor *in,
          const PwTensor *out G_GNUC_UNUSED, const PwTensor *dy, PwTensor *d, PwWorkspace workspace,
          GError **error) {
  const PwOps *ops = &context->backend->ops;
  return ops->linear_input_gradient (context, dy, &in[1], &d[0], size[3] ? NULL : &d[2], workspace,
                                     error)
         && ops->linear_weight_gradient (context, &in[0], dy, &d[1], workspace, error);
}

const OpCase op_case_linear = {
  .op = "linear",
  .n_inputs = 3,
  .n_outputs = 1,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 2e-6,
  .operands = operands,
  .reference = reference,
  .workspace = workspace_bytes,
  .forward = forward,
  .gradient = gradient,
};
