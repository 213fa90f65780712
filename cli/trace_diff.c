#include "traces/diff.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "traces/chrome.h"
#include <stdio.h>

static json_t *
rank_json (const PwTraceDiffRank *rank) {
  json_t *object = json_object ();
  json_object_set_new (object, "rank", json_integer (rank->rank));
  json_object_set_new (object, "a_busy_time", pw_output_number (rank->a_busy));
  json_object_set_new (object, "b_busy_time", pw_output_number (rank->b_busy));
  json_object_set_new (object, "a_idle_time", pw_output_number (rank->a_idle));
  json_object_set_new (object, "b_idle_time", pw_output_number (rank->b_idle));
  json_object_set_new (object, "a_peak_memory_bytes", json_integer (rank->a_peak_memory_bytes));
  json_object_set_new (object, "b_peak_memory_bytes", json_integer (rank->b_peak_memory_bytes));
  json_object_set_new (object, "median_start_error", pw_output_number (rank->median_start_error));
  return object;
}

static json_t *
action_json (const PwTraceDiffAction *action) {
  char text[PW_ACTION_TEXT_MAX];
  json_t *object = json_object ();
  json_object_set_new (object, "rank", json_integer (action->rank));
  json_object_set_new (object, "action", json_string (pw_action_format (action->action, text)));
  json_object_set_new (object, "a_start", pw_output_number (action->a_start));
  json_object_set_new (object, "a_end", pw_output_number (action->a_end));
  json_object_set_new (object, "b_start", pw_output_number (action->b_start));
  json_object_set_new (object, "b_end", pw_output_number (action->b_end));
  return object;
}

static void
print_json (const PwTraceDiff *diff) {
  json_t *object = json_object ();
  json_object_set_new (object, "a_iteration_time", pw_output_number (diff->a_iteration_time));
  json_object_set_new (object, "b_iteration_time", pw_output_number (diff->b_iteration_time));
  json_object_set_new (object, "relative_error", pw_output_number (diff->relative_error));
  json_object_set_new (object, "a_bubble_fraction", pw_output_number (diff->a_bubble_fraction));
  json_object_set_new (object, "b_bubble_fraction", pw_output_number (diff->b_bubble_fraction));
  json_t *actions = json_object ();
  json_object_set_new (actions, "matched", json_integer (diff->matched));
  json_object_set_new (actions, "only_in_a", json_integer (diff->only_in_a));
  json_object_set_new (actions, "only_in_b", json_integer (diff->only_in_b));
  json_object_set_new (actions, "median_start_error", pw_output_number (diff->median_start_error));
  json_object_set_new (actions, "p95_start_error", pw_output_number (diff->p95_start_error));
  json_object_set_new (actions, "median_duration_error",
                       pw_output_number (diff->median_duration_error));
  json_object_set_new (object, "actions", actions);
  json_t *ranks = json_array (), *worst = json_array ();
  for (int r = 0; r < diff->n_ranks; r++)
    json_array_append_new (ranks, rank_json (&diff->ranks[r]));
  for (int i = 0; i < diff->n_worst; i++)
    json_array_append_new (worst, action_json (&diff->worst[i]));
  json_object_set_new (object, "per_rank", ranks);
  json_object_set_new (object, "worst", worst);
  pw_output_json (object);
}

static void
print_facts (const PwTraceDiff *diff, gboolean unitless) {
  char a[PW_TEXT_MAX], b[PW_TEXT_MAX], share[PW_TEXT_MAX];
  pw_print_fact ("iteration time", "A %s, B %s: A is %.2f%% %s",
                 pw_format_time (diff->a_iteration_time, unitless, a),
                 pw_format_time (diff->b_iteration_time, unitless, b),
                 100 * ABS (diff->relative_error), diff->relative_error < 0 ? "shorter" : "longer");
  pw_print_fact ("bubble", "A %s, B %s", pw_format_share (diff->a_bubble_fraction, a),
                 pw_format_share (diff->b_bubble_fraction, b));
  pw_print_fact ("actions",
                 "%" G_GINT64_FORMAT " matched, %" G_GINT64_FORMAT " only in A, %" G_GINT64_FORMAT
                 " only in B",
                 diff->matched, diff->only_in_a, diff->only_in_b);
  pw_print_fact ("start error", "median %s, 95%% below %s of the iteration",
                 pw_format_share (diff->median_start_error, a),
                 pw_format_share (diff->p95_start_error, b));
  pw_print_fact ("duration error", "median %s",
                 pw_format_share (diff->median_duration_error, share));
}

static void
print_ranks (const PwTraceDiff *diff, gboolean unitless) {
  static const char *const headings[] = { "rank",     "busy A",   "busy B",      "idle A", "idle B",
                                          "memory A", "memory B", "start error", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int r = 0; r < diff->n_ranks; r++) {
    const PwTraceDiffRank *rank = &diff->ranks[r];
    pw_table_row (table);
    pw_table_integer (table, rank->rank);
    pw_table_time (table, rank->a_busy, unitless);
    pw_table_time (table, rank->b_busy, unitless);
    pw_table_time (table, rank->a_idle, unitless);
    pw_table_time (table, rank->b_idle, unitless);
    pw_table_bytes (table, rank->a_peak_memory_bytes);
    pw_table_bytes (table, rank->b_peak_memory_bytes);
    pw_table_share (table, rank->median_start_error);
  }
  printf ("\n");
  pw_table_print (table);
}

static void
print_worst (const PwTraceDiff *diff, gboolean unitless) {
  static const char *const headings[]
      = { "rank", "<action", "start A", "start B", "start A-B", "time A", "time B", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  char text[PW_ACTION_TEXT_MAX];
  for (int i = 0; i < diff->n_worst; i++) {
    const PwTraceDiffAction *action = &diff->worst[i];
    pw_table_row (table);
    pw_table_integer (table, action->rank);
    pw_table_text (table, pw_action_format (action->action, text));
    pw_table_time (table, action->a_start, unitless);
    pw_table_time (table, action->b_start, unitless);
    pw_table_time (table, action->a_start - action->b_start, unitless);
    pw_table_time (table, action->a_end - action->a_start, unitless);
    pw_table_time (table, action->b_end - action->b_start, unitless);
  }
  printf ("\nActions that start furthest apart\n");
  pw_table_print (table);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error))
    return PW_EXIT_DONE;
  g_autoptr (PwTrace) a = pw_trace_read (call->argv[0], error);
  g_autoptr (PwTrace) b = a ? pw_trace_read (call->argv[1], error) : NULL;
  g_autoptr (PwTraceDiff) diff = b ? pw_trace_diff (a, b, error) : NULL;
  if (!diff)
    return PW_EXIT_USAGE;
  if (call->json) {
    print_json (diff);
  } else {
    print_facts (diff, b->info.unitless);
    print_ranks (diff, b->info.unitless);
    if (diff->n_worst > 0)
      print_worst (diff, b->info.unitless);
  }
  return PW_EXIT_DONE;
}

const PwCommand pw_command_trace_diff = {
  .name = "trace diff",
  .arguments = "A B",
  .min_arguments = 2,
  .max_arguments = 2,
  .has_json = TRUE,
  .summary = "two traces of one schedule, action by action",
  .details
  = "Holds trace A (usually the prediction) against trace B (usually the measurement): end\n"
    "to end, per rank, and per action. Errors are relative to B's iteration time.",
  .example = "  pipewright trace diff simulated.json measured.json\n"
             "    where the run left the plan",
  .run = run,
};
