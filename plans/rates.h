/* What a machine reaches, by size: products by their FLOPs, memory and links by bytes. */
#pragma once
#include "io/json.h"

typedef struct {
  double size; /* FLOPs or bytes of one call or message */
  double rate; /* of these, per second */
} PwRate;
typedef struct {
  int n;        /* 0: not known */
  PwRate *rows; /* [n], ascending by size */
} PwRates;
/* Between two sizes on a line through the logarithms, beyond the ends as at the nearest. N > 0. */
double pw_rates_at (const PwRates *rates, double size);
/* SIZE is larger than those before. */
void pw_rates_append (PwRates *rates, double size, double rate);
/* Rows with sizes in any order, each once. */
void pw_rates_sort (PwRates *rates);
double pw_rates_largest (const PwRates *rates); /* of the rates; 0: no rows */
PwRates pw_rates_copy (const PwRates *rates);
void pw_rates_clear (PwRates *rates);

/* Messages between two ranks: their bytes over the whole time of one, latency included. */
typedef struct {
  PwRates one_way;
  PwRates both_ways; /* each of two that cross */
} PwMessageRates;
PwMessageRates pw_message_rates_copy (const PwMessageRates *messages);
void pw_message_rates_clear (PwMessageRates *messages);
