/* Why a rank idles, read from the times of its actions. Before a compute the cause is that of the
 * message that arrived last; without messages of its own in the way, the producer's. A policy that
 * blocks the program makes each message before the compute a cause of its own. Behind an exchange
 * of gradients or norms it is `barrier` until all have come to it, and then `transfer`. */
#include "sim/async_private.h"
#include "sim/summary_private.h"

/* A piece of what lies between two computes; one with the cause of the piece before it makes that
 * longer. */
static void
keep (PwSimSummary *summary, int rank, double start, double end, PwIdleCause cause) {
  GArray *idle = summary->idle;
  if (end <= start)
    return;
  PwTraceIdle *last = idle->len > 0 ? &g_array_index (idle, PwTraceIdle, idle->len - 1) : NULL;
  if (last != NULL && last->rank == rank && last->cause == cause && last->end >= start) {
    last->end = end;
    return;
  }
  PwTraceIdle piece = { .start = start, .end = end, .rank = rank, .cause = cause };
  g_array_append_val (idle, piece);
}

/* As pw__sim_account_wait. */
static void
explain (PwSimSummary *summary, PwSimAccount *account, double from, double to, double ready,
         double sent) {
  pw__sim_account_wait (account, from, to, ready, sent);
  if (summary->idle == NULL)
    return;
  int rank = (int)(account - summary->accounts);
  double produced = CLAMP (ready, from, to), begun = CLAMP (sent, produced, to);
  keep (summary, rank, from, produced, PW_IDLE_DEPENDENCY);
  keep (summary, rank, produced, begun, PW_IDLE_QUEUE_HEAD);
  keep (summary, rank, begun, to, PW_IDLE_TRANSFER);
}

/* End of the compute that made the message, as its sender saw it. */
static double
ready_time (const PwSimSummary *summary, const PwSimIndex *index, PwAction send) {
  const PwSimLayout *layout = summary->layout;
  int port = pw__sim_message_port (layout, send);
  int32_t producer = index->producer[pw__sim_slot (layout, port, send)];
  return producer < 0 ? 0 : summary->result->end[producer];
}

static void
explain_by_arrival (PwSimSummary *summary, const PwSimIndex *index, PwSimAccount *account,
                    const PwAction *actions, int width, double from, double to) {
  const PwSimLayout *layout = summary->layout;
  const PwSimResult *result = summary->result;
  int32_t last = -1;
  for (int i = 0; i < width; i++) {
    if (!pw__sim_has_port (actions[i]))
      continue;
    int port = pw__sim_port (layout, actions[i]);
    for (int k = layout->input_start[port]; k < layout->input_start[port + 1]; k++) {
      int32_t send = index->send[pw__sim_slot (layout, layout->inputs[k], actions[i])];
      if (send >= 0 && (last < 0 || result->end[send] > result->end[last]))
        last = send;
    }
  }
  if (last < 0) {
    explain (summary, account, from, to, to, to);
    return;
  }
  PwAction send = pw__sim_action (layout, pw__sim_rank_of (layout, last), last);
  explain (summary, account, from, to, ready_time (summary, index, send), result->start[last]);
}

/* The messages [first, id) stand between two computes of a rank whose program they stop in turn. */
static void
explain_by_program (PwSimSummary *summary, const PwSimIndex *index, PwSimAccount *account, int rank,
                    int64_t first, int64_t id, double from, double to) {
  const PwSimLayout *layout = summary->layout;
  double until = from;
  for (int64_t m = first; m < id; m++) {
    PwAction action = pw__sim_action (layout, rank, m);
    if (!pw__sim_is_message (action) || summary->result->end[m] <= until)
      continue;
    int channel = pw__sim_channel (layout, action);
    int32_t send = index->send[pw__sim_slot (layout, channel, action)];
    PwAction sent = pw__sim_action (layout, layout->sender[channel], send);
    double end = MIN (summary->result->end[m], to);
    explain (summary, account, until, end, ready_time (summary, index, sent),
             summary->result->start[m]);
    until = end;
  }
  if (to > until)
    explain (summary, account, until, to, to, to);
}

/* Where the exchanges begin that the compute at ID may wait for: U for those since the last U of
 * its stage, others for those since the last compute, from BEHIND_LAST on. */
static int64_t
first_awaited (const PwSimLayout *layout, int rank, int64_t id, int64_t behind_last) {
  PwAction action = pw__sim_action (layout, rank, id);
  if (action.kind != PW_ACTION_UPDATE)
    return behind_last;
  int64_t first = id;
  for (; first > layout->offset[rank]; first--) {
    PwAction before = pw__sim_action (layout, rank, first - 1);
    if (before.kind == PW_ACTION_UPDATE && before.stage == action.stage
        && before.direction == action.direction)
      break;
  }
  return first;
}

static void
add_piece (PwSimSummary *summary, PwSimAccount *account, double from, double to,
           PwIdleCause cause) {
  if (to <= from)
    return;
  account->idle_by_cause[cause] += to - from;
  if (summary->idle != NULL)
    keep (summary, (int)(account - summary->accounts), from, to, cause);
}

