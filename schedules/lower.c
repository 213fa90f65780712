/* PwLowering plays the compute schedule once, tick by tick (F, I, W, R take 1, B takes 2, messages
 * nothing). The moment a compute ends, each of its messages is appended to both ends' lists at
 * once:
 *
 *   1F1B, P = 2, M = 3                                      one shared order of messages
 *   tick     0   1   2   3   4   5   6   7   8   9  10
 *   rank 0 | F0  F1  .   .   B0----  F2  B1----  .  ..      F0>  F1>  <B0  F2> ...
 *   rank 1 | .   F0  B0----  F1  B1----  ...                >F0  >F1  B0>  >F2 ...
 *
 * So there is one total order of all messages that every rank's list keeps, and with it every queue
 * cut out of the lists; each message stands behind the compute that makes it and before the one
 * that needs it. The earliest message not yet transferred is then at the head of both its queues,
 * and both programs have reached it: no policy can hang, the blocking one included. Since the order
 * is that in which messages become ready, a single queue has no head-of-line bubble either, as long
 * as the real times are in the proportion of the ticks.
 *
 * A rank in the midst of a compute gets the receive into its list before that compute, so that it
 * is posted when the data come. Where SEND and RECV block the program it gets it behind that
 * compute, or it would stand still for data it does not need yet. */
#include "schedules/lower_machine_private.h"
#include "schedules/lower_offload_private.h"
#include "schedules/lower_updates_private.h"

const char *const pw_recompute_names[] = { [PW_RECOMPUTE_NONE] = "none",
                                           [PW_RECOMPUTE_STAGE] = "stage",
                                           [PW_RECOMPUTE_EXCEPT_LAST] = "except-last",
                                           NULL };

static inline uint8_t *
done_of (const PwLowering *l, const PwAction *at) {
  return &l->done[(int64_t)at->stage * l->stride + at->microbatch];
}

static gboolean
needs_recompute (const PwLowering *l, const PwAction *at) {
  const gboolean *stages = l->options->recomputed_stages;
  if (!pw__action_is_backward (*at) || (*done_of (l, at) & PW_LOWER_RECOMPUTE) != 0
      || (stages != NULL && !stages[at->stage]))
    return FALSE;
  int pieces = l->schedule->pieces, last = l->last_forward[pw__lower_place_of (l, at)];
  return l->options->recompute == PW_RECOMPUTE_STAGE
         || (int)at->microbatch / pieces != last / pieces;
}

/* Fills RUNNING with what comes next: an action, a pair, or the recomputation that goes before. */
static inline gboolean
take_next (const PwLowering *l, PwLowerRank *rank) {
  int n = rank->next->paired && rank->next + 1 < rank->end ? 2 : 1;
  for (int i = 0; i < n && l->recomputes; i++)
    if (needs_recompute (l, &rank->next[i])) {
      rank->recompute = rank->next[i];
      rank->recompute.kind = PW_ACTION_RECOMPUTE;
      rank->recompute.paired = 0;
      rank->running = &rank->recompute;
      rank->n_running = 1;
      return TRUE;
    }
  if (pw__lower_awaited_need (l, rank->next) != NULL
      || (n == 2 && pw__lower_awaited_need (l, rank->next + 1) != NULL))
    return FALSE;
  rank->running = rank->next;
  rank->next += n;
  rank->n_running = n;
  return TRUE;
}

static inline unsigned
ticks_of (const PwLowering *l, const PwAction *at) {
  return l->ways[pw_action_key (at)].ticks;
}

static inline void
append_running (PwLowerRank *rank) {
  *rank->out++ = rank->running[0];
  if (G_UNLIKELY (rank->n_running == 2))
    *rank->out++ = rank->running[1];
}

