/* Building blocks (arXiv 2405.15362): one micro-batch's actions, repeated every period on every
 * rank without touching each other. */
#pragma once
#include "sim/planner/order_private.h"

typedef struct {
  double period;
  double *offset; /* [rows] when micro-batch 0 starts */
} PwPattern;
void pw__pattern_init (PwPattern *pattern, const PwOrderProblem *problem);
void pw__pattern_clear (PwPattern *pattern);
/* Sends a micro-batch through the stages and back, each action as early as its rank's circle of
 * PERIOD has a gap that leaves room for the rest, but not before DELAYS[pass] after it could; a
 * pass is once through all ranks, 2 * chunks there and back. FALSE where it comes to none. */
gboolean pw__pattern_build (PwPattern *pattern, const PwOrderProblem *problem, double period,
                            const double *delays);
/* The largest share of a rank's limit that the endless repetition takes. */
double pw__pattern_peak (const PwPattern *pattern, const PwOrderProblem *problem);
/* Micro-batch M's actions M periods later, each rank's sorted by time. */
void pw__pattern_unroll (const PwPattern *pattern, const PwOrderProblem *problem, uint8_t *words);
