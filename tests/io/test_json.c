#include <glib/gstdio.h>
#include <stddef.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

typedef struct {
  int64_t count;
  int small;
  double ratio;
  gboolean flag;
  char *word;
  int64_t memory;
  int colour;
  GArray *numbers, *reals;
  int nested;
} Target;

static const char *const colours[] = { "red", "green", "blue", NULL };

typedef struct {
  int depth;
} Nested;

static gboolean
read_nested (PwJsonPlace place, json_t *value, void *field, GError **error) {
  static const PwJsonKey keys[] = {
    { .key = "depth",
      .type = PW_JSON_INT,
      .offset = offsetof (Nested, depth),
      .required = TRUE,
      .minimum = 1,
      .maximum = 9 },
  };
  Nested nested = { 0 };
  if (!pw_json_read_object (place, value, keys, 1, &nested, error))
    return FALSE;
  *(int *)field = nested.depth;
  return TRUE;
}

static const PwJsonKey keys[] = {
  { .key = "count", .type = PW_JSON_INTEGER, .offset = offsetof (Target, count), .required = TRUE },
  { .key = "small", .type = PW_JSON_INT, .offset = offsetof (Target, small), .minimum = 1 },
  { .key = "ratio",
    .type = PW_JSON_NUMBER,
    .offset = offsetof (Target, ratio),
    .minimum = -1,
    .maximum = 1 },
  { .key = "flag", .type = PW_JSON_BOOLEAN, .offset = offsetof (Target, flag) },
  { .key = "word", .type = PW_JSON_STRING, .offset = offsetof (Target, word) },
  { .key = "memory", .type = PW_JSON_BYTES, .offset = offsetof (Target, memory), .minimum = 10 },
  { .key = "colour", .type = PW_JSON_ENUM, .offset = offsetof (Target, colour), .names = colours },
  { .key = "numbers",
    .type = PW_JSON_INT_LIST,
    .offset = offsetof (Target, numbers),
    .minimum = 1,
    .maximum = 100 },
  { .key = "reals", .type = PW_JSON_NUMBER_LIST, .offset = offsetof (Target, reals) },
  { .key = "nested",
    .type = PW_JSON_CUSTOM,
    .offset = offsetof (Target, nested),
    .read = read_nested },
};

static gboolean
read_target (const char *text, Target *target, GError **error) {
  g_autoptr (PwJsonFile) json = pw_json_file_parse ("f.json", text, error);
  if (json == NULL)
    return FALSE;
  return pw_json_read_object ((PwJsonPlace){ json, "" }, json->root, keys, G_N_ELEMENTS (keys),
                              target, error);
}

static void
target_clear (Target *target) {
  g_free (target->word);
  g_clear_pointer (&target->numbers, g_array_unref);
  g_clear_pointer (&target->reals, g_array_unref);
}

