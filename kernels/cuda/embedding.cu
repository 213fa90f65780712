/* Rows of a table, chosen by tokens. The gradient of a row of the table is a sum over the places
 * where its token stands, in their order: the places are sorted into one segment per token. Which
 * piece of memory a segment gets, and how its places come in at first, may differ from run to run;
 * then they are put in order, so the sums do not. */
#include "kernels/cuda/elements.cuh"

static constexpr int THREADS = 128;

static __device__ bool
is_inside (int32_t token, int64_t vocabulary) {
  return token >= 0 && token < vocabulary;
}

template <typename T>
static __global__ void
gather (const int32_t *tokens, const T *table, T *y, int64_t vocabulary, int64_t n,
        unsigned blocks_per_row, bool aligned, int *flag) {
  int64_t row = blockIdx.x / blocks_per_row;
  int64_t at = ((int64_t)(blockIdx.x % blocks_per_row) * THREADS + threadIdx.x) * PW_PACK;
  int32_t token = tokens[row];
  float v[PW_PACK] = { 0 };
  if (is_inside (token, vocabulary))
    load (table + token * n, at, n, aligned, v);
  else if (at == 0)
    atomicOr (flag, PW_CUDA_INDEX_TOKEN);
  store (y + row * n, at, n, aligned, v);
}

/* What lies in the workspace. */
struct Segments {
  int *totals;                        /* [2]: places given away, segments begun */
  int *counts;                        /* [vocabulary] */
  int *begins;                        /* [vocabulary] of segments with a place */
  int *arrivals, *unordered, *places; /* [rows] */
  int *owners;                        /* [rows]: tokens, one per segment */
};

static int64_t
segments_init (Segments *segments, void *workspace, int64_t rows, int64_t vocabulary) {
  int *next = (int *)workspace;
  segments->totals = next;
  segments->counts = segments->totals + 2;
  segments->begins = segments->counts + vocabulary;
  segments->arrivals = segments->begins + vocabulary;
  segments->unordered = segments->arrivals + rows;
  segments->places = segments->unordered + rows;
  segments->owners = segments->places + rows;
  return segments->owners + rows - next;
}

static __global__ void
clear_counts (Segments s, int64_t n) {
  int64_t i = (int64_t)blockIdx.x * PW_THREADS + threadIdx.x;
  if (i < n)
    s.totals[i] = 0; /* and the counts behind them */
}

static __global__ void
count_tokens (Segments s, const int32_t *tokens, int64_t rows, int64_t vocabulary, int *flag) {
  int64_t row = (int64_t)blockIdx.x * PW_THREADS + threadIdx.x;
  if (row >= rows)
    return;
  if (is_inside (tokens[row], vocabulary))
    s.arrivals[row] = atomicAdd (&s.counts[tokens[row]], 1);
  else
    atomicOr (flag, PW_CUDA_INDEX_TOKEN);
}

/* The first place of each token to be counted begins its segment. */
static __global__ void
begin_segments (Segments s, const int32_t *tokens, int64_t rows, int64_t vocabulary) {
  int64_t row = (int64_t)blockIdx.x * PW_THREADS + threadIdx.x;
  if (row >= rows || !is_inside (tokens[row], vocabulary) || s.arrivals[row] != 0)
    return;
  int32_t token = tokens[row];
  s.begins[token] = atomicAdd (&s.totals[0], s.counts[token]);
  s.owners[atomicAdd (&s.totals[1], 1)] = token;
}

static __global__ void
fill_segments (Segments s, const int32_t *tokens, int64_t rows, int64_t vocabulary) {
  int64_t row = (int64_t)blockIdx.x * PW_THREADS + threadIdx.x;
  if (row < rows && is_inside (tokens[row], vocabulary))
    s.unordered[s.begins[tokens[row]] + s.arrivals[row]] = (int)row;
}

/* A place's rank is the number of earlier ones in its segment. Even one segment of all places is
 * done in no time: they all count at once. */
