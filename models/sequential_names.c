#include "models/sequential_private.h"

#define LISTED_MAX 16 /* in a message */

struct PwListNames {
  GPtrArray *names;     /* by layer */
  GArray *entries;      /* gsize, by layer */
  GHashTable *layer;    /* name -> number + 1; of equal names the first */
  GHashTable *repeated; /* names of entries that make several -> how many; borrowed */
};

static char *
layer_name (const PwListEntry *entry, gsize number, int64_t i) {
  if (entry->name != NULL)
    return entry->repeat == 1 ? g_strdup (entry->name)
                              : g_strdup_printf ("%s%" G_GINT64_FORMAT, entry->name, i);
  return entry->repeat == 1
             ? g_strdup_printf ("%s%zu", entry->type->name, number)
             : g_strdup_printf ("%s%zu-%" G_GINT64_FORMAT, entry->type->name, number, i);
}

PwListNames *
pw__list_names_new (const PwListEntry *entries, gsize n) {
  PwListNames *names = g_new0 (PwListNames, 1);
  names->names = g_ptr_array_new_with_free_func (g_free);
  names->entries = g_array_new (FALSE, FALSE, sizeof (gsize));
  names->layer = g_hash_table_new (g_str_hash, g_str_equal);
  names->repeated = g_hash_table_new (g_str_hash, g_str_equal);
  for (gsize e = 0; e < n; e++) {
    if (entries[e].name != NULL && entries[e].repeat > 1)
      g_hash_table_insert (names->repeated, entries[e].name,
                           GINT_TO_POINTER ((int)entries[e].repeat));
    for (int64_t i = 0; i < entries[e].repeat; i++) {
      char *name = layer_name (&entries[e], e, i);
      g_ptr_array_add (names->names, name);
      g_array_append_val (names->entries, e);
      if (!g_hash_table_contains (names->layer, name))
        g_hash_table_insert (names->layer, name, GUINT_TO_POINTER (names->names->len));
    }
  }
  return names;
}

void
pw__list_names_free (PwListNames *names) {
  if (names == NULL)
    return;
  g_hash_table_unref (names->repeated);
  g_hash_table_unref (names->layer);
  g_array_unref (names->entries);
  g_ptr_array_unref (names->names);
  g_free (names);
}

const char *
pw__list_names_get (const PwListNames *names, int layer) {
  return g_ptr_array_index (names->names, layer);
}

gsize
pw__list_names_entry (const PwListNames *names, int layer) {
  return g_array_index (names->entries, gsize, layer);
}

/* The sample and the layers before LAYER are what it could have meant. */
static GError *
unknown_error (const PwListNames *names, int layer, const char *name) {
  g_autofree const char **known = g_new0 (const char *, (gsize)layer + 2);
  known[0] = "input";
  for (int l = 0; l < layer; l++)
    known[l + 1] = pw__list_names_get (names, l);
  if (layer < LISTED_MAX || pw_json_nearest (name, known) != NULL)
    return pw__unknown_error ("layer", name, known);
  return g_error_new (PW_MODEL_ERROR, PW_MODEL_ERROR_UNKNOWN, "there is no layer \"%s\" before it",
                      name);
}

/* The number of NAME as seen from LAYER; PW_GRAPH_INPUT - 1 with an error. */
static int
find (const PwListNames *names, const char *name, int layer, GError **error) {
  int found = (int)GPOINTER_TO_UINT (g_hash_table_lookup (names->layer, name)) - 1;
  int repeats = GPOINTER_TO_INT (g_hash_table_lookup (names->repeated, name));
  if (g_str_equal (name, "input"))
    return PW_GRAPH_INPUT;
  if (found >= 0 && found < layer)
    return found;
  if (found >= layer)
    g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_UNKNOWN, "layer \"%s\" is not before it",
                 name);
  else if (repeats > 0)
    g_set_error (error, PW_MODEL_ERROR, PW_MODEL_ERROR_UNKNOWN,
                 "\"%s\" is repeated: say which, \"%s0\" to \"%s%d\"", name, name, name,
                 repeats - 1);
  else
    g_propagate_error (error, unknown_error (names, layer, name));
  return PW_GRAPH_INPUT - 1;
}

gboolean
pw__list_names_resolve (PwJsonPlace place, const PwListNames *names, const PwListEntry *entry,
                        int layer, int *inputs, GError **error) {
  inputs[0] = layer - 1; /* the sample, of the first */
  g_autofree char *path = pw_json_path_key (place.path, "from");
  for (guint i = 0; entry->from != NULL && i < entry->from->len; i++) {
    inputs[i] = find (names, g_ptr_array_index (entry->from, i), layer, error);
    if (inputs[i] >= PW_GRAPH_INPUT)
      continue;
    g_autofree char *element = entry->from_is_list ? pw_json_path_index (path, i) : g_strdup (path);
    pw_json_prefix_error ((PwJsonPlace){ place.file, element }, error);
    return FALSE;
  }
  return TRUE;
}
