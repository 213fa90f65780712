#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_square_sum (PwOpContext *context, const PwTensor *x, double *sum, PwWorkspace workspace,
                     GError **error) {
  PwCudaType type;
  if (!pw__cuda_type (context, "square_sum", x, &type, error))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (workspace.bytes >= pw__cuda_sum_workspace (context, n));
  cudaError_t code
      = pw__launch_square_sum (type, x->data, n, sum, workspace.data, pw__cuda_stream (context));
  return pw__cuda_check (context, "square_sum", code, error);
}

gboolean
pw__cuda_overflow_check (PwOpContext *context, const PwTensor *x, int32_t *overflow,
                         GError **error) {
  PwCudaType type;
  if (!pw__cuda_type (context, "overflow_check", x, &type, error))
    return FALSE;
  cudaError_t code = pw__launch_overflow (type, x->data, pw_tensor_elements (x), overflow,
                                          pw__cuda_stream (context));
  return pw__cuda_check (context, "overflow_check", code, error);
}

gsize
pw__cuda_sum_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t elements) {
  return (gsize)pw__cuda_sum_parts (elements) * sizeof (double);
}
