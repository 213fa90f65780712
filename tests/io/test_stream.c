#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/stream.h"

/* Both readers write what they saw as lines, which are compared. */
static void
append_field (GString *out, const char *path, const char *string, double number) {
  if (string != NULL)
    g_string_append_printf (out, "  %s = \"%s\"\n", path, string);
  else
    g_string_append_printf (out, "  %s = %.17g\n", path, number);
}

static gboolean
log_element (const PwStreamField *fields, gsize n, gsize line, gpointer data, GError **error) {
  (void)line, (void)error;
  g_string_append (data, "element\n");
  for (gsize i = 0; i < n; i++)
    append_field (data, fields[i].path, fields[i].string, fields[i].number);
  return TRUE;
}

static gboolean
log_other (const PwStreamField *field, gsize line, gpointer data, GError **error) {
  (void)line, (void)error;
  g_string_append (data, "other\n");
  append_field (data, field->path, field->string, field->number);
  return TRUE;
}

static const PwStreamHandlers log_handlers = { .element = log_element, .other = log_other };

static void flatten (GString *out, const char *path, const json_t *value, gboolean is_other);

static void
flatten_children (GString *out, const char *path, const json_t *value, gboolean is_other) {
  if (json_is_array (value)) {
    for (gsize i = 0; i < json_array_size (value); i++) {
      g_autofree char *child = pw_json_path_index (path, i);
      flatten (out, child, json_array_get (value, i), is_other);
    }
    return;
  }
  const char *key;
  json_t *entry;
  json_object_foreach ((json_t *)value, key, entry) {
    g_autofree char *child = pw_json_path_key (path, key);
    flatten (out, child, entry, is_other);
  }
}

static void
flatten (GString *out, const char *path, const json_t *value, gboolean is_other) {
  if (json_is_array (value) || json_is_object (value)) {
    flatten_children (out, path, value, is_other);
    return;
  }
  if (json_is_null (value))
    return;
  if (is_other)
    g_string_append (out, "other\n");
  append_field (out, path, json_string_value (value),
                json_is_boolean (value) ? json_is_true (value) : json_number_value (value));
}

/* The same by the tree. */
static void
log_tree (GString *out, const json_t *root, const char *array) {
  const char *key;
  json_t *value;
  json_object_foreach ((json_t *)root, key, value) {
    if (strcmp (key, array) != 0 || !json_is_array (value)) {
      flatten (out, key, value, TRUE);
      continue;
    }
    for (gsize i = 0; i < json_array_size (value); i++) {
      g_string_append (out, "element\n");
      flatten (out, "", json_array_get (value, i), FALSE);
    }
  }
}

static json_t *
random_scalar (void) {
  static const char *const words[] = { "", "x", "0F0", "caf\u00e9", "a\"b\\c\n", "\u4e16" };
  switch (g_test_rand_int_range (0, 6)) {
  case 0:
    return json_null ();
  case 1:
    return json_boolean (g_test_rand_bit ());
  case 2:
    return json_integer (g_test_rand_int () * (json_int_t)g_test_rand_int_range (-99, 99));
  case 3:
    return json_real (ldexp (g_test_rand_double () - 0.5, g_test_rand_int_range (-300, 300)));
  case 4:
    return json_real (g_test_rand_int_range (0, 1000000) / 1000.0);
  default:
    return json_string (words[g_test_rand_int_range (0, (int)G_N_ELEMENTS (words))]);
  }
}

static json_t *
random_value (int depth) {
  int kind = depth > 0 ? g_test_rand_int_range (0, 4) : 0;
  if (kind < 2)
    return random_scalar ();
  int n = g_test_rand_int_range (0, 6);
  if (kind == 2) {
    json_t *array = json_array ();
    for (int i = 0; i < n; i++)
      json_array_append_new (array, random_value (depth - 1));
    return array;
  }
  json_t *object = json_object ();
  for (int i = 0; i < n; i++) {
    char key[16];
    g_snprintf (key, sizeof key, "k%d", g_test_rand_int_range (0, 100));
    json_object_set_new (object, key, random_value (depth - 1));
  }
  return object;
}

