#include "kernels/cuda/check_private.h"

/* Elements of one sequence of x[B,T,C]. */
static int64_t
sequence_elements (const PwTensor *x, const PwTensor *table) {
  g_assert (x->n_dims >= 2);
  int64_t features = pw_tensor_last_dim (x), tokens = x->dims[x->n_dims - 2];
  g_assert (pw_tensor_last_dim (table) == features && pw_tensor_rows (table) >= tokens);
  return tokens * features;
}

gboolean
pw__cuda_position_forward (PwOpContext *context, const PwTensor *x, const PwTensor *table,
                           PwTensor *y, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "position_forward", &type, error, x, table, y))
    return FALSE;
  int64_t all = pw_tensor_elements (x), sequence = sequence_elements (x, table);
  g_assert (pw_tensor_elements (y) == all);
  cudaError_t code = pw__launch_position (type, x->data, table->data, y->data, all / sequence,
                                          sequence, pw__cuda_stream (context));
  return pw__cuda_check (context, "position_forward", code, error);
}

gboolean
pw__cuda_position_weight_gradient (PwOpContext *context, const PwTensor *dy, PwTensor *dtable,
                                   GError **error) {
  PwCudaType type;
  if (!pw__cuda_type (context, "position_weight_gradient", dy, &type, error))
    return FALSE;
  int64_t sequence = sequence_elements (dy, dtable);
  cudaError_t code = pw__launch_position_gradient (type, dy->data, floats (dtable),
                                                   pw_tensor_elements (dy) / sequence, sequence,
                                                   pw__cuda_stream (context));
  return pw__cuda_check (context, "position_weight_gradient", code, error);
}
