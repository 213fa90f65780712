#pragma once
#include "sim/planner/order_private.h"

typedef struct {
  const double *offset;  /* [rows]; smaller is more urgent */
  double period;         /* what a micro-batch adds */
  double patience;       /* waits for something more urgent as long as this times what starting
                            something else would delay it */
  gboolean is_backwards; /* from the end of time, where offsets and periods grow, too */
  gboolean is_expectant; /* waits for the first micro-batch, too, before it is on its way and as
                            long as it takes */
  gboolean is_bold; /* of two chunks, room is left for the micro-batches that still wait for the
                       second, not for all that hold the first */
} PwDispatchRule;
/* FALSE: stuck. */
gboolean pw__order_dispatch (const PwOrderProblem *problem, const PwDispatchRule *rule,
                             uint8_t *words, PwOrderScratch *scratch);
