/* Weight decay is an L2 term of the gradient in SGD and Adam, as in torch.optim; AdamW shrinks the
 * weights themselves (1711.05101). */
#include "kernels/cuda/check_private.h"

/* The type of W, which has a master if and only if it is of a half type. */
static gboolean
check (PwOpContext *context, const char *op, const PwTensor *w, const PwTensor *master,
       const PwTensor *gradient, PwCudaType *type, GError **error) {
  if (!pw__cuda_type (context, op, w, type, error))
    return FALSE;
  int64_t n = pw_tensor_elements (w);
  g_assert (pw_tensor_elements (gradient) == n);
  g_assert (master == NULL || pw_tensor_elements (master) == n);
  if ((master != NULL) == (*type != PW_CUDA_F32))
    return TRUE;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED, "rank %d, layer %d: %s: %s",
               context->rank, context->layer, op,
               master == NULL ? "weights of a half type need an fp32 master copy"
                              : "fp32 weights take no master copy");
  return FALSE;
}

gboolean
pw__cuda_sgd (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient,
              PwTensor *momentum, const PwOptimizerStep *step, GError **error) {
  PwCudaType type;
  if (!check (context, "sgd", w, master, gradient, &type, error))
    return FALSE;
  int64_t n = pw_tensor_elements (w);
  g_assert (momentum == NULL ? step->momentum == 0 : pw_tensor_elements (momentum) == n);
  const PwSgdScalars *scalars = pw__cuda_sgd_scalars (context, step, error);
  if (scalars == NULL)
    return FALSE;
  cudaError_t code = pw__launch_sgd (type, w->data, floats (master), floats (gradient),
                                     floats (momentum), n, scalars, pw__cuda_stream (context));
  return pw__cuda_check (context, "sgd", code, error);
}

static gboolean
adam (PwOpContext *context, const char *op, PwTensor *w, PwTensor *master, const PwTensor *gradient,
      PwTensor *m, PwTensor *v, const PwOptimizerStep *step, gboolean decoupled, GError **error) {
  PwCudaType type;
  if (!check (context, op, w, master, gradient, &type, error))
    return FALSE;
  int64_t n = pw_tensor_elements (w);
  g_assert (step->step >= 1 && pw_tensor_elements (m) == n && pw_tensor_elements (v) == n);
  const PwAdamScalars *scalars = pw__cuda_adam_scalars (context, step, decoupled, error);
  if (scalars == NULL)
    return FALSE;
  cudaError_t code = pw__launch_adam (type, w->data, floats (master), floats (gradient), floats (m),
                                      floats (v), n, scalars, pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}

gboolean
pw__cuda_adam (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient,
               PwTensor *m, PwTensor *v, const PwOptimizerStep *step, GError **error) {
  return adam (context, "adam", w, master, gradient, m, v, step, FALSE, error);
}

gboolean
pw__cuda_adamw (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient,
                PwTensor *m, PwTensor *v, const PwOptimizerStep *step, GError **error) {
  return adam (context, "adamw", w, master, gradient, m, v, step, TRUE, error);
}
