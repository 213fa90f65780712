#include "sim/memory_private.h"
#include "sim/async_private.h"

#include <string.h>

/* Bytes that go when a message has left, or a stash; negative: that come back. */
typedef struct {
  double time;
  int64_t bytes;
  PwMemoryCategory category;
} Release;

/* What happens at once. */
typedef struct {
  int64_t stash, boundary;
} Change;

typedef struct {
  const PwSimLayout *layout;
  const PwSimIndex *index;
  const PwStageCosts *costs;
  PwSimResult *result;
  int pieces;
  int *versions;       /* [directions][stages] of weights */
  int64_t *share;      /* [n_channels] bytes that arrive with a channel's message */
  uint8_t *recomputed; /* [directions * stages * stride], NULL: none */
  /* Of the rank at hand. */
  PwSimRank *rank;
  int64_t bytes[PW_MEMORY_N], total;
  double clock;
  Release *held; /* ordered by time; [first_held, n_held) are still held */
  gsize first_held, n_held, room;
  guint first_sample;
} Memory;

gboolean
pw__sim_memory_is_known (const PwStageCosts *costs) {
  for (int s = 0; s < costs->stages; s++) {
    const PwStageCost *c = &costs->stage[s];
    if (c->parameter_bytes | c->gradient_bytes | c->optimizer_bytes | c->workspace_bytes
        | c->stash_bytes | c->input_bytes | c->input_kept_bytes | c->kept_bytes
        | c->output_held_bytes | c->gradient_in_bytes | c->gradient_out_bytes
        | c->forward_peak_bytes | c->backward_peak_bytes | c->input_peak_bytes
        | c->weight_peak_bytes)
      return TRUE;
  }
  return FALSE;
}

/* The state from TIME on; of several at one time the last is kept as a sample, any may be the peak.
 */
static void
note_state (Memory *memory, double time) {
  GArray *samples = memory->result->memory;
  PwTraceMemory sample = { .time = time, .rank = memory->rank->rank };
  memcpy (sample.bytes, memory->bytes, sizeof sample.bytes);
  PwTraceMemory *last = samples->len > memory->first_sample
                            ? &g_array_index (samples, PwTraceMemory, samples->len - 1)
                            : NULL;
  if (last != NULL && last->time >= time)
    *last = sample;
  else
    g_array_append_val (samples, sample);
  if (memory->total <= memory->rank->peak_memory_bytes && last != NULL)
    return;
  memory->rank->peak_memory_bytes = memory->total;
  memory->rank->peak_time = time;
  memcpy (memory->rank->peak_by_category, memory->bytes, sizeof memory->bytes);
}

/* What has left by TIME goes first; what comes back at that time comes behind all else of it. */
static void
release_until (Memory *memory, double time) {
  while (memory->first_held < memory->n_held
         && (memory->held[memory->first_held].time < time
             || (memory->held[memory->first_held].time <= time
                 && memory->held[memory->first_held].bytes > 0))) {
    Release release = memory->held[memory->first_held++];
    memory->bytes[release.category] -= release.bytes;
    memory->total -= release.bytes;
    note_state (memory, MAX (release.time, memory->clock));
  }
}

static void
hold (Memory *memory, PwMemoryCategory category, int64_t bytes, double until) {
  if (memory->n_held == memory->room && memory->first_held > memory->room / 2) {
    memory->n_held -= memory->first_held;
    memmove (memory->held, memory->held + memory->first_held, memory->n_held * sizeof (Release));
    memory->first_held = 0;
  } else if (memory->n_held == memory->room) {
    memory->room = 2 * memory->room + 64;
    memory->held = g_renew (Release, memory->held, (gsize)memory->room);
  }
  gsize i = memory->n_held++;
  while (
      i > memory->first_held
      && (memory->held[i - 1].time > until
          || (memory->held[i - 1].time >= until && bytes > 0 && memory->held[i - 1].bytes < 0))) {
    memory->held[i] = memory->held[i - 1];
    i--;
  }
  memory->held[i] = (Release){ .time = until, .bytes = bytes, .category = category };
}

