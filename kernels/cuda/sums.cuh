/* Sums over the threads of a warp and of a block, always by the same tree. */
#pragma once
#include <cuda_runtime.h>
#include <stdint.h>

namespace {

/* Every lane gets the sum. */
template <typename T>
__device__ inline T
warp_sum (T x) {
  for (int offset = 16; offset > 0; offset >>= 1)
    x += __shfl_xor_sync (0xffffffffu, x, offset);
  return x;
}

/* Every thread gets the sum over a block of whole warps. SHARED holds one value per warp and may be
 * used again at once. */
template <typename T>
__device__ inline T
block_sum (T x, T *shared) {
  int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, warps = (int)blockDim.x / 32;
  x = warp_sum (x);
  if (lane == 0)
    shared[warp] = x;
  __syncthreads ();
  x = warp_sum (lane < warps ? shared[lane] : T (0));
  __syncthreads ();
  return x;
}

/* Sums of doubles over a whole array take two kernels: up to SUM_BLOCKS blocks leave a part each,
 * then one block adds the parts up. */
constexpr int SUM_THREADS = 256;
constexpr int64_t SUM_BLOCKS = 1024;
constexpr int64_t SUM_BLOCK_ELEMENTS = SUM_THREADS * 16;

inline unsigned
sum_blocks (int64_t n) {
  int64_t blocks = (n + SUM_BLOCK_ELEMENTS - 1) / SUM_BLOCK_ELEMENTS;
  return (unsigned)(blocks < 1 ? 1 : blocks > SUM_BLOCKS ? SUM_BLOCKS : blocks);
}

/* What one block of the second kernel does. */
__device__ inline void
add_parts (const double *parts, unsigned n, double scale, double *sum, double *shared) {
  double part = 0;
  for (unsigned i = threadIdx.x; i < n; i += blockDim.x)
    part += parts[i];
  part = block_sum (part, shared);
  if (threadIdx.x == 0)
    *sum += scale * part;
}

} // namespace
