#include "kernels/dropout.h"
#include "kernels/cuda/check_private.h"

static gboolean
dropout (PwOpContext *context, const char *op, const PwTensor *x, double probability,
         int64_t first_sample, PwTensor *y, GError **error) {
  PwCudaType type;
  if (!PW_CUDA_COMMON_TYPE (context, op, &type, error, x, y))
    return FALSE;
  int64_t all = pw_tensor_elements (x), samples = x->n_dims == 0 ? 1 : x->dims[0];
  g_assert (probability >= 0 && probability < 1 && pw_tensor_elements (y) == all);
  const int64_t *step = pw__cuda_step_number (context, error);
  if (step == NULL)
    return FALSE;
  cudaError_t code = pw__launch_dropout (type, x->data, context->seed, step, context->layer,
                                         pw__dropout_threshold (probability),
                                         (float)(1 / (1 - probability)), first_sample, samples,
                                         all / samples, y->data, pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}

gboolean
pw__cuda_dropout_forward (PwOpContext *context, const PwTensor *x, double probability,
                          int64_t first_sample, PwTensor *y, GError **error) {
  return dropout (context, "dropout_forward", x, probability, first_sample, y, error);
}

gboolean
pw__cuda_dropout_input_gradient (PwOpContext *context, const PwTensor *dy, double probability,
                                 int64_t first_sample, PwTensor *dx, GError **error) {
  return dropout (context, "dropout_input_gradient", dy, probability, first_sample, dx, error);
}
