/* A token outside the table cannot be reported at once: it is left out and sets the stream's flag,
 * which is looked at when the stream is synchronised. */
#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_embedding_forward (PwOpContext *context, const PwTensor *tokens, const PwTensor *table,
                            PwTensor *y, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "embedding_forward", &type, error, table, y))
    return FALSE;
  int64_t rows = pw_tensor_elements (tokens), features = pw_tensor_last_dim (table);
  g_assert (tokens->element == PW_ELEMENT_I32);
  g_assert (pw_tensor_rows (y) == rows && pw_tensor_last_dim (y) == features);
  cudaError_t code = pw__launch_embedding (type, tokens->data, table->data, y->data, rows,
                                           pw_tensor_rows (table), features,
                                           context->stream->error_flag, pw__cuda_stream (context));
  return pw__cuda_check (context, "embedding_forward", code, error);
}

gboolean
pw__cuda_embedding_weight_gradient (PwOpContext *context, const PwTensor *tokens,
                                    const PwTensor *dy, PwTensor *dtable, PwWorkspace workspace,
                                    GError **error) {
  PwCudaType type;
  if (!pw__cuda_type (context, "embedding_weight_gradient", dy, &type, error))
    return FALSE;
  int64_t rows = pw_tensor_elements (tokens), features = pw_tensor_last_dim (dtable);
  int64_t vocabulary = pw_tensor_rows (dtable);
  g_assert (tokens->element == PW_ELEMENT_I32);
  g_assert (pw_tensor_rows (dy) == rows && pw_tensor_last_dim (dy) == features);
  g_assert (workspace.bytes >= pw__cuda_embedding_workspace (context, rows, vocabulary, features));
  cudaError_t code = pw__launch_embedding_gradient (
      type, tokens->data, dy->data, floats (dtable), rows, vocabulary, features, workspace.data,
      context->stream->error_flag, pw__cuda_stream (context));
  return pw__cuda_check (context, "embedding_weight_gradient", code, error);
}

gsize
pw__cuda_embedding_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t rows, int64_t vocabulary,
                              int64_t features G_GNUC_UNUSED) {
  return (gsize)pw__cuda_embedding_workspace_bytes (rows, vocabulary);
}
