#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_add (PwOpContext *context, const PwTensor *a, const PwTensor *b, PwTensor *y,
              GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "add", &type, error, a, b, y))
    return FALSE;
  int64_t n = pw_tensor_elements (y);
  g_assert (pw_tensor_elements (a) == n && pw_tensor_elements (b) == n);
  cudaError_t code = pw__launch_add (type, a->data, b->data, y->data, n, pw__cuda_stream (context));
  return pw__cuda_check (context, "add", code, error);
}
