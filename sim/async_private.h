/* What goes on beside compute: exchanges (REDUCE_GRAD, NORM) and copies of stashes to the host and
 * back (OFFLOAD, RELOAD). A rank has three queues for these, one for exchanges and one for each way
 * to the host, and in each has them done one after another, in the order of its list. Exchanges
 * that several ranks take part in start when all have come to it:
 *
 *   REDUCE_GRAD   the two replicas of a stage, where there are two directions; else the rank alone
 *                 (its peers are the same rank of other pipelines, which do the same)
 *   NORM          all ranks
 *
 * A rank comes to one when all computes before it in its list have ended, to a RELOAD when its
 * OFFLOAD has ended, too. Computes behind it go on, but U waits for the REDUCE_GRAD of its stage,
 * all that reads a stash for its RELOAD, and everything behind a NORM for the NORM. */
#pragma once
#include "sim/layout_private.h"

typedef enum {
  PW_SIM_ASYNC_EXCHANGE,
  PW_SIM_ASYNC_OFFLOAD,
  PW_SIM_ASYNC_RELOAD,
  PW_SIM_ASYNC_QUEUES
} PwSimAsyncQueue;

typedef struct {
  int n, n_groups;
  /* [n] rank after rank, queue after queue, in list order */
  int32_t *id;
  int *group;
  int *start;     /* [ranks * PW_SIM_ASYNC_QUEUES + 1] of a rank's queue */
  int32_t *first; /* [n_groups] id of a member: the group's name */
  int *size;      /* [n_groups] */
  /* Ids by micro-batch, stage and direction; NULL where nothing is offloaded. */
  GHashTable *offloads, *reloads;
} PwSimAsync;

static inline gboolean
pw__sim_is_async (PwAction action) {
  return action.kind >= PW_ACTION_NORM && !pw__sim_is_message (action);
}
static inline PwSimAsyncQueue
pw__sim_async_queue (PwAction action) {
  return action.kind == PW_ACTION_OFFLOAD  ? PW_SIM_ASYNC_OFFLOAD
         : action.kind == PW_ACTION_RELOAD ? PW_SIM_ASYNC_RELOAD
                                           : PW_SIM_ASYNC_EXCHANGE;
}

/* Fails with SCHEDULE where one rank has an exchange of which another rank has none, or a RELOAD
 * has no OFFLOAD. */
PwSimAsync *pw__sim_async_new (const PwSimLayout *layout, GError **error);
void pw__sim_async_free (PwSimAsync *async);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimAsync, pw__sim_async_free)
/* Place of the one with this id on RANK, which has it. */
int pw__sim_async_find (const PwSimAsync *async, int rank, PwAction action, int64_t id);
/* Ids of the OFFLOAD and the RELOAD of the stash that ACTION makes, moves or reads; -1: none. */
int32_t pw__sim_async_offload (const PwSimAsync *async, const PwSimLayout *layout, PwAction action);
int32_t pw__sim_async_reload (const PwSimAsync *async, const PwSimLayout *layout, PwAction action);
/* Reads a stash of its stage: R, B, I. */
static inline gboolean
pw__sim_reads_stash (PwAction action) {
  return action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT
         || action.kind == PW_ACTION_RECOMPUTE;
}
/* Whether there are any: lowering puts exchanges last, and copies wherever there are forwards. */
gboolean pw__sim_async_is_used (const PwSimLayout *layout);
