/* The empty backend: device functions are the CPU's, ops return at once and touch nothing. What a
 * run on it takes is what the executor itself costs. */
#include "kernels/cpu/cpu_private.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* One function per signature, named by what it is given: i an input, o an output, w a workspace. */
static gboolean
op_io (PwOpContext *context, const PwTensor *a, PwTensor *y, GError **error) {
  return TRUE;
}

static gboolean
op_iio (PwOpContext *context, const PwTensor *a, const PwTensor *b, PwTensor *y, GError **error) {
  return TRUE;
}

static gboolean
op_ioo (PwOpContext *context, const PwTensor *a, PwTensor *y, PwTensor *z, GError **error) {
  return TRUE;
}

static gboolean
op_iiow (PwOpContext *context, const PwTensor *a, const PwTensor *b, PwTensor *y,
         PwWorkspace workspace, GError **error) {
  return TRUE;
}

static gboolean
op_iioow (PwOpContext *context, const PwTensor *a, const PwTensor *b, PwTensor *y, PwTensor *z,
          PwWorkspace workspace, GError **error) {
  return TRUE;
}

static gboolean
op_iiiow (PwOpContext *context, const PwTensor *a, const PwTensor *b, const PwTensor *c,
          PwTensor *y, PwWorkspace workspace, GError **error) {
  return TRUE;
}

static gboolean
layernorm_forward (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                   const PwTensor *bias, double epsilon, PwTensor *y, PwTensor *mean,
                   PwTensor *rstd, GError **error) {
  return TRUE;
}

static gboolean
layernorm_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                          const PwTensor *mean, const PwTensor *rstd, const PwTensor *dy,
                          PwTensor *dx, PwTensor *dgain, PwTensor *dbias, PwWorkspace workspace,
                          GError **error) {
  return TRUE;
}

static gboolean
attention_forward (PwOpContext *context, const PwTensor *qkv, int64_t heads, gboolean causal,
                   const PwTensor *lengths, PwTensor *y, PwTensor *lse, PwWorkspace workspace,
                   GError **error) {
  return TRUE;
}

static gboolean
attention_input_gradient (PwOpContext *context, const PwTensor *qkv, int64_t heads, gboolean causal,
                          const PwTensor *lengths, const PwTensor *y, const PwTensor *lse,
                          const PwTensor *dy, PwTensor *dqkv, PwWorkspace workspace,
                          GError **error) {
  return TRUE;
}

static gboolean
mask_rows (PwOpContext *context, const PwTensor *x, const PwTensor *lengths, PwTensor *y,
           GError **error) {
  return TRUE;
}

static gboolean
linear_gelu_forward (PwOpContext *context, const PwTensor *x, const PwTensor *w,
                     const PwTensor *bias, PwTensor *h, PwTensor *y, PwWorkspace workspace,
                     GError **error) {
  return TRUE;
}

static gboolean
gelu_bias_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy, PwTensor *dx,
                          PwTensor *dbias, PwWorkspace workspace, GError **error) {
  return TRUE;
}

static gboolean
cross_entropy_forward (PwOpContext *context, const PwTensor *x, const PwTensor *targets,
                       double scale, PwTensor *lse, double *loss, GError **error) {
  return TRUE;
}

static gboolean
cross_entropy_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *lse,
                              const PwTensor *targets, double scale, PwTensor *dx, GError **error) {
  return TRUE;
}

static gboolean
mse_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *targets, double scale,
                    PwTensor *dx, GError **error) {
  return TRUE;
}

static gboolean
rmsnorm_forward (PwOpContext *context, const PwTensor *x, const PwTensor *gain, double epsilon,
                 PwTensor *y, PwTensor *rstd, GError **error) {
  return TRUE;
}

static gboolean
rmsnorm_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                        const PwTensor *rstd, const PwTensor *dy, PwTensor *dx, PwTensor *dgain,
                        PwWorkspace workspace, GError **error) {
  return TRUE;
}

