#pragma once
#include "sim/planner/order_private.h"

typedef struct {
  const PwOrderProblem *problem;
  PwOrderScratch scratch;
  uint8_t *words, *best; /* [ranks][length] */
  double value, bound, effort;
  GArray *seen; /* hashes of the starts */
  const char *method;
} PwOrderSearch;

/* Nothing is left to be found. */
gboolean pw__search_is_finished (const PwOrderSearch *search);
/* Or SHARE of the effort was spent. */
gboolean pw__search_is_spent (const PwOrderSearch *search, double share);
/* Packs the order in search->words, if it is a new one that fits the memory, and keeps it if it is
 * the best so far. */
void pw__search_consider (PwOrderSearch *search, const char *method);

/* starts.c */
void pw__search_try_starts (PwOrderSearch *search);
