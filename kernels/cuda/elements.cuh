/* How kernels read and write elements. Whatever the type, a thread works on floats, PW_PACK of them
 * at a time: 16 bytes of fp32, 8 of a half type. Which elements a thread gets hangs on the shape
 * alone; whether they are moved in one piece hangs on the addresses, which no result may. */
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "kernels/cuda/launch.h"

namespace {

constexpr int PW_PACK = 4;
constexpr int PW_THREADS = 256; /* of a block of a map */

template <typename T> struct alignas (sizeof (T) * PW_PACK) Pack {
  T element[PW_PACK];
};

__device__ inline float
to_float (float x) {
  return x;
}

__device__ inline float
to_float (__nv_bfloat16 x) {
  return __bfloat162float (x);
}

__device__ inline float
to_float (__half x) {
  return __half2float (x);
}

__device__ inline void
from_float (float x, float *to) {
  *to = x;
}

__device__ inline void
from_float (float x, __nv_bfloat16 *to) {
  *to = __float2bfloat16 (x);
}

__device__ inline void
from_float (float x, __half *to) {
  *to = __float2half (x);
}

/* The pack at AT of N elements; 0 beyond the end. */
template <typename T>
__device__ inline void
load (const T *from, int64_t at, int64_t n, bool aligned, float x[PW_PACK]) {
  if (aligned && at + PW_PACK <= n) {
    Pack<T> pack = *(const Pack<T> *)(from + at);
    for (int i = 0; i < PW_PACK; i++)
      x[i] = to_float (pack.element[i]);
  } else
    for (int i = 0; i < PW_PACK; i++)
      x[i] = at + i < n ? to_float (from[at + i]) : 0.0f;
}

template <typename T>
__device__ inline void
store (T *to, int64_t at, int64_t n, bool aligned, const float x[PW_PACK]) {
  if (aligned && at + PW_PACK <= n) {
    Pack<T> pack;
    for (int i = 0; i < PW_PACK; i++)
      from_float (x[i], &pack.element[i]);
    *(Pack<T> *)(to + at) = pack;
  } else
    for (int i = 0; i < PW_PACK && at + i < n; i++)
      from_float (x[i], to + at + i);
}

/* The first element of this thread's pack, where threads share out one array or one row of it. */
__device__ inline int64_t
pack_at (unsigned block) {
  return ((int64_t)block * PW_THREADS + threadIdx.x) * PW_PACK;
}

inline unsigned
pack_blocks (int64_t n) {
  int64_t per_block = (int64_t)PW_THREADS * PW_PACK;
  return (unsigned)((n + per_block - 1) / per_block);
}

template <typename T>
inline bool
is_aligned (const T *data) {
  return (uintptr_t)data % sizeof (Pack<T>) == 0;
}

template <typename T, typename... More>
inline bool
is_aligned (const T *data, const More *...more) {
  return is_aligned (data) && is_aligned (more...);
}

/* Calls LAUNCH with a value of the type that TYPE names. */
template <typename Launch>
inline cudaError_t
with_type (PwCudaType type, Launch launch) {
  switch (type) {
  case PW_CUDA_BF16:
    return launch (__nv_bfloat16 ());
  case PW_CUDA_F16:
    return launch (__half ());
  default:
    return launch (float ());
  }
}

} // namespace
