/* y = x rstd gain over the last dimension. */
#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_rmsnorm_forward (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                         double epsilon, PwTensor *y, PwTensor *rstd, GError **error) {
  if (!PW_CPU_FLOAT32 ("rmsnorm_forward", error, x, gain, y, rstd))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (y) == rows * features);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (rstd) == rows);
  const PwRowLoops *loops = context->stream->loops->rows;
  for (int64_t row = 0; row < rows; row++)
    loops->rmsnorm (floats (x) + row * features, floats (gain), (float)epsilon,
                    floats (y) + row * features, features, floats (rstd) + row);
  return TRUE;
}

gboolean
pw__cpu_rmsnorm_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                                const PwTensor *rstd, const PwTensor *dy, PwTensor *dx,
                                PwTensor *dgain, PwWorkspace workspace G_GNUC_UNUSED,
                                GError **error) {
  if (!PW_CPU_FLOAT32 ("rmsnorm_input_gradient", error, x, gain, rstd, dy, dx, dgain))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (dy) == rows * features && pw_tensor_elements (rstd) == rows);
  g_assert (dx == NULL || pw_tensor_elements (dx) == rows * features);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (dgain) == features);
  const PwRowLoops *loops = context->stream->loops->rows;
  for (int64_t row = 0; row < rows; row++) {
    int64_t at = row * features;
    loops->rmsnorm_gradient (floats (x) + at, floats (gain), floats (rstd)[row], floats (dy) + at,
                             dx == NULL ? NULL : floats (dx) + at, floats (dgain), features);
  }
  return TRUE;
}
