#include "models/shape.h"

#include "models/models_private.h"

/* Bytes and name of each type. */
static const struct {
  const char *name;
  int64_t bytes;
} dtypes[PW_DTYPE_N] = {
  [PW_DTYPE_F32] = { .name = "fp32", .bytes = 4 },
  [PW_DTYPE_BF16] = { .name = "bf16", .bytes = 2 },
  [PW_DTYPE_F16] = { .name = "fp16", .bytes = 2 },
  [PW_DTYPE_I32] = { .name = "int32", .bytes = 4 },
};

int64_t
pw_dtype_bytes (PwDtype dtype) {
  g_assert (dtype < PW_DTYPE_N);
  return dtypes[dtype].bytes;
}

const char *
pw_dtype_name (PwDtype dtype) {
  g_assert (dtype < PW_DTYPE_N);
  return dtypes[dtype].name;
}

int64_t
pw__multiply (int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow (a, b, &product) || product > PW_LAYER_FIGURE_MAX)
    return PW_LAYER_FIGURE_MAX;
  return product;
}

int64_t
pw_shape_elements (const PwShape *shape) {
  int64_t elements = 1;
  for (int i = 0; i < shape->n_dims; i++)
    elements = pw__multiply (elements, shape->dims[i]);
  return elements;
}

int64_t
pw_shape_bytes (const PwShape *shape) {
  return pw__multiply (pw_shape_elements (shape), pw_dtype_bytes (shape->dtype));
}

gboolean
pw_shape_equal (const PwShape *a, const PwShape *b) {
  if (a->dtype != b->dtype || a->n_dims != b->n_dims)
    return FALSE;
  for (int i = 0; i < a->n_dims; i++)
    if (a->dims[i] != b->dims[i])
      return FALSE;
  return TRUE;
}

char *
pw_shape_to_string (const PwShape *shape) {
  GString *text = g_string_new ("[");
  for (int i = 0; i < shape->n_dims; i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT, i > 0 ? ", " : "", shape->dims[i]);
  g_string_append_printf (text, "] %s", pw_dtype_name (shape->dtype));
  return g_string_free (text, FALSE);
}
