#include "kernels/cuda/check_private.h"

/* Targets are fp32 or of x's type. */
static gboolean
types (PwOpContext *context, const char *op, const PwTensor *x, const PwTensor *targets,
       const PwTensor *dx, PwCudaType *type, PwCudaType *target_type, GError **error) {
  if (!PW_CUDA_COMMON_TYPE (context, op, type, error, x, dx))
    return FALSE;
  *target_type = PW_CUDA_F32;
  return targets->element == PW_ELEMENT_F32
         || PW_CUDA_COMMON_TYPE (context, op, target_type, error, x, targets);
}

gboolean
pw__cuda_mse_forward (PwOpContext *context, const PwTensor *x, const PwTensor *targets,
                      double scale, double *loss, PwWorkspace workspace, GError **error) {
  PwCudaType type, target_type;
  if (!types (context, "mse_forward", x, targets, NULL, &type, &target_type, error))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (targets) == n);
  g_assert (workspace.bytes >= pw__cuda_sum_workspace (context, n));
  cudaError_t code = pw__launch_mse (type, target_type, x->data, targets->data, scale, n, loss,
                                     workspace.data, pw__cuda_stream (context));
  return pw__cuda_check (context, "mse_forward", code, error);
}

gboolean
pw__cuda_mse_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *targets,
                             double scale, PwTensor *dx, GError **error) {
  PwCudaType type, target_type;
  if (!types (context, "mse_input_gradient", x, targets, dx, &type, &target_type, error))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (targets) == n && pw_tensor_elements (dx) == n);
  cudaError_t code
      = pw__launch_mse_gradient (type, target_type, x->data, targets->data, (float)(2 * scale),
                                 dx->data, n, pw__cuda_stream (context));
  return pw__cuda_check (context, "mse_input_gradient", code, error);
}
