#include "models/registry.h"

#include <string.h>

#include "models/models_private.h"

/* The catalogue: a new model is a file in zoo/ and a line here. */
static const PwModel *const models[] = {
  &pw__model_mlp,
  &pw__model_gpt,
  NULL,
};

const PwModel *const *
pw_model_list (void) {
  return models;
}

const PwModel *
pw_model_get (const char *name) {
  for (const PwModel *const *model = models; *model != NULL; model++)
    if (strcmp ((*model)->name, name) == 0)
      return *model;
  return NULL;
}

static PwGraph *
fail_unknown (PwJsonPlace place, const char *name, GError **error) {
  const char *names[G_N_ELEMENTS (models)] = { NULL };
  for (gsize i = 0; models[i] != NULL; i++)
    names[i] = models[i]->name;
  GError *unknown = pw__unknown_error ("model", name, names);
  pw_json_prefix_error (place, &unknown);
  g_propagate_error (error, unknown);
  return NULL;
}

/* SIZES has the model's keys only; NULL: the defaults. */
static PwGraph *
build (PwJsonPlace place, const PwModel *model, json_t *sizes, GError **error) {
  g_autofree void *options = g_malloc0 (model->options_size);
  model->defaults (options);
  if (sizes != NULL
      && !pw_json_read_object (place, sizes, model->keys, model->n_keys, options, error))
    return NULL;
  GError *failure = NULL;
  PwGraph *graph = model->build (options, &failure);
  if (graph == NULL) {
    pw_json_prefix_error (place, &failure);
    g_propagate_error (error, failure);
  }
  return graph;
}

/* A file beside the one that names it. */
static PwGraph *
read_file (PwJsonPlace place, const char *path, GError **error) {
  g_autofree char *folder = g_path_get_dirname (place.file != NULL ? place.file->file : ".");
  g_autofree char *beside = g_path_is_absolute (path) || strcmp (folder, ".") == 0
                                ? g_strdup (path)
                                : g_build_filename (folder, path, NULL);
  g_autoptr (PwJsonFile) json = pw_json_file_load (beside, error);
  if (json == NULL) {
    pw_json_prefix_error (place, error);
    return NULL;
  }
  return pw_model_read ((PwJsonPlace){ json, "" }, json->root, error);
}

static PwGraph *
read_named (PwJsonPlace place, json_t *value, GError **error) {
  json_t *name = json_object_get (value, "name");
  g_autofree char *path = pw_json_path_key (place.path, "name");
  PwJsonPlace name_place = { place.file, path };
  if (name == NULL) {
    pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error,
                  "missing key \"name\" (of a model) or \"layers\" (a list)");
    return NULL;
  }
  if (!json_is_string (name)) {
    pw_json_fail (name_place, PW_JSON_ERROR_TYPE, error, "expected a text");
    return NULL;
  }
  const PwModel *model = pw_model_get (json_string_value (name));
  if (model == NULL)
    return fail_unknown (name_place, json_string_value (name), error);
  json_t *sizes = json_copy (value);
  json_object_del (sizes, "name");
  PwGraph *graph = build (place, model, sizes, error);
  json_decref (sizes);
  return graph;
}

PwGraph *
pw_model_read (PwJsonPlace place, json_t *value, GError **error) {
  if (json_is_object (value))
    return json_object_get (value, "layers") != NULL ? pw_sequential_read (place, value, error)
                                                     : read_named (place, value, error);
  if (!json_is_string (value)) {
    pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected a model's name, a path or an object");
    return NULL;
  }
  const char *name = json_string_value (value);
  const PwModel *model = pw_model_get (name);
  if (model != NULL)
    return build (place, model, NULL, error);
  if (g_str_has_suffix (name, ".json"))
    return read_file (place, name, error);
  return fail_unknown (place, name, error);
}
