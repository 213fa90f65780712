#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "schedules/schedule.h"
#include <stdio.h>

static const struct {
  PwScheduleOption option;
  const char *name;
} options[] = {
  { PW_OPTION_CHUNKS, "chunks" },
  { PW_OPTION_GROUP, "group" },
  { PW_OPTION_WAVES, "waves" },
  { PW_OPTION_PIECES, "pieces" },
  { PW_OPTION_UPDATE_EVERY, "update_every" },
  { PW_OPTION_REVERSE, "reverse" },
};

static json_t *
names_of (const char *text) {
  json_t *names = json_array ();
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  for (int i = 0; words[i] != NULL; i++)
    json_array_append_new (names, json_string (words[i]));
  return names;
}

static void
print_json (void) {
  json_t *schedules = json_array ();
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    json_t *object = json_object ();
    json_object_set_new (object, "name", json_string ((*type)->name));
    json_object_set_new (object, "summary", json_string ((*type)->summary));
    json_object_set_new (object, "bubble", pw_output_string ((*type)->bubble));
    json_object_set_new (object, "span_bubble", pw_output_string ((*type)->span_bubble));
    json_object_set_new (object, "measure", pw_output_string ((*type)->measure));
    json_object_set_new (object, "peak", pw_output_string ((*type)->peak));
    json_object_set_new (object, "paper", pw_output_string ((*type)->paper));
    json_object_set_new (object, "title", pw_output_string ((*type)->title));
    json_object_set_new (object, "about", pw_output_string ((*type)->about));
    json_object_set_new (object, "follows", pw_output_string ((*type)->follows));
    json_object_set_new (object, "differs", pw_output_string ((*type)->differs));
    json_object_set_new (object, "limits", pw_output_string ((*type)->limits));
    json_object_set_new (object, "refused", pw_output_string ((*type)->refused));
    json_object_set_new (object, "related", names_of ((*type)->related));
    json_t *names = json_array ();
    for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
      if ((*type)->options & options[i].option)
        json_array_append_new (names, json_string (options[i].name));
    json_object_set_new (object, "options", names);
    json_array_append_new (schedules, object);
  }
  json_t *object = json_object ();
  json_object_set_new (object, "schedules", schedules);
  pw_output_json (object);
}

static void
print_tables (void) {
  static const char *const headings[] = { "<name", "<bubble", "<peak at rank r", NULL };
  static const char *const about[] = { "<name", "<what it is", NULL };
  g_autoptr (PwTable) forms = pw_table_new (headings);
  g_autoptr (PwTable) summaries = pw_table_new (about);
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    pw_table_row (forms);
    pw_table_text (forms, (*type)->name);
    pw_table_text (forms, (*type)->bubble);
    pw_table_text (forms, (*type)->peak);
    pw_table_row (summaries);
    pw_table_text (summaries, (*type)->name);
    pw_table_text (summaries, (*type)->summary);
  }
  pw_table_print (summaries);
  printf (
      "\nIdle time of an iteration and peak activations, for equal stages and no links. P ranks,\n"
      "M micro-batches, V chunks per rank; F, B, I, W: time of a chunk's forward, backward,\n"
      "input gradient and weight gradient; F&B of a pair; w waves, k pieces of a sequence.\n\n");
  pw_table_print (forms);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error))
    return PW_EXIT_DONE;
  if (call->json)
    print_json ();
  else
    print_tables ();
  return PW_EXIT_DONE;
}

const PwCommand pw_command_schedule_list = {
  .name = "schedule list",
  .has_json = TRUE,
  .summary = "the schedules, their bubble and memory as formulae",
  .example = "  pipewright schedule list\n"
             "    all schedules that --schedule takes",
  .run = run,
};
