#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_square_sum (PwOpContext *context, const PwTensor *x, double *sum, GError **error) {
  if (!PW_CPU_FLOAT32 ("square_sum", error, x))
    return FALSE;
  *sum += context->stream->loops->rows->square_sum (floats (x), pw_tensor_elements (x));
  return TRUE;
}
