/* Random factors, in all lanes at once; compiled once per instruction set (PW_SIM_JITTER).
 *
 * The numbers are Philox4x32-10's (Salmon et al., SC 2011), a function of the seed, the action and
 * the sample: whoever asks for one, in whatever order, gets the same. One block of four words
 * serves four samples. A word becomes a normal number by the quantile function, and that a factor:
 * all in sums, products and roots of single precision, which every instruction set rounds alike,
 * and without tables to look up. Polynomials are Chebyshev interpolations. */
#include "sim/lanes_loops_private.h"
#include "sim/lanes_vector_private.h"

#define ROUNDS 10
#define BLOCKS (PW_SIM_SAMPLES / 4) /* counters of one action in one pass */

/* Two words of a block side by side, as single-precision lanes: twice as many as there are blocks
 * in a register. Both halves of a block go through each step together, as each waits for its own.
 */
#define EACH for (int k = 0; k < 2; k++)

static inline __attribute__ ((always_inline)) void
philox (uint32_t key[ROUNDS][2], uint32_t id, PwWideBits block, PwFloatBits word[2]) {
  PwWideBits c0 = wide_all_bits (id), c1 = block, c2 = block >> 32, c3 = wide_all_bits (0);
#pragma GCC unroll 10
  for (int round = 0; round < ROUNDS; round++) {
    PwWideBits p0 = wide_multiply_low (c0, 0xd2511f53u);
    PwWideBits p1 = wide_multiply_low (c2, 0xcd9e8d57u);
    c0 = (p1 >> 32) ^ c1 ^ wide_all_bits (key[round][0]);
    c2 = (p0 >> 32) ^ c3 ^ wide_all_bits (key[round][1]);
    c1 = p1;
    c3 = p0;
  }
  word[0] = (PwFloatBits)((c0 & 0xffffffffu) | c1 << 32);
  word[1] = (PwFloatBits)((c2 & 0xffffffffu) | c3 << 32);
}

/* The highest power first. */
static inline __attribute__ ((always_inline)) void
polynomial (const float *c, int n, const PwFloats x[2], PwFloats y[2]) {
  EACH y[k] = floats_all (c[0]);
#pragma GCC unroll 16
  for (int i = 1; i < n; i++)
    EACH y[k] = y[k] * x[k] + c[i];
}
#define POLYNOMIAL(c, x, y) polynomial (c, sizeof c / sizeof *c, x, y)

/* log (1 + y) / y over [1/sqrt 2 - 1, sqrt 2 - 1]; the logarithm to 4e-7. */
static const float log_c[] = { 0.119310544f, -0.186807514f, 0.204917596f, -0.249082892f,
                               0.333146738f, -0.50001145f,  1.0f };

/* -log t for t in [2^-63, 1]. */
static inline __attribute__ ((always_inline)) void
minus_log (const PwFloats t[2], PwFloats w[2]) {
  const uint32_t bias = (64u << 23) - 0x3f3504f3u; /* 2^64 / sqrt (1/2), as bits */
  PwFloats y[2], power[2];
  EACH {
    PwFloatBits exponent = ((PwFloatBits)t[k] + bias) >> 23; /* + 64 */
    power[k] = floats_from (exponent) - 64.0f;
    y[k] = (PwFloats)((PwFloatBits)t[k] - (exponent << 23) + (64u << 23)) - 1.0f;
  }
  POLYNOMIAL (log_c, y, w);
  EACH w[k] = power[k] * -0.693147181f - y[k] * w[k];
}

/* The normal quantile z of p < 1/2, as -z / (1 - 2 p) over w = -log (4 p (1 - p)): in w for w < 5,
 * then in its root, down to p = 2^-33; to 1e-6. */
#define CENTRE 2.5f
static const float centre_c[]
    = { 4.84403299e-07f, -4.4862858e-06f, -6.19939125e-06f, 0.000307181201f,
        -0.00177306829f, -0.00590571129f, 0.348802705f,     2.12331309f };
