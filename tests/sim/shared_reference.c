#include "shared_reference.h"

#include <math.h>

typedef enum { WAITING, READY, IN_LINE, LATENCY, FLOWING, DONE } State;

typedef struct {
  int64_t id, recv; /* -1: nobody receives it */
  int from, to;
  PwPath path;
  PwLinkSharing sharing;
  double alone, bytes;
  State state;
  int turn;   /* in line: by the order of coming */
  double end; /* of its latency while that passes */
  double left, rate;
} Message;

typedef struct {
  int rank;
  int64_t id;
  gboolean is_pair;
  State state; /* WAITING, FLOWING, DONE */
  double end;
  gboolean is_slow;
  gboolean is_collective; /* nothing slows it */
} Compute;

typedef struct {
  const Case *c;
  double now;
  GArray **waits;
  gboolean *is_done; /* by id */
  double *start, *end;
  GArray *messages, *computes;
  GArray *channels; /* PwPath of all there are, whether they carry something or not */
  int n_turns;
} Play;

static Message *
message_at (const Play *play, guint i) {
  return &g_array_index (play->messages, Message, i);
}

/* All it waits for is done; what is, is forgotten. */
static gboolean
may_start (Play *play, int64_t id) {
  GArray *waits = play->waits[id];
  while (waits->len > 0 && play->is_done[g_array_index (waits, int64_t, waits->len - 1)])
    g_array_set_size (waits, waits->len - 1);
  return waits->len == 0;
}

static gboolean
takes (const PwPath *path, const PwResource *resource) {
  for (int i = 0; i < path->n; i++)
    if (pw_resource_is_same (&path->resources[i], resource))
      return TRUE;
  return FALSE;
}

static double
capacity (const Play *play, const PwResource *resource) {
  double most = 0;
  for (guint i = 0; i < play->channels->len; i++) {
    const PwPath *path = &g_array_index (play->channels, PwPath, i);
    for (int r = 0; r < path->n; r++)
      if (pw_resource_is_same (&path->resources[r], resource))
        most = MAX (most, path->resources[r].capacity);
  }
  return most;
}

/* How much all rates that still grow can grow until RESOURCE is full. */
static double
room (const Play *play, const PwResource *resource, const gboolean *grows) {
  double used = 0;
  int growing = 0;
  for (guint i = 0; i < play->messages->len; i++) {
    const Message *m = message_at (play, i);
    if (m->state != FLOWING || m->sharing != PW_LINK_FAIR || !takes (&m->path, resource))
      continue;
    used += m->rate;
    growing += grows[i];
  }
  return growing == 0 ? INFINITY : (capacity (play, resource) - used) / growing;
}

/* All rates grow together until a resource is full or a flow is as fast as alone. */
static void
set_rates (Play *play) {
  guint n = play->messages->len;
  g_autofree gboolean *grows = g_new0 (gboolean, n + 1);
  int growing = 0;
  for (guint i = 0; i < n; i++) {
    Message *m = message_at (play, i);
    grows[i] = m->state == FLOWING && m->sharing == PW_LINK_FAIR;
    m->rate = 0;
    growing += grows[i];
  }
  while (growing > 0) {
    double step = INFINITY;
    for (guint i = 0; i < n; i++)
      if (grows[i]) {
        Message *m = message_at (play, i);
        step = MIN (step, m->path.bandwidth - m->rate);
        for (int r = 0; r < m->path.n; r++) {
          double left = room (play, &m->path.resources[r], grows);
          step = MIN (step, left);
        }
      }
    for (guint i = 0; i < n; i++)
      message_at (play, i)->rate += grows[i] ? step : 0;
    for (guint i = 0; i < n; i++)
      if (grows[i]) {
        Message *m = message_at (play, i);
        gboolean stops = m->rate >= m->path.bandwidth * (1 - 1e-12);
        for (int r = 0; r < m->path.n; r++)
          stops |= room (play, &m->path.resources[r], grows) <= 1e-12 * m->path.bandwidth;
        if (stops)
          m->rate = -m->rate - 1; /* marked: the others still count it as growing */
      }
    for (guint i = 0; i < n; i++)
      if (message_at (play, i)->rate < 0) {
        message_at (play, i)->rate = -message_at (play, i)->rate - 1;
        grows[i] = FALSE;
        growing--;
      }
  }
}

