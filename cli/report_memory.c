/* What ranks hold: the most at one moment, and over time. */
#include "cli/output.h"
#include "cli/report.h"
#include <stdio.h>

void
pw_report_memory_add_json (const PwSimRank *rank, json_t *object) {
  json_t *bytes = json_object ();
  for (int i = 0; i < PW_MEMORY_N; i++)
    json_object_set_new (bytes, pw_memory_names[i], json_integer (rank->peak_by_category[i]));
  json_object_set_new (object, "peak_memory_time", pw_output_number (rank->peak_time));
  json_object_set_new (object, "peak_memory_by_category", bytes);
}

void
pw_report_memory_print (const PwSimulation *simulation) {
  const PwSimResult *result = simulation->result;
  gboolean used[PW_MEMORY_N] = { FALSE };
  for (int i = 0; i < PW_MEMORY_N; i++)
    for (int r = 0; r < result->ranks; r++)
      used[i] = used[i] || result->rank[r].peak_by_category[i] > 0;
  static const char *const headings[] = { "rank", "activations", "memory peak", "at", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int i = 0; i < PW_MEMORY_N; i++)
    if (used[i])
      pw_table_add_column (table, pw_memory_names[i]);
  for (int r = 0; r < result->ranks; r++) {
    const PwSimRank *rank = &result->rank[r];
    pw_table_row (table);
    pw_table_integer (table, rank->rank);
    pw_table_number (table, rank->peak_activations);
    pw_table_bytes (table, rank->peak_memory_bytes);
    pw_table_time (table, rank->peak_time, simulation->costs->unitless);
    for (int i = 0; i < PW_MEMORY_N; i++)
      if (used[i])
        pw_table_bytes (table, rank->peak_by_category[i]);
  }
  printf ("\n");
  pw_table_print (table);
}

char *
pw_report_memory_csv (const PwSimResult *result) {
  GString *text = g_string_new ("rank,time");
  for (int i = 0; i < PW_MEMORY_N; i++)
    g_string_append_printf (text, ",%s", pw_memory_names[i]);
  g_string_append (text, ",total\n");
  for (guint k = 0; k < result->memory->len; k++) {
    const PwTraceMemory *sample = &g_array_index (result->memory, PwTraceMemory, k);
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    int64_t total = 0;
    g_string_append_printf (text, "%d,%s", sample->rank,
                            g_ascii_formatd (number, sizeof number, "%.12g", sample->time));
    for (int i = 0; i < PW_MEMORY_N; i++) {
      g_string_append_printf (text, ",%" G_GINT64_FORMAT, sample->bytes[i]);
      total += sample->bytes[i];
    }
    g_string_append_printf (text, ",%" G_GINT64_FORMAT "\n", total);
  }
  return g_string_free (text, FALSE);
}
