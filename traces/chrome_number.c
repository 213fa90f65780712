#include "traces/chrome_number_private.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DECIMALS_MAX 22
static const double powers[DECIMALS_MAX + 1]
    = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

gsize
pw__number_write_integer (char *text, int64_t value) {
  char digits[24];
  gsize n = 0, length = 0;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do {
    digits[n++] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (value < 0)
    text[length++] = '-';
  while (n > 0)
    text[length++] = digits[--n];
  return length;
}

/* UNITS / 10^DECIMALS */
static gsize
write_decimal (char *text, int64_t units, int decimals) {
  char digits[24];
  gsize n = pw__number_write_integer (digits, units < 0 ? -units : units), length = 0;
  gsize places = (gsize)decimals, whole = n > places ? n - places : 0;
  if (units < 0)
    text[length++] = '-';
  memcpy (text + length, digits, whole);
  length += whole;
  if (whole == 0)
    text[length++] = '0';
  if (places == 0)
    return length;
  text[length++] = '.';
  for (gsize zeros = n - whole; zeros < places; zeros++)
    text[length++] = '0';
  memcpy (text + length, digits + whole, n - whole);
  return length + n - whole;
}

static gsize
write_all_digits (char *text, double value) {
  g_ascii_formatd (text, PW__NUMBER_TEXT_MAX, "%.17g", value);
  return strlen (text);
}

gsize
pw__number_write_short (char *text, double value, double *read) {
  double size = fabs (value);
  int decimals = 0;
  while (decimals < DECIMALS_MAX && size * powers[decimals] < 9e14)
    decimals++;
  double units = rint (value * powers[decimals]);
  if (fabs (units) > 9e15 || (units == 0 && value != 0)) {
    *read = value;
    return write_all_digits (text, value);
  }
  int64_t whole = (int64_t)units;
  *read = (double)whole / powers[decimals];
  while (decimals > 0 && whole % 10 == 0) {
    whole /= 10;
    decimals--;
  }
  return write_decimal (text, whole, decimals);
}

gsize
pw__number_write (char *text, double value) {
  double read;
  gsize length = pw__number_write_short (text, value, &read);
  return read == value ? length : write_all_digits (text, value);
}
