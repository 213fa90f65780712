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
#include <math.h>
#include <string.h>

#include "kernels/cuda/attention_private.h"
#include "kernels/cuda/cudnn_private.h"

/* The gradient's ds are kept between two of its kernels: 2 bytes of each score. */
#define WORKSPACE_MAX ((gsize)1 << 30)
#define ALIGNMENT 256 /* of the library's part of the workspace */
#define WIDTH_MAX 256

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
  IN_QKV, /* a head of a third of [batch, tokens, 3 features] */
  IN_Y,   /* a head of [batch, tokens, features] */
  ON_HOST
} Place;

typedef enum { FP32, HALF, INT32, BOOLEAN } Type; /* HALF: what the op computes with */

/* Names of tensors, their unique ids too. `_T` is the same memory seen with rows and columns
 * swapped, K_BACK the way back. */
enum {
  NONE, Q, K_T, V, V_T, Y, LSE, DY, DQ, DK, DV, DELTA, SCALE, LEAST, ONE,
  SCORE, SCALED, ROW, COLUMN, SEES, MASKED, GREATEST, SHIFTED, POWER, SUM, LOG_SUM, P,
  DY_Y, DY_Y_SUM, EXPONENT, EXPONENT_MASKED, P_AGAIN, P_T, DP, DP_LESS, DP_P, DS, DS_T, K_BACK,
  N_TENSORS
};

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
  [K_BACK] = { HEAD_ROWS, BETWEEN, FP32 },
};

/* A node of the mask is left out where all see all, and hands its x on. */
typedef struct {
  PwCudnnNode node;
  gboolean is_mask;
} Row;

#define MATMUL(x_, b_, y_) { .node = { .operation = PW_CUDNN_MATMUL, .x = x_, .b = b_, .y = y_ } }
#define POINTWISE(mode_, x_, b_, y_)                                                               \
  { .node = { .operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_##mode_, .x = x_, .b = b_,  \
              .y = y_ } }
#define REDUCE(mode_, x_, y_)                                                                      \
  { .node = { .operation = PW_CUDNN_REDUCTION, .mode = CUDNN_REDUCE_TENSOR_##mode_, .x = x_,       \
              .y = y_ } }
#define RESHAPE(x_, y_) { .node = { .operation = PW_CUDNN_RESHAPE, .x = x_, .y = y_ } }
#define INDEX(x_, axis_, y_)                                                                       \
  { .is_mask = TRUE,                                                                               \
    .node = { .operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_GEN_INDEX, .x = x_,         \
              .axis = axis_, .y = y_ } }
#define SEES_WHERE(x_, b_, y_)                                                                     \
  { .is_mask = TRUE,                                                                               \
    .node = { .operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_CMP_GE, .x = x_, .b = b_,   \
              .math = CUDNN_DATA_BOOLEAN, .y = y_ } }
#define SELECT(x_, b_, t_, y_)                                                                     \
  { .is_mask = TRUE,                                                                               \
    .node = { .operation = PW_CUDNN_POINTWISE, .mode = CUDNN_POINTWISE_BINARY_SELECT, .x = x_,     \
              .b = b_, .t = t_, .y = y_ } }

