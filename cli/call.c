#include "cli/command.h"
#include "cli/help.h"
#include "cli/workload.h"
#include "exec/exec.h"
#include <string.h>

GQuark
pw_cli_error_quark (void) {
  return g_quark_from_static_string ("pw-cli-error-quark");
}

gboolean
pw_usage_fail (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_CLI_ERROR, PW_CLI_ERROR_USAGE, message);
  return FALSE;
}

gboolean
pw_input_fail (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_CLI_ERROR, PW_CLI_ERROR_INPUT, message);
  return FALSE;
}

PwExit
pw_exit_of_error (const GError *error) {
  if (error->domain == PW_KERNEL_ERROR)
    return PW_EXIT_FAILED;
  if (error->domain == PW_BOOTSTRAP_ERROR)
    return error->code == PW_BOOTSTRAP_ERROR_ENVIRONMENT ? PW_EXIT_USAGE : PW_EXIT_FAILED;
  if (error->domain != PW_EXEC_ERROR)
    return PW_EXIT_USAGE;
  switch ((PwExecError)error->code) {
  case PW_EXEC_ERROR_INTERRUPTED:
    return PW_EXIT_INTERRUPTED;
  case PW_EXEC_ERROR_UNSUPPORTED:
  case PW_EXEC_ERROR_DATA:
    return PW_EXIT_USAGE;
  default:
    return PW_EXIT_FAILED;
  }
}

enum { OWN, COMMON, SHARED, N_LISTS };

/* GOption only parses: its help has no order of our choosing. */
static GOptionContext *
new_context (PwCall *call, const PwOptionList lists[N_LISTS]) {
  GOptionContext *context = g_option_context_new (NULL);
  g_option_context_set_help_enabled (context, FALSE);
  GOptionGroup *group = g_option_group_new ("all", "", "", call->settings, NULL);
  for (int i = 0; i < N_LISTS; i++)
    if (lists[i].entries)
      g_option_group_add_entries (group, lists[i].entries);
  g_option_context_set_main_group (context, group);
  return context;
}

/* "Unknown option --foo" becomes a sentence like all others. */
static gboolean
fail_option (const PwCommand *command, GError *found, const PwOptionList lists[N_LISTS],
             GError **error) {
  const char *nearest = NULL;
  if (g_error_matches (found, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION)) {
    const char *option = strrchr (found->message, ' ') + 1;
    g_autofree char *name = g_strndup (option, strcspn (option, "="));
    if (command->without && g_strv_contains (command->without, name + strspn (name, "-"))) {
      g_error_free (found);
      return pw_usage_fail (error, "%s does not take %s", command->name, name);
    }
    nearest = pw_help_nearest (option, lists, N_LISTS);
  }
  found->message[0] = g_ascii_tolower (found->message[0]);
  pw_usage_fail (error, "%s%s%s%s", found->message, nearest ? ", did you mean --" : "",
                 nearest ? nearest : "", nearest ? "?" : "");
  g_error_free (found);
  return FALSE;
}

static gboolean
check_arguments (const PwCall *call, GError **error) {
  const PwCommand *command = call->command;
  if (call->n_arguments > command->max_arguments)
    return pw_usage_fail (error, "%s: unexpected argument \"%s\"", command->name,
                          call->argv[command->max_arguments]);
  if (call->n_arguments < command->min_arguments)
    return pw_usage_fail (error, "%s: an argument is missing: %s", command->name,
                          command->arguments);
  return TRUE;
}

/* GOption expects the program's name first. */
static void
prepend_program (PwCall *call) {
  guint n = g_strv_length (call->argv);
  char **argv = g_new0 (char *, n + 2);
  argv[0] = g_strdup ("pipewright");
  for (guint i = 0; i < n; i++)
    argv[i + 1] = call->argv[i];
  g_free (call->argv);
  call->argv = argv;
}

/* The program's name and a "--" go, plain arguments remain. */
static void
keep_arguments (PwCall *call) {
  int first = call->argv[1] && g_str_equal (call->argv[1], "--") ? 2 : 1;
  for (int i = 0; i < first; i++)
    g_free (call->argv[i]);
  call->n_arguments = (int)g_strv_length (call->argv + first);
  for (int i = 0; i <= call->n_arguments; i++)
    call->argv[i] = call->argv[first + i];
}

gboolean
pw_call_parse (PwCall *call, const GOptionEntry *entries, GError **error) {
  const PwCommand *command = call->command;
  gboolean help = FALSE;
  const GOptionEntry common[]
      = { { "json", 0, command->has_json ? 0 : G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &call->json,
            "print one JSON object and nothing else", NULL },
          { "no-timing", 0, command->has_no_timing ? 0 : G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE,
            &call->no_timing, "leave out wall_seconds: equal inputs then give equal bytes", NULL },
          { "help", 'h', 0, G_OPTION_ARG_NONE, &help, "show this text", NULL },
          G_OPTION_ENTRY_NULL };
  PwOptionList lists[N_LISTS] = { [OWN] = { "Options:", entries }, [COMMON] = { NULL, common } };
  if (command->takes != PW_TAKES_NONE) {
    call->settings = pw_settings_new ();
    lists[SHARED] = pw_settings_options (call->settings, command);
  }
  g_autoptr (GOptionContext) context = new_context (call, lists);
  prepend_program (call);
  GError *found = NULL;
  if (!g_option_context_parse_strv (context, &call->argv, &found))
    return fail_option (command, found, lists, error);
  if (help) {
    pw_help_print (command, lists, N_LISTS);
    return FALSE;
  }
  if ((call->json && !command->has_json) || (call->no_timing && !command->has_no_timing))
    return pw_usage_fail (error, "unknown option %s", call->json ? "--json" : "--no-timing");
  keep_arguments (call);
  return check_arguments (call, error);
}

void
pw_call_clear (PwCall *call) {
  g_strfreev (call->argv);
  pw_settings_free (call->settings);
}
