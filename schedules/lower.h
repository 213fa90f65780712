/* From the compute level to what runs: adds SEND and RECV for every stage edge that crosses ranks,
 * R where activations are recomputed, and U at the end of a synchronous iteration. */
#pragma once
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef enum { PW_RECOMPUTE_NONE, PW_RECOMPUTE_STAGE, PW_RECOMPUTE_EXCEPT_LAST } PwRecompute;
extern const char *const pw_recompute_names[]; /* NULL-terminated, in enum order */

typedef struct {
  PwPolicy policy;
  gboolean batched;      /* join a send and a receive between two ranks into one group */
  PwRecompute recompute; /* EXCEPT_LAST: not for the last micro-batch of a stage's forward run, whose
                            backward follows at once (torchgpipe) */
  gboolean updates;      /* add U */
} PwLowerOptions;

/* A receive is posted just before its consumer, behind every send that was ready by then, so that a
 * single in-order queue does not hang and a warm-up has no head-of-line bubble; under the queue-less
 * policies the same order is kept. SCHEDULE may be lowered already only if it is to be copied. */
PwSchedule *pw_schedule_lower (const PwSchedule *schedule, const PwStageEdges *edges,
                               const PwLowerOptions *options, GError **error);
/* The opposite: drops messages, R and U. */
PwSchedule *pw_schedule_raise (const PwSchedule *lowered);