static void
end_message (Play *play, Message *m, double end) {
  m->state = DONE;
  play->is_done[m->id] = TRUE;
  play->end[m->id] = end;
  if (m->recv >= 0) {
    play->is_done[m->recv] = TRUE;
    play->start[m->recv] = play->start[m->id];
    play->end[m->recv] = end;
  }
}

static void
begin_alone (Play *play, Message *m) {
  m->state = FLOWING;
  play->start[m->id] = play->now;
  m->end = play->now + m->alone;
}

/* It could start now. */
static void
let_through (Play *play, Message *m) {
  if (m->sharing == PW_LINK_FCFS) {
    m->state = IN_LINE;
    m->turn = play->n_turns++;
  } else if (m->sharing == PW_LINK_OWN || m->path.bandwidth <= 0 || m->bytes <= 0) {
    m->sharing = PW_LINK_OWN;
    begin_alone (play, m);
  } else {
    play->start[m->id] = play->now;
    m->state = LATENCY;
    m->end = play->now + m->path.latency_s;
  }
}

/* Nobody who came before and takes the same is still there. */
static gboolean
has_its_turn (const Play *play, const Message *m) {
  for (guint i = 0; i < play->messages->len; i++) {
    const Message *other = message_at (play, i);
    if (other->sharing != PW_LINK_FCFS || other->turn >= m->turn
        || (other->state != IN_LINE && other->state != FLOWING))
      continue;
    for (int r = 0; r < m->path.n; r++)
      if (takes (&other->path, &m->path.resources[r]))
        return FALSE;
  }
  return TRUE;
}

/* What happens to messages at this moment by itself. */
static gboolean
step_messages (Play *play) {
  gboolean moved = FALSE;
  for (guint i = 0; i < play->messages->len; i++) {
    Message *m = message_at (play, i);
    State before = m->state;
    if (m->state == FLOWING && m->end <= play->now)
      end_message (play, m, m->end);
    else if (m->state == LATENCY && m->end <= play->now) {
      m->state = FLOWING;
      m->left = m->bytes;
      m->end = INFINITY;
    } else if (m->state == WAITING && may_start (play, m->id)) {
      m->state = READY;
      if (m->sharing == PW_LINK_OWN)
        begin_alone (play, m);
    } else if (m->state == IN_LINE && has_its_turn (play, m))
      begin_alone (play, m);
    moved |= m->state != before;
  }
  return moved;
}

static gboolean
step_computes (Play *play) {
  gboolean moved = FALSE;
  for (guint i = 0; i < play->computes->len; i++) {
    Compute *x = &g_array_index (play->computes, Compute, i);
    State before = x->state;
    if (x->state == FLOWING && x->end <= play->now) {
      x->state = DONE;
      for (int k = 0; k <= x->is_pair; k++) {
        play->is_done[x->id + k] = TRUE;
        play->end[x->id + k] = x->end;
      }
    } else if (x->state == WAITING && may_start (play, x->id)) {
      int64_t first = 0;
      for (int r = 0; r < x->rank; r++)
        first += play->c->lowered->programs[r].n_prologue;
      x->state = FLOWING;
      x->is_slow = FALSE;
      x->end = play->now + reference_duration (play->c, x->rank, x->id - first);
      play->start[x->id] = play->start[x->id + x->is_pair] = play->now;
    }
    moved |= x->state != before;
  }
  return moved;
}

