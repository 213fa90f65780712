/* The table-driven reader: one function per type of row. */
#include "io/json.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define WORD_MAX 64

/* Optimal string alignment: an insertion, deletion, change or swap of neighbours costs 1. */
static int
edit_distance (const char *a, const char *b) {
  int rows[3][WORD_MAX + 1];
  int n_a = (int)strlen (a), n_b = (int)strlen (b);
  for (int j = 0; j <= n_b; j++)
    rows[0][j] = j;
  for (int i = 1; i <= n_a; i++) {
    int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
    row[0] = i;
    for (int j = 1; j <= n_b; j++) {
      char ca = g_ascii_tolower (a[i - 1]), cb = g_ascii_tolower (b[j - 1]);
      int best = above[j - 1] + (ca != cb);
      best = MIN (best, MIN (above[j], row[j - 1]) + 1);
      if (i > 1 && j > 1 && ca == g_ascii_tolower (b[j - 2]) && g_ascii_tolower (a[i - 2]) == cb)
        best = MIN (best, above2[j - 2] + 1);
      row[j] = best;
    }
  }
  return rows[n_a % 3][n_b];
}

const char *
pw_json_nearest (const char *word, const char *const *names) {
  const char *nearest = NULL;
  gsize length = strlen (word);
  if (length > WORD_MAX)
    return NULL;
  int best = (int)(length + 2) / 3 + 1;
  for (; *names != NULL; names++) {
    if (strlen (*names) > WORD_MAX)
      continue;
    int distance = edit_distance (word, *names);
    if (distance < best && (gsize)distance < MAX (length, strlen (*names))) {
      best = distance;
      nearest = *names;
    }
  }
  return nearest;
}

gboolean
pw_json_parse_bytes (const char *text, int64_t *bytes) {
  static const struct {
    const char *name;
    int64_t factor;
  } units[] = {
    { .name = "", .factor = 1 },
    { .name = "B", .factor = 1 },
    { .name = "kB", .factor = 1000 },
    { .name = "MB", .factor = 1000 * 1000 },
    { .name = "GB", .factor = 1000 * 1000 * 1000 },
    { .name = "TB", .factor = INT64_C (1000) * 1000 * 1000 * 1000 },
    { .name = "KiB", .factor = 1 << 10 },
    { .name = "MiB", .factor = 1 << 20 },
    { .name = "GiB", .factor = 1 << 30 },
    { .name = "TiB", .factor = INT64_C (1) << 40 },
  };
  const int64_t limit = INT64_C (1) << 62;
  gsize digits = strspn (text, "0123456789");
  gsize number = digits;
  if (text[digits] == '.')
    number += 1 + strspn (text + digits + 1, "0123456789");
  if (digits == 0 || text[number - 1] == '.')
    return FALSE;
  const char *suffix = text + number + strspn (text + number, " ");
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++) {
    if (g_ascii_strcasecmp (suffix, units[i].name) != 0)
      continue;
    if (number > digits) {
      double value = g_ascii_strtod (text, NULL) * (double)units[i].factor;
      if (units[i].factor == 1 || value > (double)limit)
        return FALSE;
      *bytes = (int64_t)llround (value);
      return TRUE;
    }
    errno = 0;
    guint64 whole = g_ascii_strtoull (text, NULL, 10);
    if (errno != 0 || whole > (guint64)(limit / units[i].factor))
      return FALSE;
    *bytes = (int64_t)whole * units[i].factor;
    return TRUE;
  }
  return FALSE;
}

/* "the integer 3", "a list": what was found where something else was expected. */
static char *
describe (const json_t *value) {
  switch (json_typeof (value)) {
  case JSON_OBJECT:
    return g_strdup ("an object");
  case JSON_ARRAY:
    return g_strdup ("a list");
  case JSON_STRING: {
    const char *text = json_string_value (value);
    g_autofree char *start = g_utf8_substring (text, 0, MIN (g_utf8_strlen (text, -1), 40));
    return g_strdup_printf ("the text \"%s\"", start);
  }
  case JSON_INTEGER:
    return g_strdup_printf ("%" JSON_INTEGER_FORMAT, json_integer_value (value));
  case JSON_REAL:
    return json_dumps (value, JSON_ENCODE_ANY | JSON_REAL_PRECISION (15));
  case JSON_TRUE:
    return g_strdup ("true");
  case JSON_FALSE:
    return g_strdup ("false");
  case JSON_NULL:
    return g_strdup ("null");
  }
  g_assert_not_reached ();
}

