/* Weight decay is an L2 term of the gradient in SGD and Adam, as in torch.optim; AdamW shrinks the
 * weights themselves (1711.05101). */
#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_sgd (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient,
             PwTensor *momentum, const PwOptimizerStep *step, GError **error) {
  if (!pw__cpu_check_no_master ("sgd", master, error)
      || !PW_CPU_FLOAT32 ("sgd", error, w, gradient, momentum))
    return FALSE;
  int64_t n = pw_tensor_elements (w);
  g_assert (pw_tensor_elements (gradient) == n);
  g_assert (momentum == NULL ? step->momentum == 0 : pw_tensor_elements (momentum) == n);
  PwSgdScalars scalars = pw__sgd_scalars (step->learning_rate, step->momentum, step->weight_decay);
  context->stream->loops->maps->sgd (floats (w), floats (gradient),
                                     momentum == NULL ? NULL : floats (momentum), n, &scalars);
  return TRUE;
}

static gboolean
adam (PwOpContext *context, const char *op, PwTensor *w, const PwTensor *master,
      const PwTensor *gradient, PwTensor *m, PwTensor *v, const PwOptimizerStep *step,
      gboolean decoupled, GError **error) {
  if (!pw__cpu_check_no_master (op, master, error)
      || !PW_CPU_FLOAT32 (op, error, w, gradient, m, v))
    return FALSE;
  int64_t n = pw_tensor_elements (w);
  g_assert (step->step >= 1 && pw_tensor_elements (gradient) == n);
  g_assert (pw_tensor_elements (m) == n && pw_tensor_elements (v) == n);
  PwAdamScalars scalars
      = pw__adam_scalars (step->learning_rate, step->beta1, step->beta2, step->epsilon,
                          step->weight_decay, step->step, decoupled);
  context->stream->loops->maps->adam (floats (w), floats (gradient), floats (m), floats (v), n,
                                      &scalars);
  return TRUE;
}

gboolean
pw__cpu_adam (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient,
              PwTensor *m, PwTensor *v, const PwOptimizerStep *step, GError **error) {
  return adam (context, "adam", w, master, gradient, m, v, step, FALSE, error);
}

gboolean
pw__cpu_adamw (PwOpContext *context, PwTensor *w, PwTensor *master, const PwTensor *gradient,
               PwTensor *m, PwTensor *v, const PwOptimizerStep *step, GError **error) {
  return adam (context, "adamw", w, master, gradient, m, v, step, TRUE, error);
}
