/* What changes would do, and what each rank, stage and link decides. */
#include "cli/output.h"
#include "cli/report.h"
#include <stdio.h>

json_t *
pw_report_what_if_json (char **changes, const PwWhatIfAnswer *answers) {
  json_t *array = json_array ();
  for (int i = 0; changes[i]; i++) {
    json_t *object = json_object ();
    json_object_set_new (object, "change", pw_output_string (changes[i]));
    json_object_set_new (object, "iteration_time", pw_output_number (answers[i].iteration_time));
    json_object_set_new (object, "gain", pw_output_number (answers[i].gain));
    json_array_append_new (array, object);
  }
  return array;
}

void
pw_report_what_if_print (const PwSimulation *simulation, char **changes,
                         const PwWhatIfAnswer *answers) {
  gboolean unitless = simulation->costs->unitless, is_other_work = FALSE;
  static const char *const headings[] = { "<change", "iteration", "saves", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int i = 0; changes[i]; i++) {
    pw_table_row (table);
    pw_table_text (table, changes[i]);
    pw_table_time (table, answers[i].iteration_time, unitless);
    pw_table_printf (table, "%.2f%%", 100 * answers[i].gain);
    is_other_work |= answers[i].is_other_work;
  }
  printf ("\nWhat if\n");
  pw_table_print (table);
  if (is_other_work)
    printf ("Where the number of micro-batches is another one, each one's share counts.\n");
}

/* "rank 3", "link 2-3", "all links" */
static char *
name_row (const PwSimSensitivity *row) {
  if (row->kind == PW_WHAT_IF_RANK)
    return g_strdup_printf ("rank %d", row->from);
  if (row->kind == PW_WHAT_IF_STAGE)
    return g_strdup_printf ("stage %d", row->from);
  if (row->kind == PW_WHAT_IF_REDUCE)
    return g_strdup ("exchanges of gradients");
  return row->from < 0 ? g_strdup ("all links")
                       : g_strdup_printf ("link %d-%d", row->from, row->to);
}

json_t *
pw_report_sensitivity_json (const GArray *rows) {
  json_t *array = json_array ();
  for (guint i = 0; i < rows->len; i++) {
    const PwSimSensitivity *row = &g_array_index (rows, PwSimSensitivity, i);
    g_autofree char *name = name_row (row);
    json_t *object = json_object ();
    json_object_set_new (object, "faster", json_string (name));
    json_object_set_new (object, "iteration_time", pw_output_number (row->iteration_time));
    json_object_set_new (object, "gain", pw_output_number (row->gain));
    json_array_append_new (array, object);
  }
  return array;
}

/* Where every rank has one stage of its own, stages would repeat what ranks say. */
static gboolean
repeats_ranks (const PwSimulation *simulation, const PwSimSensitivity *row) {
  const PwPlacement *placement = simulation->compute->placement;
  return row->kind == PW_WHAT_IF_STAGE && placement->stages == placement->ranks
         && placement->directions == 1;
}

void
pw_report_sensitivity_print (const PwSimulation *simulation, const GArray *rows) {
  gboolean unitless = simulation->costs->unitless;
  static const char *const headings[] = { "<1% faster", "iteration", "saves", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  int without = 0, shown = 0;
  for (guint i = 0; i < rows->len; i++) {
    const PwSimSensitivity *row = &g_array_index (rows, PwSimSensitivity, i);
    if (repeats_ranks (simulation, row))
      continue;
    if (row->gain < 5e-6) {
      without++;
      continue;
    }
    g_autofree char *name = name_row (row);
    pw_table_row (table);
    pw_table_text (table, name);
    pw_table_time (table, row->iteration_time, unitless);
    pw_table_printf (table, "%.3f%%", 100 * row->gain);
    shown++;
  }
  printf ("\nSensitivity: what the iteration saves where one is 1%% faster\n");
  if (shown > 0)
    pw_table_print (table);
  if (without > 0)
    printf ("%d %s less than 0.001%%\n", without, without == 1 ? "other saves" : "others save");
}
