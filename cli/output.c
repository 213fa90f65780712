#include "cli/output.h"
#include "cli/command.h"
#include "io/file.h"
#include <math.h>
#include <stdio.h>
#include <unistd.h>

json_t *
pw_output_number (double number) {
  return isfinite (number) ? json_real (number) : json_null ();
}

json_t *
pw_output_string (const char *text) {
  return text ? json_string (text) : json_null ();
}

void
pw_output_json (json_t *object) {
  json_dumpf (object, stdout, JSON_INDENT (2));
  putchar ('\n');
  json_decref (object);
}

gboolean
pw_output_text (const char *path, const char *text, GError **error) {
  if (path && !g_str_equal (path, "-"))
    return pw_file_write (path, text, strlen (text), error);
  fputs (text, stdout);
  return TRUE;
}

void
pw_output_complain (const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  fflush (stdout);
  /* Several lines (a library's words) become one. */
  fprintf (stderr, "pipewright: %s\n", g_strchomp (g_strdelimit (message, "\r\n", ' ')));
}

gboolean
pw_output_check (const char *option, const char *path, GError **error) {
  if (!path)
    return TRUE;
  g_autofree char *folder = g_path_get_dirname (path);
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    return pw_input_fail (error, "%s: %s is a folder", option, path);
  if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
    return pw_input_fail (error, "%s: %s: there is no folder %s", option, path, folder);
  if (access (folder, W_OK) != 0)
    return pw_input_fail (error, "%s: %s: the folder cannot be written to", option, path);
  return TRUE;
}

gboolean
pw_progress_wanted (void) {
  return isatty (STDERR_FILENO) != 0;
}

void
pw_progress_show (const char *format, ...) {
  if (!pw_progress_wanted ())
    return;
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  fprintf (stderr, "\r\033[K%s", text);
  fflush (stderr);
}

void
pw_progress_clear (void) {
  if (pw_progress_wanted ())
    fputs ("\r\033[K", stderr);
}
