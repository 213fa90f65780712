/* Softmax with cross-entropy that stores one number per row of logits, the log of its sum of
 * exponentials: the gradient makes the probabilities again from it and the logits. One block per
 * row; each thread goes over its elements once, with the greatest so far. The loss is summed by one
 * block afterwards, in an order fixed by the number of rows.
 *
 * A target of -1 is left out: no loss, gradient 0. A target outside the classes is left out too and
 * sets the flag. */
#include <float.h>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/sums.cuh"

static constexpr int THREADS = 256;

/* A sum of exp (x - greatest). Both begin so that nothing is added: exp (-FLT_MAX - x) is 0, and
 * nothing is ever infinity minus infinity that was not so in the logits. */
struct Partial {
  float greatest, sum;
};

static __device__ inline Partial
join (Partial a, Partial b) {
  Partial both;
  both.greatest = fmaxf (a.greatest, b.greatest);
  both.sum = a.sum * expf (a.greatest - both.greatest) + b.sum * expf (b.greatest - both.greatest);
  return both;
}

static __device__ inline Partial
warp_join (Partial a) {
  for (int offset = 16; offset > 0; offset >>= 1) {
    Partial b;
    b.greatest = __shfl_xor_sync (0xffffffffu, a.greatest, offset);
    b.sum = __shfl_xor_sync (0xffffffffu, a.sum, offset);
    a = join (a, b);
  }
  return a;
}

template <typename T>
static __global__ void __launch_bounds__ (THREADS)
log_sums (const T *x, const int32_t *targets, int64_t classes, bool aligned, float *lse,
          int *flag) {
  __shared__ float greatest[THREADS / 32], sums[THREADS / 32];
  const T *row = x + blockIdx.x * classes;
  Partial mine = { -FLT_MAX, 0 };
  for (int64_t at = threadIdx.x * PW_PACK; at < classes; at += THREADS * PW_PACK) {
    float v[PW_PACK];
    load (row, at, classes, aligned, v);
    Partial pack = { -FLT_MAX, 0 };
    for (int i = 0; i < PW_PACK && at + i < classes; i++)
      pack.greatest = fmaxf (pack.greatest, v[i]);
    float most = fmaxf (mine.greatest, pack.greatest);
    mine.sum *= expf (mine.greatest - most);
    mine.greatest = most;
    for (int i = 0; i < PW_PACK && at + i < classes; i++)
      mine.sum += expf (v[i] - most);
  }
  mine = warp_join (mine);
  int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
  if (lane == 0) {
    greatest[warp] = mine.greatest;
    sums[warp] = mine.sum;
  }
  __syncthreads ();
  if (warp != 0)
    return;
  bool has_part = lane < THREADS / 32;
  mine = { has_part ? greatest[lane] : -FLT_MAX, has_part ? sums[lane] : 0.0f };
  mine = warp_join (mine);
  if (lane != 0)
    return;
  lse[blockIdx.x] = mine.greatest + logf (mine.sum);
  int32_t target = targets[blockIdx.x];
  if (target < -1 || target >= classes)
    atomicOr (flag, PW_CUDA_INDEX_TARGET);
}

template <typename T>
static __global__ void __launch_bounds__ (THREADS)
add_loss (const T *x, const int32_t *targets, const float *lse, int64_t rows, int64_t classes,
          double scale, double *loss) {
  __shared__ double shared[THREADS / 32];
  double sum = 0;
  for (int64_t row = threadIdx.x; row < rows; row += THREADS) {
    int32_t target = targets[row];
    if (target >= 0 && target < classes)
      sum += (double)lse[row] - (double)to_float (x[row * classes + target]);
  }
  sum = block_sum (sum, shared);
  if (threadIdx.x == 0)
    *loss += scale * sum;
}

/* DX may be X: a thread writes what it alone has read. */
template <typename T>
static __global__ void __launch_bounds__ (THREADS)
gradient (const T *x, const float *lse, const int32_t *targets, int64_t classes, float factor,
          bool aligned, T *dx, int *flag) {
  const T *row = x + blockIdx.x * classes;
  T *to = dx + blockIdx.x * classes;
  int32_t target = targets[blockIdx.x];
  float row_lse = lse[blockIdx.x];
  bool counts = target >= 0 && target < classes;
  if (!counts && target != -1 && threadIdx.x == 0)
    atomicOr (flag, PW_CUDA_INDEX_TARGET);
  for (int64_t at = threadIdx.x * PW_PACK; at < classes; at += THREADS * PW_PACK) {
    float v[PW_PACK] = { 0 };
    if (counts)
      load (row, at, classes, aligned, v);
    for (int i = 0; i < PW_PACK && counts; i++)
      v[i] = (expf (v[i] - row_lse) - (at + i == target ? 1.0f : 0.0f)) * factor;
    store (to, at, classes, aligned, v);
  }
}

cudaError_t
pw__launch_cross_entropy (PwCudaType type, const void *x, const int32_t *targets, double scale,
                          int64_t rows, int64_t classes, float *lse, double *loss, int *flag,
                          cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *logits = (const T *)x;
    bool aligned = classes % PW_PACK == 0 && is_aligned (logits);
    log_sums<T><<<(unsigned)rows, THREADS, 0, stream>>> (logits, targets, classes, aligned, lse,
                                                         flag);
    add_loss<T><<<1, THREADS, 0, stream>>> (logits, targets, lse, rows, classes, scale, loss);
    return cudaGetLastError ();
  });
}

cudaError_t
pw__launch_cross_entropy_gradient (PwCudaType type, const void *x, const float *lse,
                                   const int32_t *targets, float factor, int64_t rows,
                                   int64_t classes, void *dx, int *flag, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *logits = (const T *)x;
    T *to = (T *)dx;
    bool aligned = classes % PW_PACK == 0 && is_aligned (logits, to);
    gradient<T><<<(unsigned)rows, THREADS, 0, stream>>> (logits, lse, targets, classes, factor,
                                                         aligned, to, flag);
    return cudaGetLastError ();
  });
}
