/* Lowering plays the compute schedule once, tick by tick (F, I, W, R take 1, B takes 2, messages
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
#include "schedules/block.h"
#include "schedules/lower_private.h"
#include "schedules/lower_offload_private.h"
#include "schedules/lower_updates_private.h"
#include "schedules/messages_private.h"
#include "schedules/schedule_private.h"

#define TICKS 8 /* more than the longest block of actions takes */

/* How far ahead of use the lists are fetched: hundreds of ranks side by side are more streams than
 * the processor follows by itself. */
#define AHEAD 16

/* What is done of a (stage, micro-batch). */
enum { DONE_FORWARD = 1, DONE_GRADIENT = 2, DONE_RECOMPUTE = 4 };

/* Forwards and backwards mirror each other: F waits for producers and tells consumers, B the other
 * way round. One code for both, led by tables: F and B come in no order a branch could learn. */
typedef enum { FLOW_FORWARD, FLOW_BACKWARD, FLOW_N, FLOW_NONE = FLOW_N } Flow;

typedef struct {
  uint8_t ticks; /* 0: takes no time and waits for nothing */
  uint8_t flow;
  uint8_t done; /* of the stages that one of a flow waits for the same */
} Kind;
static const Kind kinds[PW_ACTION_N] = {
  [PW_ACTION_FORWARD] = { .ticks = 1, .flow = FLOW_FORWARD, .done = DONE_FORWARD },
  [PW_ACTION_BACKWARD] = { .ticks = 2, .flow = FLOW_BACKWARD, .done = DONE_GRADIENT },
  [PW_ACTION_INPUT_GRADIENT] = { .ticks = 1, .flow = FLOW_BACKWARD, .done = DONE_GRADIENT },
  [PW_ACTION_WEIGHT_GRADIENT] = { .ticks = 1, .flow = FLOW_NONE },
  [PW_ACTION_RECOMPUTE] = { .ticks = 1, .flow = FLOW_NONE, .done = DONE_RECOMPUTE },
};
static const uint8_t send_of_flow[FLOW_N]
    = { [FLOW_FORWARD] = PW_ACTION_SEND_FORWARD, [FLOW_BACKWARD] = PW_ACTION_SEND_BACKWARD };
static const uint8_t recv_of_flow[FLOW_N]
    = { [FLOW_FORWARD] = PW_ACTION_RECV_FORWARD, [FLOW_BACKWARD] = PW_ACTION_RECV_BACKWARD };

typedef struct {
  const PwAction *next, *end; /* of the compute list */
  PwAction *out;              /* of the lowered one: the next to be written */
  PwAction *list;
  const PwAction *running; /* an action, a pair, or `recompute` */
  PwAction recompute;
  int n_running;
  enum { RESTING, QUEUED /* stands in `idle` */, RUNNING } state;
} Rank;

/* A message ready to be written but for its micro-batch, and the rank that gets it. */
typedef struct {
  uint64_t send, recv; /* bits of actions */
  Rank *to;
} Port;

/* Of one flow and (direction, stage): whom it waits for and where it sends to. */
typedef struct {
  uint8_t *done;                /* [slots] of this stage */
  uint8_t **needs, **needs_end; /* `done` of those it waits for */
  const Port *ports, *ports_end;
} Row;

/* How actions of one key are played. */
typedef struct {
  const Row *rows; /* [stages] */
  uint8_t ticks, done;
} Way;

const char *const pw_recompute_names[] = { [PW_RECOMPUTE_NONE] = "none",
                                           [PW_RECOMPUTE_STAGE] = "stage",
                                           [PW_RECOMPUTE_EXCEPT_LAST] = "except-last",
                                           NULL };

