#include "cli/command.h"
#include "cli/hardware.h"
#include "cli/output.h"
#include <string.h>

static PwHardware *
load (const char *name, GError **error) {
  g_autoptr (PwJsonFile) file = NULL;
  g_autoptr (json_t) value = NULL;
  PwJsonPlace place = { NULL, "hardware" };
  if (!pw_hardware_get (name) && (strchr (name, '/') || g_str_has_suffix (name, ".json"))) {
    file = pw_json_file_load (name, error);
    if (!file)
      return NULL;
    json_t *of_plan = json_object_get (file->root, "hardware");
    value = json_incref (of_plan ? of_plan : file->root);
    place = (PwJsonPlace){ file, of_plan ? "hardware" : "" };
  } else {
    value = json_string (name);
  }
  if (!value) {
    pw_input_fail (error, "the name is not UTF-8");
    return NULL;
  }
  return pw_hardware_read (place, value, error);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error))
    return PW_EXIT_DONE;
  g_autoptr (PwHardware) hardware = load (call->argv[0], error);
  if (!hardware)
    return PW_EXIT_USAGE;
  if (call->json)
    pw_output_json (pw_hardware_to_json (hardware));
  else
    pw_hardware_print (hardware);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_hardware_show = {
  .name = "hardware show",
  .arguments = "NAME|FILE",
  .min_arguments = 1,
  .max_arguments = 1,
  .has_json = TRUE,
  .summary = "one machine's figures and where they are from",
  .details = "Shows a machine of the catalogue, of a hardware file, or of a plan.",
  .example = "  pipewright hardware show h100-80g-sxm\n"
             "    what the analytic costs of a plan for that machine are made from",
  .run = run,
};
