/* Attention that never stores the scores (FlashAttention-2, 2307.08691). A block owns a tile of rows
 * of one head and walks over tiles of the other side; scores live in registers, and in shared
 * memory only to change hands between two products:
 *
 *   forward   owns queries, walks over keys      y = softmax (q k^T) v, with a running maximum
 *   dq        owns queries, walks over keys      dq = ds k
 *   dk, dv    owns keys, walks over queries      dv = p^T dy,  dk = ds^T q
 *
 * The gradient makes p = exp (s - lse) again; ds = scale p (dy v^T - delta) with delta = dy . y of
 * the row. The two gradient kernels make the same scores each: that is what it costs to need no
 * atomic sums, so that equal inputs give equal bits.
 *
 * q, k and v are read where they lie, rows 3 C apart. Whatever the type, arithmetic is fp32. Scores
 * are kept in units of log 2, so that exponentials are exp2.
 *
 * 256 threads are a square of 16 x 16: thread (x, y) has rows y R .. y R + R-1 of the tile, of
 * scores columns x, x + 16, .., of results columns 4 x .. 4 x + 3, 64 + 4 x, .. Rows in shared
 * memory are 4 floats longer than they need be: then 8 threads read 8 rows from different banks. */
#include <float.h>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/lengths.cuh"
#include "kernels/cuda/sums.cuh"

static constexpr int SIDE = 16;
static constexpr int THREADS = SIDE * SIDE;
static constexpr float LOG2_E = 1.4426950408889634f;
static constexpr float LN_2 = 0.6931471805599453f;

/* Own rows per block and walked rows per step, for heads up to WIDTH wide. */
template <int WIDTH_, int ROWS_, int STEP_> struct Tiles {
  static constexpr int WIDTH = WIDTH_, ROWS = ROWS_, STEP = STEP_;
  static constexpr int LINE = WIDTH + 4;      /* between rows of a tile of q, k, v, dy */
  static constexpr int SCORE_LINE = STEP + 4; /* between rows of scores */
  static constexpr int R = ROWS / SIDE;       /* rows of a thread */
  static constexpr int S = STEP / SIDE;       /* its columns of scores */
  static constexpr int W = WIDTH / SIDE;      /* its columns of results */
  static constexpr size_t
  bytes (int own_tiles) {
    return sizeof (float) * (size_t)((own_tiles * ROWS + STEP) * LINE + ROWS * SCORE_LINE);
  }
};

struct Shape {
  int64_t heads, tokens, width; /* of a head */
  const int32_t *lengths;       /* of the sequences; NULL: all are `tokens` */
  int *flag;
  int64_t length;               /* of the block's own sequence: tokens behind are padding */
  int64_t row_qkv, row_y;       /* between tokens */
  bool causal, aligned;
  float scale; /* 1 / sqrt (width) */
};

/* One head of one sequence. */
template <typename T> struct Head {
  const T *q, *k, *v;
  int64_t at_qkv, at_y, at_row; /* of its first element in qkv, y and lse */
};

template <typename T>
static __device__ Head<T>
head_at (Shape &shape, const T *qkv, unsigned index) {
  int64_t sequence = index / shape.heads, head = index % shape.heads;
  shape.length = shape.tokens;
  if (shape.lengths != nullptr)
    shape.length = length_of (shape.lengths, sequence, shape.tokens, shape.flag);
  Head<T> result;
  result.at_qkv = sequence * shape.tokens * shape.row_qkv + head * shape.width;
  result.at_y = sequence * shape.tokens * shape.row_y + head * shape.width;
  result.at_row = (int64_t)index * shape.tokens;
  result.q = qkv + result.at_qkv;
  result.k = result.q + shape.row_y;
  result.v = result.k + shape.row_y;
  return result;
}

