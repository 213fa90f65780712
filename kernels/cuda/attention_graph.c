/* Attention as cuDNN takes it: a graph of products, reductions and pointwise operations that one of
 * its engines runs as one fused kernel. The nodes and their order are the pattern that the engines
 * know (cuDNN's documentation of scaled dot product attention):
 *
 *   forward    s = scale q k^T, masked;  p = exp (s - max) / sum;  lse = max + log sum;  y = p v
 *   gradient   delta = sum of dy y;  p = exp (s - lse);  dv = p^T dy;
 *              ds = scale (dy v^T - delta) p;  dk = ds^T q;  dq = ds k
 *
 * dq is a product like the others: without sums in memory that blocks add to in any order, at the
 * price of a workspace. q, k and v are read where they lie, their gradients written likewise. */
#include "kernels/cuda/attention_graph_private.h"

typedef enum {
  HEAD_ROWS,      /* [batch, heads, tokens, width] */
  HEAD_COLUMNS,   /* [batch, heads, width, tokens] */
  SCORES,         /* [batch, heads, tokens, tokens] */
  SCORES_SWAPPED, /* the same, rows and columns swapped */
  ROWS,           /* [batch, heads, tokens, 1] */
  NUMBER
} Shape;

typedef enum {
  BETWEEN, /* two nodes */
  PACKED,
  IN_QKV,      /* a head of a third of [batch, tokens, 3 features] */
  VIEW_OF_QKV, /* the same, made by a node from one that is in memory */
  IN_Y,        /* a head of [batch, tokens, features] */
  ON_HOST
} Place;

typedef enum { FP32, HALF, INT32, BOOLEAN } Type; /* HALF: what the op computes with */

static const struct {
  Shape shape;
  Place place;
  Type type;
} tensors[N_TENSORS] = {
  [Q] = { HEAD_ROWS, IN_QKV, HALF },
  [K_T] = { HEAD_COLUMNS, IN_QKV, HALF },
  [V] = { HEAD_ROWS, IN_QKV, HALF },
  [V_T] = { HEAD_COLUMNS, IN_QKV, HALF },
  [Y] = { HEAD_ROWS, IN_Y, HALF },
  [LSE] = { ROWS, PACKED, FP32 },
  [DY] = { HEAD_ROWS, IN_Y, HALF },
  [DQ] = { HEAD_ROWS, IN_QKV, HALF },
  [DK] = { HEAD_ROWS, IN_QKV, HALF },
  [DV] = { HEAD_ROWS, IN_QKV, HALF },
  [DELTA] = { ROWS, PACKED, FP32 },
  [SCALE] = { NUMBER, ON_HOST, FP32 },
  [LEAST] = { NUMBER, ON_HOST, FP32 },
  [ONE] = { NUMBER, ON_HOST, FP32 },
  [SCORE] = { SCORES, BETWEEN, FP32 },
  [SCALED] = { SCORES, BETWEEN, FP32 },
  [ROW] = { SCORES, BETWEEN, INT32 },
  [COLUMN] = { SCORES, BETWEEN, INT32 },
  [SEES] = { SCORES, BETWEEN, BOOLEAN },
  [MASKED] = { SCORES, BETWEEN, FP32 },
  [GREATEST] = { ROWS, BETWEEN, FP32 },
  [SHIFTED] = { SCORES, BETWEEN, FP32 },
  [POWER] = { SCORES, BETWEEN, FP32 },
  [SUM] = { ROWS, BETWEEN, FP32 },
  [LOG_SUM] = { ROWS, BETWEEN, FP32 },
  [P] = { SCORES, BETWEEN, HALF },
  [DY_Y] = { HEAD_ROWS, BETWEEN, FP32 },
  [DY_Y_SUM] = { ROWS, BETWEEN, FP32 },
  [EXPONENT] = { SCORES, BETWEEN, FP32 },
  [EXPONENT_MASKED] = { SCORES, BETWEEN, FP32 },
  [P_AGAIN] = { SCORES, BETWEEN, FP32 },
  [P_T] = { SCORES_SWAPPED, BETWEEN, HALF },
  [DP] = { SCORES, BETWEEN, FP32 },
  [DP_LESS] = { SCORES, BETWEEN, FP32 },
  [DP_P] = { SCORES, BETWEEN, FP32 },
  [DS] = { SCORES, BETWEEN, FP32 },
  [DS_T] = { SCORES_SWAPPED, BETWEEN, HALF },
  [K_BACK] = { HEAD_ROWS, VIEW_OF_QKV, FP32 },
};

