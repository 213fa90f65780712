#include "cli/command.h"
#include "cli/output.h"
#include "models/registry.h"
#include "plans/resolve.h"
#include <stdio.h>
#include <string.h>

/* A file is a plan if it has a "model", else the model itself. */
static PwGraph *
load_file (const char *path, GError **error) {
  g_autoptr (PwJsonFile) file = pw_json_file_load (path, error);
  if (!file)
    return NULL;
  if (!json_object_get (file->root, "model"))
    return pw_model_read ((PwJsonPlace){ file, "" }, file->root, error);
  g_autoptr (PwPlan) plan = pw_plan_parse (file->file, file->text, error);
  return plan ? pw_plan_read_model (plan, error) : NULL;
}

static PwGraph *
load (const char *name, GError **error) {
  if (!pw_model_get (name)
      && (strchr (name, '/') || g_str_has_suffix (name, ".json") || g_str_equal (name, "-")
          || g_file_test (name, G_FILE_TEST_EXISTS)))
    return load_file (name, error);
  g_autoptr (json_t) value = json_string (name);
  if (!value) {
    pw_input_fail (error, "the name is not UTF-8");
    return NULL;
  }
  PwJsonPlace place = { NULL, "model" };
  return pw_model_read (place, value, error);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error))
    return PW_EXIT_DONE;
  g_autoptr (PwGraph) graph = load (call->argv[0], error);
  if (!graph)
    return PW_EXIT_USAGE;
  if (call->json) {
    pw_output_json (pw_graph_to_json (graph));
  } else {
    g_autofree char *text = pw_graph_to_string (graph);
    fputs (text, stdout);
  }
  return PW_EXIT_DONE;
}

const PwCommand pw_command_model_show = {
  .name = "model show",
  .arguments = "NAME|FILE",
  .min_arguments = 1,
  .max_arguments = 1,
  .has_json = TRUE,
  .summary = "units and layers of a model: shapes, parameters, FLOPs",
  .details
  = "Shows a model of the catalogue with its default sizes, the model of a plan in the plan's\n"
    "precision, or that of a model file. The units are numbered as \"partition\" counts them.",
  .example = "  pipewright model show examples/gpt-small.json\n"
             "    the eight blocks between which that plan may be cut",
  .run = run,
};
