/* Which elements dropout keeps, the same on every backend: numbers from a counter (splitmix64;
 * Steele, Lea and Flood 2014), so they hang on no order and need no memory. Two elements share one
 * 64-bit number. */
#pragma once
#include <stdint.h>

#ifdef __CUDACC__
#  define PW_DROPOUT_FUNCTION static inline __host__ __device__
#else
#  define PW_DROPOUT_FUNCTION static inline
#endif

PW_DROPOUT_FUNCTION uint64_t
pw__dropout_mix (uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Of a layer in a step. */
PW_DROPOUT_FUNCTION uint64_t
pw__dropout_key (uint64_t seed, int64_t step, int layer) {
  return pw__dropout_mix (pw__dropout_mix (pw__dropout_mix (seed) ^ (uint64_t)step)
                          ^ (uint64_t)layer);
}

/* Of one sample of the mini-batch there. */
PW_DROPOUT_FUNCTION uint64_t
pw__dropout_sample_key (uint64_t key, int64_t sample) {
  return pw__dropout_mix (key ^ (uint64_t)sample);
}

/* The two 32-bit numbers of elements 2 PAIR (low half) and 2 PAIR + 1 (high half). */
PW_DROPOUT_FUNCTION uint64_t
pw__dropout_pair (uint64_t sample_key, int64_t pair) {
  return pw__dropout_mix (sample_key + (uint64_t)pair * 0x9e3779b97f4a7c15u);
}

/* An element is kept if its number is at least this: PROBABILITY to the nearest 2^-32. */
PW_DROPOUT_FUNCTION uint64_t
pw__dropout_threshold (double probability) {
  return (uint64_t)(probability * 0x1p32 + 0.5);
}

PW_DROPOUT_FUNCTION int
pw__dropout_keeps (uint64_t pair, int64_t element, uint64_t threshold) {
  return (element & 1 ? pair >> 32 : pair & 0xffffffffu) >= threshold;
}
