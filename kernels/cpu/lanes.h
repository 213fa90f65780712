/* A vector register of the instruction set this file is compiled for, and the little arithmetic
 * that GCC's vector extension does not spell. Fused products are written out (`lanes_fma`), so
 * results do not hang on what the compiler decides to contract. */
#pragma once
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#  include <immintrin.h>
#endif

#if defined(__AVX512F__)
#  define PW_LANES 16
#elif defined(__AVX2__)
#  define PW_LANES 8
#else
#  define PW_LANES 4
#endif

typedef float PwLanes __attribute__ ((vector_size (PW_LANES * 4)));
typedef int32_t PwLaneMask __attribute__ ((vector_size (PW_LANES * 4)));
typedef uint32_t PwLaneBits __attribute__ ((vector_size (PW_LANES * 4)));
/* Half as many floats, widened: the same register. */
typedef float PwHalfLanes __attribute__ ((vector_size (PW_LANES * 2)));
typedef double PwWideLanes __attribute__ ((vector_size (PW_LANES * 4)));

static inline PwLanes
lanes_load (const float *from) {
  PwLanes v;
  memcpy (&v, from, sizeof v);
  return v;
}

static inline void
lanes_store (float *to, PwLanes v) {
  memcpy (to, &v, sizeof v);
}

/* The first N lanes; the others are 0. */
static inline PwLanes
lanes_load_part (const float *from, int64_t n) {
#if defined(__AVX512F__)
  return (PwLanes)_mm512_maskz_loadu_ps ((__mmask16)((1u << n) - 1), from);
#else
  PwLanes v = { 0 };
  memcpy (&v, from, (size_t)n * sizeof *from);
  return v;
#endif
}

static inline void
lanes_store_part (float *to, PwLanes v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps (to, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  memcpy (to, &v, (size_t)n * sizeof *to);
#endif
}

static inline PwLanes
lanes_all (float value) {
  return (PwLanes){ 0 } + value;
}

static inline PwLanes
lanes_select (PwLaneMask mask, PwLanes yes, PwLanes no) {
#if defined(__AVX512F__)
  return (PwLanes)_mm512_mask_blend_ps (_mm512_movepi32_mask ((__m512i)mask), (__m512)no,
                                        (__m512)yes);
#else
  return (PwLanes)((mask & (PwLaneMask)yes) | (~mask & (PwLaneMask)no));
#endif
}

/* a b + c */
static inline PwLanes
lanes_fma (PwLanes a, PwLanes b, PwLanes c) {
#if defined(__AVX512F__)
  return (PwLanes)_mm512_fmadd_ps ((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (PwLanes)_mm256_fmadd_ps ((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

/* The greater; b where either is not a number. */
static inline PwLanes
lanes_max (PwLanes a, PwLanes b) {
#if defined(__AVX512F__)
  return (PwLanes)_mm512_max_ps ((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (PwLanes)_mm256_max_ps ((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (PwLanes)_mm_max_ps ((__m128)a, (__m128)b);
#else
  return lanes_select (a > b, a, b);
#endif
}

/* The smaller; b where either is not a number. */
static inline PwLanes
lanes_min (PwLanes a, PwLanes b) {
  return -lanes_max (-a, -b);
}

static inline PwLanes
lanes_sqrt (PwLanes a) {
#if defined(__AVX512F__)
  return (PwLanes)_mm512_sqrt_ps ((__m512)a);
#elif defined(__AVX2__)
  return (PwLanes)_mm256_sqrt_ps ((__m256)a);
#elif defined(__SSE2__)
  return (PwLanes)_mm_sqrt_ps ((__m128)a);
#else
  for (int l = 0; l < PW_LANES; l++)
    a[l] = __builtin_sqrtf (a[l]);
  return a;
#endif
}

static inline float
lanes_sum (PwLanes v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps ((__m512)v);
#else
  float lane[PW_LANES];
  memcpy (lane, &v, sizeof lane);
  for (int width = PW_LANES / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++)
      lane[l] += lane[l + width];
  return lane[0];
#endif
}

static inline float
lanes_greatest (PwLanes v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps ((__m512)v);
#else
  float lane[PW_LANES];
  memcpy (lane, &v, sizeof lane);
  for (int width = PW_LANES / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++)
      lane[l] = lane[l] > lane[l + width] ? lane[l] : lane[l + width];
  return lane[0];
#endif
}

static inline double
lanes_wide_sum (PwWideLanes v) {
  double sum = 0;
  for (int l = 0; l < PW_LANES / 2; l++)
    sum += v[l];
  return sum;
}

/* exp to 2 units in the last place: x = n ln 2 + r, and the polynomial of Cephes' expf for r.
 * Beyond [-87, 88] the result is that of the bound: a normal number, never 0 or infinite. */
static inline PwLanes
lanes_exp (PwLanes x) {
  const float round = 12582912.0f; /* 1.5 2^23: adding it rounds to an integer in the low bits */
  x = lanes_max (lanes_all (-87.0f), lanes_min (lanes_all (88.0f), x));
  PwLanes shifted = lanes_fma (x, lanes_all (1.44269504088896341f), lanes_all (round));
  PwLanes n = shifted - round;
  PwLanes r = lanes_fma (n, lanes_all (-0.693359375f), x);
  r = lanes_fma (n, lanes_all (2.12194440e-4f), r);
  PwLanes p = lanes_all (1.9875691500e-4f);
  p = lanes_fma (p, r, lanes_all (1.3981999507e-3f));
  p = lanes_fma (p, r, lanes_all (8.3334519073e-3f));
  p = lanes_fma (p, r, lanes_all (4.1665795894e-2f));
  p = lanes_fma (p, r, lanes_all (1.6666665459e-1f));
  p = lanes_fma (p, r, lanes_all (5.0000001201e-1f));
  p = lanes_fma (p, r * r, r) + 1.0f;
  PwLaneBits power = (PwLaneBits)shifted << 23;
  return p * (PwLanes)(power + (127u << 23));
}
