/* yajl gives tokens; here they become flat elements. The fields' paths and strings of one element
 * lie one after another in an arena that is reused, so a field costs two copies and no allocation:
 *
 *   arena   t s \0 a r g s . b y t e s \0 n a m e \0 0 F 3 \0
 *   fields  {path 0, number} {path 3, number} {path 14, string 19}
 *
 * While an element grows its fields hold offsets; they become pointers when it is complete. */
#include "io/stream.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "io/file_private.h"
#include "io/json.h"

#define BLOCK_BYTES (1 << 16)
#define DEPTH_MAX 2048 /* jansson's */

typedef struct {
  gboolean is_array;
  gsize path_length; /* of the container itself */
  gsize index;       /* of the next element */
} Level;

typedef struct {
  gsize path, string; /* in the arena */
  gboolean is_string;
  double number;
} Offsets;

typedef struct {
  const char *file, *array;
  const PwStreamHandlers *handlers;
  gpointer data;
  yajl_handle parser;
  const char *block;
  gsize counted; /* bytes of the block whose lines are counted */
  gsize line;
  Level levels[DEPTH_MAX];
  int depth;
  int array_depth; /* depth inside the wanted array; 0: outside it */
  gboolean found;
  gboolean is_complete; /* the root has ended, at this offset of the block */
  gsize end;
  GString *path; /* of the value that comes next; inside an element: from the element */
  GByteArray *arena;
  GArray *offsets; /* Offsets of the element so far */
  GArray *fields;  /* PwStreamField */
  GError *error;
} Stream;

/* Counts the lines up to an offset in the block: yajl counts bytes only. */
static gsize
count_lines (Stream *stream, gsize offset) {
  const char *from = stream->block + stream->counted, *to = stream->block + offset;
  while (from < to && (from = memchr (from, '\n', (gsize)(to - from))) != NULL) {
    stream->line++;
    from++;
  }
  stream->counted = MAX (stream->counted, offset);
  return stream->line;
}

/* The line of the last token. */
static gsize
current_line (Stream *stream) {
  return count_lines (stream, yajl_get_bytes_consumed (stream->parser));
}

static int
fail (Stream *stream, const char *message) {
  g_set_error (&stream->error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX, "%s:%zu: %s", stream->file,
               current_line (stream), message);
  return 0;
}

static gsize
arena_add (Stream *stream, const void *text, gsize length) {
  gsize start = stream->arena->len;
  g_byte_array_append (stream->arena, text, (guint)length);
  g_byte_array_append (stream->arena, (const guint8 *)"", 1);
  return start;
}

static int
emit_element (Stream *stream) {
  guint n = stream->offsets->len;
  g_array_set_size (stream->fields, n);
  for (guint i = 0; i < n; i++) {
    const Offsets *from = &g_array_index (stream->offsets, Offsets, i);
    const char *base = (const char *)stream->arena->data;
    g_array_index (stream->fields, PwStreamField, i) = (PwStreamField){
      .path = base + from->path,
      .string = from->is_string ? base + from->string : NULL,
      .number = from->number,
    };
  }
  gboolean ok = stream->handlers->element ((const PwStreamField *)(void *)stream->fields->data, n,
                                           current_line (stream), stream->data, &stream->error);
  g_array_set_size (stream->offsets, 0);
  g_byte_array_set_size (stream->arena, 0);
  return ok;
}

static gboolean
is_in_array (const Stream *stream) {
  return stream->array_depth > 0;
}

/* Called where a value starts: gives an element of a list its path. */
static void
start_value (Stream *stream) {
  if (stream->depth == 0)
    return;
  Level *top = &stream->levels[stream->depth - 1];
  if (!top->is_array)
    return;
  g_string_truncate (stream->path, top->path_length);
  if (stream->depth == stream->array_depth)
    return;
  char text[32];
  int length = g_snprintf (text, sizeof text, "[%zu]", top->index++);
  g_string_append_len (stream->path, text, length);
}

