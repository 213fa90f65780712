/* The 16-bit types on the host, slowly: to the nearest, ties to even. Numbers only. */
#pragma once
#include "kernels/kernels.h"

/* The value itself for a type that is not a half one. */
float op_round (PwElement, float);
void op_halves_from_floats (PwElement, guint16 *to, const float *from, gsize n);
void op_floats_from_halves (PwElement, float *to, const guint16 *from, gsize n);
