/* -log softmax (x)[target], summed. A row whose target is -1 counts nothing and gets gradient 0;
 * the log of its sum is computed all the same. */
#include "kernels/cpu/cpu_private.h"
#include <math.h>
#include <string.h>

static gboolean
check (PwOpContext *context, const char *op, const PwTensor *x, const PwTensor *lse,
       const PwTensor *targets, GError **error) {
  if (!PW_CPU_FLOAT32 (op, error, x, lse))
    return FALSE;
  g_assert (pw_tensor_elements (lse) == pw_tensor_rows (x));
  g_assert (pw_tensor_elements (targets) == pw_tensor_rows (x));
  return pw__cpu_check_indices (context, "target", targets, -1, pw_tensor_last_dim (x), error);
}

gboolean
pw__cpu_cross_entropy_forward (PwOpContext *context, const PwTensor *x, const PwTensor *targets,
                               double scale, PwTensor *lse, double *loss, GError **error) {
  if (!check (context, "cross_entropy_forward", x, lse, targets, error))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), classes = pw_tensor_last_dim (x);
  const int32_t *target = targets->data;
  double sum = 0;
  for (int64_t row = 0; row < rows; row++) {
    const float *logits = floats (x) + row * classes;
    float greatest, exponentials;
    context->stream->loops->rows->exponential_sum (logits, classes, &greatest, &exponentials);
    double log_sum = log ((double)exponentials) + (double)greatest;
    floats (lse)[row] = (float)log_sum;
    if (target[row] >= 0)
      sum += log_sum - (double)logits[target[row]];
  }
  *loss += scale * sum;
  return TRUE;
}

gboolean
pw__cpu_cross_entropy_input_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *lse,
                                      const PwTensor *targets, double scale, PwTensor *dx,
                                      GError **error) {
  if (!check (context, "cross_entropy_input_gradient", x, lse, targets, error)
      || !PW_CPU_FLOAT32 ("cross_entropy_input_gradient", error, dx))
    return FALSE;
  g_assert (pw_tensor_elements (dx) == pw_tensor_elements (x));
  int64_t rows = pw_tensor_rows (dx), classes = pw_tensor_last_dim (dx);
  const int32_t *target = targets->data;
  float factor = (float)scale;
  for (int64_t row = 0; row < rows; row++) {
    float *d = floats (dx) + row * classes;
    if (target[row] < 0) {
      memset (d, 0, (gsize)classes * sizeof *d);
      continue;
    }
    context->stream->loops->rows->probabilities (floats (x) + row * classes, floats (lse)[row],
                                                 factor, d, classes);
    d[target[row]] -= factor;
  }
  return TRUE;
}
