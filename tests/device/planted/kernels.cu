// Kernels for the self-tests of CUDA on the CPU. They use what the backend's kernels use: launches
// with and without a template, static and dynamic shared memory, shuffles, atomics, vectors, bf16.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "tests/device/planted/kernels.h"

__device__ __forceinline__ float
warp_sum (float value) {
  for (int lanes = 16; lanes > 0; lanes >>= 1)
    value += __shfl_xor_sync (0xffffffffu, value, lanes);
  return value;
}

// Every thread gets the sum. `partial` is used again by the next call.
template <PlantedFault fault>
__device__ float
block_sum (float value, float *partial) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_warps = blockDim.x >> 5;
  value = warp_sum (value);
  if (fault != PLANTED_NO_BARRIER_BEFORE_REUSE)
    __syncthreads ();
  if (lane == 0)
    partial[warp] = value;
  if (fault != PLANTED_NO_BARRIER_AFTER_WRITE)
    __syncthreads ();
  return warp_sum (lane < n_warps ? partial[lane] : 0.f);
}

template <PlantedFault fault>
__global__ void
moments (const float *x, float *y, float *mean, float *variance, int columns) {
  __shared__ float partial[PLANTED_BLOCK / 32];
  extern __shared__ float centred[];
  const float *row = x + (size_t)blockIdx.x * columns;
  float sum = 0.f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    sum += row[i];
  const float mu = block_sum<fault> (sum, partial) / columns;
  sum = 0.f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    centred[i] = row[i] - mu;
    sum += centred[i] * centred[i];
  }
  const float square = block_sum<fault> (sum, partial) / columns;
  const int end
      = fault == PLANTED_PAST_GLOBAL && blockIdx.x + 1 == gridDim.x ? columns + 1 : columns;
  for (int i = threadIdx.x; i < end; i += blockDim.x)
    y[(size_t)blockIdx.x * columns + i] = i < columns ? centred[i] : 0.f;
  if (fault == PLANTED_PAST_STATIC_SHARED && threadIdx.x == 0)
    partial[PLANTED_BLOCK / 32 + threadIdx.x] = mu;
  if (fault == PLANTED_PAST_DYNAMIC_SHARED && threadIdx.x == 0)
    centred[columns] = mu;
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = mu;
    variance[blockIdx.x] = square;
  }
}

template <bool atomic>
__global__ void
column_sums (const float *x, float *sums, int columns) {
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    const float value = x[(size_t)blockIdx.x * columns + i];
    if (atomic)
      atomicAdd (&sums[i], value);
    else
      sums[i] += value;
  }
}

// Before Volta the lanes of a warp went in step, and the last steps needed no barrier.
template <bool warp_synchronous>
__global__ void
tree_sum (float *out) {
  __shared__ float values[64];
  const int i = threadIdx.x;
  values[i] = (float)i;
  __syncthreads ();
  for (int half = 32; half > 0; half >>= 1) {
    if (i < half)
      values[i] += values[i + half];
    if (!warp_synchronous)
      __syncthreads ();
  }
  if (i == 0)
    *out = values[0];
}

__global__ void
add_one_by_four (float4 *x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n)
    return;
  float4 value = x[i];
  value.x += 1.f;
  value.y += 1.f;
  value.z += 1.f;
  value.w += 1.f;
  x[i] = value;
}

template <typename T>
__global__ void
scale (T *x, long n, T factor) {
  const long i = (long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n)
    x[i] *= factor;
}

__global__ void
barrier_after_exit (float *x) {
  if (threadIdx.x == 7)
    return;
  __syncthreads ();
  x[threadIdx.x] = 1.f;
}

__global__ void
absent_lanes (float *x) {
  float value = 1.f;
  if (threadIdx.x < 16)
    value += __shfl_xor_sync (0xffffffffu, value, 1);
  x[threadIdx.x] = value;
}

