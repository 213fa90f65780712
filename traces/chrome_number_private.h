/* Numbers as JSON text, fast. A decimal of up to 9 * 10^15 units and 22 places is one exact integer
 * over one exact power of ten, so what a reader will make of it is one correctly rounded division:
 * the writer knows it without reading its own text back. */
#pragma once
#include <glib.h>
#include <stdint.h>

#define PW__NUMBER_TEXT_MAX 48

gsize pw__number_write_integer (char *text, int64_t value);
/* 15 or 16 digits; READ is what a reader gets, within 1e-15 of VALUE, relatively. */
gsize pw__number_write_short (char *text, double value, double *read);
/* As many digits as VALUE needs to come back to the last bit. */
gsize pw__number_write (char *text, double value);
