/* LayerNorm and, where CENTRED is false, RMSNorm. A row of up to NARROW features belongs to one
 * warp, four rows to a block; a longer one to a block (WIDE). A thread's packs of a row are always
 * the same, so the gradient's sums over the rows that a warp meets need no synchronisation: they
 * lie in shared memory, go to the workspace as one part per block, and a second kernel adds the
 * parts up in their order. */
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/sums.cuh"

static constexpr int64_t NARROW = 1024;
static constexpr int THREADS_NARROW = 128, THREADS_WIDE = 256;
static constexpr int COLUMNS = 32, GROUPS = 8; /* of a block that adds parts up */
static constexpr int64_t PART_ROWS = 8;        /* at least, or writing parts would cost more */
static constexpr int64_t PARTS = 256;          /* at most */

/* The packs of a row that this thread works on. */
template <bool WIDE> struct Place {
  int64_t first = (int64_t)(WIDE ? threadIdx.x : threadIdx.x % 32) * PW_PACK;
  int64_t step = (WIDE ? THREADS_WIDE : 32) * PW_PACK;
};

template <bool WIDE>
static __device__ float
row_sum (float x, float *shared) {
  return WIDE ? block_sum (x, shared) : warp_sum (x);
}

template <bool WIDE, typename T>
static __device__ float
row_mean (const T *x, int64_t n, bool aligned, float *shared) {
  Place<WIDE> place;
  float v[PW_PACK], sum = 0;
  for (int64_t at = place.first; at < n; at += place.step) {
    load (x, at, n, aligned, v);
    sum += (v[0] + v[1]) + (v[2] + v[3]);
  }
  return row_sum<WIDE> (sum, shared) / (float)n;
}

/* The mean of (x - mean)^2. */
template <bool WIDE, typename T>
static __device__ float
row_square_mean (const T *x, float mean, int64_t n, bool aligned, float *shared) {
  Place<WIDE> place;
  float v[PW_PACK], sum = 0;
  for (int64_t at = place.first; at < n; at += place.step) {
    load (x, at, n, aligned, v);
    for (int i = 0; i < PW_PACK; i++)
      if (at + i < n)
        sum = fmaf (v[i] - mean, v[i] - mean, sum);
  }
  return row_sum<WIDE> (sum, shared) / (float)n;
}

template <bool CENTRED, bool WIDE, typename T>
static __global__ void
norm_forward (const T *x, const T *gain, const T *bias, float epsilon, T *y, float *mean,
              float *rstd, int64_t rows, int64_t n, bool aligned) {
  __shared__ float shared[THREADS_WIDE / 32];
  int64_t row = WIDE ? blockIdx.x : (int64_t)blockIdx.x * (THREADS_NARROW / 32) + threadIdx.x / 32;
  if (row >= rows)
    return;
  x += row * n;
  y += row * n;
  float m = CENTRED ? row_mean<WIDE> (x, n, aligned, shared) : 0.0f;
  float r = 1.0f / sqrtf (row_square_mean<WIDE> (x, m, n, aligned, shared) + epsilon);
  Place<WIDE> place;
  float v[PW_PACK], g[PW_PACK], b[PW_PACK] = { 0 };
  for (int64_t at = place.first; at < n; at += place.step) {
    load (x, at, n, aligned, v);
    load (gain, at, n, aligned, g);
    if (CENTRED)
      load (bias, at, n, aligned, b);
    for (int i = 0; i < PW_PACK; i++)
      v[i] = fmaf ((v[i] - m) * r, g[i], b[i]);
    store (y, at, n, aligned, v);
  }
  if (place.first == 0) {
    if (CENTRED)
      mean[row] = m;
    rstd[row] = r;
  }
}

/* One row of what the gradient reads. */
template <typename T> struct Row {
  const T *x, *gain, *dy;
  float mean, rstd;
  int64_t n;
  bool aligned;
};

/* x^, dy and g dy of the pack at AT. */
template <typename T>
static __device__ void
load_row (const Row<T> &row, int64_t at, float normal[PW_PACK], float dy[PW_PACK],
          float gdy[PW_PACK]) {
  float v[PW_PACK], g[PW_PACK];
  load (row.x, at, row.n, row.aligned, v);
  load (row.gain, at, row.n, row.aligned, g);
  load (row.dy, at, row.n, row.aligned, dy);
  for (int i = 0; i < PW_PACK; i++) {
    normal[i] = (v[i] - row.mean) * row.rstd;
    gdy[i] = g[i] * dy[i];
  }
}

