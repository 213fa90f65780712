#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_rmsnorm_forward (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                          double epsilon, PwTensor *y, PwTensor *rstd, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "rmsnorm_forward", &type, error, x, gain, y))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (y) == rows * features);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (rstd) == rows);
  cudaError_t code = pw__launch_rmsnorm (type, x->data, gain->data, (float)epsilon, y->data,
                                         floats (rstd), rows, features, pw__cuda_stream (context));
  return pw__cuda_check (context, "rmsnorm_forward", code, error);
}

gboolean
pw__cuda_rmsnorm_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                                 const PwTensor *rstd, const PwTensor *dy, PwTensor *dx,
                                 PwTensor *dgain, PwWorkspace workspace, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "rmsnorm_input_gradient", &type, error, x, gain, dy, dx))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (dy) == rows * features && pw_tensor_elements (rstd) == rows);
  g_assert (dx == NULL || pw_tensor_elements (dx) == rows * features);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (dgain) == features);
  g_assert (workspace.bytes >= pw__cuda_layernorm_workspace (context, rows, features));
  cudaError_t code = pw__launch_rmsnorm_gradient (
      type, x->data, gain->data, floats (rstd), dy->data, data_of (dx), floats (dgain), rows,
      features, workspace.data, pw__cuda_stream (context));
  return pw__cuda_check (context, "rmsnorm_input_gradient", code, error);
}
