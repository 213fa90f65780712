#include "sim/walk_rounds_private.h"

/* Steps ahead of which what they write is fetched: the ranks' times lie far apart. */
#define STEPS_AHEAD 64

static inline int64_t
id_in (PwSimWalkRef ref, int64_t n) {
  return ref.id + n * ref.period;
}

/* The SEND with ID, whose producer ended at READY. */
static G_ALWAYS_INLINE inline void
do_send (const PwSimWalk *walk, const PwSimWalkStep *step, int64_t id, double ready, int64_t n) {
  PwSimWalkChannel *channel = step->channel;
  double start = walk->has_queues ? MAX (ready, channel->last_end) : ready;
  double end = start + step->transfer;
  walk->start[id] = start;
  walk->end[id] = channel->last_end = end;
  if (step->partner.id >= 0) {
    int64_t received = id_in (step->partner, n);
    walk->start[received] = start;
    walk->end[received] = end;
  }
}

static G_ALWAYS_INLINE inline void
do_compute (const PwSimRound *round, const PwSimWalkStep *step, int64_t n) {
  PwSimWalk *walk = round->walk;
  PwSimAccount *account = &walk->summary->accounts[step->rank];
  const PwSimWalkInput *input = &((const PwSimWalkInput *)round->inputs->data)[step->first_input];
  double start = account->clock;
  int64_t sent = -1, back = 0; /* the input that came last */
  for (int k = 0; k < step->n_inputs; k++, input++) {
    int64_t at = id_in (input->what, n);
    double arrived = walk->end[at];
    if (arrived > start) {
      start = arrived;
      sent = at;
      back = input->back;
    }
  }
  if (sent >= 0)
    pw__sim_account_wait (account, account->clock, start, walk->end[sent - back],
                          walk->start[sent]);
  int64_t id = id_in (step->self, n);
  double end = start + step->duration;
  if (G_LIKELY (step->what == PW_SIM_WALK_COMPUTE)) {
    walk->start[id] = start;
    walk->end[id] = end;
    if (step->channel != NULL)
      do_send (walk, step, id + 1, end, n);
  } else {
    walk->start[id] = walk->start[id + 1] = start;
    walk->end[id] = walk->end[id + 1] = end;
  }
  const PwAction *actions = step->actions;
  if (walk->layout->iterations > 1)
    actions = pw__sim_walk_at (walk, step->rank, id);
  if (G_LIKELY (step->what == PW_SIM_WALK_COMPUTE))
    pw__sim_account_node_times (walk->summary, account, actions, 1, start, end);
  else
    pw__sim_account_node_times (walk->summary, account, actions, 2, start, end);
}

static inline void
do_receive (const PwSimWalk *walk, const PwSimWalkStep *step, int64_t n) {
  int64_t id = id_in (step->self, n), sent = id_in (step->partner, n);
  walk->start[id] = walk->start[sent];
  walk->end[id] = walk->end[sent];
}

static void
do_round (const PwSimRound *round, int64_t n) {
  const PwSimWalk *walk = round->walk;
  const PwSimWalkStep *step = (const PwSimWalkStep *)round->busy->data;
  const PwSimWalkStep *stop = step + round->busy->len, *ahead = step + STEPS_AHEAD;
  for (; step < stop; step++, ahead++) {
    if (G_LIKELY (ahead < stop)) {
      __builtin_prefetch (walk->start + id_in (ahead->self, n), 1);
      __builtin_prefetch (walk->end + id_in (ahead->self, n), 1);
    }
    if (step->what == PW_SIM_WALK_SEND) {
      int64_t id = id_in (step->self, n);
      do_send (walk, step, id, walk->end[id - step->back], n);
    } else if (step->what == PW_SIM_WALK_RECEIVE)
      do_receive (walk, step, n);
    else
      do_compute (round, step, n);
  }
}

/* The slots of a SEND's messages, with its ids: of which none was sent before, and none was waited
 * for but by the RECV that it goes with. */
static gboolean
fill_sent (const PwSimRound *round, const PwSimWalkStep *step, int64_t rounds) {
  int32_t *slot = &step->channel->slot[pw__sim_round_action (round, step).microbatch];
  for (int64_t n = 1; n <= rounds; n++) {
    int32_t *at = slot + n * round->shift;
    if (*at > 0 || (*at < 0 && (step->partner.id < 0 || -*at - 1 != id_in (step->partner, n))))
      return FALSE;
    *at = (int32_t)id_in (step->self, n) + 1;
  }
  return TRUE;
}

