#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "plans/hardware.h"
#include <stdio.h>

static void
print_text (void) {
  static const char *const headings[] = { "<name",        "fp32",     "tf32",
                                          "bf16, fp16",   "memory/s", "memory",
                                          "link latency", "link",     NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  char text[PW_TEXT_MAX];
  for (const PwHardware *const *hardware = pw_hardware_list (); *hardware; hardware++) {
    pw_table_row (table);
    pw_table_text (table, (*hardware)->name);
    pw_table_text (table, pw_format_count ((*hardware)->flops, text));
    pw_table_text (table, pw_format_count ((*hardware)->flops_tf32, text));
    pw_table_text (table, pw_format_count ((*hardware)->flops_half, text));
    pw_table_printf (table, "%sB/s", pw_format_count ((*hardware)->memory_bandwidth, text));
    if ((*hardware)->memory_bytes > 0)
      pw_table_printf (table, "%sB", pw_format_count ((double)(*hardware)->memory_bytes, text));
    else
      pw_table_text (table, "-");
    pw_table_time (table, (*hardware)->link.latency_s, FALSE);
    if ((*hardware)->link.bandwidth > 0)
      pw_table_printf (table, "%sB/s", pw_format_count ((*hardware)->link.bandwidth, text));
    else
      pw_table_text (table, "-");
  }
  pw_table_print (table);
  printf (
      "\nPer rank; under each precision the peak of its products in FLOP/s, without sparsity.\n");
}

static void
print_json (void) {
  json_t *list = json_array ();
  for (const PwHardware *const *hardware = pw_hardware_list (); *hardware; hardware++)
    json_array_append_new (list, pw_hardware_to_json (*hardware));
  json_t *object = json_object ();
  json_object_set_new (object, "hardware", list);
  pw_output_json (object);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error))
    return PW_EXIT_DONE;
  if (call->json)
    print_json ();
  else
    print_text ();
  return PW_EXIT_DONE;
}

const PwCommand pw_command_hardware_list = {
  .name = "hardware list",
  .has_json = TRUE,
  .summary = "the machines a plan can name",
  .example = "  pipewright hardware list\n"
             "    what stands for \"hardware\" in a plan",
  .run = run,
};
