/* What sources and documents refer to is there: "docs/NAME.md" anywhere, and in documents the
 * targets of links, with the heading behind "#". */
#include <glib.h>
#include <string.h>

static const char *const endings[]
    = { ".c", ".h", ".cu", ".cuh", ".md", ".cmake", ".txt", ".sh", NULL };

static gboolean
is_text (const char *name) {
  for (int i = 0; endings[i]; i++)
    if (g_str_has_suffix (name, endings[i]))
      return TRUE;
  return FALSE;
}

/* Of the project's own files; build folders and hidden ones are left out. */
static void
visit (const char *folder, void (*each) (const char *path, const char *text)) {
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  g_assert_no_error (error);
  for (const char *name; (name = g_dir_read_name (dir));) {
    if (name[0] == '.' || g_str_has_prefix (name, "build"))
      continue;
    g_autofree char *path = g_build_filename (folder, name, NULL);
    if (g_file_test (path, G_FILE_TEST_IS_SYMLINK))
      continue;
    if (g_file_test (path, G_FILE_TEST_IS_DIR))
      visit (path, each);
    else if (is_text (name)) {
      g_autofree char *text = NULL;
      g_file_get_contents (path, &text, NULL, &error);
      g_assert_no_error (error);
      each (path, text);
    }
  }
}

/* As a reader's browser makes it: lower case, spaces to "-", other signs dropped. */
static char *
anchor_of (const char *heading) {
  GString *anchor = g_string_new (NULL);
  for (const char *c = heading; *c; c++)
    if (g_ascii_isalnum (*c) || *c == '-' || *c == '_')
      g_string_append_c (anchor, g_ascii_tolower (*c));
    else if (*c == ' ')
      g_string_append_c (anchor, '-');
  return g_string_free (anchor, FALSE);
}

static gboolean
has_heading (const char *path, const char *anchor) {
  g_autofree char *text = NULL;
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (int i = 0; lines[i]; i++) {
    if (lines[i][0] != '#')
      continue;
    g_autofree char *found = anchor_of (g_strstrip (lines[i] + strspn (lines[i], "#")));
    if (g_str_equal (found, anchor))
      return TRUE;
  }
  return FALSE;
}

static void
check_mentions (const char *path, const char *text) {
  g_autoptr (GRegex) mention = g_regex_new ("\\bdocs/[a-z0-9_/-]+\\.md\\b", 0, 0, NULL);
  g_autoptr (GMatchInfo) found = NULL;
  for (g_regex_match (mention, text, 0, &found); g_match_info_matches (found);
       g_match_info_next (found, NULL)) {
    g_autofree char *name = g_match_info_fetch (found, 0);
    g_autofree char *target = g_build_filename (PW_SOURCE_DIR, name, NULL);
    if (!g_file_test (target, G_FILE_TEST_IS_REGULAR))
      g_error ("%s speaks of %s, which is not there", path, name);
  }
}

static void
check_links (const char *path, const char *text) {
  if (!g_str_has_suffix (path, ".md"))
    return;
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GRegex) link = g_regex_new ("\\]\\(([^)#:\\s]*)(?:#([^)\\s]*))?\\)", 0, 0, NULL);
  g_autoptr (GMatchInfo) found = NULL;
  for (g_regex_match (link, text, 0, &found); g_match_info_matches (found);
       g_match_info_next (found, NULL)) {
    g_autofree char *file = g_match_info_fetch (found, 1), *anchor = g_match_info_fetch (found, 2);
    g_autofree char *target = *file ? g_build_filename (folder, file, NULL) : g_strdup (path);
    if (!g_file_test (target, G_FILE_TEST_EXISTS))
      g_error ("%s links to %s, which is not there", path, file);
    if (anchor && *anchor && !has_heading (target, anchor))
      g_error ("%s links to #%s of %s, which has no such heading", path, anchor, target);
  }
}

static void
test_mentions (void) {
  visit (PW_SOURCE_DIR, check_mentions);
}

static void
test_links (void) {
  visit (PW_SOURCE_DIR, check_links);
}

static void
test_anchors (void) {
  g_autofree char *anchor = anchor_of ("How `run --trace` works: 2 ways");
  g_assert_cmpstr (anchor, ==, "how-run---trace-works-2-ways");
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/examples/headings-become-anchors", test_anchors);
  g_test_add_func ("/examples/documents-spoken-of-are-there", test_mentions);
  g_test_add_func ("/examples/links-of-documents-lead-somewhere", test_links);
  return g_test_run ();
}
