/* The links of one run: when a transfer that could start does start, and when it has ended. What a
 * transfer takes is up to four resources (paths_private.h); OWN ones ask nobody.
 *
 *   FCFS  a transfer has all its resources for itself, latency included, and starts when at each
 *         of them all have ended that could start before it could
 *   FAIR  latency first, alone; then the bytes, sharing what they take (link_private.h)
 *
 * Of several that could start at one time the one whose SEND has the lowest id is first: whoever
 * owns the heap hands over what is to start on shared links as READY events, which come behind all
 * others of their time. */
#pragma once
#include "sim/heap_private.h"
#include "sim/layout_private.h"

enum {
  PW_SIM_EVENT_LINK,     /* links: the first flow of a component is through */
  PW_SIM_EVENT_FLOW,     /* links: latency has passed */
  PW_SIM_EVENT_BEGIN,    /* a transfer begins: likewise; where compute pays for it */
  PW_SIM_EVENT_TRANSFER, /* a transfer has ended: id of its SEND, channel in `more` */
  PW_SIM_EVENT_COMPUTE,
  PW_SIM_EVENT_ASYNC, /* a group has ended */
  PW_SIM_EVENT_READY /* a transfer on a shared link could start: likewise */
};

typedef struct PwSimLinks PwSimLinks;
PwSimLinks *pw__sim_links_new (const PwSimLayout *layout, const PwStageCosts *costs,
                               const PwSimDurations *durations, PwSimHeap *heap, double *start,
                               double *end);
void pw__sim_links_free (PwSimLinks *links);
/* Other transfers may be in the way on CHANNEL. */
gboolean pw__sim_links_is_shared (const PwSimLinks *links, int channel);
/* The SEND of this id on CHANNEL could start at NOW, and no other will be said to be able to before
 * that. TRUE: its start and end are set, if later than NOW; else its end will be a TRANSFER event.
 */
gboolean pw__sim_links_begin (PwSimLinks *links, int channel, int32_t send, double now);
/* To be called for FLOW and LINK events. */
void pw__sim_links_event (PwSimLinks *links, const PwSimEvent *event);
