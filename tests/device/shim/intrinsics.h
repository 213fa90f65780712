/* Device functions that have no twin in the host's library. The fast ones are computed exactly:
 * comparisons with a device need a tolerance. */
#pragma once
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <type_traits>

namespace pw_shim {
template <class To, class From>
static inline To
bits_of (From from) {
  static_assert (sizeof (To) == sizeof (From), "");
  To to;
  memcpy (&to, &from, sizeof to);
  return to;
}
} // namespace pw_shim

static inline float
rsqrtf (float x) {
  return 1.f / sqrtf (x);
}
static inline double
rsqrt (double x) {
  return 1. / sqrt (x);
}
/* Macros: the host's library has names of its own like these, declared without a body. */
#define __expf(x) expf (x)
#define __exp10f(x) powf (10.f, x)
#define __logf(x) logf (x)
#define __log2f(x) log2f (x)
#define __powf(x, y) powf (x, y)
#define __sinf(x) sinf (x)
#define __cosf(x) cosf (x)
static inline float
__fdividef (float a, float b) {
  return a / b;
}
static inline float
__saturatef (float x) {
  return x < 0 || x != x ? 0.f : x > 1 ? 1.f : x;
}
/* The host is compiled without contraction, so plain operators round once each. */
#define __fadd_rn(a, b) ((float)(a) + (float)(b))
#define __fsub_rn(a, b) ((float)(a) - (float)(b))
#define __fmul_rn(a, b) ((float)(a) * (float)(b))
#define __fdiv_rn(a, b) ((float)(a) / (float)(b))
#define __fmaf_rn(a, b, c) fmaf (a, b, c)
#define __frcp_rn(a) (1.f / (float)(a))
#define __fsqrt_rn(a) sqrtf (a)
#define __frsqrt_rn(a) rsqrtf (a)
#define __dadd_rn(a, b) ((double)(a) + (double)(b))
#define __dmul_rn(a, b) ((double)(a) * (double)(b))
#define __ddiv_rn(a, b) ((double)(a) / (double)(b))
#define __fma_rn(a, b, c) fma (a, b, c)
#define __dsqrt_rn(a) sqrt (a)

#define __int_as_float(x) pw_shim::bits_of<float> ((int)(x))
#define __uint_as_float(x) pw_shim::bits_of<float> ((unsigned)(x))
#define __float_as_int(x) pw_shim::bits_of<int> ((float)(x))
#define __float_as_uint(x) pw_shim::bits_of<unsigned> ((float)(x))
#define __longlong_as_double(x) pw_shim::bits_of<double> ((long long)(x))
#define __double_as_longlong(x) pw_shim::bits_of<long long> ((double)(x))
#define __int2float_rn(x) ((float)(int)(x))
#define __uint2float_rn(x) ((float)(unsigned)(x))
#define __double2float_rn(x) ((float)(double)(x))
#define __float2int_rn(x) ((int)rintf (x))
#define __float2int_rz(x) ((int)(float)(x))
#define __float2int_rd(x) ((int)floorf (x))
#define __float2int_ru(x) ((int)ceilf (x))

#define __popc(x) __builtin_popcount ((unsigned)(x))
#define __popcll(x) __builtin_popcountll ((unsigned long long)(x))
#define __ffs(x) __builtin_ffs ((int)(x))
static inline int
__clz (int x) {
  return x ? __builtin_clz ((unsigned)x) : 32;
}
static inline int
__clzll (long long x) {
  return x ? __builtin_clzll ((unsigned long long)x) : 64;
}
static inline unsigned
__umulhi (unsigned a, unsigned b) {
  return (unsigned)((unsigned long long)a * b >> 32);
}
static inline unsigned long long
__umul64hi (unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}

/* Loads and stores with a hint for the cache. */
#define PW_SHIM_LOAD(name)                                                                         \
  template <class T> static inline T name (const T *address) {                                     \
    return *address;                                                                               \
  }
PW_SHIM_LOAD (__ldg)
PW_SHIM_LOAD (__ldcg)
PW_SHIM_LOAD (__ldca)
PW_SHIM_LOAD (__ldcs)
PW_SHIM_LOAD (__ldlu)
PW_SHIM_LOAD (__ldcv)
#undef PW_SHIM_LOAD
#define PW_SHIM_STORE(name)                                                                        \
  template <class T, class V> static inline void name (T *address, V value) {                      \
    *address = value;                                                                              \
  }
PW_SHIM_STORE (__stcg)
PW_SHIM_STORE (__stcs)
PW_SHIM_STORE (__stwb)
PW_SHIM_STORE (__stwt)
#undef PW_SHIM_STORE

/* CUDA's min and max take any two arithmetic types. */
template <class A, class B>
static inline typename std::common_type<A, B>::type
min (A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
static inline typename std::common_type<A, B>::type
max (A a, B b) {
  return a < b ? b : a;
}

#define __trap() pw_shim_trap ("__trap")
#define __builtin_assume(x) ((void)0)
#define __nanosleep(x) ((void)(x))
