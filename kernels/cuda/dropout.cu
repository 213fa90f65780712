/* Forward and gradient are one map. Blocks are shared out to samples, whose numbers begin anew. */
#include "kernels/cuda/elements.cuh"
#include "kernels/dropout.h"

template <typename T>
static __global__ void
drop (const T *x, uint64_t seed, const int64_t *step, int layer, uint64_t threshold, float scale,
      int64_t first_sample, T *y, int64_t n, unsigned blocks_per_sample, bool aligned) {
  int64_t sample = blockIdx.x / blocks_per_sample;
  int64_t at = pack_at (blockIdx.x % blocks_per_sample);
  if (at >= n)
    return;
  uint64_t key = pw__dropout_key (seed, *step, layer);
  uint64_t sample_key = pw__dropout_sample_key (key, first_sample + sample), pair = 0;
  float v[PW_PACK];
  load (x + sample * n, at, n, aligned, v);
  for (int i = 0; i < PW_PACK; i++) {
    if (i % 2 == 0)
      pair = pw__dropout_pair (sample_key, (at + i) / 2);
    v[i] = pw__dropout_keeps (pair, i, threshold) ? v[i] * scale : 0.0f;
  }
  store (y + sample * n, at, n, aligned, v);
}

cudaError_t
pw__launch_dropout (PwCudaType type, const void *x, uint64_t seed, const int64_t *step, int layer,
                    uint64_t threshold, float scale, int64_t first_sample, int64_t samples,
                    int64_t sample_elements, void *y, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)x;
    T *to = (T *)y;
    unsigned blocks = pack_blocks (sample_elements);
    bool aligned = sample_elements % PW_PACK == 0 && is_aligned (from, to);
    drop<T><<<blocks *(unsigned)samples, PW_THREADS, 0, stream>>> (
        from, seed, step, layer, threshold, scale, first_sample, to, sample_elements, blocks,
        aligned);
    return cudaGetLastError ();
  });
}
