/* Communicators, ports and lanes of the channels. All processes number communicators alike. */
#include "exec/nccl_private.h"

#include "schedules/policy.h"

void
pw__nccl_find_ends (PwTransportState *state) {
  int n = state->channels->n;
  state->ends = g_new0 (PwNcclEnd, (gsize)MAX (2 * n, 1));
  for (int c = 0; c < n; c++) {
    const PwChannelEnds *ranks = &state->channels->ends[c];
    PwNcclEnd *ends = &state->ends[2 * c];
    gboolean is_used = ranks->sender != ranks->receiver;
    ends[0] = (PwNcclEnd){ .channel = ranks->channel,
                           .is_send = TRUE,
                           .rank = is_used ? ranks->sender : -1,
                           .peer = ranks->receiver };
    ends[1] = (PwNcclEnd){ .channel = ranks->channel,
                           .rank = is_used ? ranks->receiver : -1,
                           .peer = ranks->sender };
  }
}

/* ---- Communicators ---- */

static gboolean
share_device (const PwTransportState *state, int a, int b) {
  return state->ranks[a].number == state->ranks[b].number;
}

static gboolean
some_share_a_device (const PwTransportState *state) {
  for (int a = 0; a < state->n_ranks; a++)
    for (int b = 0; b < a; b++)
      if (share_device (state, a, b))
        return TRUE;
  return FALSE;
}

static int
communicator_of_pair (const PwTransportState *state, int a, int b) {
  for (int k = 0; k < state->n_communicators; k++)
    if (state->communicators[k].ranks[0] == MIN (a, b)
        && state->communicators[k].ranks[1] == MAX (a, b))
      return k;
  return -1;
}

static int
add_pair (PwTransportState *state, int a, int b) {
  PwNcclCommunicator *pair = &state->communicators[state->n_communicators];
  pair->ranks[0] = MIN (a, b);
  pair->ranks[1] = MAX (a, b);
  pair->is_local = share_device (state, a, b);
  return state->n_communicators++;
}

static PwQueueScope
queue_scope (const PwTransportState *state) {
  switch (state->setup.policy) {
  case PW_POLICY_SHARED_STREAM:
    return PW_QUEUE_RANK;
  case PW_POLICY_PER_PEER:
    return PW_QUEUE_PEER;
  default: /* a policy without queues: a channel waits for no other one */
    return PW_QUEUE_EDGE;
  }
}

static gboolean
has_messages (const PwTransportState *state) {
  for (int i = 0; i < 2 * state->channels->n; i++)
    if (state->ends[i].rank >= 0)
      return TRUE;
  return FALSE;
}

static void
find_communicators (PwTransportState *state) {
  PwQueueScope scope = queue_scope (state);
  state->is_forked = scope == PW_QUEUE_RANK && some_share_a_device (state);
  state->communicators = g_new0 (PwNcclCommunicator, (gsize)state->channels->n + 1);
  state->communicator_of = g_new (int, (gsize)state->channels->n + 1);
  if (scope == PW_QUEUE_RANK && !state->is_forked && has_messages (state))
    state->communicators[state->n_communicators++].is_all = TRUE;
  for (int c = 0; c < state->channels->n; c++) {
    const PwNcclEnd *end = &state->ends[2 * c];
    int known = end->rank < 0            ? -1
                : scope == PW_QUEUE_EDGE ? -1
                : state->communicators[0].is_all
                    ? 0
                    : communicator_of_pair (state, end->rank, end->peer);
    if (known < 0 && end->rank >= 0)
      known = add_pair (state, end->rank, end->peer);
    state->communicator_of[c] = known;
  }
}

/* ---- Ports ---- */

static PwNcclPort *
port_of_rank (const PwNcclRank *rank, int communicator) {
  for (int i = 0; i < rank->n_ports; i++)
    if (rank->ports[i]->communicator == communicator)
      return rank->ports[i];
  return NULL;
}

static void
add_port (PwTransportState *state, int r, int communicator) {
  PwNcclRank *rank = &state->ranks[r];
  const PwNcclCommunicator *pair = &state->communicators[communicator];
  PwNcclPort *port = NULL;
  if (pair->is_local)
    port = port_of_rank (&state->ranks[pair->ranks[0]], communicator);
  if (!port) {
    port = g_new0 (PwNcclPort, 1);
    port->communicator = communicator;
    g_ptr_array_add (state->ports, port);
  }
  rank->ports[rank->n_ports++] = port;
}

static gboolean
is_member (const PwNcclCommunicator *communicator, int r) {
  return communicator->is_all || communicator->ranks[0] == r || communicator->ranks[1] == r;
}

static void
make_ports (PwTransportState *state, int r) {
  PwNcclRank *rank = &state->ranks[r];
  int n = 0;
  for (int k = 0; k < state->n_communicators; k++)
    n += is_member (&state->communicators[k], r);
  rank->ports = g_new0 (PwNcclPort *, (gsize)MAX (n, 1));
  for (int k = 0; k < state->n_communicators; k++)
    if (is_member (&state->communicators[k], r))
      add_port (state, r, k);
}

/* ---- Lanes and ends ---- */

static PwNcclLane *
lane_of (const PwTransportState *state, const PwNcclEnd *end) {
  PwNcclRank *rank = &state->ranks[end->rank];
  if (queue_scope (state) == PW_QUEUE_RANK)
    return &rank->lanes[0];
  for (int i = 0; i < rank->n_ports; i++)
    if (rank->ports[i] == end->port)
      return &rank->lanes[i];
  g_assert_not_reached ();
}

static int
number_in_port (const PwNcclCommunicator *communicator, int r) {
  if (communicator->is_all)
    return r;
  return communicator->is_local || communicator->ranks[0] == r ? 0 : 1;
}

static void
place_end (PwTransportState *state, int c, int side) {
  PwNcclEnd *end = &state->ends[2 * c + side];
  if (end->rank < 0 || !state->ranks[end->rank].is_here)
    return;
  int communicator = state->communicator_of[c];
  end->port = port_of_rank (&state->ranks[end->rank], communicator);
  end->peer_in_port = number_in_port (&state->communicators[communicator], end->peer);
  end->lane = lane_of (state, end);
  if (state->communicators[communicator].is_local)
    end->mate = &state->ends[2 * c + 1 - side];
}

void
pw__nccl_lay_out (PwTransportState *state) {
  find_communicators (state);
  for (int r = 0; r < state->n_ranks; r++) {
    PwNcclRank *rank = &state->ranks[r];
    rank->device = &state->devices[rank->number];
    if (!rank->is_here)
      continue;
    make_ports (state, r);
    /* A port per lane, or one lane for all. */
    rank->n_lanes = queue_scope (state) == PW_QUEUE_RANK ? MIN (1, rank->n_ports) : rank->n_ports;
    rank->lanes = g_new0 (PwNcclLane, (gsize)MAX (rank->n_lanes, 1));
  }
  for (int c = 0; c < state->channels->n; c++)
    for (int side = 0; side < 2; side++)
      place_end (state, c, side);
}

void
pw__nccl_clear_layout (PwTransportState *state) {
  for (int r = 0; r < state->n_ranks; r++) {
    g_free (state->ranks[r].ports);
    g_free (state->ranks[r].lanes);
  }
  g_free (state->ends);
  g_free (state->communicators);
  g_free (state->communicator_of);
}
