#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"

#define EPSILON 1e-5

/* rows, features */
static const int64_t sizes[][4] = { { 1, 7 },   { 7, 16 },  { 5, 33 },   { 33, 5 },
                                    { 4, 130 }, { 70, 12 }, { 3, 1030 }, { 2, 7001 } };

static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  inputs[0] = (OpOperand){ .n_dims = 2,
                           .dims = { size[0], size[1] },
                           .low = -1,
                           .high = 2,
                           .gradient = OP_GRADIENT_ASSIGNED };
  inputs[1] = (OpOperand){
    .n_dims = 1, .dims = { size[1] }, .low = 0.5, .high = 1.5, .gradient = OP_GRADIENT_ACCUMULATED
  };
  inputs[2] = inputs[1];
  inputs[2].low = -1;
  inputs[2].high = 1;
  outputs[0] = (OpOperand){ .n_dims = 2, .dims = { size[0], size[1] } };
  outputs[1] = (OpOperand){ .n_dims = 1, .dims = { size[0] }, .kind = OP_OUTPUT_KEPT };
  outputs[2] = outputs[1];
}

static void
reference (const int64_t *size, double *const *in, double *const *out) {
  pw_reference_layernorm (in[0], in[1], in[2], EPSILON, out[0], out[1], out[2], size[0], size[1]);
}

static gsize
workspace_bytes (PwOpContext *context, const int64_t *size) {
  return context->backend->workspace.layernorm (context, size[0], size[1]);
}

static gboolean
forward (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in, PwTensor *out,
         PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  return context->backend->ops.layernorm_forward (context, &in[0], &in[1], &in[2], EPSILON, &out[0],
                                                  &out[1], &out[2], error);
}

static gboolean
gradient (PwOpContext *context, const int64_t *size G_GNUC_UNUSED, const PwTensor *in,
          const PwTensor *out, const PwTensor *dy, PwTensor *d, PwWorkspace workspace,
          GError **error) {
  return context->backend->ops.layernorm_input_gradient (context, &in[0], &in[1], &out[1], &out[2],
                                                         dy, &d[0], &d[1], &d[2], workspace, error);
}

const OpCase op_case_layernorm = {
  .op = "layernorm",
  .n_inputs = 3,
  .n_outputs = 3,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 3e-6,
  .operands = operands,
  .reference = reference,
  .workspace = workspace_bytes,
  .forward = forward,
  .gradient = gradient,
};
