#include "cli/command.h"
#include "cli/workload.h"
#include "exec/exec.h"
#include <stdio.h>

G_DEFINE_QUARK (pw-cli-error-quark, pw_cli_error)

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
  if (error->domain != PW_EXEC_ERROR)
    return PW_EXIT_USAGE;
  switch ((PwExecError) error->code) {
  case PW_EXEC_ERROR_INTERRUPTED:
    return PW_EXIT_INTERRUPTED;
  case PW_EXEC_ERROR_UNSUPPORTED:
  case PW_EXEC_ERROR_DATA:
    return PW_EXIT_USAGE;
  default:
    return PW_EXIT_FAILED;
  }
}

static GOptionContext *
new_context (PwCall *call, const GOptionEntry *entries, gboolean *help) {
  const PwCommand *command = call->command;
  GOptionContext *context = g_option_context_new (command->arguments);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (context, command->details ? command->details : command->summary);
  g_autofree char *example = g_strconcat ("Example:\n", command->example, NULL);
  g_option_context_set_description (context, example);

  GOptionEntry common[] = {
    { "json", 0, command->has_json ? 0 : G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &call->json,
      "Print one JSON object and nothing else", NULL },
    { "no-timing", 0, command->has_no_timing ? 0 : G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE,
      &call->no_timing, "Leave out wall_seconds, so that equal inputs give equal bytes", NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, help, "Show this text", NULL },
    G_OPTION_ENTRY_NULL
  };
  if (entries)
    g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, common, NULL);
  if (command->takes != PW_TAKES_NONE) {
    call->settings = pw_settings_new ();
    pw_settings_add_options (call->settings, command->takes, context);
  }
  return context;
}

/* "Unknown option --foo" becomes a sentence like all others. */
static gboolean
fail_option (GError *found, GError **error) {
  if (found->domain != G_OPTION_ERROR) {
    g_propagate_error (error, found);
    return FALSE;
  }
  found->message[0] = g_ascii_tolower (found->message[0]);
  pw_usage_fail (error, "%s", found->message);
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

gboolean
pw_call_parse (PwCall *call, const GOptionEntry *entries, GError **error) {
  gboolean help = FALSE;
  g_autoptr (GOptionContext) context = new_context (call, entries, &help);
  guint n = g_strv_length (call->argv);
  /* GOption expects the program's name first. */
  char **argv = g_new0 (char *, n + 2);
  argv[0] = g_strdup (g_get_prgname ());
  for (guint i = 0; i < n; i++)
    argv[i + 1] = call->argv[i];
  g_free (call->argv);
  call->argv = argv;

  GError *found = NULL;
  if (!g_option_context_parse_strv (context, &call->argv, &found))
    return fail_option (found, error);
  if (help) {
    g_autofree char *text = g_option_context_get_help (context, FALSE, NULL);
    fputs (text, stdout);
    return FALSE;
  }
  if ((call->json && !call->command->has_json) ||
      (call->no_timing && !call->command->has_no_timing))
    return pw_usage_fail (error, "unknown option %s", call->json ? "--json" : "--no-timing");

  int first = call->argv[0] && call->argv[1] && g_str_equal (call->argv[1], "--") ? 2 : 1;
  for (int i = 0; i < first; i++)
    g_free (call->argv[i]);
  call->n_arguments = (int) g_strv_length (call->argv + first);
  for (int i = 0; i <= call->n_arguments; i++)
    call->argv[i] = call->argv[first + i];
  return check_arguments (call, error);
}

void
pw_call_clear (PwCall *call) {
  g_strfreev (call->argv);
  pw_settings_free (call->settings);
}
