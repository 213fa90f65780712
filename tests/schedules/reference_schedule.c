#include "tests/schedules/reference_schedule.h"

#include <string.h>

#define UNKNOWN (-1.0)

typedef struct {
  int rank; /* -1: not there */
  gsize index;
} Place;

typedef struct {
  const PwSchedule *s;
  const PwStageEdges *edges;
  PwPolicy policy;
  double duration[PW_ACTION_N];
  gsize slots;
  Place *compute[2]; /* [is F, else B or I], [stages][slots] */
  Place *end[2][2];  /* [receives][is gradient], [edges][slots] */
  gsize *next;       /* of each rank: the program's place */
  double *now;       /* of each rank: the program's time */
  double *first;     /* of each rank: when its first compute started */
  double **issued;   /* of each rank's action: when a message's entry was issued */
  double **done;     /* of each rank's action: when it ended or was transferred */
} Run;

static const PwAction *
list_of (const Run *r, int rank) {
  return r->s->programs[rank].actions;
}

static gsize
length_of (const Run *r, int rank) {
  return (gsize)r->s->programs[rank].n_prologue;
}

static gboolean
is_message (PwAction a) {
  return pw_action_kinds[a.kind].is_send || pw_action_kinds[a.kind].is_recv;
}

static gboolean
is_gradient (PwAction a) {
  return a.kind == PW_ACTION_SEND_BACKWARD || a.kind == PW_ACTION_RECV_BACKWARD;
}

static gboolean
is_backward (PwAction a) {
  return a.kind == PW_ACTION_BACKWARD || a.kind == PW_ACTION_INPUT_GRADIENT;
}

static Place *
new_places (gsize n) {
  Place *places = g_new (Place, n + 1);
  for (gsize i = 0; i < n; i++)
    places[i].rank = -1;
  return places;
}

/* Where everything stands, so that nothing has to be searched for. */
static void
find_places (Run *r) {
  r->slots = (gsize)(r->s->microbatches * r->s->pieces);
  for (int i = 0; i < 2; i++) {
    r->compute[i] = new_places ((gsize)r->s->stages * r->slots);
    for (int k = 0; k < 2; k++)
      r->end[i][k] = new_places ((gsize)r->edges->n_edges * r->slots);
  }
  for (int rank = 0; rank < r->s->ranks; rank++)
    for (gsize i = 0; i < length_of (r, rank); i++) {
      PwAction a = list_of (r, rank)[i];
      Place place = { .rank = rank, .index = i };
      if (is_message (a))
        r->end[pw_action_kinds[a.kind].is_recv][is_gradient (a)][a.edge * r->slots + a.microbatch]
            = place;
      else if (a.kind == PW_ACTION_FORWARD || is_backward (a))
        r->compute[a.kind == PW_ACTION_FORWARD][a.stage * r->slots + a.microbatch] = place;
    }
}

static void
free_places (Run *r) {
  for (int i = 0; i < 2; i++) {
    g_free (r->compute[i]);
    for (int k = 0; k < 2; k++)
      g_free (r->end[i][k]);
  }
}

/* When F (or B or I) of a stage and micro-batch ended, wherever it stands. */
static double
end_of (const Run *r, gboolean forward, int stage, unsigned microbatch) {
  Place place = r->compute[forward][(gsize)stage * r->slots + microbatch];
  return place.rank < 0 ? UNKNOWN : r->done[place.rank][place.index];
}

/* When the message into ACTION over EDGE has arrived. */
static double
arrival_of (const Run *r, PwAction action, int edge, gboolean forward) {
  Place place = r->end[1][!forward][(gsize)edge * r->slots + action.microbatch];
  return place.rank < 0 ? UNKNOWN : r->done[place.rank][place.index];
}

/* When all inputs of a compute are there. */
static double
ready (const Run *r, int rank, PwAction a) {
  gboolean forward = a.kind == PW_ACTION_FORWARD;
  double time = 0;
  if (!forward && a.kind != PW_ACTION_BACKWARD && a.kind != PW_ACTION_INPUT_GRADIENT)
    return 0;
  for (int e = 0; e < r->edges->n_edges; e++) {
    PwStageEdge edge = r->edges->edges[e];
    int here = forward ? edge.consumer : edge.producer;
    int other = forward ? edge.producer : edge.consumer;
    if (here != (int)a.stage)
      continue;
    gboolean crosses = pw_placement_rank (r->s->placement, a.direction, other) != rank;
    double t = crosses && r->s->is_lowered ? arrival_of (r, a, e, forward)
                                           : end_of (r, forward, other, a.microbatch);
    if (t == UNKNOWN)
      return UNKNOWN;
    time = MAX (time, t);
  }
  return time;
}

