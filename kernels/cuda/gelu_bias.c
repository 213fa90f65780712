/* The gradients of a GELU and of the bias before it: one kernel, which reads what it rounded while
 * it has it at hand. Their forward is the product's epilogue (linear.c). */
#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_gelu_bias_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                                   PwTensor *dx, PwTensor *dbias, PwWorkspace workspace,
                                   GError **error) {
  static const char what[] = "gelu_bias_input_gradient";
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, what, &type, error, x, dy, dx))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), columns = pw_tensor_last_dim (x);
  g_assert (pw_tensor_elements (dy) == rows * columns && pw_tensor_elements (dx) == rows * columns);
  g_assert (dbias->element == PW_ELEMENT_F32 && pw_tensor_elements (dbias) == columns);
  g_assert ((gsize)pw__cuda_column_sums_workspace (rows, columns) <= workspace.bytes);
  return pw__cuda_check (context, what,
                         pw__launch_gelu_bias_gradient (type, x->data, dy->data, dx->data, rows,
                                                        columns, dbias->data, workspace.data,
                                                        pw__cuda_stream (context)),
                         error);
}