#define TAIL 3.46803399f
static const float tail_c[] = { -0.000251436293f, 0.000843811979f, -0.00122698659f, 0.00161694992f,
                                -0.00305967839f,  0.00494291993f,  1.42432129f,     4.67155343f };

static inline __attribute__ ((always_inline)) void
normal (const PwFloatBits word[2], PwFloats z[2]) {
  PwFloats x[2], t[2], w[2], centred[2];
  PwFloatBits below[2]; /* all bits where p < 1/2 */
  EACH {
    below[k] = (PwFloatBits)((PwFloatMask)~word[k] >> 31);
    PwFloatBits least = word[k] ^ ~below[k]; /* the nearer end is at 0 */
    PwFloats p = (floats_from (least) + 0.5f) * 0x1p-32f;
    x[k] = 1.0f - 2.0f * p;
    t[k] = 4.0f * p * (1.0f - p);
  }
  minus_log (t, w);
  EACH centred[k] = w[k] - CENTRE;
  POLYNOMIAL (centre_c, centred, z);
  if (__builtin_expect (floats_any ((w[0] > 5.0f) | (w[1] > 5.0f)), 0)) {
    PwFloats root[2], far[2];
    EACH root[k] = floats_sqrt (w[k]) - TAIL;
    POLYNOMIAL (tail_c, root, far);
    EACH z[k] = floats_select (w[k] > 5.0f, far[k], z[k]);
  }
  EACH z[k] = (PwFloats)((PwFloatBits)(z[k] * x[k]) ^ (below[k] & 0x80000000u));
}

/* exp over [-log 2 / 2, log 2 / 2], to 1e-7. */
static const float exp_c[]
    = { 0.00837512889f, 0.0419175297f, 0.166664155f, 0.499988691f, 1.00000004f, 1.00000008f };

/* exp y for |y| < 80. */
static inline __attribute__ ((always_inline)) void
exponential (const PwFloats y[2], PwFloats e[2]) {
  const float round = 0x1.8p23f; /* adding it leaves the nearest whole number in the low bits */
  PwFloats shifted[2], rest[2];
  EACH {
    shifted[k] = y[k] * 1.44269504f + round;
    rest[k] = y[k] - (shifted[k] - round) * 0.693147181f;
  }
  POLYNOMIAL (exp_c, rest, e);
  EACH e[k] *= (PwFloats)(((PwFloatBits)shifted[k] << 23) + (127u << 23));
}

static inline void
draw_step (const PwSimDraw *draw, uint32_t key[ROUNDS][2], uint64_t group, double *durations) {
  float deviation = (float)draw->deviation, mean = -0.5f * deviation * deviation;
  for (int l = 0; l < BLOCKS; l += PW_WIDE) {
    PwFloatBits word[2];
    PwFloats z[2], factor[2];
    philox (key, draw->id, wide_count (group * BLOCKS + (uint64_t)l), word);
    normal (word, z);
    EACH z[k] = z[k] * deviation + mean;
    exponential (z, factor);
    EACH {
      double *out = durations + 2 * k * BLOCKS + l;
      PwWideBits both = (PwWideBits)factor[k];
      wide_store (out, wide_from_float (both & 0xffffffffu) * draw->duration);
      wide_store (out + BLOCKS, wide_from_float (both >> 32) * draw->duration);
    }
  }
}

void
PW_SIM_JITTER (const PwSimDraw *draws, int64_t n, uint64_t seed, uint64_t group,
               double *durations) {
  uint32_t key[ROUNDS][2];
  for (int round = 0; round < ROUNDS; round++) {
    key[round][0] = (uint32_t)seed + (uint32_t)round * 0x9e3779b9u;
    key[round][1] = (uint32_t)(seed >> 32) + (uint32_t)round * 0xbb67ae85u;
  }
  for (int64_t i = 0; i < n; i++)
    draw_step (&draws[i], key, group, durations + (int64_t)draws[i].place * PW_SIM_SAMPLES);
}
