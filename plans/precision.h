/* What a plan computes in. */
#pragma once
#include "models/shape.h"

/* tf32: data in fp32, products of rounded operands. bf16 and fp16: activations, what travels and
 * parameters in two bytes; parameter gradients and optimiser in fp32, with a master copy of each
 * parameter (1710.03740). */
typedef enum {
  PW_PRECISION_FP32,
  PW_PRECISION_BF16,
  PW_PRECISION_FP16,
  PW_PRECISION_TF32,
  PW_PRECISION_N
} PwPrecision;
extern const char *const pw_precision_names[]; /* "fp32", "bf16", "fp16", "tf32", NULL */
PwDtype pw_precision_element (PwPrecision precision);
