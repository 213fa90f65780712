#include "cli/schedule_file.h"
#include "cli/command.h"
#include "cli/output.h"
#include "pipewright/simulate.h"
#include "plots/plot.h"
#include "schedules/csv.h"
#include "schedules/lower.h"

const char pw_schedule_file_formats[] = "csv|torch-csv|json|svg|png|pdf";

typedef gboolean (*Writer) (const PwSchedule *schedule, const char *path, GError **error);

static gboolean
write_csv (const PwSchedule *schedule, const char *path, GError **error) {
  g_autofree char *text = pw_schedule_to_csv (schedule, PW_CSV_OURS);
  return pw_output_text (path, text, error);
}

/* What PyTorch's _load_csv would refuse, or take for something else. */
static const char *
torch_lacks (const PwSchedule *schedule) {
  if (schedule->placement->directions > 1)
    return "keeps each stage on one rank, here each is on two";
  if (schedule->mode == PW_MODE_INFERENCE)
    return "loads no schedule without backwards";
  if (!schedule->promise.synchronous)
    return "has no word for the updates in between that make this schedule asynchronous";
  return NULL;
}

static gboolean
write_torch (const PwSchedule *schedule, const char *path, GError **error) {
  const char *lack = torch_lacks (schedule);
  if (lack)
    return pw_input_fail (error, "torch-csv: %s: PyTorch %s", schedule->name, lack);
  g_autoptr (PwSchedule) reduced
      = schedule->is_lowered ? pw_schedule_add_reductions (schedule) : NULL;
  g_autofree char *text = pw_schedule_to_csv (reduced ? reduced : schedule, PW_CSV_TORCH);
  return pw_output_text (path, text, error);
}

static json_t *
program_json (const PwProgram *program) {
  json_t *actions = json_array ();
  char text[PW_ACTION_TEXT_MAX];
  for (int64_t i = 0; i < program->n_prologue; i++)
    json_array_append_new (actions, json_string (pw_action_format (program->actions[i], text)));
  return actions;
}

static gboolean
write_json (const PwSchedule *schedule, const char *path, GError **error) {
  g_autoptr (PwSchedule) plain = pw_schedule_unroll (schedule, 1, error);
  if (!plain)
    return FALSE;
  g_autoptr (json_t) object = json_object ();
  json_object_set_new (object, "schedule", json_string (plain->name));
  json_object_set_new (object, "ranks", json_integer (plain->ranks));
  json_object_set_new (object, "stages", json_integer (plain->stages));
  json_object_set_new (object, "microbatches", json_integer (plain->microbatches));
  json_object_set_new (object, "chunks", json_integer (plain->chunks));
  json_object_set_new (object, "pieces", json_integer (plain->pieces));
  json_object_set_new (object, "mode",
                       json_string (plain->mode == PW_MODE_TRAINING ? "training" : "inference"));
  json_t *placement = json_array ();
  for (int d = 0; d < plain->placement->directions; d++) {
    json_t *ranks = json_array ();
    for (int s = 0; s < plain->stages; s++)
      json_array_append_new (ranks, json_integer (pw_placement_rank (plain->placement, d, s)));
    json_array_append_new (placement, ranks);
  }
  json_object_set_new (object, "rank_of_stage", placement);
  json_t *programs = json_array ();
  for (int r = 0; r < plain->ranks; r++)
    json_array_append_new (programs, program_json (&plain->programs[r]));
  json_object_set_new (object, "actions", programs);
  g_autofree char *text = json_dumps (object, JSON_INDENT (1));
  g_autofree char *line = g_strconcat (text, "\n", NULL);
  return pw_output_text (path, line, error);
}

/* A picture needs times: a forward takes 1, a full backward 2. */
static gboolean
draw (const PwSchedule *schedule, const char *path, GError **error) {
  if (!path)
    return pw_usage_fail (error, "a picture needs -o FILE.svg, .png or .pdf");
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (schedule->stages);
  PwLowerOptions lower = { .policy = PW_POLICY_DEFAULT };
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, edges, &lower, error);
  if (!lowered)
    return FALSE;
  g_autofree double *forward = g_new (double, (gsize)schedule->stages);
  g_autofree double *backward = g_new (double, (gsize)schedule->stages);
  for (int s = 0; s < schedule->stages; s++) {
    forward[s] = 1;
    backward[s] = 2;
  }
  PwSyntheticCosts synthetic
      = { .stages = schedule->stages, .forward = forward, .backward = backward };
  g_autoptr (PwStageCosts) costs = pw_stage_costs_new_synthetic (&synthetic, edges);
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = edges;
  input.costs = costs;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, error);
  if (!result)
    return FALSE;
  g_autoptr (PwTrace) trace = pw_sim_trace (&input, result, NULL);
  const PwTrace *traces[] = { trace };
  PwPlotOptions options = { .output = path, .iteration = -1 };
  return pw_plot_timeline (traces, 1, &options, NULL, error);
}

static const struct {
  const char *name, *suffix;
  Writer write;
} formats[] = {
  { "csv", ".csv", write_csv },    { "torch-csv", NULL, write_torch },
  { "json", ".json", write_json }, { "svg", ".svg", draw },
  { "png", ".png", draw },         { "pdf", ".pdf", draw },
};

gboolean
pw_schedule_file_write (const PwSchedule *schedule, const char *format, const char *path,
                        GError **error) {
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++) {
    gboolean named = format
                         ? g_str_equal (format, formats[i].name)
                         : path && formats[i].suffix && g_str_has_suffix (path, formats[i].suffix);
    if (!named)
      continue;
    if (formats[i].write == draw && path && !g_str_has_suffix (path, formats[i].suffix))
      return pw_usage_fail (error, "--format %s: the name %s does not end in %s", formats[i].name,
                            path, formats[i].suffix);
    return formats[i].write (schedule, path, error);
  }
  if (format)
    return pw_usage_fail (error, "--format: \"%s\" is none of %s", format,
                          pw_schedule_file_formats);
  return write_csv (schedule, path, error);
}
