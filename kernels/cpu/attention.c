/* Attention, one (sequence, head) after another; q, k, v are strided views of qkv, nothing is
 * copied. Causal masks are used to skip work: rows go in blocks, and a block's products end at its
 * last row, so the half above the diagonal is never computed:
 *
 *     keys s ->   0      64     128
 *     rows 0      [ x x . | . . . . ]     x  computed, kept
 *          64     [ x x x x x . | . ]     .  left of the bar: computed with its block, set to 0
 *          128    [ x x x x x x x x ]        right of it: only set to 0
 */
#include "kernels/cpu/cpu_private.h"
#include <math.h>
#include <string.h>

#define BLOCK 64

typedef struct {
  int64_t tokens, head_width;
  int64_t row_qkv; /* between tokens of qkv, dqkv: 3 C */
  int64_t row_y;   /* between tokens of y, dy: C */
  gboolean causal;
  float scale; /* 1 / sqrt (head width) */
} Shape;

/* Keys that some row of a block ending before row END may see, and the first row that sees any key
 * of a block beginning at key BEGIN. */
static int64_t
keys_end (const Shape *shape, int64_t end) {
  return shape->causal ? end : shape->tokens;
}

static int64_t
rows_begin (const Shape *shape, int64_t begin) {
  return shape->causal ? begin : 0;
}

static int64_t
block_size (const Shape *shape) {
  return shape->causal ? BLOCK : shape->tokens;
}

static int64_t
row_keys (const Shape *shape, int64_t row) {
  return shape->causal ? row + 1 : shape->tokens;
}

/* c[rows,keys] = alpha a b^T for the rows of a block: a, b have one row per token. */
static gboolean
scores (const Shape *shape, int64_t begin, int64_t end, float alpha, const float *a, int64_t row_a,
        const float *b, int64_t row_b, float *c, GError **error) {
  PwProduct product = { .rows = end - begin,
                        .columns = keys_end (shape, end),
                        .depth = shape->head_width,
                        .stride_a = row_a,
                        .stride_b = row_b,
                        .stride_c = shape->tokens,
                        .transpose_b = TRUE };
  return pw__cpu_small_product (&product, alpha, a + begin * row_a, b, c + begin * shape->tokens,
                                error);
}

/* y[rows,width] = p[rows,keys] x[keys,width] for the rows of a block. */
static gboolean
mix_keys (const Shape *shape, int64_t begin, int64_t end, const float *p, const float *x,
          int64_t row_x, float *y, int64_t row_y, GError **error) {
  PwProduct product = { .rows = end - begin,
                        .columns = shape->head_width,
                        .depth = keys_end (shape, end),
                        .stride_a = shape->tokens,
                        .stride_b = row_x,
                        .stride_c = row_y };
  return pw__cpu_small_product (&product, 1, p + begin * shape->tokens, x, y + begin * row_y,
                                error);
}

/* y[keys,width] = p^T x for a block of keys, summed over the rows that see them. */
static gboolean
mix_rows (const Shape *shape, int64_t begin, int64_t end, const float *p, const float *x,
          int64_t row_x, float *y, int64_t row_y, GError **error) {
  int64_t first = rows_begin (shape, begin);
  PwProduct product = { .rows = end - begin,
                        .columns = shape->head_width,
                        .depth = shape->tokens - first,
                        .stride_a = shape->tokens,
                        .stride_b = row_x,
                        .stride_c = row_y,
                        .transpose_a = TRUE };
  return pw__cpu_small_product (&product, 1, p + first * shape->tokens + begin, x + first * row_x,
                                y + begin * row_y, error);
}

static gboolean
head_forward (const Shape *shape, const PwRowLoops *loops, const float *q, const float *k,
              const float *v, float *y, float *p, GError **error) {
  int64_t tokens = shape->tokens, step = block_size (shape);
  for (int64_t begin = 0; begin < tokens; begin += step) {
    int64_t end = MIN (begin + step, tokens);
    if (!scores (shape, begin, end, shape->scale, q, shape->row_qkv, k, shape->row_qkv, p, error))
      return FALSE;
    for (int64_t row = begin; row < end; row++) {
      float *line = p + row * tokens, greatest, sum;
      int64_t keys = row_keys (shape, row);
      loops->softmax (line, line, keys, &greatest, &sum);
      memset (line + keys, 0, (gsize)(tokens - keys) * sizeof *line);
    }
    if (!mix_keys (shape, begin, end, p, v, shape->row_qkv, y, shape->row_y, error))
      return FALSE;
  }
  return TRUE;
}

