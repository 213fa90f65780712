/* What a command is: one row of the table in main.c, one file with its arguments and its printing.
 *
 *   pipewright simulate plan.json --ranks 4 --json
 *              |------| |--- arguments and options, read by pw_call_parse ---|
 *
 * `run` returns the exit status, or sets ERROR, from which main makes one line and the status. */
#pragma once
#include <glib.h>

#define PW_CLI_ERROR (pw_cli_error_quark ())
GQuark pw_cli_error_quark (void);
typedef enum {
  PW_CLI_ERROR_USAGE, /* wrong arguments: the message is followed by a hint at --help */
  PW_CLI_ERROR_INPUT  /* a value or file that cannot be */
} PwCliError;

typedef enum {
  PW_EXIT_DONE = 0,
  PW_EXIT_NO = 1, /* the answer is no: a check failed, a tolerance was missed */
  PW_EXIT_USAGE = 2,
  PW_EXIT_FAILED = 3, /* a run failed */
  PW_EXIT_INTERRUPTED = 130
} PwExit;

/* Which of the shared options a command takes (workload.h). */
typedef enum {
  PW_TAKES_NONE,
  PW_TAKES_PLAN,     /* overrides of a plan */
  PW_TAKES_SCHEDULE, /* a schedule's sizes and synthetic costs */
  PW_TAKES_ANY       /* a plan with overrides, or synthetic costs */
} PwTakes;

typedef struct PwCall PwCall;
typedef struct PwSettings PwSettings;

typedef struct {
  const char *name;      /* "schedule list" */
  const char *arguments; /* "PLAN", "[NAME|FILE]"; NULL: none */
  int min_arguments, max_arguments;
  PwTakes takes;
  const char *const *without; /* shared options that it does not take, NULL-terminated; NULL: all */
  gboolean has_json, has_no_timing;
  const char *summary; /* one line for the list of commands */
  const char *details; /* what it answers, before the options; NULL: the summary alone */
  const char *example; /* a command line, and what it shows */
  int (*run) (PwCall *call, GError **error);
} PwCommand;

/* One invocation. */
struct PwCall {
  const PwCommand *command;
  char **argv; /* what follows the command's name; after pw_call_parse the plain arguments */
  int n_arguments;
  gboolean json, no_timing;
  PwSettings *settings; /* of the shared options; NULL where the command takes none */
};

/* Reads ENTRIES (NULL: none), the common and the shared options, then checks the number of plain
 * arguments. FALSE without an error: --help was asked for and printed. */
gboolean pw_call_parse (PwCall *call, const GOptionEntry *entries, GError **error);
void pw_call_clear (PwCall *call);
/* Sets a usage error; returns FALSE. */
gboolean pw_usage_fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);
gboolean pw_input_fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);
PwExit pw_exit_of_error (const GError *error);

/* The list of commands, in the order of --help. */
#define PW_COMMANDS(X)                                                                             \
  X (schedule_list)                                                                                \
  X (schedule_show)                                                                                \
  X (schedule_check)                                                                               \
  X (schedule_export)                                                                              \
  X (schedule_import)                                                                              \
  X (simulate)                                                                                     \
  X (compare)                                                                                      \
  X (sweep_merge)                                                                                  \
  X (sweep)                                                                                        \
  X (plan)                                                                                         \
  X (profile)                                                                                      \
  X (run)                                                                                          \
  X (validate)                                                                                     \
  X (trace_info)                                                                                   \
  X (trace_diff)                                                                                   \
  X (plot)                                                                                         \
  X (model_list)                                                                                   \
  X (model_show)                                                                                   \
  X (hardware_list)                                                                                \
  X (hardware_show)

#define PW_DECLARE_COMMAND(name) extern const PwCommand pw_command_##name;
PW_COMMANDS (PW_DECLARE_COMMAND)
#undef PW_DECLARE_COMMAND
