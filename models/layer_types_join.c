/* Where branches meet: sums and concatenations of two layers' outputs. */
#include "models/models_private.h"

static gboolean
fail_shapes (const PwShape *inputs, GError **error, const char *wanted) {
  g_autofree char *first = pw_shape_to_string (&inputs[0]);
  g_autofree char *second = pw_shape_to_string (&inputs[1]);
  g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_SHAPE, "needs %s, but %s and %s come in",
               wanted, first, second);
  return FALSE;
}

/* All of it is moving: what comes in and what goes out, and the same the other way for the
 * gradients. */
static void
set_costs (PwLayerInfo *info, const PwShape *inputs) {
  int64_t bytes
      = pw_shape_bytes (&info->output) + pw_shape_bytes (&inputs[0]) + pw_shape_bytes (&inputs[1]);
  info->bytes_forward = info->bytes_input = bytes;
  info->has_input_gradient = TRUE;
}

gboolean
pw__describe_add (const PwLayerType *type, const PwLayerAttributes *attributes,
                  const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type, (void)attributes;
  if (!pw_shape_equal (&inputs[0], &inputs[1]))
    return fail_shapes (inputs, error, "two of one shape");
  info->output = inputs[0];
  set_costs (info, inputs);
  return TRUE;
}

gboolean
pw__describe_concat (const PwLayerType *type, const PwLayerAttributes *attributes,
                     const PwShape *inputs, PwLayerInfo *info, GError **error) {
  (void)type, (void)attributes;
  PwShape as_first = inputs[1];
  if (as_first.n_dims > 0)
    as_first.dims[0] = inputs[0].dims[0];
  if (inputs[0].n_dims < 1 || !pw_shape_equal (&inputs[0], &as_first))
    return fail_shapes (inputs, error, "two of one shape except for the first dimension");
  info->output = inputs[0];
  info->output.dims[0] += inputs[1].dims[0];
  set_costs (info, inputs);
  return TRUE;
}
