#include "cli/output.h"
#include "cli/schedule_file.h"
#include "cli/workload.h"
#include "schedules/lower.h"

static gboolean
lower (PwSchedule **schedule, const PwSynthetic *synthetic, GError **error) {
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain ((*schedule)->stages);
  PwLowerOptions options = { .policy = synthetic->policy, .batched = synthetic->batched };
  PwSchedule *lowered = pw_schedule_lower (*schedule, edges, &options, error);
  if (!lowered)
    return FALSE;
  pw_schedule_free (*schedule);
  *schedule = lowered;
  return TRUE;
}

static int
run (PwCall *call, GError **error) {
  g_autofree char *format = NULL, *output = NULL;
  gboolean lowered = FALSE;
  GOptionEntry entries[]
      = { { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "default: by the file's name, else csv",
            pw_schedule_file_formats },
          { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, "default: standard output", "FILE" },
          { "lowered", 0, 0, G_OPTION_ARG_NONE, &lowered, "with every send and receive", NULL },
          G_OPTION_ENTRY_NULL };
  if (!pw_call_parse (call, entries, error) || !pw_workload_name_schedule (call, error)
      || !pw_output_check ("-o", output, error))
    return PW_EXIT_DONE;
  g_auto (PwWorkloadSynthetic) workload = { 0 };
  if (!pw_workload_synthetic (call->settings, FALSE, &workload, error))
    return PW_EXIT_USAGE;
  g_autoptr (PwSchedule) schedule = pw_simulate_schedule (&workload.synthetic, error);
  if (!schedule || (lowered && !lower (&schedule, &workload.synthetic, error)))
    return PW_EXIT_USAGE;
  pw_schedule_file_write (schedule, format, output, error);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_schedule_export = {
  .name = "schedule export",
  .arguments = "[NAME|FILE]",
  .max_arguments = 1,
  .takes = PW_TAKES_SCHEDULE,
  .summary = "a schedule as CSV (PyTorch's too), JSON or a picture",
  .details
  = "Writes a row per rank and a cell per action. torch-csv leaves out what PyTorch has no\n"
    "name for, and is refused for two directions, weight versions and forwards alone. A\n"
    "picture draws a backward twice as long as a forward.",
  .example = "  pipewright schedule export gpipe --ranks 2 --microbatches 4 --format torch-csv\n"
             "    a file that PyTorch's _load_csv reads",
  .run = run,
};