/* Rows FIRST .. FIRST + ROWS-1 of FROM; 0 beyond the sequence's end and the head's width. */
template <int ROWS, int WIDTH, typename T>
static __device__ void
load_tile (const Shape &shape, const T *from, int64_t row_stride, int64_t first, float *tile) {
  constexpr int PACKS = WIDTH / PW_PACK;
  for (int i = (int)threadIdx.x; i < ROWS * PACKS; i += THREADS) {
    int row = i / PACKS, column = i % PACKS * PW_PACK;
    float x[PW_PACK] = { 0 };
    if (first + row < shape.length)
      load (from + (first + row) * row_stride, column, shape.width, shape.aligned, x);
    *(float4 *)(tile + row * (WIDTH + 4) + column) = make_float4 (x[0], x[1], x[2], x[3]);
  }
}

static __device__ inline float
dot (float4 a, float4 b, float sum) {
  sum = fmaf (a.x, b.x, sum);
  sum = fmaf (a.y, b.y, sum);
  sum = fmaf (a.z, b.z, sum);
  return fmaf (a.w, b.w, sum);
}

/* scores[R][S] = own walked^T */
template <typename C>
static __device__ void
multiply (const float *own, const float *walked, float scores[C::R][C::S]) {
  const float *a = own + threadIdx.x / SIDE * C::R * C::LINE;
  const float *b = walked + threadIdx.x % SIDE * C::LINE;
  for (int i = 0; i < C::R; i++)
    for (int j = 0; j < C::S; j++)
      scores[i][j] = 0;
#pragma unroll 4
  for (int d = 0; d < C::WIDTH; d += 4) {
    float4 x[C::R], y[C::S];
    for (int i = 0; i < C::R; i++)
      x[i] = *(const float4 *)(a + i * C::LINE + d);
    for (int j = 0; j < C::S; j++)
      y[j] = *(const float4 *)(b + j * SIDE * C::LINE + d);
    for (int i = 0; i < C::R; i++)
      for (int j = 0; j < C::S; j++)
        scores[i][j] = dot (x[i], y[j], scores[i][j]);
  }
}

template <typename C>
static __device__ void
share (const float scores[C::R][C::S], float *shared) {
  float *to = shared + threadIdx.x / SIDE * C::R * C::SCORE_LINE + threadIdx.x % SIDE;
  for (int i = 0; i < C::R; i++)
    for (int j = 0; j < C::S; j++)
      to[i * C::SCORE_LINE + j * SIDE] = scores[i][j];
}

/* sums[R][W] += shared scores times the walked tile */
template <typename C>
static __device__ void
mix (const float *shared, const float *walked, float sums[C::R][C::W]) {
  const float *a = shared + threadIdx.x / SIDE * C::R * C::SCORE_LINE;
  const float *b = walked + threadIdx.x % SIDE * 4;
#pragma unroll 2
  for (int s = 0; s < C::STEP; s += 4) {
    float x[C::R][4];
    for (int i = 0; i < C::R; i++) {
      float4 four = *(const float4 *)(a + i * C::SCORE_LINE + s);
      x[i][0] = four.x, x[i][1] = four.y, x[i][2] = four.z, x[i][3] = four.w;
    }
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int w = 0; w < C::W; w += 4) {
        float4 y = *(const float4 *)(b + (s + k) * C::LINE + w * SIDE);
        for (int i = 0; i < C::R; i++) {
          sums[i][w] = fmaf (x[i][k], y.x, sums[i][w]);
          sums[i][w + 1] = fmaf (x[i][k], y.y, sums[i][w + 1]);
          sums[i][w + 2] = fmaf (x[i][k], y.z, sums[i][w + 2]);
          sums[i][w + 3] = fmaf (x[i][k], y.w, sums[i][w + 3]);
        }
      }
  }
}

/* Row I of this thread, times FACTOR, to a row of a tensor. */
template <typename C, typename T>
static __device__ void
store_row (const Shape &shape, const float sums[C::W], float factor, T *to) {
#pragma unroll
  for (int w = 0; w < C::W; w += 4) {
    float x[PW_PACK];
    for (int c = 0; c < PW_PACK; c++)
      x[c] = sums[w + c] * factor;
    store (to, w * SIDE + threadIdx.x % SIDE * 4, shape.width, shape.aligned, x);
  }
}

/* Over the 16 threads that share rows. */
static __device__ inline float
row_greatest (float x) {
  for (int offset = SIDE / 2; offset > 0; offset >>= 1)
    x = fmaxf (x, __shfl_xor_sync (0xffffffffu, x, offset));
  return x;
}