/* dx = rstd (g dy - mean (g dy) - x^ mean (g dy x^)); RMSNorm has no first mean. */
template <bool CENTRED, bool WIDE, typename T>
static __device__ void
row_gradient (const Row<T> &row, T *dx, float *shared) {
  Place<WIDE> place;
  float normal[PW_PACK], dy[PW_PACK], gdy[PW_PACK], plain = 0, weighted = 0;
  for (int64_t at = place.first; at < row.n; at += place.step) {
    load_row (row, at, normal, dy, gdy);
    for (int i = 0; i < PW_PACK; i++) {
      plain += gdy[i];
      weighted = fmaf (gdy[i], normal[i], weighted);
    }
  }
  plain = CENTRED ? row_sum<WIDE> (plain, shared) / (float)row.n : 0.0f;
  weighted = row_sum<WIDE> (weighted, shared) / (float)row.n;
  for (int64_t at = place.first; at < row.n; at += place.step) {
    load_row (row, at, normal, dy, gdy);
    for (int i = 0; i < PW_PACK; i++)
      gdy[i] = (gdy[i] - plain - normal[i] * weighted) * row.rstd;
    store (dx, at, row.n, row.aligned, gdy);
  }
}

/* Adds a row to this warp's or block's sums: of dy x^ and, behind them, of dy. */
template <bool CENTRED, bool WIDE, typename T>
static __device__ void
add_row (const Row<T> &row, float *gain_sums, int64_t width) {
  Place<WIDE> place;
  float normal[PW_PACK], dy[PW_PACK], gdy[PW_PACK], sum[PW_PACK];
  for (int64_t at = place.first; at < row.n; at += place.step) {
    load_row (row, at, normal, dy, gdy);
    load (gain_sums, at, width, true, sum);
    for (int i = 0; i < PW_PACK; i++)
      sum[i] = fmaf (dy[i], normal[i], sum[i]);
    store (gain_sums, at, width, true, sum);
    if (!CENTRED)
      continue;
    load (gain_sums + width, at, width, true, sum);
    for (int i = 0; i < PW_PACK; i++)
      sum[i] += dy[i];
    store (gain_sums + width, at, width, true, sum);
  }
}

/* WIDTH: n, rounded up to whole packs; a part is a row of gain's sums and one of bias's. */
template <bool CENTRED, bool WIDE, typename T>
static __global__ void
norm_gradient (const T *x, const T *gain, const float *mean, const float *rstd, const T *dy, T *dx,
               float *parts, int64_t rows, int64_t rows_per_block, int64_t n, int64_t width,
               bool aligned) {
  extern __shared__ float4 all_sums[];
  __shared__ float shared[THREADS_WIDE / 32];
  constexpr int warps = WIDE ? 1 : THREADS_NARROW / 32;
  int warp = WIDE ? 0 : (int)threadIdx.x / 32;
  int64_t part = width * (CENTRED ? 2 : 1);
  float *sums = (float *)all_sums;
  for (int64_t i = threadIdx.x; i < warps * part; i += blockDim.x)
    sums[i] = 0;
  __syncthreads ();
  int64_t first = (int64_t)blockIdx.x * rows_per_block, end = first + rows_per_block;
  for (int64_t at = first + warp; at < end && at < rows; at += warps) {
    Row<T> row = { x + at * n, gain, dy + at * n, CENTRED ? mean[at] : 0.0f, rstd[at], n, aligned };
    if (dx != nullptr)
      row_gradient<CENTRED, WIDE> (row, dx + at * n, shared);
    add_row<CENTRED, WIDE> (row, sums + warp * part, width);
  }
  __syncthreads ();
  for (int64_t i = threadIdx.x; i < part; i += blockDim.x) {
    float sum = sums[i];
    for (int w = 1; w < warps; w++)
      sum += sums[w * part + i];
    parts[blockIdx.x * part + i] = sum;
  }
}

/* A thread adds up every GROUPS-th part of its column, then the groups are added up. */
static __global__ void
add_norm_parts (const float *parts, int64_t n_parts, int64_t n, int64_t width, int64_t part,
                float *dgain, float *dbias) {
  __shared__ float groups[GROUPS][COLUMNS];
  int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
  float sum = 0;
  for (int64_t p = threadIdx.y; column < part && p < n_parts; p += GROUPS)
    sum += parts[p * part + column];
  groups[threadIdx.y][threadIdx.x] = sum;
  __syncthreads ();
  if (threadIdx.y != 0)
    return;
  for (int g = 1; g < GROUPS; g++)
    sum += groups[g][threadIdx.x];
  if (column < n)
    dgain[column] += sum;
  else if (dbias != nullptr && column >= width && column - width < n)
    dbias[column - width] += sum;
}

template <bool CENTRED, bool WIDE, typename T>
static cudaError_t
launch_forward (const T *x, const T *gain, const T *bias, float epsilon, T *y, float *mean,
                float *rstd, int64_t rows, int64_t n, cudaStream_t stream) {
  constexpr int threads = WIDE ? THREADS_WIDE : THREADS_NARROW, per_block = WIDE ? 1 : threads / 32;
  bool aligned = n % PW_PACK == 0 && is_aligned (x, gain, y) && (!CENTRED || is_aligned (bias));
  unsigned blocks = (unsigned)((rows + per_block - 1) / per_block);
  norm_forward<CENTRED, WIDE, T>
      <<<blocks, threads, 0, stream>>> (x, gain, bias, epsilon, y, mean, rstd, rows, n, aligned);
  return cudaGetLastError ();
}

