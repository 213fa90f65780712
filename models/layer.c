#include "models/layer.h"

#include <pthread.h>
#include <string.h>

#include "models/models_private.h"

#define TYPES_MAX 256

GQuark
pw_model_error_quark (void) {
  return g_quark_from_static_string ("pw-model-error-quark");
}

/* A fixed table, so that a list handed out stays valid while types are added. */
static const PwLayerType *types[TYPES_MAX + 1];
static gsize n_types;
static pthread_mutex_t types_mutex = PTHREAD_MUTEX_INITIALIZER;

/* With the mutex held. */
static void
add_builtin_types (void) {
  if (n_types > 0)
    return;
  for (gsize i = 0; i < pw__n_layer_types; i++)
    types[n_types++] = &pw__layer_types[i];
}

static const PwLayerType *
find (const char *name) {
  for (gsize i = 0; i < n_types; i++)
    if (strcmp (types[i]->name, name) == 0)
      return types[i];
  return NULL;
}

const PwLayerType *
pw_layer_type_get (const char *name) {
  pthread_mutex_lock (&types_mutex);
  add_builtin_types ();
  const PwLayerType *type = find (name);
  pthread_mutex_unlock (&types_mutex);
  return type;
}

const PwLayerType *const *
pw_layer_type_list (void) {
  pthread_mutex_lock (&types_mutex);
  add_builtin_types ();
  pthread_mutex_unlock (&types_mutex);
  return types;
}

gboolean
pw_layer_type_register (const PwLayerType *type) {
  g_assert (type->name != NULL && type->describe != NULL);
  g_assert (type->n_inputs >= 1 && type->n_inputs <= PW_LAYER_INPUTS_MAX);
  pthread_mutex_lock (&types_mutex);
  add_builtin_types ();
  gboolean is_new = n_types < TYPES_MAX && find (type->name) == NULL;
  if (is_new)
    types[n_types++] = type;
  pthread_mutex_unlock (&types_mutex);
  return is_new;
}

GError *
pw__unknown_error (const char *what, const char *name, const char *const *names) {
  const char *nearest = pw_json_nearest (name, names);
  if (nearest != NULL)
    return g_error_new (PW_MODEL_ERROR, PW_MODEL_ERROR_UNKNOWN,
                        "there is no %s \"%s\", did you mean \"%s\"?", what, name, nearest);
  g_autofree char *all = g_strjoinv (", ", (char **)names);
  return g_error_new (PW_MODEL_ERROR, PW_MODEL_ERROR_UNKNOWN,
                      "there is no %s \"%s\", there are: %s", what, name, all);
}

GError *
pw__unknown_type_error (const char *name) {
  const char *names[TYPES_MAX + 1] = { NULL };
  for (gsize i = 0; types[i] != NULL; i++)
    names[i] = types[i]->name;
  return pw__unknown_error ("layer type", name, names);
}

void
pw_layer_attributes_init (PwLayerAttributes *attributes) {
  *attributes = (PwLayerAttributes){ .bias = TRUE, .causal = TRUE, .epsilon = 1e-5 };
}

int64_t
pw_layer_info_parameters (const PwLayerInfo *info) {
  int64_t elements = 0;
  for (int i = 0; i < info->n_parameters; i++)
    elements += pw_shape_elements (&info->parameters[i].shape);
  return elements;
}

int64_t
pw__layer_flops (const PwLayerInfo *info) {
  return info->flops_forward + info->flops_input + info->flops_weight - info->flops_again;
}
