/* A register of doubles of the instruction set this file is compiled for, and what GCC's vector
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
typedef int64_t PwWideMask __attribute__ ((vector_size (PW_WIDE * 8)));

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
