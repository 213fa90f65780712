/* Norms and overflow: squares are summed in double, where no fp32 overflows. */
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/sums.cuh"

template <typename T>
static __global__ void
sum_squares (const T *x, int64_t n, bool aligned, double *parts) {
  __shared__ double shared[SUM_THREADS / 32];
  float v[PW_PACK];
  double sum = 0;
  int64_t step = (int64_t)gridDim.x * SUM_THREADS * PW_PACK;
  for (int64_t at = ((int64_t)blockIdx.x * SUM_THREADS + threadIdx.x) * PW_PACK; at < n;
       at += step) {
    load (x, at, n, aligned, v);
    for (int i = 0; i < PW_PACK; i++)
      sum = fma ((double)v[i], (double)v[i], sum);
  }
  sum = block_sum (sum, shared);
  if (threadIdx.x == 0)
    parts[blockIdx.x] = sum;
}

static __global__ void
add_square_parts (const double *parts, unsigned n, double *sum) {
  __shared__ double shared[SUM_THREADS / 32];
  add_parts (parts, n, 1.0, sum, shared);
}

/* x - x is 0 for a number and NaN for anything else. */
template <typename T>
static __global__ void
find_overflow (const T *x, int64_t n, bool aligned, int32_t *overflow) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  float v[PW_PACK];
  load (x, at, n, aligned, v);
  bool bad = false;
  for (int i = 0; i < PW_PACK; i++)
    bad |= v[i] - v[i] != 0;
  if (bad)
    atomicExch (overflow, 1);
}

int64_t
pw__cuda_sum_parts (int64_t n) {
  return sum_blocks (n);
}

cudaError_t
pw__launch_square_sum (PwCudaType type, const void *x, int64_t n, double *sum, double *parts,
                       cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)x;
    unsigned blocks = sum_blocks (n);
    sum_squares<T><<<blocks, SUM_THREADS, 0, stream>>> (from, n, is_aligned (from), parts);
    add_square_parts<<<1, SUM_THREADS, 0, stream>>> (parts, blocks, sum);
    return cudaGetLastError ();
  });
}

cudaError_t
pw__launch_overflow (PwCudaType type, const void *x, int64_t n, int32_t *overflow,
                     cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)x;
    find_overflow<T>
        <<<pack_blocks (n), PW_THREADS, 0, stream>>> (from, n, is_aligned (from), overflow);
    return cudaGetLastError ();
  });
}
