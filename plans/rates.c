/* Tables of rates, and their rows in hardware and cost files:
 *
 *   "bf16": [{"flops": 524288, "rate": 1.2e12}, ...]
 *   "one_way": [{"bytes": 1024, "bandwidth": 5e8}, ...] */
#include "plans/rates.h"

#include <math.h>
#include <stdlib.h>

#include "plans/plan_private.h"

double
pw_rates_at (const PwRates *rates, double size) {
  g_assert (rates->n > 0);
  const PwRate *rows = rates->rows;
  int above = 0;
  while (above < rates->n && rows[above].size < size)
    above++;
  if (above == rates->n)
    return rows[above - 1].rate;
  if (above == 0 || rows[above].size <= size)
    return rows[above].rate;
  const PwRate *a = &rows[above - 1], *b = &rows[above];
  double share = log (size / a->size) / log (b->size / a->size);
  return a->rate * pow (b->rate / a->rate, share);
}

void
pw_rates_append (PwRates *rates, double size, double rate) {
  rates->rows = g_renew (PwRate, rates->rows, rates->n + 1);
  rates->rows[rates->n++] = (PwRate){ .size = size, .rate = rate };
}

static int
compare_sizes (const void *a, const void *b) {
  double left = ((const PwRate *)a)->size, right = ((const PwRate *)b)->size;
  return (left > right) - (left < right);
}

void
pw_rates_sort (PwRates *rates) {
  if (rates->n > 1)
    qsort (rates->rows, (size_t)rates->n, sizeof *rates->rows, compare_sizes);
}

double
pw_rates_largest (const PwRates *rates) {
  double largest = 0;
  for (int i = 0; i < rates->n; i++)
    largest = MAX (largest, rates->rows[i].rate);
  return largest;
}

PwRates
pw_rates_copy (const PwRates *rates) {
  return (PwRates){ .n = rates->n,
                    .rows = g_memdup2 (rates->rows, (gsize)rates->n * sizeof *rates->rows) };
}

void
pw_rates_clear (PwRates *rates) {
  g_free (rates->rows);
  *rates = (PwRates){ 0 };
}

PwMessageRates
pw_message_rates_copy (const PwMessageRates *messages) {
  return (PwMessageRates){ .one_way = pw_rates_copy (&messages->one_way),
                           .both_ways = pw_rates_copy (&messages->both_ways) };
}

void
pw_message_rates_clear (PwMessageRates *messages) {
  pw_rates_clear (&messages->one_way);
  pw_rates_clear (&messages->both_ways);
}

/* ---- JSON ---- */

static const PwJsonKey product_keys[] = {
  {
      .key = "flops",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwRate, size),
      .required = TRUE,
      .minimum = 1,
      .maximum = 1e24,
      .unit = "FLOPs of one product",
  },
  {
      .key = "rate",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwRate, rate),
      .required = TRUE,
      .minimum = 1,
      .maximum = 1e24,
      .unit = "FLOP/s",
  },
};

static const PwJsonKey byte_keys[] = {
  {
      .key = "bytes",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwRate, size),
      .required = TRUE,
      .minimum = 1,
      .maximum = 1e18,
      .unit = "bytes",
  },
  {
      .key = "bandwidth",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwRate, rate),
      .required = TRUE,
      .minimum = 1e-3,
      .maximum = 1e18,
      .unit = "bytes/s",
  },
};
G_STATIC_ASSERT (G_N_ELEMENTS (product_keys) == G_N_ELEMENTS (byte_keys));

static gboolean
read_rows (PwJsonPlace place, json_t *value, const PwJsonKey *keys, PwRates *rates,
           GError **error) {
  if (!json_is_array (value) || json_array_size (value) == 0)
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected a list of {\"%s\", \"%s\"}",
                         keys[0].key, keys[1].key);
  pw_rates_clear (rates);
  for (gsize i = 0; i < json_array_size (value); i++) {
    g_autofree char *path = pw_json_path_index (place.path, i);
    PwJsonPlace here = { place.file, path };
    PwRate row = { 0 };
    if (!pw_json_read_object (here, json_array_get (value, i), keys, G_N_ELEMENTS (product_keys),
                              &row, error))
      return FALSE;
    if (rates->n > 0 && row.size <= rates->rows[rates->n - 1].size)
      return pw_json_fail (here, PW_JSON_ERROR_RANGE, error,
                           "rows stand in ascending order of \"%s\", each size once", keys[0].key);
    pw_rates_append (rates, row.size, row.rate);
  }
  return TRUE;
}

gboolean
pw__rates_read_products (PwJsonPlace place, json_t *value, void *field, GError **error) {
  return read_rows (place, value, product_keys, field, error);
}

gboolean
pw__rates_read_bytes (PwJsonPlace place, json_t *value, void *field, GError **error) {
  return read_rows (place, value, byte_keys, field, error);
}

static json_t *
rows_to_json (const PwRates *rates, const PwJsonKey *keys) {
  json_t *list = json_array ();
  for (int i = 0; i < rates->n; i++)
    json_array_append_new (list, json_pack ("{s:f, s:f}", keys[0].key, rates->rows[i].size,
                                            keys[1].key, rates->rows[i].rate));
  return list;
}

void
pw__rates_add_products (json_t *object, const char *key, const PwRates *rates) {
  if (rates->n > 0)
    json_object_set_new (object, key, rows_to_json (rates, product_keys));
}

void
pw__rates_add_bytes (json_t *object, const char *key, const PwRates *rates) {
  if (rates->n > 0)
    json_object_set_new (object, key, rows_to_json (rates, byte_keys));
}

static const PwJsonKey message_keys[] = {
  {
      .key = "one_way",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwMessageRates, one_way),
      .read = pw__rates_read_bytes,
  },
  {
      .key = "both_ways",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwMessageRates, both_ways),
      .read = pw__rates_read_bytes,
  },
};

gboolean
pw__messages_read (PwJsonPlace place, json_t *value, void *field, GError **error) {
  return pw_json_read_object (place, value, message_keys, G_N_ELEMENTS (message_keys), field,
                              error);
}

void
pw__messages_add (json_t *object, const PwMessageRates *messages) {
  json_t *tables = json_object ();
  pw__rates_add_bytes (tables, "one_way", &messages->one_way);
  pw__rates_add_bytes (tables, "both_ways", &messages->both_ways);
  if (json_object_size (tables) > 0)
    json_object_set (object, "messages", tables);
  json_decref (tables);
}
