/* Two inputs, one behind the other in every sample: rows are copied from one stride to another. */
#include "kernels/cuda/elements.cuh"

template <typename T>
static __global__ void
copy_rows (const T *from, int64_t from_stride, T *to, int64_t to_stride, int64_t n,
           unsigned blocks_per_row, bool aligned) {
  int64_t row = blockIdx.x / blocks_per_row;
  int64_t at = pack_at (blockIdx.x % blocks_per_row);
  if (at >= n)
    return;
  float v[PW_PACK];
  load (from + row * from_stride, at, n, aligned, v);
  store (to + row * to_stride, at, n, aligned, v);
}

template <typename T>
static cudaError_t
launch_rows (const T *from, int64_t from_stride, T *to, int64_t to_stride, int64_t rows, int64_t n,
             cudaStream_t stream) {
  unsigned blocks = pack_blocks (n);
  bool aligned
      = from_stride % PW_PACK == 0 && to_stride % PW_PACK == 0 && is_aligned (from, to);
  copy_rows<T><<<blocks *(unsigned)rows, PW_THREADS, 0, stream>>> (from, from_stride, to, to_stride,
                                                                     n, blocks, aligned);
  return cudaGetLastError ();
}

cudaError_t
pw__launch_concat (PwCudaType type, const void *a, const void *b, void *y, int64_t samples,
                   int64_t n_a, int64_t n_b, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    T *to = (T *)y;
    cudaError_t code
        = launch_rows ((const T *)a, n_a, to, n_a + n_b, samples, n_a, stream);
    return code != cudaSuccess
               ? code
               : launch_rows ((const T *)b, n_b, to + n_a, n_a + n_b, samples, n_b, stream);
  });
}

cudaError_t
pw__launch_concat_gradient (PwCudaType type, const void *dy, void *da, void *db, int64_t samples,
                            int64_t n_a, int64_t n_b, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)dy;
    cudaError_t code = cudaSuccess;
    if (da != NULL)
      code = launch_rows (from, n_a + n_b, (T *)da, n_a, samples, n_a, stream);
    if (code == cudaSuccess && db != NULL)
      code = launch_rows (from + n_a, n_a + n_b, (T *)db, n_b, samples, n_b, stream);
    return code;
  });
}
