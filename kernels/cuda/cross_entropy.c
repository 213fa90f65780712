/* A target outside the classes cannot be reported at once: it is left out and sets the stream's
 * flag, which is looked at when the stream is synchronised. */
#include "kernels/cuda/check_private.h"

static gboolean
check (PwOpContext *context, const char *op, const PwTensor *x, const PwTensor *targets,
       const PwTensor *lse, const PwTensor *dx, PwCudaType *type, GError **error) {
  g_assert (targets->element == PW_ELEMENT_I32);
  g_assert (pw_tensor_elements (targets) == pw_tensor_rows (x));
  g_assert (pw_tensor_elements (lse) == pw_tensor_rows (x));
  return PW_CUDA_COMMON_TYPE (context, op, type, error, x, dx);
}

gboolean
pw__cuda_cross_entropy_forward (PwOpContext *context, const PwTensor *x, const PwTensor *targets,
                                double scale, PwTensor *lse, double *loss, GError **error) {
  static const char op[] = "cross_entropy_forward";
  PwCudaType type;
  if (!check (context, op, x, targets, lse, NULL, &type, error))
    return FALSE;
  cudaError_t code = pw__launch_cross_entropy (
      type, x->data, targets->data, scale, pw_tensor_rows (x), pw_tensor_last_dim (x), floats (lse),
      loss, context->stream->error_flag, pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}

gboolean
pw__cuda_cross_entropy_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *lse,
                                       const PwTensor *targets, double scale, PwTensor *dx,
                                       GError **error) {
  static const char op[] = "cross_entropy_input_gradient";
  PwCudaType type;
  if (!check (context, op, x, targets, lse, dx, &type, error))
    return FALSE;
  g_assert (pw_tensor_elements (dx) == pw_tensor_elements (x));
  cudaError_t code = pw__launch_cross_entropy_gradient (
      type, x->data, floats (lse), targets->data, (float)scale, pw_tensor_rows (x),
      pw_tensor_last_dim (x), dx->data, context->stream->error_flag, pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}
