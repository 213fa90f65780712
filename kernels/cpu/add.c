#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_add (PwOpContext *context, const PwTensor *a, const PwTensor *b, PwTensor *y,
             GError **error) {
  if (!PW_CPU_FLOAT32 ("add", error, a, b, y))
    return FALSE;
  int64_t n = pw_tensor_elements (y);
  g_assert (pw_tensor_elements (a) == n && pw_tensor_elements (b) == n);
  context->stream->loops->maps->add (floats (a), floats (b), floats (y), n);
  return TRUE;
}
