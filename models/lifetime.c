/* Two tables made one after the other: first which buffers there are, with their first and last
 * readers found by asking each layer what it reads; then, for the footprint, a walk over the steps
 * that adds and removes them. Moments are compared by their position in an action order:
 *
 *   fused   F(0) .. F(n-1)  I(n-1) W(n-1) .. I(0) W(0)
 *   split   F(0) .. F(n-1)  I(n-1) .. I(0)  W(n-1) .. W(0)
 */
#include "models/lifetime.h"

typedef enum { ORDER_FUSED, ORDER_SPLIT } Order;

typedef struct {
  const PwGraph *graph;
  int first, end; /* layers [first, end) */
  const int *bounds;
  int stages, stage;
  PwLifetimesKind kind;
  const gboolean *again;
  GArray *buffers;
} Maker;

static gboolean
is_again (const Maker *maker, int layer) {
  return layer >= maker->first && maker->again != NULL && maker->again[layer];
}

static int
position (const PwLifetimes *range, Order order, PwMoment moment) {
  int n = range->n_layers;
  int forward = moment.layer - range->first_layer, reverse = n - 1 - forward;
  switch (moment.phase) {
  case PW_PHASE_FORWARD:
    return forward;
  case PW_PHASE_INPUT:
    return order == ORDER_FUSED ? n + 2 * reverse : n + reverse;
  case PW_PHASE_WEIGHT:
    return order == ORDER_FUSED ? n + 2 * reverse + 1 : 2 * n + reverse;
  }
  g_assert_not_reached ();
}

/* BUFFER is read (or written for the last time) at this step. */
static void
extend (const Maker *maker, PwBuffer *buffer, PwPhase phase, int layer) {
  PwLifetimes range = { .first_layer = maker->first, .n_layers = maker->end - maker->first };
  PwMoment moment = { .phase = phase, .layer = layer };
  if (position (&range, ORDER_FUSED, moment) > position (&range, ORDER_FUSED, buffer->dies_fused))
    buffer->dies_fused = moment;
  if (position (&range, ORDER_SPLIT, moment) > position (&range, ORDER_SPLIT, buffer->dies_split))
    buffer->dies_split = moment;
}

static PwBuffer
buffer_at (PwBufferKind kind, int layer, int index, int64_t bytes, PwPhase phase, int born) {
  PwMoment moment = { .phase = phase, .layer = born };
  return (PwBuffer){
    .kind = kind,
    .layer = layer,
    .index = index,
    .bytes_per_sample = bytes,
    .born = moment,
    .dies_fused = moment,
    .dies_split = moment,
    .dies_again = -1,
  };
}

/* How many times LAYER reads TENSOR. */
static int
count_reads (const PwLayer *layer, int tensor) {
  int reads = 0;
  for (int i = 0; i < layer->n_inputs; i++)
    reads += layer->inputs[i] == tensor;
  return reads;
}

static gboolean
is_read_in (const PwGraph *graph, int tensor, int first, int end) {
  for (int l = first; l < end; l++)
    if (count_reads (&graph->layers[l], tensor) > 0)
      return TRUE;
  return FALSE;
}

/* Stages after this one that read TENSOR: each gets a message and, in training, sends one back. */
static int
count_reading_stages (const Maker *maker, int tensor) {
  int count = 0;
  for (int s = maker->stage + 1; s < maker->stages; s++)
    count += is_read_in (maker->graph, tensor, maker->bounds[s], maker->bounds[s + 1]);
  return count;
}

/* The last layer of a model without a loss: its output goes to the caller. */
static gboolean
is_result (const PwGraph *graph, int tensor) {
  return tensor == graph->n_layers - 1 && !graph->layers[tensor].info.is_loss;
}

static gboolean
input_gradient_is_made (const PwGraph *graph, int layer, int tensor) {
  return tensor != PW_GRAPH_INPUT && graph->layers[tensor].needs_gradient
         && graph->layers[layer].info.has_input_gradient;
}

