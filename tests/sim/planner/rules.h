/* What every order has to keep to, and what it is worth, as search.h says it. */
#pragma once
#include "sim/planner/search.h"

#define RULES_RANKS 6
#define RULES_STAGES 6
#define RULES_MICROBATCHES 7

typedef enum { STEP_FORWARD, STEP_INPUT, STEP_WEIGHT, STEP_N } Step;

typedef struct {
  int ranks, stages, microbatches;
  int rank_of[RULES_STAGES];
  double cost[STEP_N][RULES_STAGES];
  double transfer[RULES_STAGES]; /* from stage s to s + 1 and back; 0 within a rank */
  double held[RULES_STAGES], kept[RULES_STAGES], limit[RULES_RANKS];
  /* What a rank's end is counted from: 0, or its first start. That is the same in all orders: no
   * stage can begin before the micro-batch 0 has come through all stages before it, and each of
   * their ranks can do nothing else first. */
  double origin[RULES_RANKS];
} Rules;

/* How often each stage has taken each step. */
typedef struct {
  int done[STEP_N][RULES_STAGES];
} Counts;

void rules_init (Rules *rules, const PwSearchInput *input);
/* Whether step K of stage S may come next in its rank's list: the stage's own order, and memory. */
gboolean rules_allow (const Rules *rules, const Counts *counts, Step k, int s);
/* Whether what it needs from other stages has been made. */
gboolean rules_is_fed (const Rules *rules, const Counts *counts, Step k, int s);
/* Of an order whose ranks end then. */
double rules_value (const Rules *rules, const double *end);
