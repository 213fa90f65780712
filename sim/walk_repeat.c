#include "sim/walk_rounds_private.h"

#define ROUNDS_MIN 2 /* fewer are not worth it */
#define LOOKS 8      /* as a walk becomes twice as long, or nearly */

/* A stretch of RANK's list that the noted round carried out at once. */
typedef struct {
  int rank;
  int64_t from, to; /* ids */
} Visit;

static void
clear_round (PwSimRound *round) {
  g_free (round->lists);
  g_free (round->earliest);
  g_free (round->accounts);
  g_clear_pointer (&round->visits, g_array_unref);
  g_clear_pointer (&round->steps, g_array_unref);
  g_clear_pointer (&round->busy, g_array_unref);
  g_clear_pointer (&round->inputs, g_array_unref);
}

/* FALSE: lists do not repeat from here on. */
static gboolean
begin_round (PwSimRound *round) {
  PwSimWalk *walk = round->walk;
  const PwSimLayout *layout = walk->layout;
  round->lists = g_new (PwPeriodList, (gsize)layout->ranks);
  for (int rank = 0; rank < layout->ranks; rank++) {
    const PwSimWalkCursor *cursor = &walk->cursors[rank];
    round->lists[rank] = (PwPeriodList){ .next = cursor->next, .n = cursor->stop - cursor->next };
  }
  int irregular;
  if (!pw_periods_find (round->lists, layout->ranks, &round->shift, &irregular)) {
    walk->irregular = irregular;
    walk->stood = walk->cursors[irregular].next;
    return FALSE;
  }
  round->earliest = g_new (int64_t, (gsize)layout->ranks);
  for (int rank = 0; rank < layout->ranks; rank++)
    round->earliest[rank] = pw__sim_round_begin (round, rank);
  gsize bytes = (gsize)layout->ranks * sizeof (PwSimAccount);
  round->accounts = g_memdup2 (walk->summary->accounts, bytes);
  return TRUE;
}

/* Each rank can walk: as far as its next period goes, or to its list's end. */
static void
set_stops (PwSimRound *round, gboolean is_bounded) {
  PwSimWalk *walk = round->walk;
  for (int rank = 0; rank < walk->layout->ranks; rank++) {
    const PwPeriodList *list = &round->lists[rank];
    walk->cursors[rank].stop = list->next + (is_bounded ? list->period : list->n);
    pw__sim_walk_make_runnable (walk, rank);
  }
}

/* Walks one round and notes the visits. FALSE: the ranks cannot all come to its end without what
 * comes after it. */
static gboolean
note_round (PwSimRound *round, gboolean *going) {
  PwSimWalk *walk = round->walk;
  round->visits = g_array_new (FALSE, FALSE, sizeof (Visit));
  set_stops (round, TRUE);
  for (int rank; *going && (rank = pw__sim_walk_next_runnable (walk)) >= 0;) {
    Visit visit = { .rank = rank, .from = walk->cursors[rank].id };
    *going = pw__sim_walk_rank (walk, rank);
    visit.to = walk->cursors[rank].id;
    g_array_append_val (round->visits, visit);
  }
  gboolean is_whole = *going;
  for (int rank = 0; rank < walk->layout->ranks; rank++)
    is_whole = is_whole && walk->cursors[rank].next == walk->cursors[rank].stop;
  set_stops (round, FALSE);
  return is_whole;
}

static void
look_back_to (PwSimRound *round, int rank, int64_t id) {
  round->earliest[rank] = MIN (round->earliest[rank], id);
}

/* What NODE's compute waited for: its slots have it still. */
static void
add_inputs (PwSimRound *round, const PwSimWalkNode *node, uint32_t microbatch) {
  const PwSimWalk *walk = round->walk;
  const PwSimLayout *layout = walk->layout;
  for (int k = 0; k < node->n_inputs; k++) {
    int channel = layout->inputs[node->inputs - walk->consumed + k];
    int sender = layout->sender[channel];
    int64_t id = node->inputs[k][microbatch] - 1;
    const PwAction *at = pw__sim_walk_at (walk, sender, id);
    PwSimWalkInput input
        = { .what = { .id = (int32_t)id, .period = (int32_t)round->lists[sender].period } };
    if (sender != layout->receiver[channel])
      input.back = (int32_t)pw__sim_find_producer (layout->list[sender], at);
    look_back_to (round, sender, id - input.back);
    g_array_append_val (round->inputs, input);
  }
}