static char *
temporary_path (void) {
  char *path = g_build_filename (g_get_tmp_dir (), "pw-stream-XXXXXX", NULL);
  g_close (g_mkstemp (path), NULL);
  return path;
}

static void
test_random (void) {
  g_autofree char *path = temporary_path ();
  for (int round = 0; round < 300; round++) {
    json_t *root = json_object ();
    json_object_set_new (root, "before", random_value (3));
    json_t *events = json_array ();
    int n = g_test_rand_int_range (0, round % 10 == 0 ? 2000 : 20);
    for (int i = 0; i < n; i++)
      json_array_append_new (events, random_value (4));
    json_object_set_new (root, "events", events);
    json_object_set_new (root, "after", random_value (3));
    char *text = json_dumps (root, JSON_INDENT ((size_t)g_test_rand_int_range (0, 4)));
    g_assert_true (pw_file_write (path, text, strlen (text), NULL));
    free (text);
    g_autoptr (GString) expected = g_string_new (NULL);
    g_autoptr (GString) seen = g_string_new (NULL);
    log_tree (expected, root, "events");
    g_autoptr (GError) error = NULL;
    pw_stream_read (path, "events", &log_handlers, seen, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (seen->str, ==, expected->str);
    json_decref (root);
  }
  g_unlink (path);
}

static gboolean
stream_text (const char *text, GString *seen, GError **error) {
  g_autofree char *path = temporary_path ();
  g_assert_true (pw_file_write (path, text, strlen (text), NULL));
  GError *failure = NULL;
  gboolean ok = pw_stream_read (path, "events", &log_handlers, seen, &failure);
  g_unlink (path);
  g_assert_cmpint (ok, ==, failure == NULL);
  if (ok)
    return TRUE;
  /* The path is a random one: only what follows it is compared. */
  g_assert_true (g_str_has_prefix (failure->message, path));
  g_set_error (error, failure->domain, failure->code, "%s", failure->message + strlen (path));
  g_error_free (failure);
  return FALSE;
}

static void
test_bad (void) {
  static const struct {
    const char *text;
    PwJsonError code;
    const char *message;
  } cases[] = {
    { "", PW_JSON_ERROR_SYNTAX, ":1: parse error: premature EOF" },
    { "{\"events\": [{\n\"a\": 1},\n{\"b\"", PW_JSON_ERROR_SYNTAX,
      ":3: parse error: premature EOF" },
    { "{\"events\": [{\"a\": 1}", PW_JSON_ERROR_SYNTAX, ":1: parse error: premature EOF" },
    { "[12", PW_JSON_ERROR_SYNTAX, ":1: parse error: premature EOF" },
    { "{\"events\": []}\n\n[]", PW_JSON_ERROR_SYNTAX, ":3: parse error: trailing garbage" },
    { "{\"events\": []}\n\n\"x", PW_JSON_ERROR_SYNTAX, ":3: parse error: trailing garbage" },
    { "{\"events\": [\n\n1,,2]}", PW_JSON_ERROR_SYNTAX,
      ":3: parse error: unallowed token at this point in JSON text" },
    { "{\"events\": [\n// no\n]}", PW_JSON_ERROR_SYNTAX,
      ":2: lexical error: probable comment found in input text, comments are not enabled." },
    { "[\n\"\\u0000\"]", PW_JSON_ERROR_SYNTAX, ":2: a text contains the character \\u0000" },
    { "[{\"\\u0000\": 1}]", PW_JSON_ERROR_SYNTAX, ":1: a key contains the character \\u0000" },
    { "[\n\n1e999]", PW_JSON_ERROR_SYNTAX, ":3: a number is too large" },
    { "[\"\xff\"]", PW_JSON_ERROR_SYNTAX, ":1: lexical error: invalid bytes in UTF8 string." },
    { "7 ", PW_JSON_ERROR_SYNTAX, ":1: expected an object or a list" },
    { "7", PW_JSON_ERROR_SYNTAX, ":1: expected an object or a list" },
    { "null", PW_JSON_ERROR_SYNTAX, ":1: expected an object or a list" },
    { "{}", PW_JSON_ERROR_MISSING_KEY, ":1: there is no list \"events\"" },
    { "{\"events\": {}}", PW_JSON_ERROR_MISSING_KEY, ":1: there is no list \"events\"" },
    { "{\"a\": {\"events\": []}}", PW_JSON_ERROR_MISSING_KEY, ":1: there is no list \"events\"" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) seen = g_string_new (NULL);
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].text);
    g_assert_false (stream_text (cases[i].text, seen, &error));
    g_assert_error (error, PW_JSON_ERROR, (int)cases[i].code);
    g_assert_cmpstr (error->message, ==, cases[i].message);
  }
}

