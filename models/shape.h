/* Element types and shapes. A shape leaves out the leading sample dimension: a tensor of a
 * micro-batch with n samples has shape [n, dims...]. */
#pragma once
#include <glib.h>
#include <stdint.h>

typedef enum { PW_DTYPE_F32, PW_DTYPE_BF16, PW_DTYPE_F16, PW_DTYPE_I32, PW_DTYPE_N } PwDtype;
int64_t pw_dtype_bytes (PwDtype dtype);
const char *pw_dtype_name (PwDtype dtype); /* "fp32", "bf16", "fp16", "int32" */

#define PW_SHAPE_DIMS_MAX 4
typedef struct {
  PwDtype dtype;
  int n_dims; /* 0: one scalar per sample */
  int64_t dims[PW_SHAPE_DIMS_MAX];
} PwShape;

int64_t pw_shape_elements (const PwShape *shape); /* per sample; 1 for a scalar */
int64_t pw_shape_bytes (const PwShape *shape);    /* per sample */
gboolean pw_shape_equal (const PwShape *a, const PwShape *b);
char *pw_shape_to_string (const PwShape *shape); /* "[128, 256] fp32" */
