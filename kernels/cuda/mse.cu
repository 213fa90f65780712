/* The squared error: targets may stay fp32 where the model computes in a half type. */
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/sums.cuh"

template <typename T, typename U>
static __global__ void
sum_square_differences (const T *x, const U *targets, int64_t n, bool aligned, double *parts) {
  __shared__ double shared[SUM_THREADS / 32];
  float v[PW_PACK], t[PW_PACK];
  double sum = 0;
  int64_t step = (int64_t)gridDim.x * SUM_THREADS * PW_PACK;
  for (int64_t at = ((int64_t)blockIdx.x * SUM_THREADS + threadIdx.x) * PW_PACK; at < n;
       at += step) {
    load (x, at, n, aligned, v);
    load (targets, at, n, aligned, t);
    for (int i = 0; i < PW_PACK; i++) {
      double d = (double)v[i] - (double)t[i];
      sum = fma (d, d, sum);
    }
  }
  sum = block_sum (sum, shared);
  if (threadIdx.x == 0)
    parts[blockIdx.x] = sum;
}

static __global__ void
add_difference_parts (const double *parts, unsigned n, double scale, double *loss) {
  __shared__ double shared[SUM_THREADS / 32];
  add_parts (parts, n, scale, loss, shared);
}

template <typename T, typename U>
static __global__ void
scale_differences (const T *x, const U *targets, float factor, T *dx, int64_t n, bool aligned) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  float v[PW_PACK], t[PW_PACK];
  load (x, at, n, aligned, v);
  load (targets, at, n, aligned, t);
  for (int i = 0; i < PW_PACK; i++)
    v[i] = (v[i] - t[i]) * factor;
  store (dx, at, n, aligned, v);
}

template <typename T, typename U>
static cudaError_t
launch (const T *x, const U *targets, double scale, int64_t n, double *loss, double *parts,
        cudaStream_t stream) {
  unsigned blocks = sum_blocks (n);
  sum_square_differences<T, U><<<blocks, SUM_THREADS, 0, stream>>> (
      x, targets, n, is_aligned (x) && is_aligned (targets), parts);
  add_difference_parts<<<1, SUM_THREADS, 0, stream>>> (parts, blocks, scale, loss);
  return cudaGetLastError ();
}

template <typename T, typename U>
static cudaError_t
launch_gradient (const T *x, const U *targets, float factor, T *dx, int64_t n,
                 cudaStream_t stream) {
  scale_differences<T, U><<<pack_blocks (n), PW_THREADS, 0, stream>>> (
      x, targets, factor, dx, n, is_aligned (x, dx) && is_aligned (targets));
  return cudaGetLastError ();
}

cudaError_t
pw__launch_mse (PwCudaType type, PwCudaType target_type, const void *x, const void *targets,
                double scale, int64_t n, double *loss, double *parts, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    if (target_type == PW_CUDA_F32)
      return launch ((const T *)x, (const float *)targets, scale, n, loss, parts, stream);
    return launch ((const T *)x, (const T *)targets, scale, n, loss, parts, stream);
  });
}

cudaError_t
pw__launch_mse_gradient (PwCudaType type, PwCudaType target_type, const void *x,
                         const void *targets, float factor, void *dx, int64_t n,
                         cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    if (target_type == PW_CUDA_F32)
      return launch_gradient ((const T *)x, (const float *)targets, factor, (T *)dx, n, stream);
    return launch_gradient ((const T *)x, (const T *)targets, factor, (T *)dx, n, stream);
  });
}