static int
add_compute (PwSimRound *round, PwSimWalkStep step, const PwAction *at, const PwSimWalkWay *way) {
  const PwSimWalk *walk = round->walk;
  gboolean is_pair
      = way->what == PW_SIM_WALK_PAIR && pw__sim_is_pair (walk->layout, step.rank, step.self.id);
  step.what = is_pair ? PW_SIM_WALK_PAIR : PW_SIM_WALK_COMPUTE;
  step.first_input = (int)round->inputs->len;
  for (int i = 0; i <= is_pair; i++) {
    step.actions[i] = at[i];
    const PwSimWalkWay *row = &walk->ways[pw_action_key (&at[i])];
    add_inputs (round, &walk->nodes[row->first_row + (int)at[i].stage], at[i].microbatch);
  }
  step.n_inputs = (int)round->inputs->len - step.first_input;
  step.duration = is_pair ? pw__sim_pair_duration (walk->durations, at[0], at[1])
                          : walk->nodes[way->first_row + (int)at->stage].duration;
  g_array_append_val (round->steps, step);
  return is_pair ? 2 : 1;
}

static int
add_message (PwSimRound *round, PwSimWalkStep step, const PwAction *at, const PwSimWalkWay *way) {
  const PwSimWalk *walk = round->walk;
  step.what = way->what;
  step.channel = &walk->channels[way->first_row + (int)at->edge];
  step.transfer = step.channel->transfer;
  step.partner.id = -1;
  if (step.what == PW_SIM_WALK_SEND) {
    step.back = (int32_t)pw__sim_find_producer (walk->layout->list[step.rank], at);
    look_back_to (round, step.rank, step.self.id - step.back);
  }
  g_array_append_val (round->steps, step);
  return 1;
}

static void
make_steps (PwSimRound *round) {
  const PwSimWalk *walk = round->walk;
  round->steps = g_array_new (FALSE, TRUE, sizeof (PwSimWalkStep));
  round->inputs = g_array_new (FALSE, TRUE, sizeof (PwSimWalkInput));
  for (guint v = 0; v < round->visits->len; v++) {
    const Visit *visit = &g_array_index (round->visits, Visit, v);
    for (int64_t id = visit->from; id < visit->to;) {
      const PwAction *at = pw__sim_walk_at (walk, visit->rank, id);
      const PwSimWalkWay *way = &walk->ways[pw_action_key (at)];
      gboolean is_message = way->what == PW_SIM_WALK_SEND || way->what == PW_SIM_WALK_RECEIVE;
      PwSimWalkStep step
          = { .rank = visit->rank,
              .self = { .id = (int32_t)id, .period = (int32_t)round->lists[visit->rank].period } };
      id += (is_message ? add_message : add_compute) (round, step, at, way);
    }
  }
}

/* One end of a message in the noted round. */
typedef struct {
  int64_t channel, residue; /* of the micro-batch, by the shift */
  int64_t microbatch;
  guint step;
} End;

static int
compare_ends (gconstpointer a, gconstpointer b) {
  const End *x = a, *y = b;
  if (x->channel != y->channel)
    return x->channel < y->channel ? -1 : 1;
  return (x->residue > y->residue) - (x->residue < y->residue);
}

static GArray *
list_ends (const PwSimRound *round, PwSimWalkWhat what) {
  GArray *ends = g_array_new (FALSE, FALSE, sizeof (End));
  for (guint i = 0; i < round->steps->len; i++) {
    const PwSimWalkStep *step = &g_array_index (round->steps, PwSimWalkStep, i);
    if (step->what != what)
      continue;
    int64_t microbatch = pw__sim_round_action (round, step).microbatch;
    End end = { .channel = step->channel - round->walk->channels,
                .residue = microbatch % ABS (round->shift),
                .microbatch = microbatch,
                .step = i };
    g_array_append_val (ends, end);
  }
  g_array_sort (ends, compare_ends);
  return ends;
}

/* A SEND gives its RECV the times, if that stands in its own round or before it; else the RECV
 * takes them. LATER: by how many rounds the RECV comes after its SEND. */
static void
set_partner (PwSimRound *round, const End *sent, const End *received, int64_t later) {
  PwSimWalkStep *send = &g_array_index (round->steps, PwSimWalkStep, sent->step);
  PwSimWalkStep *receive = &g_array_index (round->steps, PwSimWalkStep, received->step);
  PwSimWalkStep *busy = later > 0 ? receive : send, *other = later > 0 ? send : receive;
  int64_t id = other->self.id - ABS (later) * other->self.period;
  look_back_to (round, other->rank, id);
  busy->partner = (PwSimWalkRef){ .id = (int32_t)MAX (id, 0), .period = other->self.period };
}

/* A message's place in the order of its channel, at both ends. */
typedef struct {
  int64_t channel, sent, received, period; /* of the receiver */
} Place;

static int
compare_places (gconstpointer a, gconstpointer b) {
  const Place *x = a, *y = b;
  if (x->channel != y->channel)
    return x->channel < y->channel ? -1 : 1;
  return (x->sent > y->sent) - (x->sent < y->sent);
}

/* Queues give out messages in the order in which they took them; so it must be from round to round,
 * too. */
static gboolean
is_in_order (GArray *places) {
  g_array_sort (places, compare_places);
  const Place *place = (const Place *)places->data, *first = place;
  for (guint i = 0; i < places->len; i++) {
    gboolean is_last = i + 1 == places->len || place[i + 1].channel != place[i].channel;
    int64_t next = is_last ? first->received + first->period : place[i + 1].received;
    if (next <= place[i].received)
      return FALSE;
    if (is_last)
      first = &place[i + 1];
  }
  return TRUE;
}

