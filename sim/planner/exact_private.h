#pragma once
#include "sim/planner/order_private.h"

typedef enum {
  PW_EXACT_NONE,   /* no order is shorter */
  PW_EXACT_FOUND,  /* WORDS are the shortest order */
  PW_EXACT_GAVE_UP /* the problem is too large */
} PwExactResult;

/* Looks at every order that ends before VALUE, as long as there are no more than NODES_MAX partial
 * ones to be kept. */
PwExactResult pw__order_exact (const PwOrderProblem *problem, double value, int nodes_max,
                               uint8_t *words);
