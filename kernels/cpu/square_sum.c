#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_square_sum (PwOpContext *context, const PwTensor *x, double *sum,
                    PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  if (!PW_CPU_FLOAT32 ("square_sum", error, x))
    return FALSE;
  *sum += context->stream->loops->rows->square_sum (floats (x), pw_tensor_elements (x));
  return TRUE;
}

/* x - x is 0 for a number and NaN for anything else. */
gboolean
pw__cpu_overflow_check (PwOpContext *context G_GNUC_UNUSED, const PwTensor *x, int32_t *overflow,
                        GError **error) {
  if (!PW_CPU_FLOAT32 ("overflow_check", error, x))
    return FALSE;
  const float *value = floats (x);
  int64_t n = pw_tensor_elements (x);
  int32_t bad = 0;
  for (int64_t i = 0; i < n; i++)
    bad |= value[i] - value[i] != 0;
  if (bad)
    *overflow = 1;
  return TRUE;
}

gsize
pw__cpu_sum_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t elements G_GNUC_UNUSED) {
  return 0;
}
