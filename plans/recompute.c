#include "plans/recompute.h"

#include <stddef.h>
#include <string.h>

#include "plans/plan_private.h"

#define LIST "layers:"

/* The mode that a word says, and the list, which is taken over. */
static void
set (PwPlan *plan, PwRecompute mode, GPtrArray *layers) {
  g_clear_pointer (&plan->recompute_layers, g_strfreev);
  plan->recompute = mode;
  if (layers == NULL)
    return;
  g_ptr_array_add (layers, NULL);
  plan->recompute_layers = (char **)g_ptr_array_free (layers, FALSE);
}

static gboolean
read_layers (PwJsonPlace place, json_t *list, PwPlan *plan, GError **error) {
  g_autofree char *path = pw_json_path_key (place.path, "layers");
  PwJsonPlace list_place = { place.file, path };
  if (!json_is_array (list) || json_array_size (list) == 0)
    return pw_json_fail (list_place, PW_JSON_ERROR_TYPE, error, "expected a list of layers");
  g_autoptr (GPtrArray) layers = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < json_array_size (list); i++) {
    json_t *layer = json_array_get (list, i);
    if (json_is_string (layer))
      g_ptr_array_add (layers, g_strdup (json_string_value (layer)));
    else if (json_is_integer (layer) && json_integer_value (layer) >= 0)
      g_ptr_array_add (layers,
                       g_strdup_printf ("%" JSON_INTEGER_FORMAT, json_integer_value (layer)));
    else {
      g_autofree char *at = pw_json_path_index (path, i);
      return pw_json_fail ((PwJsonPlace){ place.file, at }, PW_JSON_ERROR_TYPE, error,
                           "expected a layer's name or number");
    }
  }
  g_ptr_array_set_free_func (layers, NULL);
  set (plan, PW_RECOMPUTE_STAGE, g_steal_pointer (&layers));
  return TRUE;
}

gboolean
pw__plan_read_recompute (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwPlan *plan = field;
  if (json_is_object (value)) {
    if (json_object_size (value) != 1 || json_object_get (value, "layers") == NULL)
      return pw_json_fail (place, PW_JSON_ERROR_TYPE, error,
                           "expected a name or {\"layers\": [...]}");
    return read_layers (place, json_object_get (value, "layers"), plan, error);
  }
  int mode = 0;
  const PwJsonKey key = { .key = "recompute", .type = PW_JSON_ENUM, .names = pw_recompute_names };
  if (!pw__plan_read_value (place, value, &key, &mode, error))
    return FALSE;
  set (plan, (PwRecompute)mode, NULL);
  return TRUE;
}

gboolean
pw__plan_parse_recompute (PwPlan *plan, const char *text, GError **error) {
  if (!g_str_has_prefix (text, LIST)) {
    int mode = 0;
    if (!pw__plan_parse_name (text, pw_recompute_names, &mode, error))
      return FALSE;
    set (plan, (PwRecompute)mode, NULL);
    return TRUE;
  }
  g_auto (GStrv) names = g_strsplit (text + strlen (LIST), ",", -1);
  GPtrArray *layers = g_ptr_array_new ();
  for (int i = 0; names[i] != NULL; i++)
    if (*g_strstrip (names[i]) != '\0')
      g_ptr_array_add (layers, g_strdup (names[i]));
  if (layers->len == 0) {
    g_ptr_array_free (layers, TRUE);
    g_set_error_literal (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE, "no layer is named");
    return FALSE;
  }
  set (plan, PW_RECOMPUTE_STAGE, layers);
  return TRUE;
}

static gboolean
is_number (const char *text) {
  return *text != '\0' && strspn (text, "0123456789") == strlen (text);
}

/* Marks the layers called NAME; FALSE if there are none. */
static gboolean
mark (const PwGraph *graph, const char *name, gboolean *again) {
  gboolean found = FALSE;
  g_autoptr (GPatternSpec) pattern = g_pattern_spec_new (name);
  gint64 number = is_number (name) ? g_ascii_strtoll (name, NULL, 10) : -1;
  for (int l = 0; l < graph->n_layers; l++)
    if (l == number || (number < 0 && g_pattern_spec_match_string (pattern, graph->layers[l].name)))
      found = again[l] = TRUE;
  return found;
}

static const char *
nearest_layer (const PwGraph *graph, const char *name) {
  g_autofree const char **names = g_new0 (const char *, (gsize)graph->n_layers + 1);
  for (int l = 0; l < graph->n_layers; l++)
    names[l] = graph->layers[l].name;
  return pw_json_nearest (name, names);
}

gboolean
pw__plan_recomputed_layers (const PwPlan *plan, const PwGraph *graph, gboolean **again,
                            GError **error) {
  *again = NULL;
  if (plan->recompute == PW_RECOMPUTE_NONE)
    return TRUE;
  g_autofree gboolean *marks = g_new0 (gboolean, (gsize)graph->n_layers);
  for (int l = 0; l < graph->n_layers && plan->recompute_layers == NULL; l++)
    marks[l] = TRUE;
  for (int i = 0; plan->recompute_layers != NULL && plan->recompute_layers[i] != NULL; i++) {
    const char *name = plan->recompute_layers[i];
    if (mark (graph, name, marks))
      continue;
    const char *near = is_number (name) ? NULL : nearest_layer (graph, name);
    return pw__plan_fail (plan, "recompute", "recompute", PW_PLAN_ERROR_VALUE, error,
                          "%s has no layer \"%s\" (%s%s%s)", graph->name, name,
                          near != NULL ? "did you mean \"" : "", near != NULL ? near : "",
                          near != NULL ? "\"?" : "\"pipewright model show\" lists them");
  }
  *again = g_steal_pointer (&marks);
  return TRUE;
}