/* The one at which LAYER's forward is run. */
static int
forward_step (const Maker *maker, int layer) {
  gboolean is_first_of_two
      = layer + 1 < maker->end && pw_graph_runs_with_next (maker->graph, maker->again, layer);
  return is_first_of_two ? layer + 1 : layer;
}

/* What no gradient reads goes with the last that R runs of its readers, or when it is made. */
static void
set_dies_again (const Maker *maker, PwBuffer *buffer) {
  if (maker->kind != PW_LIFETIMES_TRAINING || maker->again == NULL
      || buffer->dies_fused.phase != PW_PHASE_FORWARD)
    return;
  if (is_again (maker, buffer->layer))
    buffer->dies_again = forward_step (maker, buffer->layer);
  for (int l = maker->first; l < maker->end; l++)
    if (is_again (maker, l) && count_reads (&maker->graph->layers[l], buffer->layer) > 0)
      buffer->dies_again = forward_step (maker, l);
}

static void
add_output (Maker *maker, int tensor) {
  const PwGraph *graph = maker->graph;
  gboolean is_own = tensor >= maker->first;
  gboolean keeps = maker->kind == PW_LIFETIMES_TRAINING
                   || (maker->kind == PW_LIFETIMES_FIRST && !is_again (maker, tensor));
  const PwShape *shape
      = tensor == PW_GRAPH_INPUT ? &graph->input : &graph->layers[tensor].info.output;
  PwBuffer buffer = buffer_at (PW_BUFFER_OUTPUT, tensor, 0, pw_shape_bytes (shape),
                               PW_PHASE_FORWARD, is_own ? tensor : maker->first);
  buffer.is_received = !is_own;
  buffer.is_sent
      = is_own && (is_result (graph, tensor) || count_reading_stages (maker, tensor) > 0);
  for (int l = maker->first; l < maker->end; l++) {
    const PwLayer *layer = &graph->layers[l];
    for (int i = 0; i < layer->n_inputs; i++) {
      if (layer->inputs[i] != tensor)
        continue;
      extend (maker, &buffer, PW_PHASE_FORWARD, forward_step (maker, l));
      if (keeps && (layer->info.input_reads_inputs >> i & 1))
        extend (maker, &buffer, PW_PHASE_INPUT, l);
      if (keeps && (layer->info.weight_reads_inputs >> i & 1))
        extend (maker, &buffer, PW_PHASE_WEIGHT, l);
      if (keeps && maker->kind == PW_LIFETIMES_FIRST && is_again (maker, l))
        extend (maker, &buffer, PW_PHASE_INPUT, l);
    }
  }
  if (is_own && keeps && graph->layers[tensor].info.input_reads_output)
    extend (maker, &buffer, PW_PHASE_INPUT, tensor);
  set_dies_again (maker, &buffer);
  g_array_append_val (maker->buffers, buffer);
}

static void
add_outputs (Maker *maker) {
  for (int t = PW_GRAPH_INPUT; t < maker->first; t++)
    if (is_read_in (maker->graph, t, maker->first, maker->end))
      add_output (maker, t);
  for (int t = maker->first; t < maker->end; t++)
    if (!maker->graph->layers[t].info.is_loss)
      add_output (maker, t);
}

static void
add_stashes (Maker *maker) {
  for (int l = maker->first; l < maker->end; l++) {
    const PwLayerInfo *info = &maker->graph->layers[l].info;
    gboolean keeps = maker->kind == PW_LIFETIMES_TRAINING
                     || (maker->kind == PW_LIFETIMES_FIRST && !is_again (maker, l));
    for (int i = 0; i < info->n_stashes && (keeps || !info->is_loss); i++) {
      PwBuffer buffer = buffer_at (PW_BUFFER_STASH, l, i, pw_shape_bytes (&info->stashes[i].shape),
                                   PW_PHASE_FORWARD, l);
      if (keeps)
        extend (maker, &buffer, PW_PHASE_INPUT, l);
      g_array_append_val (maker->buffers, buffer);
    }
  }
}

/* Born where its first contribution is made: by a message, or by the last layer here that reads the
 * output. Dies with its layer's gradients, or is sent after the last contribution. */
