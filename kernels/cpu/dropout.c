/* Forward and gradient are one map: the same elements are kept, and scaled by the same factor. */
#include "kernels/dropout.h"
#include "kernels/cpu/cpu_private.h"

static gboolean
dropout (PwOpContext *context, const char *op, const PwTensor *x, double probability,
         int64_t first_sample, PwTensor *y, GError **error) {
  if (!PW_CPU_FLOAT32 (op, error, x, y))
    return FALSE;
  int64_t all = pw_tensor_elements (x), samples = x->n_dims == 0 ? 1 : x->dims[0];
  g_assert (probability >= 0 && probability < 1 && pw_tensor_elements (y) == all);
  int64_t n = all / samples;
  uint64_t key = pw__dropout_key (context->seed, context->step, context->layer);
  for (int64_t sample = 0; sample < samples; sample++)
    context->stream->loops->maps->dropout (
        floats (x) + sample * n, pw__dropout_sample_key (key, first_sample + sample),
        pw__dropout_threshold (probability), (float)(1 / (1 - probability)),
        floats (y) + sample * n, n);
  return TRUE;
}

gboolean
pw__cpu_dropout_forward (PwOpContext *context, const PwTensor *x, double probability,
                         int64_t first_sample, PwTensor *y, GError **error) {
  return dropout (context, "dropout_forward", x, probability, first_sample, y, error);
}

gboolean
pw__cpu_dropout_input_gradient (PwOpContext *context, const PwTensor *dy, double probability,
                                int64_t first_sample, PwTensor *dx, GError **error) {
  return dropout (context, "dropout_input_gradient", dy, probability, first_sample, dx, error);
}