typedef struct {
  const PwSchedule *schedule;
  const PwStageEdges *edges;
  const PwLowerOptions *options;
  PwCrossings *crossings;
  Row *rows[FLOW_N + 1]; /* [directions * stages], of each flow and of none */
  Port *ports[FLOW_N];
  uint8_t **needs[FLOW_N];
  Way ways[PW_ACTION_KEYS];
  PwSchedule *lowered;       /* being written */
  gboolean appends_at_start; /* a compute, else at its end */
  gboolean batched, recomputes;
  gboolean adds_updates;
  int64_t slots;
  int64_t stride; /* of a row of `done`: some more, or all rows would share a few cache sets */
  uint8_t *done;  /* [stages][stride] */
  Rank *ranks;
  int n_running;
  Rank **idle; /* those that may be able to start something */
  int n_idle;
  Rank **ending[TICKS]; /* those whose action ends at a tick modulo TICKS */
  int n_ending[TICKS];
  unsigned tick;
  /* Of each (direction, stage). */
  int64_t *n_forward, *n_gradient, *n_update, *n_other;
  int *last_forward; /* micro-batch times pieces */
  /* Where it failed. */
  int stuck_rank;
  int64_t stuck_action;
} Lowering;

static inline int
place_of (const Lowering *l, const PwAction *at) {
  return (int)at->direction * l->schedule->stages + (int)at->stage;
}

static inline uint8_t *
done_of (const Lowering *l, const PwAction *at) {
  return &l->done[(int64_t)at->stage * l->stride + at->microbatch];
}

static gboolean
refuse (GError **error, PwScheduleError code, int rank, int64_t index, const char *text) {
  g_set_error (error, PW_SCHEDULE_ERROR, code, "rank %d, action %" G_GINT64_FORMAT ": %s", rank,
               index, text);
  return FALSE;
}

static gboolean
refuse_action (const Lowering *l, int rank, const PwAction *at, GError **error) {
  char text[PW_ACTION_TEXT_MAX];
  return refuse (error, PW_SCHEDULE_ERROR_PLACEMENT, rank, at - l->schedule->programs[rank].actions,
                 pw__action_is_message (*at) ? "a message in a compute schedule"
                                             : pw_action_format (*at, text));
}

/* Everything the arrays below rely on. */
static inline gboolean
is_on_rank (const Lowering *l, int rank, const PwAction *at) {
  const PwPlacement *placement = l->schedule->placement;
  g_assert (at->kind < PW_ACTION_N);
  if (at->kind == PW_ACTION_NORM)
    return TRUE;
  return !pw__action_is_message (*at) && (int)at->stage < placement->stages
         && at->microbatch < l->slots && (int)at->direction < placement->directions
         && pw_placement_rank (placement, at->direction, at->stage) == rank;
}

/* What is counted of the actions of one key: [stages] of a direction. */
typedef struct {
  int64_t *of_stage;
  const int *ranks; /* [stages] which may have it */
} Count;

/* The first action that is not as it should be; NULL: all are. */
static const PwAction *
count_rank (const Lowering *l, int rank, const Count counts[PW_ACTION_KEYS]) {
  const PwProgram *program = &l->schedule->programs[rank];
  const PwAction *stop = program->actions + program->n_prologue;
  uint32_t stages = (uint32_t)l->schedule->stages, slots = (uint32_t)l->slots;
  for (const PwAction *at = program->actions; at < stop; at++) {
    const Count *count = &counts[pw_action_key (at)];
    if (G_LIKELY (count->of_stage != NULL && at->stage < stages && at->microbatch < slots
                  && count->ranks[at->stage] == rank))
      count->of_stage[at->stage]++;
    else if (!is_on_rank (l, rank, at))
      return at;
  }
  return NULL;
}

/* Counters of each (kind, direction, stage), those of kinds alike together. */
static void
make_counts (Lowering *l, Count counts[PW_ACTION_KEYS]) {
  const PwPlacement *placement = l->schedule->placement;
  for (int kind = 0; kind <= PW_ACTION_UPDATE; kind++)
    for (int direction = 0; direction < placement->directions; direction++)
      for (int flags = 0; flags < 4; flags++) {
        PwAction action = pw_action ((PwActionKind)kind, 0, 0);
        action.direction = direction != 0;
        action.paired = flags % 2 != 0;
        action.grouped = flags / 2 != 0;
        int64_t *of_kind = kind == PW_ACTION_FORWARD         ? l->n_forward
                           : pw__action_is_backward (action) ? l->n_gradient
                           : kind == PW_ACTION_UPDATE        ? l->n_update
                                                             : l->n_other;
        counts[pw_action_key (&action)]
            = (Count){ .of_stage = of_kind + direction * placement->stages,
                       .ranks = placement->rank_of_stage + direction * placement->stages };
      }
}

