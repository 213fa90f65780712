#include "plans/microbatch_factors.h"

#include <math.h>
#include <string.h>

#include "io/file.h"
#include "plans/plan.h"

#define FACTOR_MAX 1e6

static gboolean fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE, message);
  return FALSE;
}

static gboolean
parse_number (const char *text, double minimum, double *number) {
  char *end = NULL;
  *number = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && *number >= minimum && *number <= FACTOR_MAX;
}

/* Rows of factors as they are read; all have the same number of them. */
typedef struct {
  GArray *values; /* double */
  int rows, columns;
} Rows;

/* WHERE: of the row, for messages ("factors.csv:3", "row 3"). */
static gboolean
add_row (Rows *rows, const char *text, const char *where, GError **error) {
  g_auto (GStrv) cells = g_strsplit (text, ",", -1);
  int n = (int)g_strv_length (cells);
  if (rows->rows > 0 && n != rows->columns)
    return fail (error, "%s: %d factors, the rows before it have %d", where, n, rows->columns);
  for (int i = 0; i < n; i++) {
    double factor;
    if (!parse_number (g_strstrip (cells[i]), 1e-9, &factor))
      return fail (error, "%s: column %d: \"%s\" is no factor above 0 and up to %g", where, i + 1,
                   cells[i], FACTOR_MAX);
    g_array_append_val (rows->values, factor);
  }
  rows->columns = n;
  rows->rows++;
  return TRUE;
}

static gboolean
read_file (Rows *rows, const char *name, const char *folder, GError **error) {
  g_autofree char *path = folder != NULL && !g_path_is_absolute (name)
                              ? g_build_filename (folder, name, NULL)
                              : g_strdup (name);
  g_autofree char *text = NULL;
  if (!pw_file_read (path, &text, NULL, error))
    return FALSE;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (int i = 0; lines[i] != NULL; i++) {
    g_autofree char *where = g_strdup_printf ("%s:%d", path, i + 1);
    g_strstrip (lines[i]);
    if (lines[i][0] != '\0' && lines[i][0] != '#' && !add_row (rows, lines[i], where, error))
      return FALSE;
  }
  return TRUE;
}

/* "1,2,3" is a column, "1,2;3,4" a row for each micro-batch. */
static gboolean
read_list (Rows *rows, const char *text, GError **error) {
  g_auto (GStrv) lines = g_strsplit (text, strchr (text, ';') != NULL ? ";" : ",", -1);
  for (int i = 0; lines[i] != NULL; i++) {
    g_autofree char *where = g_strdup_printf ("micro-batch %d", i);
    if (!add_row (rows, lines[i], where, error))
      return FALSE;
  }
  return TRUE;
}

/* ---- Drawn ---- */

typedef struct {
  const char *name;
  int n; /* numbers, before the seed */
  double (*draw) (GRand *random, const double *numbers);
  const char *form;
} Distribution;

static double
draw_lognormal (GRand *random, const double *sigma) {
  double radius = sqrt (-2 * log (1 - g_rand_double (random)));
  return exp (sigma[0] * radius * cos (2 * G_PI * g_rand_double (random)));
}

static double
draw_uniform (GRand *random, const double *limits) {
  return limits[0] + (limits[1] - limits[0]) * g_rand_double (random);
}

static const Distribution distributions[] = {
  { "lognormal", 1, draw_lognormal, "lognormal:SIGMA[:SEED]" },
  { "uniform", 2, draw_uniform, "uniform:LOW:HIGH[:SEED]" },
};

static const Distribution *
find_distribution (const char *text) {
  for (gsize i = 0; i < G_N_ELEMENTS (distributions); i++) {
    gsize length = strlen (distributions[i].name);
    if (strncmp (text, distributions[i].name, length) == 0
        && (text[length] == ':' || text[length] == '\0'))
      return &distributions[i];
  }
  return NULL;
}