/* FALSE: some message has not one SEND and one RECV in each round, or queues would mix them up. */
static gboolean
match_messages (PwSimRound *round) {
  g_autoptr (GArray) sent = list_ends (round, PW_SIM_WALK_SEND);
  g_autoptr (GArray) received = list_ends (round, PW_SIM_WALK_RECEIVE);
  g_autoptr (GArray) places = g_array_new (FALSE, FALSE, sizeof (Place));
  if (sent->len != received->len)
    return FALSE;
  const End *sends = (const End *)sent->data, *receives = (const End *)received->data;
  for (guint i = 0; i < sent->len; i++) {
    if (compare_ends (&sends[i], &receives[i]) != 0
        || (i > 0 && compare_ends (&sends[i - 1], &sends[i]) == 0))
      return FALSE;
    int64_t later = (sends[i].microbatch - receives[i].microbatch) / round->shift;
    set_partner (round, &sends[i], &receives[i], later);
    PwSimWalkRef send = g_array_index (round->steps, PwSimWalkStep, sends[i].step).self;
    PwSimWalkRef receive = g_array_index (round->steps, PwSimWalkStep, receives[i].step).self;
    Place place = { .channel = sends[i].channel,
                    .sent = send.id,
                    .received = receive.id + later * receive.period,
                    .period = receive.period };
    g_array_append_val (places, place);
  }
  return !round->walk->has_queues || is_in_order (places);
}

/* A RECV that is given its times has nothing to do, and a SEND right behind its producer is done
 * with that. */
static void
list_busy (PwSimRound *round) {
  round->busy = g_array_new (FALSE, FALSE, sizeof (PwSimWalkStep));
  PwSimWalkStep *last = NULL;
  for (guint i = 0; i < round->steps->len; i++) {
    const PwSimWalkStep *step = &g_array_index (round->steps, PwSimWalkStep, i);
    if (step->what == PW_SIM_WALK_RECEIVE && step->partner.id < 0)
      continue;
    if (step->what == PW_SIM_WALK_SEND && last != NULL && last->what == PW_SIM_WALK_COMPUTE
        && last->self.id == step->self.id - 1 && step->back == 1) {
      last->channel = step->channel;
      last->transfer = step->transfer;
      last->partner = step->partner;
      last = NULL;
      continue;
    }
    g_array_append_val (round->busy, *step);
    last = &g_array_index (round->busy, PwSimWalkStep, round->busy->len - 1);
  }
}

/* Lists may speak of micro-batches that there are not. */
static gboolean
has_microbatches (const PwSimRound *round, int64_t rounds) {
  for (guint i = 0; i < round->steps->len; i++) {
    const PwSimWalkStep *step = &g_array_index (round->steps, PwSimWalkStep, i);
    for (int64_t k = 0; k <= (step->what == PW_SIM_WALK_PAIR); k++) {
      PwAction action = pw__sim_action (round->walk->layout, step->rank, step->self.id + k);
      int64_t last = action.microbatch + rounds * round->shift;
      if (last < 0 || last >= round->walk->microbatches)
        return FALSE;
    }
  }
  return TRUE;
}

/* After the noted one; 0 where what it took does not repeat, or what it left is more. */
static int64_t
count_rounds (const PwSimRound *round) {
  const PwSimWalk *walk = round->walk;
  int64_t rounds = INT64_MAX;
  for (int rank = 0; rank < walk->layout->ranks; rank++) {
    const PwPeriodList *list = &round->lists[rank];
    if (round->earliest[rank] < walk->layout->offset[rank])
      return 0; /* it began otherwise */
    int64_t early = round->earliest[rank] - pw__sim_round_begin (round, rank);
    int64_t lasts
        = pw_period_lasts (list->next, early, list->n - list->period, list->period, round->shift);
    rounds = MIN (rounds, lasts / list->period);
    if (lasts < 0 || round->accounts[rank].held != walk->summary->accounts[rank].held)
      return 0;
  }
  return has_microbatches (round, rounds) ? rounds : 0;
}

gboolean
pw__sim_walk_repeat (PwSimWalk *walk) {
  PwSimRound round = { .walk = walk };
  gboolean going = TRUE;
  walk->look_at += 1 + walk->look_at / LOOKS;
  if (walk->cursors[walk->irregular].next == walk->stood)
    return TRUE; /* it has none still */
  if (begin_round (&round) && note_round (&round, &going)) {
    make_steps (&round);
    int64_t rounds = match_messages (&round) ? count_rounds (&round) : 0;
    if (rounds >= ROUNDS_MIN) {
      list_busy (&round);
      going = pw__sim_walk_do_rounds (&round, rounds);
    }
  }
  clear_round (&round);
  return going;
}
