/* The shared options: the plan's overrides and those of synthetic costs, as one group of GOption.
 */
#include "cli/workload_private.h"
#include <string.h>

typedef struct {
  char *name, *value;
} Setting;

struct PwSettings {
  GArray *list;    /* Setting */
  GArray *entries; /* GOptionEntry; GOption borrows their strings */
};

static void
setting_clear (gpointer data) {
  Setting *setting = data;
  g_free (setting->name);
  g_free (setting->value);
}

PwSettings *
pw_settings_new (void) {
  PwSettings *settings = g_new0 (PwSettings, 1);
  settings->list = g_array_new (FALSE, FALSE, sizeof (Setting));
  g_array_set_clear_func (settings->list, setting_clear);
  settings->entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));
  return settings;
}

PwSettings *
pw_settings_copy (const PwSettings *settings) {
  PwSettings *copy = pw_settings_new ();
  for (guint i = 0; i < settings->list->len; i++) {
    const Setting *setting = &g_array_index (settings->list, Setting, i);
    pw_settings_set (copy, setting->name, setting->value);
  }
  return copy;
}

char *
pw_settings_describe (const PwSettings *settings) {
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < settings->list->len; i++) {
    const Setting *setting = &g_array_index (settings->list, Setting, i);
    g_string_append_printf (text, "%s%s=%s", i > 0 ? " " : "", setting->name, setting->value);
  }
  return g_string_free (text, FALSE);
}

gboolean
pw_settings_is_option (const char *name, gboolean for_plans) {
  gsize n;
  const PwPlanOverride *overrides = pw_plan_overrides (&n);
  const PwSyntheticRow *row = pw__synthetic_row (name);
  for (gsize i = 0; for_plans && i < n; i++)
    if (g_str_equal (overrides[i].name, name))
      return TRUE;
  return row && (!for_plans || row->for_plans);
}

const char *
pw_settings_nearest (const char *name) {
  gsize n_overrides, n_rows;
  const PwPlanOverride *overrides = pw_plan_overrides (&n_overrides);
  const PwSyntheticRow *rows = pw__synthetic_rows (&n_rows);
  g_autofree const char **names = g_new0 (const char *, n_overrides + n_rows + 1);
  for (gsize i = 0; i < n_overrides; i++)
    names[i] = overrides[i].name;
  for (gsize i = 0; i < n_rows; i++)
    names[n_overrides + i] = rows[i].name;
  return pw_json_nearest (name, names);
}

void
pw_settings_free (PwSettings *settings) {
  if (!settings)
    return;
  g_array_unref (settings->list);
  g_array_unref (settings->entries);
  g_free (settings);
}

const char *
pw_settings_get (const PwSettings *settings, const char *name) {
  for (guint i = settings->list->len; i > 0; i--) {
    const Setting *setting = &g_array_index (settings->list, Setting, i - 1);
    if (g_str_equal (setting->name, name))
      return setting->value;
  }
  return NULL;
}

void
pw_settings_set (PwSettings *settings, const char *name, const char *value) {
  Setting setting = { g_strdup (name), g_strdup (value ? value : "true") };
  g_array_append_val (settings->list, setting);
}

const char *
pw__settings_name (const PwSettings *settings, guint i) {
  return i < settings->list->len ? g_array_index (settings->list, Setting, i).name : NULL;
}

static gboolean
collect (const char *option, const char *value, gpointer data, GError **error) {
  (void)error;
  pw_settings_set (data, option + strspn (option, "-"), value);
  return TRUE;
}

/* ISO C has no conversion from a function to the `gpointer` that GOption wants. */
static gpointer
collector (void) {
  union {
    GOptionArgFunc func;
    gpointer pointer;
  } callback = { .func = collect };
  return callback.pointer;
}

static void
add_entry (PwSettings *settings, const PwCommand *command, const char *name, const char *argument,
           const char *help) {
  if (command->without && g_strv_contains (command->without, name))
    return;
  GOptionEntry entry = { .long_name = name,
                         .flags = argument ? 0 : G_OPTION_FLAG_NO_ARG,
                         .arg = G_OPTION_ARG_CALLBACK,
                         .arg_data = collector (),
                         .description = help,
                         .arg_description = argument };
  g_array_append_val (settings->entries, entry);
}

PwOptionList
pw_settings_options (PwSettings *settings, const PwCommand *command) {
  PwTakes takes = command->takes;
  gsize n_overrides, n_rows;
  const PwPlanOverride *overrides = pw_plan_overrides (&n_overrides);
  const PwSyntheticRow *rows = pw__synthetic_rows (&n_rows);
  for (gsize i = 0; i < n_overrides; i++) {
    const PwSyntheticRow *row = pw__synthetic_row (overrides[i].name);
    if (takes == PW_TAKES_SCHEDULE && !row)
      continue;
    const char *help
        = row && row->shared_help && takes != PW_TAKES_PLAN ? row->shared_help : overrides[i].help;
    add_entry (settings, command, overrides[i].name, overrides[i].argument, help);
  }
  for (gsize i = 0; takes != PW_TAKES_PLAN && i < n_rows; i++)
    if (rows[i].help)
      add_entry (settings, command, rows[i].name, rows[i].argument, rows[i].help);

  return (PwOptionList){ takes == PW_TAKES_PLAN ? "Overrides of the plan:"
                         : takes == PW_TAKES_SCHEDULE
                             ? "The schedule and its costs:"
                             : "Overrides of the plan, or synthetic costs:",
                         (const GOptionEntry *)(gpointer)settings->entries->data };
}