static gboolean
draw (Rows *rows, const Distribution *distribution, const char *text, int microbatches,
      GError **error) {
  g_auto (GStrv) parts = g_strsplit (text, ":", -1);
  int n = (int)g_strv_length (parts) - 1;
  double numbers[2] = { 0 };
  guint64 seed = 1;
  gboolean good = n == distribution->n || n == distribution->n + 1;
  for (int i = 0; i < distribution->n && good; i++)
    good = parse_number (parts[i + 1], 0, &numbers[i]);
  if (good && n > distribution->n)
    good = g_ascii_string_to_unsigned (parts[n], 10, 0, G_MAXUINT32, &seed, NULL);
  if (distribution->n == 2)
    good = good && numbers[0] > 0 && numbers[0] <= numbers[1];
  else
    good = good && numbers[0] <= 5; /* beyond, one micro-batch is all there is */
  if (!good)
    return fail (error, "\"%s\" is not %s", text, distribution->form);
  GRand *random = g_rand_new_with_seed ((guint32)seed);
  double sum = 0;
  for (int m = 0; m < microbatches; m++) {
    double factor = distribution->draw (random, numbers);
    sum += factor;
    g_array_append_val (rows->values, factor);
  }
  for (int m = 0; m < microbatches; m++)
    g_array_index (rows->values, double, m) *= microbatches / sum;
  g_rand_free (random);
  rows->rows = microbatches;
  rows->columns = 1;
  return TRUE;
}

/* ---- */

static gboolean
read_rows (Rows *rows, const char *text, const char *folder, int microbatches, GError **error) {
  const Distribution *distribution = find_distribution (text);
  if (distribution != NULL)
    return draw (rows, distribution, text, microbatches, error);
  gboolean is_list = strspn (text, "0123456789.,;eE+- ") == strlen (text);
  return is_list ? read_list (rows, text, error) : read_file (rows, text, folder, error);
}

gboolean
pw_microbatch_factors_apply (const char *text, const char *folder, PwStageCosts *costs,
                             int microbatches, GError **error) {
  g_autoptr (GArray) values = g_array_new (FALSE, FALSE, sizeof (double));
  Rows rows = { .values = values };
  if (!read_rows (&rows, text, folder, microbatches, error))
    return FALSE;
  if (rows.rows != microbatches)
    return fail (error, "%d rows of factors for %d micro-batches", rows.rows, microbatches);
  if (rows.columns != 1 && rows.columns != costs->stages)
    return fail (error, "%d factors in a row, expected one or one for each of %d stages",
                 rows.columns, costs->stages);
  gsize n = (gsize)microbatches * (gsize)costs->stages;
  if (costs->factor == NULL) {
    costs->microbatches = microbatches;
    costs->factor = g_new (double, n);
    for (gsize i = 0; i < n; i++)
      costs->factor[i] = 1;
  }
  g_assert (costs->microbatches == microbatches);
  for (int m = 0; m < microbatches; m++)
    for (int s = 0; s < costs->stages; s++)
      costs->factor[m * costs->stages + s]
          *= g_array_index (values, double, m *rows.columns + (rows.columns > 1 ? s : 0));
  return TRUE;
}

/* Numbers, or rows of them, with SEPARATOR between. */
static gboolean
append_numbers (GString *text, json_t *list, const char *separator) {
  gboolean good = json_is_array (list) && json_array_size (list) > 0;
  for (gsize i = 0; good && i < json_array_size (list); i++) {
    json_t *value = json_array_get (list, i);
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    if (i > 0)
      g_string_append (text, separator);
    if (json_is_number (value))
      g_string_append (text, g_ascii_dtostr (number, sizeof number, json_number_value (value)));
    else
      good = *separator == ';' && append_numbers (text, value, ",");
  }
  return good;
}

gboolean
pw_microbatch_factors_read (PwJsonPlace place, json_t *value, void *field, GError **error) {
  char **text = field;
  g_autoptr (GString) list = g_string_new (NULL);
  if (!json_is_string (value)) {
    gboolean has_rows = json_is_array (json_array_get (value, 0));
    if (!append_numbers (list, value, has_rows ? ";" : ","))
      return pw_json_fail (place, PW_JSON_ERROR_TYPE, error,
                           "expected a file, a distribution, or a list of factors");
    if (has_rows && json_array_size (value) == 1)
      g_string_append (list, ";");
  }
  g_free (*text);
  *text = json_is_string (value) ? g_strdup (json_string_value (value)) : g_strdup (list->str);
  return TRUE;
}
