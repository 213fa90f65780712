#include "exec/half.h"

#include <math.h>
#include <string.h>

static uint32_t
bits_of (float value) {
  uint32_t bits;
  memcpy (&bits, &value, sizeof bits);
  return bits;
}

static float
value_of (uint32_t bits) {
  float value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

/* The upper half of an fp32; a carry out of the mantissa is the next power of two, or infinity. */
static uint16_t
to_bf16 (float value) {
  uint32_t bits = bits_of (value);
  if (isnan (value))
    return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t
to_fp16 (float value) {
  uint32_t sign = bits_of (value) >> 16 & 0x8000, bits = bits_of (value) & 0x7fffffff;
  if (isnan (value))
    return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x3ff));
  if (bits >= bits_of (65520)) /* half way from the largest one to 2^16 */
    return (uint16_t)(sign | 0x7c00);
  if (bits < bits_of (0x1p-14f)) /* at 0.5 the last bit of an fp32 is the smallest fp16 */
    return (uint16_t)(sign | (bits_of (value_of (bits) + 0.5f) - bits_of (0.5f)));
  bits += 0xfff + (bits >> 13 & 1);
  return (uint16_t)(sign | (bits - (112u << 23)) >> 13);
}

static float
from_fp16 (uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
  if (rest >= 0x7c00)
    return value_of (sign | 0x7f800000 | rest << 13);
  if (rest < 0x400)
    return copysignf ((float)rest * 0x1p-24f, value_of (sign));
  return value_of (sign | ((rest << 13) + (112u << 23)));
}

void
pw__floats_to (PwDtype element, const float *from, int64_t n, void *to) {
  uint16_t *halves = to;
  if (element == PW_DTYPE_F32)
    memcpy (to, from, (gsize)n * sizeof (float));
  else if (element == PW_DTYPE_BF16)
    for (int64_t i = 0; i < n; i++)
      halves[i] = to_bf16 (from[i]);
  else
    for (int64_t i = 0; i < n; i++)
      halves[i] = to_fp16 (from[i]);
}

void
pw__floats_from (PwDtype element, const void *from, int64_t n, float *to) {
  const uint16_t *halves = from;
  if (element == PW_DTYPE_F32)
    memcpy (to, from, (gsize)n * sizeof (float));
  else if (element == PW_DTYPE_BF16)
    for (int64_t i = 0; i < n; i++)
      to[i] = value_of ((uint32_t)halves[i] << 16);
  else
    for (int64_t i = 0; i < n; i++)
      to[i] = from_fp16 (halves[i]);
}