static void
test_deep (void) {
  g_autofree char *text = g_strnfill (1000000, '[');
  g_autoptr (GString) seen = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  g_assert_false (stream_text (text, seen, &error));
  g_assert_cmpstr (error->message, ==, ":1: nested too deep");
}

static void
test_root_array (void) {
  g_autoptr (GString) seen = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  stream_text ("[{\"a\": {\"b\": 1, \"c\": [2, {\"d\": \"x\"}]}, \"e\": 3}, 4, null, [5]]", seen,
               &error);
  g_assert_no_error (error);
  g_assert_cmpstr (seen->str, ==,
                   "element\n  a.b = 1\n  a.c[0] = 2\n  a.c[1].d = \"x\"\n  e = 3\n"
                   "element\n   = 4\nelement\nelement\n  [0] = 5\n");
}

typedef struct {
  gsize n, stop_at;
} Lines;

/* Element i of the file ends in line 2 i + 3. */
static gboolean
check_line (const PwStreamField *fields, gsize n, gsize line, gpointer data, GError **error) {
  Lines *lines = data;
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpfloat (fields[0].number, ==, (double)lines->n);
  g_assert_cmpuint (line, ==, 2 * lines->n + 3);
  if (lines->n++ != lines->stop_at)
    return TRUE;
  g_set_error (error, PW_JSON_ERROR, PW_JSON_ERROR_RANGE, "line %zu is enough", line);
  return FALSE;
}

/* Many blocks long, so that tokens and lines cross the edges of blocks. */
static void
test_lines (void) {
  g_autofree char *path = temporary_path ();
  g_autoptr (GString) text = g_string_new ("{\"events\": [\n");
  for (int i = 0; i < 50000; i++)
    g_string_append_printf (text, "%s{\"number\":\n %d}", i > 0 ? ",\n" : "", i);
  g_string_append (text, "]}");
  g_assert_true (pw_file_write (path, text->str, text->len, NULL));
  PwStreamHandlers handlers = { .element = check_line };
  Lines lines = { .stop_at = G_MAXSIZE };
  g_autoptr (GError) error = NULL;
  pw_stream_read (path, "events", &handlers, &lines, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (lines.n, ==, 50000);
  lines = (Lines){ .stop_at = 41234 };
  g_assert_false (pw_stream_read (path, "events", &handlers, &lines, &error));
  g_assert_cmpstr (error->message, ==, "line 82471 is enough");
  g_assert_cmpuint (lines.n, ==, 41235);
  g_unlink (path);
}

static void
test_missing (void) {
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_stream_read ("no/such/file", "events", &log_handlers, NULL, &error));
  g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_READ);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/io/stream/equals-the-tree-on-random-documents", test_random);
  g_test_add_func ("/io/stream/bad-text-is-named-with-its-line", test_bad);
  g_test_add_func ("/io/stream/deep-nesting-is-refused", test_deep);
  g_test_add_func ("/io/stream/the-root-may-be-the-list", test_root_array);
  g_test_add_func ("/io/stream/lines-are-where-elements-end", test_lines);
  g_test_add_func ("/io/stream/a-missing-file-is-named", test_missing);
  return g_test_run ();
}