static const struct {
  const char *text;
  PwJsonError code;
  const char *message; /* with its place */
} bad[] = {
  { "", PW_JSON_ERROR_SYNTAX, "f.json:1: '[' or '{' expected near end of file" },
  { "{", PW_JSON_ERROR_SYNTAX, "f.json:1: string or '}' expected near end of file" },
  { "{\n\"count\": 1,\n}", PW_JSON_ERROR_SYNTAX, "f.json:3: string or '}' expected near '}'" },
  { "{\"count\": 1,\n\"count\": 2}", PW_JSON_ERROR_SYNTAX,
    "f.json:2: duplicate object key near '\"count\"'" },
  { "// no\n{}", PW_JSON_ERROR_SYNTAX, "f.json:1: '[' or '{' expected near '/'" },
  { "{\"count\": 1}\n\nx", PW_JSON_ERROR_SYNTAX, "f.json:3: end of file expected near 'x'" },
  { "{\"count\": 012}", PW_JSON_ERROR_SYNTAX, "f.json:1: invalid token near '0'" },
  { "{\"count\": 99999999999999999999}", PW_JSON_ERROR_SYNTAX, "f.json:1: too big integer near" },
  { "{\"ratio\": 1e999}", PW_JSON_ERROR_SYNTAX, "f.json:1: real number overflow near" },
  { "{\"word\": \"\\u0000\"}", PW_JSON_ERROR_SYNTAX, "f.json:1: \\u0000 is not allowed" },
  { "3", PW_JSON_ERROR_SYNTAX, "f.json:1: '[' or '{' expected near '3'" },
  { "[]", PW_JSON_ERROR_TYPE, "f.json:1: expected an object, not a list" },
  { "{}", PW_JSON_ERROR_MISSING_KEY, "f.json:1: missing key \"count\"" },
  { "{\n\"count\": 1,\n\"rato\": 2\n}", PW_JSON_ERROR_UNKNOWN_KEY,
    "f.json:3: rato: unknown key, did you mean \"ratio\"?" },
  { "{\n\n\"cuont\": 1}", PW_JSON_ERROR_UNKNOWN_KEY,
    "f.json:3: cuont: unknown key, did you mean \"count\"?" },
  { "{\"count\": 1, \"zebra\": 2}", PW_JSON_ERROR_UNKNOWN_KEY, "f.json:1: zebra: unknown key" },
  { "{\"count\": 3.0}", PW_JSON_ERROR_TYPE, "f.json:1: count: expected an integer, not 3.0" },
  { "{\"count\": \"3\"}", PW_JSON_ERROR_TYPE,
    "f.json:1: count: expected an integer, not the text \"3\"" },
  { "{\"count\": null}", PW_JSON_ERROR_TYPE, "f.json:1: count: expected an integer, not null" },
  { "{\"count\":\n1, \"small\":\n 0}", PW_JSON_ERROR_RANGE,
    "f.json:2: small: 0 is below the minimum 1" },
  { "{\"count\": 1, \"small\": 3000000000}", PW_JSON_ERROR_RANGE,
    "f.json:1: small: 3000000000 is above the maximum 2147483647" },
  { "{\"count\": 1, \"small\": 2.0}", PW_JSON_ERROR_TYPE,
    "f.json:1: small: expected an integer, not 2.0" },
  { "{\"count\": 1, \"ratio\": 1.5}", PW_JSON_ERROR_RANGE,
    "f.json:1: ratio: 1.5 is above the maximum 1" },
  { "{\"count\": 1, \"ratio\": -2}", PW_JSON_ERROR_RANGE,
    "f.json:1: ratio: -2 is below the minimum -1" },
  { "{\"count\": 1, \"ratio\": true}", PW_JSON_ERROR_TYPE,
    "f.json:1: ratio: expected a number, not true" },
  { "{\"count\": 1, \"flag\": 1}", PW_JSON_ERROR_TYPE,
    "f.json:1: flag: expected true or false, not 1" },
  { "{\"count\": 1, \"word\": {}}", PW_JSON_ERROR_TYPE,
    "f.json:1: word: expected a text, not an object" },
  { "{\"count\": 1, \"memory\": \"9\"}", PW_JSON_ERROR_RANGE,
    "f.json:1: memory: 9 is below the minimum 10" },
  { "{\"count\": 1, \"memory\": -1}", PW_JSON_ERROR_RANGE,
    "f.json:1: memory: -1 bytes are below the minimum 0" },
  { "{\"count\": 1, \"memory\": \"40 gigs\"}", PW_JSON_ERROR_TYPE,
    "f.json:1: memory: expected a number of bytes or a text like \"40GiB\", not the text \"40 "
    "gigs\"" },
  { "{\"count\": 1, \"memory\": 40.0}", PW_JSON_ERROR_TYPE,
    "f.json:1: memory: expected a number of bytes or a text like \"40GiB\", not 40.0" },
  { "{\"count\": 1, \"colour\": \"geen\"}", PW_JSON_ERROR_RANGE,
    "f.json:1: colour: unknown \"geen\", did you mean \"green\"?" },
  { "{\"count\": 1, \"colour\": \"violet\"}", PW_JSON_ERROR_RANGE,
    "f.json:1: colour: unknown \"violet\", expected one of: red, green, blue" },
  { "{\"count\": 1, \"numbers\": 4}", PW_JSON_ERROR_TYPE,
    "f.json:1: numbers: expected a list, not 4" },
  { "{\"count\": 1, \"numbers\": [\n4,\n5,\n0]}", PW_JSON_ERROR_RANGE,
    "f.json:4: numbers[2]: 0 is below the minimum 1" },
  { "{\"count\": 1, \"numbers\": [101]}", PW_JSON_ERROR_RANGE,
    "f.json:1: numbers[0]: 101 is above the maximum 100" },
  { "{\"count\": 1, \"numbers\": [1, 2.5]}", PW_JSON_ERROR_TYPE,
    "f.json:1: numbers[1]: expected an integer, not 2.5" },
  { "{\"count\": 1, \"reals\": [1, \"x\"]}", PW_JSON_ERROR_TYPE,
    "f.json:1: reals[1]: expected a number, not the text \"x\"" },
  { "{\"count\": 1,\n\"nested\":\n{\n\"depth\": 10}}", PW_JSON_ERROR_RANGE,
    "f.json:4: nested.depth: 10 is above the maximum 9" },
  { "{\"count\": 1,\n\"nested\":\n{}}", PW_JSON_ERROR_MISSING_KEY,
    "f.json:2: nested: missing key \"depth\"" },
  { "{\"count\": 1,\n\"nested\":\n{\n\"depht\": 1}}", PW_JSON_ERROR_UNKNOWN_KEY,
    "f.json:4: nested.depht: unknown key, did you mean \"depth\"?" },
};

