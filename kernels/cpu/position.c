/* A learned row per position, added to every sequence. A table may have more rows than a sequence
 * has tokens. */
#include "kernels/cpu/cpu_private.h"

/* Elements of one sequence of x[B,T,C]. */
static int64_t
sequence_elements (const PwTensor *x, const PwTensor *table) {
  g_assert (x->n_dims >= 2);
  int64_t features = pw_tensor_last_dim (x), tokens = x->dims[x->n_dims - 2];
  g_assert (pw_tensor_last_dim (table) == features && pw_tensor_rows (table) >= tokens);
  return tokens * features;
}

gboolean
pw__cpu_position_forward (PwOpContext *context, const PwTensor *x, const PwTensor *table,
                          PwTensor *y, GError **error) {
  if (!PW_CPU_FLOAT32 ("position_forward", error, x, table, y))
    return FALSE;
  int64_t all = pw_tensor_elements (x), sequence = sequence_elements (x, table);
  g_assert (pw_tensor_elements (y) == all);
  for (int64_t at = 0; at < all; at += sequence)
    context->stream->loops->maps->add (floats (x) + at, floats (table), floats (y) + at, sequence);
  return TRUE;
}

gboolean
pw__cpu_position_weight_gradient (PwOpContext *context, const PwTensor *dy, PwTensor *dtable,
                                  GError **error) {
  if (!PW_CPU_FLOAT32 ("position_weight_gradient", error, dy, dtable))
    return FALSE;
  int64_t sequence = sequence_elements (dy, dtable);
  context->stream->loops->rows->add_columns (floats (dy), pw_tensor_elements (dy) / sequence,
                                             sequence, floats (dtable));
  return TRUE;
}
