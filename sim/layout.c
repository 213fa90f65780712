#include "sim/layout_private.h"

#include <string.h>

static gboolean
is_plain (const PwSchedule *schedule) {
  for (int rank = 0; rank < schedule->ranks; rank++)
    if (schedule->programs[rank].n_body > 0 || schedule->programs[rank].n_epilogue > 0)
      return FALSE;
  return TRUE;
}

/* Channels by port: CONSUMING those the port's action waits for, else those it fills. F takes from
 * in-edges and fills out-edges; a backward the other way round. */
static void
list_channels (const PwSimLayout *layout, gboolean consuming, int **start_out, int **list_out) {
  const PwStageEdges *edges = layout->edges;
  int *start = g_new (int, (gsize)(layout->n_ports + 1));
  int *list = g_new (int, (gsize)(layout->n_channels + 1));
  int n = 0;
  for (int port = 0; port < layout->n_ports; port++) {
    int stage = port % layout->stages, half = port / layout->stages;
    gboolean in = consuming == (half % 2 == 0);
    const int *first = in ? edges->in_start : edges->out_start;
    const int *of_stage = in ? edges->in_edges : edges->out_edges;
    start[port] = n;
    for (int k = first[stage]; k < first[stage + 1]; k++)
      list[n++] = half * layout->n_edges + of_stage[k];
  }
  start[layout->n_ports] = n;
  *start_out = start;
  *list_out = list;
}

static void
place_channels (PwSimLayout *layout) {
  const PwPlacement *placement = layout->schedule->placement;
  int directions = placement->directions;
  layout->n_channels = directions * 2 * layout->n_edges;
  layout->n_ports = directions * 2 * layout->stages;
  layout->sender = g_new (int, (gsize)(layout->n_channels + 1));
  layout->receiver = g_new (int, (gsize)(layout->n_channels + 1));
  for (int channel = 0; channel < layout->n_channels; channel++) {
    int half = channel / layout->n_edges;
    const PwStageEdge *edge = &layout->edges->edges[channel % layout->n_edges];
    int producer = pw_placement_rank (placement, half / 2, edge->producer);
    int consumer = pw_placement_rank (placement, half / 2, edge->consumer);
    layout->sender[channel] = half % 2 == 0 ? producer : consumer;
    layout->receiver[channel] = half % 2 == 0 ? consumer : producer;
  }
  list_channels (layout, TRUE, &layout->input_start, &layout->inputs);
  list_channels (layout, FALSE, &layout->output_start, &layout->outputs);
}

static gboolean
place_lists (PwSimLayout *layout, GError **error) {
  layout->list = g_new (const PwAction *, (gsize)layout->ranks);
  layout->offset = g_new (int64_t, (gsize)(layout->ranks + 1));
  layout->offset[0] = 0;
  for (int rank = 0; rank < layout->ranks; rank++) {
    const PwProgram *program = &layout->schedule->programs[rank];
    layout->list[rank] = program->actions;
    layout->offset[rank + 1] = layout->offset[rank] + program->n_prologue;
  }
  layout->n_actions = layout->offset[layout->ranks];
  int64_t slots = layout->stride * MAX (layout->n_channels, layout->n_ports);
  if (layout->n_actions < G_MAXINT32 / 2 && slots < (int64_t)G_MAXINT32 * 4)
    return TRUE;
  g_set_error (error, PW_SIM_ERROR, PW_SIM_ERROR_SIZE,
               "%" G_GINT64_FORMAT " actions on %d ranks are more than one simulation holds",
               layout->n_actions, layout->ranks);
  return FALSE;
}

/* Ranks work on about the same micro-batch at a time. Were the channels' slots for it a power of
 * two apart, they would all fall into the same few sets of the cache. */
static int64_t
odd_lines (int64_t slots) {
  int64_t per_line = 64 / (int64_t)sizeof (int32_t);
  return ((slots + per_line - 1) / per_line | 1) * per_line;
}

