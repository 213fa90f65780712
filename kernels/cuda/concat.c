#include "kernels/cuda/check_private.h"

static int64_t
sample_elements (const PwTensor *tensor, int64_t samples) {
  return tensor ? pw_tensor_elements (tensor) / MAX (samples, 1) : 0;
}

gboolean
pw__cuda_concat_forward (PwOpContext *context, const PwTensor *a, const PwTensor *b, PwTensor *y,
                         GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "concat_forward", &type, error, a, b, y))
    return FALSE;
  int64_t samples = y->dims[0];
  int64_t n_a = sample_elements (a, samples), n_b = sample_elements (b, samples);
  g_assert (pw_tensor_elements (y) == samples * (n_a + n_b));
  cudaError_t code = pw__launch_concat (type, a->data, b->data, y->data, samples, n_a, n_b,
                                        pw__cuda_stream (context));
  return pw__cuda_check (context, "concat_forward", code, error);
}

gboolean
pw__cuda_concat_input_gradient (PwOpContext *context, const PwTensor *dy, PwTensor *da,
                                PwTensor *db, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, "concat_input_gradient", &type, error, dy, da, db))
    return FALSE;
  int64_t samples = dy->dims[0], n = sample_elements (dy, samples);
  int64_t n_a = da ? sample_elements (da, samples) : n - sample_elements (db, samples);
  cudaError_t code = pw__launch_concat_gradient (type, dy->data, data_of (da), data_of (db),
                                                 samples, n_a, n - n_a, pw__cuda_stream (context));
  return pw__cuda_check (context, "concat_input_gradient", code, error);
}