static inline void
start (PwLowering *l, PwLowerRank *rank) {
  rank->state = RESTING;
  __builtin_prefetch (rank->next + AHEAD);
  __builtin_prefetch (rank->out + AHEAD, 1);
  while (rank->next < rank->end && ticks_of (l, rank->next) == 0)
    *rank->out++ = *rank->next++;
  if (rank->next == rank->end || !take_next (l, rank))
    return;
  if (l->appends_at_start)
    append_running (rank);
  rank->state = RUNNING;
  unsigned ticks = ticks_of (l, &rank->running[0]);
  if (G_UNLIKELY (rank->n_running == 2))
    ticks += ticks_of (l, &rank->running[1]);
  unsigned end = (l->tick + ticks) % PW_LOWER_TICKS;
  l->ending[end][l->n_ending[end]++] = rank;
  l->n_running++;
}

/* Does COMPUTE use what the receive MESSAGE brings? */
static gboolean
consumes (PwAction compute, PwAction message) {
  gboolean kind = pw__action_is_gradient (message) ? pw__action_is_backward (compute)
                                                   : compute.kind == PW_ACTION_FORWARD;
  return kind && compute.stage == message.stage && compute.microbatch == message.microbatch;
}

/* Megatron-LM's send_forward_recv_backward: rank TO has just sent to FROM, and nothing happened
 * since but the compute whose result FROM now sends back. The two messages become one group at both
 * ends, at the later one's time:
 *
 *   to:   ... SEND_A                 ->  ... (SEND_A RECV_B)
 *   from: ... RECV_A compute         ->  ... compute (RECV_A SEND_B)     */
static gboolean
join (PwLowerRank *from, PwLowerRank *to, PwAction send, PwAction recv) {
  if (to->out - to->list < 1 || from->out - from->list < 1)
    return FALSE;
  PwAction *sent = to->out - 1;
  PwAction *received = from->out - 1;
  gboolean moves = !pw__action_is_message (*received) && received > from->list;
  if (moves)
    received--;
  if (!pw__action_is_send (*sent) || !pw__action_is_message (*received)
      || pw__action_is_send (*received) || sent->edge != received->edge
      || sent->microbatch != received->microbatch
      || pw__action_is_gradient (*sent) != pw__action_is_gradient (*received))
    return FALSE;
  if ((sent > to->list && sent[-1].grouped) || (received > from->list && received[-1].grouped))
    return FALSE;
  if (moves) {
    if (consumes (received[1], *received))
      return FALSE;
    PwAction message = *received;
    received[0] = received[1];
    received[1] = message;
    received++;
  }
  sent->grouped = received->grouped = 1;
  *to->out++ = recv;
  *from->out++ = send;
  return TRUE;
}

static inline void
queue_if_idle (PwLowering *l, PwLowerRank *rank) {
  gboolean queues = rank->state == RESTING;
  l->idle[l->n_idle] = rank;
  l->n_idle += queues;
  rank->state = queues ? QUEUED : rank->state;
}

/* A message that lacks its micro-batch, with that of the compute AT. */
static inline PwAction
message_of (uint64_t bits, const PwAction *at) {
  static const PwAction microbatch = { .microbatch = 0xffffff };
  bits |= pw_action_bits (at) & pw_action_bits (&microbatch);
  PwAction message;
  memcpy (&message, &bits, sizeof message);
  return message;
}

/* The compute AT has ended: its messages go out, who waits for them may start. */
static inline void
publish (PwLowering *l, PwLowerRank *from, const PwAction *at) {
  const PwLowerRow *row = pw__lower_row_of (&l->ways[pw_action_key (at)], at);
  for (const PwLowerPort *port = row->ports; port < row->ports_end; port++) {
    PwAction send = message_of (port->send, at), recv = message_of (port->recv, at);
    if (!l->batched || !join (from, port->to, send, recv)) {
      *from->out++ = send;
      *port->to->out++ = recv;
    }
    queue_if_idle (l, port->to);
  }
}

static inline void
set_done (const PwLowering *l, const PwAction *at) {
  const PwLowerWay *way = &l->ways[pw_action_key (at)];
  pw__lower_row_of (way, at)->done[at->microbatch] |= way->done;
}