static gboolean
is_exchange (PwAction action) {
  return pw__sim_is_async (action) && pw__sim_async_queue (action) == PW_SIM_ASYNC_EXCHANGE;
}

/* FALSE: it is no reload that the compute at ID, idle until TO, waited for. */
static gboolean
explain_by_reload (PwSimSummary *summary, PwSimAccount *account, int rank, int64_t id, double to) {
  const PwSimLayout *layout = summary->layout;
  PwAction reader = pw__sim_action (layout, rank, id);
  if (!pw__sim_reads_stash (reader))
    return FALSE;
  for (int64_t i = id - 1; i >= layout->offset[rank]; i--) {
    PwAction action = pw__sim_action (layout, rank, i);
    gboolean is_own = action.stage == reader.stage && action.microbatch == reader.microbatch
                      && action.direction == reader.direction;
    if (is_own && action.kind == PW_ACTION_FORWARD)
      return FALSE;
    if (!is_own || action.kind != PW_ACTION_RELOAD)
      continue;
    if (summary->result->end[i] < to)
      return FALSE;
    add_piece (summary, account, account->clock, to, PW_IDLE_MEMORY);
    return TRUE;
  }
  return FALSE;
}

/* FALSE: it is no exchange that the compute at ID, idle until TO, waited for. */
static gboolean
explain_by_exchanges (PwSimSummary *summary, PwSimAccount *account, int rank, int64_t first,
                      int64_t id, double to) {
  const PwSimLayout *layout = summary->layout;
  const double *start = summary->result->start, *end = summary->result->end;
  double until = account->clock;
  int64_t last = -1;
  for (int64_t i = first; i < id; i++)
    if (is_exchange (pw__sim_action (layout, rank, i)) && end[i] >= to)
      last = i;
  if (last < 0)
    return FALSE;
  for (int64_t i = first; i <= last; i++) {
    if (!is_exchange (pw__sim_action (layout, rank, i)))
      continue;
    double begun = CLAMP (start[i], until, to), ended = CLAMP (end[i], begun, to);
    add_piece (summary, account, until, begun, PW_IDLE_BARRIER);
    add_piece (summary, account, begun, ended, PW_IDLE_TRANSFER);
    until = ended;
  }
  return TRUE;
}

static void
read_rank (PwSimSummary *summary, const PwSimIndex *index, int rank) {
  const PwSimLayout *layout = summary->layout;
  PwSimAccount *account = &summary->accounts[rank];
  gboolean stops = pw_policies[layout->schedule->policy].blocks_program;
  const double *start = summary->result->start, *end = summary->result->end;
  int64_t behind_last = layout->offset[rank]; /* the first action behind the last compute */
  gboolean has_copies = FALSE;                /* so far */
  for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1];) {
    const PwAction *action = layout->list[rank] + (id - layout->offset[rank]);
    if (pw__sim_is_message (*action)) {
      id++;
      continue;
    }
    has_copies |= action->kind == PW_ACTION_OFFLOAD;
    int width = pw__sim_is_pair (layout, rank, id) ? 2 : 1;
    if (start[id] > account->clock && pw_action_kinds[action->kind].is_compute) {
      int64_t first = first_awaited (layout, rank, id, behind_last);
      gboolean is_said = explain_by_exchanges (summary, account, rank, first, id, start[id]);
      for (int i = 0; has_copies && !is_said && i < width; i++)
        is_said = explain_by_reload (summary, account, rank, id + i, start[id]);
      if (!is_said && stops)
        explain_by_program (summary, index, account, rank, behind_last, id, account->clock,
                            start[id]);
      else if (!is_said)
        explain_by_arrival (summary, index, account, action, width, account->clock, start[id]);
    }
    pw__sim_account_node (summary, account, action, width, start[id], end[id]);
    id += width;
    if (pw_action_kinds[action->kind].is_compute)
      behind_last = id;
  }
}

void
pw__sim_summary_read_times (PwSimSummary *summary, const PwSimIndex *index) {
  for (int rank = 0; rank < summary->layout->ranks; rank++)
    read_rank (summary, index, rank);
}

void
pw__sim_idle_list (const PwSimInput *input, const PwSimLayout *layout, const PwSimIndex *index,
                   const PwSimResult *result, GArray *idle) {
  PwSimResult copy = *result; /* a summary writes into its ranks */
  g_autofree PwSimRank *ranks = copy.rank = g_new0 (PwSimRank, (gsize)layout->ranks);
  PwSimSummary summary;
  pw__sim_summary_init (&summary, input, layout, &copy);
  summary.idle = idle;
  for (int rank = 0; rank < layout->ranks; rank++) {
    read_rank (&summary, index, rank);
    keep (&summary, rank, summary.accounts[rank].clock, result->total_time, PW_IDLE_BARRIER);
  }
  pw__sim_summary_clear (&summary);
}
