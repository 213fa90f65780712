#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_layernorm_forward (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                            const PwTensor *bias, double epsilon, PwTensor *y, PwTensor *mean,
                            PwTensor *rstd, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "layernorm_forward", &type, error, x, gain, bias, y))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (y) == rows * features);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (bias) == features);
  g_assert (pw_tensor_elements (mean) == rows && pw_tensor_elements (rstd) == rows);
  cudaError_t code = pw__launch_layernorm (type, x->data, gain->data, bias->data, (float)epsilon,
                                           y->data, floats (mean), floats (rstd), rows, features,
                                           pw__cuda_stream (context));
  return pw__cuda_check (context, "layernorm_forward", code, error);
}

gboolean
pw__cuda_layernorm_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *gain,
                                   const PwTensor *mean, const PwTensor *rstd, const PwTensor *dy,
                                   PwTensor *dx, PwTensor *dgain, PwTensor *dbias,
                                   PwWorkspace workspace, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "layernorm_input_gradient", &type, error, x, gain, dy, dx))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), features = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (dy) == rows * features);
  g_assert (dx == NULL || pw_tensor_elements (dx) == rows * features);
  g_assert (pw_tensor_elements (mean) == rows && pw_tensor_elements (rstd) == rows);
  g_assert (pw_tensor_elements (gain) == features && pw_tensor_elements (dgain) == features);
  g_assert (pw_tensor_elements (dbias) == features);
  g_assert (workspace.bytes >= pw__cuda_layernorm_workspace (context, rows, features));
  cudaError_t code = pw__launch_layernorm_gradient (
      type, x->data, gain->data, floats (mean), floats (rstd), dy->data, data_of (dx),
      floats (dgain), floats (dbias), rows, features, workspace.data, pw__cuda_stream (context));
  return pw__cuda_check (context, "layernorm_input_gradient", code, error);
}

gsize
pw__cuda_layernorm_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t rows, int64_t features) {
  return (gsize)(pw__cuda_norm_parts (rows) * pw__cuda_norm_part_floats (features))
         * sizeof (float);
}