static gboolean
same_queue (const Run *r, PwAction a, PwAction b) {
  const PwStageEdge *ea = &r->edges->edges[a.edge], *eb = &r->edges->edges[b.edge];
  switch (r->policy) {
  case PW_POLICY_PER_EDGE:
    return a.edge == b.edge && a.direction == b.direction && is_gradient (a) == is_gradient (b);
  case PW_POLICY_PER_PEER: {
    int peer_a = pw_placement_rank (r->s->placement, a.direction,
                                    (int)a.stage == ea->producer ? ea->consumer : ea->producer);
    int peer_b = pw_placement_rank (r->s->placement, b.direction,
                                    (int)b.stage == eb->producer ? eb->consumer : eb->producer);
    return peer_a == peer_b;
  }
  default:
    return TRUE;
  }
}

/* The first and last action of the entry that holds message I. */
static void
entry_of (const Run *r, int rank, gsize i, gsize *first, gsize *last) {
  const PwAction *list = list_of (r, rank);
  *first = *last = i;
  while (*first > 0 && list[*first - 1].grouped && is_message (list[*first - 1]))
    --*first;
  while (*last + 1 < length_of (r, rank) && list[*last].grouped && is_message (list[*last + 1]))
    ++*last;
}

/* When message I of RANK came to the head of its queue: UNKNOWN while it has not. */
static double
head_time (const Run *r, int rank, gsize i) {
  gsize first, last;
  double time = r->issued[rank][i];
  if (time == UNKNOWN)
    return UNKNOWN;
  entry_of (r, rank, i, &first, &last);
  for (gsize k = 0; k < first; k++) {
    PwAction a = list_of (r, rank)[k];
    if (!is_message (a) || !same_queue (r, a, list_of (r, rank)[i]))
      continue;
    gsize from, to;
    entry_of (r, rank, k, &from, &to);
    for (gsize member = from; member <= to; member++) {
      if (r->done[rank][member] == UNKNOWN)
        return UNKNOWN;
      time = MAX (time, r->done[rank][member]);
    }
  }
  return time;
}

/* Transfers the message that I of RANK sends if it can be. */
static gboolean
try_transfer (Run *r, int rank, gsize i) {
  PwAction a = list_of (r, rank)[i];
  if (!pw_action_kinds[a.kind].is_send || r->done[rank][i] != UNKNOWN)
    return FALSE;
  Place other = r->end[1][is_gradient (a)][a.edge * r->slots + a.microbatch];
  if (other.rank < 0)
    return FALSE;
  double time = UNKNOWN;
  if (r->policy == PW_POLICY_BUFFERED) {
    time = r->issued[rank][i];
  } else {
    double mine = head_time (r, rank, i);
    double theirs = mine == UNKNOWN ? UNKNOWN : head_time (r, other.rank, other.index);
    time = theirs == UNKNOWN ? UNKNOWN : MAX (mine, theirs);
  }
  if (time == UNKNOWN)
    return FALSE;
  r->done[rank][i] = r->done[other.rank][other.index] = time;
  return TRUE;
}

/* Moves RANK's program on by one action, pair or entry. */
static gboolean
try_step (Run *r, int rank) {
  const PwAction *list = list_of (r, rank);
  gsize i = r->next[rank], last = i, first;
  if (i == length_of (r, rank))
    return FALSE;
  if (is_message (list[i])) {
    entry_of (r, rank, i, &first, &last);
    for (gsize k = i; k <= last; k++)
      if (r->issued[rank][k] == UNKNOWN)
        r->issued[rank][k] = r->now[rank];
    if (r->policy == PW_POLICY_RENDEZVOUS)
      for (gsize k = i; k <= last; k++) {
        if (r->done[rank][k] == UNKNOWN)
          return FALSE;
        r->now[rank] = MAX (r->now[rank], r->done[rank][k]);
      }
  } else {
    double time = r->now[rank], duration = 0;
    last = list[i].paired && i + 1 < length_of (r, rank) ? i + 1 : i;
    for (gsize k = i; k <= last; k++) {
      double t = ready (r, rank, list[k]);
      if (t == UNKNOWN)
        return FALSE;
      time = MAX (time, t);
      duration += r->duration[list[k].kind];
    }
    for (gsize k = i; k <= last; k++)
      r->done[rank][k] = time + duration;
    if (r->first[rank] == UNKNOWN)
      r->first[rank] = time;
    r->now[rank] = time + duration;
  }
  r->next[rank] = last + 1;
  return TRUE;
}