/* The lowest SEND of those that could start is let through: the others behind what follows. */
static gboolean
let_one_through (Play *play) {
  for (guint i = 0; i < play->messages->len; i++)
    if (message_at (play, i)->state == READY) {
      let_through (play, message_at (play, i));
      return TRUE;
    }
  return FALSE;
}

static gboolean
communicates (const Play *play, int rank) {
  for (guint i = 0; i < play->messages->len; i++) {
    const Message *m = message_at (play, i);
    if ((m->state == LATENCY || m->state == FLOWING) && (m->from == rank || m->to == rank)
        && m->alone > 0)
      return TRUE;
  }
  return FALSE;
}

static void
set_paces (Play *play) {
  const PwTopology *topology = play->c->costs->topology;
  double slowdown = topology != NULL ? MAX (topology->compute_slowdown, 1) : 1;
  for (guint i = 0; i < play->computes->len; i++) {
    Compute *x = &g_array_index (play->computes, Compute, i);
    if (x->state != FLOWING || slowdown <= 1 || x->is_collective)
      continue;
    gboolean is_slow = communicates (play, x->rank);
    double left = x->end - play->now;
    if (is_slow && !x->is_slow)
      x->end = play->now + left * slowdown;
    else if (!is_slow && x->is_slow)
      x->end = play->now + left / slowdown;
    x->is_slow = is_slow;
  }
}

/* Goes on to the next moment at which something ends; FALSE: nothing ever does. */
static gboolean
pass_time (Play *play) {
  double next = INFINITY;
  set_rates (play);
  set_paces (play);
  for (guint i = 0; i < play->messages->len; i++) {
    Message *m = message_at (play, i);
    if (m->state == FLOWING && m->sharing == PW_LINK_FAIR)
      m->end = play->now + m->left / m->rate;
    if (m->state == LATENCY || m->state == FLOWING)
      next = MIN (next, m->end);
  }
  for (guint i = 0; i < play->computes->len; i++) {
    const Compute *x = &g_array_index (play->computes, Compute, i);
    if (x->state == FLOWING)
      next = MIN (next, x->end);
  }
  if (isinf (next))
    return FALSE;
  for (guint i = 0; i < play->messages->len; i++) {
    Message *m = message_at (play, i);
    if (m->state == FLOWING && m->sharing == PW_LINK_FAIR)
      m->left = MAX (m->left - m->rate * (next - play->now), 0);
  }
  play->now = next;
  return TRUE;
}

static int64_t
find_receive (const Case *c, PwAction send) {
  int64_t id = 0;
  for (int rank = 0; rank < c->lowered->ranks; rank++)
    for (int64_t i = 0; i < c->lowered->programs[rank].n_prologue; i++, id++) {
      PwAction action = c->lowered->programs[rank].actions[i];
      if (action.kind == send.kind + 1 && action.edge == send.edge
          && action.microbatch == send.microbatch && action.direction == send.direction)
        return id;
    }
  return -1;
}

/* Messages of several channels take it, or those of one beside each other. */
static gboolean
is_shared (const Play *play, const PwResource *resource) {
  const PwSchedule *schedule = play->c->lowered;
  int users = 0;
  for (guint i = 0; i < play->channels->len; i++)
    users += takes (&g_array_index (play->channels, PwPath, i), resource);
  return resource->sharing != PW_LINK_OWN
         && (users > 1 || schedule->batched
             || pw_policies[schedule->policy].queue == PW_QUEUE_NONE);
}