__global__ void
pack (const float *x, const float *scale, PlantedShift shift, __nv_bfloat16 *y, int *places) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const int i = block * (blockDim.x * blockDim.y * blockDim.z) + thread;
  if (i >= shift.n)
    return;
  y[i] = __float2bfloat16 (scale[0] * x[i] + shift.shift);
  places[i] = i;
}

template <PlantedFault fault>
static cudaError_t
launch_moments (const float *x, float *y, float *mean, float *variance, int rows, int columns,
                cudaStream_t stream) {
  const size_t bytes = columns * sizeof (float);
  moments<fault><<<rows, PLANTED_BLOCK, bytes, stream>>> (x, y, mean, variance, columns);
  return cudaGetLastError ();
}

cudaError_t
planted_moments (const float *x, float *y, float *mean, float *variance, int rows, int columns,
                 PlantedFault fault, cudaStream_t stream) {
  switch (fault) {
  case PLANTED_NO_BARRIER_BEFORE_REUSE:
    return launch_moments<PLANTED_NO_BARRIER_BEFORE_REUSE> (x, y, mean, variance, rows, columns,
                                                            stream);
  case PLANTED_NO_BARRIER_AFTER_WRITE:
    return launch_moments<PLANTED_NO_BARRIER_AFTER_WRITE> (x, y, mean, variance, rows, columns,
                                                           stream);
  case PLANTED_PAST_STATIC_SHARED:
    return launch_moments<PLANTED_PAST_STATIC_SHARED> (x, y, mean, variance, rows, columns, stream);
  case PLANTED_PAST_DYNAMIC_SHARED:
    return launch_moments<PLANTED_PAST_DYNAMIC_SHARED> (x, y, mean, variance, rows, columns,
                                                        stream);
  case PLANTED_PAST_GLOBAL:
    return launch_moments<PLANTED_PAST_GLOBAL> (x, y, mean, variance, rows, columns, stream);
  default:
    return launch_moments<PLANTED_NONE> (x, y, mean, variance, rows, columns, stream);
  }
}

cudaError_t
planted_column_sums (const float *x, float *sums, int rows, int columns, int atomic,
                     cudaStream_t stream) {
  if (atomic)
    column_sums<true><<<rows, PLANTED_BLOCK, 0, stream>>> (x, sums, columns);
  else
    column_sums<false><<<rows, PLANTED_BLOCK, 0, stream>>> (x, sums, columns);
  return cudaGetLastError ();
}

cudaError_t
planted_tree_sum (float *out, int warp_synchronous, cudaStream_t stream) {
  if (warp_synchronous)
    tree_sum<true><<<1, 64, 0, stream>>> (out);
  else
    tree_sum<false><<<1, 64, 0, stream>>> (out);
  return cudaGetLastError ();
}

cudaError_t
planted_add_one_by_four (float *x, int n, cudaStream_t stream) {
  add_one_by_four<<<(n + 63) / 64, 64, 0, stream>>> (reinterpret_cast<float4 *> (x), n);
  return cudaGetLastError ();
}

cudaError_t
planted_scale (float *x, long n, float factor, cudaStream_t stream) {
  scale<float><<<(unsigned)((n + PLANTED_BLOCK - 1) / PLANTED_BLOCK), PLANTED_BLOCK, 0, stream>>> (
      x, n, factor);
  return cudaGetLastError ();
}

cudaError_t
planted_barrier_after_exit (float *x, cudaStream_t stream) {
  barrier_after_exit<<<1, 64, 0, stream>>> (x);
  return cudaGetLastError ();
}

cudaError_t
planted_absent_lanes (float *x, cudaStream_t stream) {
  absent_lanes<<<1, 64, 0, stream>>> (x);
  return cudaGetLastError ();
}

cudaError_t
planted_pack (const float *x, const float *scale, PlantedShift shift, void *y, int *places,
              cudaStream_t stream) {
  const dim3 block (8, 4, 2), grid (3, 2, (shift.n + 64 * 6 - 1) / (64 * 6));
  pack<<<grid, block, 0, stream>>> (x, scale, shift, (__nv_bfloat16 *)y, places);
  return cudaGetLastError ();
}