/* RECVs whose SENDs come after these rounds, or never. */
static gboolean
fill_awaited (const PwSimRound *round, const PwSimWalkStep *step, int64_t rounds) {
  int32_t *slot = &step->channel->slot[pw__sim_round_action (round, step).microbatch];
  for (int64_t n = rounds; n >= 1 && slot[n * round->shift] <= 0; n--) {
    if (slot[n * round->shift] < 0)
      return FALSE;
    slot[n * round->shift] = -(int32_t)id_in (step->self, n) - 1;
  }
  return TRUE;
}

static void
fill_made (const PwSimRound *round, const PwSimWalkStep *step, int64_t rounds) {
  const PwSimWalk *walk = round->walk;
  const PwSimLayout *layout = walk->layout;
  for (int i = 0; i <= (step->what == PW_SIM_WALK_PAIR); i++) {
    PwAction action = pw__sim_action (layout, step->rank, step->self.id + i);
    if (!pw__sim_has_port (action))
      continue;
    int port = pw__sim_port (layout, action);
    for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
      const PwSimWalkChannel *channel = &walk->channels[layout->outputs[k]];
      for (int64_t n = 1; n <= rounds && channel->sender == channel->receiver; n++)
        channel->slot[action.microbatch + n * round->shift]
            = (int32_t)(id_in (step->self, n) + i + 1);
    }
  }
}

/* What the walk would have left in the slots; SENDs first, which tell what is still awaited. */
static gboolean
fill_slots (const PwSimRound *round, int64_t rounds) {
  const PwSimWalkStep *steps = (const PwSimWalkStep *)round->steps->data;
  gboolean once = TRUE;
  for (guint i = 0; i < round->steps->len && once; i++)
    if (steps[i].what == PW_SIM_WALK_SEND)
      once = fill_sent (round, &steps[i], rounds);
    else if (steps[i].what != PW_SIM_WALK_RECEIVE)
      fill_made (round, &steps[i], rounds);
  for (guint i = 0; i < round->steps->len && once; i++)
    if (steps[i].what == PW_SIM_WALK_RECEIVE)
      once = fill_awaited (round, &steps[i], rounds);
  return once;
}

/* What counts actions grows by as much in each round. */
static void
count_actions (const PwSimRound *round, int64_t rounds) {
  PwSimWalk *walk = round->walk;
  for (int rank = 0; rank < walk->layout->ranks; rank++) {
    const PwSimAccount *before = &round->accounts[rank];
    PwSimAccount *account = &walk->summary->accounts[rank];
    account->listed += rounds * (account->listed - before->listed);
    account->actions += rounds * (account->actions - before->actions);
    account->pairs += rounds * (account->pairs - before->pairs);
    walk->cursors[rank].next += rounds * round->lists[rank].period;
    walk->cursors[rank].id += rounds * round->lists[rank].period;
  }
  const PwSimWalkStep *steps = (const PwSimWalkStep *)round->steps->data;
  for (guint i = 0; i < round->steps->len; i++) {
    walk->n_sent += steps[i].what == PW_SIM_WALK_SEND ? rounds : 0;
    walk->n_taken += steps[i].what == PW_SIM_WALK_RECEIVE ? rounds : 0;
  }
}

/* The last message of each channel of which both ends are known, where the round had one. */
static void
move_channels (const PwSimRound *round, int64_t rounds) {
  PwSimWalk *walk = round->walk;
  for (int c = 0; c < walk->layout->n_channels; c++) {
    PwSimWalkChannel *channel = &walk->channels[c];
    if (channel->last_send < pw__sim_round_begin (round, channel->sender)
        && channel->last_recv < pw__sim_round_begin (round, channel->receiver))
      continue;
    channel->last_send += (int32_t)(rounds * round->lists[channel->sender].period);
    channel->last_recv += (int32_t)(rounds * round->lists[channel->receiver].period);
  }
}

gboolean
pw__sim_walk_do_rounds (const PwSimRound *round, int64_t n) {
  if (!fill_slots (round, n))
    return FALSE;
  for (int64_t i = 1; i <= n; i++)
    do_round (round, i);
  count_actions (round, n);
  move_channels (round, n);
  return TRUE;
}
