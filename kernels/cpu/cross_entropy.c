/* -log softmax (x)[target], summed. A row whose target is -1 counts nothing and gets gradient 0;
 * its probabilities are computed all the same. */
#include "kernels/cpu/cpu_private.h"
#include <math.h>
#include <string.h>

static gboolean
check (PwOpContext *context, const char *op, const PwTensor *x, const PwTensor *targets,
       const PwTensor *y, GError **error) {
  if (!PW_CPU_FLOAT32 (op, error, x, y))
    return FALSE;
  g_assert (pw_tensor_elements (y) == pw_tensor_elements (x));
  g_assert (pw_tensor_elements (targets) == pw_tensor_rows (x));
  return pw__cpu_check_indices (context, "target", targets, -1, pw_tensor_last_dim (x), error);
}

gboolean
pw__cpu_cross_entropy_forward (PwOpContext *context, const PwTensor *x, const PwTensor *targets,
                               double scale, PwTensor *probabilities, double *loss,
                               GError **error) {
  if (!check (context, "cross_entropy_forward", x, targets, probabilities, error))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), classes = pw_tensor_last_dim (x);
  const int32_t *target = targets->data;
  double sum = 0;
  for (int64_t row = 0; row < rows; row++) {
    const float *logits = floats (x) + row * classes;
    float greatest, exponentials;
    context->stream->loops->rows->softmax (logits, floats (probabilities) + row * classes, classes,
                                           &greatest, &exponentials);
    if (target[row] >= 0)
      sum += log ((double)exponentials) + (double)greatest - (double)logits[target[row]];
  }
  *loss += scale * sum;
  return TRUE;
}

gboolean
pw__cpu_cross_entropy_input_gradient (PwOpContext *context, const PwTensor *probabilities,
                                      const PwTensor *targets, double scale, PwTensor *dx,
                                      GError **error) {
  if (!check (context, "cross_entropy_input_gradient", probabilities, targets, dx, error))
    return FALSE;
  int64_t rows = pw_tensor_rows (dx), classes = pw_tensor_last_dim (dx);
  const int32_t *target = targets->data;
  float factor = (float)scale;
  for (int64_t row = 0; row < rows; row++) {
    const float *p = floats (probabilities) + row * classes;
    float *d = floats (dx) + row * classes;
    if (target[row] < 0) {
      memset (d, 0, (gsize)classes * sizeof *d);
      continue;
    }
    float at_target = p[target[row]]; /* dx may be the probabilities */
    context->stream->loops->maps->scale (p, factor, d, classes);
    d[target[row]] = (at_target - 1.0f) * factor;
  }
  return TRUE;
}