static void
add_action (Play *play, int rank, int64_t index, int64_t id) {
  const Case *c = play->c;
  const PwProgram *program = &c->lowered->programs[rank];
  PwAction action = program->actions[index];
  const PwActionKindInfo *kind = &pw_action_kinds[action.kind];
  if (kind->is_recv)
    return;
  if (!kind->is_send) {
    Compute x = { .rank = rank,
                  .id = id,
                  .is_pair = action.paired && index + 1 < program->n_prologue,
                  .is_collective = !kind->is_compute };
    g_array_append_val (play->computes, x);
    return;
  }
  Message m = { .id = id,
                .recv = find_receive (c, action),
                .from = rank,
                .path = reference_path (c, action),
                .alone = reference_duration (c, rank, index),
                .bytes = (double)c->costs->message_bytes[action.edge] };
  const PwStageEdge *edge = &c->edges->edges[action.edge];
  int a = pw_placement_rank (c->lowered->placement, action.direction, edge->producer);
  int b = pw_placement_rank (c->lowered->placement, action.direction, edge->consumer);
  m.to = rank == a ? b : a;
  int n = 0;
  for (int r = 0; r < m.path.n; r++)
    if (is_shared (play, &m.path.resources[r])) {
      m.sharing = m.path.resources[r].sharing;
      m.path.resources[n++] = m.path.resources[r];
    }
  m.path.n = n;
  g_array_append_val (play->messages, m);
}

static void
list_channels (Play *play) {
  const Case *c = play->c;
  for (int d = 0; d < c->lowered->placement->directions; d++)
    for (int e = 0; e < c->edges->n_edges; e++)
      for (int back = 0; back < 2; back++) {
        int a = pw_placement_rank (c->lowered->placement, d, c->edges->edges[e].producer);
        int b = pw_placement_rank (c->lowered->placement, d, c->edges->edges[e].consumer);
        PwPath path = { 0 };
        if (a != b)
          pw_stage_costs_path (c->costs, e, back ? b : a, back ? a : b, &path);
        g_array_append_val (play->channels, path);
      }
}

double
shared_reference_capacity (const Case *c, const PwResource *resource) {
  Play play = { .c = c, .channels = g_array_new (FALSE, FALSE, sizeof (PwPath)) };
  list_channels (&play);
  double most = capacity (&play, resource);
  g_array_unref (play.channels);
  return most;
}

static void
list_all (Play *play) {
  const Case *c = play->c;
  int64_t id = 0;
  for (int rank = 0; rank < c->lowered->ranks; rank++)
    for (int64_t i = 0; i < c->lowered->programs[rank].n_prologue; i++, id++) {
      add_action (play, rank, i, id);
      PwAction action = c->lowered->programs[rank].actions[i];
      gboolean is_message
          = pw_action_kinds[action.kind].is_send || pw_action_kinds[action.kind].is_recv;
      if (!is_message && action.paired && i + 1 < c->lowered->programs[rank].n_prologue) {
        i++;
        id++;
      }
    }
}

Reference *
shared_reference_run (const Case *c) {
  int64_t n = 0;
  for (int rank = 0; rank < c->lowered->ranks; rank++)
    n += c->lowered->programs[rank].n_prologue;
  Play play = { .c = c,
                .waits = reference_waits (c),
                .is_done = g_new0 (gboolean, (gsize)n + 1),
                .start = g_new0 (double, (gsize)n + 1),
                .end = g_new0 (double, (gsize)n + 1),
                .messages = g_array_new (FALSE, FALSE, sizeof (Message)),
                .computes = g_array_new (FALSE, FALSE, sizeof (Compute)),
                .channels = g_array_new (FALSE, FALSE, sizeof (PwPath)) };
  list_channels (&play);
  list_all (&play);
  do
    while (step_messages (&play) || step_computes (&play) || let_one_through (&play)) {
    }
  while (pass_time (&play));
  gboolean ended = TRUE;
  for (int64_t id = 0; id < n; id++) {
    ended = ended && play.is_done[id];
    g_array_unref (play.waits[id]);
  }
  g_free (play.waits);
  g_free (play.is_done);
  g_array_unref (play.messages);
  g_array_unref (play.computes);
  g_array_unref (play.channels);
  Reference *reference = g_new (Reference, 1);
  *reference = (Reference){ .n = n, .start = play.start, .end = play.end };
  if (!ended)
    g_clear_pointer (&reference, reference_free);
  return reference;
}
