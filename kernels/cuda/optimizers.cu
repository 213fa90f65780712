/* One optimiser step, in place. Weights of a half type are the rounded copy of their master: the
 * step is made on the master alone, so that steps smaller than the half type's last bit add up. */
#include "kernels/cuda/elements.cuh"

/* The weights of a pack in fp32, wherever they are kept. */
template <typename T>
static __device__ void
load_weights (const T *w, const float *master, int64_t at, int64_t n, bool aligned,
              float x[PW_PACK]) {
  if (master != nullptr)
    load (master, at, n, aligned, x);
  else
    load (w, at, n, aligned, x);
}

template <typename T>
static __device__ void
store_weights (T *w, float *master, int64_t at, int64_t n, bool aligned, const float x[PW_PACK]) {
  if (master != nullptr)
    store (master, at, n, aligned, x);
  store (w, at, n, aligned, x);
}

template <typename T>
static __global__ void
sgd (T *w, float *master, const float *gradient, float *momentum, int64_t n,
     const PwSgdScalars *scalars, bool aligned) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  const PwSgdScalars s = *scalars;
  float x[PW_PACK], g[PW_PACK], m[PW_PACK];
  load_weights (w, master, at, n, aligned, x);
  load (gradient, at, n, aligned, g);
  for (int i = 0; i < PW_PACK; i++)
    g[i] += x[i] * s.l2;
  if (momentum != nullptr) {
    load (momentum, at, n, aligned, m);
    for (int i = 0; i < PW_PACK; i++)
      g[i] += m[i] * s.momentum;
    store (momentum, at, n, aligned, g);
  }
  for (int i = 0; i < PW_PACK; i++)
    x[i] -= g[i] * s.learning_rate;
  store_weights (w, master, at, n, aligned, x);
}

/* 1412.6980, algorithm 1; with decoupled decay 1711.05101, algorithm 2. */
template <typename T>
static __global__ void
adam (T *w, float *master, const float *gradient, float *m, float *v, int64_t n,
      const PwAdamScalars *scalars, bool aligned) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  const PwAdamScalars s = *scalars;
  float x[PW_PACK], g[PW_PACK], first[PW_PACK], second[PW_PACK];
  load_weights (w, master, at, n, aligned, x);
  load (gradient, at, n, aligned, g);
  load (m, at, n, aligned, first);
  load (v, at, n, aligned, second);
  for (int i = 0; i < PW_PACK; i++) {
    g[i] += x[i] * s.l2;
    first[i] = first[i] * s.beta1 + g[i] * s.rest1;
    second[i] = second[i] * s.beta2 + g[i] * g[i] * s.rest2;
    float root = sqrtf (second[i]) * s.root_correction + s.epsilon;
    x[i] = x[i] * s.shrink - first[i] * s.step_size / root;
  }
  store (m, at, n, aligned, first);
  store (v, at, n, aligned, second);
  store_weights (w, master, at, n, aligned, x);
}

/* NULL is aligned to anything. */
cudaError_t
pw__launch_sgd (PwCudaType type, void *w, float *master, const float *gradient, float *momentum,
                int64_t n, const PwSgdScalars *scalars, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    bool aligned = is_aligned ((T *)w) && is_aligned (master, gradient, momentum);
    sgd<T><<<pack_blocks (n), PW_THREADS, 0, stream>>> ((T *)w, master, gradient, momentum, n,
                                                          scalars, aligned);
    return cudaGetLastError ();
  });
}

cudaError_t
pw__launch_adam (PwCudaType type, void *w, float *master, const float *gradient, float *m, float *v,
                 int64_t n, const PwAdamScalars *scalars, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    bool aligned = is_aligned ((T *)w) && is_aligned (master, gradient, m, v);
    adam<T><<<pack_blocks (n), PW_THREADS, 0, stream>>> ((T *)w, master, gradient, m, v, n,
                                                           scalars, aligned);
    return cudaGetLastError ();
  });
}