static __global__ void
order_segments (Segments s, const int32_t *tokens, int64_t rows, int64_t vocabulary) {
  int64_t row = (int64_t)blockIdx.x * PW_THREADS + threadIdx.x;
  if (row >= rows || !is_inside (tokens[row], vocabulary))
    return;
  int begin = s.begins[tokens[row]], end = begin + s.counts[tokens[row]], rank = 0;
  for (int i = begin; i < end; i++)
    rank += s.unordered[i] < row;
  s.places[begin + rank] = (int)row;
}

template <typename T>
static __global__ void
add_segments (Segments s, const T *dy, float *dtable, int64_t n, unsigned blocks_per_row,
              bool aligned, bool table_aligned) {
  unsigned segment = blockIdx.x / blocks_per_row;
  int64_t at = ((int64_t)(blockIdx.x % blocks_per_row) * THREADS + threadIdx.x) * PW_PACK;
  if (segment >= (unsigned)s.totals[1] || at >= n)
    return;
  int token = s.owners[segment];
  const int *places = s.places + s.begins[token];
  float sum[PW_PACK], d[PW_PACK];
  float *to = dtable + token * n;
  load (to, at, n, table_aligned, sum);
  int count = s.counts[token];
#pragma unroll 4
  for (int i = 0; i < count; i++) {
    load (dy + places[i] * n, at, n, aligned, d);
    for (int k = 0; k < PW_PACK; k++)
      sum[k] += d[k];
  }
  store (to, at, n, table_aligned, sum);
}

static unsigned
row_blocks (int64_t n) {
  return (unsigned)((n + THREADS * PW_PACK - 1) / (THREADS * PW_PACK));
}

cudaError_t
pw__launch_embedding (PwCudaType type, const int32_t *tokens, const void *table, void *y,
                      int64_t rows, int64_t vocabulary, int64_t features, int *flag,
                      cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    unsigned per_row = row_blocks (features);
    bool aligned = features % PW_PACK == 0 && is_aligned ((const T *)table, (T *)y);
    gather<T><<<(unsigned)rows * per_row, THREADS, 0, stream>>> (
        tokens, (const T *)table, (T *)y, vocabulary, features, per_row, aligned, flag);
    return cudaGetLastError ();
  });
}

int64_t
pw__cuda_embedding_workspace_bytes (int64_t rows, int64_t vocabulary) {
  Segments segments;
  return segments_init (&segments, nullptr, rows, vocabulary) * (int64_t)sizeof (int);
}

cudaError_t
pw__launch_embedding_gradient (PwCudaType type, const int32_t *tokens, const void *dy,
                               float *dtable, int64_t rows, int64_t vocabulary, int64_t features,
                               void *workspace, int *flag, cudaStream_t stream) {
  Segments s;
  segments_init (&s, workspace, rows, vocabulary);
  unsigned blocks = (unsigned)((rows + PW_THREADS - 1) / PW_THREADS);
  unsigned clear_blocks = (unsigned)((vocabulary + 2 + PW_THREADS - 1) / PW_THREADS);
  clear_counts<<<clear_blocks, PW_THREADS, 0, stream>>> (s, vocabulary + 2);
  count_tokens<<<blocks, PW_THREADS, 0, stream>>> (s, tokens, rows, vocabulary, flag);
  begin_segments<<<blocks, PW_THREADS, 0, stream>>> (s, tokens, rows, vocabulary);
  fill_segments<<<blocks, PW_THREADS, 0, stream>>> (s, tokens, rows, vocabulary);
  order_segments<<<blocks, PW_THREADS, 0, stream>>> (s, tokens, rows, vocabulary);
  cudaError_t code = cudaGetLastError ();
  if (code != cudaSuccess)
    return code;
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    unsigned per_row = row_blocks (features);
    bool whole = features % PW_PACK == 0;
    unsigned segments = (unsigned)(rows < vocabulary ? rows : vocabulary); /* at most */
    add_segments<T><<<segments * per_row, THREADS, 0, stream>>> (
        s, (const T *)dy, dtable, features, per_row, whole && is_aligned ((const T *)dy),
        whole && is_aligned (dtable));
    return cudaGetLastError ();
  });
}
