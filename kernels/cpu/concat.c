/* Each sample's elements of both, one behind the other. */
#include <string.h>

#include "kernels/cpu/cpu_private.h"

static int64_t
sample_elements (const PwTensor *tensor, int64_t samples) {
  return tensor ? pw_tensor_elements (tensor) / MAX (samples, 1) : 0;
}

gboolean
pw__cpu_concat_forward (PwOpContext *context, const PwTensor *a, const PwTensor *b, PwTensor *y,
                        GError **error) {
  (void)context;
  if (!PW_CPU_FLOAT32 ("concat_forward", error, a, b, y))
    return FALSE;
  int64_t samples = y->dims[0];
  int64_t n_a = sample_elements (a, samples), n_b = sample_elements (b, samples);
  g_assert (pw_tensor_elements (y) == samples * (n_a + n_b));
  for (int64_t s = 0; s < samples; s++) {
    float *to = floats (y) + s * (n_a + n_b);
    memcpy (to, floats (a) + s * n_a, (gsize)n_a * sizeof (float));
    memcpy (to + n_a, floats (b) + s * n_b, (gsize)n_b * sizeof (float));
  }
  return TRUE;
}

gboolean
pw__cpu_concat_input_gradient (PwOpContext *context, const PwTensor *dy, PwTensor *da, PwTensor *db,
                               GError **error) {
  (void)context;
  if (!PW_CPU_FLOAT32 ("concat_input_gradient", error, dy, da, db))
    return FALSE;
  int64_t samples = dy->dims[0], n = sample_elements (dy, samples);
  int64_t n_a = da ? sample_elements (da, samples) : n - sample_elements (db, samples);
  for (int64_t s = 0; s < samples; s++) {
    const float *from = floats (dy) + s * n;
    if (da)
      memcpy (floats (da) + s * n_a, from, (gsize)n_a * sizeof (float));
    if (db)
      memcpy (floats (db) + s * (n - n_a), from + n_a, (gsize)(n - n_a) * sizeof (float));
  }
  return TRUE;
}
