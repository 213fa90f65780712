#include "kernels/cpu/cpu_private.h"

typedef void (*ForwardLoop) (const float *x, float *y, int64_t n);
typedef void (*GradientLoop) (const float *x, const float *dy, float *dx, int64_t n);

static gboolean
forward (const char *op, ForwardLoop loop, const PwTensor *x, PwTensor *y, GError **error) {
  if (!PW_CPU_FLOAT32 (op, error, x, y))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (y) == n);
  loop (floats (x), floats (y), n);
  return TRUE;
}

static gboolean
gradient (const char *op, GradientLoop loop, const PwTensor *x, const PwTensor *dy, PwTensor *dx,
          GError **error) {
  if (!PW_CPU_FLOAT32 (op, error, x, dy, dx))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (dy) == n && pw_tensor_elements (dx) == n);
  loop (floats (x), floats (dy), floats (dx), n);
  return TRUE;
}

gboolean
pw__cpu_relu_forward (PwOpContext *context, const PwTensor *x, PwTensor *y, GError **error) {
  return forward ("relu_forward", context->stream->loops->maps->relu, x, y, error);
}

gboolean
pw__cpu_relu_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                             PwTensor *dx, GError **error) {
  return gradient ("relu_input_gradient", context->stream->loops->maps->relu_gradient, x, dy, dx,
                   error);
}

gboolean
pw__cpu_gelu_forward (PwOpContext *context, const PwTensor *x, PwTensor *y, GError **error) {
  return forward ("gelu_forward", context->stream->loops->maps->gelu, x, y, error);
}

gboolean
pw__cpu_gelu_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                             PwTensor *dx, GError **error) {
  return gradient ("gelu_input_gradient", context->stream->loops->maps->gelu_gradient, x, dy, dx,
                   error);
}

gboolean
pw__cpu_gelu_bias_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                                  PwTensor *dx, PwTensor *dbias,
                                  PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  if (!PW_CPU_FLOAT32 ("gelu_bias_input_gradient", error, dbias)
      || !pw__cpu_gelu_input_gradient (context, x, dy, dx, error))
    return FALSE;
  int64_t columns = pw_tensor_last_dim (dx);
  g_assert (pw_tensor_elements (dbias) == columns);
  context->stream->loops->rows->add_columns (floats (dx), pw_tensor_rows (dx), columns,
                                             floats (dbias));
  return TRUE;
}
