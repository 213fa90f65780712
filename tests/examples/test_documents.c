/* Every command in README.md and docs/ is run and its output compared. A document shows commands in
 * ```console blocks: a line "$ command" and the output below it, up to the next command.
 *
 *   - A line "..." in the expected output stands for any lines.
 *   - <!-- figures vary --> before a block: numbers, units, bars and spacing may differ (measured
 *     values); the words may not.
 *   - <!-- not run --> before a block: shown only (installs packages, needs a terminal, ...).
 *
 * Commands run in one scratch folder per document, where examples/ is the project's. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  char *document;
  int line; /* of the command */
  char *command;
  GString *expected;
  gboolean figures_vary;
} Example;

static void
example_free (gpointer data) {
  Example *example = data;
  g_free (example->document);
  g_free (example->command);
  g_string_free (example->expected, TRUE);
  g_free (example);
}

static GPtrArray *
read_examples (const char *path) {
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  GPtrArray *examples = g_ptr_array_new_with_free_func (example_free);
  gboolean in_block = FALSE, not_run = FALSE, vary = FALSE;
  Example *current = NULL;
  for (int i = 0; lines[i]; i++) {
    if (in_block && g_str_has_prefix (lines[i], "```")) {
      in_block = not_run = vary = FALSE;
      current = NULL;
    } else if (in_block && g_str_has_prefix (lines[i], "$ ")) {
      current = g_new0 (Example, 1);
      *current = (Example){ g_strdup (path), i + 1, g_strdup (lines[i] + 2), g_string_new (NULL),
                            vary };
      g_ptr_array_add (examples, current);
    } else if (in_block && current) {
      g_string_append_printf (current->expected, "%s\n", lines[i]);
    } else if (g_str_has_prefix (lines[i], "```console")) {
      in_block = !not_run;
      if (not_run)
        not_run = FALSE;
    } else if (strstr (lines[i], "<!-- not run -->")) {
      not_run = TRUE;
    } else if (strstr (lines[i], "<!-- figures vary -->")) {
      vary = TRUE;
    }
  }
  return examples;
}

/* Hashes, numbers with their units, and runs of spaces, become one mark. */
static char *
without_figures (const char *text) {
  g_autoptr (GRegex) hashes = g_regex_new ("\\b[0-9a-f]{64}\\b", 0, 0, NULL);
  g_autofree char *no_hashes = g_regex_replace_literal (hashes, text, -1, 0, "#", 0, NULL);
  g_autoptr (GRegex) figures =
      g_regex_new ("[-+]?[0-9][0-9.,]*(e[-+]?[0-9]+)?( ?(ns|us|ms|s|min|B|KiB|MiB|GiB|%))?\\b%?", 0,
                   0, NULL);
  g_autofree char *marked = g_regex_replace_literal (figures, no_hashes, -1, 0, "#", 0, NULL);
  g_autoptr (GRegex) spaces = g_regex_new ("[ \\-]+", 0, 0, NULL);
  g_autofree char *narrow = g_regex_replace_literal (spaces, marked, -1, 0, " ", 0, NULL);
  g_autoptr (GRegex) ends = g_regex_new (" *(\n|$) *", 0, 0, NULL);
  return g_regex_replace_literal (ends, narrow, -1, 0, "\n", 0, NULL);
}

/* "..." lines in EXPECTED match any lines of GOT. */
static gboolean
matches (const char *got, const char *expected) {
  g_autofree char *escaped = g_regex_escape_string (expected, -1);
  g_autoptr (GRegex) dots = g_regex_new ("(^|\n)\\\\\\.\\\\\\.\\\\\\.(\n|$)", 0, 0, NULL);
  g_autofree char *pattern = g_regex_replace (dots, escaped, -1, 0, "\\1(?s:.*)", 0, NULL);
  g_autofree char *whole = g_strdup_printf ("\\A%s\\z", pattern);
  return g_regex_match_simple (whole, got, 0, 0);
}

static void
run_example (const Example *example, const char *folder) {
  const char *argv[] = { "/bin/bash", "-c", example->command, NULL };
  g_auto (GStrv) environment = g_get_environ ();
  g_autofree char *path =
      g_strdup_printf ("%s:%s", PW_PROGRAM_DIR, g_environ_getenv (environment, "PATH"));
  environment = g_environ_setenv (environment, "PATH", path, TRUE);
  environment = g_environ_setenv (environment, "COLUMNS", "100", TRUE);
  g_autofree char *output = NULL, *errors = NULL;
  g_autoptr (GError) error = NULL;
  int status;
  g_spawn_sync (folder, (char **) argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &output, &errors,
                &status, &error);
  g_assert_no_error (error);
  g_autofree char *got = g_strconcat (output, errors, NULL);
  const char *wanted = example->expected->str;
  g_autofree char *got_words = without_figures (got), *wanted_words = without_figures (wanted);
  gboolean equal = example->figures_vary ? matches (got_words, wanted_words) : matches (got, wanted);
  if (!equal)
    g_error ("%s:%d: $ %s\nexpected:\n%s\ngot:\n%s", example->document, example->line,
             example->command, wanted, got);
}

static void
test_document (gconstpointer data) {
  const char *path = data;
  g_autofree char *folder = g_dir_make_tmp ("documents.XXXXXX", NULL);
  g_autofree char *link = g_build_filename (folder, "examples", NULL);
  g_assert_cmpint (symlink (PW_SOURCE_DIR "/examples", link), ==, 0);
  g_autoptr (GPtrArray) examples = read_examples (path);
  for (guint i = 0; i < examples->len; i++)
    run_example (examples->pdata[i], folder);
  g_autofree char *remove = g_strdup_printf ("rm -rf '%s'", folder);
  g_assert_true (g_spawn_command_line_sync (remove, NULL, NULL, NULL, NULL));
}

static void
test_comparison (void) {
  g_assert_true (matches ("a\nb\nc\n", "a\n...\nc\n"));
  g_assert_true (matches ("a\nb\nc\n", "a\nb\nc\n"));
  g_assert_false (matches ("a\nb\nd\n", "a\n...\nc\n"));
  g_assert_false (matches ("a\nb\n", "a\n"));
  g_autofree char *a = without_figures ("time   12.5 ms  -3%\n");
  g_autofree char *b = without_figures ("time 1,234 us    4.0%\n");
  g_autofree char *c = without_figures ("size 1,234 us    4.0%\n");
  g_assert_cmpstr (a, ==, b);
  g_assert_cmpstr (a, !=, c);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/examples/comparison-tells-words-from-figures", test_comparison);
  g_test_add_data_func ("/examples/README.md", PW_SOURCE_DIR "/README.md", test_document);
  g_autoptr (GDir) folder = g_dir_open (PW_SOURCE_DIR "/docs", 0, NULL);
  for (const char *name; folder && (name = g_dir_read_name (folder));) {
    if (!g_str_has_suffix (name, ".md"))
      continue;
    char *path = g_build_filename (PW_SOURCE_DIR "/docs", name, NULL); /* lives as long as the test */
    g_autofree char *test = g_strdup_printf ("/examples/docs/%s", name);
    g_test_add_data_func_full (test, path, test_document, g_free);
  }
  return g_test_run ();
}