static gboolean
fail_type (PwJsonPlace place, const json_t *value, const char *expected, GError **error) {
  g_autofree char *found = describe (value);
  return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected %s, not %s", expected, found);
}

/* TEXT is VALUE as the message shows it. */
static gboolean
check_bounds (PwJsonPlace place, const PwJsonKey *key, double value, const char *text,
              GError **error) {
  if (key->minimum == 0 && key->maximum == 0)
    return TRUE;
  if (value < key->minimum)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "%s is below the minimum %.15g", text,
                         key->minimum);
  if (key->maximum >= key->minimum && value > key->maximum)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "%s is above the maximum %.15g", text,
                         key->maximum);
  return TRUE;
}

static gboolean
read_integer (PwJsonPlace place, const PwJsonKey *key, const json_t *value, int64_t *out,
              GError **error) {
  if (!json_is_integer (value))
    return fail_type (place, value, "an integer", error);
  int64_t number = json_integer_value (value);
  char text[32];
  g_snprintf (text, sizeof text, "%" G_GINT64_FORMAT, number);
  if (!check_bounds (place, key, (double)number, text, error))
    return FALSE;
  *out = number;
  return TRUE;
}

static gboolean
read_int (PwJsonPlace place, const PwJsonKey *key, const json_t *value, int *out, GError **error) {
  int64_t number = 0;
  if (!read_integer (place, key, value, &number, error))
    return FALSE;
  if (number < G_MININT || number > G_MAXINT)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "%" G_GINT64_FORMAT " is %s %d", number,
                         number < 0 ? "below the minimum" : "above the maximum",
                         number < 0 ? G_MININT : G_MAXINT);
  *out = (int)number;
  return TRUE;
}

static gboolean
read_number (PwJsonPlace place, const PwJsonKey *key, const json_t *value, double *out,
             GError **error) {
  if (!json_is_number (value))
    return fail_type (place, value, "a number", error);
  g_autofree char *text = describe (value);
  double number = json_number_value (value);
  if (!check_bounds (place, key, number, text, error))
    return FALSE;
  *out = number;
  return TRUE;
}

static gboolean
read_bytes (PwJsonPlace place, const PwJsonKey *key, const json_t *value, int64_t *out,
            GError **error) {
  static const char expected[] = "a number of bytes or a text like \"40GiB\"";
  int64_t bytes = 0;
  if (json_is_integer (value)) {
    bytes = json_integer_value (value);
    if (bytes < 0 || bytes > INT64_C (1) << 62)
      return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "%" G_GINT64_FORMAT " bytes are %s",
                           bytes, bytes < 0 ? "below the minimum 0" : "above the maximum 2^62");
  } else if (!json_is_string (value) || !pw_json_parse_bytes (json_string_value (value), &bytes)) {
    return fail_type (place, value, expected, error);
  }
  char text[32];
  g_snprintf (text, sizeof text, "%" G_GINT64_FORMAT, bytes);
  if (!check_bounds (place, key, (double)bytes, text, error))
    return FALSE;
  *out = bytes;
  return TRUE;
}

static gboolean
read_string (PwJsonPlace place, const json_t *value, char **out, GError **error) {
  if (!json_is_string (value))
    return fail_type (place, value, "a text", error);
  g_free (*out);
  *out = g_strdup (json_string_value (value));
  return TRUE;
}

static gboolean
read_enum (PwJsonPlace place, const PwJsonKey *key, const json_t *value, int *out, GError **error) {
  if (!json_is_string (value))
    return fail_type (place, value, "a text", error);
  const char *word = json_string_value (value);
  for (int i = 0; key->names[i] != NULL; i++)
    if (strcmp (word, key->names[i]) == 0) {
      *out = i;
      return TRUE;
    }
  const char *nearest = pw_json_nearest (word, key->names);
  if (nearest != NULL)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "unknown \"%s\", did you mean \"%s\"?",
                         word, nearest);
  g_autofree char *all = g_strjoinv (", ", (char **)key->names);
  return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "unknown \"%s\", expected one of: %s",
                       word, all);
}