static gboolean
dropout (PwOpContext *context, const PwTensor *x, double probability, int64_t first_sample,
         PwTensor *y, GError **error) {
  return TRUE;
}

static gboolean
mse_forward (PwOpContext *context, const PwTensor *x, const PwTensor *targets, double scale,
             double *loss, PwWorkspace workspace, GError **error) {
  return TRUE;
}

static gboolean
sgd (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient,
     PwTensor *momentum, const PwOptimizerStep *step, GError **error) {
  return TRUE;
}

static gboolean
adam (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient, PwTensor *m,
      PwTensor *v, const PwOptimizerStep *step, GError **error) {
  return TRUE;
}

static gboolean
square_sum (PwOpContext *context, const PwTensor *x, double *sum, PwWorkspace workspace,
            GError **error) {
  return TRUE;
}

static gboolean
overflow_check (PwOpContext *context, const PwTensor *x, int32_t *overflow, GError **error) {
  return TRUE;
}

static gsize
no_workspace_1 (PwOpContext *context, int64_t a) {
  return 0;
}

static gsize
no_workspace_2 (PwOpContext *context, int64_t a, int64_t b) {
  return 0;
}

static gsize
no_workspace_3 (PwOpContext *context, int64_t a, int64_t b, int64_t c) {
  return 0;
}

static gsize
no_workspace_attention (PwOpContext *context, PwElement element, gboolean causal, int64_t a,
                        int64_t b, int64_t c, int64_t d) {
  return 0;
}

const PwBackend pw_backend_empty = {
  .name = "empty",
  .ops = {
    .linear_forward = op_iiiow,
    .linear_input_gradient = op_iioow,
    .linear_weight_gradient = op_iiow,
    .relu_forward = op_io,
    .relu_input_gradient = op_iio,
    .gelu_forward = op_io,
    .linear_gelu_forward = linear_gelu_forward,
    .gelu_bias_input_gradient = gelu_bias_input_gradient,
    .gelu_input_gradient = op_iio,
    .layernorm_forward = layernorm_forward,
    .layernorm_input_gradient = layernorm_input_gradient,
    .rmsnorm_forward = rmsnorm_forward,
    .rmsnorm_input_gradient = rmsnorm_input_gradient,
    .dropout_forward = dropout,
    .dropout_input_gradient = dropout,
    .embedding_forward = op_iio,
    .embedding_weight_gradient = op_iiow,
    .position_forward = op_iio,
    .position_weight_gradient = op_io,
    .mask_rows = mask_rows,
    .attention_forward = attention_forward,
    .attention_input_gradient = attention_input_gradient,
    .add = op_iio,
    .concat_forward = op_iio,
    .concat_input_gradient = op_ioo,
    .cross_entropy_forward = cross_entropy_forward,
    .cross_entropy_input_gradient = cross_entropy_input_gradient,
    .mse_forward = mse_forward,
    .mse_input_gradient = mse_input_gradient,
    .sgd = sgd,
    .adam = adam,
    .adamw = adam,
    .square_sum = square_sum,
    .overflow_check = overflow_check,
  },
  .workspace = {
    .linear = no_workspace_3,
    .layernorm = no_workspace_2,
    .embedding = no_workspace_3,
    .attention = no_workspace_attention,
    .sum = no_workspace_1,
  },
  .stream_new = pw__cpu_stream_new,
  .stream_free = pw__cpu_stream_free,
  .stream_synchronize = pw__cpu_stream_synchronize,
  .alloc = pw__cpu_alloc,
  .free = pw__cpu_free,
  .zero = pw__cpu_zero,
  .copy = pw__cpu_copy,
  .copy_from_host = pw__cpu_copy,
  .copy_to_host = pw__cpu_copy,
  .event_new = pw__cpu_event_new,
  .event_free = pw__cpu_event_free,
  .event_record = pw__cpu_event_record,
  .event_wait = pw__cpu_event_wait,
  .timestamp_record = pw__cpu_timestamp_record,
  .timestamp_read = pw__cpu_timestamp_read,
};