PwSimLayout *
pw__sim_layout_new (const PwSimInput *input, GError **error) {
  const PwSchedule *schedule = input->schedule;
  g_assert (schedule->is_lowered);
  g_assert (input->costs->stages == schedule->stages);
  g_autoptr (PwSimLayout) layout = g_new0 (PwSimLayout, 1);
  layout->iterations = MAX (input->iterations, 1);
  int repeats = input->is_unrolled ? 1 : layout->iterations;
  layout->microbatches = (int64_t)schedule->microbatches * MAX (schedule->pieces, 1) * repeats;
  layout->iteration_microbatches = layout->microbatches / layout->iterations;
  layout->stride = odd_lines (layout->microbatches);
  if (repeats > 1 || !is_plain (schedule)) {
    layout->unrolled = pw_schedule_unroll (schedule, repeats, error);
    if (layout->unrolled == NULL)
      return NULL;
    schedule = layout->unrolled;
  }
  layout->schedule = schedule;
  layout->ranks = schedule->ranks;
  layout->stages = schedule->stages;
  if (input->edges == NULL)
    layout->chain = pw_stage_edges_new_chain (schedule->stages);
  layout->edges = input->edges != NULL ? input->edges : layout->chain;
  layout->n_edges = layout->edges->n_edges;
  g_assert (layout->edges->stages == layout->stages);
  g_assert (input->costs->n_edges == layout->n_edges);
  place_channels (layout);
  if (!place_lists (layout, error))
    return NULL;
  return g_steal_pointer (&layout);
}

void
pw__sim_layout_free (PwSimLayout *layout) {
  if (layout == NULL)
    return;
  pw_schedule_free (layout->unrolled);
  pw_stage_edges_free (layout->chain);
  g_free (layout->list);
  g_free (layout->offset);
  g_free (layout->sender);
  g_free (layout->receiver);
  g_free (layout->input_start);
  g_free (layout->inputs);
  g_free (layout->output_start);
  g_free (layout->outputs);
  g_free (layout);
}

