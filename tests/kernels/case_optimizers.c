/* Optimisers work in place: the op gets copies of the inputs in the outputs' buffers. */
#include "tests/kernels/op_case.h"
#include "tests/support/reference_ops.h"
#include <string.h>

#define RATE 0.05
#define DECAY 0.02
#define MOMENTUM 0.9
#define BETA1 0.9
#define BETA2 0.95
#define EPSILON 1e-6

/* elements; sgd: with momentum; adam: the step */
static const int64_t sizes[][4]
    = { { 1, 1 }, { 7, 0 }, { 7, 3 }, { 33, 1 }, { 64, 0 }, { 130, 9 } };

/* w, gradient, then the states: v must not be negative */
static void
operands (const int64_t *size, OpOperand *inputs, OpOperand *outputs) {
  OpOperand any = { .n_dims = 1, .dims = { size[0] }, .low = -1, .high = 1 };
  inputs[0] = inputs[1] = inputs[2] = inputs[3] = any;
  inputs[3].low = 0;
  outputs[0] = outputs[1] = outputs[2] = (OpOperand){ .n_dims = 1, .dims = { size[0] } };
}

static void
doubles_copy (double *to, const double *from, int64_t n) {
  memcpy (to, from, (gsize)n * sizeof *to);
}

static gboolean
copy (PwOpContext *context, PwTensor *to, const PwTensor *from, GError **error) {
  return context->backend->copy (context->stream, to->data, from->data,
                                 (gsize)pw_tensor_bytes (from), error);
}

static void
sgd_reference (const int64_t *size, double *const *in, double *const *out) {
  doubles_copy (out[0], in[0], size[0]);
  doubles_copy (out[1], in[2], size[0]);
  pw_reference_sgd (out[0], in[1], size[1] ? out[1] : NULL, size[0], RATE, size[1] ? MOMENTUM : 0,
                    DECAY);
}

static gboolean
sgd_forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
             PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  PwOptimizerStep step = {
    .learning_rate = RATE, .momentum = size[1] ? MOMENTUM : 0, .weight_decay = DECAY, .step = 1
  };
  return copy (context, &out[0], &in[0], error) && copy (context, &out[1], &in[2], error)
         && context->backend->ops.sgd (context, &out[0], NULL, &in[1], size[1] ? &out[1] : NULL,
                                       &step, error);
}

static void
reference_of_adam (const int64_t *size, double *const *in, double *const *out, gboolean decoupled) {
  PwReferenceAdam adam = { .learning_rate = RATE,
                           .beta1 = BETA1,
                           .beta2 = BETA2,
                           .epsilon = EPSILON,
                           .weight_decay = DECAY,
                           .decoupled = decoupled,
                           .step = size[1] + 1 };
  doubles_copy (out[0], in[0], size[0]);
  doubles_copy (out[1], in[2], size[0]);
  doubles_copy (out[2], in[3], size[0]);
  pw_reference_adam (out[0], in[1], out[1], out[2], size[0], &adam);
}

static void
adam_reference (const int64_t *size, double *const *in, double *const *out) {
  reference_of_adam (size, in, out, FALSE);
}

static void
adamw_reference (const int64_t *size, double *const *in, double *const *out) {
  reference_of_adam (size, in, out, TRUE);
}

static PwOptimizerStep
adam_step (const int64_t *size) {
  return (PwOptimizerStep){ .learning_rate = RATE,
                            .beta1 = BETA1,
                            .beta2 = BETA2,
                            .epsilon = EPSILON,
                            .weight_decay = DECAY,
                            .step = size[1] + 1 };
}

static gboolean
copy_state (PwOpContext *context, const PwTensor *in, PwTensor *out, GError **error) {
  return copy (context, &out[0], &in[0], error) && copy (context, &out[1], &in[2], error)
         && copy (context, &out[2], &in[3], error);
}

static gboolean
adam_forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
              PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  PwOptimizerStep step = adam_step (size);
  return copy_state (context, in, out, error)
         && context->backend->ops.adam (context, &out[0], NULL, &in[1], &out[1], &out[2], &step,
                                        error);
}

static gboolean
adamw_forward (PwOpContext *context, const int64_t *size, const PwTensor *in, PwTensor *out,
               PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  PwOptimizerStep step = adam_step (size);
  return copy_state (context, in, out, error)
         && context->backend->ops.adamw (context, &out[0], NULL, &in[1], &out[1], &out[2], &step,
                                         error);
}

const OpCase op_case_sgd = {
  .op = "sgd",
  .n_inputs = 3,
  .n_outputs = 2,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-6,
  .float32_only = TRUE, /* with a master copy: tests/device/test_ops.c */
  .operands = operands,
  .reference = sgd_reference,
  .forward = sgd_forward,
};

const OpCase op_case_adam = {
  .op = "adam",
  .n_inputs = 4,
  .n_outputs = 3,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-6,
  .float32_only = TRUE, /* with a master copy: tests/device/test_ops.c */
  .operands = operands,
  .reference = adam_reference,
  .forward = adam_forward,
};

const OpCase op_case_adamw = {
  .op = "adamw",
  .n_inputs = 4,
  .n_outputs = 3,
  .sizes = sizes,
  .n_sizes = G_N_ELEMENTS (sizes),
  .tolerance = 1e-6,
  .float32_only = TRUE, /* with a master copy: tests/device/test_ops.c */
  .operands = operands,
  .reference = adamw_reference,
  .forward = adamw_forward,
};