static void
apply (Memory *memory, double time, Change change) {
  release_until (memory, time);
  memory->clock = time;
  if (change.stash == 0 && change.boundary == 0)
    return;
  memory->bytes[PW_MEMORY_STASH] += change.stash;
  memory->bytes[PW_MEMORY_BOUNDARY] += change.boundary;
  memory->total += change.stash + change.boundary;
  note_state (memory, time);
}

static gboolean
is_recomputed (const Memory *memory, PwAction action) {
  if (memory->recomputed == NULL)
    return FALSE;
  int64_t place = (int64_t)action.direction * memory->layout->stages + action.stage;
  return memory->recomputed[place * memory->layout->stride + action.microbatch];
}

/* Input that no message brings: samples, or a gradient made on the spot. */
static int64_t
own_input (const Memory *memory, PwAction action, int64_t bytes) {
  const PwSimLayout *layout = memory->layout;
  int port = pw__sim_port (layout, action);
  return layout->input_start[port] == layout->input_start[port + 1] ? bytes : 0;
}

/* What starts with ACTION. */
static void
add_start (const Memory *memory, PwAction action, Change *change) {
  const PwStageCost *cost = &memory->costs->stage[action.stage];
  int64_t stash = 0, boundary = 0;
  switch ((PwActionKind)action.kind) {
  case PW_ACTION_FORWARD:
    boundary = own_input (memory, action, cost->input_bytes);
    stash
        = is_recomputed (memory, action) ? cost->again.first_peak_bytes : cost->forward_peak_bytes;
    break;
  case PW_ACTION_RECOMPUTE:
    stash = cost->again.again_peak_bytes;
    break;
  case PW_ACTION_BACKWARD:
    boundary = own_input (memory, action, cost->gradient_in_bytes);
    stash = cost->backward_peak_bytes;
    break;
  case PW_ACTION_INPUT_GRADIENT:
    boundary = own_input (memory, action, cost->gradient_in_bytes);
    stash = cost->input_peak_bytes;
    break;
  case PW_ACTION_WEIGHT_GRADIENT:
    stash = cost->weight_peak_bytes;
    break;
  default:
    break;
  }
  change->stash += stash / memory->pieces;
  change->boundary += boundary / memory->pieces;
}

/* What ACTION made is handed over: inside the rank at once, else it is HELD until the last message
 * has left. Returns what is added to the boundary now. */
static int64_t
hand_over (Memory *memory, PwAction action, int64_t held, double time) {
  const PwSimLayout *layout = memory->layout;
  int port = pw__sim_port (layout, action);
  double until = -1;
  int64_t added = 0;
  for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
    int channel = layout->outputs[k];
    int32_t send = memory->index->send[pw__sim_slot (layout, channel, action)];
    if (layout->sender[channel] == layout->receiver[channel])
      added += memory->share[channel];
    else if (send >= 0)
      until = MAX (until, memory->result->end[send]);
  }
  if (until < 0 || held == 0)
    return added;
  release_until (memory, time);
  hold (memory, PW_MEMORY_BOUNDARY, held, until);
  return added + held;
}

/* What ends with ACTION, and what it leaves. */
static void
add_end (Memory *memory, PwAction action, double time, Change *change) {
  const PwStageCost *cost = &memory->costs->stage[action.stage];
  int pieces = memory->pieces;
  int64_t stash = 0, boundary = 0;
  const PwAgainFootprint *again = &cost->again;
  switch ((PwActionKind)action.kind) {
  case PW_ACTION_FORWARD:
    if (is_recomputed (memory, action)) {
      stash = again->first_stash_bytes / pieces - again->first_peak_bytes / pieces;
      boundary = again->first_input_bytes / pieces - cost->input_bytes / pieces
                 + hand_over (memory, action, again->first_output_held_bytes / pieces, time);
      break;
    }
    stash = cost->stash_bytes / pieces - cost->forward_peak_bytes / pieces;
    boundary = cost->input_kept_bytes / pieces - cost->input_bytes / pieces
               + hand_over (memory, action, cost->output_held_bytes / pieces, time);
    break;
  case PW_ACTION_RECOMPUTE:
    stash = cost->stash_bytes / pieces - again->first_stash_bytes / pieces
            - again->again_peak_bytes / pieces;
    boundary = cost->input_kept_bytes / pieces - again->first_input_bytes / pieces;
    break;
  case PW_ACTION_BACKWARD:
  case PW_ACTION_INPUT_GRADIENT:
    stash = action.kind == PW_ACTION_BACKWARD
                ? -(cost->backward_peak_bytes / pieces)
                : cost->kept_bytes / pieces - cost->input_peak_bytes / pieces;
    stash -= cost->stash_bytes / pieces;
    boundary = -(cost->input_kept_bytes / pieces) - cost->gradient_in_bytes / pieces
               + hand_over (memory, action, cost->gradient_out_bytes / pieces, time);
    break;
  case PW_ACTION_WEIGHT_GRADIENT:
    stash = -(cost->weight_peak_bytes / pieces) - cost->kept_bytes / pieces;
    break;
  default:
    break;
  }
  change->stash += stash;
  change->boundary += boundary;
}

