#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "models/registry.h"
#include <stdio.h>

static json_t *
keys_json (const PwJsonKey *keys, gsize n) {
  json_t *names = json_array ();
  for (gsize i = 0; i < n; i++)
    json_array_append_new (names, json_string (keys[i].key));
  return names;
}

static void
print_json (void) {
  json_t *models = json_array (), *layers = json_array ();
  for (const PwModel *const *model = pw_model_list (); *model; model++) {
    json_t *object = json_object ();
    json_object_set_new (object, "name", json_string ((*model)->name));
    json_object_set_new (object, "summary", json_string ((*model)->summary));
    json_object_set_new (object, "sizes", keys_json ((*model)->keys, (*model)->n_keys));
    json_array_append_new (models, object);
  }
  for (const PwLayerType *const *type = pw_layer_type_list (); *type; type++) {
    json_t *object = json_object ();
    json_object_set_new (object, "name", json_string ((*type)->name));
    json_object_set_new (object, "summary", json_string ((*type)->summary));
    json_object_set_new (object, "sizes", keys_json ((*type)->keys, (*type)->n_keys));
    json_array_append_new (layers, object);
  }
  json_t *object = json_object ();
  json_object_set_new (object, "models", models);
  json_object_set_new (object, "layers", layers);
  pw_output_json (object);
}

static char *
join_keys (const PwJsonKey *keys, gsize n) {
  GString *names = g_string_new (NULL);
  for (gsize i = 0; i < n; i++)
    g_string_append_printf (names, "%s%s", i ? ", " : "", keys[i].key);
  return g_string_free (names, FALSE);
}

static void
print_text (void) {
  static const char *const model_headings[] = { "<model", "<summary", "<sizes", NULL };
  g_autoptr (PwTable) models = pw_table_new (model_headings);
  for (const PwModel *const *model = pw_model_list (); *model; model++) {
    g_autofree char *keys = join_keys ((*model)->keys, (*model)->n_keys);
    pw_table_row (models);
    pw_table_text (models, (*model)->name);
    pw_table_text (models, (*model)->summary);
    pw_table_text (models, keys);
  }
  pw_table_print (models);
  printf ("\n");
  static const char *const layer_headings[] = { "<layer", "<summary", "<sizes", NULL };
  g_autoptr (PwTable) layers = pw_table_new (layer_headings);
  for (const PwLayerType *const *type = pw_layer_type_list (); *type; type++) {
    g_autofree char *keys = join_keys ((*type)->keys, (*type)->n_keys);
    pw_table_row (layers);
    pw_table_text (layers, (*type)->name);
    pw_table_text (layers, (*type)->summary);
    pw_table_text (layers, keys);
  }
  pw_table_print (layers);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error))
    return PW_EXIT_DONE;
  if (call->json)
    print_json ();
  else
    print_text ();
  return PW_EXIT_DONE;
}

const PwCommand pw_command_model_list = {
  .name = "model list",
  .has_json = TRUE,
  .summary = "the models and layers a plan can name",
  .details
  = "The models of the catalogue with their sizes, and the layers of which a plan can make\n"
    "a model of its own.",
  .example = "  pipewright model list\n"
             "    what stands for \"name\" and \"type\" in a plan's \"model\"",
  .run = run,
};
