/* Counter-based random numbers: number I of STREAM, computed from these two alone. */
#pragma once
#include <math.h>
#include <stdint.h>

static inline uint64_t
pw__random_mix (uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static inline uint64_t
pw__random_bits (uint64_t stream, uint64_t i) {
  return pw__random_mix (stream + i * 0x9e3779b97f4a7c15u);
}

/* In [0, 1), 53 bits. */
static inline double
pw__random_uniform (uint64_t stream, uint64_t i) {
  return (double)(pw__random_bits (stream, i) >> 11) * 0x1p-53;
}

/* Box and Muller 1958, from the uniform numbers I and I + 1. */
static inline void
pw__random_normal_pair (uint64_t stream, uint64_t i, double pair[2]) {
  double radius = sqrt (-2 * log (1 - pw__random_uniform (stream, i)));
  double angle = 2 * 3.14159265358979323846 * pw__random_uniform (stream, i + 1);
  pair[0] = radius * cos (angle);
  pair[1] = radius * sin (angle);
}
