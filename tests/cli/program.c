#include "program.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;

const char *
scratch_folder (void) {
  if (!folder) {
    g_autoptr (GError) error = NULL;
    folder = g_dir_make_tmp ("pipewright-cli.XXXXXX", &error);
    g_assert_no_error (error);
    g_autofree char *link = g_build_filename (folder, "examples", NULL);
    g_assert_cmpint (symlink (PW_SOURCE_DIR "/examples", link), ==, 0);
  }
  return folder;
}

static void
remove_folder (const char *path) {
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *entry = g_build_filename (path, name, NULL);
    if (g_file_test (entry, G_FILE_TEST_IS_DIR) && !g_file_test (entry, G_FILE_TEST_IS_SYMLINK))
      remove_folder (entry);
    else
      g_remove (entry);
  }
  g_rmdir (path);
}

void
scratch_remove (void) {
  if (!folder)
    return;
  remove_folder (folder);
  g_clear_pointer (&folder, g_free);
}

void
scratch_write (const char *name, const char *text) {
  g_autofree char *path = g_build_filename (scratch_folder (), name, NULL);
  g_autoptr (GError) error = NULL;
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

gboolean
scratch_has (const char *name) {
  g_autofree char *path = g_build_filename (scratch_folder (), name, NULL);
  return g_file_test (path, G_FILE_TEST_EXISTS);
}

void
outcome_clear (Outcome *outcome) {
  g_free (outcome->out);
  g_free (outcome->err);
}

static Outcome
run (const char *arguments) {
  g_autofree char *line = g_strdup_printf ("%s %s", PW_PROGRAM, arguments);
  g_auto (GStrv) argv = NULL;
  g_autoptr (GError) error = NULL;
  g_shell_parse_argv (line, NULL, &argv, &error);
  g_assert_no_error (error);
  Outcome outcome = { 0 };
  int status;
  g_spawn_sync (scratch_folder (), argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &outcome.out,
                &outcome.err, &status, &error);
  g_assert_no_error (error);
  if (!WIFEXITED (status))
    g_error ("%s: ended by signal %d\n%s", line, WTERMSIG (status), outcome.err);
  outcome.status = WEXITSTATUS (status);
  return outcome;
}

static char *
succeed (const char *arguments) {
  Outcome outcome = run (arguments);
  if (outcome.status != 0 || outcome.err[0])
    g_error ("pipewright %s: exit status %d\n%s", arguments, outcome.status, outcome.err);
  g_free (outcome.err);
  return outcome.out;
}

Outcome
program_run (const char *format, ...) {
  va_list list;
  va_start (list, format);
  g_autofree char *arguments = g_strdup_vprintf (format, list);
  va_end (list);
  return run (arguments);
}

char *
program_output (const char *format, ...) {
  va_list list;
  va_start (list, format);
  g_autofree char *arguments = g_strdup_vprintf (format, list);
  va_end (list);
  return succeed (arguments);
}

json_t *
program_json (const char *format, ...) {
  va_list list;
  va_start (list, format);
  g_autofree char *arguments = g_strdup_vprintf (format, list);
  va_end (list);
  g_autofree char *whole = g_strconcat (arguments, " --json", NULL);
  g_autofree char *text = succeed (whole);
  json_error_t where;
  json_t *object = json_loads (text, JSON_REJECT_DUPLICATES, &where);
  if (!json_is_object (object))
    g_error ("pipewright %s: no JSON object: %s\n%s", whole, where.text, text);
  return object;
}

double
json_number_at (json_t *object, const char *key) {
  json_t *value = json_object_get (object, key);
  if (!json_is_number (value))
    g_error ("%s is no number", key);
  return json_number_value (value);
}

char *
json_keys (json_t *object) {
  GString *keys = g_string_new (NULL);
  const char *key;
  json_t *value;
  json_object_foreach (object, key, value)
      g_string_append_printf (keys, "%s%s", keys->len ? "," : "", key);
  return g_string_free (keys, FALSE);
}