static __device__ inline float
row_sum (float x) {
  for (int offset = SIDE / 2; offset > 0; offset >>= 1)
    x += __shfl_xor_sync (0xffffffffu, x, offset);
  return x;
}

static __device__ inline bool
sees (const Shape &shape, int64_t query, int64_t key) {
  return query < shape.length && key < shape.length && (!shape.causal || key <= query);
}

/* Where a walk over keys ends for queries FIRST .. FIRST + rows-1. */
static __device__ inline int64_t
keys_end (const Shape &shape, int64_t first, int rows) {
  if (first >= shape.length)
    return 0;
  return shape.causal && first + rows < shape.length ? first + rows : shape.length;
}

/* Of causal rows the last tiles have most to do: they are begun first. */
template <typename C>
static __device__ int64_t
query_tile (const Shape &shape) {
  return (int64_t)(shape.causal ? gridDim.y - 1 - blockIdx.y : blockIdx.y) * C::ROWS;
}

/* What a thread knows of its rows while the walk lasts: the greatest score, its own part of the
 * sum, the unfinished results. */
template <typename C> struct Running {
  float greatest[C::R], sum[C::R], y[C::R][C::W];
};

/* Turns scores to exp2 (score - greatest); what was summed up with a smaller maximum shrinks. */
template <typename C>
static __device__ void
softmax_step (const Shape &shape, int64_t first_query, int64_t first_key,
              float scores[C::R][C::S], Running<C> &running) {
  int64_t query = first_query + threadIdx.x / SIDE * C::R, key = first_key + threadIdx.x % SIDE;
  for (int i = 0; i < C::R; i++) {
    float greatest = running.greatest[i];
    for (int j = 0; j < C::S; j++) {
      /* Rows beyond the sequence's end compute what nobody reads. */
      bool seen = key + j * SIDE < shape.length && (!shape.causal || key + j * SIDE <= query + i);
      scores[i][j] = seen ? scores[i][j] * (shape.scale * LOG2_E) : -INFINITY;
      greatest = fmaxf (greatest, scores[i][j]);
    }
    greatest = row_greatest (greatest);
    float shrink = exp2f (running.greatest[i] - greatest);
    running.greatest[i] = greatest;
    running.sum[i] *= shrink;
#pragma unroll
    for (int w = 0; w < C::W; w++)
      running.y[i][w] *= shrink;
    for (int j = 0; j < C::S; j++) {
      scores[i][j] = exp2f (scores[i][j] - greatest);
      running.sum[i] += scores[i][j];
    }
  }
}

template <typename C, typename T>
static __global__ void __launch_bounds__ (THREADS)
attend (Shape shape, const T *qkv, T *y, float *lse) {
  extern __shared__ float4 memory[];
  float *own = (float *)memory, *walked = own + C::ROWS * C::LINE;
  float *shared = walked + C::STEP * C::LINE;
  Head<T> head = head_at (shape, qkv, blockIdx.x);
  int64_t first = query_tile<C> (shape), end = keys_end (shape, first, C::ROWS);
  Running<C> running;
  for (int i = 0; i < C::R; i++) {
    running.greatest[i] = -FLT_MAX;
    running.sum[i] = 0;
#pragma unroll
    for (int w = 0; w < C::W; w++)
      running.y[i][w] = 0;
  }
  load_tile<C::ROWS, C::WIDTH> (shape, head.q, shape.row_qkv, first, own);
  for (int64_t key = 0; key < end; key += C::STEP) {
    float scores[C::R][C::S];
    load_tile<C::STEP, C::WIDTH> (shape, head.k, shape.row_qkv, key, walked);
    __syncthreads ();
    multiply<C> (own, walked, scores);
    softmax_step<C> (shape, first, key, scores, running);
    share<C> (scores, shared);
    __syncthreads ();
    load_tile<C::STEP, C::WIDTH> (shape, head.v, shape.row_qkv, key, walked);
    __syncthreads ();
    mix<C> (shared, walked, running.y);
    __syncthreads ();
  }
#pragma unroll
  for (int i = 0; i < C::R; i++) {
    int64_t row = first + threadIdx.x / SIDE * C::R + i;
    float sum = row_sum (running.sum[i]);
    if (row >= shape.tokens)
      continue;
    const bool is_padding = row >= shape.length;
    if (is_padding)
      for (int w = 0; w < C::W; w++)
        running.y[i][w] = 0;
    store_row<C> (shape, running.y[i], is_padding ? 0.0f : 1.0f / sum,
                  y + head.at_y + row * shape.row_y);
    if (threadIdx.x % SIDE == 0)
      lse[head.at_row + row] = is_padding ? 0.0f : (running.greatest[i] + log2f (sum)) * LN_2;
  }
}

