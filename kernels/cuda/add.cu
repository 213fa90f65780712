/* y = a + b, where residual branches meet. */
#include "kernels/cuda/elements.cuh"

template <typename T>
static __global__ void
add (const T *a, const T *b, T *y, int64_t n, bool aligned) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  float v[PW_PACK], w[PW_PACK];
  load (a, at, n, aligned, v);
  load (b, at, n, aligned, w);
  for (int i = 0; i < PW_PACK; i++)
    v[i] += w[i];
  store (y, at, n, aligned, v);
}

cudaError_t
pw__launch_add (PwCudaType type, const void *a, const void *b, void *y, int64_t n,
                cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *left = (const T *)a, *right = (const T *)b;
    T *to = (T *)y;
    add<T><<<pack_blocks (n), PW_THREADS, 0, stream>>> (left, right, to, n,
                                                          is_aligned (left, right, to));
    return cudaGetLastError ();
  });
}