static void
test_bad (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    Target target = { 0 };
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", bad[i].text);
    g_assert_false (read_target (bad[i].text, &target, &error));
    g_assert_error (error, PW_JSON_ERROR, (int)bad[i].code);
    if (bad[i].code == PW_JSON_ERROR_SYNTAX)
      g_assert_true (g_str_has_prefix (error->message, bad[i].message));
    else
      g_assert_cmpstr (error->message, ==, bad[i].message);
    target_clear (&target);
  }
}

static void
test_good (void) {
  Target target = { .small = 7, .nested = 3, .word = g_strdup ("before") };
  g_autoptr (GError) error = NULL;
  read_target ("{\"reals\": [1, 2.5, -3e2], \"numbers\": [1, 100], \"colour\": \"blue\",\n"
               "\"memory\": \"1.5 GiB\", \"word\": \"caf\\u00e9\", \"flag\": true, \"ratio\": 1,\n"
               "\"count\": -9223372036854775808, \"nested\": {\"depth\": 9}}",
               &target, &error);
  g_assert_no_error (error);
  g_assert_cmpint (target.count, ==, G_MININT64);
  g_assert_cmpint (target.small, ==, 7);
  g_assert_cmpfloat (target.ratio, ==, 1);
  g_assert_true (target.flag);
  g_assert_cmpstr (target.word, ==, "café");
  g_assert_cmpint (target.memory, ==, INT64_C (3) << 29);
  g_assert_cmpint (target.colour, ==, 2);
  g_assert_cmpuint (target.numbers->len, ==, 2);
  g_assert_cmpint (g_array_index (target.numbers, int, 1), ==, 100);
  g_assert_cmpuint (target.reals->len, ==, 3);
  g_assert_cmpfloat (g_array_index (target.reals, double, 2), ==, -300);
  g_assert_cmpint (target.nested, ==, 9);
  target_clear (&target);
}