/* delta = dy . y of each row of each head, a warp each. */
template <typename T>
static __global__ void
sum_rows (Shape shape, const T *y, const T *dy, int64_t n, float *delta) {
  int64_t index = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
  if (index >= n)
    return;
  int64_t token = index % shape.tokens, head = index / shape.tokens;
  int64_t at = (head / shape.heads * shape.tokens + token) * shape.row_y
               + head % shape.heads * shape.width;
  float sum = 0;
  for (int64_t d = threadIdx.x % 32 * PW_PACK; d < shape.width; d += 32 * PW_PACK) {
    float a[PW_PACK], b[PW_PACK];
    load (y + at, d, shape.width, shape.aligned, a);
    load (dy + at, d, shape.width, shape.aligned, b);
    for (int i = 0; i < PW_PACK; i++)
      sum = fmaf (a[i], b[i], sum);
  }
  sum = warp_sum (sum);
  if (threadIdx.x % 32 == 0)
    delta[index] = sum;
}

/* exp (score - lse), 0 where the query does not see the key. */
static __device__ inline float
probability (const Shape &shape, int64_t query, int64_t key, float score, float lse) {
  return sees (shape, query, key) ? exp2f ((score * shape.scale - lse) * LOG2_E) : 0.0f;
}

template <typename C, typename T>
static __global__ void __launch_bounds__ (THREADS)
query_gradient (Shape shape, const T *qkv, const T *dy, const float *lse, const float *delta,
                T *dqkv) {
  extern __shared__ float4 memory[];
  float *own_q = (float *)memory, *own_dy = own_q + C::ROWS * C::LINE;
  float *walked = own_dy + C::ROWS * C::LINE, *shared = walked + C::STEP * C::LINE;
  Head<T> head = head_at (shape, qkv, blockIdx.x);
  int64_t first = query_tile<C> (shape), end = keys_end (shape, first, C::ROWS);
  int64_t query = first + threadIdx.x / SIDE * C::R;
  float row_lse[C::R], row_delta[C::R], dq[C::R][C::W];
  for (int i = 0; i < C::R; i++) {
    row_lse[i] = query + i < shape.length ? lse[head.at_row + query + i] : 0.0f;
    row_delta[i] = query + i < shape.length ? delta[head.at_row + query + i] : 0.0f;
#pragma unroll
    for (int w = 0; w < C::W; w++)
      dq[i][w] = 0;
  }
  load_tile<C::ROWS, C::WIDTH> (shape, head.q, shape.row_qkv, first, own_q);
  load_tile<C::ROWS, C::WIDTH> (shape, dy + head.at_y, shape.row_y, first, own_dy);
  for (int64_t key = 0; key < end; key += C::STEP) {
    float p[C::R][C::S], ds[C::R][C::S];
    load_tile<C::STEP, C::WIDTH> (shape, head.v, shape.row_qkv, key, walked);
    __syncthreads ();
    multiply<C> (own_dy, walked, ds);
    __syncthreads ();
    load_tile<C::STEP, C::WIDTH> (shape, head.k, shape.row_qkv, key, walked);
    __syncthreads ();
    multiply<C> (own_q, walked, p);
    for (int i = 0; i < C::R; i++)
      for (int j = 0; j < C::S; j++)
        ds[i][j] = (ds[i][j] - row_delta[i])
                   * probability (shape, query + i, key + threadIdx.x % SIDE + j * SIDE, p[i][j],
                                  row_lse[i]);
    share<C> (ds, shared);
    __syncthreads ();
    mix<C> (shared, walked, dq);
    __syncthreads ();
  }
#pragma unroll
  for (int i = 0; i < C::R; i++)
    if (query + i < shape.tokens)
      store_row<C> (shape, dq[i], shape.scale, dqkv + head.at_qkv + (query + i) * shape.row_qkv);
}

