/* ReLU and GELU: one pack of elements per thread, nothing else to know. */
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/gelu.cuh"

/* Written so that a NaN stays one. */
struct Relu {
  __device__ float value (float x) const {
    return x < 0 ? 0.0f : x;
  }
  __device__ float gradient (float x, float dy) const {
    return x > 0 ? dy : 0.0f;
  }
};

template <typename F, typename T>
static __global__ void
activate (F f, const T *x, T *y, int64_t n, bool aligned) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  float v[PW_PACK];
  load (x, at, n, aligned, v);
  for (int i = 0; i < PW_PACK; i++)
    v[i] = f.value (v[i]);
  store (y, at, n, aligned, v);
}

template <typename F, typename T>
static __global__ void
activate_gradient (F f, const T *x, const T *dy, T *dx, int64_t n, bool aligned) {
  int64_t at = pack_at (blockIdx.x);
  if (at >= n)
    return;
  float v[PW_PACK], d[PW_PACK];
  load (x, at, n, aligned, v);
  load (dy, at, n, aligned, d);
  for (int i = 0; i < PW_PACK; i++)
    d[i] = f.gradient (v[i], d[i]);
  store (dx, at, n, aligned, d);
}

template <typename F>
static cudaError_t
launch (F f, PwCudaType type, const void *x, void *y, int64_t n, cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)x;
    T *to = (T *)y;
    activate<F, T>
        <<<pack_blocks (n), PW_THREADS, 0, stream>>> (f, from, to, n, is_aligned (from, to));
    return cudaGetLastError ();
  });
}

template <typename F>
static cudaError_t
launch_gradient (F f, PwCudaType type, const void *x, const void *dy, void *dx, int64_t n,
                 cudaStream_t stream) {
  return with_type (type, [&] (auto zero) {
    using T = decltype (zero);
    const T *from = (const T *)x, *gradient = (const T *)dy;
    T *to = (T *)dx;
    activate_gradient<F, T><<<pack_blocks (n), PW_THREADS, 0, stream>>> (
        f, from, gradient, to, n, is_aligned (from, gradient, to));
    return cudaGetLastError ();
  });
}

cudaError_t
pw__launch_relu (PwCudaType type, const void *x, void *y, int64_t n, cudaStream_t stream) {
  return launch (Relu (), type, x, y, n, stream);
}

cudaError_t
pw__launch_relu_gradient (PwCudaType type, const void *x, const void *dy, void *dx, int64_t n,
                          cudaStream_t stream) {
  return launch_gradient (Relu (), type, x, dy, dx, n, stream);
}

cudaError_t
pw__launch_gelu (PwCudaType type, const void *x, void *y, int64_t n, cudaStream_t stream) {
  return launch (Gelu (), type, x, y, n, stream);
}

cudaError_t
pw__launch_gelu_gradient (PwCudaType type, const void *x, const void *dy, void *dx, int64_t n,
                          cudaStream_t stream) {
  return launch_gradient (Gelu (), type, x, dy, dx, n, stream);
}