/* Of each stage the micro-batch that it forwards last, which need not be recomputed. */
static void
find_last_forwards (Lowering *l) {
  for (int rank = 0; rank < l->schedule->ranks; rank++) {
    const PwProgram *program = &l->schedule->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++)
      if (program->actions[i].kind == PW_ACTION_FORWARD)
        l->last_forward[place_of (l, &program->actions[i])] = (int)program->actions[i].microbatch;
  }
}

static gboolean
count_actions (Lowering *l, GError **error) {
  const PwSchedule *schedule = l->schedule;
  int64_t forwards = 0, updates = 0;
  g_autofree Count *counts = g_new0 (Count, PW_ACTION_KEYS);
  make_counts (l, counts);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwAction *bad = count_rank (l, rank, counts);
    if (bad != NULL)
      return refuse_action (l, rank, bad, error);
  }
  for (int place = 0; place < schedule->placement->directions * schedule->stages; place++) {
    forwards += l->n_forward[place];
    updates += l->n_update[place];
  }
  if (l->recomputes)
    find_last_forwards (l);
  l->adds_updates = l->options->updates && updates == 0 && schedule->promise.synchronous
                    && schedule->mode == PW_MODE_TRAINING;
  if (forwards == schedule->stages * l->slots)
    return TRUE;
  g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_MISSING,
               "%d stages times %" G_GINT64_FORMAT " micro-batches need %" G_GINT64_FORMAT
               " forwards, the schedule has %" G_GINT64_FORMAT,
               schedule->stages, l->slots, schedule->stages * l->slots, forwards);
  return FALSE;
}

/* One allocation per rank, sized before anything is written. */
static void
allocate_lists (Lowering *l) {
  const PwSchedule *schedule = l->schedule;
  const PwPlacement *placement = schedule->placement;
  g_autofree int64_t *length = g_new0 (int64_t, (gsize)schedule->ranks);
  for (int rank = 0; rank < schedule->ranks; rank++)
    length[rank] = schedule->programs[rank].n_prologue;
  for (int place = 0; place < placement->directions * schedule->stages; place++) {
    int rank = placement->rank_of_stage[place];
    const PwPorts *consumers = &l->crossings->consumers, *producers = &l->crossings->producers;
    for (int k = consumers->start[place]; k < consumers->start[place + 1]; k++) {
      length[rank] += l->n_forward[place];
      length[consumers->ports[k].rank] += l->n_forward[place];
    }
    for (int k = producers->start[place]; k < producers->start[place + 1]; k++) {
      length[rank] += l->n_gradient[place];
      length[producers->ports[k].rank] += l->n_gradient[place];
    }
    if (l->options->recompute != PW_RECOMPUTE_NONE)
      length[rank] += l->n_gradient[place];
  }
  if (l->adds_updates)
    pw__lower_count_updates (placement, l->options, length);
  l->lowered = pw__schedule_copy_head (schedule);
  pw_schedule_new_lists (l->lowered, length);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    PwAction *list = l->lowered->programs[rank].actions;
    l->ranks[rank] = (Rank){ .next = program->actions,
                             .end = program->actions + program->n_prologue,
                             .list = list,
                             .out = list };
  }
}

static inline const Row *
row_of (const Way *way, const PwAction *at) {
  return &way->rows[at->stage];
}