/* TEXT NULL: a number. */
static int
add_scalar (Stream *stream, const void *text, gsize length, double number) {
  if (stream->depth == 0)
    return fail (stream, "expected an object or a list");
  start_value (stream);
  if (text != NULL && memchr (text, '\0', length) != NULL)
    return fail (stream, "a text contains the character \\u0000");
  gboolean inside = is_in_array (stream);
  if (!inside && stream->handlers->other == NULL)
    return 1;
  Offsets field = { .is_string = text != NULL, .number = number };
  field.path = arena_add (stream, stream->path->str, stream->path->len);
  if (text != NULL)
    field.string = arena_add (stream, text, length);
  if (inside) {
    g_array_append_val (stream->offsets, field);
    return stream->depth == stream->array_depth ? emit_element (stream) : 1;
  }
  const char *base = (const char *)stream->arena->data;
  PwStreamField other = {
    .path = base + field.path,
    .string = text != NULL ? base + field.string : NULL,
    .number = number,
  };
  gboolean ok
      = stream->handlers->other (&other, current_line (stream), stream->data, &stream->error);
  g_byte_array_set_size (stream->arena, 0);
  return ok;
}

static int
on_null (void *data) {
  Stream *stream = data;
  if (stream->depth == 0)
    return fail (stream, "expected an object or a list");
  start_value (stream);
  return is_in_array (stream) && stream->depth == stream->array_depth ? emit_element (stream) : 1;
}

static int
on_boolean (void *data, int value) {
  return add_scalar (data, NULL, 0, value != 0);
}

/* Clinger's fast path (PLDI 1990): a mantissa below 2^53 times a power of ten up to 10^22 is one
 * correctly rounded operation on two exact numbers. Anything else goes to strtod. */
static gboolean
parse_short_number (const char *text, gsize length, double *number) {
  static const double powers[]
      = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
          1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
  gsize decimals = 0, point = 0;
  gboolean negative = text[0] == '-';
  guint64 mantissa = 0;
  for (gsize i = negative ? 1 : 0; i < length; i++) {
    if (text[i] == '.') {
      point = i;
      continue;
    }
    if (!g_ascii_isdigit (text[i]))
      return FALSE;
    if (mantissa > (G_MAXUINT64 - 9) / 10)
      return FALSE;
    mantissa = mantissa * 10 + (guint64)(text[i] - '0');
  }
  if (point > 0)
    decimals = length - 1 - point;
  if (mantissa > UINT64_C (1) << 53 || decimals >= G_N_ELEMENTS (powers))
    return FALSE;
  double value = (double)mantissa / powers[decimals];
  *number = negative ? -value : value;
  return TRUE;
}

static int
on_number (void *data, const char *text, size_t length) {
  double number;
  if (!parse_short_number (text, length, &number)) {
    g_autofree char *copy = g_strndup (text, length);
    number = g_ascii_strtod (copy, NULL);
    if (isinf (number))
      return fail (data, "a number is too large");
  }
  return add_scalar (data, NULL, 0, number);
}

static int
on_string (void *data, const unsigned char *text, size_t length) {
  /* An empty string may come without a place. */
  return add_scalar (data, text != NULL ? (const char *)text : "", length, 0);
}

static int
start_container (Stream *stream, gboolean is_array) {
  start_value (stream);
  if (stream->depth == DEPTH_MAX)
    return fail (stream, "nested too deep");
  stream->levels[stream->depth++]
      = (Level){ .is_array = is_array, .path_length = stream->path->len };
  gboolean is_wanted = is_array && !is_in_array (stream)
                       && (stream->depth == 1
                           || (stream->depth == 2 && !stream->levels[0].is_array
                               && strcmp (stream->path->str, stream->array) == 0));
  if (is_wanted) {
    stream->found = TRUE;
    stream->array_depth = stream->depth;
    g_string_truncate (stream->path, 0);
    stream->levels[stream->depth - 1].path_length = 0;
  }
  return 1;
}

static int
on_start_map (void *data) {
  return start_container (data, FALSE);
}

static int
on_start_array (void *data) {
  return start_container (data, TRUE);
}

static int
on_key (void *data, const unsigned char *key, size_t length) {
  Stream *stream = data;
  if (length > 0 && memchr (key, '\0', length) != NULL)
    return fail (stream, "a key contains the character \\u0000");
  g_string_truncate (stream->path, stream->levels[stream->depth - 1].path_length);
  if (stream->path->len > 0)
    g_string_append_c (stream->path, '.');
  g_string_append_len (stream->path, (const char *)key, (gssize)length);
  return 1;
}