/* The same the other way round: rows are keys, columns queries. */
template <typename C, typename T>
static __global__ void __launch_bounds__ (THREADS)
key_gradient (Shape shape, const T *qkv, const T *dy, const float *lse, const float *delta,
              T *dqkv) {
  extern __shared__ float4 memory[];
  float *own_k = (float *)memory, *own_v = own_k + C::ROWS * C::LINE;
  float *walked = own_v + C::ROWS * C::LINE, *shared = walked + C::STEP * C::LINE;
  Head<T> head = head_at (shape, qkv, blockIdx.x);
  int64_t first = (int64_t)blockIdx.y * C::ROWS, key = first + threadIdx.x / SIDE * C::R;
  float dk[C::R][C::W], dv[C::R][C::W];
  for (int i = 0; i < C::R; i++)
#pragma unroll
    for (int w = 0; w < C::W; w++)
      dk[i][w] = dv[i][w] = 0;
  load_tile<C::ROWS, C::WIDTH> (shape, head.k, shape.row_qkv, first, own_k);
  load_tile<C::ROWS, C::WIDTH> (shape, head.v, shape.row_qkv, first, own_v);
  int64_t begin = shape.causal || first >= shape.length ? first : 0;
  for (int64_t start = begin; start < shape.length; start += C::STEP) {
    float p[C::R][C::S], ds[C::R][C::S];
    load_tile<C::STEP, C::WIDTH> (shape, head.q, shape.row_qkv, start, walked);
    __syncthreads ();
    multiply<C> (own_k, walked, p);
    for (int j = 0; j < C::S; j++) {
      int64_t query = start + threadIdx.x % SIDE + j * SIDE;
      float row_lse = query < shape.length ? lse[head.at_row + query] : 0.0f;
      for (int i = 0; i < C::R; i++)
        p[i][j] = probability (shape, query, key + i, p[i][j], row_lse);
    }
    share<C> (p, shared);
    __syncthreads ();
    load_tile<C::STEP, C::WIDTH> (shape, dy + head.at_y, shape.row_y, start, walked);
    __syncthreads ();
    multiply<C> (own_v, walked, ds);
    mix<C> (shared, walked, dv);
    for (int j = 0; j < C::S; j++) {
      int64_t query = start + threadIdx.x % SIDE + j * SIDE;
      float row_delta = query < shape.length ? delta[head.at_row + query] : 0.0f;
      for (int i = 0; i < C::R; i++)
        ds[i][j] = (ds[i][j] - row_delta) * p[i][j];
    }
    __syncthreads ();
    share<C> (ds, shared);
    load_tile<C::STEP, C::WIDTH> (shape, head.q, shape.row_qkv, start, walked);
    __syncthreads ();
    mix<C> (shared, walked, dk);
    __syncthreads ();
  }
#pragma unroll
  for (int i = 0; i < C::R; i++)
    if (key + i < shape.tokens) {
      T *to = dqkv + head.at_qkv + (key + i) * shape.row_qkv + shape.row_y;
      store_row<C> (shape, dk[i], shape.scale, to);
      store_row<C> (shape, dv[i], 1, to + shape.row_y);
    }
}

/* A kernel over tiles of ROWS rows of all heads, with more shared memory than there is unasked. */
template <typename... Parameters, typename... Arguments>
static cudaError_t
launch_tiles (void (*kernel) (Shape, Parameters...), int rows, size_t bytes, int64_t batch,
              const Shape &shape, cudaStream_t stream, Arguments... arguments) {
  cudaError_t code = cudaFuncSetAttribute ((const void *)kernel,
                                           cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           (int)bytes);
  if (code != cudaSuccess)
    return code;
  dim3 grid ((unsigned)(batch * shape.heads), (unsigned)((shape.tokens + rows - 1) / rows));
  kernel<<<grid, THREADS, bytes, stream>>> (shape, arguments...);
  return cudaGetLastError ();
}

