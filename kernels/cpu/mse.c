#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_mse_forward (PwOpContext *context, const PwTensor *x, const PwTensor *targets, double scale,
                     double *loss, PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  if (!PW_CPU_FLOAT32 ("mse_forward", error, x, targets))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (targets) == n);
  *loss += scale
           * context->stream->loops->rows->square_difference_sum (floats (x), floats (targets), n);
  return TRUE;
}

gboolean
pw__cpu_mse_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *targets,
                            double scale, PwTensor *dx, GError **error) {
  if (!PW_CPU_FLOAT32 ("mse_input_gradient", error, x, targets, dx))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (targets) == n && pw_tensor_elements (dx) == n);
  context->stream->loops->maps->scaled_difference (floats (x), floats (targets), (float)(2 * scale),
                                                   floats (dx), n);
  return TRUE;
}
