#include "cli/report.h"
#include "cli/output.h"
#include <stdio.h>

static json_t *
causes_json (const double idle_by_cause[PW_IDLE_N]) {
  json_t *causes = json_object ();
  for (int i = 0; i < PW_IDLE_N; i++)
    json_object_set_new (causes, pw_idle_names[i], pw_output_number (idle_by_cause[i]));
  return causes;
}

void
pw_report_idle (const PwSimResult *result, double idle_by_cause[PW_IDLE_N]) {
  for (int i = 0; i < PW_IDLE_N; i++) {
    idle_by_cause[i] = 0;
    for (int r = 0; r < result->ranks; r++)
      idle_by_cause[i] += result->rank[r].idle_by_cause[i];
  }
}

static json_t *
rank_json (const PwSimRank *rank) {
  json_t *object = json_object ();
  json_object_set_new (object, "rank", json_integer (rank->rank));
  json_object_set_new (object, "busy_time", pw_output_number (rank->busy_time));
  json_object_set_new (object, "idle_time", pw_output_number (rank->idle_time));
  json_object_set_new (object, "warmup_idle", pw_output_number (rank->warmup_idle));
  json_object_set_new (object, "steady_idle", pw_output_number (rank->steady_idle));
  json_object_set_new (object, "drain_idle", pw_output_number (rank->drain_idle));
  json_object_set_new (object, "idle_by_cause", causes_json (rank->idle_by_cause));
  json_object_set_new (object, "peak_activations", pw_output_number (rank->peak_activations));
  json_object_set_new (object, "peak_memory_bytes", json_integer (rank->peak_memory_bytes));
  json_object_set_new (object, "span", pw_output_number (rank->span));
  json_object_set_new (object, "recompute_time", pw_output_number (rank->recompute_time));
  pw_report_memory_add_json (rank, object);
  return object;
}

json_t *
pw_report_json (const PwSimulation *simulation, gboolean no_timing) {
  const PwSimResult *result = simulation->result;
  const PwSchedule *schedule = simulation->compute;
  json_t *object = json_object ();
  json_object_set_new (object, "schedule", json_string (schedule->name));
  json_object_set_new (object, "ranks", json_integer (schedule->ranks));
  json_object_set_new (object, "stages", json_integer (schedule->stages));
  json_object_set_new (object, "microbatches", json_integer (schedule->microbatches));
  json_object_set_new (object, "iteration_time", pw_output_number (result->iteration_time));
  json_object_set_new (object, "ideal_time", pw_output_number (result->ideal_time));
  json_object_set_new (object, "bubble_fraction", pw_output_number (result->bubble_fraction));
  json_object_set_new (object, "bubble_ratio", pw_output_number (result->bubble_ratio));
  json_object_set_new (object, "longest_rank_span", pw_output_number (result->longest_rank_span));
  json_object_set_new (object, "peak_activations", pw_output_number (result->peak_activations));
  json_object_set_new (object, "actions", json_integer (result->actions));
  json_object_set_new (object, "events", json_integer (result->events));
  if (!no_timing)
    json_object_set_new (object, "wall_seconds", pw_output_number (simulation->wall_seconds));
  double idle[PW_IDLE_N];
  pw_report_idle (result, idle);
  json_object_set_new (object, "idle_by_cause", causes_json (idle));
  json_t *ranks = json_array ();
  for (int r = 0; r < result->ranks; r++)
    json_array_append_new (ranks, rank_json (&result->rank[r]));
  json_object_set_new (object, "per_rank", ranks);
  return object;
}

/* Of the idle time of all ranks. */
static void
print_causes (const PwSimResult *result) {
  double idle[PW_IDLE_N], total = 0;
  pw_report_idle (result, idle);
  for (int i = 0; i < PW_IDLE_N; i++)
    total += idle[i];
  g_autoptr (GString) text = g_string_new (NULL);
  for (int i = 0; i < PW_IDLE_N; i++) {
    char share[PW_TEXT_MAX];
    if (idle[i] > 1e-12 * total)
      g_string_append_printf (text, "%s%s %s", text->len > 0 ? ", " : "", pw_idle_names[i],
                              pw_format_share (idle[i] / total, share));
  }
  if (text->len > 0)
    pw_print_fact ("idle by cause", "%s", text->str);
}

