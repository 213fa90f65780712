#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_common_type (const PwOpContext *context, const char *what, PwCudaType *type,
                      GError **error, int n, const PwTensor *const *tensors) {
  gboolean found = FALSE;
  for (int i = 0; i < n; i++) {
    PwCudaType other;
    if (tensors[i] == NULL)
      continue;
    if (!pw__cuda_type (context, what, tensors[i], &other, error))
      return FALSE;
    if (found && other != *type) {
      g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
                   "rank %d, layer %d: %s: tensors of different types", context->rank,
                   context->layer, what);
      return FALSE;
    }
    *type = other;
    found = TRUE;
  }
  g_assert (found);
  return TRUE;
}
