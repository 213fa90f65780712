/* Where messages are drawn: which lane of its rank, and which arrow it belongs to. */
#pragma once
#include "traces/trace_private.h"

#define PW__FLOW_NONE (-1)

/* Slices of one viewer thread must nest, and messages of different edges overlap; so a rank's sends
 * get as many lanes as are under way at once, and its receives too. */
typedef struct {
  int *lane;        /* [records]; 0 for what is no message */
  int64_t *partner; /* [records]; a send's receive and the reverse, else NONE */
  GArray *n_lanes;  /* int [2 * ranks]: of the sends and the receives of each rank */
} PwTraceFlows;

void pw__trace_flows_init (PwTraceFlows *flows, const PwTrace *trace);
void pw__trace_flows_clear (PwTraceFlows *flows);