static ReferenceRun
run (Run *r) {
  gboolean moved = TRUE;
  while (moved) {
    moved = FALSE;
    for (int rank = 0; rank < r->s->ranks; rank++) {
      while (try_step (r, rank))
        moved = TRUE;
      for (gsize i = 0; r->s->is_lowered && i < length_of (r, rank); i++)
        moved |= try_transfer (r, rank, i);
    }
  }
  ReferenceRun result = { .finished = TRUE };
  for (int rank = 0; rank < r->s->ranks; rank++) {
    result.finished &= r->next[rank] == length_of (r, rank);
    result.time = MAX (result.time, r->now[rank]);
    result.span = MAX (result.span, r->now[rank] - r->first[rank]);
  }
  return result;
}

ReferenceRun
reference_run_lowered (const PwSchedule *schedule, const PwStageEdges *edges, PwPolicy policy,
                       double F, double I, double W) {
  int ranks = schedule->ranks;
  g_autoptr (PwStageEdges) chain = pw_stage_edges_new_chain (schedule->stages);
  Run r = { .s = schedule,
            .edges = edges != NULL ? edges : chain,
            .policy = policy,
            .duration = { [PW_ACTION_FORWARD] = F,
                          [PW_ACTION_BACKWARD] = I + W,
                          [PW_ACTION_INPUT_GRADIENT] = I,
                          [PW_ACTION_WEIGHT_GRADIENT] = W },
            .next = g_new0 (gsize, (gsize)ranks),
            .now = g_new0 (double, (gsize)ranks),
            .first = g_new (double, (gsize)ranks),
            .issued = g_new (double *, (gsize)ranks),
            .done = g_new (double *, (gsize)ranks) };
  for (int rank = 0; rank < ranks; rank++) {
    gsize n = length_of (&r, rank);
    r.first[rank] = UNKNOWN;
    r.issued[rank] = g_new (double, (gsize)n);
    r.done[rank] = g_new (double, (gsize)n);
    for (gsize i = 0; i < n; i++)
      r.issued[rank][i] = r.done[rank][i] = UNKNOWN;
  }
  find_places (&r);
  ReferenceRun result = run (&r);
  free_places (&r);
  for (int rank = 0; rank < ranks; rank++) {
    g_free (r.issued[rank]);
    g_free (r.done[rank]);
  }
  g_free (r.issued);
  g_free (r.done);
  g_free (r.next);
  g_free (r.now);
  g_free (r.first);
  return result;
}

ReferenceRun
reference_run_compute (const PwSchedule *schedule, const PwStageEdges *edges, double F, double I,
                       double W) {
  g_assert_false (schedule->is_lowered);
  return reference_run_lowered (schedule, edges, PW_POLICY_BUFFERED, F, I, W);
}

PwStageEdges *
reference_random_edges (int stages) {
  PwStageEdge list[64];
  int n = 0;
  for (int s = 0; s + 1 < stages; s++)
    list[n++] = (PwStageEdge){ .producer = s, .consumer = s + 1 };
  for (int k = g_test_rand_int_range (0, 4); k > 0 && stages > 2; k--) {
    int producer = g_test_rand_int_range (0, stages - 2);
    int consumer = g_test_rand_int_range (producer + 2, stages);
    list[n++] = (PwStageEdge){ .producer = producer, .consumer = consumer, .tensor = k };
  }
  return pw_stage_edges_new (stages, list, n);
}

