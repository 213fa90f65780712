/* A learned row per position, added to every sequence. Blocks are shared out to sequences, so no
 * thread has to ask where one ends. */
#include "kernels/cuda/elements.cuh"

template <typename T>
static __global__ void
add_positions (const T *x, const T *table, T *y, int64_t n, unsigned blocks_per_sequence,
               bool aligned) {
  int64_t sequence = blockIdx.x / blocks_per_sequence;
  int64_t at = pack_at (blockIdx.x % blocks_per_sequence);
  if (at >= n)
    return;
  float v[PW_PACK], row[PW_PACK];
  load (x + sequence * n, at, n, aligned, v);
  load (table, at, n, aligned, row);
  for (int i = 0; i < PW_PACK; i++)
    v[i] += row[i];
  store (y + sequence * n, at, n, aligned, v);
}

/* A thread adds up its elements over all sequences. */
template <typename T>
static __global__ void
add_sequences (const T *dy, float *dtable, int64_t batch, int64_t n, bool aligned,
               bool table_aligned) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  float sum[PW_PACK] = { 0 }, d[PW_PACK];
#pragma unroll 4
  for (int64_t b = 0; b < batch; b++) {
    load (dy + b * n, at, n, aligned, d);
    for (int i = 0; i < PW_PACK; i++)
      sum[i] += d[i];
  }
  load (dtable, at, n, table_aligned, d);
  for (int i = 0; i < PW_PACK; i++)
    sum[i] += d[i];
  store (dtable, at, n, table_aligned, sum);
}

cudaError_t
pw__launch_position (PwCudaType type, const void *x, const void *table, void *y, int64_t batch,
                     int64_t n, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)x, *rows = (const T *)table;
    T *to = (T *)y;
    unsigned blocks = pack_blocks (n);
    bool aligned = n % PW_PACK == 0 && is_aligned (from, rows, to);
    add_positions<T>
        <<<blocks *(unsigned)batch, PW_THREADS, 0, stream>>> (from, rows, to, n, blocks, aligned);
    return cudaGetLastError ();
  });
}

cudaError_t
pw__launch_position_gradient (PwCudaType type, const void *dy, float *dtable, int64_t batch,
                              int64_t n, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)dy;
    bool aligned = n % PW_PACK == 0 && is_aligned (from);
    add_sequences<T><<<pack_blocks (n), PW_THREADS, 0, stream>>> (from, dtable, batch, n, aligned,
                                                                    is_aligned (dtable));
    return cudaGetLastError ();
  });
}
