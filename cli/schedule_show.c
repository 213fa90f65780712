#include "cli/output.h"
#include "cli/table.h"
#include "cli/workload.h"
#include "schedules/check.h"
#include "schedules/show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is known of the schedule besides its drawing. */
typedef struct {
  const PwSchedule *schedule;
  const PwScheduleType *type; /* NULL: from a file */
  PwScheduleParams params;    /* with the schedule's own chunks filled in */
  double *peaks;              /* counted, [ranks] */
  double *copies;             /* of a rank's share of the weights, [ranks] */
} Shown;

/* Of all stages' weights that a rank keeps, each in as many versions as it needs at once. */
static void
count_copies (const PwSchedule *schedule, double *copies) {
  const PwPlacement *placement = schedule->placement;
  g_autofree int *versions = g_new0 (int, (gsize)placement->directions *(gsize)schedule->stages);
  pw_schedule_weight_versions (schedule, versions);
  for (int d = 0; d < placement->directions; d++)
    for (int s = 0; s < schedule->stages; s++)
      copies[pw_placement_rank (placement, d, s)]
          += (double)versions[d * schedule->stages + s] / schedule->chunks;
}

static double
closed_bubble (const Shown *shown) {
  const PwScheduleType *type = shown->type;
  return type && type->bubble_time ? type->bubble_time (&shown->params) : NAN;
}

static double
closed_span_bubble (const Shown *shown) {
  const PwScheduleType *type = shown->type;
  return type && type->span_bubble_time ? type->span_bubble_time (&shown->params) : NAN;
}

static double
closed_peak (const Shown *shown, int rank) {
  const PwScheduleType *type = shown->type;
  return type && type->peak_activations ? type->peak_activations (&shown->params, rank) : NAN;
}

static void
print_json (const Shown *shown, const char *text) {
  const PwSchedule *schedule = shown->schedule;
  json_t *object = json_object ();
  json_object_set_new (object, "schedule", json_string (schedule->name));
  json_object_set_new (object, "ranks", json_integer (schedule->ranks));
  json_object_set_new (object, "stages", json_integer (schedule->stages));
  json_object_set_new (object, "microbatches", json_integer (schedule->microbatches));
  json_object_set_new (object, "chunks", json_integer (schedule->chunks));
  json_object_set_new (object, "actions", json_integer (pw_schedule_count_actions (schedule)));
  json_object_set_new (object, "bubble",
                       pw_output_string (shown->type ? shown->type->bubble : NULL));
  json_object_set_new (object, "bubble_time", pw_output_number (closed_bubble (shown)));
  json_object_set_new (object, "measure",
                       pw_output_string (shown->type ? shown->type->measure : NULL));
  json_object_set_new (object, "span_bubble",
                       pw_output_string (shown->type ? shown->type->span_bubble : NULL));
  json_object_set_new (object, "span_bubble_time", pw_output_number (closed_span_bubble (shown)));
  json_object_set_new (object, "peak", pw_output_string (shown->type ? shown->type->peak : NULL));
  json_object_set_new (object, "paper", pw_output_string (shown->type ? shown->type->paper : NULL));
  json_object_set_new (object, "follows",
                       pw_output_string (shown->type ? shown->type->follows : NULL));
  json_object_set_new (object, "differs",
                       pw_output_string (shown->type ? shown->type->differs : NULL));
  json_t *ranks = json_array ();
  for (int r = 0; r < schedule->ranks; r++) {
    json_t *rank = json_object ();
    json_object_set_new (rank, "rank", json_integer (r));
    json_object_set_new (rank, "peak_activations", pw_output_number (shown->peaks[r]));
    json_object_set_new (rank, "closed_form", pw_output_number (closed_peak (shown, r)));
    json_object_set_new (rank, "weight_copies", pw_output_number (shown->copies[r]));
    json_array_append_new (ranks, rank);
  }
  json_object_set_new (object, "per_rank", ranks);
  json_t *lines = json_array ();
  g_auto (GStrv) drawn = g_strsplit (text, "\n", -1);
  for (int i = 0; drawn[i] && (drawn[i][0] || drawn[i + 1]); i++)
    json_array_append_new (lines, json_string (drawn[i]));
  json_object_set_new (object, "timeline", lines);
  pw_output_json (object);
}

static void
print_bubble (const char *whole, const char *form, double bubble) {
  char value[PW_TEXT_MAX];
  if (isfinite (bubble))
    pw_print_fact ("bubble", "%s of the %s: %s", pw_format_time (bubble, TRUE, value), whole, form);
  else
    pw_print_fact ("bubble", "of the %s: %s; not for these numbers", whole, form);
}