static void
test_bytes (void) {
  static const struct {
    const char *text;
    int64_t bytes; /* -1: refused */
  } cases[] = {
    { "0", 0 },
    { "123", 123 },
    { "123B", 123 },
    { "40GiB", INT64_C (40) << 30 },
    { "512MB", 512000000 },
    { "1.5 GiB", INT64_C (3) << 29 },
    { "1.5 MB", 1500000 },
    { "2 kb", 2000 },
    { "7 kib", 7168 },
    { "0.1 MiB", 104858 },
    { "4611686018427387904", INT64_C (1) << 62 },
    { "4194304 TiB", INT64_C (1) << 62 },
    { "4611686018427387905", -1 },
    { "4194305 TiB", -1 },
    { "4194304.5 TiB", -1 },
    { "99999999999999999999", -1 },
    { "1.5", -1 },
    { "1.5 B", -1 },
    { "", -1 },
    { " 1", -1 },
    { "-1", -1 },
    { "+1", -1 },
    { "1 ", 1 },
    { "1.", -1 },
    { ".5 MB", -1 },
    { "1e3", -1 },
    { "0x10", -1 },
    { "1 MBs", -1 },
    { "1 G", -1 },
    { "nan", -1 },
    { "GiB", -1 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    int64_t bytes = -1;
    g_test_message ("%s", cases[i].text);
    gboolean ok = pw_json_parse_bytes (cases[i].text, &bytes);
    g_assert_cmpint (ok, ==, cases[i].bytes >= 0);
    g_assert_cmpint (bytes, ==, cases[i].bytes);
  }
}

static void
test_nearest (void) {
  static const char *const names[] = { "schedule", "microbatches", "ranks", "in", "out", NULL };
  g_assert_cmpstr (pw_json_nearest ("shedule", names), ==, "schedule");
  g_assert_cmpstr (pw_json_nearest ("Schedule", names), ==, "schedule");
  g_assert_cmpstr (pw_json_nearest ("microbatch", names), ==, "microbatches");
  g_assert_cmpstr (pw_json_nearest ("micro_batches", names), ==, "microbatches");
  g_assert_cmpstr (pw_json_nearest ("rakns", names), ==, "ranks");
  g_assert_cmpstr (pw_json_nearest ("ni", names), ==, "in");
  g_assert_null (pw_json_nearest ("zebra", names));
  g_assert_null (pw_json_nearest ("", names));
  g_assert_null (pw_json_nearest ("x", names));
  g_autofree char *longer = g_strnfill (1000, 'r');
  g_assert_null (pw_json_nearest (longer, names));
}

static void
test_paths (void) {
  g_autofree char *a = pw_json_path_key ("", "a");
  g_autofree char *b = pw_json_path_index (a, 2);
  g_autofree char *c = pw_json_path_key (b, "c");
  g_autofree char *root = pw_json_path_index ("", 0);
  g_assert_cmpstr (c, ==, "a[2].c");
  g_assert_cmpstr (root, ==, "[0]");
}

/* The line of every value of a document whose lines are known by construction. */
static void
test_lines (void) {
  const char *text = "{\n"
                     "  \"a\": [1, {\n"
                     "    \"b\": 2,\n"
                     "    \"c\": [[], [\n"
                     "      3\n"
                     "    ]]}],\n"
                     "  \"ab\": {\"x\": \"}\\n{\"},\n"
                     "  \"d\": 4\n"
                     "}";
  static const struct {
    const char *path;
    int line;
  } places[] = {
    { "", 1 },       { "a", 2 },         { "a[0]", 2 },         { "a[1]", 2 },   { "a[1].b", 3 },
    { "a[1].c", 4 }, { "a[1].c[1]", 4 }, { "a[1].c[1][0]", 5 }, { "ab", 7 },     { "ab.x", 7 },
    { "d", 8 },      { "missing", 1 },   { "a[1].missing", 2 }, { "a[7].b", 2 }, { "abc", 1 },
  };
  g_autoptr (PwJsonFile) json = pw_json_file_parse ("f", text, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autoptr (GError) error = NULL;
    PwJsonPlace place = { json, places[i].path };
    g_assert_false (pw_json_fail (place, PW_JSON_ERROR_RANGE, &error, "no %d", 7));
    g_autofree char *expected
        = places[i].path[0] == '\0'
              ? g_strdup_printf ("f:%d: no 7", places[i].line)
              : g_strdup_printf ("f:%d: %s: no 7", places[i].line, places[i].path);
    g_assert_cmpstr (error->message, ==, expected);
  }
}

static void
test_without_file (void) {
  g_autoptr (GError) error = NULL;
  pw_json_fail ((PwJsonPlace){ NULL, "model" }, PW_JSON_ERROR_TYPE, &error, "no");
  g_assert_cmpstr (error->message, ==, "model: no");
  pw_json_prefix_error ((PwJsonPlace){ NULL, "plan" }, &error);
  g_assert_cmpstr (error->message, ==, "plan: model: no");
  g_assert_false (
      pw_json_fail ((PwJsonPlace){ NULL, "model" }, PW_JSON_ERROR_TYPE, NULL, "unseen"));
}

static void
test_deep (void) {
  g_autofree char *open = g_strnfill (100000, '[');
  g_autofree char *close = g_strnfill (100000, ']');
  g_autofree char *text = g_strconcat (open, close, NULL);
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_json_file_parse ("deep", text, &error));
  g_assert_error (error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX);
}

/* jansson reads "[6" + zero byte + ", 6]" as [6, 6]. */
static void
test_zero_byte (void) {
  static const char text[] = "[\n6\0, 6]";
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "pw-json-XXXXXX", NULL);
  g_close (g_mkstemp (path), NULL);
  g_assert_true (pw_file_write (path, text, sizeof text - 1, NULL));
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_json_file_load (path, &error));
  g_unlink (path);
  g_assert_error (error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX);
  g_assert_cmpstr (error->message + strlen (path), ==, ":2: a byte is zero");
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/io/json/bad-text-is-named-with-its-place", test_bad);
  g_test_add_func ("/io/json/every-type-is-read-and-absent-keys-keep-defaults", test_good);
  g_test_add_func ("/io/json/bytes-are-exact", test_bytes);
  g_test_add_func ("/io/json/nearest-name-is-near", test_nearest);
  g_test_add_func ("/io/json/paths-are-joined", test_paths);
  g_test_add_func ("/io/json/lines-are-those-of-the-path", test_lines);
  g_test_add_func ("/io/json/a-place-needs-no-file", test_without_file);
  g_test_add_func ("/io/json/deep-nesting-is-refused", test_deep);
  g_test_add_func ("/io/json/a-zero-byte-is-refused", test_zero_byte);
  return g_test_run ();
}
