/* How many communicators a rank is in, as NCCL's transport makes them. */
#include "sim/memory_private.h"
#include "schedules/policy.h"

typedef struct {
  int rank;
  int ends;          /* of channels that are on the rank */
  gboolean *is_peer; /* [ranks] */
  int peers;
  gboolean any; /* some rank sends to another one */
} Count;

static void
count_channel (Count *count, int sender, int receiver) {
  if (sender == receiver)
    return;
  count->any = TRUE;
  if (sender != count->rank && receiver != count->rank)
    return;
  int peer = sender == count->rank ? receiver : sender;
  count->ends++;
  count->peers += !count->is_peer[peer];
  count->is_peer[peer] = TRUE;
}

static gboolean
exchanges_outside (const PwSimLayout *layout, int rank) {
  if (layout->schedule->placement->directions == 2)
    return FALSE; /* its replicas are ranks, counted as channels */
  for (int64_t i = pw__sim_length (layout, rank) - 1; i >= 0; i--) {
    PwActionKind kind = (PwActionKind)layout->list[rank][i].kind;
    if (kind == PW_ACTION_REDUCE_GRADIENT)
      return TRUE;
    if (kind == PW_ACTION_FORWARD)
      return FALSE;
  }
  return FALSE;
}

int
pw__sim_communicators (const PwSimLayout *layout, int rank) {
  const PwPlacement *placement = layout->schedule->placement;
  g_autofree gboolean *is_peer = g_new0 (gboolean, (gsize)layout->ranks);
  Count count = { .rank = rank, .is_peer = is_peer };
  for (int c = 0; c < layout->n_channels; c++)
    count_channel (&count, layout->sender[c], layout->receiver[c]);
  for (int s = 0; placement->directions == 2 && s < layout->stages; s++)
    for (int direction = 0; direction < 2; direction++)
      count_channel (&count, pw_placement_rank (placement, direction, s),
                     pw_placement_rank (placement, 1 - direction, s));
  int outside = exchanges_outside (layout, rank);
  switch (pw_policies[layout->schedule->policy].queue) {
  case PW_QUEUE_RANK:
    return outside + count.any;
  case PW_QUEUE_PEER:
    return outside + count.peers;
  default:
    return outside + count.ends;
  }
}
