/* y = (x - mean) rstd gain + bias over the last dimension. */
#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_layernorm_forward (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                           const PwTensor *bias, double epsilon, PwTensor *y, PwTensor *mean,
                           PwTensor *rstd, GError **error) {
  if (!PW_CPU_FLOAT32 ("layernorm_forward", error, x, gain, bias, y, mean, rstd))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (y) == rows * features);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (bias) == features);
  g_assert (pw_tensor_elements (mean) == rows && pw_tensor_elements (rstd) == rows);
  const PwRowLoops *loops = context->stream->loops->rows;
  for (int64_t row = 0; row < rows; row++)
    loops->layernorm (floats (x) + row * features, floats (gain), floats (bias), (float)epsilon,
                      floats (y) + row * features, features, floats (mean) + row,
                      floats (rstd) + row);
  return TRUE;
}

gboolean
pw__cpu_layernorm_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                                  const PwTensor *mean, const PwTensor *rstd, const PwTensor *dy,
                                  PwTensor *dx, PwTensor *dgain, PwTensor *dbias,
                                  PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  if (!PW_CPU_FLOAT32 ("layernorm_input_gradient", error, x, gain, mean, rstd, dy, dx, dgain,
                       dbias))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (dy) == rows * features);
  g_assert (dx == NULL || pw_tensor_elements (dx) == rows * features);
  g_assert (pw_tensor_elements (mean) == rows && pw_tensor_elements (rstd) == rows);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (dgain) == features);
  g_assert (pw_tensor_elements (dbias) == features);
  const PwRowLoops *loops = context->stream->loops->rows;
  for (int64_t row = 0; row < rows; row++) {
    int64_t at = row * features;
    loops->layernorm_gradient (
        floats (x) + at, floats (gain), floats (mean)[row], floats (rstd)[row], floats (dy) + at,
        dx == NULL ? NULL : floats (dx) + at, floats (dgain), floats (dbias), features);
  }
  return TRUE;
}

gsize
pw__cpu_layernorm_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t rows G_GNUC_UNUSED,
                             int64_t features G_GNUC_UNUSED) {
  return 0;
}
