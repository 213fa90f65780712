/* Padding becomes 0. What is there is not read: it may be anything, NaN too. */
#include "kernels/cpu/cpu_private.h"
#include <string.h>

gboolean
pw__cpu_mask_rows (PwOpContext *context, const PwTensor *x, const PwTensor *lengths, PwTensor *y,
                   GError **error) {
  if (!PW_CPU_FLOAT32 ("mask_rows", error, x, y))
    return FALSE;
  int64_t batch = pw_tensor_elements (lengths), features = pw_tensor_last_dim (x);
  int64_t tokens = pw_tensor_rows (x) / batch;
  g_assert (tokens * batch == pw_tensor_rows (x));
  g_assert (pw_tensor_elements (y) == pw_tensor_elements (x));
  if (!pw__cpu_check_indices (context, "length", lengths, 0, tokens + 1, error))
    return FALSE;
  const int32_t *length = lengths->data;
  for (int64_t b = 0; b < batch; b++) {
    float *to = floats (y) + b * tokens * features;
    const float *from = floats (x) + b * tokens * features;
    gsize kept = (gsize)(length[b] * features), all = (gsize)(tokens * features);
    if (to != from)
      memcpy (to, from, kept * sizeof *to);
    memset (to + kept, 0, (all - kept) * sizeof *to);
  }
  return TRUE;
}
