/* Attention, one (sequence, head) after another; q, k, v are strided views of qkv, nothing is
 * copied. Query rows go in blocks, and only a block's scores exist at a time. Causal masks are used
 * to skip work: a block's products end at its last row, so what lies right of it is never computed:
 *
 *     keys s ->   0      64     128
 *     rows 0      [ x x . |           ]     x  computed
 *          64     [ x x x x x . |     ]     .  computed with its block, set to 0
 *          128    [ x x x x x x x x . ]        right of the bar: not computed
 *
 * The gradient makes a block's probabilities again from q, k and the log of each row's sum
 * (FlashAttention-2, 2307.08691, algorithm 2); blocks add to dk and dv in the order of the rows. */
#include "kernels/cpu/cpu_private.h"
#include <math.h>
#include <string.h>

#define BLOCK 64

typedef struct {
  int64_t tokens, head_width;
  int64_t length;  /* tokens of this sequence that are no padding */
  int64_t row_qkv; /* between tokens of qkv, dqkv: 3 C */
  int64_t row_y;   /* between tokens of y, dy: C */
  gboolean causal;
  float scale; /* 1 / sqrt (head width) */
  const PwRowLoops *loops;
} Shape;

/* One head of one sequence: views of the tensors. */
typedef struct {
  const float *q, *k, *v;
  float *lse;
} Head;

/* Rows [begin, end), and the keys that some row of them may see. */
typedef struct {
  int64_t begin, end, keys;
} Block;

static Block
block_at (const Shape *shape, int64_t begin) {
  int64_t end = MIN (begin + BLOCK, shape->length);
  return (Block){ .begin = begin, .end = end, .keys = shape->causal ? end : shape->length };
}

static int64_t
row_keys (const Shape *shape, int64_t row) {
  return shape->causal ? row + 1 : shape->length;
}

/* A matrix [rows,keys] of a block lies with a stride of all tokens. This is its row ROW. */
static float *
row_of (const Shape *shape, const Block *block, float *scores, int64_t row) {
  return scores + (row - block->begin) * shape->tokens;
}

static void
mask_row (const Shape *shape, const Block *block, float *line, int64_t row) {
  int64_t keys = row_keys (shape, row);
  memset (line + keys, 0, (gsize)(block->keys - keys) * sizeof *line);
}

/* c[rows,keys] = alpha a b^T; a and b have one row per token. */
static gboolean
rows_by_keys (const Shape *shape, const Block *block, float alpha, const float *a, int64_t row_a,
              const float *b, float *c, GError **error) {
  PwProduct product = { .rows = block->end - block->begin,
                        .columns = block->keys,
                        .depth = shape->head_width,
                        .stride_a = row_a,
                        .stride_b = shape->row_qkv,
                        .stride_c = shape->tokens,
                        .transpose_b = TRUE };
  return pw__cpu_small_product (&product, alpha, a + block->begin * row_a, b, c, error);
}

/* y[rows,width] = p[rows,keys] x[keys,width] */
static gboolean
mix_keys (const Shape *shape, const Block *block, const float *p, const float *x, float *y,
          int64_t row_y, GError **error) {
  PwProduct product = { .rows = block->end - block->begin,
                        .columns = shape->head_width,
                        .depth = block->keys,
                        .stride_a = shape->tokens,
                        .stride_b = shape->row_qkv,
                        .stride_c = row_y };
  return pw__cpu_small_product (&product, 1, p, x, y + block->begin * row_y, error);
}

/* y[keys,width] += p^T x, x has one row per token. */
static gboolean
mix_rows (const Shape *shape, const Block *block, const float *p, const float *x, int64_t row_x,
          float *y, GError **error) {
  PwProduct product = { .rows = block->keys,
                        .columns = shape->head_width,
                        .depth = block->end - block->begin,
                        .stride_a = shape->tokens,
                        .stride_b = row_x,
                        .stride_c = shape->row_qkv,
                        .transpose_a = TRUE,
                        .accumulate = TRUE };
  return pw__cpu_small_product (&product, 1, p, x + block->begin * row_x, y, error);
}

