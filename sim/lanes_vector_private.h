/* A vector register of the instruction set this file is compiled for, and what GCC's vector
 * extension does not spell. Nothing here rounds differently on another instruction set. */
#pragma once
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#  include <immintrin.h>
#endif

#if defined(__AVX512F__)
#  define PW_WIDE 8
#  define PW_WIDE_NAME "avx512"
#elif defined(__AVX2__)
#  define PW_WIDE 4
#  define PW_WIDE_NAME "avx2"
#else
#  define PW_WIDE 2
#  define PW_WIDE_NAME "baseline"
#endif

typedef double PwWide __attribute__ ((vector_size (PW_WIDE * 8)));
typedef uint64_t PwWideBits __attribute__ ((vector_size (PW_WIDE * 8)));
typedef int64_t PwWideMask __attribute__ ((vector_size (PW_WIDE * 8)));
/* The same register in single precision: two lanes in the place of one. */
typedef float PwFloats __attribute__ ((vector_size (PW_WIDE * 8)));
typedef uint32_t PwFloatBits __attribute__ ((vector_size (PW_WIDE * 8)));
typedef int32_t PwFloatMask __attribute__ ((vector_size (PW_WIDE * 8)));

static inline PwWide
wide_load (const double *from) {
  PwWide v;
  memcpy (&v, from, sizeof v);
  return v;
}

static inline void
wide_store (double *to, PwWide v) {
  memcpy (to, &v, sizeof v);
}

/* a > b ? a : b, as the plain loop has it. */
static inline PwWide
wide_max (PwWide a, PwWide b) {
#if defined(__AVX512F__)
  return (PwWide)_mm512_max_pd ((__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  return (PwWide)_mm256_max_pd ((__m256d)a, (__m256d)b);
#elif defined(__SSE2__)
  return (PwWide)_mm_max_pd ((__m128d)a, (__m128d)b);
#else
  PwWideMask greater = a > b;
  return (PwWide)((greater & (PwWideMask)a) | (~greater & (PwWideMask)b));
#endif
}

static inline PwWide
wide_all (double value) {
  return (PwWide){ 0 } + value;
}

static inline PwWideBits
wide_all_bits (uint64_t value) {
  return (PwWideBits){ 0 } + value;
}

/* FIRST, FIRST + 1, ... */
static inline PwWideBits
wide_count (uint64_t first) {
  PwWideBits v = { 0 };
  for (int l = 0; l < PW_WIDE; l++)
    v[l] = first + (uint64_t)l;
  return v;
}

/* Of the low halves; what is above does not count. */
static inline PwWideBits
wide_multiply_low (PwWideBits a, uint32_t b) {
#if defined(__AVX512F__)
  return (PwWideBits)_mm512_mul_epu32 ((__m512i)a, _mm512_set1_epi64 (b));
#elif defined(__AVX2__)
  return (PwWideBits)_mm256_mul_epu32 ((__m256i)a, _mm256_set1_epi64x (b));
#elif defined(__SSE2__)
  return (PwWideBits)_mm_mul_epu32 ((__m128i)a, _mm_set1_epi64x (b));
#else
  return (a & 0xffffffffu) * (uint64_t)b;
#endif
}

/* The doubles of positive normal floats, whose bits are in the low halves. */
static inline PwWide
wide_from_float (PwWideBits bits) {
  return (PwWide)((bits << 29) + ((uint64_t)(1023 - 127) << 52));
}

static inline PwFloats
floats_all (float value) {
  return (PwFloats){ 0 } + value;
}

/* Whole numbers below 2^31. */
static inline PwFloats
floats_from (PwFloatBits v) {
  return __builtin_convertvector((PwFloatMask)v, PwFloats);
}

static inline PwFloats
floats_select (PwFloatMask mask, PwFloats yes, PwFloats no) {
  return (PwFloats)((mask & (PwFloatMask)yes) | (~mask & (PwFloatMask)no));
}

static inline PwFloats
floats_sqrt (PwFloats a) {
#if defined(__AVX512F__)
  return (PwFloats)_mm512_sqrt_ps ((__m512)a);
#elif defined(__AVX2__)
  return (PwFloats)_mm256_sqrt_ps ((__m256)a);
#elif defined(__SSE2__)
  return (PwFloats)_mm_sqrt_ps ((__m128)a);
#else
  for (int l = 0; l < 2 * PW_WIDE; l++)
    a[l] = __builtin_sqrtf (a[l]);
  return a;
#endif
}

static inline int
floats_any (PwFloatMask mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask ((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256 ((__m256i)mask, (__m256i)mask);
#elif defined(__SSE2__)
  return _mm_movemask_epi8 ((__m128i)mask) != 0;
#else
  int32_t any = 0;
  for (int l = 0; l < 2 * PW_WIDE; l++)
    any |= mask[l];
  return any != 0;
#endif
}
