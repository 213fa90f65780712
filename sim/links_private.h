/* The links of one run: when a transfer that could start does start, and when it has ended. OWN
 * links ask nobody; a link of FCFS or FAIR joins two ranks in one direction.
 *
 *   FCFS  one transfer at a time, latency included, in the order in which they could start
 *   FAIR  latency first, alone; then the bytes, sharing the bandwidth (link_private.h) */
#pragma once
#include "sim/heap_private.h"
#include "sim/layout_private.h"

enum { PW_SIM_EVENT_COMPUTE, PW_SIM_EVENT_TRANSFER, PW_SIM_EVENT_FLOW, PW_SIM_EVENT_LINK };

typedef struct PwSimLinks PwSimLinks;
PwSimLinks *pw__sim_links_new (const PwSimLayout *layout, const PwStageCosts *costs,
                               const PwSimDurations *durations, PwSimHeap *heap, double *start,
                               double *end);
void pw__sim_links_free (PwSimLinks *links);
/* The SEND of this id on CHANNEL could start NOW. Its end will be a TRANSFER event with its id. */
void pw__sim_links_begin (PwSimLinks *links, int channel, int32_t send, double now);
/* To be called for every TRANSFER event, */
void pw__sim_links_end (PwSimLinks *links, int channel, double now);
/* and for FLOW and LINK events. */
void pw__sim_links_event (PwSimLinks *links, const PwSimEvent *event);