static inline void
finish (PwLowering *l, PwLowerRank *rank) {
  const PwAction *at = rank->running;
  gboolean is_pair = rank->n_running == 2;
  if (!l->appends_at_start)
    append_running (rank);
  set_done (l, &at[0]);
  if (G_UNLIKELY (is_pair))
    set_done (l, &at[1]);
  publish (l, rank, &at[0]);
  if (G_UNLIKELY (is_pair))
    publish (l, rank, &at[1]);
  rank->state = RESTING;
  l->n_running--;
  queue_if_idle (l, rank);
}

static void
play (PwLowering *l) {
  for (int rank = 0; rank < l->schedule->ranks; rank++)
    start (l, &l->ranks[rank]);
  while (l->n_running > 0) {
    l->tick = (l->tick + 1) % PW_LOWER_TICKS;
    for (int i = 0; i < l->n_ending[l->tick]; i++)
      finish (l, l->ending[l->tick][i]);
    l->n_ending[l->tick] = 0;
    for (int i = 0; i < l->n_idle; i++)
      start (l, l->idle[i]);
    l->n_idle = 0;
    if (G_UNLIKELY (++l->n_ticks >= l->look_at))
      pw__lower_look_for_round (l);
  }
  pw__lower_forget_round (l);
}

static PwSchedule *
take_lowered (PwLowering *l) {
  PwSchedule *lowered = g_steal_pointer (&l->lowered);
  lowered->is_lowered = TRUE;
  lowered->policy = l->options->policy;
  lowered->batched = l->options->batched;
  for (int rank = 0; rank < lowered->ranks; rank++)
    lowered->programs[rank].n_prologue = l->ranks[rank].out - l->ranks[rank].list;
  return lowered;
}

static PwSchedule *
run (PwLowering *l, GError **error) {
  if (!pw__lower_count_actions (l, error))
    return NULL;
  pw__lower_allocate_lists (l);
  play (l);
  if (!pw__lower_check_finished (l, error))
    return NULL;
  PwSchedule *lowered = take_lowered (l);
  if (l->adds_updates)
    pw__lower_append_updates (lowered, l->options);
  if (l->options->offloaded_stages != NULL && lowered->mode == PW_MODE_TRAINING)
    pw__lower_add_offloads (lowered, l->options);
  return lowered;
}

static gboolean
check_placement (const PwPlacement *placement, GError **error) {
  for (int place = 0; place < placement->directions * placement->stages; place++)
    if (placement->rank_of_stage[place] < 0) {
      g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_MISSING, "stage %d is on no rank",
                   place % placement->stages);
      return FALSE;
    }
  return TRUE;
}

/* Joined messages are moved after they were appended, and the last micro-batch is like no other. */
static gboolean
can_repeat (const PwLowerOptions *options) {
  return !options->batched && options->recompute != PW_RECOMPUTE_EXCEPT_LAST;
}

static PwSchedule *
lower_plain (const PwSchedule *schedule, const PwStageEdges *edges, const PwLowerOptions *options,
             gboolean repeats, int *rank, int64_t *action, GError **error) {
  if (!check_placement (schedule->placement, error))
    return NULL;
  int ranks = schedule->ranks, places = schedule->placement->directions * schedule->stages;
  PwLowering l = {
    .schedule = schedule,
    .edges = edges,
    .options = options,
    .crossings = pw__crossings_new (schedule->placement, edges),
    .appends_at_start = pw_policies[options->policy].blocks_program,
    .batched = options->batched,
    .recomputes = options->recompute != PW_RECOMPUTE_NONE,
    .slots = pw__schedule_slots (schedule),
    .stride = ((pw__schedule_slots (schedule) / 64 + 1) | 1) * 64,
    .ranks = g_new0 (PwLowerRank, (gsize)ranks),
    .idle = g_new (PwLowerRank *, (gsize)(ranks + 1)),
    .n_forward = g_new0 (int64_t, (gsize)places),
    .n_gradient = g_new0 (int64_t, (gsize)places),
    .n_update = g_new0 (int64_t, (gsize)places),
    .n_other = g_new0 (int64_t, (gsize)places),
    .last_forward = g_new0 (int, (gsize)places),
    .look_at = repeats && can_repeat (options) ? 2 * ranks : G_MAXINT64,
    .stuck_rank = -1,
    .stuck_action = -1,
  };
  for (int i = 0; i < PW_LOWER_TICKS; i++)
    l.ending[i] = g_new (PwLowerRank *, (gsize)ranks);
  gsize bytes = (gsize)(schedule->stages * l.stride);
  l.done = memset (pw_block_new (bytes), 0, bytes);
  pw__lower_make_ways (&l);
  PwSchedule *lowered = run (&l, error);
  *rank = l.stuck_rank;
  *action = l.stuck_action;
  pw__lower_clear_ways (&l);
  for (int i = 0; i < PW_LOWER_TICKS; i++)
    g_free (l.ending[i]);
  pw_schedule_free (l.lowered);
  g_free (l.last_forward);
  g_free (l.n_other);
  g_free (l.n_update);
  g_free (l.n_gradient);
  g_free (l.n_forward);
  g_free (l.idle);
  g_free (l.ranks);
  pw_block_free (l.done);
  pw__crossings_free (l.crossings);
  return lowered;
}

