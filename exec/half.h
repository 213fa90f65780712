/* Values in two bytes on the host. */
#pragma once
#include "models/shape.h"

/* TO[n] of type ELEMENT is FROM rounded to nearest, ties to even; fp32 is copied. */
void pw__floats_to (PwDtype element, const float *from, int64_t n, void *to);
/* Exact. */
void pw__floats_from (PwDtype element, const void *from, int64_t n, float *to);
