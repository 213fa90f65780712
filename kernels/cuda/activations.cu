/* ReLU and GELU: one pack of elements per thread, nothing else to know. */
#include "kernels/cuda/elements.cuh"

/* Written so that a NaN stays one. */
struct Relu {
  __device__ float value (float x) const {
    return x < 0 ? 0.0f : x;
  }
  __device__ float gradient (float x, float dy) const {
    return x > 0 ? dy : 0.0f;
  }
};

/* 0.5 x (1 + tanh u) = x / (1 + exp (-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3): one exponential
 * and nothing that cancels. */
struct Gelu {
  __device__ float decay (float x) const {
    const float a = -1.5957691216057308f,
                b = -0.0713548162726009f; /* -2 sqrt(2/pi) (1, 0.044715) */
    return expf (x * fmaf (x * x, b, a));
  }
  __device__ float value (float x) const {
    return x / (1.0f + decay (x));
  }
  /* With s = 1 / (1 + e): d (x s) = s + x s (1 - s) 2 du/dx, and 1 - s = e s. Beyond 10 the slope
   * is 0 or 1, and the exponential would soon be infinite. */
  __device__ float gradient (float x, float dy) const {
    const float a = 1.5957691216057308f, b = 0.2140644488178027f; /* 2 sqrt(2/pi) (1, 3 0.044715) */
    x = x > 10 ? 10.0f : x < -10 ? -10.0f : x;
    float e = decay (x), s = 1.0f / (1.0f + e);
    return fmaf (x * s * (e * s), fmaf (x * x, b, a), s) * dy;
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
