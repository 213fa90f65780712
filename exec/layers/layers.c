#include "exec/layers/layers.h"
#include "exec/layers/rows_private.h"

static const PwLayerRunner *const built_in[] = {
  &pw__layer_linear,    &pw__layer_relu,    &pw__layer_gelu,      &pw__layer_layernorm,
  &pw__layer_rmsnorm,   &pw__layer_dropout, &pw__layer_embedding, &pw__layer_positional_embedding,
  &pw__layer_attention, &pw__layer_add,     &pw__layer_concat,    &pw__layer_cross_entropy,
  &pw__layer_mse,
};

static GPtrArray *registered;

const PwLayerRunner *
pw_layer_runner_get (const char *type) {
  for (gsize i = 0; i < G_N_ELEMENTS (built_in); i++)
    if (g_str_equal (built_in[i]->name, type))
      return built_in[i];
  for (guint i = 0; registered && i < registered->len; i++) {
    const PwLayerRunner *runner = g_ptr_array_index (registered, i);
    if (g_str_equal (runner->name, type))
      return runner;
  }
  return NULL;
}

gboolean
pw_layer_runner_register (const PwLayerRunner *runner) {
  if (pw_layer_runner_get (runner->name))
    return FALSE;
  if (!registered)
    registered = g_ptr_array_new ();
  g_ptr_array_add (registered, (gpointer)runner);
  return TRUE;
}

PwElement
pw_layer_element (PwDtype dtype) {
  static const PwElement elements[PW_DTYPE_N] = {
    [PW_DTYPE_F32] = PW_ELEMENT_F32,
    [PW_DTYPE_BF16] = PW_ELEMENT_BF16,
    [PW_DTYPE_F16] = PW_ELEMENT_F16,
    [PW_DTYPE_I32] = PW_ELEMENT_I32,
  };
  return elements[dtype];
}

gsize
pw_layer_runner_workspace (const PwLayerRunner *runner, const PwLayer *layer, PwOpContext *context,
                           int64_t samples) {
  return runner->workspace ? runner->workspace (layer, context, samples) : 0;
}

gboolean
pw__layer_hand_on (PwLayerCall *call, int i, GError **error) {
  PwTensor *to = &call->input_gradients[i];
  if (!to->data)
    return TRUE;
  return call->context->backend->copy (call->context->stream, to->data, call->output_gradient.data,
                                       (gsize)pw_tensor_bytes (to), error);
}