static void
add_gradient (Maker *maker, int tensor) {
  const PwGraph *graph = maker->graph;
  gboolean is_own = tensor >= maker->first;
  int parts = 0, first_reader = -1, last_reader = -1;
  for (int l = maker->first; l < maker->end; l++) {
    int reads = count_reads (&graph->layers[l], tensor);
    if (reads == 0 || !input_gradient_is_made (graph, l, tensor))
      continue;
    parts += reads;
    first_reader = first_reader < 0 ? l : first_reader;
    last_reader = l;
  }
  int messages = 0;
  if (is_own)
    messages = is_result (graph, tensor) ? 1 : count_reading_stages (maker, tensor);
  if (parts + messages == 0)
    return;
  int64_t bytes = pw_shape_bytes (&graph->layers[tensor].info.output);
  PwBuffer buffer = buffer_at (PW_BUFFER_GRADIENT, tensor, 0, bytes, PW_PHASE_INPUT,
                               messages > 0 ? maker->end - 1 : last_reader);
  buffer.is_received = messages > 0;
  buffer.is_sent = !is_own;
  buffer.n_gradient_parts = parts + messages;
  buffer.n_received_parts = messages;
  extend (maker, &buffer, PW_PHASE_INPUT, is_own ? tensor : first_reader);
  if (is_own && graph->layers[tensor].info.weight_reads_output_gradient)
    extend (maker, &buffer, PW_PHASE_WEIGHT, tensor);
  g_array_append_val (maker->buffers, buffer);
}

PwLifetimes *
pw_lifetimes_new_again (const PwGraph *graph, const int *bounds, int stages, int stage,
                        PwLifetimesKind kind, const gboolean *again) {
  g_assert (stage >= 0 && stage < stages);
  g_assert (bounds[0] >= 0 && bounds[stages] <= graph->n_layers);
  g_assert (bounds[stage] < bounds[stage + 1]);
  Maker maker = {
    .graph = graph,
    .first = bounds[stage],
    .end = bounds[stage + 1],
    .bounds = bounds,
    .stages = stages,
    .stage = stage,
    .kind = kind,
    .again = again,
    .buffers = g_array_new (FALSE, FALSE, sizeof (PwBuffer)),
  };
  add_outputs (&maker);
  add_stashes (&maker);
  for (int t = 0; t < maker.end && kind == PW_LIFETIMES_TRAINING; t++)
    if (graph->layers[t].needs_gradient)
      add_gradient (&maker, t);
  PwLifetimes *lifetimes = g_new0 (PwLifetimes, 1);
  lifetimes->graph = graph;
  lifetimes->first_layer = maker.first;
  lifetimes->n_layers = maker.end - maker.first;
  lifetimes->n_buffers = (int)maker.buffers->len;
  lifetimes->buffers = (PwBuffer *)(void *)g_array_free (maker.buffers, FALSE);
  lifetimes->kind = kind;
  return lifetimes;
}

PwLifetimes *
pw_lifetimes_new_stage (const PwGraph *graph, const int *bounds, int stages, int stage,
                        gboolean training) {
  return pw_lifetimes_new_again (graph, bounds, stages, stage,
                                 training ? PW_LIFETIMES_TRAINING : PW_LIFETIMES_INFERENCE, NULL);
}

PwLifetimes *
pw_lifetimes_new (const PwGraph *graph, int first_layer, int n_layers, gboolean training) {
  int end = first_layer + n_layers;
  const int bounds[] = { first_layer, end, graph->n_layers };
  return pw_lifetimes_new_stage (graph, bounds, end < graph->n_layers ? 2 : 1, 0, training);
}

void
pw_lifetimes_free (PwLifetimes *lifetimes) {
  if (lifetimes == NULL)
    return;
  g_free (lifetimes->buffers);
  g_free (lifetimes);
}