/* Is the next step of (stage, micro-batch) possible? STATE counts steps done: F, then B or I, W. */
static gboolean
is_possible (const PwStageEdges *edges, const int *state, int M, int stage, int m) {
  int step = state[stage * M + m];
  for (int e = 0; e < edges->n_edges; e++) {
    const PwStageEdge *edge = &edges->edges[e];
    if (step == 0 && edge->consumer == stage && state[edge->producer * M + m] < 1)
      return FALSE;
    if (step == 1 && edge->producer == stage && state[edge->consumer * M + m] < 2)
      return FALSE;
  }
  return TRUE;
}

PwSchedule *
reference_random_schedule (const PwStageEdges *edges, int ranks, int M, gboolean split) {
  int stages = edges->stages, steps = split ? 3 : 2, total = steps * stages * M;
  PwPlacement *placement = pw_placement_new (PW_PLACEMENT_CUSTOM, ranks, stages);
  for (int s = 0; s < stages; s++)
    placement->rank_of_stage[s] = s < ranks ? s : g_test_rand_int_range (0, ranks);
  PwSchedule *schedule = pw_schedule_new ("random", placement, M);
  g_autofree int *state = g_new0 (int, (gsize)(stages * M));
  g_autofree gsize *n = g_new0 (gsize, (gsize)ranks);
  PwAction **lists = g_new (PwAction *, (gsize)ranks);
  for (int rank = 0; rank < ranks; rank++)
    lists[rank] = g_new (PwAction, (gsize)total);
  for (int done = 0; done < total;) {
    int stage = g_test_rand_int_range (0, stages), m = g_test_rand_int_range (0, M);
    int *step = &state[stage * M + m], rank = placement->rank_of_stage[stage];
    if (*step == steps || !is_possible (edges, state, M, stage, m))
      continue;
    PwActionKind kind = *step == 0   ? PW_ACTION_FORWARD
                        : *step == 2 ? PW_ACTION_WEIGHT_GRADIENT
                        : split      ? PW_ACTION_INPUT_GRADIENT
                                     : PW_ACTION_BACKWARD;
    lists[rank][n[rank]++] = pw_action (kind, stage, m);
    ++*step;
    done++;
  }
  for (int rank = 0; rank < ranks; rank++)
    pw_schedule_take_list (schedule, rank, lists[rank], (int64_t)n[rank]);
  g_free (lists);
  return schedule;
}

/* May A and its follower B change places? Only if at least one is a message, a send is not put
 * before what computes it, nor a receive behind what needs it. */
static gboolean
may_swap (PwAction a, PwAction b) {
  if (!is_message (a) && !is_message (b))
    return FALSE;
  gboolean tied = a.stage == b.stage && a.microbatch == b.microbatch;
  if (tied && pw_action_kinds[b.kind].is_send && !is_message (a))
    return FALSE;
  return !(tied && pw_action_kinds[a.kind].is_recv && !is_message (b));
}

void
reference_shuffle_messages (PwSchedule *lowered) {
  for (int rank = 0; rank < lowered->ranks; rank++) {
    PwProgram *program = &lowered->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++)
      program->actions[i].grouped = 0;
    for (int k = g_test_rand_int_range (0, 6); k > 0 && program->n_prologue > 1; k--) {
      int i = g_test_rand_int_range (0, (gint32)program->n_prologue - 1);
      PwAction *pair = &program->actions[i];
      if (!may_swap (pair[0], pair[1]))
        continue;
      PwAction first = pair[0];
      pair[0] = pair[1];
      pair[1] = first;
    }
    for (int64_t i = 0; i + 1 < program->n_prologue; i++)
      if (is_message (program->actions[i]) && is_message (program->actions[i + 1])
          && g_test_rand_int_range (0, 4) == 0)
        program->actions[i].grouped = 1;
  }
}

gboolean
reference_same_lists (const PwSchedule *a, const PwSchedule *b) {
  if (a->ranks != b->ranks)
    return FALSE;
  for (int rank = 0; rank < a->ranks; rank++) {
    const PwProgram *p = &a->programs[rank], *q = &b->programs[rank];
    if (p->n_prologue != q->n_prologue)
      return FALSE;
    for (int64_t i = 0; i < p->n_prologue; i++)
      if (!pw_action_equal (p->actions[i], q->actions[i]))
        return FALSE;
  }
  return TRUE;
}
