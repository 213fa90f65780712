/* From the times of actions to what a result says about ranks. One account per rank, fed with its
 * computes in list order; the same functions serve every engine, so their figures agree. */
#pragma once
#include "sim/layout_private.h"

typedef struct {
  PwSimRank *rank;
  double clock;                   /* end of the last compute */
  double held, peak;              /* activations, in pieces of a chunk */
  int64_t actions, listed, nodes; /* counted ones, all but messages, the same with pairs as one */
  int64_t iteration;              /* of the last action with a micro-batch */
  gboolean has_started;
} PwSimAccount;

typedef struct {
  const PwSimLayout *layout;
  PwSimResult *result;
  double held_by[PW_ACTION_N]; /* what one action of a kind adds to the activations held */
  double *iteration_end;       /* [iterations] */
  PwSimAccount *accounts;      /* [ranks] */
} PwSimSummary;

/* RESULT has times for every action, not set yet. */
PwSimResult *pw__sim_result_new (const PwSimLayout *layout);
void pw__sim_summary_init (PwSimSummary *summary, const PwSimInput *input,
                           const PwSimLayout *layout, PwSimResult *result);
/* Feeds all accounts from the times in the result. */
void pw__sim_summary_read_times (PwSimSummary *summary, const PwSimIndex *index);
/* Totals; clears SUMMARY. */
void pw__sim_summary_finish (PwSimSummary *summary);
/* Drops what was counted so far. */
void pw__sim_summary_reset (PwSimSummary *summary);
void pw__sim_summary_clear (PwSimSummary *summary);

/* Large arrays that are written once from end to end: huge pages where the system has them. */
gpointer pw__sim_alloc (int64_t n, gsize size);

/* Idle from FROM to TO for a message whose producer ended at READY and whose transfer began at
 * SENT. */
static inline void
pw__sim_account_wait (PwSimAccount *account, double from, double to, double ready, double sent) {
  double produced = CLAMP (ready, from, to);
  double begun = CLAMP (sent, produced, to);
  account->rank->idle_by_cause[PW_IDLE_DEPENDENCY] += produced - from;
  account->rank->idle_by_cause[PW_IDLE_QUEUE_HEAD] += begun - produced;
  account->rank->idle_by_cause[PW_IDLE_TRANSFER] += to - begun;
}

/* An action that occupies the rank from START to END. A pair's second action comes with START = END
 * so that its time counts once. */
static inline void
pw__sim_account_action (PwSimSummary *summary, PwSimAccount *account, PwAction action, double start,
                        double end) {
  PwSimRank *rank = account->rank;
  account->held += summary->held_by[action.kind];
  account->peak = MAX (account->peak, account->held);
  account->listed++;
  account->nodes += !action.paired;
  if (action.kind >= PW_ACTION_RECOMPUTE) {
    if (!pw_action_kinds[action.kind].is_compute)
      return;
    if (action.kind == PW_ACTION_RECOMPUTE)
      rank->recompute_time += end - start;
  } else
    account->actions++;
  if (!account->has_started) {
    account->has_started = TRUE;
    rank->first_start = start;
    rank->warmup_idle = start;
  } else if (start > account->clock)
    rank->steady_idle += start - account->clock;
  rank->busy_time += end - start;
  account->clock = end;
  if (summary->layout->iterations > 1) {
    if (action.kind < PW_ACTION_UPDATE)
      account->iteration = pw__sim_iteration (summary->layout, action);
    double *last = &summary->iteration_end[account->iteration];
    *last = MAX (*last, end);
  }
}

/* The two of a pair start together: what the forward adds is there before the backward frees. */
static inline void
pw__sim_account_node (PwSimSummary *summary, PwSimAccount *account, const PwAction *actions,
                      int width, double start, double end) {
  int first = width == 2 && actions[1].kind == PW_ACTION_FORWARD;
  pw__sim_account_action (summary, account, actions[first], start, end);
  if (width == 2)
    pw__sim_account_action (summary, account, actions[1 - first], end, end);
}
