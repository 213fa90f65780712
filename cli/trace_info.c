#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "traces/chrome.h"
#include <stdio.h>

static json_t *
rank_json (const PwTraceRank *rank) {
  json_t *object = json_object ();
  json_object_set_new (object, "rank", json_integer (rank->rank));
  json_object_set_new (object, "busy_time", pw_output_number (rank->busy_time));
  json_object_set_new (object, "idle_time", pw_output_number (rank->idle_time));
  json_object_set_new (object, "warmup_idle", pw_output_number (rank->warmup_idle));
  json_object_set_new (object, "steady_idle", pw_output_number (rank->steady_idle));
  json_object_set_new (object, "drain_idle", pw_output_number (rank->drain_idle));
  json_object_set_new (object, "recompute_time", pw_output_number (rank->recompute_time));
  json_object_set_new (object, "actions", json_integer (rank->actions));
  json_object_set_new (object, "peak_memory_bytes", json_integer (rank->peak_memory_bytes));
  return object;
}

static void
print_json (const PwTrace *trace, const PwTraceSummary *summary) {
  const PwTraceInfo *info = &trace->info;
  json_t *object = json_object ();
  json_object_set_new (object, "source", pw_output_string (info->source));
  json_object_set_new (object, "schedule", pw_output_string (info->schedule));
  json_object_set_new (object, "model", pw_output_string (info->model));
  json_object_set_new (object, "policy", pw_output_string (info->policy));
  json_object_set_new (object, "transport", pw_output_string (info->transport));
  json_object_set_new (object, "backend", pw_output_string (info->backend));
  json_object_set_new (object, "unitless", json_boolean (info->unitless));
  json_object_set_new (object, "ranks", json_integer (info->ranks));
  json_object_set_new (object, "stages", json_integer (info->stages));
  json_object_set_new (object, "microbatches", json_integer (info->microbatches));
  json_object_set_new (object, "chunks", json_integer (info->chunks));
  json_object_set_new (object, "iterations", json_integer (info->iterations));
  json_object_set_new (object, "records", json_integer (trace->records->len));
  json_object_set_new (object, "iteration_time", pw_output_number (summary->iteration_time));
  json_object_set_new (object, "ideal_time", pw_output_number (summary->ideal_time));
  json_object_set_new (object, "bubble_fraction", pw_output_number (summary->bubble_fraction));
  json_object_set_new (object, "bubble_ratio", pw_output_number (summary->bubble_ratio));
  json_t *ranks = json_array ();
  for (int r = 0; r < summary->n_ranks; r++)
    json_array_append_new (ranks, rank_json (&summary->ranks[r]));
  json_object_set_new (object, "per_rank", ranks);
  pw_output_json (object);
}

static void
print_facts (const PwTrace *trace, const PwTraceSummary *summary) {
  const PwTraceInfo *info = &trace->info;
  char text[PW_TEXT_MAX], ratio[PW_TEXT_MAX];
  printf ("%s%s%s, %s: %d ranks, %d stages, %d micro-batches\n\n",
          info->source ? info->source : "trace", info->model ? " " : "",
          info->model ? info->model : "", info->schedule ? info->schedule : "no schedule named",
          info->ranks, info->stages, info->microbatches);
  pw_print_fact ("iterations", "%d", info->iterations);
  pw_print_fact ("records", "%u", trace->records->len);
  if (info->policy)
    pw_print_fact ("policy", "%s", info->policy);
  if (info->transport)
    pw_print_fact ("transport", "%s", info->transport);
  pw_print_fact ("iteration time", "%s",
                 pw_format_time (summary->iteration_time, info->unitless, text));
  pw_print_fact ("ideal time", "%s", pw_format_time (summary->ideal_time, info->unitless, text));
  pw_print_fact ("bubble", "%s of the iteration, %s of the ideal time",
                 pw_format_share (summary->bubble_fraction, text),
                 pw_format_share (summary->bubble_ratio, ratio));
  printf ("\n");
}

static void
print_text (const PwTrace *trace, const PwTraceSummary *summary) {
  print_facts (trace, summary);
  gboolean unitless = trace->info.unitless, has_memory = trace->memory->len > 0;
  static const char *const headings[]
      = { "rank", "actions", "busy", "idle", "warmup", "steady", "drain", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  if (has_memory)
    pw_table_add_column (table, "memory peak");
  for (int r = 0; r < summary->n_ranks; r++) {
    const PwTraceRank *rank = &summary->ranks[r];
    pw_table_row (table);
    pw_table_integer (table, rank->rank);
    pw_table_integer (table, rank->actions);
    pw_table_time (table, rank->busy_time, unitless);
    pw_table_time (table, rank->idle_time, unitless);
    pw_table_time (table, rank->warmup_idle, unitless);
    pw_table_time (table, rank->steady_idle, unitless);
    pw_table_time (table, rank->drain_idle, unitless);
    if (has_memory)
      pw_table_bytes (table, rank->peak_memory_bytes);
  }
  pw_table_print (table);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error))
    return PW_EXIT_DONE;
  g_autoptr (PwTrace) trace = pw_trace_read (call->argv[0], error);
  if (!trace)
    return PW_EXIT_USAGE;
  g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, 0);
  if (call->json)
    print_json (trace, summary);
  else
    print_text (trace, summary);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_trace_info = {
  .name = "trace info",
  .arguments = "FILE",
  .min_arguments = 1,
  .max_arguments = 1,
  .has_json = TRUE,
  .summary = "what a trace holds: times, bubble, memory per rank",
  .details = "Sums up a trace that `run` or `simulate` wrote, all its iterations together.",
  .example = "  pipewright trace info run.json\n"
             "    how long each rank worked and waited",
  .run = run,
};
