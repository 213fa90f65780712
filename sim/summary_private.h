/* From the times of actions to what a result says about ranks. One account per rank, fed with its
 * computes in list order; the same functions serve every engine, so their figures agree. */
#pragma once
#include "sim/layout_private.h"

typedef struct {
  double clock;           /* end of the last compute */
  double held, peak;      /* activations, in pieces of a chunk */
  double busy, recompute; /* time */
  double warmup, steady;  /* idle time */
  double idle_by_cause[PW_IDLE_N];
  int64_t actions, listed, pairs; /* counted ones; all but messages; pairs among them */
  int64_t iteration;              /* of the last action with a micro-batch */
  gboolean has_started;
} PwSimAccount;

typedef struct {
  const PwSimLayout *layout;
  PwSimResult *result;
  double held_by[PW_ACTION_N]; /* what one action of a kind adds to the activations held */
  double *iteration_end;       /* [iterations] */
  PwSimAccount *accounts;      /* [ranks] */
  GArray *idle;                /* PwTraceIdle, as read from times; NULL: not wanted */
} PwSimSummary;

/* RESULT has times for every action, not set yet. */
PwSimResult *pw__sim_result_new (const PwSimLayout *layout);
void pw__sim_summary_init (PwSimSummary *summary, const PwSimInput *input,
                           const PwSimLayout *layout, PwSimResult *result);
/* Feeds all accounts from the times in the result. */
void pw__sim_summary_read_times (PwSimSummary *summary, const PwSimIndex *index);
/* All idle time of a result, piece by piece, appended to IDLE. */
void pw__sim_idle_list (const PwSimInput *input, const PwSimLayout *layout, const PwSimIndex *index,
                        const PwSimResult *result, GArray *idle);
/* Totals; clears SUMMARY. */
void pw__sim_summary_finish (PwSimSummary *summary);
/* Drops what was counted so far. */
void pw__sim_summary_reset (PwSimSummary *summary);
void pw__sim_summary_clear (PwSimSummary *summary);

/* Idle from FROM to TO for a message whose producer ended at READY and whose transfer began at
 * SENT. */
static inline void
pw__sim_account_wait (PwSimAccount *account, double from, double to, double ready, double sent) {
  double produced = CLAMP (ready, from, to);
  double begun = CLAMP (sent, produced, to);
  account->idle_by_cause[PW_IDLE_DEPENDENCY] += produced - from;
  account->idle_by_cause[PW_IDLE_QUEUE_HEAD] += begun - produced;
  account->idle_by_cause[PW_IDLE_TRANSFER] += to - begun;
}

/* What counts an action, whenever it is. */
static G_ALWAYS_INLINE inline void
pw__sim_account_listed (const PwSimSummary *summary, PwSimAccount *account, PwActionKind kind) {
  account->held += summary->held_by[kind];
  account->peak = MAX (account->peak, account->held);
  account->listed++;
  account->actions += kind < PW_ACTION_RECOMPUTE;
}

/* An action that occupies the rank from START to END. A pair's second action comes with START = END
 * so that its time counts once. */
static G_ALWAYS_INLINE inline void
pw__sim_account_times (PwSimSummary *summary, PwSimAccount *account, const PwAction *action,
                       double start, double end) {
  PwActionKind kind = (PwActionKind)action->kind;
  if (kind >= PW_ACTION_RECOMPUTE) {
    if (!pw_action_kinds[kind].is_compute)
      return;
    if (kind == PW_ACTION_RECOMPUTE)
      account->recompute += end - start;
  }
  if (start > account->clock) {
    if (account->has_started)
      account->steady += start - account->clock;
    else
      account->warmup = start;
  }
  account->has_started = TRUE;
  account->busy += end - start;
  account->clock = end;
  if (summary->layout->iterations > 1) {
    if (kind < PW_ACTION_UPDATE)
      account->iteration = pw__sim_iteration (summary->layout, *action);
    double *last = &summary->iteration_end[account->iteration];
    *last = MAX (*last, end);
  }
}

/* The two of a pair start together: what the forward adds is there before the backward frees. */
static G_ALWAYS_INLINE inline int
pw__sim_first_of (const PwAction *actions, int width) {
  return width == 2 && actions[1].kind == PW_ACTION_FORWARD;
}

static G_ALWAYS_INLINE inline void
pw__sim_account_node_listed (const PwSimSummary *summary, PwSimAccount *account,
                             const PwAction *actions, int width) {
  int first = pw__sim_first_of (actions, width);
  pw__sim_account_listed (summary, account, (PwActionKind)actions[first].kind);
  if (width == 2) {
    pw__sim_account_listed (summary, account, (PwActionKind)actions[1 - first].kind);
    account->pairs++;
  }
}

static G_ALWAYS_INLINE inline void
pw__sim_account_node_times (PwSimSummary *summary, PwSimAccount *account, const PwAction *actions,
                            int width, double start, double end) {
  int first = pw__sim_first_of (actions, width);
  pw__sim_account_times (summary, account, &actions[first], start, end);
  if (width == 2)
    pw__sim_account_times (summary, account, &actions[1 - first], end, end);
}

static G_ALWAYS_INLINE inline void
pw__sim_account_node (PwSimSummary *summary, PwSimAccount *account, const PwAction *actions,
                      int width, double start, double end) {
  pw__sim_account_node_listed (summary, account, actions, width);
  pw__sim_account_node_times (summary, account, actions, width, start, end);
}
