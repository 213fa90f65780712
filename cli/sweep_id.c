#include "cli/sweep_private.h"

/* Where VALUE names a file in FOLDER or an absolute one: what is in it. */
static void
add_file (GChecksum *sum, const char *folder, const char *value) {
  g_autofree char *path
      = g_path_is_absolute (value) ? g_strdup (value) : g_build_filename (folder, value, NULL);
  g_autofree char *text = NULL;
  gsize bytes;
  if (*value && g_file_test (path, G_FILE_TEST_IS_REGULAR)
      && g_file_get_contents (path, &text, &bytes, NULL))
    g_checksum_update (sum, (const guchar *)text, (gssize)bytes);
}

/* All files that JSON names, costs and hardware and schedules. Data that a run would train on
 * decides nothing here and may be large. */
static void
add_files (GChecksum *sum, const char *folder, json_t *json) {
  if (json_is_string (json))
    add_file (sum, folder, json_string_value (json));
  size_t i;
  const char *key;
  json_t *child;
  json_array_foreach (json, i, child) {
    add_files (sum, folder, child);
  }
  json_object_foreach (json, key, child) {
    if (!g_str_equal (key, "data"))
      add_files (sum, folder, child);
  }
}

static void
add_plan (GChecksum *sum, const PwPlan *plan) {
  g_autofree char *folder = g_path_get_dirname (plan->file);
  g_checksum_update (sum, (const guchar *)plan->json->text, -1);
  add_files (sum, folder, plan->json->root);
}

char *
pw__sweep_id (const PwSweep *sweep, char **vary) {
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  if (sweep->plan)
    add_plan (sum, sweep->plan);
  g_autofree char *settings = pw_settings_describe (sweep->call->settings);
  g_checksum_update (sum, (const guchar *)settings, -1);
  gsize n;
  const PwPlanOverride *overrides = pw_plan_overrides (&n);
  for (gsize i = 0; i < n; i++) {
    const char *value = pw_settings_get (sweep->call->settings, overrides[i].name);
    if (value)
      add_file (sum, ".", value);
  }
  for (int i = 0; vary[i]; i++) {
    g_checksum_update (sum, (const guchar *)"\n", 1);
    g_checksum_update (sum, (const guchar *)vary[i], -1);
  }
  for (guint i = 0; i < sweep->axes->len; i++)
    for (int k = 0; k < pw__sweep_axis (sweep, i)->n; k++)
      add_file (sum, ".", pw__sweep_axis (sweep, i)->values[k]);
  return g_strndup (g_checksum_get_string (sum), 12);
}
