/* The critical path. */
#include "cli/output.h"
#include "cli/report.h"
#include <stdio.h>

json_t *
pw_report_critical_json (const PwSimulation *simulation) {
  g_autoptr (GArray) path = pw_sim_critical_path (&simulation->input, simulation->result);
  json_t *array = json_array ();
  char text[PW_ACTION_TEXT_MAX];
  for (guint i = 0; i < path->len; i++) {
    const PwSimCritical *step = &g_array_index (path, PwSimCritical, i);
    json_t *object = json_object ();
    json_object_set_new (object, "rank", json_integer (step->rank));
    json_object_set_new (object, "action", json_string (pw_action_format (step->action, text)));
    json_object_set_new (object, "start", pw_output_number (step->start));
    json_object_set_new (object, "end", pw_output_number (step->end));
    json_array_append_new (array, object);
  }
  return array;
}

void
pw_report_critical_print (const PwSimulation *simulation) {
  g_autoptr (GArray) path = pw_sim_critical_path (&simulation->input, simulation->result);
  gboolean unitless = simulation->costs->unitless;
  static const char *const headings[]
      = { "rank", "<from", "<to", "actions", "start", "end", "time", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  char text[PW_ACTION_TEXT_MAX];
  for (guint i = 0, next; i < path->len; i = next) {
    const PwSimCritical *first = &g_array_index (path, PwSimCritical, i);
    for (next = i + 1; next < path->len; next++)
      if (g_array_index (path, PwSimCritical, next).rank != first->rank)
        break;
    const PwSimCritical *last = &g_array_index (path, PwSimCritical, next - 1);
    pw_table_row (table);
    pw_table_integer (table, first->rank);
    pw_table_text (table, pw_action_format (first->action, text));
    pw_table_text (table, pw_action_format (last->action, text));
    pw_table_integer (table, next - i);
    pw_table_time (table, first->start, unitless);
    pw_table_time (table, last->end, unitless);
    pw_table_time (table, last->end - first->start, unitless);
  }
  printf ("\nCritical path: %u actions\n", path->len);
  pw_table_print (table);
}