/* The forward owns one tile, the gradients two; so theirs are smaller for wide heads: a block gets
 * 99 KiB on the smallest devices. */
template <typename T, typename Forward>
static cudaError_t
launch_forward (const Shape &shape, int64_t batch, const T *qkv, T *y, float *lse,
                cudaStream_t stream) {
  return launch_tiles (attend<Forward, T>, Forward::ROWS, Forward::bytes (1), batch, shape, stream,
                       qkv, y, lse);
}

template <typename T, typename Gradient>
static cudaError_t
launch_gradient (const Shape &shape, int64_t batch, const T *qkv, const T *y, const float *lse,
                 const T *dy, T *dqkv, float *delta, cudaStream_t stream) {
  int64_t n = batch * shape.heads * shape.tokens, warps = THREADS / 32;
  sum_rows<T><<<(unsigned)((n + warps - 1) / warps), THREADS, 0, stream>>> (shape, y, dy, n, delta);
  cudaError_t code = cudaGetLastError ();
  if (code == cudaSuccess)
    code = launch_tiles (query_gradient<Gradient, T>, Gradient::ROWS, Gradient::bytes (2), batch,
                         shape, stream, qkv, dy, lse, delta, dqkv);
  if (code == cudaSuccess)
    code = launch_tiles (key_gradient<Gradient, T>, Gradient::ROWS, Gradient::bytes (2), batch,
                         shape, stream, qkv, dy, lse, delta, dqkv);
  return code;
}

static Shape
shape_of (int64_t heads, int64_t tokens, int64_t features, bool causal, const int32_t *lengths,
          int *flag) {
  Shape shape;
  shape.lengths = lengths;
  shape.flag = flag;
  shape.length = tokens;
  shape.heads = heads;
  shape.tokens = tokens;
  shape.width = features / heads;
  shape.row_qkv = 3 * features;
  shape.row_y = features;
  shape.causal = causal;
  shape.scale = (float)(1 / sqrt ((double)shape.width));
  return shape;
}

cudaError_t
pw__launch_attention (PwCudaType type, const void *qkv, int64_t batch, int64_t heads,
                      int64_t tokens, int64_t features, int causal, const int32_t *lengths,
                      int *flag, void *y, float *lse, cudaStream_t stream) {
  Shape shape = shape_of (heads, tokens, features, causal != 0, lengths, flag);
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)qkv;
    T *to = (T *)y;
    shape.aligned = shape.width % PW_PACK == 0 && is_aligned (from, to);
    if (shape.width <= 64)
      return launch_forward<T, Tiles<64, 64, 64>> (shape, batch, from, to, lse, stream);
    if (shape.width <= 128)
      return launch_forward<T, Tiles<128, 64, 64>> (shape, batch, from, to, lse, stream);
    return launch_forward<T, Tiles<256, 32, 32>> (shape, batch, from, to, lse, stream);
  });
}

cudaError_t
pw__launch_attention_gradient (PwCudaType type, const void *qkv, int64_t batch, int64_t heads,
                               int64_t tokens, int64_t features, int causal,
                               const int32_t *lengths, int *flag, const void *y, const float *lse,
                               const void *dy, void *dqkv, float *delta, cudaStream_t stream) {
  Shape shape = shape_of (heads, tokens, features, causal != 0, lengths, flag);
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)qkv, *result = (const T *)y, *gradient = (const T *)dy;
    T *to = (T *)dqkv;
    shape.aligned = shape.width % PW_PACK == 0 && is_aligned (from, result, gradient, to);
    if (shape.width <= 64)
      return launch_gradient<T, Tiles<64, 64, 64>> (shape, batch, from, result, lse, gradient, to,
                                                    delta, stream);
    if (shape.width <= 128)
      return launch_gradient<T, Tiles<128, 64, 32>> (shape, batch, from, result, lse, gradient, to,
                                                     delta, stream);
    return launch_gradient<T, Tiles<256, 32, 16>> (shape, batch, from, result, lse, gradient, to,
                                                   delta, stream);
  });
}