static void
print_facts (const PwSimulation *simulation) {
  const PwSimResult *result = simulation->result;
  const PwSchedule *schedule = simulation->compute;
  gboolean unitless = simulation->costs->unitless;
  char time[PW_TEXT_MAX], fraction[PW_TEXT_MAX], ratio[PW_TEXT_MAX];
  printf ("%s: %d ranks, %d stages, %d micro-batches", schedule->name, schedule->ranks,
          schedule->stages, schedule->microbatches);
  if (simulation->input.iterations > 1)
    printf (", %d iterations", simulation->input.iterations);
  printf ("\n\n");
  pw_print_fact ("iteration time", "%s", pw_format_time (result->iteration_time, unitless, time));
  pw_print_fact ("ideal time", "%s", pw_format_time (result->ideal_time, unitless, time));
  pw_print_fact ("bubble", "%s of the iteration, %s of the ideal time",
                 pw_format_share (result->bubble_fraction, fraction),
                 pw_format_share (result->bubble_ratio, ratio));
  print_causes (result);
  pw_print_fact ("longest rank span", "%s",
                 pw_format_time (result->longest_rank_span, unitless, time));
  pw_print_fact ("peak activations", "%.6g micro-batches", result->peak_activations);
  if (result->peak_memory_bytes > 0)
    pw_print_fact ("peak memory", "%s", pw_format_bytes (result->peak_memory_bytes, time));
  const PwResolvedPlan *resolved = simulation->resolved;
  if (resolved && result->iteration_time > 0)
    pw_print_fact ("throughput", "%.6g samples/s",
                   (double)(resolved->batch * resolved->replicas) / result->iteration_time);
  printf ("\n");
}

/* Which of the causes any rank has. */
static void
used_causes (const PwSimResult *result, gboolean used[PW_IDLE_N]) {
  for (int i = 0; i < PW_IDLE_N; i++) {
    used[i] = FALSE;
    for (int r = 0; r < result->ranks; r++)
      used[i] = used[i] || result->rank[r].idle_by_cause[i] > 1e-12 * result->iteration_time;
  }
}

static void
print_times (const PwSimulation *simulation, gboolean with_activations) {
  const PwSimResult *result = simulation->result;
  gboolean unitless = simulation->costs->unitless, used[PW_IDLE_N];
  used_causes (result, used);
  static const char *const headings[]
      = { "rank", "busy", "idle", "warmup", "steady", "drain", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int i = 0; i < PW_IDLE_N; i++)
    if (used[i])
      pw_table_add_column (table, pw_idle_names[i]);
  if (with_activations)
    pw_table_add_column (table, "activations");
  for (int r = 0; r < result->ranks; r++) {
    const PwSimRank *rank = &result->rank[r];
    pw_table_row (table);
    pw_table_integer (table, rank->rank);
    pw_table_time (table, rank->busy_time, unitless);
    pw_table_time (table, rank->idle_time, unitless);
    pw_table_time (table, rank->warmup_idle, unitless);
    pw_table_time (table, rank->steady_idle, unitless);
    pw_table_time (table, rank->drain_idle, unitless);
    for (int i = 0; i < PW_IDLE_N; i++)
      if (used[i])
        pw_table_time (table, rank->idle_by_cause[i], unitless);
    if (with_activations)
      pw_table_number (table, rank->peak_activations);
  }
  pw_table_print (table);
}

void
pw_report_print (const PwSimulation *simulation) {
  gboolean has_memory = simulation->result->peak_memory_bytes > 0;
  print_facts (simulation);
  print_times (simulation, !has_memory);
  if (has_memory)
    pw_report_memory_print (simulation);
}

char *
pw_report_excess (const PwSimulation *simulation, double limit) {
  const PwSimResult *result = simulation->result;
  char needed[PW_TEXT_MAX], allowed[PW_TEXT_MAX];
  for (int r = 0; limit > 0 && r < result->ranks; r++) {
    const PwSimRank *rank = &result->rank[r];
    if (simulation->costs->unitless && rank->peak_activations > limit + 1e-9)
      return g_strdup_printf ("rank %d holds %.6g micro-batches, the memory limit is %.6g", r,
                              rank->peak_activations, limit);
    if (!simulation->costs->unitless && (double)rank->peak_memory_bytes > limit)
      return g_strdup_printf ("rank %d needs %s, the memory limit is %s", r,
                              pw_format_bytes (rank->peak_memory_bytes, needed),
                              pw_format_bytes ((int64_t)limit, allowed));
  }
  return NULL;
}
