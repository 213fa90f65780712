#include "io/json.h"
#include "sim/what_if.h"

#include <math.h>
#include <string.h>

GQuark
pw_what_if_error_quark (void) {
  return g_quark_from_static_string ("pw-what-if-error-quark");
}

typedef struct {
  const char *text, *at;
  GError **error;
} Reader;

static gboolean fail (const Reader *reader, const char *at, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static gboolean
fail (const Reader *reader, const char *at, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (reader->error, PW_WHAT_IF_ERROR, PW_WHAT_IF_ERROR_SYNTAX, "\"%s\", character %d: %s",
               reader->text, (int)(at - reader->text) + 1, message);
  return FALSE;
}

static void
skip_spaces (Reader *reader) {
  reader->at += strspn (reader->at, " \t\n");
}

/* Of these characters; never NULL. */
static char *
read_span (Reader *reader, const char *characters) {
  gsize length = strspn (reader->at, characters);
  char *span = g_strndup (reader->at, length);
  reader->at += length;
  return span;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
#define DIGITS "0123456789"

static gboolean
read_whole (Reader *reader, int *number) {
  const char *at = reader->at;
  g_autofree char *digits = read_span (reader, DIGITS);
  gint64 value;
  if (!g_ascii_string_to_signed (digits, 10, 0, G_MAXINT, &value, NULL))
    return fail (reader, at, "expected a whole number");
  *number = (int)value;
  return TRUE;
}

/* Above 0; an exponent only where a digit follows. */
static gboolean
read_number (Reader *reader, double *number) {
  const char *at = reader->at;
  gsize length = strspn (at, DIGITS ".");
  if (length > 0 && (at[length] == 'e' || at[length] == 'E')) {
    gsize sign = at[length + 1] == '-' || at[length + 1] == '+';
    gsize digits = strspn (at + length + 1 + sign, DIGITS);
    length += digits > 0 ? 1 + sign + digits : 0;
  }
  g_autofree char *text = g_strndup (at, length);
  char *end;
  *number = g_ascii_strtod (text, &end);
  if (length == 0 || *end != '\0' || !isfinite (*number) || *number <= 0)
    return fail (reader, at, "expected a number above 0");
  reader->at += length;
  return TRUE;
}

static const char *const targets[] = { [PW_WHAT_IF_LINK] = "link",
                                       [PW_WHAT_IF_LATENCY] = "latency",
                                       [PW_WHAT_IF_BANDWIDTH] = "bandwidth",
                                       [PW_WHAT_IF_RANK] = "rank",
                                       [PW_WHAT_IF_STAGE] = "stage",
                                       [PW_WHAT_IF_REDUCE] = "reduce",
                                       [PW_WHAT_IF_MICROBATCHES] = "microbatches",
                                       [PW_WHAT_IF_LAYERS] = NULL };

static gboolean
read_target (Reader *reader, PwWhatIfChange *change) {
  const char *at = reader->at;
  g_autofree char *word = read_span (reader, LETTERS);
  gsize length = strlen (word);
  for (int i = 0; targets[i] != NULL; i++)
    if (g_str_equal (word, targets[i])
        || (length == strlen (targets[i]) + 1 && word[length - 1] == 's'
            && g_str_has_prefix (word, targets[i]))) {
      change->kind = (PwWhatIfKind)i;
      return TRUE;
    }
  const char *nearest = pw_json_nearest (word, targets);
  g_autofree char *names = g_strjoinv (", ", (char **)targets);
  return fail (reader, at, "\"%s\" is none of %s%s%s%s", word, names,
               nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* Which one; none: all. */
static gboolean
read_numbers (Reader *reader, PwWhatIfChange *change) {
  change->from = change->to = -1;
  skip_spaces (reader);
  if (!g_ascii_isdigit (*reader->at))
    return TRUE;
  if (change->kind == PW_WHAT_IF_MICROBATCHES)
    return fail (reader, reader->at, "microbatches have no number, only a value behind \":\"");
  if (!read_whole (reader, &change->from))
    return FALSE;
  if (change->kind > PW_WHAT_IF_BANDWIDTH)
    return TRUE;
  if (*reader->at != '-')
    return fail (reader, reader->at,
                 "expected \"-\" and the link's other rank, as in \"link 2-3\"");
  reader->at++;
  return read_whole (reader, &change->to);
}

static gboolean
read_time_unit (Reader *reader, double *value) {
  static const struct {
    const char *name;
    double scale;
  } units[] = { { "", 1 }, { "s", 1 }, { "ms", 1e-3 }, { "us", 1e-6 }, { "ns", 1e-9 } };
  const char *at = reader->at;
  g_autofree char *unit = read_span (reader, LETTERS);
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (g_str_equal (unit, units[i].name)) {
      *value *= units[i].scale;
      return TRUE;
    }
  return fail (reader, at, "\"%s\" is none of s, ms, us, ns", unit);
}

/* "25GB/s", "12.5e9" */
static gboolean
read_bytes_unit (Reader *reader, double *value) {
  const char *at = reader->at;
  g_autofree char *unit = read_span (reader, LETTERS);
  if (g_str_has_prefix (reader->at, "/s"))
    reader->at += 2;
  g_autofree char *one = g_strdup_printf ("1%s", unit);
  int64_t scale = 1;
  if (*unit != '\0' && !pw_json_parse_bytes (one, &scale))
    return fail (reader, at, "\"%s\" is no unit of bytes, as in \"=25GB/s\"", unit);
  *value *= (double)scale;
  return TRUE;
}

static gboolean
read_absolute (Reader *reader, PwWhatIfChange *change) {
  const char *at = reader->at++;
  skip_spaces (reader);
  change->is_absolute = TRUE;
  int whole = 0;
  switch (change->kind) {
  case PW_WHAT_IF_LATENCY:
    return read_number (reader, &change->value) && read_time_unit (reader, &change->value);
  case PW_WHAT_IF_BANDWIDTH:
    return read_number (reader, &change->value) && read_bytes_unit (reader, &change->value);
  case PW_WHAT_IF_MICROBATCHES:
    if (!read_whole (reader, &whole))
      return FALSE;
    change->value = whole;
    return whole > 0 || fail (reader, at, "no micro-batch is left");
  default:
    return fail (reader, at, "a %s has no value of its own, only a speed like \"2x\"",
                 targets[change->kind]);
  }
}

static gboolean
read_layers (Reader *reader, PwWhatIfChange *change) {
  const char *at = reader->at;
  int sign = *reader->at++ == '-' ? -1 : 1, count = 0;
  if (change->kind != PW_WHAT_IF_STAGE || change->from < 0)
    return fail (reader, at, "only a stage has layers, as in \"stage 0: -1 layer\"");
  if (!read_whole (reader, &count))
    return FALSE;
  skip_spaces (reader);
  at = reader->at;
  g_autofree char *word = read_span (reader, LETTERS);
  if (!g_str_equal (word, "layer") && !g_str_equal (word, "layers"))
    return fail (reader, at, "expected \"layer\" or \"layers\"");
  change->kind = PW_WHAT_IF_LAYERS;
  change->value = sign * count;
  return TRUE;
}

static gboolean
read_value (Reader *reader, PwWhatIfChange *change) {
  skip_spaces (reader);
  if (*reader->at == '=')
    return read_absolute (reader, change);
  if (*reader->at == '-' || *reader->at == '+')
    return read_layers (reader, change);
  if (!read_number (reader, &change->value))
    return FALSE;
  if (*reader->at != 'x')
    return fail (reader, reader->at, "expected \"x\", as in \"2x\"");
  reader->at++;
  return TRUE;
}

static gboolean
read_change (Reader *reader, PwWhatIfChange *change) {
  skip_spaces (reader);
  if (!read_target (reader, change) || !read_numbers (reader, change))
    return FALSE;
  skip_spaces (reader);
  if (*reader->at != ':')
    return fail (reader, reader->at, "expected \":\" and a value");
  reader->at++;
  if (!read_value (reader, change))
    return FALSE;
  skip_spaces (reader);
  return TRUE;
}

GArray *
pw_what_if_parse (const char *text, GError **error) {
  Reader reader = { .text = text, .at = text, .error = error };
  g_autoptr (GArray) changes = g_array_new (FALSE, FALSE, sizeof (PwWhatIfChange));
  for (;;) {
    PwWhatIfChange change = { .from = -1, .to = -1 };
    if (!read_change (&reader, &change))
      return NULL;
    g_array_append_val (changes, change);
    if (*reader.at == '\0')
      return g_steal_pointer (&changes);
    if (*reader.at != ',') {
      fail (&reader, reader.at, "expected \",\" or the end");
      return NULL;
    }
    reader.at++;
  }
}