static gboolean
block_forward (const Shape *shape, const Block *block, const Head *head, float *y, float *p,
               GError **error) {
  if (!rows_by_keys (shape, block, shape->scale, head->q, shape->row_qkv, head->k, p, error))
    return FALSE;
  for (int64_t row = block->begin; row < block->end; row++) {
    float *line = row_of (shape, block, p, row), greatest, sum;
    shape->loops->softmax (line, line, row_keys (shape, row), &greatest, &sum);
    head->lse[row] = greatest + logf (sum);
    mask_row (shape, block, line, row);
  }
  return mix_keys (shape, block, p, head->v, y, shape->row_y, error);
}

static void
clear_rows (float *rows, int64_t stride, int64_t begin, int64_t end, int64_t width) {
  for (int64_t row = begin; row < end; row++)
    memset (rows + row * stride, 0, (gsize)width * sizeof *rows);
}

static gboolean
head_forward (const Shape *shape, const Head *head, float *y, float *p, GError **error) {
  for (int64_t begin = 0; begin < shape->length; begin += BLOCK) {
    Block block = block_at (shape, begin);
    if (!block_forward (shape, &block, head, y, p, error))
      return FALSE;
  }
  clear_rows (y, shape->row_y, shape->length, shape->tokens, shape->head_width);
  clear_rows (head->lse, 1, shape->length, shape->tokens, 1);
  return TRUE;
}

/* What the gradient of a head reads and writes beside the head itself. */
typedef struct {
  const float *y, *dy;
  float *dq, *dk, *dv;
  float *p, *ds; /* a block's probabilities and gradient at its scores */
} Gradient;

static gboolean
block_gradient (const Shape *shape, const Block *block, const Head *head, const Gradient *g,
                GError **error) {
  int64_t row_qkv = shape->row_qkv, row_y = shape->row_y;
  if (!rows_by_keys (shape, block, shape->scale, head->q, row_qkv, head->k, g->p, error)
      || !rows_by_keys (shape, block, 1, g->dy, row_y, head->v, g->ds, error))
    return FALSE;
  for (int64_t row = block->begin; row < block->end; row++) {
    float *p = row_of (shape, block, g->p, row), *ds = row_of (shape, block, g->ds, row);
    float dot = shape->loops->dot (g->y + row * row_y, g->dy + row * row_y, shape->head_width);
    shape->loops->softmax_gradient (p, ds, head->lse[row], dot, shape->scale,
                                    row_keys (shape, row));
    mask_row (shape, block, p, row);
    mask_row (shape, block, ds, row);
  }
  return mix_keys (shape, block, g->ds, head->k, g->dq, row_qkv, error)
         && mix_rows (shape, block, g->ds, head->q, row_qkv, g->dk, error)
         && mix_rows (shape, block, g->p, g->dy, row_y, g->dv, error);
}

static gboolean
head_gradient (const Shape *shape, const Head *head, const Gradient *g, GError **error) {
  clear_rows (g->dq, shape->row_qkv, shape->length, shape->tokens, shape->head_width);
  clear_rows (g->dk, shape->row_qkv, 0, shape->tokens, shape->head_width);
  clear_rows (g->dv, shape->row_qkv, 0, shape->tokens, shape->head_width);
  for (int64_t begin = 0; begin < shape->length; begin += BLOCK) {
    Block block = block_at (shape, begin);
    if (!block_gradient (shape, &block, head, g, error))
      return FALSE;
  }
  return TRUE;
}

static Shape
shape_of (PwOpContext *context, const PwTensor *qkv, const PwTensor *y, const PwTensor *lse,
          int64_t heads, gboolean causal) {
  g_assert (qkv->n_dims >= 2);
  int64_t tokens = qkv->dims[qkv->n_dims - 2], features = pw_tensor_last_dim (qkv) / 3;
  g_assert (features * 3 == pw_tensor_last_dim (qkv) && features % heads == 0);
  g_assert (pw_tensor_elements (y) * 3 == pw_tensor_elements (qkv));
  g_assert (pw_tensor_elements (lse) == pw_tensor_rows (qkv) * heads);
  return (Shape){ .tokens = tokens,
                  .head_width = features / heads,
                  .row_qkv = 3 * features,
                  .row_y = features,
                  .causal = causal,
                  .scale = (float)(1 / sqrt ((double)(features / heads))),
                  .loops = context->stream->loops->rows };
}