/* What stays for the whole run. */
static void
add_fixed (Memory *memory, int r) {
  const PwSimLayout *layout = memory->layout;
  const PwPlacement *placement = layout->schedule->placement;
  int64_t *bytes = memory->bytes;
  memset (bytes, 0, sizeof memory->bytes);
  for (int i = 0; i < placement->directions * layout->stages; i++) {
    if (placement->rank_of_stage[i] != r)
      continue;
    const PwStageCost *cost = &memory->costs->stage[i % layout->stages];
    bytes[PW_MEMORY_PARAMETERS] += cost->parameter_bytes;
    bytes[PW_MEMORY_GRADIENTS] += cost->gradient_bytes;
    bytes[PW_MEMORY_OPTIMIZER] += cost->optimizer_bytes;
    bytes[PW_MEMORY_WORKSPACE] = MAX (bytes[PW_MEMORY_WORKSPACE], cost->workspace_bytes);
    bytes[PW_MEMORY_VERSIONS] += (memory->versions[i] - 1) * cost->parameter_bytes;
  }
  if (memory->costs->communication_bytes > 0)
    bytes[PW_MEMORY_COMMUNICATION]
        = memory->costs->communication_bytes * pw__sim_communicators (layout, r);
  memory->total = 0;
  for (int category = 0; category < PW_MEMORY_N; category++)
    memory->total += bytes[category];
  note_state (memory, 0);
}

/* With the replica on another rank; an exchange that takes no time holds nothing. */
static void
hold_exchange (Memory *memory, PwAction action, int64_t id) {
  const PwPlacement *placement = memory->layout->schedule->placement;
  int64_t bytes = memory->costs->stage[action.stage].exchange_bytes;
  double start = memory->result->start[id], end = memory->result->end[id];
  if (action.kind != PW_ACTION_REDUCE_GRADIENT || placement->directions < 2 || start >= end
      || pw_placement_rank (placement, 0, action.stage)
             == pw_placement_rank (placement, 1, action.stage))
    return;
  hold (memory, PW_MEMORY_COMMUNICATION, -bytes, start);
  hold (memory, PW_MEMORY_COMMUNICATION, bytes, end);
}

/* A stash is gone from the end of its OFFLOAD to the start of its RELOAD. */
static void
hold_copy (Memory *memory, PwAction action, int64_t id) {
  const PwStageCost *cost = &memory->costs->stage[action.stage];
  int64_t bytes
      = (is_recomputed (memory, action) ? cost->again.first_stash_bytes : cost->stash_bytes)
        / memory->pieces;
  if (action.kind == PW_ACTION_OFFLOAD)
    hold (memory, PW_MEMORY_STASH, bytes, memory->result->end[id]);
  else if (action.kind == PW_ACTION_RELOAD)
    hold (memory, PW_MEMORY_STASH, -bytes, memory->result->start[id]);
}

