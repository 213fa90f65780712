#include "kernels/cuda/check_private.h"

typedef cudaError_t (*Forward) (PwCudaType type, const void *x, void *y, int64_t n,
                                cudaStream_t stream);
typedef cudaError_t (*Gradient) (PwCudaType type, const void *x, const void *dy, void *dx,
                                 int64_t n, cudaStream_t stream);

static gboolean
forward (PwOpContext *context, const char *op, Forward launch, const PwTensor *x, PwTensor *y,
         GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, op, &type, error, x, y))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (y) == n);
  return pw__cuda_check (context, op, launch (type, x->data, y->data, n, pw__cuda_stream (context)),
                         error);
}

static gboolean
gradient (PwOpContext *context, const char *op, Gradient launch, const PwTensor *x,
          const PwTensor *dy, PwTensor *dx, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, op, &type, error, x, dy, dx))
    return FALSE;
  int64_t n = pw_tensor_elements (x);
  g_assert (pw_tensor_elements (dy) == n && pw_tensor_elements (dx) == n);
  cudaError_t code = launch (type, x->data, dy->data, dx->data, n, pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}

gboolean
pw__cuda_relu_forward (PwOpContext *context, const PwTensor *x, PwTensor *y, GError **error) {
  return forward (context, "relu_forward", pw__launch_relu, x, y, error);
}

gboolean
pw__cuda_relu_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                              PwTensor *dx, GError **error) {
  return gradient (context, "relu_input_gradient", pw__launch_relu_gradient, x, dy, dx, error);
}

gboolean
pw__cuda_gelu_forward (PwOpContext *context, const PwTensor *x, PwTensor *y, GError **error) {
  return forward (context, "gelu_forward", pw__launch_gelu, x, y, error);
}

gboolean
pw__cuda_gelu_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                              PwTensor *dx, GError **error) {
  return gradient (context, "gelu_input_gradient", pw__launch_gelu_gradient, x, dy, dx, error);
}
