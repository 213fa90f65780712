/* A chain of layers, collected as the JSON that a plan would hold: one reader checks both. */
#include "pipewright/pipeline_private.h"
#include <stdarg.h>

PwSequential *
pw_sequential_new (void) {
  PwSequential *model = g_new0 (PwSequential, 1);
  model->layers = json_array ();
  return model;
}

void
pw_sequential_free (PwSequential *model) {
  if (!model)
    return;
  json_decref (model->layers);
  g_clear_error (&model->error);
  g_free (model);
}

static const PwJsonKey *
find_attribute (const PwLayerType *type, const char *name) {
  for (gsize i = 0; i < type->n_keys; i++)
    if (g_str_equal (type->keys[i].key, name))
      return &type->keys[i];
  return NULL;
}

void
pw_sequential_add (PwSequential *model, const char *type_name, ...) {
  if (model->error)
    return;
  const PwLayerType *type = pw_layer_type_get (type_name);
  gsize position = json_array_size (model->layers);
  if (!type) {
    g_set_error (&model->error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_MODEL,
                 "layer %zu: there is no layer type \"%s\"", position, type_name);
    return;
  }

  json_t *layer = json_pack ("{s:s}", "type", type_name);
  va_list arguments;
  va_start (arguments, type_name);
  for (const char *name; (name = va_arg (arguments, const char *)) && !model->error;) {
    int64_t value = va_arg (arguments, int64_t);
    const PwJsonKey *key = find_attribute (type, name);
    if (!key)
      g_set_error (&model->error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_MODEL,
                   "layer %zu: %s has no attribute \"%s\"", position, type_name, name);
    else
      json_object_set_new (layer, name,
                           key->type == PW_JSON_BOOLEAN  ? json_boolean (value)
                           : key->type == PW_JSON_NUMBER ? json_real ((double) value)
                                                         : json_integer (value));
  }
  va_end (arguments);
  json_array_append_new (model->layers, layer);
}

void
pw_sequential_add_json (PwSequential *model, const char *json) {
  if (model->error)
    return;
  json_error_t where;
  json_t *layer = json_loads (json, JSON_REJECT_DUPLICATES, &where);
  if (!layer) {
    g_set_error (&model->error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_MODEL,
                 "layer %zu: column %d: %s", json_array_size (model->layers), where.column,
                 where.text);
    return;
  }
  json_array_append_new (model->layers, layer);
}