/* Where in its row's needs stands what the compute AT still waits for; NULL: nothing. */
static inline uint8_t **
awaited_need (const Lowering *l, const PwAction *at) {
  const Way *way = &l->ways[pw_action_key (at)];
  const Row *row = row_of (way, at);
  for (uint8_t **need = row->needs; need < row->needs_end; need++)
    if (((*need)[at->microbatch] & way->done) == 0)
      return need;
  return NULL;
}

static gboolean
needs_recompute (const Lowering *l, const PwAction *at) {
  const gboolean *stages = l->options->recomputed_stages;
  if (!pw__action_is_backward (*at) || (*done_of (l, at) & DONE_RECOMPUTE) != 0
      || (stages != NULL && !stages[at->stage]))
    return FALSE;
  int pieces = l->schedule->pieces, last = l->last_forward[place_of (l, at)];
  return l->options->recompute == PW_RECOMPUTE_STAGE
         || (int)at->microbatch / pieces != last / pieces;
}

/* Fills RUNNING with what comes next: an action, a pair, or the recomputation that goes before. */
static inline gboolean
take_next (const Lowering *l, Rank *rank) {
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
  if (awaited_need (l, rank->next) != NULL || (n == 2 && awaited_need (l, rank->next + 1) != NULL))
    return FALSE;
  rank->running = rank->next;
  rank->next += n;
  rank->n_running = n;
  return TRUE;
}

static inline unsigned
ticks_of (const Lowering *l, const PwAction *at) {
  return l->ways[pw_action_key (at)].ticks;
}

static inline void
append_running (Rank *rank) {
  *rank->out++ = rank->running[0];
  if (G_UNLIKELY (rank->n_running == 2))
    *rank->out++ = rank->running[1];
}