static PwSchedule *
lower (const PwSchedule *schedule, const PwStageEdges *edges, const PwLowerOptions *options,
       gboolean repeats, int *rank, int64_t *action, GError **error) {
  *rank = -1;
  *action = -1;
  if (schedule->is_lowered)
    return pw_schedule_copy (schedule);
  g_autoptr (PwStageEdges) chain
      = edges == NULL ? pw_stage_edges_new_chain (schedule->stages) : NULL;
  g_autoptr (PwSchedule) owned = NULL;
  const PwSchedule *plain = pw__schedule_plain (schedule, &owned, error);
  if (plain == NULL)
    return NULL;
  return lower_plain (plain, edges != NULL ? edges : chain, options, repeats, rank, action, error);
}

PwSchedule *
pw__schedule_lower_at (const PwSchedule *schedule, const PwStageEdges *edges,
                       const PwLowerOptions *options, int *rank, int64_t *action, GError **error) {
  return lower (schedule, edges, options, TRUE, rank, action, error);
}

PwSchedule *
pw__schedule_lower_by_playing (const PwSchedule *schedule, const PwStageEdges *edges,
                               const PwLowerOptions *options, GError **error) {
  int rank;
  int64_t action;
  return lower (schedule, edges, options, FALSE, &rank, &action, error);
}

PwSchedule *
pw_schedule_lower (const PwSchedule *schedule, const PwStageEdges *edges,
                   const PwLowerOptions *options, GError **error) {
  int rank;
  int64_t action;
  return lower (schedule, edges, options, TRUE, &rank, &action, error);
}

PwSchedule *
pw_schedule_raise (const PwSchedule *lowered) {
  PwSchedule *raised = pw_schedule_copy (lowered);
  raised->is_lowered = FALSE;
  raised->policy = PW_POLICY_DEFAULT;
  raised->batched = FALSE;
  for (int rank = 0; rank < raised->ranks; rank++) {
    PwProgram *program = &raised->programs[rank];
    int64_t *lengths[] = { &program->n_prologue, &program->n_body, &program->n_epilogue };
    const PwAction *from = program->actions;
    PwAction *out = program->actions;
    for (gsize part = 0; part < G_N_ELEMENTS (lengths); part++) {
      PwAction *start_of_part = out;
      for (int64_t i = 0; i < *lengths[part]; i++, from++)
        if (!pw__action_is_message (*from) && from->kind != PW_ACTION_RECOMPUTE
            && from->kind != PW_ACTION_OFFLOAD && from->kind != PW_ACTION_RELOAD
            && ((from->kind != PW_ACTION_UPDATE && from->kind != PW_ACTION_REDUCE_GRADIENT
                 && from->kind != PW_ACTION_NORM)
                || !lowered->promise.synchronous))
          *out++ = *from;
      *lengths[part] = out - start_of_part;
    }
  }
  return raised;
}
