#include "kernels/cuda/check_private.h"

gboolean
pw__cuda_mask_rows (PwOpContext *context, const PwTensor *x, const PwTensor *lengths, PwTensor *y,
                    GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "mask_rows", &type, error, x, y))
    return FALSE;
  int64_t batch = pw_tensor_elements (lengths), tokens = pw_tensor_rows (x) / batch;
  g_assert (lengths->element == PW_ELEMENT_I32 && tokens * batch == pw_tensor_rows (x));
  g_assert (pw_tensor_elements (y) == pw_tensor_elements (x));
  cudaError_t code = pw__launch_mask (type, x->data, lengths->data, y->data, batch, tokens,
                                      pw_tensor_last_dim (x), context->stream->error_flag,
                                      pw__cuda_stream (context));
  return pw__cuda_check (context, "mask_rows", code, error);
}