static inline void
start (Lowering *l, Rank *rank) {
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
  unsigned end = (l->tick + ticks) % TICKS;
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
join (Rank *from, Rank *to, PwAction send, PwAction recv) {
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
queue_if_idle (Lowering *l, Rank *rank) {
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
publish (Lowering *l, Rank *from, const PwAction *at) {
  const Row *row = row_of (&l->ways[pw_action_key (at)], at);
  for (const Port *port = row->ports; port < row->ports_end; port++) {
    PwAction send = message_of (port->send, at), recv = message_of (port->recv, at);
    if (!l->batched || !join (from, port->to, send, recv)) {
      *from->out++ = send;
      *port->to->out++ = recv;
    }
    queue_if_idle (l, port->to);
  }
}

static inline void
set_done (const Lowering *l, const PwAction *at) {
  const Way *way = &l->ways[pw_action_key (at)];
  row_of (way, at)->done[at->microbatch] |= way->done;
}

static inline void
finish (Lowering *l, Rank *rank) {
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
play (Lowering *l) {
  for (int rank = 0; rank < l->schedule->ranks; rank++)
    start (l, &l->ranks[rank]);
  while (l->n_running > 0) {
    l->tick = (l->tick + 1) % TICKS;
    for (int i = 0; i < l->n_ending[l->tick]; i++)
      finish (l, l->ending[l->tick][i]);
    l->n_ending[l->tick] = 0;
    for (int i = 0; i < l->n_idle; i++)
      start (l, l->idle[i]);
    l->n_idle = 0;
  }
}

/* Where rank R stands still, and whom it waits for (-1 if that never comes), as text. */
static int
describe_wait (const Lowering *l, int r, GString *text) {
  char waiting[PW_ACTION_TEXT_MAX], awaited[PW_ACTION_TEXT_MAX];
  const Rank *rank = &l->ranks[r];
  const PwAction *action = rank->next;
  uint8_t **need = awaited_need (l, action);
  if (need == NULL && action->paired && action + 1 < rank->end)
    need = awaited_need (l, ++action);
  int stage = (int)((*need - l->done) / l->stride);
  PwAction other = pw_action (action->kind, stage, action->microbatch);
  int peer = pw_placement_rank (l->schedule->placement, action->direction, stage);
  g_string_append_printf (text, "rank %d, action %" G_GINT64_FORMAT ": %s waits for rank %d's %s",
                          r, (int64_t)(action - l->schedule->programs[r].actions),
                          pw_action_format (*action, waiting), peer,
                          pw_action_format (other, awaited));
  return l->ranks[peer].next == l->ranks[peer].end ? -1 : peer;
}

static void
note_stuck (Lowering *l, int r) {
  l->stuck_rank = r;
  l->stuck_action = l->ranks[r].next - l->schedule->programs[r].actions;
}

/* Follows the waits from rank R until they close; reports the cycle alone. */
static void
report_stuck (Lowering *l, int r, GError **error) {
  g_autofree gboolean *visited = g_new0 (gboolean, (gsize)l->schedule->ranks);
  g_autoptr (GString) text = g_string_new (NULL);
  int last = r;
  while (r >= 0 && !visited[r]) {
    visited[r] = TRUE;
    last = r;
    g_string_truncate (text, 0);
    r = describe_wait (l, r, text);
  }
  if (r < 0) {
    note_stuck (l, last);
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_MISSING, "%s, which is not there",
                 text->str);
    return;
  }
  int first = r;
  note_stuck (l, r);
  g_string_truncate (text, 0);
  do {
    if (text->len > 0)
      g_string_append (text, "; ");
    r = describe_wait (l, r, text);
  } while (r != first);
  g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_DEADLOCK, "%s", text->str);
}

static gboolean
check_finished (Lowering *l, GError **error) {
  for (int rank = 0; rank < l->schedule->ranks; rank++)
    if (l->ranks[rank].next < l->ranks[rank].end) {
      report_stuck (l, rank, error);
      return FALSE;
    }
  return TRUE;
}

static PwSchedule *
take_lowered (Lowering *l) {
  PwSchedule *lowered = g_steal_pointer (&l->lowered);
  lowered->is_lowered = TRUE;
  lowered->policy = l->options->policy;
  lowered->batched = l->options->batched;
  for (int rank = 0; rank < lowered->ranks; rank++)
    lowered->programs[rank].n_prologue = l->ranks[rank].out - l->ranks[rank].list;
  return lowered;
}

static PwSchedule *
run (Lowering *l, GError **error) {
  if (!count_actions (l, error))
    return NULL;
  allocate_lists (l);
  play (l);
  if (!check_finished (l, error))
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

static void
make_ports (Lowering *l, Flow flow, const PwPorts *ports) {
  int stages = l->schedule->stages, places = l->schedule->placement->directions * stages;
  l->ports[flow] = g_new (Port, (gsize)ports->start[places]);
  for (int place = 0; place < places; place++)
    for (int k = ports->start[place]; k < ports->start[place + 1]; k++) {
      const PwPort *port = &ports->ports[k];
      PwAction send = pw_action (send_of_flow[flow], place % stages, 0);
      PwAction recv = pw_action (recv_of_flow[flow], port->stage, 0);
      send.edge = recv.edge = (uint16_t)port->edge;
      send.direction = recv.direction = place >= stages;
      l->ports[flow][k] = (Port){ .send = pw_action_bits (&send),
                                  .recv = pw_action_bits (&recv),
                                  .to = &l->ranks[port->rank] };
    }
}

static void
make_flow (Lowering *l, Flow flow) {
  const PwStageEdges *edges = l->edges;
  gboolean forward = flow == FLOW_FORWARD;
  const PwPorts *ports = forward ? &l->crossings->consumers : &l->crossings->producers;
  const int *first = forward ? edges->in_start : edges->out_start;
  int stages = l->schedule->stages;
  make_ports (l, flow, ports);
  l->needs[flow] = g_new (uint8_t *, (gsize)edges->n_edges);
  for (int k = 0; k < edges->n_edges; k++)
    l->needs[flow][k] = l->done
                        + l->stride
                              * (forward ? edges->edges[edges->in_edges[k]].producer
                                         : edges->edges[edges->out_edges[k]].consumer);
  for (int place = 0; place < l->schedule->placement->directions * stages; place++)
    l->rows[flow][place] = (Row){ .done = l->done + place % stages * l->stride,
                                  .needs = l->needs[flow] + first[place % stages],
                                  .needs_end = l->needs[flow] + first[place % stages + 1],
                                  .ports = l->ports[flow] + ports->start[place],
                                  .ports_end = l->ports[flow] + ports->start[place + 1] };
}

static void
make_ways (Lowering *l) {
  int directions = l->schedule->placement->directions, stages = l->schedule->stages;
  for (int flow = 0; flow <= FLOW_NONE; flow++)
    l->rows[flow] = g_new0 (Row, (gsize)(directions * stages));
  for (int place = 0; place < directions * stages; place++)
    l->rows[FLOW_NONE][place].done = l->done + place % stages * l->stride;
  for (Flow flow = 0; flow < FLOW_N; flow++)
    make_flow (l, flow);
  for (int kind = 0; kind < PW_ACTION_N; kind++)
    for (int direction = 0; direction < directions; direction++)
      for (int flags = 0; flags < 4; flags++) {
        PwAction action = pw_action ((PwActionKind)kind, 0, 0);
        action.direction = direction != 0;
        action.paired = flags % 2 != 0;
        action.grouped = flags / 2 != 0;
        l->ways[pw_action_key (&action)]
            = (Way){ .rows = l->rows[kinds[kind].flow] + direction * stages,
                     .ticks = kinds[kind].ticks,
                     .done = kinds[kind].done };
      }
}

static PwSchedule *
lower_plain (const PwSchedule *schedule, const PwStageEdges *edges, const PwLowerOptions *options,
             int *rank, int64_t *action, GError **error) {
  if (!check_placement (schedule->placement, error))
    return NULL;
  int ranks = schedule->ranks, places = schedule->placement->directions * schedule->stages;
  Lowering l = {
    .schedule = schedule,
    .edges = edges,
    .options = options,
    .crossings = pw__crossings_new (schedule->placement, edges),
    .appends_at_start = pw_policies[options->policy].blocks_program,
    .batched = options->batched,
    .recomputes = options->recompute != PW_RECOMPUTE_NONE,
    .slots = pw__schedule_slots (schedule),
    .stride = ((pw__schedule_slots (schedule) / 64 + 1) | 1) * 64,
    .ranks = g_new0 (Rank, (gsize)ranks),
    .idle = g_new (Rank *, (gsize)(ranks + 1)),
    .n_forward = g_new0 (int64_t, (gsize)places),
    .n_gradient = g_new0 (int64_t, (gsize)places),
    .n_update = g_new0 (int64_t, (gsize)places),
    .n_other = g_new0 (int64_t, (gsize)places),
    .last_forward = g_new0 (int, (gsize)places),
    .stuck_rank = -1,
    .stuck_action = -1,
  };
  for (int i = 0; i < TICKS; i++)
    l.ending[i] = g_new (Rank *, (gsize)ranks);
  gsize bytes = (gsize)(schedule->stages * l.stride);
  l.done = memset (pw_block_new (bytes), 0, bytes);
  make_ways (&l);
  PwSchedule *lowered = run (&l, error);
  *rank = l.stuck_rank;
  *action = l.stuck_action;
  for (Flow flow = 0; flow < FLOW_N; flow++) {
    g_free (l.ports[flow]);
    g_free (l.needs[flow]);
  }
  for (int flow = 0; flow <= FLOW_NONE; flow++)
    g_free (l.rows[flow]);
  for (int i = 0; i < TICKS; i++)
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

PwSchedule *
pw__schedule_lower_at (const PwSchedule *schedule, const PwStageEdges *edges,
                       const PwLowerOptions *options, int *rank, int64_t *action, GError **error) {
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
  return lower_plain (plain, edges != NULL ? edges : chain, options, rank, action, error);
}

PwSchedule *
pw_schedule_lower (const PwSchedule *schedule, const PwStageEdges *edges,
                   const PwLowerOptions *options, GError **error) {
  int rank;
  int64_t action;
  return pw__schedule_lower_at (schedule, edges, options, &rank, &action, error);
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