int
pw_lifetimes_find (const PwLifetimes *lifetimes, PwBufferKind kind, int layer, int index) {
  int low = 0, high = lifetimes->n_buffers;
  while (low < high) {
    int middle = (low + high) / 2;
    const PwBuffer *buffer = &lifetimes->buffers[middle];
    int difference = buffer->kind != kind     ? (int)buffer->kind - (int)kind
                     : buffer->layer != layer ? (buffer->layer > layer ? 1 : -1)
                                              : buffer->index - index;
    if (difference == 0)
      return middle;
    if (difference < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return -1;
}

/* The walk: `change[p]` is what becomes alive before step p runs, `freed[p]` what goes after it, so
 * the sum inside step p is all changes up to p less what was freed before p. */
typedef struct {
  const PwLifetimes *lifetimes;
  Order order;
  int64_t *change, *freed; /* [steps] */
  int64_t *temporary;      /* [steps]: alive inside the step only */
} Walk;

static PwMoment
death (const PwBuffer *buffer, Order order) {
  return order == ORDER_FUSED ? buffer->dies_fused : buffer->dies_split;
}

/* The last step of the action that MOMENT belongs to. */
static int
action_end (const PwLifetimes *lifetimes, Order order, PwMoment moment) {
  int n = lifetimes->n_layers;
  if (moment.phase == PW_PHASE_FORWARD)
    return n - 1;
  return order == ORDER_SPLIT && moment.phase == PW_PHASE_INPUT ? 2 * n - 1 : 3 * n - 1;
}

static void
walk_add_buffer (Walk *walk, const PwBuffer *buffer) {
  const PwLifetimes *lifetimes = walk->lifetimes;
  int n = lifetimes->n_layers;
  gboolean is_gradient = buffer->kind == PW_BUFFER_GRADIENT;
  int last = position (lifetimes, walk->order, death (buffer, walk->order));
  PwPhase maker = is_gradient ? PW_PHASE_INPUT : PW_PHASE_FORWARD;
  if (buffer->is_sent && death (buffer, walk->order).phase == maker)
    last = action_end (lifetimes, walk->order, death (buffer, walk->order));
  walk->freed[last] += buffer->bytes_per_sample;
  /* What was received is alive before the action's first step. */
  if (!buffer->is_received)
    walk->change[position (lifetimes, walk->order, buffer->born)] += buffer->bytes_per_sample;
  else if (is_gradient)
    walk->change[n] -= (buffer->n_received_parts - 1) * buffer->bytes_per_sample;
  if (!is_gradient)
    return;
  /* Every contribution but the first needs a temporary of its own. */
  gboolean is_assigned = buffer->is_received;
  for (int l = lifetimes->first_layer + n - 1; l >= lifetimes->first_layer; l--) {
    int reads = count_reads (&lifetimes->graph->layers[l], buffer->layer);
    if (reads == 0 || !input_gradient_is_made (lifetimes->graph, l, buffer->layer))
      continue;
    PwMoment moment = { .phase = PW_PHASE_INPUT, .layer = l };
    walk->temporary[position (lifetimes, walk->order, moment)]
        += (reads - (is_assigned ? 0 : 1)) * buffer->bytes_per_sample;
    is_assigned = TRUE;
  }
}

/* The largest sum inside steps [from, to) beyond what was alive before. */
static int64_t
walk_peak (const Walk *walk, int from, int to) {
  int64_t alive = 0, peak = 0;
  for (int p = from; p < to; p++) {
    alive += walk->change[p];
    peak = MAX (peak, alive + walk->temporary[p]);
    alive -= walk->freed[p];
  }
  return peak;
}

static void
find_peaks (const PwLifetimes *lifetimes, Order order, PwFootprint *footprint) {
  int n = lifetimes->n_layers;
  g_autofree int64_t *sums = g_new0 (int64_t, (gsize)(9 * n));
  Walk walk = {
    .lifetimes = lifetimes,
    .order = order,
    .change = sums,
    .freed = sums + 3 * n,
    .temporary = sums + 6 * n,
  };
  for (int b = 0; b < lifetimes->n_buffers; b++)
    walk_add_buffer (&walk, &lifetimes->buffers[b]);
  footprint->forward_peak_bytes = walk_peak (&walk, 0, n);
  if (order == ORDER_FUSED) {
    footprint->backward_peak_bytes = walk_peak (&walk, n, 3 * n);
    return;
  }
  footprint->input_peak_bytes = walk_peak (&walk, n, 2 * n);
  footprint->weight_peak_bytes = walk_peak (&walk, 2 * n, 3 * n);
}

static void
add_sums (const PwBuffer *buffer, PwFootprint *footprint) {
  int64_t bytes = buffer->bytes_per_sample;
  gboolean is_kept = buffer->dies_split.phase != PW_PHASE_FORWARD;
  if (buffer->dies_split.phase == PW_PHASE_WEIGHT)
    footprint->kept_bytes += bytes;
  if (buffer->kind == PW_BUFFER_GRADIENT) {
    footprint->gradient_in_bytes += buffer->n_received_parts * bytes;
    footprint->gradient_out_bytes += buffer->is_sent ? bytes : 0;
  } else if (buffer->is_received) {
    footprint->received_bytes += bytes;
    footprint->input_bytes += is_kept ? bytes : 0;
  } else if (is_kept) {
    footprint->stash_bytes += bytes;
  } else if (buffer->is_sent) {
    footprint->output_held_bytes += bytes;
  }
}

void
pw_lifetimes_footprint (const PwLifetimes *lifetimes, PwFootprint *footprint) {
  *footprint = (PwFootprint){
    .parameters
    = pw_graph_parameters (lifetimes->graph, lifetimes->first_layer, lifetimes->n_layers),
  };
  for (int b = 0; b < lifetimes->n_buffers; b++)
    add_sums (&lifetimes->buffers[b], footprint);
  find_peaks (lifetimes, ORDER_FUSED, footprint);
  if (lifetimes->kind == PW_LIFETIMES_TRAINING)
    find_peaks (lifetimes, ORDER_SPLIT, footprint);
}

/* R on top of what F has left; the buffers are those of training without R. */
static int64_t
again_peak (const PwLifetimes *lifetimes, const gboolean *again) {
  gsize n = (gsize)lifetimes->n_layers;
  g_autofree int64_t *sums = g_new0 (int64_t, 2 * n);
  int64_t *made = sums, *freed = sums + n, alive = 0, peak = 0;
  for (int b = 0; b < lifetimes->n_buffers; b++) {
    const PwBuffer *buffer = &lifetimes->buffers[b];
    if (buffer->kind == PW_BUFFER_GRADIENT)
      continue;
    if (!buffer->is_received && again[buffer->layer])
      made[buffer->layer - lifetimes->first_layer] += buffer->bytes_per_sample;
    if (buffer->dies_again >= 0)
      freed[buffer->dies_again - lifetimes->first_layer] += buffer->bytes_per_sample;
  }
  for (gsize i = 0; i < n; i++) {
    alive += made[i];
    peak = MAX (peak, alive);
    alive -= freed[i];
  }
  return peak;
}

void
pw_lifetimes_again_footprint (const PwGraph *graph, const int *bounds, int stages, int stage,
                              const gboolean *again, PwAgainFootprint *footprint) {
  *footprint = (PwAgainFootprint){ 0 };
  gboolean has_some = FALSE;
  for (int l = bounds[stage]; l < bounds[stage + 1]; l++)
    has_some |= again[l];
  if (!has_some)
    return;
  g_autoptr (PwLifetimes) first
      = pw_lifetimes_new_again (graph, bounds, stages, stage, PW_LIFETIMES_FIRST, again);
  g_autoptr (PwLifetimes) training
      = pw_lifetimes_new_again (graph, bounds, stages, stage, PW_LIFETIMES_TRAINING, again);
  PwFootprint sums;
  pw_lifetimes_footprint (first, &sums);
  *footprint = (PwAgainFootprint){
    .first_peak_bytes = sums.forward_peak_bytes,
    .first_stash_bytes = sums.stash_bytes,
    .first_input_bytes = sums.input_bytes,
    .first_output_held_bytes = sums.output_held_bytes,
    .again_peak_bytes = again_peak (training, again),
  };
}