static void
add_rank (Memory *memory, int r) {
  const PwSimLayout *layout = memory->layout;
  const double *start = memory->result->start, *end = memory->result->end;
  memory->rank = &memory->result->rank[r];
  memory->first_held = memory->n_held = 0;
  memory->first_sample = memory->result->memory->len;
  memory->clock = 0;
  add_fixed (memory, r);
  for (int64_t id = layout->offset[r]; id < layout->offset[r + 1];) {
    const PwAction *at = layout->list[r] + (id - layout->offset[r]);
    if (pw__sim_is_message (*at)) {
      Change arrival = { .boundary = memory->share[pw__sim_channel (layout, *at)] };
      if (!pw__sim_is_send (*at))
        apply (memory, memory->clock, arrival);
      id++;
      continue;
    }
    if (pw__sim_is_async (*at)) {
      hold_copy (memory, *at, id);
      hold_exchange (memory, *at, id);
      id++;
      continue;
    }
    int width = pw__sim_is_pair (layout, r, id) ? 2 : 1;
    Change at_start = { 0 }, at_end = { 0 };
    for (int i = 0; i < width; i++)
      add_start (memory, at[i], &at_start);
    apply (memory, start[id], at_start);
    for (int i = 0; i < width; i++)
      add_end (memory, at[i], end[id], &at_end);
    apply (memory, end[id], at_end);
    id += width;
  }
  release_until (memory, G_MAXDOUBLE);
}

/* Splits TOTAL over the channels of each port by the sizes of their messages; the last takes what
 * division leaves. */
static void
share_inputs (Memory *memory) {
  const PwSimLayout *layout = memory->layout;
  for (int port = 0; port < layout->n_ports; port++) {
    const PwStageCost *cost = &memory->costs->stage[port % layout->stages];
    gboolean forward = port / layout->stages % 2 == 0;
    int64_t left = (forward ? cost->input_bytes : cost->gradient_in_bytes) / memory->pieces;
    int64_t total = 0;
    int first = layout->input_start[port], stop = layout->input_start[port + 1];
    for (int k = first; k < stop; k++)
      total += memory->costs->message_bytes[layout->inputs[k] % layout->n_edges];
    for (int k = first; k < stop; k++) {
      int64_t bytes = memory->costs->message_bytes[layout->inputs[k] % layout->n_edges];
      double part = total > 0 ? (double)bytes / (double)total : 1;
      memory->share[layout->inputs[k]] = k == stop - 1 ? left : (int64_t)((double)left * part);
      left -= memory->share[layout->inputs[k]];
      total -= bytes;
    }
  }
}

static void
find_recomputed (Memory *memory) {
  const PwSimLayout *layout = memory->layout;
  for (int r = 0; r < layout->ranks; r++)
    for (int64_t i = 0; i < pw__sim_length (layout, r); i++) {
      PwAction action = layout->list[r][i];
      if (action.kind != PW_ACTION_RECOMPUTE)
        continue;
      int directions = layout->schedule->placement->directions;
      if (memory->recomputed == NULL)
        memory->recomputed = g_malloc0 ((gsize)(directions * layout->stages * layout->stride));
      int64_t place = (int64_t)action.direction * layout->stages + action.stage;
      memory->recomputed[place * layout->stride + action.microbatch] = 1;
    }
}

void
pw__sim_memory_add (const PwSimInput *input, const PwSimLayout *layout, const PwSimIndex *index,
                    PwSimResult *result) {
  if (!pw__sim_memory_is_known (input->costs))
    return;
  Memory memory = { .layout = layout,
                    .index = index,
                    .costs = input->costs,
                    .result = result,
                    .pieces = MAX (layout->schedule->pieces, 1),
                    .versions = g_new (int, (gsize)layout->n_ports),
                    .share = g_new0 (int64_t, (gsize)(layout->n_channels + 1)) };
  pw_schedule_weight_versions (layout->schedule, memory.versions);
  share_inputs (&memory);
  find_recomputed (&memory);
  for (int r = 0; r < layout->ranks; r++) {
    add_rank (&memory, r);
    result->peak_memory_bytes = MAX (result->peak_memory_bytes, result->rank[r].peak_memory_bytes);
  }
  g_free (memory.versions);
  g_free (memory.share);
  g_free (memory.recomputed);
  g_free (memory.held);
}
