/* Mutated documents: whatever the bytes, tree and stream return, agree on what is valid, and an
 * error names the file and a line. */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/stream.h"

#define ROUNDS 20000

static const char *const seeds[] = {
  "{\"traceEvents\": [{\"name\": \"0F0\", \"ts\": 1.5e2, \"args\": {\"bytes\": [1, -2]}}], "
  "\"otherData\": {\"a\\u00e9\\n\": null, \"b\": [true, false]}}",
  "[\n{\"a\": {\"b\": {\"c\": [[], {}, [[1]]]}}},\n3, \"x\", null]",
  "{\"ranks\": 4, \"partition\": {\"balance\": [6, 6, 6, 6]}, \"memory_limit\": \"40GiB\"}",
};

static void
mutate (GString *text) {
  static const char interesting[] = "{}[]\",:\\0129.eE+-tfnu \n\t\x01\x80\xff/";
  int edits = g_test_rand_int_range (1, 5);
  for (int i = 0; i < edits && text->len > 0; i++) {
    gssize at = g_test_rand_int_range (0, (int)text->len);
    char byte = interesting[g_test_rand_int_range (0, (int)sizeof interesting)];
    gssize length = g_test_rand_int_range (1, 8);
    length = MIN (length, (gssize)text->len - at);
    switch (g_test_rand_int_range (0, 4)) {
    case 0:
      text->str[at] = byte;
      break;
    case 1:
      g_string_insert_c (text, at, byte);
      break;
    case 2:
      g_string_erase (text, at, length);
      break;
    default: {
      g_autofree char *copy = g_strndup (text->str + at, (gsize)length);
      g_string_insert_len (text, g_test_rand_int_range (0, (int)text->len), copy,
                           (gssize)strlen (copy));
    }
    }
  }
}

static gboolean
accept_element (const PwStreamField *fields, gsize n, gsize line, gpointer data, GError **error) {
  (void)line, (void)data, (void)error;
  for (gsize i = 0; i < n; i++)
    g_assert_true (g_utf8_validate (fields[i].path, -1, NULL)
                   && (fields[i].string == NULL || g_utf8_validate (fields[i].string, -1, NULL)));
  return TRUE;
}

static gboolean
accept_other (const PwStreamField *field, gsize line, gpointer data, GError **error) {
  return accept_element (field, 1, line, data, error);
}

static void
assert_names_line (const GError *error, const char *file) {
  g_assert_true (g_str_has_prefix (error->message, file));
  g_assert_cmpint (atoi (error->message + strlen (file) + 1), >=, 1);
}

static void
check_text (const char *path, const GString *text) {
  static const PwStreamHandlers handlers = { .element = accept_element, .other = accept_other };
  g_autoptr (GError) tree_error = NULL;
  g_autoptr (GError) stream_error = NULL;
  g_assert_true (g_file_set_contents_full (path, text->str, (gssize)text->len,
                                           G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  g_autoptr (PwJsonFile) json = pw_json_file_load (path, &tree_error);
  gboolean streamed = pw_stream_read (path, "traceEvents", &handlers, NULL, &stream_error);
  if (json == NULL) {
    g_assert_error (tree_error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX);
    assert_names_line (tree_error, path);
  }
  if (!streamed) {
    g_assert_nonnull (stream_error);
    assert_names_line (stream_error, path);
  }
  if ((json == NULL) != !streamed)
    g_test_message ("%s", text->str);
  /* What the stream alone cannot see: duplicate keys and integers beyond 64 bits. */
  if (json == NULL && streamed)
    g_assert_true (strstr (tree_error->message, "duplicate") != NULL
                   || strstr (tree_error->message, "integer") != NULL);
  if (json != NULL && !streamed)
    g_assert_error (stream_error, PW_JSON_ERROR, PW_JSON_ERROR_MISSING_KEY);
}

static void
test_mutations (void) {
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "pw-fuzz-XXXXXX", NULL);
  g_close (g_mkstemp (path), NULL);
  for (int round = 0; round < ROUNDS; round++) {
    g_autoptr (GString) text
        = g_string_new (seeds[g_test_rand_int_range (0, (int)G_N_ELEMENTS (seeds))]);
    mutate (text);
    check_text (path, text);
  }
  g_unlink (path);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/io/json/mutated-text-is-judged-alike-by-tree-and-stream", test_mutations);
  return g_test_run ();
}
