/* Padding becomes 0. Blocks are shared out to sequences: each has a length of its own. */
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/lengths.cuh"

template <typename T>
static __global__ void
mask (const T *x, const int32_t *lengths, T *y, int64_t tokens, int64_t features, int *flag,
      unsigned blocks_per_sequence, bool aligned) {
  int64_t sequence = blockIdx.x / blocks_per_sequence, n = tokens * features;
  int64_t at = pack_at (blockIdx.x % blocks_per_sequence);
  if (at >= n)
    return;
  int64_t kept = length_of (lengths, sequence, tokens, flag) * features;
  float v[PW_PACK] = { 0 };
  if (at < kept)
    load (x + sequence * n, at, n, aligned, v);
  for (int i = 0; i < PW_PACK; i++)
    if (at + i >= kept)
      v[i] = 0;
  store (y + sequence * n, at, n, aligned, v);
}

cudaError_t
pw__launch_mask (PwCudaType type, const void *x, const int32_t *lengths, void *y, int64_t batch,
                 int64_t tokens, int64_t features, int *flag, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)x;
    T *to = (T *)y;
    int64_t n = tokens * features;
    unsigned blocks = pack_blocks (n);
    mask<T><<<blocks *(unsigned)batch, PW_THREADS, 0, stream>>> (
        from, lengths, to, tokens, features, flag, blocks,
        n % PW_PACK == 0 && is_aligned (from, to));
    return cudaGetLastError ();
  });
}
