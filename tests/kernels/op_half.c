#include "tests/kernels/op_half.h"
#include <math.h>

typedef struct {
  int mantissa_bits, bias; /* of the exponent */
} Format;

static const Format bfloat16 = { .mantissa_bits = 7, .bias = 127 };
static const Format float16 = { .mantissa_bits = 10, .bias = 15 };

static const Format *
format_of (PwElement element) {
  g_assert_true (element == PW_ELEMENT_BF16 || element == PW_ELEMENT_F16);
  return element == PW_ELEMENT_BF16 ? &bfloat16 : &float16;
}

/* In units of the last place, a number's code is that number plus a step per power of 2: so a
 * mantissa that is rounded up to 2 needs no case of its own. */
static guint16
encode (const Format *format, float value) {
  int exponent;
  if (isinf (value))
    return (guint16)((2 * format->bias + 1) << format->mantissa_bits | (value < 0 ? 0x8000 : 0));
  frexp ((double)value, &exponent);
  exponent = value == 0 ? 1 - format->bias : MAX (exponent - 1, 1 - format->bias);
  double units = nearbyint (ldexp (fabs ((double)value), format->mantissa_bits - exponent));
  int code = ((exponent + format->bias - 1) << format->mantissa_bits) + (int)units;
  return (guint16)(code | (signbit (value) ? 0x8000 : 0));
}

static float
decode (const Format *format, guint16 code) {
  int exponent = (code & 0x7fff) >> format->mantissa_bits;
  int mantissa = code & ((1 << format->mantissa_bits) - 1);
  if (exponent == 2 * format->bias + 1)
    return mantissa != 0 ? NAN : code & 0x8000 ? -INFINITY : INFINITY;
  if (exponent != 0)
    mantissa += 1 << format->mantissa_bits;
  double value = ldexp (mantissa, MAX (exponent, 1) - format->bias - format->mantissa_bits);
  return (float)(code & 0x8000 ? -value : value);
}

float
op_round (PwElement element, float value) {
  if (element == PW_ELEMENT_F32)
    return value;
  const Format *format = format_of (element);
  return decode (format, encode (format, value));
}

void
op_halves_from_floats (PwElement element, guint16 *to, const float *from, gsize n) {
  for (gsize i = 0; i < n; i++)
    to[i] = encode (format_of (element), from[i]);
}

void
op_floats_from_halves (PwElement element, float *to, const guint16 *from, gsize n) {
  for (gsize i = 0; i < n; i++)
    to[i] = decode (format_of (element), from[i]);
}
