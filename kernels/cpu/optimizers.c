/* Weight decay is an L2 term of the gradient in SGD and Adam, as in torch.optim; AdamW shrinks the
 * weights themselves (1711.05101). */
#include "kernels/cpu/cpu_private.h"
#include <math.h>

gboolean
pw__cpu_sgd (PwOpContext *context, PwTensor *w, const PwTensor *gradient, PwTensor *momentum,
             const PwOptimizerStep *step, GError **error) {
  if (!PW_CPU_FLOAT32 ("sgd", error, w, gradient, momentum))
    return FALSE;
  int64_t n = pw_tensor_elements (w);
  g_assert (pw_tensor_elements (gradient) == n);
  g_assert (momentum == NULL ? step->momentum == 0 : pw_tensor_elements (momentum) == n);
  PwSgdScalars scalars = { .learning_rate = (float)step->learning_rate,
                           .momentum = (float)step->momentum,
                           .l2 = (float)step->weight_decay };
  context->stream->loops->maps->sgd (floats (w), floats (gradient),
                                     momentum == NULL ? NULL : floats (momentum), n, &scalars);
  return TRUE;
}

static gboolean
adam (PwOpContext *context, const char *op, PwTensor *w, const PwTensor *gradient, PwTensor *m,
      PwTensor *v, const PwOptimizerStep *step, gboolean decoupled, GError **error) {
  if (!PW_CPU_FLOAT32 (op, error, w, gradient, m, v))
    return FALSE;
  int64_t n = pw_tensor_elements (w);
  g_assert (step->step >= 1 && pw_tensor_elements (gradient) == n);
  g_assert (pw_tensor_elements (m) == n && pw_tensor_elements (v) == n);
  double correction1 = 1 - pow (step->beta1, (double)step->step);
  double correction2 = 1 - pow (step->beta2, (double)step->step);
  double decay = step->weight_decay;
  PwAdamScalars scalars = {
    .beta1 = (float)step->beta1,
    .beta2 = (float)step->beta2,
    .rest1 = (float)(1 - step->beta1),
    .rest2 = (float)(1 - step->beta2),
    .step_size = (float)(step->learning_rate / correction1),
    .root_correction = (float)(1 / sqrt (correction2)),
    .epsilon = (float)step->epsilon,
    .shrink = decoupled ? (float)(1 - step->learning_rate * decay) : 1.0f,
    .l2 = decoupled ? 0.0f : (float)decay,
  };
  context->stream->loops->maps->adam (floats (w), floats (gradient), floats (m), floats (v), n,
                                      &scalars);
  return TRUE;
}

gboolean
pw__cpu_adam (PwOpContext *context, PwTensor *w, const PwTensor *gradient, PwTensor *m, PwTensor *v,
              const PwOptimizerStep *step, GError **error) {
  return adam (context, "adam", w, gradient, m, v, step, FALSE, error);
}

gboolean
pw__cpu_adamw (PwOpContext *context, PwTensor *w, const PwTensor *gradient, PwTensor *m,
               PwTensor *v, const PwOptimizerStep *step, GError **error) {
  return adam (context, "adamw", w, gradient, m, v, step, TRUE, error);
}
