/* What would fit where a plan does not. */
#include "cli/output.h"
#include "cli/report.h"
#include <math.h>
#include <stdio.h>

#define PARTS_MAX 3 /* of a peak */
#define ROWS_MAX 8

/* "69.9 MiB stash, 24.9 MiB optimizer, 12.4 MiB parameters": the largest. */
static char *
describe_peak (const PwVerdict *verdict) {
  g_autoptr (GString) parts = g_string_new (NULL);
  gboolean is_said[PW_MEMORY_N] = { FALSE };
  for (int n = 0; n < PARTS_MAX; n++) {
    int largest = -1;
    for (int c = 0; c < PW_MEMORY_N; c++)
      if (!is_said[c] && verdict->by_category[c] > 0
          && (largest < 0 || verdict->by_category[c] > verdict->by_category[largest]))
        largest = c;
    if (largest < 0)
      break;
    char size[PW_TEXT_MAX];
    is_said[largest] = TRUE;
    g_string_append_printf (parts, "%s%s %s", n > 0 ? ", " : "",
                            pw_format_bytes (verdict->by_category[largest], size),
                            pw_memory_names[largest]);
  }
  return g_strdup (parts->str);
}

char *
pw_report_verdict_sentence (const PwVerdict *verdict) {
  char needs[PW_TEXT_MAX], limit[PW_TEXT_MAX];
  g_autofree char *peak = describe_peak (verdict);
  return g_strdup_printf ("rank %d needs %s (%s), the memory limit is %s", verdict->rank,
                          pw_format_bytes (verdict->needs, needs), peak,
                          pw_format_bytes (verdict->limit, limit));
}

char *
pw_report_verdict_advice (const PwVerdict *verdict) {
  char size[PW_TEXT_MAX];
  if (verdict->changes->len > 0) {
    const PwVerdictChange *best = &g_array_index (verdict->changes, PwVerdictChange, 0);
    return g_strdup_printf ("%s would fit: %s, %.1f%% %s", best->options,
                            pw_format_bytes (best->peak_memory_bytes, size),
                            100 * fabs (best->slower), best->slower < 0 ? "faster" : "slower");
  }
  if (verdict->nearest.options == NULL)
    return g_strdup_printf ("none of %d changes needs less", verdict->n_tried);
  return g_strdup_printf ("none of %d changes fits; the nearest is %s with %s", verdict->n_tried,
                          verdict->nearest.options,
                          pw_format_bytes (verdict->nearest.peak_memory_bytes, size));
}

void
pw_report_verdict_print (const PwVerdict *verdict) {
  printf ("\nWhat would fit\n");
  if (verdict->changes->len == 0) {
    g_autofree char *advice = pw_report_verdict_advice (verdict);
    printf ("%s\n", advice);
    return;
  }
  static const char *const headings[] = { "<change", "iteration", "time", "memory peak", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (guint i = 0; i < MIN (verdict->changes->len, ROWS_MAX); i++) {
    const PwVerdictChange *change = &g_array_index (verdict->changes, PwVerdictChange, i);
    pw_table_row (table);
    pw_table_text (table, change->options);
    pw_table_time (table, change->iteration_time, FALSE);
    pw_table_difference (table, change->slower);
    pw_table_bytes (table, change->peak_memory_bytes);
  }
  pw_table_print (table);
  if (verdict->changes->len > ROWS_MAX)
    printf ("and %u slower ones; --json has all\n", verdict->changes->len - ROWS_MAX);
}

static json_t *
change_to_json (const PwVerdictChange *change) {
  json_t *object = json_object ();
  json_object_set_new (object, "options", pw_output_string (change->options));
  json_object_set_new (object, "iteration_time", pw_output_number (change->iteration_time));
  json_object_set_new (object, "slower", pw_output_number (change->slower));
  json_object_set_new (object, "peak_memory_bytes",
                       json_integer ((json_int_t)change->peak_memory_bytes));
  return object;
}

json_t *
pw_report_verdict_json (const PwVerdict *verdict) {
  json_t *object = json_object (), *changes = json_array ();
  json_object_set_new (object, "rank", json_integer (verdict->rank));
  json_object_set_new (object, "needs_bytes", json_integer ((json_int_t)verdict->needs));
  json_object_set_new (object, "limit_bytes", json_integer ((json_int_t)verdict->limit));
  json_object_set_new (object, "tried", json_integer (verdict->n_tried));
  for (guint i = 0; i < verdict->changes->len; i++)
    json_array_append_new (changes,
                           change_to_json (&g_array_index (verdict->changes, PwVerdictChange, i)));
  json_object_set_new (object, "changes", changes);
  if (verdict->changes->len == 0 && verdict->nearest.options != NULL)
    json_object_set_new (object, "nearest", change_to_json (&verdict->nearest));
  return object;
}