static gboolean
read_list (PwJsonPlace place, const PwJsonKey *key, const json_t *value, GArray **out,
           GError **error) {
  if (!json_is_array (value))
    return fail_type (place, value, "a list", error);
  gboolean is_int = key->type == PW_JSON_INT_LIST;
  gsize n = json_array_size (value);
  GArray *list = g_array_sized_new (FALSE, TRUE, is_int ? sizeof (int) : sizeof (double), (guint)n);
  g_array_set_size (list, (guint)n);
  for (gsize i = 0; i < n; i++) {
    g_autofree char *path = pw_json_path_index (place.path, i);
    PwJsonPlace element = { place.file, path };
    const json_t *entry = json_array_get (value, i);
    gboolean ok = is_int
                      ? read_int (element, key, entry, &g_array_index (list, int, i), error)
                      : read_number (element, key, entry, &g_array_index (list, double, i), error);
    if (!ok) {
      g_array_unref (list);
      return FALSE;
    }
  }
  g_clear_pointer (out, g_array_unref);
  *out = list;
  return TRUE;
}

static gboolean
read_boolean (PwJsonPlace place, const json_t *value, gboolean *out, GError **error) {
  if (!json_is_boolean (value))
    return fail_type (place, value, "true or false", error);
  *out = json_is_true (value);
  return TRUE;
}

static gboolean
read_value (PwJsonPlace place, const PwJsonKey *key, json_t *value, void *field, GError **error) {
  switch (key->type) {
  case PW_JSON_BOOLEAN:
    return read_boolean (place, value, field, error);
  case PW_JSON_INTEGER:
    return read_integer (place, key, value, field, error);
  case PW_JSON_INT:
    return read_int (place, key, value, field, error);
  case PW_JSON_NUMBER:
    return read_number (place, key, value, field, error);
  case PW_JSON_STRING:
    return read_string (place, value, field, error);
  case PW_JSON_BYTES:
    return read_bytes (place, key, value, field, error);
  case PW_JSON_ENUM:
    return read_enum (place, key, value, field, error);
  case PW_JSON_INT_LIST:
  case PW_JSON_NUMBER_LIST:
    return read_list (place, key, value, field, error);
  case PW_JSON_CUSTOM:
    return key->read (place, value, field, error);
  }
  g_assert_not_reached ();
}

/* Before all else: a key written wrong is more likely than one forgotten. */
static gboolean
check_keys (PwJsonPlace place, json_t *object, const PwJsonKey *keys, gsize n_keys,
            GError **error) {
  const char *word;
  json_t *value;
  json_object_foreach (object, word, value) {
    gsize i = 0;
    while (i < n_keys && strcmp (keys[i].key, word) != 0)
      i++;
    if (i < n_keys)
      continue;
    g_autofree const char **names = g_new0 (const char *, n_keys + 1);
    for (i = 0; i < n_keys; i++)
      names[i] = keys[i].key;
    const char *nearest = pw_json_nearest (word, names);
    g_autofree char *path = pw_json_path_key (place.path, word);
    PwJsonPlace wrong = { place.file, path };
    if (nearest == NULL)
      return pw_json_fail (wrong, PW_JSON_ERROR_UNKNOWN_KEY, error, "unknown key");
    return pw_json_fail (wrong, PW_JSON_ERROR_UNKNOWN_KEY, error,
                         "unknown key, did you mean \"%s\"?", nearest);
  }
  return TRUE;
}

gboolean
pw_json_read_object (PwJsonPlace place, json_t *object, const PwJsonKey *keys, gsize n_keys,
                     void *target, GError **error) {
  if (!json_is_object (object))
    return fail_type (place, object, "an object", error);
  if (!check_keys (place, object, keys, n_keys, error))
    return FALSE;
  for (gsize i = 0; i < n_keys; i++) {
    json_t *value = json_object_get (object, keys[i].key);
    if (value == NULL && keys[i].required)
      return pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error, "missing key \"%s\"",
                           keys[i].key);
    if (value == NULL)
      continue;
    g_autofree char *path = pw_json_path_key (place.path, keys[i].key);
    void *field = (char *)target + keys[i].offset;
    if (!read_value ((PwJsonPlace){ place.file, path }, &keys[i], value, field, error))
      return FALSE;
  }
  return TRUE;
}
