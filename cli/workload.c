#include "cli/workload_private.h"
#include <string.h>

/* The option that drops out where a schedule's type does not take it. */
static const struct {
  const char *name;
  PwScheduleOption option;
} type_options[] = {
  { "chunks", PW_OPTION_CHUNKS },   { "group", PW_OPTION_GROUP },
  { "waves", PW_OPTION_WAVES },     { "pieces", PW_OPTION_PIECES },
  { "reverse", PW_OPTION_REVERSE }, { "update-every", PW_OPTION_UPDATE_EVERY },
};

static gboolean
is_taken (const PwScheduleType *type, const char *name) {
  for (gsize i = 0; type && i < G_N_ELEMENTS (type_options); i++)
    if (g_str_equal (type_options[i].name, name))
      return (type->options & type_options[i].option) != 0;
  return TRUE;
}

void
pw_workload_drop_options (PwScheduleParams *params, const PwScheduleType *type) {
  if (!is_taken (type, "chunks"))
    params->chunks = 0;
  if (!is_taken (type, "waves"))
    params->waves = 0;
  if (!is_taken (type, "pieces"))
    params->pieces = 0;
  if (!is_taken (type, "update-every"))
    params->update_every = 0;
  if (!is_taken (type, "reverse"))
    params->reverse = FALSE;
  if (!is_taken (type, "group")) {
    params->group = 0;
    params->group_rule = NULL;
  }
}

static gboolean
is_override (const char *name) {
  gsize n;
  const PwPlanOverride *overrides = pw_plan_overrides (&n);
  for (gsize i = 0; i < n; i++)
    if (g_str_equal (overrides[i].name, name))
      return TRUE;
  return FALSE;
}

static gboolean
apply (const PwSettings *settings, PwPlan *plan, const PwScheduleType *only_for, GError **error) {
  const char *name;
  for (guint i = 0; (name = pw__settings_name (settings, i)); i++) {
    const PwSyntheticRow *row = pw__synthetic_row (name);
    const char *value = pw_settings_get (settings, name);
    if (is_override (name)) {
      if (is_taken (only_for, name) && !pw_plan_override (plan, name, value, error))
        return FALSE;
    } else if (!row->for_plans) {
      return pw_usage_fail (error, "--%s is for synthetic costs, without a plan", name);
    } else if (g_str_equal (name, "weight-memory")
               && !pw_number_parse (name, value, row->minimum, row->maximum,
                                    &plan->params.weight_memory, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

PwPlan *
pw_workload_plan (const PwSettings *settings, const char *file, GError **error) {
  g_autoptr (PwPlan) plan = pw_plan_load (file, error);
  if (!plan || !apply (settings, plan, NULL, error))
    return NULL;
  return g_steal_pointer (&plan);
}

PwPlan *
pw_workload_plan_with (const PwSettings *settings, const PwPlan *plan, const char *schedule,
                       GError **error) {
  const PwScheduleType *type = schedule ? pw_schedule_get (schedule) : NULL;
  g_autoptr (PwPlan) copy = pw_plan_copy (plan);
  if (!apply (settings, copy, type, error)
      || (schedule && !pw_plan_override (copy, "schedule", schedule, error)))
    return NULL;
  if (type)
    pw_workload_drop_options (&copy->params, type);
  return g_steal_pointer (&copy);
}

PwPlan *
pw_workload_machine (const PwSettings *settings, GError **error) {
  static const char *const names[] = { "backend", "transport", "ranks", "share-devices", NULL };
  g_autoptr (PwPlan) plan = pw_plan_parse ("-", "{\"model\": \"mlp\"}", NULL);
  const char *name;
  for (guint i = 0; (name = pw__settings_name (settings, i)); i++) {
    if (!g_strv_contains (names, name)) {
      pw_usage_fail (error, "--%s is for a plan, and none is given", name);
      return NULL;
    }
    if (!pw_plan_override (plan, name, pw_settings_get (settings, name), error))
      return NULL;
  }
  return g_steal_pointer (&plan);
}

gboolean
pw_workload_iterations (const PwSettings *settings, int *iterations, GError **error) {
  const char *text = pw_settings_get (settings, "iterations");
  const PwSyntheticRow *row = pw__synthetic_row ("iterations");
  int64_t number = 1;
  if (text
      && !pw_integer_parse (row->name, text, (int64_t)row->minimum, (int64_t)row->maximum, &number,
                            error))
    return FALSE;
  *iterations = (int)number;
  return TRUE;
}

gboolean
pw_workload_check_schedule (const char *option, const char *name, GError **error) {
  if (pw_schedule_get (name) || strchr (name, '/') || g_str_has_suffix (name, ".csv")
      || g_str_equal (name, "-") || g_file_test (name, G_FILE_TEST_EXISTS))
    return TRUE;
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++)
    g_ptr_array_add (names, (gpointer)(*type)->name);
  g_ptr_array_add (names, NULL);
  const char *nearest = pw_json_nearest (name, (const char *const *)names->pdata);
  return pw_input_fail (error, "--%s: there is no schedule \"%s\"%s%s%s", option, name,
                        nearest ? ", did you mean \"" : "", nearest ? nearest : "",
                        nearest ? "\"?" : "");
}

gboolean
pw_workload_name_schedule (PwCall *call, GError **error) {
  if (call->n_arguments > 0)
    pw_settings_set (call->settings, "schedule", call->argv[0]);
  if (pw_settings_get (call->settings, "schedule"))
    return TRUE;
  return pw_usage_fail (error, "%s: which schedule? Give its name or a file", call->command->name);
}