static gboolean
check_lengths (PwOpContext *context, const PwTensor *qkv, const PwTensor *lengths, GError **error) {
  int64_t tokens = qkv->dims[qkv->n_dims - 2];
  return lengths == NULL
         || pw__cpu_check_indices (context, "length", lengths, 0, tokens + 1, error);
}

static int64_t
length_of (const Shape *shape, const PwTensor *lengths, int64_t b) {
  return lengths == NULL ? shape->tokens : ((const int32_t *)lengths->data)[b];
}

static gsize
block_bytes (int64_t tokens) {
  return (gsize)(MIN (BLOCK, tokens) * tokens) * sizeof (float);
}

/* Head H of sequence B; its q, k, v begin at the same element of dqkv, its y at that of dy. */
static Head
head_at (const Shape *shape, const PwTensor *qkv, const PwTensor *lse, int64_t b, int64_t h) {
  const float *q = floats (qkv) + b * shape->tokens * shape->row_qkv + h * shape->head_width;
  int64_t heads = shape->row_y / shape->head_width;
  return (Head){ .q = q,
                 .k = q + shape->row_y,
                 .v = q + 2 * shape->row_y,
                 .lse = floats (lse) + (b * heads + h) * shape->tokens };
}

gboolean
pw__cpu_attention_forward (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                           gboolean causal, const PwTensor *lengths, PwTensor *y, PwTensor *lse,
                           PwWorkspace workspace, GError **error) {
  if (!PW_CPU_FLOAT32 ("attention_forward", error, qkv, y, lse)
      || !check_lengths (context, qkv, lengths, error))
    return FALSE;
  Shape shape = shape_of (context, qkv, y, lse, heads, causal);
  int64_t batch = pw_tensor_rows (qkv) / shape.tokens;
  g_assert (workspace.bytes >= block_bytes (shape.tokens));
  for (int64_t b = 0; b < batch; b++)
    for (int64_t h = 0; h < heads; h++) {
      Head head = head_at (&shape, qkv, lse, b, h);
      float *to = floats (y) + b * shape.tokens * shape.row_y + h * shape.head_width;
      shape.length = length_of (&shape, lengths, b);
      if (!head_forward (&shape, &head, to, workspace.data, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
pw__cpu_attention_input_gradient (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                                  gboolean causal, const PwTensor *lengths, const PwTensor *y,
                                  const PwTensor *lse, const PwTensor *dy, PwTensor *dqkv,
                                  PwWorkspace workspace, GError **error) {
  if (!PW_CPU_FLOAT32 ("attention_input_gradient", error, qkv, y, lse, dy, dqkv)
      || !check_lengths (context, qkv, lengths, error))
    return FALSE;
  Shape shape = shape_of (context, qkv, dy, lse, heads, causal);
  g_assert (pw_tensor_elements (dqkv) == pw_tensor_elements (qkv));
  g_assert (pw_tensor_elements (y) == pw_tensor_elements (dy));
  int64_t batch = pw_tensor_rows (qkv) / shape.tokens, features = shape.row_y;
  g_assert (workspace.bytes >= 2 * block_bytes (shape.tokens));
  float *p = workspace.data, *ds = p + block_bytes (shape.tokens) / sizeof (float);
  for (int64_t b = 0; b < batch; b++)
    for (int64_t h = 0; h < heads; h++) {
      Head head = head_at (&shape, qkv, lse, b, h);
      int64_t at = b * shape.tokens * features + h * shape.head_width;
      shape.length = length_of (&shape, lengths, b);
      float *dq = floats (dqkv) + (head.q - floats (qkv));
      Gradient gradient = { .y = floats (y) + at,
                            .dy = floats (dy) + at,
                            .dq = dq,
                            .dk = dq + features,
                            .dv = dq + 2 * features,
                            .p = p,
                            .ds = ds };
      if (!head_gradient (&shape, &head, &gradient, error))
        return FALSE;
    }
  return TRUE;
}

/* The probabilities of a block, and the gradient at its scores. */
gsize
pw__cpu_attention_workspace (PwOpContext *context G_GNUC_UNUSED, PwElement element G_GNUC_UNUSED,
                             gboolean causal G_GNUC_UNUSED, int64_t batch G_GNUC_UNUSED,
                             int64_t heads G_GNUC_UNUSED, int64_t tokens,
                             int64_t features G_GNUC_UNUSED) {
  return 2 * block_bytes (tokens);
}
