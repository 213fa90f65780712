/* Rows of a table, chosen by tokens. The gradient adds rows in the order of the tokens. */
#include "kernels/cpu/cpu_private.h"
#include <string.h>

gboolean
pw__cpu_embedding_forward (PwOpContext *context, const PwTensor *tokens, const PwTensor *table,
                           PwTensor *y, GError **error) {
  if (!PW_CPU_FLOAT32 ("embedding_forward", error, table, y))
    return FALSE;
  int64_t rows = pw_tensor_elements (tokens), features = pw_tensor_last_dim (table);
  g_assert (pw_tensor_rows (y) == rows && pw_tensor_last_dim (y) == features);
  if (!pw__cpu_check_indices (context, "token", tokens, 0, pw_tensor_rows (table), error))
    return FALSE;
  const int32_t *token = tokens->data;
  for (int64_t row = 0; row < rows; row++)
    memcpy (floats (y) + row * features, floats (table) + token[row] * features,
            (gsize)features * sizeof (float));
  return TRUE;
}

gboolean
pw__cpu_embedding_weight_gradient (PwOpContext *context, const PwTensor *tokens, const PwTensor *dy,
                                   PwTensor *dtable, PwWorkspace workspace G_GNUC_UNUSED,
                                   GError **error) {
  if (!PW_CPU_FLOAT32 ("embedding_weight_gradient", error, dy, dtable))
    return FALSE;
  int64_t rows = pw_tensor_elements (tokens), features = pw_tensor_last_dim (dtable);
  g_assert (pw_tensor_rows (dy) == rows && pw_tensor_last_dim (dy) == features);
  if (!pw__cpu_check_indices (context, "token", tokens, 0, pw_tensor_rows (dtable), error))
    return FALSE;
  const PwMapLoops *loops = context->stream->loops->maps;
  const int32_t *token = tokens->data;
  for (int64_t row = 0; row < rows; row++) {
    float *sum = floats (dtable) + token[row] * features;
    loops->add (sum, floats (dy) + row * features, sum, features);
  }
  return TRUE;
}

gsize
pw__cpu_embedding_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t rows G_GNUC_UNUSED,
                             int64_t vocabulary G_GNUC_UNUSED, int64_t features G_GNUC_UNUSED) {
  return 0;
}