static void
print_closed_forms (const Shown *shown) {
  if (!shown->type)
    return;
  const PwScheduleType *type = shown->type;
  gboolean is_span = type->measure && g_str_equal (type->measure, "span");
  print_bubble (is_span ? "longest rank span" : "iteration", type->bubble, closed_bubble (shown));
  if (type->span_bubble)
    print_bubble ("longest rank span", type->span_bubble, closed_span_bubble (shown));
  pw_print_fact ("peak activations", "%s", type->peak);
  g_auto (GStrv) papers = g_strsplit (type->paper, "; ", -1);
  for (int i = 0; papers[i] != NULL; i++)
    pw_print_fact (i == 0 ? "source" : "", "%s", papers[i]);
  printf ("\n");
}

static void
print_text (const Shown *shown, const char *text) {
  const PwSchedule *schedule = shown->schedule;
  printf ("%s: %d ranks, %d stages, %d micro-batches\n\n%s", schedule->name, schedule->ranks,
          schedule->stages, schedule->microbatches, text);
  printf ("%s\n", g_str_has_suffix (text, "\n") ? "" : "\n");
  print_closed_forms (shown);
  gboolean has_copies = FALSE;
  for (int r = 0; r < schedule->ranks; r++)
    has_copies = has_copies || shown->copies[r] > 1;
  const char *headings[] = { "rank", "<stages", "actions", "peak activations", NULL, NULL };
  headings[4] = has_copies ? "copies of its weights" : NULL;
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int r = 0; r < schedule->ranks; r++) {
    g_autoptr (GString) stages = g_string_new (NULL);
    for (int d = 0; d < schedule->placement->directions; d++)
      for (int s = 0; s < schedule->stages; s++)
        if (pw_placement_rank (schedule->placement, d, s) == r)
          g_string_append_printf (stages, "%s%d%s", stages->len ? " " : "", s, d ? "'" : "");
    pw_table_row (table);
    pw_table_integer (table, r);
    pw_table_text (table, stages->str);
    pw_table_integer (table, pw_program_length (&schedule->programs[r]));
    pw_table_number (table, shown->peaks[r]);
    if (has_copies)
      pw_table_number (table, shown->copies[r]);
  }
  pw_table_print (table);
}

static void
show (const PwCall *call, const PwSynthetic *synthetic, const PwSchedule *schedule, int width) {
  Shown shown = { .schedule = schedule,
                  .type = pw_schedule_get (synthetic->schedule),
                  .params = synthetic->params,
                  .peaks = g_new0 (double, (gsize)schedule->ranks),
                  .copies = g_new0 (double, (gsize)schedule->ranks) };
  PwScheduleParams *params = &shown.params;
  if (params->chunks == 0)
    params->chunks = schedule->chunks;
  params->F = synthetic->n_forward > 0 ? synthetic->forward[0] : 1;
  double half = synthetic->n_backward > 0 ? synthetic->backward[0] / 2 : 1;
  params->I = synthetic->n_input > 0 ? synthetic->input[0] : half;
  params->W = synthetic->n_weight > 0 ? synthetic->weight[0] : half;
  pw_schedule_peak_activations (schedule, params->weight_memory, shown.peaks);
  count_copies (schedule, shown.copies);
  PwShowOptions options = { .F = params->F,
                            .I = params->I,
                            .W = params->W,
                            .width = width,
                            .color = !call->json && isatty (STDOUT_FILENO) };
  g_autofree char *text = pw_schedule_show (schedule, &options);
  if (call->json)
    print_json (&shown, text);
  else
    print_text (&shown, text);
  g_free (shown.peaks);
  g_free (shown.copies);
}

static int
run (PwCall *call, GError **error) {
  int width = 0;
  GOptionEntry entries[]
      = { { "width", 'w', 0, G_OPTION_ARG_INT, &width, "columns of the drawing; default 100", "N" },
          G_OPTION_ENTRY_NULL };
  if (!pw_call_parse (call, entries, error) || !pw_workload_name_schedule (call, error))
    return PW_EXIT_DONE;
  if (width < 0 || (width > 0 && width < 20)) {
    pw_input_fail (error, "--width: %d is below the minimum 20", width);
    return PW_EXIT_USAGE;
  }
  g_auto (PwWorkloadSynthetic) workload = { 0 };
  if (!pw_workload_synthetic (call->settings, FALSE, &workload, error))
    return PW_EXIT_USAGE;
  g_autoptr (PwSchedule) schedule = pw_simulate_schedule (&workload.synthetic, error);
  if (schedule)
    show (call, &workload.synthetic, schedule, width);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_schedule_show = {
  .name = "schedule show",
  .arguments = "[NAME|FILE]",
  .max_arguments = 1,
  .takes = PW_TAKES_SCHEDULE,
  .has_json = TRUE,
  .summary = "a schedule as a timeline, with its closed forms",
  .details = "Draws a row per rank and a column per unit of time, without links. Without sizes: 4\n"
             "ranks and 8 micro-batches.",
  .example = "  pipewright schedule show 1f1b --ranks 4 --microbatches 8 --forward 1 --backward 2\n"
             "    1F1B with a backward that takes twice as long as the forward",
  .run = run,
};