static const Row forward[] = {
  MATMUL (Q, K_T, SCORE),
  POINTWISE (MUL, SCORE, SCALE, SCALED),
  INDEX (SCALED, 2, ROW),
  INDEX (SCALED, 3, COLUMN),
  SEES_WHERE (ROW, COLUMN, SEES),
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
  SEES_WHERE (ROW, COLUMN, SEES),
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

#define ROWS_MAX G_N_ELEMENTS (gradient)

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
  static const PwCudnnPlace places[] = { [BETWEEN] = PW_CUDNN_VIRTUAL,
                                         [PACKED] = PW_CUDNN_DEVICE,
                                         [IN_QKV] = PW_CUDNN_DEVICE,
                                         [IN_Y] = PW_CUDNN_DEVICE,
                                         [ON_HOST] = PW_CUDNN_VALUE };
  const Shape shape = tensors[i].shape;
  const int64_t width = a->features / a->heads;
  PwCudnnTensor t
      = { .place = places[tensors[i].place], .type = data_type (tensors[i].type, a->type) };
  if (shape == NUMBER)
    set (t.dims, 1, 1, 1, 1);
  else if (shape == ROWS)
    set (t.dims, a->batch, a->heads, a->tokens, 1);
  else if (shape == SCORES || shape == SCORES_SWAPPED)
    set (t.dims, a->batch, a->heads, a->tokens, a->tokens);
  else
    set (t.dims, a->batch, a->heads, a->tokens, width);
  const int64_t *n = t.dims;
  const int64_t row = tensors[i].place == IN_QKV ? 3 * a->features : a->features;
  if (tensors[i].place == IN_QKV || tensors[i].place == IN_Y)
    set (t.strides, a->tokens * row, width, row, 1);
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

static PwCudnnPlan *
compile (const PwCudnnCalls *calls, cudnnHandle_t handle, const PwCudaAttention *a,
         gboolean is_gradient) {
  PwCudnnTensor made[N_TENSORS] = { 0 };
  PwCudnnNode nodes[ROWS_MAX];
  PwCudnnGraph graph = { .tensors = made, .n_tensors = N_TENSORS, .nodes = nodes };
  for (int i = 1; i < N_TENSORS; i++)
    made[i] = make_tensor (i, a);
  graph.n_nodes = is_gradient
                      ? take_nodes (gradient, G_N_ELEMENTS (gradient), a->causal, nodes)
                      : take_nodes (forward, G_N_ELEMENTS (forward), a->causal, nodes);
  return pw__cudnn_plan_new (calls, handle, &graph, WORKSPACE_MAX);
}

/* ---- What a stream keeps ---- */

struct PwCudaCudnn {
  const PwCudnnCalls *calls;
  cudnnHandle_t handle; /* made for the first attention: it loads the large libraries */
  gboolean is_tried;
  GHashTable *plans; /* Key -> PwCudnnPlan or NULL, which is remembered too */
};

/* All ints, and no gaps: keys are compared as bytes. */
typedef struct {
  PwCudaAttention attention;
  int64_t is_gradient;
} Key;
G_STATIC_ASSERT (sizeof (Key) == 2 * sizeof (int) + 5 * sizeof (int64_t));

static guint
key_hash (gconstpointer key) {
  const unsigned char *bytes = key;
  guint hash = 2166136261u; /* FNV-1a */
  for (gsize i = 0; i < sizeof (Key); i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static gboolean
key_equal (gconstpointer a, gconstpointer b) {
  return memcmp (a, b, sizeof (Key)) == 0;
}

static void
plan_free (gpointer plan) {
  pw__cudnn_plan_free (plan);
}

void
pw__cudnn_attention_open (PwStream *stream) {
  const PwCudnnCalls *calls = pw__cudnn_calls ();
  if (!calls)
    return;
  stream->cudnn = g_new0 (PwCudaCudnn, 1);
  stream->cudnn->calls = calls;
  stream->cudnn->plans = g_hash_table_new_full (key_hash, key_equal, g_free, plan_free);
}

void
pw__cudnn_attention_close (PwStream *stream) {
  PwCudaCudnn *cudnn = g_steal_pointer (&stream->cudnn);
  if (!cudnn)
    return;
  g_hash_table_unref (cudnn->plans);
  if (cudnn->handle)
    cudnn->calls->destroy (cudnn->handle);
  g_free (cudnn);
}

static gboolean
has_handle (PwStream *stream) {
  PwCudaCudnn *cudnn = stream->cudnn;
  if (cudnn->is_tried)
    return cudnn->handle != NULL;
  cudnn->is_tried = TRUE;
  if (cudnn->calls->create (&cudnn->handle) != CUDNN_STATUS_SUCCESS)
    cudnn->handle = NULL;
  else if (cudnn->calls->set_stream (cudnn->handle, stream->stream) != CUDNN_STATUS_SUCCESS) {
    cudnn->calls->destroy (cudnn->handle);
    cudnn->handle = NULL;
  }
  return cudnn->handle != NULL;
}

/* What no engine takes is not asked for. A head's first element must stand at a multiple of 16
 * bytes. */
static gboolean
may_take (const PwCudaAttention *a) {
  int64_t width = a->features / a->heads;
  return a->type != PW_CUDA_F32 && width % 8 == 0 && width <= WIDTH_MAX && a->tokens > 1;
}

/* Before 9.16 a gradient over keys that fill no whole tile needs lengths to be given, too. */
static gboolean
may_take_gradient (const PwCudnnCalls *calls, const PwCudaAttention *a) {
  return a->tokens % 128 == 0 || calls->get_version () >= 91600;
}

const PwCudnnPlan *
pw__cudnn_attention_plan (PwOpContext *context, const PwCudaAttention *attention,
                          gboolean is_gradient) {
  PwCudaCudnn *cudnn = context->stream->cudnn;
  if (!cudnn || !may_take (attention)
      || (is_gradient && !may_take_gradient (cudnn->calls, attention))
      || !has_handle (context->stream))
    return NULL;
  const Key key = { .attention = *attention, .is_gradient = is_gradient };
  gpointer known;
  if (g_hash_table_lookup_extended (cudnn->plans, &key, NULL, &known))
    return known;
  PwCudnnPlan *plan = compile (cudnn->calls, cudnn->handle, attention, is_gradient);
  g_hash_table_insert (cudnn->plans, g_memdup2 (&key, sizeof key), plan);
  return plan;
}

/* The gradient's delta lies before the library's part. */
static gsize
delta_bytes (const PwCudaAttention *a) {
  gsize bytes = (gsize)(a->batch * a->heads * a->tokens) * sizeof (float);
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

gsize
pw__cudnn_attention_workspace (PwOpContext *context, const PwCudaAttention *attention) {
  const PwCudnnPlan *there = pw__cudnn_attention_plan (context, attention, FALSE);
  const PwCudnnPlan *back = pw__cudnn_attention_plan (context, attention, TRUE);
  gsize bytes_there = there ? pw__cudnn_plan_workspace (there) : 0;
  gsize bytes_back = back ? delta_bytes (attention) + pw__cudnn_plan_workspace (back) : 0;
  return MAX (bytes_there, bytes_back);
}

static gboolean
run (PwOpContext *context, const char *op, const PwCudnnPlan *plan, void *const *pointers,
     void *workspace, GError **error) {
  const PwCudnnCalls *calls = context->stream->cudnn->calls;
  for (int i = 1; i < N_TENSORS; i++)
    g_assert (tensors[i].place == ON_HOST || (uintptr_t)pointers[i] % 16 == 0);
  cudnnStatus_t status = pw__cudnn_plan_run (plan, pointers, workspace);
  if (status == CUDNN_STATUS_SUCCESS)
    return TRUE;
  char words[512] = "";
  calls->get_last_error_string (words, sizeof words);
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY,
               "rank %d, layer %d: %s: cuDNN: %s%s%s", context->rank, context->layer, op,
               calls->get_error_string (status), words[0] ? ": " : "", words);
  return FALSE;
}

/* A third of each row of qkv. */
static void *
third (const PwCudaAttention *a, const void *qkv, int64_t i) {
  return (char *)(uintptr_t)qkv + i * a->features * 2;
}

gboolean
pw__cudnn_attention_forward (PwOpContext *context, const PwCudnnPlan *plan,
                             const PwCudaAttention *a, const void *qkv, void *y, float *lse,
                             PwWorkspace workspace, GError **error) {
  float scale = (float)(1 / sqrt ((double)(a->features / a->heads))), least = -INFINITY;
  void *pointers[N_TENSORS] = { [Q] = third (a, qkv, 0), [K_T] = third (a, qkv, 1),
                                [V] = third (a, qkv, 2), [Y] = y,
                                [LSE] = lse,             [SCALE] = &scale,
                                [LEAST] = &least };
  g_assert (workspace.bytes >= pw__cudnn_plan_workspace (plan));
  return run (context, "attention_forward", plan, pointers, workspace.data, error);
}

gboolean
pw__cudnn_attention_gradient (PwOpContext *context, const PwCudnnPlan *plan,
                              const PwCudaAttention *a, const void *qkv, const void *y,
                              const float *lse, const void *dy, void *dqkv, PwWorkspace workspace,
                              GError **error) {
  float scale = (float)(1 / sqrt ((double)(a->features / a->heads))), least = -INFINITY, one = 1;
  void *pointers[N_TENSORS] = {
    [Q] = third (a, qkv, 0),   [K_T] = third (a, qkv, 1),
    [V_T] = third (a, qkv, 2), [Y] = (void *)(uintptr_t)y,
    [DY] = (void *)(uintptr_t)dy, [LSE] = (void *)(uintptr_t)lse,
    [DQ] = third (a, dqkv, 0), [DK] = third (a, dqkv, 1),
    [DV] = third (a, dqkv, 2), [DELTA] = workspace.data,
    [SCALE] = &scale,          [LEAST] = &least,
    [ONE] = &one
  };
  g_assert (workspace.bytes >= delta_bytes (a) + pw__cudnn_plan_workspace (plan));
  return run (context, "attention_input_gradient", plan, pointers,
              (char *)workspace.data + delta_bytes (a), error);
}
