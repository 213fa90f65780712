/* One entry of a list of layers. */
#include <stddef.h>
#include <string.h>

#include "models/sequential_private.h"

#define REPEAT_MAX 65536

/* A name or a list of names. */
static gboolean
read_from (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwListEntry *entry = (PwListEntry *)(void *)((char *)field - offsetof (PwListEntry, from));
  entry->from_is_list = json_is_array (value);
  if (!json_is_string (value) && json_array_size (value) == 0)
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error,
                         "expected the name of a layer, or a list of names");
  entry->from = g_ptr_array_new_with_free_func (g_free);
  if (json_is_string (value))
    g_ptr_array_add (entry->from, g_strdup (json_string_value (value)));
  for (gsize i = 0; i < json_array_size (value); i++) {
    const char *name = json_string_value (json_array_get (value, i));
    g_autofree char *path = pw_json_path_index (place.path, i);
    if (name == NULL)
      return pw_json_fail ((PwJsonPlace){ place.file, path }, PW_JSON_ERROR_TYPE, error,
                           "expected the name of a layer");
    g_ptr_array_add (entry->from, g_strdup (name));
  }
  return TRUE;
}

static const PwJsonKey entry_keys[] = {
  { .key = "type",
    .type = PW_JSON_STRING,
    .offset = offsetof (PwListEntry, type_name),
    .required = TRUE },
  { .key = "name", .type = PW_JSON_STRING, .offset = offsetof (PwListEntry, name) },
  { .key = "from",
    .type = PW_JSON_CUSTOM,
    .offset = offsetof (PwListEntry, from),
    .read = read_from },
  { .key = "repeat",
    .type = PW_JSON_INTEGER,
    .offset = offsetof (PwListEntry, repeat),
    .minimum = 1,
    .maximum = REPEAT_MAX },
};

void
pw__list_entry_clear (PwListEntry *entry) {
  g_clear_pointer (&entry->type_name, g_free);
  g_clear_pointer (&entry->name, g_free);
  g_clear_pointer (&entry->from, g_ptr_array_unref);
}

gboolean
pw__list_fail_type (PwJsonPlace place, const char *name, GError **error) {
  GError *unknown = pw__unknown_type_error (name);
  pw_json_prefix_error (place, &unknown);
  g_propagate_error (error, unknown);
  return FALSE;
}

/* The type's own keys with the list's, so that an unknown one is compared with both. */
static gboolean
read_keys (PwJsonPlace place, json_t *value, PwListEntry *entry, GError **error) {
  json_t *type = json_object_get (value, "type");
  gsize n = G_N_ELEMENTS (entry_keys);
  if (!json_is_string (type)) /* no object, no type or a wrong one: the reader says which */
    return pw_json_read_object (place, value, entry_keys, n, entry, error);
  entry->type = pw_layer_type_get (json_string_value (type));
  if (entry->type == NULL) {
    g_autofree char *path = pw_json_path_key (place.path, "type");
    return pw__list_fail_type ((PwJsonPlace){ place.file, path }, json_string_value (type), error);
  }
  g_autofree PwJsonKey *keys = g_new (PwJsonKey, n + entry->type->n_keys);
  memcpy (keys, entry_keys, sizeof entry_keys);
  for (gsize i = 0; i < entry->type->n_keys; i++) {
    keys[n + i] = entry->type->keys[i];
    keys[n + i].offset += offsetof (PwListEntry, attributes);
  }
  return pw_json_read_object (place, value, keys, n + entry->type->n_keys, entry, error);
}

static gboolean
fail_key (PwJsonPlace place, const char *key, GError **error, const char *message) {
  g_autofree char *path = pw_json_path_key (place.path, key);
  return pw_json_fail ((PwJsonPlace){ place.file, path }, PW_JSON_ERROR_RANGE, error, "%s",
                       message);
}

/* What its keys say together. */
static gboolean
check (PwJsonPlace place, const PwListEntry *entry, GError **error) {
  const PwLayerType *type = entry->type;
  if (g_strcmp0 (entry->name, "input") == 0)
    return fail_key (place, "name", error, "\"input\" is the name of the sample");
  if (type->n_inputs > 1 && entry->repeat > 1)
    return fail_key (place, "repeat", error,
                     "what reads several layers cannot be repeated: each would read the same");
  if (entry->from == NULL && type->n_inputs > 1)
    return pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error,
                         "missing key \"from\": %s reads %d layers, name them: "
                         "\"from\": [\"a\", \"b\"]",
                         type->name, type->n_inputs);
  if (entry->from == NULL || (int)entry->from->len == type->n_inputs)
    return TRUE;
  g_autofree char *message
      = g_strdup_printf ("%s reads %d layer%s, not %u", type->name, type->n_inputs,
                         type->n_inputs == 1 ? "" : "s", entry->from->len);
  return fail_key (place, "from", error, message);
}

gboolean
pw__list_entry_read (PwJsonPlace place, json_t *value, PwListEntry *entry, GError **error) {
  *entry = (PwListEntry){ .repeat = 1 };
  pw_layer_attributes_init (&entry->attributes);
  if (read_keys (place, value, entry, error) && check (place, entry, error))
    return TRUE;
  pw__list_entry_clear (entry);
  return FALSE;
}