template <bool CENTRED>
static cudaError_t
forward (PwCudaType type, const void *x, const void *gain, const void *bias, float epsilon, void *y,
         float *mean, float *rstd, int64_t rows, int64_t n, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    auto launch
        = n <= NARROW ? launch_forward<CENTRED, false, T> : launch_forward<CENTRED, true, T>;
    return launch ((const T *)x, (const T *)gain, (const T *)bias, epsilon, (T *)y, mean, rstd,
                   rows, n, stream);
  });
}

int64_t
pw__cuda_norm_parts (int64_t rows) {
  int64_t parts = (rows + PART_ROWS - 1) / PART_ROWS;
  return parts < PARTS ? parts : PARTS;
}

int64_t
pw__cuda_norm_part_floats (int64_t features) {
  return 2 * ((features + PW_PACK - 1) / PW_PACK * PW_PACK);
}

template <bool CENTRED, bool WIDE, typename T>
static cudaError_t
launch_gradient (const T *x, const T *gain, const float *mean, const float *rstd, const T *dy,
                 T *dx, float *dgain, float *dbias, int64_t rows, int64_t n, float *parts,
                 cudaStream_t stream) {
  constexpr int threads = WIDE ? THREADS_WIDE : THREADS_NARROW, warps = WIDE ? 1 : threads / 32;
  bool aligned = n % PW_PACK == 0 && is_aligned (x, gain, dy) && (!dx || is_aligned (dx));
  int64_t width = pw__cuda_norm_part_floats (n) / 2, part = width * (CENTRED ? 2 : 1);
  int64_t most = pw__cuda_norm_parts (rows), per_block = (rows + most - 1) / most;
  int64_t blocks = (rows + per_block - 1) / per_block;
  size_t bytes = (size_t)(warps * part) * sizeof (float);
  if (bytes > 48 * 1024) { /* more must be asked for */
    cudaError_t code
        = cudaFuncSetAttribute ((const void *)norm_gradient<CENTRED, WIDE, T>,
                                cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    if (code != cudaSuccess)
      return code;
  }
  norm_gradient<CENTRED, WIDE, T><<<(unsigned)blocks, threads, bytes, stream>>> (
      x, gain, mean, rstd, dy, dx, parts, rows, per_block, n, width, aligned);
  cudaError_t code = cudaGetLastError ();
  if (code != cudaSuccess)
    return code;
  unsigned column_blocks = (unsigned)((part + COLUMNS - 1) / COLUMNS);
  add_norm_parts<<<column_blocks, dim3 (COLUMNS, GROUPS), 0, stream>>> (parts, blocks, n, width,
                                                                          part, dgain, dbias);
  return cudaGetLastError ();
}

template <bool CENTRED>
static cudaError_t
gradient (PwCudaType type, const void *x, const void *gain, const float *mean, const float *rstd,
          const void *dy, void *dx, float *dgain, float *dbias, int64_t rows, int64_t n,
          float *parts, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    auto launch
        = n <= NARROW ? launch_gradient<CENTRED, false, T> : launch_gradient<CENTRED, true, T>;
    return launch ((const T *)x, (const T *)gain, mean, rstd, (const T *)dy, (T *)dx, dgain, dbias,
                   rows, n, parts, stream);
  });
}

cudaError_t
pw__launch_layernorm (PwCudaType type, const void *x, const void *gain, const void *bias,
                      float epsilon, void *y, float *mean, float *rstd, int64_t rows,
                      int64_t features, cudaStream_t stream) {
  return forward<true> (type, x, gain, bias, epsilon, y, mean, rstd, rows, features, stream);
}

cudaError_t
pw__launch_layernorm_gradient (PwCudaType type, const void *x, const void *gain, const float *mean,
                               const float *rstd, const void *dy, void *dx, float *dgain,
                               float *dbias, int64_t rows, int64_t features, float *parts,
                               cudaStream_t stream) {
  return gradient<true> (type, x, gain, mean, rstd, dy, dx, dgain, dbias, rows, features, parts,
                         stream);
}

cudaError_t
pw__launch_rmsnorm (PwCudaType type, const void *x, const void *gain, float epsilon, void *y,
                    float *rstd, int64_t rows, int64_t features, cudaStream_t stream) {
  return forward<false> (type, x, gain, nullptr, epsilon, y, nullptr, rstd, rows, features, stream);
}

cudaError_t
pw__launch_rmsnorm_gradient (PwCudaType type, const void *x, const void *gain, const float *rstd,
                             const void *dy, void *dx, float *dgain, int64_t rows, int64_t features,
                             float *parts, cudaStream_t stream) {
  return gradient<false> (type, x, gain, nullptr, rstd, dy, dx, dgain, nullptr, rows, features,
                          parts, stream);
}
