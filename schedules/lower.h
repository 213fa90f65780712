/* From the compute level to what runs: adds SEND and RECV for every stage edge that crosses ranks,
 * R where activations are recomputed, and at the end of a synchronous iteration REDUCE_GRAD between
 * the two replicas of a stage, and U. */
#pragma once
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef enum { PW_RECOMPUTE_NONE, PW_RECOMPUTE_STAGE, PW_RECOMPUTE_EXCEPT_LAST } PwRecompute;
extern const char *const pw_recompute_names[]; /* NULL-terminated, in enum order */

typedef struct {
  PwPolicy policy;
  gboolean batched; /* join a send with the receive of the answer that comes next from the same rank
                       into one group, at both ends (Megatron-LM's send_forward_recv_backward) */
  PwRecompute recompute; /* EXCEPT_LAST: not for the last micro-batch that a stage forwards, whose
                            backward follows at once in torchgpipe's order */
  const gboolean *recomputed_stages; /* [stages] that have an R at all; NULL: every one */
  /* [stages] whose stashes are copied to the host behind F, and back before the compute that goes
   * before what reads them, R or the gradient; not where fewer than two computes stand between, nor
   * where a stage has R and the micro-batch has none. NULL: none. */
  const gboolean *offloaded_stages;
  /* Add U of each stage at the end of its rank's list, and where it has two replicas REDUCE_GRAD
   * before; only to synchronous training that has none. The next three are of these. */
  gboolean updates;
  gboolean reduces;            /* REDUCE_GRAD of every stage: the pipeline has replicas */
  gboolean overlaps_reduction; /* right behind the stage's last gradient; not of two directions */
  gboolean norms;              /* NORM on every rank, between these and U */
} PwLowerOptions;

/* All messages stand in one order that every list keeps: that in which their data are ready if F,
 * I, W and R take one unit of time, B two and messages none. A send follows its compute directly. A
 * receive is posted before the compute during which its data come (policies that block the program:
 * directly behind that compute), behind every send that was ready by then, and never behind its
 * consumer.
 *
 * Guaranteed, and tested on random graphs: whatever compute schedule runs at all is free of
 * deadlock under every policy, `rendezvous` included, batched or not, whichever policy it was
 * lowered for. With one in-order queue no message waits behind one that is not ready, so the
 * iteration takes no longer than without messages as long as the real times are in those
 * proportions.
 *
 * Fails if the schedule cannot run: MISSING, PLACEMENT, or DEADLOCK with the whole cycle. EDGES
 * NULL: a chain. SCHEDULE may be lowered already only if it is to be copied; bodies are unrolled.
 */
PwSchedule *pw_schedule_lower (const PwSchedule *schedule, const PwStageEdges *edges,
                               const PwLowerOptions *options, GError **error);
/* The opposite: drops messages, R, OFFLOAD, RELOAD, and of synchronous training REDUCE_GRAD, NORM
 * and U. */
PwSchedule *pw_schedule_raise (const PwSchedule *lowered);
