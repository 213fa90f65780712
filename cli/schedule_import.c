#include "cli/output.h"
#include "cli/schedule_file.h"
#include "cli/workload.h"
#include "io/file.h"
#include "schedules/check.h"
#include "schedules/csv.h"

static gboolean
check (const PwSchedule *schedule, const char *file, GError **error) {
  PwCheckOptions options = { .policy = PW_POLICY_DEFAULT, .weight_memory = 0.5, .max_findings = 1 };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
  if (report->valid)
    return TRUE;
  const PwCheckFinding *finding = &report->findings[0];
  return pw_input_fail (error, "%s: %s: %s", file, pw_schedule_error_codes[finding->code],
                        finding->message);
}

static void
print_json (const PwSchedule *schedule) {
  json_t *object = json_object ();
  json_object_set_new (object, "ranks", json_integer (schedule->ranks));
  json_object_set_new (object, "stages", json_integer (schedule->stages));
  json_object_set_new (object, "microbatches", json_integer (schedule->microbatches));
  json_object_set_new (object, "chunks", json_integer (schedule->chunks));
  json_object_set_new (object, "lowered", json_boolean (schedule->is_lowered));
  json_object_set_new (object, "mode",
                       json_string (schedule->mode == PW_MODE_TRAINING ? "training" : "inference"));
  json_object_set_new (object, "actions", json_integer (pw_schedule_count_actions (schedule)));
  pw_output_json (object);
}

static int
run (PwCall *call, GError **error) {
  g_autofree char *format = NULL, *output = NULL;
  GOptionEntry entries[] = { { "format", 'f', 0, G_OPTION_ARG_STRING, &format,
                               "default: by the file's name, else csv", pw_schedule_file_formats },
                             { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
                               "default: standard output, unless --json is printed there", "FILE" },
                             G_OPTION_ENTRY_NULL };
  if (!pw_call_parse (call, entries, error) || !pw_output_check ("-o", output, error))
    return PW_EXIT_DONE;
  const char *file = call->argv[0];
  g_autofree char *text = NULL;
  if (!pw_file_read (file, &text, NULL, error))
    return PW_EXIT_USAGE;
  g_autoptr (PwSchedule) schedule = pw_schedule_from_csv (file, text, NULL, error);
  if (!schedule || !check (schedule, file, error))
    return PW_EXIT_USAGE;
  if ((output || !call->json) && !pw_schedule_file_write (schedule, format, output, error))
    return PW_EXIT_USAGE;
  if (call->json)
    print_json (schedule);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_schedule_import = {
  .name = "schedule import",
  .arguments = "FILE",
  .min_arguments = 1,
  .max_arguments = 1,
  .has_json = TRUE,
  .summary = "reads a CSV schedule, checks it, and writes it anew",
  .details
  = "Reads PyTorch's CSV, today's and the one before late 2024, and ours; \"-\" is standard\n"
    "input. An error names the row and the cell. The same schedule is then written, today's\n"
    "way.",
  .example = "  pipewright schedule import old.csv -o new.csv\n"
             "    turns an old file into today's spelling",
  .run = run,
};
