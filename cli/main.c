/* The program: finds the command, runs it, turns its error into one line and an exit status. */
#include "cli/command.h"
#include "cli/output.h"
#include "io/json.h"
#include "pipewright/pipewright.h"
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const PwCommand *const commands[] = {
#define ROW(name) &pw_command_##name,
  PW_COMMANDS (ROW)
#undef ROW
};

/* The number of WORDS that are the name of a command, and which; 0: none. */
static int
find_command (char **words, const PwCommand **command) {
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++) {
    g_auto (GStrv) name = g_strsplit (commands[i]->name, " ", 2);
    int length = (int)g_strv_length (name), same = 0;
    while (same < length && words[same] && g_str_equal (words[same], name[same]))
      same++;
    if (same == length) {
      *command = commands[i];
      return length;
    }
  }
  return 0;
}

/* Whether WORD is the first of two-word names and none itself: "schedule", but not "sweep". */
static gboolean
is_group (const char *word) {
  gsize length = strlen (word);
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (commands[i]->name, word))
      return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strncmp (commands[i]->name, word, length) == 0 && commands[i]->name[length] == ' ')
      return TRUE;
  return FALSE;
}

static void
print_commands (const char *group) {
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (!group
        || (g_str_has_prefix (commands[i]->name, group)
            && commands[i]->name[strlen (group)] == ' '))
      printf ("  %-17s %s\n", commands[i]->name, commands[i]->summary);
}

static void
print_help (const char *group) {
  if (group) {
    printf ("Usage:\n  pipewright %s COMMAND [ARGUMENTS]\n\nCommands:\n", group);
    print_commands (group);
  } else {
    printf ("Usage:\n"
            "  pipewright COMMAND [ARGUMENTS]\n"
            "\n"
            "What will a pipeline-parallel schedule cost, which one should be used, and did the\n"
            "real run do what was predicted?\n"
            "\n"
            "Commands:\n");
    print_commands (NULL);
    printf ("  %-17s %s\n", "help COMMAND", "the options of a command, with an example");
  }
  printf ("\n"
          "Example:\n"
          "  pipewright schedule show --schedule 1f1b --ranks 4 --microbatches 8\n"
          "    draws the order in which four ranks work on eight micro-batches\n"
          "\n"
          "Exit status: 0 done; 1 the answer is no; 2 bad usage or input; 3 a run failed;\n"
          "130 interrupted.\n");
}

/* ARGUMENTS as a command name, a group's name, or nothing known. */
static gboolean
fail_unknown (char **arguments, GError **error) {
  const char *first = arguments[0];
  if (!first)
    return pw_usage_fail (error, "a command is missing");
  if (first[0] == '-')
    return pw_usage_fail (error, "unknown option %s", first);
  gboolean grouped = is_group (first);
  if (grouped && !arguments[1])
    return pw_usage_fail (error, "%s: which of its commands? See pipewright %s --help", first,
                          first);
  g_autofree char *name
      = grouped ? g_strdup_printf ("%s %s", first, arguments[1]) : g_strdup (first);
  const char *names[G_N_ELEMENTS (commands) + 1] = { NULL };
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    names[i] = commands[i]->name;
  const char *nearest = pw_json_nearest (name, names);
  return pw_usage_fail (error, "there is no command \"%s\"%s%s%s", name,
                        nearest ? ", did you mean \"" : "", nearest ? nearest : "",
                        nearest ? "\"?" : "");
}

static gboolean
asks_for_help (const char *word) {
  return word && (g_str_equal (word, "--help") || g_str_equal (word, "-h"));
}

/* `help`, `help CMD`, `--help`, `schedule --help`, `--version`; FALSE if it is none of these. */
static gboolean
answer_about_itself (char **arguments) {
  if (!arguments[0])
    return FALSE;
  if (g_str_equal (arguments[0], "--version")) {
    printf ("pipewright %s\n", pw_version ());
    return TRUE;
  }
  gboolean is_help = g_str_equal (arguments[0], "help");
  if (asks_for_help (arguments[0]) || (is_help && !arguments[1])) {
    print_help (NULL);
    return TRUE;
  }
  const char *group = is_help ? arguments[1] : arguments[0];
  const char *next = is_help ? arguments[2] : arguments[1];
  if (is_group (group) && (is_help ? !next : asks_for_help (next))) {
    print_help (group);
    return TRUE;
  }
  return FALSE;
}

static int
run_command (char **arguments, const PwCommand **command, GError **error) {
  gboolean is_help = arguments[0] && g_str_equal (arguments[0], "help");
  int words = find_command (arguments + is_help, command);
  if (words == 0) {
    fail_unknown (arguments + is_help, error);
    return PW_EXIT_USAGE;
  }
  char *help[] = { "--help", NULL };
  PwCall call = { .command = *command, .argv = g_strdupv (is_help ? help : arguments + words) };
  int status = (*command)->run (&call, error);
  pw_call_clear (&call);
  return status;
}

static void
print_error (const PwCommand *command, const GError *error) {
  gboolean stopped = pw_exit_of_error (error) == PW_EXIT_INTERRUPTED;
  pw_output_complain ("%s", stopped ? "interrupted" : error->message);
  if (g_error_matches (error, PW_CLI_ERROR, PW_CLI_ERROR_USAGE))
    fprintf (stderr, "Try \"pipewright%s%s --help\".\n", command ? " " : "",
             command ? command->name : "");
}

int
main (int argc, char **argv) {
  (void)argc;
  setlocale (LC_CTYPE, "");
  if (!argv[0] || answer_about_itself (argv + 1))
    return PW_EXIT_DONE;
  const PwCommand *command = NULL;
  g_autoptr (GError) error = NULL;
  int status = run_command (argv + 1, &command, &error);
  if (fflush (stdout) != 0 && !error)
    pw_input_fail (&error, "standard output: %s", g_strerror (errno));
  if (error) {
    print_error (command, error);
    status = pw_exit_of_error (error);
  }
  return status;
}
