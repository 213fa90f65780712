/* GELU, tanh form, and its slope. */
#pragma once
#include <cuda_runtime.h>

namespace {

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

} // namespace
