#include "plans/rank_factors.h"

#include <math.h>
#include <string.h>

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
parse_factor (const char *text, double *factor, GError **error) {
  char *end = NULL;
  *factor = g_ascii_strtod (text, &end);
  if (end == text || *end != '\0' || !(*factor > 0) || *factor > FACTOR_MAX)
    return fail (error, "\"%s\" is no factor above 0 and up to %g", text, FACTOR_MAX);
  return TRUE;
}

/* "3:1.2" */
static gboolean
apply_pair (const char *text, int ranks, double *factors, GError **error) {
  const char *colon = strchr (text, ':');
  g_autofree char *rank = g_strndup (text, colon != NULL ? (gsize)(colon - text) : strlen (text));
  gint64 number;
  if (colon == NULL)
    return fail (error, "\"%s\" has no rank, like 3:1.2, as the others have", text);
  if (!g_ascii_string_to_signed (rank, 10, 0, ranks - 1, &number, NULL))
    return fail (error, "\"%s\" is none of the ranks 0 to %d", rank, ranks - 1);
  return parse_factor (colon + 1, &factors[number], error);
}

double *
pw_rank_factors_expand (const char *text, int ranks, GError **error) {
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  int n = (int)g_strv_length (parts);
  gboolean is_list = strchr (text, ':') == NULL;
  if (is_list && n != ranks) {
    fail (error, "%d factors for %d ranks", n, ranks);
    return NULL;
  }
  g_autofree double *factors = g_new (double, (gsize)ranks);
  for (int r = 0; r < ranks; r++)
    factors[r] = 1;
  for (int i = 0; i < n; i++)
    if (is_list ? !parse_factor (g_strstrip (parts[i]), &factors[i], error)
                : !apply_pair (g_strstrip (parts[i]), ranks, factors, error))
      return NULL;
  return g_steal_pointer (&factors);
}

/* Either form of JSON as text. */
gboolean
pw_rank_factors_read (PwJsonPlace place, json_t *value, void *field, GError **error) {
  g_autoptr (GString) text = g_string_new (NULL);
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  const char *key;
  json_t *factor;
  gsize i;
  if (!json_is_array (value) && !json_is_object (value))
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error,
                         "expected a list of factors, or an object like {\"3\": 1.2}");
  json_array_foreach (value, i, factor) if (json_is_number (factor))
      g_string_append_printf (text, "%s%s", i > 0 ? "," : "",
                              g_ascii_dtostr (number, sizeof number, json_number_value (factor)));
  else return pw_json_fail (place, PW_JSON_ERROR_TYPE, error,
                            "factor %" G_GSIZE_FORMAT " is no number", i);
  json_object_foreach (value, key, factor) if (json_is_number (factor))
      g_string_append_printf (text, "%s%s:%s", text->len > 0 ? "," : "", key,
                              g_ascii_dtostr (number, sizeof number, json_number_value (factor)));
  else return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "the factor of rank %s is no number",
                            key);
  char **out = field;
  g_free (*out);
  *out = text->len > 0 ? g_strdup (text->str) : NULL;
  return TRUE;
}
