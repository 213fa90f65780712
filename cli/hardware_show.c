#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "plans/hardware.h"
#include <stdio.h>
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

static void
print_text (const PwHardware *hardware) {
  char text[PW_TEXT_MAX];
  pw_print_fact ("name", "%s", hardware->name ? hardware->name : "-");
  pw_print_fact ("products", "%s FLOP/s, half precision %s FLOP/s",
                 pw_format_count (hardware->flops, text),
                 pw_format_count (hardware->flops_half, (char[PW_TEXT_MAX]){ 0 }));
  pw_print_fact ("efficiency", "%s of the peak in large products",
                 pw_format_share (hardware->efficiency, text));
  pw_print_fact ("memory bandwidth", "%sB/s", pw_format_count (hardware->memory_bandwidth, text));
  if (hardware->memory_bytes > 0)
    pw_print_fact ("memory", "%sB", pw_format_count ((double)hardware->memory_bytes, text));
  pw_print_fact ("link latency", "%s", pw_format_time (hardware->link.latency_s, FALSE, text));
  if (hardware->link.bandwidth > 0)
    pw_print_fact ("link bandwidth", "%sB/s", pw_format_count (hardware->link.bandwidth, text));
  pw_print_fact ("link sharing", "%s", pw_link_sharing_names[hardware->link.sharing]);
  if (hardware->source)
    pw_print_fact ("source", "%s", hardware->source);
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
    print_text (hardware);
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
