#include "plans/offload.h"

#include <string.h>

#include "plans/plan_private.h"

#define LIST "stages:"

gboolean
pw_offload_parse (const char *text, int stages, gboolean **offloaded, GError **error) {
  *offloaded = NULL;
  gboolean is_all = g_strcmp0 (text, "stash") == 0;
  if (text == NULL || g_str_equal (text, "none"))
    return TRUE;
  if (!is_all && !g_str_has_prefix (text, LIST)) {
    g_set_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE,
                 "\"%s\" is none of none, stash, stages:N,...", text);
    return FALSE;
  }
  g_autofree gboolean *marks = g_new (gboolean, (gsize)stages);
  for (int s = 0; s < stages; s++)
    marks[s] = is_all;
  g_auto (GStrv) numbers = is_all ? NULL : g_strsplit (text + strlen (LIST), ",", -1);
  for (int i = 0; numbers != NULL && numbers[i] != NULL; i++) {
    gint64 stage;
    if (!g_ascii_string_to_signed (numbers[i], 10, 0, stages - 1, &stage, NULL)) {
      g_set_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE,
                   "\"%s\" is none of the stages 0 to %d", numbers[i], stages - 1);
      return FALSE;
    }
    marks[stage] = TRUE;
  }
  *offloaded = g_steal_pointer (&marks);
  return TRUE;
}

gboolean
pw__plan_read_offload (PwJsonPlace place, json_t *value, void *field, GError **error) {
  char **text = field;
  json_t *list = json_is_object (value) && json_object_size (value) == 1
                     ? json_object_get (value, "stages")
                     : NULL;
  g_autoptr (GString) stages = g_string_new (LIST);
  gboolean good = json_is_string (value) || (json_is_array (list) && json_array_size (list) > 0);
  for (gsize i = 0; i < json_array_size (list); i++) {
    json_t *stage = json_array_get (list, i);
    good = good && json_is_integer (stage);
    g_string_append_printf (stages, "%s%" JSON_INTEGER_FORMAT, i > 0 ? "," : "",
                            json_integer_value (stage));
  }
  if (!good)
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error,
                         "expected \"none\", \"stash\" or {\"stages\": [...]}");
  g_free (*text);
  *text = g_strdup (json_is_string (value) ? json_string_value (value) : stages->str);
  return TRUE;
}

/* What of a stash is to be copied: all, or what R leaves. */
static int64_t
copied_bytes (const PwResolvedPlan *resolved, int stage) {
  const PwStageCost *cost = &resolved->costs->stage[stage];
  gboolean is_made_again = resolved->again_stage != NULL && resolved->again_stage[stage];
  return is_made_again ? cost->again.first_stash_bytes : cost->stash_bytes;
}

/* Leaves out stages that keep nothing. */
static gboolean
choose_stages (const PwPlan *plan, PwResolvedPlan *resolved, GError **error) {
  gboolean any = FALSE;
  for (int s = 0; s < resolved->costs->stages; s++) {
    resolved->offloaded[s] = resolved->offloaded[s] && copied_bytes (resolved, s) > 0;
    any |= resolved->offloaded[s];
  }
  return any
         || pw__plan_fail (plan, "offload", "offload", PW_PLAN_ERROR_UNSUPPORTED, error, "%s",
                           resolved->again != NULL ? "what is made again as a whole leaves no stash"
                                                   : "these stages keep no stash");
}

gboolean
pw__resolve_offload (const PwPlan *plan, PwResolvedPlan *resolved, int pieces, GError **error) {
  PwStageCosts *costs = resolved->costs;
  if (resolved->mode != PW_MODE_TRAINING)
    return TRUE;
  if (!pw_offload_parse (plan->offload, costs->stages, &resolved->offloaded, error)) {
    pw__plan_prefix_error (plan, "offload", "offload", error);
    return FALSE;
  }
  if (resolved->offloaded == NULL)
    return TRUE;
  if (!choose_stages (plan, resolved, error))
    return FALSE;
  PwLink host = plan->hardware->host;
  if (pw__plan_is_overridden (plan, "host-latency"))
    host.latency_s = plan->host.latency_s;
  if (pw__plan_is_overridden (plan, "host-bandwidth"))
    host.bandwidth = plan->host.bandwidth;
  if (host.bandwidth <= 0)
    return pw__plan_fail (plan, "offload", "offload", PW_PLAN_ERROR_VALUE, error,
                          "the hardware does not say how fast its host is: host_bandwidth, or "
                          "--host-bandwidth");
  for (int s = 0; s < costs->stages; s++)
    costs->stage[s].offload = pieces * pw_link_time (&host, copied_bytes (resolved, s) / pieces);
  return TRUE;
}