/* ds[T,T]: scale * gradient at the scores, 0 where a block's products read beyond the mask. */
static gboolean
head_score_gradient (const Shape *shape, const PwRowLoops *loops, const float *v, const float *p,
                     const float *dy, float *ds, GError **error) {
  int64_t tokens = shape->tokens, step = block_size (shape);
  for (int64_t begin = 0; begin < tokens; begin += step) {
    int64_t end = MIN (begin + step, tokens);
    if (!scores (shape, begin, end, 1, dy, shape->row_y, v, shape->row_qkv, ds, error))
      return FALSE;
    for (int64_t row = begin; row < end; row++) {
      float *line = ds + row * tokens;
      int64_t keys = row_keys (shape, row);
      loops->softmax_gradient (p + row * tokens, line, shape->scale, line, keys);
      memset (line + keys, 0, (gsize)(keys_end (shape, end) - keys) * sizeof *line);
    }
  }
  return TRUE;
}

static gboolean
head_gradient (const Shape *shape, const PwRowLoops *loops, const float *q, const float *k,
               const float *v, const float *p, const float *dy, float *dq, float *dk, float *dv,
               float *ds, GError **error) {
  if (!head_score_gradient (shape, loops, v, p, dy, ds, error))
    return FALSE;
  int64_t tokens = shape->tokens, step = block_size (shape), row = shape->row_qkv;
  for (int64_t begin = 0; begin < tokens; begin += step) {
    int64_t end = MIN (begin + step, tokens);
    if (!mix_keys (shape, begin, end, ds, k, row, dq, row, error)
        || !mix_rows (shape, begin, end, ds, q, row, dk, row, error)
        || !mix_rows (shape, begin, end, p, dy, shape->row_y, dv, row, error))
      return FALSE;
  }
  return TRUE;
}

static Shape
shape_of (const PwTensor *qkv, const PwTensor *y, const PwTensor *probabilities, int64_t heads,
          gboolean causal) {
  g_assert (qkv->n_dims >= 2);
  int64_t tokens = qkv->dims[qkv->n_dims - 2], features = pw_tensor_last_dim (qkv) / 3;
  g_assert (features * 3 == pw_tensor_last_dim (qkv) && features % heads == 0);
  g_assert (pw_tensor_elements (y) * 3 == pw_tensor_elements (qkv));
  g_assert (pw_tensor_elements (probabilities) == pw_tensor_rows (qkv) * heads * tokens);
  return (Shape){ .tokens = tokens,
                  .head_width = features / heads,
                  .row_qkv = 3 * features,
                  .row_y = features,
                  .causal = causal,
                  .scale = (float)(1 / sqrt ((double)(features / heads))) };
}

gboolean
pw__cpu_attention_forward (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                           gboolean causal, PwTensor *y, PwTensor *probabilities,
                           PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  if (!PW_CPU_FLOAT32 ("attention_forward", error, qkv, y, probabilities))
    return FALSE;
  Shape shape = shape_of (qkv, y, probabilities, heads, causal);
  const PwRowLoops *loops = context->stream->loops->rows;
  int64_t features = shape.row_y, tokens = shape.tokens;
  int64_t batch = pw_tensor_rows (qkv) / tokens;
  for (int64_t b = 0; b < batch; b++)
    for (int64_t h = 0; h < heads; h++) {
      const float *q = floats (qkv) + b * tokens * shape.row_qkv + h * shape.head_width;
      float *to = floats (y) + b * tokens * features + h * shape.head_width;
      float *p = floats (probabilities) + (b * heads + h) * tokens * tokens;
      if (!head_forward (&shape, loops, q, q + features, q + 2 * features, to, p, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
pw__cpu_attention_input_gradient (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                                  gboolean causal, const PwTensor *probabilities,
                                  const PwTensor *dy, PwTensor *dqkv, PwWorkspace workspace,
                                  GError **error) {
  if (!PW_CPU_FLOAT32 ("attention_input_gradient", error, qkv, probabilities, dy, dqkv))
    return FALSE;
  Shape shape = shape_of (qkv, dy, probabilities, heads, causal);
  g_assert (pw_tensor_elements (dqkv) == pw_tensor_elements (qkv));
  const PwRowLoops *loops = context->stream->loops->rows;
  int64_t features = shape.row_y, tokens = shape.tokens;
  int64_t batch = pw_tensor_rows (qkv) / tokens;
  g_assert (workspace.bytes >= (gsize)(tokens * tokens) * sizeof (float));
  for (int64_t b = 0; b < batch; b++)
    for (int64_t h = 0; h < heads; h++) {
      int64_t at = b * tokens * shape.row_qkv + h * shape.head_width;
      const float *q = floats (qkv) + at;
      const float *from = floats (dy) + b * tokens * features + h * shape.head_width;
      const float *p = floats (probabilities) + (b * heads + h) * tokens * tokens;
      float *dq = floats (dqkv) + at;
      if (!head_gradient (&shape, loops, q, q + features, q + 2 * features, p, from, dq,
                          dq + features, dq + 2 * features, workspace.data, error))
        return FALSE;
    }
  return TRUE;
}

/* The gradient at the scores of one head. */
gsize
pw__cpu_attention_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t batch G_GNUC_UNUSED,
                             int64_t heads G_GNUC_UNUSED, int64_t tokens,
                             int64_t features G_GNUC_UNUSED) {
  return (gsize)(tokens * tokens) * sizeof (float);
}
