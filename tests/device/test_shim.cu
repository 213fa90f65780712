// What device code may use, checked against what CUDA says of it. Results go to `out`, an int each;
// test_shim.c knows what must be there.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "tests/device/test_shim.h"

__global__ void
shuffles (int *out) {
  const int lane = threadIdx.x;
  out[lane] = __shfl_sync (0xffffffffu, lane, 5);
  out[32 + lane] = __shfl_sync (0xffffffffu, lane, 1, 8);
  out[64 + lane] = __shfl_xor_sync (0xffffffffu, lane, 3);
  out[96 + lane] = __shfl_down_sync (0xffffffffu, lane, 4, 16);
  out[128 + lane] = __shfl_up_sync (0xffffffffu, lane, 4, 16);
  out[160 + lane] = (int)__shfl_xor_sync (0xffffffffu, (double)lane, 16);
  out[192 + lane] = (int)__ballot_sync (0xffffffffu, lane % 3 == 0);
  out[224 + lane] = __any_sync (0xffffffffu, lane == 9) + 2 * __all_sync (0xffffffffu, lane < 31);
  if (lane >= 16) // a part of the warp
    out[256 + lane] = __shfl_xor_sync (0xffff0000u, lane, 1);
}

__global__ void
barriers (int *out) {
  const int i = threadIdx.x;
  __shared__ int a, b[64];
  extern __shared__ __align__ (16) unsigned char dynamic[];
  int *last = (int *)dynamic;
  if (i == 0)
    a = 7;
  b[i] = i;
  last[63 - i] = i;
  __syncthreads ();
  out[i] = a + b[63 - i] + last[i];
  out[64 + i] = __syncthreads_count (i % 5 == 0);
  out[128 + i]
      = __syncthreads_or (i == 63) + 2 * __syncthreads_and (i >= 0) + 4 * __syncthreads_and (i > 0);
}

__global__ void
atomics (int *out) {
  atomicAdd (&out[0], (int)threadIdx.x);
  atomicMax (&out[1], (int)threadIdx.x);
  atomicMin (&out[2], -(int)threadIdx.x);
  atomicOr (&out[3], 1 << (threadIdx.x & 15));
  atomicCAS (&out[4], 0, (int)threadIdx.x + 1);
  atomicAdd ((float *)&out[5], 1.f);
}

// The last block to come adds what the others left: a fence on both sides of the counter.
__global__ void
last_block (int *out, unsigned *arrived) {
  __shared__ bool is_last;
  if (threadIdx.x == 0) {
    out[1 + blockIdx.x] = (int)blockIdx.x + 1;
    __threadfence ();
    is_last = atomicAdd (arrived, 1u) + 1 == gridDim.x;
    __threadfence ();
  }
  __syncthreads ();
  if (is_last && threadIdx.x == 0) {
    int sum = 0;
    for (unsigned i = 0; i < gridDim.x; i++)
      sum += out[1 + i];
    out[0] = sum;
  }
}

template <typename T, int kind>
__global__ void
types (int *out) {
  __shared__ T values[2];
  values[threadIdx.x & 1] = T (1.5f);
  __syncthreads ();
  if (threadIdx.x > 0)
    return;
  out[0] = (int)(float (values[0] * values[1]) * 100.f);
  out[1] = (int)__umulhi (0x80000000u, 6u) + min (3, 4) * 10 + max (2.f, 1.f) * 100;
  out[2] = __popc (0xf0f0u) + __clz (1) * 100;
  out[3] = (int)(rsqrtf (0.25f) * 10 + __expf (0.f) + __int_as_float (0x40000000));
  out[4] = kind;
}

// Seven warp operations with as many masks in turn.
__global__ void
many_masks (int *out) {
  int sum = 0;
  for (unsigned n = 1; n <= 7; n++) {
    const unsigned mask = (1u << 4 * n) - 1;
    if (threadIdx.x < 4 * n)
      sum += __shfl_xor_sync (mask, 1, 1);
  }
  out[threadIdx.x] = sum;
}

extern "C" cudaError_t
test_shim_launch (TestShimKernel kernel, int *out, cudaStream_t stream) {
  switch (kernel) {
  case TEST_SHIM_SHUFFLES:
    shuffles<<<1, 32, 0, stream>>> (out);
    break;
  case TEST_SHIM_BARRIERS:
    barriers<<<1, 64, 64 * sizeof (int), stream>>> (out);
    break;
  case TEST_SHIM_ATOMICS:
    atomics<<<4, 128, 0, stream>>> (out);
    break;
  case TEST_SHIM_LAST_BLOCK:
    last_block<<<5, 32, 0, stream>>> (out, (unsigned *)out + 100);
    break;
  case TEST_SHIM_BF16:
    types<__nv_bfloat16, 1><<<dim3 (1), dim3 (2), 0, stream>>> (out);
    break;
  case TEST_SHIM_HALF:
    types<__half, 2><<<1, 2, 0, stream>>> (out);
    break;
  case TEST_SHIM_MANY_MASKS:
    many_masks<<<1, 32, 0, stream>>> (out);
    break;
  }
  return cudaGetLastError ();
}