/* A node of the mask is left out where all see all, and hands its x on. */
typedef struct {
  PwCudnnNode node;
  gboolean is_mask;
} Row;

#define NODE(...)                                                                                  \
  {                                                                                                \
    .node = { __VA_ARGS__ }                                                                        \
  }
#define MASK_NODE(...)                                                                             \
  {                                                                                                \
    .is_mask = TRUE, .node = { __VA_ARGS__ }                                                       \
  }
#define MATMUL(x_, b_, y_) NODE (.operation = PW_CUDNN_MATMUL, .x = x_, .b = b_, .y = y_)
#define POINTWISE(mode_, x_, b_, y_)                                                               \
  NODE (.operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_##mode_, .x = x_, .b = b_, .y = y_)
#define REDUCE(mode_, x_, y_)                                                                      \
  NODE (.operation = PW_CUDNN_REDUCTION, .mode = CUDNN_REDUCE_TENSOR_##mode_, .x = x_, .y = y_)
#define RESHAPE(x_, y_) NODE (.operation = PW_CUDNN_RESHAPE, .x = x_, .y = y_)
#define INDEX(x_, axis_, y_)                                                                       \
  MASK_NODE (.operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_GEN_INDEX, .axis = axis_,    \
             .x = x_, .y = y_)
#define SEES_WHERE(mode_, x_, b_, y_)                                                              \
  MASK_NODE (.operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_##mode_, .x = x_, .b = b_,   \
             .math = CUDNN_DATA_BOOLEAN, .y = y_)
#define SELECT(x_, b_, t_, y_)                                                                     \
  MASK_NODE (.operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_BINARY_SELECT, .x = x_,      \
             .b = b_, .t = t_, .y = y_)

static const Row forward[] = {
  MATMUL (Q, K_T, SCORE),
  POINTWISE (MUL, SCORE, SCALE, SCALED),
  INDEX (SCALED, 2, ROW),
  INDEX (SCALED, 3, COLUMN),
  SEES_WHERE (CMP_GE, ROW, COLUMN, SEES),
  SELECT (SCALED, LEAST, SEES, MASKED),
  REDUCE (MAX, MASKED, GREATEST),
  POINTWISE (SUB, MASKED, GREATEST, SHIFTED),
  POINTWISE (EXP, SHIFTED, NONE, POWER),
  REDUCE (ADD, POWER, SUM),
  POINTWISE (LOG, SUM, NONE, LOG_SUM),
  POINTWISE (ADD, GREATEST, LOG_SUM, LSE),
  POINTWISE (DIV, POWER, SUM, P),
  MATMUL (P, V, Y),
};

/* The factor 1 stands where the pattern has dropout's. */
static const Row gradient[] = {
  POINTWISE (MUL, DY, Y, DY_Y),
  REDUCE (ADD, DY_Y, DY_Y_SUM),
  POINTWISE (MUL, DY_Y_SUM, ONE, DELTA),
  MATMUL (Q, K_T, SCORE),
  POINTWISE (MUL, SCORE, SCALE, SCALED),
  POINTWISE (SUB, SCALED, LSE, EXPONENT),
  INDEX (EXPONENT, 2, ROW),
  INDEX (EXPONENT, 3, COLUMN),
  SEES_WHERE (CMP_GE, ROW, COLUMN, SEES),
  SELECT (EXPONENT, LEAST, SEES, EXPONENT_MASKED),
  POINTWISE (EXP, EXPONENT_MASKED, NONE, P_AGAIN),
  RESHAPE (P_AGAIN, P_T),
  MATMUL (P_T, DY, DV),
  MATMUL (DY, V_T, DP),
  POINTWISE (SUB, DP, DELTA, DP_LESS),
  POINTWISE (MUL, DP_LESS, P_AGAIN, DP_P),
  POINTWISE (MUL, DP_P, SCALE, DS),
  RESHAPE (DS, DS_T),
  MATMUL (DS_T, Q, DK),
  RESHAPE (K_T, K_BACK),
  MATMUL (DS, K_BACK, DQ),
};

G_STATIC_ASSERT (G_N_ELEMENTS (forward) <= ATTENTION_NODES_MAX);
G_STATIC_ASSERT (G_N_ELEMENTS (gradient) <= ATTENTION_NODES_MAX);

static cudnnDataType_t
data_type (Type type, PwCudaType computed) {
  static const cudnnDataType_t types[]
      = { [FP32] = CUDNN_DATA_FLOAT, [INT32] = CUDNN_DATA_INT32, [BOOLEAN] = CUDNN_DATA_BOOLEAN };
  if (type != HALF)
    return types[type];
  return computed == PW_CUDA_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
}

static void
set (int64_t *to, int64_t a, int64_t b, int64_t c, int64_t d) {
  to[0] = a, to[1] = b, to[2] = c, to[3] = d;
}

static void
swap_last (int64_t *values) {
  int64_t third = values[2];
  values[2] = values[3];
  values[3] = third;
}

static PwCudnnTensor
make_tensor (int i, const PwCudaAttention *a) {
  static const PwCudnnPlace places[] = {
    [BETWEEN] = PW_CUDNN_VIRTUAL,     [PACKED] = PW_CUDNN_DEVICE, [IN_QKV] = PW_CUDNN_DEVICE,
    [VIEW_OF_QKV] = PW_CUDNN_VIRTUAL, [IN_Y] = PW_CUDNN_DEVICE,   [ON_HOST] = PW_CUDNN_VALUE
  };
  const Shape shape = tensors[i].shape;
  const Place place = tensors[i].place;
  const int64_t width = a->features / a->heads;
  PwCudnnTensor t = { .place = places[place], .type = data_type (tensors[i].type, a->type) };
  if (shape == NUMBER)
    set (t.dims, 1, 1, 1, 1);
  else if (shape == ROWS)
    set (t.dims, a->batch, a->heads, a->tokens, 1);
  else if (shape == SCORES || shape == SCORES_SWAPPED)
    set (t.dims, a->batch, a->heads, a->tokens, a->tokens);
  else
    set (t.dims, a->batch, a->heads, a->tokens, width);
  const int64_t *n = t.dims;
  if (place == IN_QKV || place == VIEW_OF_QKV)
    set (t.strides, a->tokens * 3 * a->features, width, 3 * a->features, 1);
  else if (place == IN_Y)
    set (t.strides, a->tokens * a->features, width, a->features, 1);
  else
    set (t.strides, n[1] * n[2] * n[3], n[2] * n[3], n[3], 1);
  if (shape == HEAD_COLUMNS || shape == SCORES_SWAPPED) {
    swap_last (t.dims);
    swap_last (t.strides);
  }
  return t;
}

/* Without a mask the nodes that make it go, and whoever read the masked tensor reads the other. */
static int
take_nodes (const Row *rows, int n, gboolean causal, PwCudnnNode *nodes) {
  int same[N_TENSORS], taken = 0;
  for (int i = 0; i < N_TENSORS; i++)
    same[i] = i;
  for (int i = 0; i < n; i++) {
    PwCudnnNode node = rows[i].node;
    node.x = same[node.x];
    node.b = same[node.b];
    if (rows[i].is_mask && !causal)
      same[node.y] = node.x;
    else
      nodes[taken++] = node;
  }
  return taken;
}

PwCudnnGraph
pw__cudnn_attention_graph (const PwCudaAttention *a, gboolean is_gradient, PwCudnnTensor *made,
                           PwCudnnNode *nodes) {
  made[NONE] = (PwCudnnTensor){ 0 };
  for (int i = NONE + 1; i < N_TENSORS; i++)
    made[i] = make_tensor (i, a);
  int n = is_gradient ? take_nodes (gradient, G_N_ELEMENTS (gradient), a->causal, nodes)
                      : take_nodes (forward, G_N_ELEMENTS (forward), a->causal, nodes);
  return (PwCudnnGraph){ .tensors = made, .n_tensors = N_TENSORS, .nodes = nodes, .n_nodes = n };
}