static int
on_end (void *data) {
  Stream *stream = data;
  gboolean is_array_end = stream->depth == stream->array_depth;
  if (is_array_end)
    stream->array_depth = 0;
  stream->depth--;
  if (stream->depth == 0) {
    stream->is_complete = TRUE;
    stream->end = yajl_get_bytes_consumed (stream->parser);
  }
  return is_in_array (stream) && stream->depth == stream->array_depth ? emit_element (stream) : 1;
}

static const yajl_callbacks callbacks = {
  .yajl_null = on_null,
  .yajl_boolean = on_boolean,
  .yajl_number = on_number,
  .yajl_string = on_string,
  .yajl_start_map = on_start_map,
  .yajl_map_key = on_key,
  .yajl_end_map = on_end,
  .yajl_start_array = on_start_array,
  .yajl_end_array = on_end,
};

/* Sets stream->error after a parse that did not succeed. */
static void
explain (Stream *stream, yajl_status status) {
  if (status == yajl_status_client_canceled) {
    g_assert (stream->error != NULL);
    return;
  }
  unsigned char *words = yajl_get_error (stream->parser, 0, NULL, 0);
  fail (stream, g_strchomp ((char *)words));
  yajl_free_error (stream->parser, words);
}

/* yajl takes half a token behind the root, as in "{} \"x", for no token at all. */
static gboolean
check_nothing_follows (Stream *stream, gsize bytes) {
  if (!stream->is_complete)
    return TRUE;
  for (gsize i = stream->end; i < bytes; i++)
    if (strchr (" \t\r\n", stream->block[i]) == NULL || stream->block[i] == '\0') {
      g_set_error (&stream->error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX,
                   "%s:%zu: parse error: trailing garbage", stream->file, count_lines (stream, i));
      return FALSE;
    }
  stream->end = 0;
  return TRUE;
}

static void
read_blocks (Stream *stream, int fd) {
  g_autofree char *block = g_malloc (BLOCK_BYTES);
  stream->block = block;
  yajl_status status;
  gssize n;
  while ((n = pw__file_read_block (fd, stream->file, block, BLOCK_BYTES, &stream->error)) > 0) {
    stream->counted = 0;
    status = yajl_parse (stream->parser, (const unsigned char *)block, (size_t)n);
    if (status != yajl_status_ok) {
      explain (stream, status);
      return;
    }
    if (!check_nothing_follows (stream, (gsize)n))
      return;
    current_line (stream);
  }
  if (n < 0)
    return;
  stream->block = " "; /* what yajl itself feeds to end a last token */
  stream->counted = 0;
  status = yajl_complete_parse (stream->parser);
  if (status != yajl_status_ok)
    explain (stream, status);
  else if (!stream->found)
    g_set_error (&stream->error, PW_JSON_ERROR, PW_JSON_ERROR_MISSING_KEY,
                 "%s:1: there is no list \"%s\"", stream->file, stream->array);
}

gboolean
pw_stream_read (const char *path, const char *array, const PwStreamHandlers *handlers,
                gpointer data, GError **error) {
  int fd = pw__file_open (path, error);
  if (fd < 0)
    return FALSE;
  Stream *stream = g_new0 (Stream, 1);
  stream->file = path;
  stream->array = array;
  stream->handlers = handlers;
  stream->data = data;
  stream->line = 1;
  stream->path = g_string_new (NULL);
  stream->arena = g_byte_array_new ();
  stream->offsets = g_array_new (FALSE, FALSE, sizeof (Offsets));
  stream->fields = g_array_new (FALSE, FALSE, sizeof (PwStreamField));
  /* Its options stay off: no comments, no trailing text, no partial value, valid UTF-8. */
  stream->parser = yajl_alloc (&callbacks, NULL, stream);
  read_blocks (stream, fd);
  pw__file_close (fd);
  yajl_free (stream->parser);
  g_array_unref (stream->fields);
  g_array_unref (stream->offsets);
  g_byte_array_unref (stream->arena);
  g_string_free (stream->path, TRUE);
  GError *failure = stream->error;
  g_free (stream);
  if (failure == NULL)
    return TRUE;
  g_propagate_error (error, failure);
  return FALSE;
}