int
pw__sim_rank_of (const PwSimLayout *layout, int64_t id) {
  int low = 0, high = layout->ranks - 1;
  while (low < high) {
    int middle = (low + high) / 2;
    if (id < layout->offset[middle + 1])
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

/* Stage, edge and micro-batch exist. */
static gboolean
is_in_range (const PwSimLayout *layout, PwAction action) {
  return action.stage < layout->stages && action.microbatch < layout->microbatches
         && (!pw__sim_is_message (action) || action.edge < layout->n_edges)
         && action.direction < layout->schedule->placement->directions;
}

static gboolean
index_action (const PwSimLayout *layout, PwSimIndex *index, PwAction action, int64_t id) {
  int32_t *cell;
  if (pw__sim_is_message (action)) {
    int channel = pw__sim_channel (layout, action);
    cell = (pw__sim_is_send (action) ? index->send : index->recv)
           + pw__sim_slot (layout, channel, action);
  } else if (pw__sim_has_port (action)) {
    cell = index->producer + pw__sim_slot (layout, pw__sim_port (layout, action), action);
  } else
    return TRUE;
  gboolean first = *cell < 0;
  *cell = (int32_t)id;
  return first;
}

PwSimIndex *
pw__sim_index_new (const PwSimLayout *layout, GError **error) {
  gsize slots = (gsize)(layout->n_channels * layout->stride) * sizeof (int32_t);
  gsize ports = (gsize)(layout->n_ports * layout->stride) * sizeof (int32_t);
  g_autoptr (PwSimIndex) index = g_new (PwSimIndex, 1);
  index->send = memset (g_malloc (slots + 1), 0xff, slots);
  index->recv = memset (g_malloc (slots + 1), 0xff, slots);
  index->producer = memset (g_malloc (ports + 1), 0xff, ports);
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      char text[PW_ACTION_TEXT_MAX];
      gboolean known = is_in_range (layout, action);
      if (known && index_action (layout, index, action, id))
        continue;
      g_set_error (error, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE,
                   "rank %d, action %" G_GINT64_FORMAT ": %s %s", rank, id - layout->offset[rank],
                   pw_action_format (action, text),
                   known ? "stands there for the second time" : "is outside the schedule");
      return NULL;
    }
  return g_steal_pointer (&index);
}

void
pw__sim_index_free (PwSimIndex *index) {
  if (index == NULL)
    return;
  g_free (index->send);
  g_free (index->recv);
  g_free (index->producer);
  g_free (index);
}

/* What STAGE takes in DIRECTION, on the rank that has it there. */
static void
init_stage (PwSimDurations *durations, const PwSimLayout *layout, const PwStageCosts *costs,
            int direction, int stage) {
  const PwStageCost *cost = &costs->stage[stage];
  int pieces = durations->pieces, stages = durations->stages;
  const double of_kind[] = {
    [PW_ACTION_FORWARD] = cost->forward / pieces,
    [PW_ACTION_BACKWARD] = cost->backward / pieces,
    [PW_ACTION_INPUT_GRADIENT] = cost->input / pieces,
    [PW_ACTION_WEIGHT_GRADIENT] = cost->weight / pieces,
    [PW_ACTION_RECOMPUTE] = cost->recompute / pieces,
    [PW_ACTION_UPDATE] = cost->update,
  };
  int rank = pw_placement_rank (layout->schedule->placement, direction, stage);
  double factor = costs->rank_factor != NULL && rank >= 0 ? costs->rank_factor[rank] : 1;
  double *compute = durations->compute + direction * PW_ACTION_N * stages + stage;
  for (int kind = 0; kind < (int)G_N_ELEMENTS (of_kind); kind++)
    compute[kind * stages] = of_kind[kind] * factor;
  compute[PW_ACTION_REDUCE_GRADIENT * stages] = cost->reduce;
  compute[PW_ACTION_NORM * stages] = costs->norm;
  compute[PW_ACTION_OFFLOAD * stages] = compute[PW_ACTION_RELOAD * stages] = cost->offload / pieces;
  durations->overlapped[direction * stages + stage] = cost->overlapped / pieces * factor;
}

void
pw__sim_durations_init (PwSimDurations *durations, const PwSimLayout *layout,
                        const PwStageCosts *costs) {
  g_assert (costs->stages == layout->stages && costs->n_edges == layout->n_edges);
  int stages = layout->stages, pieces = MAX (layout->schedule->pieces, 1);
  int directions = layout->schedule->placement->directions;
  *durations = (PwSimDurations){
    .stages = stages,
    .compute = g_new0 (double, (gsize)(directions * PW_ACTION_N * stages)),
    .overlapped = g_new (double, (gsize)(directions * stages)),
    .n_edges = layout->n_edges,
    .transfer = g_new (double, (gsize)(layout->n_channels + 1)),
    .factor = costs->factor,
    .factor_microbatches = costs->microbatches,
    .pieces = pieces,
  };
  for (int direction = 0; direction < directions; direction++)
    for (int s = 0; s < stages; s++)
      init_stage (durations, layout, costs, direction, s);
  for (int channel = 0; channel < layout->n_channels; channel++) {
    int e = channel % layout->n_edges;
    PwPath path;
    pw_stage_costs_path (costs, e, layout->sender[channel], layout->receiver[channel], &path);
    double bytes = (double)costs->message_bytes[e] / pieces;
    durations->transfer[channel]
        = path.bandwidth > 0 ? path.latency_s + bytes / path.bandwidth : path.latency_s;
    durations->has_transfers |= durations->transfer[channel] > 0;
  }
}

void
pw__sim_durations_clear (PwSimDurations *durations) {
  g_clear_pointer (&durations->compute, g_free);
  g_clear_pointer (&durations->overlapped, g_free);
  g_clear_pointer (&durations->transfer, g_free);
}

/* The pair's time is its forward stage's; where it was not measured, nothing overlaps. */
double
pw__sim_pair_duration (const PwSimDurations *durations, PwAction a, PwAction b) {
  PwAction forward = a.kind == PW_ACTION_FORWARD ? a : b;
  double overlapped
      = durations->overlapped[(int)forward.direction * durations->stages + forward.stage];
  if (overlapped > 0)
    return overlapped * MAX (pw__sim_factor (durations, a), pw__sim_factor (durations, b));
  return pw__sim_duration (durations, a) + pw__sim_duration (durations, b);
}
