#include "io/json.h"

#include <stdarg.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "io/file.h"

GQuark
pw_json_error_quark (void) {
  return g_quark_from_static_string ("pw-json-error-quark");
}

/* jansson skips a zero byte behind a number. */
static gboolean
check_zero_bytes (const char *file, const char *text, gsize bytes, GError **error) {
  const char *zero = memchr (text, '\0', bytes);
  if (zero == NULL)
    return TRUE;
  int line = 1;
  for (; text < zero; text++)
    line += *text == '\n';
  g_set_error (error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX, "%s:%d: a byte is zero", file, line);
  return FALSE;
}

static PwJsonFile *
parse (const char *file, char *text, gsize bytes, GError **error) {
  if (!check_zero_bytes (file, text, bytes, error)) {
    g_free (text);
    return NULL;
  }
  json_error_t failure;
  json_t *root = json_loadb (text, bytes, JSON_REJECT_DUPLICATES, &failure);
  if (root == NULL) {
    g_set_error (error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX, "%s:%d: %s", file,
                 MAX (failure.line, 1), failure.text);
    g_free (text);
    return NULL;
  }
  PwJsonFile *json = g_new0 (PwJsonFile, 1);
  json->file = g_strdup (file);
  json->text = text;
  json->root = root;
  return json;
}

PwJsonFile *
pw_json_file_load (const char *path, GError **error) {
  char *text;
  gsize bytes;
  if (!pw_file_read (path, &text, &bytes, error))
    return NULL;
  return parse (path, text, bytes, error);
}

PwJsonFile *
pw_json_file_parse (const char *file, const char *text, GError **error) {
  return parse (file, g_strdup (text), strlen (text), error);
}

void
pw_json_file_free (PwJsonFile *json) {
  if (json == NULL)
    return;
  json_decref (json->root);
  g_free (json->text);
  g_free (json->file);
  g_free (json);
}

/* The line of a path, found only when there is something to complain about: the text is parsed once
 * more as a stream, line by line, and the deepest parent of the wanted path is remembered. */
typedef struct {
  gboolean is_array;
  gsize path_length; /* of the container itself */
  gsize index;       /* of the next element */
} Level;

typedef struct {
  const char *wanted;
  GString *path; /* of the value that comes next or is being read */
  GArray *levels;
  int line;
  gsize best_length;
  int best_line;
} Locator;

static void
locator_visit (Locator *locator) {
  gsize length = locator->path->len;
  if (length <= locator->best_length || strncmp (locator->path->str, locator->wanted, length) != 0)
    return;
  char next = locator->wanted[length];
  if (next == '\0' || next == '.' || next == '[') {
    locator->best_length = length;
    locator->best_line = locator->line;
  }
}

/* Called where a value starts; keys have been visited already. */
static void
locator_value (Locator *locator) {
  if (locator->levels->len == 0)
    return;
  Level *top = &g_array_index (locator->levels, Level, locator->levels->len - 1);
  if (!top->is_array)
    return;
  g_string_truncate (locator->path, top->path_length);
  g_string_append_printf (locator->path, "[%zu]", top->index++);
  locator_visit (locator);
}

static int
locator_scalar_null (void *data) {
  locator_value (data);
  return 1;
}

static int
locator_scalar_boolean (void *data, int value) {
  (void)value;
  locator_value (data);
  return 1;
}

static int
locator_scalar_number (void *data, const char *text, size_t length) {
  (void)text, (void)length;
  locator_value (data);
  return 1;
}

static int
locator_scalar_string (void *data, const unsigned char *text, size_t length) {
  (void)text, (void)length;
  locator_value (data);
  return 1;
}

static int
locator_start (Locator *locator, gboolean is_array) {
  locator_value (locator);
  Level level = { .is_array = is_array, .path_length = locator->path->len };
  g_array_append_val (locator->levels, level);
  return 1;
}

static int
locator_start_map (void *data) {
  return locator_start (data, FALSE);
}

static int
locator_start_array (void *data) {
  return locator_start (data, TRUE);
}

static int
locator_key (void *data, const unsigned char *key, size_t length) {
  Locator *locator = data;
  const Level *top = &g_array_index (locator->levels, Level, locator->levels->len - 1);
  g_string_truncate (locator->path, top->path_length);
  if (top->path_length > 0)
    g_string_append_c (locator->path, '.');
  g_string_append_len (locator->path, (const char *)key, (gssize)length);
  locator_visit (locator);
  return 1;
}

static int
locator_end (void *data) {
  Locator *locator = data;
  g_array_set_size (locator->levels, locator->levels->len - 1);
  return 1;
}

static const yajl_callbacks locator_callbacks = {
  .yajl_null = locator_scalar_null,
  .yajl_boolean = locator_scalar_boolean,
  .yajl_number = locator_scalar_number,
  .yajl_string = locator_scalar_string,
  .yajl_start_map = locator_start_map,
  .yajl_map_key = locator_key,
  .yajl_end_map = locator_end,
  .yajl_start_array = locator_start_array,
  .yajl_end_array = locator_end,
};

static int
line_of_path (const char *text, const char *path) {
  Locator locator = {
    .wanted = path,
    .path = g_string_new (NULL),
    .levels = g_array_new (FALSE, FALSE, sizeof (Level)),
    .line = 1,
    .best_line = 1,
  };
  yajl_handle parser = yajl_alloc (&locator_callbacks, NULL, &locator);
  while (*text != '\0') {
    const char *end = strchr (text, '\n');
    gsize length = end != NULL ? (gsize)(end + 1 - text) : strlen (text);
    if (yajl_parse (parser, (const unsigned char *)text, length) != yajl_status_ok)
      break;
    text += length;
    locator.line++;
  }
  yajl_free (parser);
  g_string_free (locator.path, TRUE);
  g_array_unref (locator.levels);
  return locator.best_line;
}

/* "FILE:LINE: PATH: ", without the parts there are not. */
static char *
place_prefix (PwJsonPlace place) {
  GString *prefix = g_string_new (NULL);
  if (place.file != NULL)
    g_string_append_printf (prefix, "%s:%d: ", place.file->file,
                            line_of_path (place.file->text, place.path));
  if (place.path[0] != '\0')
    g_string_append_printf (prefix, "%s: ", place.path);
  return g_string_free (prefix, FALSE);
}

gboolean
pw_json_fail (PwJsonPlace place, PwJsonError code, GError **error, const char *format, ...) {
  if (error == NULL)
    return FALSE;
  g_autofree char *prefix = place_prefix (place);
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, PW_JSON_ERROR, (int)code, "%s%s", prefix, message);
  return FALSE;
}

void
pw_json_prefix_error (PwJsonPlace place, GError **error) {
  if (error == NULL)
    return;
  g_autofree char *prefix = place_prefix (place);
  g_prefix_error (error, "%s", prefix);
}

char *
pw_json_path_key (const char *path, const char *key) {
  return path[0] == '\0' ? g_strdup (key) : g_strconcat (path, ".", key, NULL);
}

char *
pw_json_path_index (const char *path, gsize index) {
  return g_strdup_printf ("%s[%zu]", path, index);
}
