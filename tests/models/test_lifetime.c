/* Lifetimes against two stupid models: a list of every touch of every buffer, from which births and
 * deaths are read off; and a walk that allocates and frees one buffer after another. */
#include "models/lifetime.h"
#include "random_graph.h"

#define ROUNDS 2000

typedef struct {
  const PwGraph *graph;
  const int *bounds;
  int stages, stage;
  int first, end;
  gboolean training;
} Stage;

typedef struct {
  PwBufferKind kind;
  int layer, index;
  PwMoment moment;
} Touch;

static void
touch (GArray *touches, PwBufferKind kind, int layer, int index, PwMoment moment) {
  Touch entry = { .kind = kind, .layer = layer, .index = index, .moment = moment };
  g_array_append_val (touches, entry);
}

/* What the step reads and writes, said once more. */
static void
touch_step (const Stage *stage, PwMoment moment, GArray *touches) {
  const PwLayer *layer = &stage->graph->layers[moment.layer];
  const PwLayerInfo *info = &layer->info;
  gboolean is_forward = moment.phase == PW_PHASE_FORWARD;
  gboolean is_input = moment.phase == PW_PHASE_INPUT;
  for (int i = 0; i < layer->n_inputs; i++) {
    unsigned read = is_forward ? ~0u
                    : is_input ? info->input_reads_inputs
                               : info->weight_reads_inputs;
    if (read >> i & 1)
      touch (touches, PW_BUFFER_OUTPUT, layer->inputs[i], 0, moment);
    if (is_input && info->has_input_gradient && layer->inputs[i] != PW_GRAPH_INPUT)
      touch (touches, PW_BUFFER_GRADIENT, layer->inputs[i], 0, moment);
  }
  if (is_forward && moment.layer > stage->first
      && pw_graph_runs_with_next (stage->graph, NULL, moment.layer - 1))
    touch (touches, PW_BUFFER_OUTPUT, stage->graph->layers[moment.layer - 1].inputs[0], 0, moment);
  if (is_forward || is_input)
    for (int i = 0; i < info->n_stashes && (stage->training || !info->is_loss); i++)
      touch (touches, PW_BUFFER_STASH, moment.layer, i, moment);
  if (!info->is_loss && (is_forward || (is_input && info->input_reads_output)))
    touch (touches, PW_BUFFER_OUTPUT, moment.layer, 0, moment);
  if (!info->is_loss && (is_input || (!is_forward && info->weight_reads_output_gradient)))
    touch (touches, PW_BUFFER_GRADIENT, moment.layer, 0, moment);
}

static GArray *
steps_of (const Stage *stage, gboolean is_fused) {
  GArray *steps = g_array_new (FALSE, FALSE, sizeof (PwMoment));
  for (int l = stage->first; l < stage->end; l++)
    g_array_append_val (steps, ((PwMoment){ PW_PHASE_FORWARD, l }));
  for (int l = stage->end - 1; l >= stage->first && stage->training; l--) {
    g_array_append_val (steps, ((PwMoment){ PW_PHASE_INPUT, l }));
    if (is_fused)
      g_array_append_val (steps, ((PwMoment){ PW_PHASE_WEIGHT, l }));
  }
  for (int l = stage->end - 1; l >= stage->first && stage->training && !is_fused; l--)
    g_array_append_val (steps, ((PwMoment){ PW_PHASE_WEIGHT, l }));
  return steps;
}

static gboolean
moments_equal (PwMoment a, PwMoment b) {
  return a.phase == b.phase && a.layer == b.layer;
}

static GArray *
touches_of (const Stage *stage, gboolean is_fused) {
  g_autoptr (GArray) steps = steps_of (stage, is_fused);
  GArray *touches = g_array_new (FALSE, FALSE, sizeof (Touch));
  for (guint s = 0; s < steps->len; s++)
    touch_step (stage, g_array_index (steps, PwMoment, s), touches);
  return touches;
}

static gboolean
is_touch_of (const Touch *entry, const PwBuffer *buffer) {
  return entry->kind == buffer->kind && entry->layer == buffer->layer
         && entry->index == buffer->index;
}

static void
check_buffer (const Stage *stage, const PwBuffer *buffer, GArray *touches, gboolean is_fused) {
  gboolean is_found = FALSE;
  PwMoment first = { 0 }, last = { 0 };
  for (guint t = 0; t < touches->len; t++) {
    const Touch *entry = &g_array_index (touches, Touch, t);
    if (!is_touch_of (entry, buffer))
      continue;
    if (!is_found)
      first = entry->moment;
    is_found = TRUE;
    last = entry->moment;
  }
  g_assert_true (is_found);
  g_assert_true (moments_equal (is_fused ? buffer->dies_fused : buffer->dies_split, last));
  if (!buffer->is_received)
    g_assert_true (moments_equal (buffer->born, first));
  else
    g_assert_true (
        moments_equal (buffer->born, buffer->kind == PW_BUFFER_GRADIENT
                                         ? ((PwMoment){ PW_PHASE_INPUT, stage->end - 1 })
                                         : ((PwMoment){ PW_PHASE_FORWARD, stage->first })));
}

/* Other stages, after this one, with a layer that reads TENSOR. */
static int
count_readers_outside (const Stage *stage, int tensor) {
  gboolean reads[64] = { FALSE };
  for (int s = stage->stage + 1; s < stage->stages; s++)
    for (int l = stage->bounds[s]; l < stage->bounds[s + 1]; l++)
      for (int i = 0; i < stage->graph->layers[l].n_inputs; i++)
        reads[s] |= stage->graph->layers[l].inputs[i] == tensor;
  int count = 0;
  for (int s = 0; s < stage->stages; s++)
    count += reads[s];
  return count;
}

static void
check_travel (const Stage *stage, const PwBuffer *buffer) {
  const PwGraph *graph = stage->graph;
  gboolean is_own = buffer->layer >= stage->first;
  gboolean is_result
      = buffer->layer == graph->n_layers - 1 && !graph->layers[buffer->layer].info.is_loss;
  int outside = is_own ? count_readers_outside (stage, buffer->layer) + is_result : 0;
  switch (buffer->kind) {
  case PW_BUFFER_OUTPUT:
    g_assert_cmpint (buffer->is_received, ==, !is_own);
    g_assert_cmpint (buffer->is_sent, ==, outside > 0);
    break;
  case PW_BUFFER_STASH:
    g_assert_false (buffer->is_received || buffer->is_sent);
    break;
  case PW_BUFFER_GRADIENT:
    g_assert_cmpint (buffer->n_received_parts, ==, outside);
    g_assert_cmpint (buffer->is_received, ==, outside > 0);
    g_assert_cmpint (buffer->is_sent, ==, !is_own);
    break;
  }
}

/* Every buffer that is touched is in the table, and no other. */
static void
check_table (const Stage *stage, const PwLifetimes *lifetimes) {
  for (int is_fused = 0; is_fused < 2; is_fused++) {
    g_autoptr (GArray) touches = touches_of (stage, is_fused);
    for (guint t = 0; t < touches->len; t++) {
      const Touch *entry = &g_array_index (touches, Touch, t);
      int b = pw_lifetimes_find (lifetimes, entry->kind, entry->layer, entry->index);
      g_assert_cmpint (b, >=, 0);
      g_assert_true (is_touch_of (entry, &lifetimes->buffers[b]));
    }
    for (int b = 0; b < lifetimes->n_buffers; b++)
      check_buffer (stage, &lifetimes->buffers[b], touches, is_fused);
  }
  for (int b = 0; b < lifetimes->n_buffers; b++)
    check_travel (stage, &lifetimes->buffers[b]);
}

/* A machine that does what the header's rule says, one buffer at a time. */
typedef struct {
  const Stage *stage;
  const PwLifetimes *lifetimes;
  gboolean is_fused;
  gboolean *is_alive;
  int *parts;
  int64_t alive, peak;
} Machine;

static void
allocate (Machine *machine, int b) {
  g_assert_false (machine->is_alive[b]);
  machine->is_alive[b] = TRUE;
  machine->alive += machine->lifetimes->buffers[b].bytes_per_sample;
}

static void
release (Machine *machine, int b) {
  g_assert_true (machine->is_alive[b]);
  machine->is_alive[b] = FALSE;
  machine->alive -= machine->lifetimes->buffers[b].bytes_per_sample;
}

static int64_t
receive_gradients (Machine *machine) {
  int64_t bytes = 0;
  for (int b = 0; b < machine->lifetimes->n_buffers; b++) {
    const PwBuffer *buffer = &machine->lifetimes->buffers[b];
    if (buffer->kind != PW_BUFFER_GRADIENT || !buffer->is_received)
      continue;
    allocate (machine, b);
    machine->parts[b] = buffer->n_received_parts;
    bytes += buffer->bytes_per_sample * buffer->n_received_parts;
  }
  return bytes;
}

static void
run_step (Machine *machine, PwMoment moment) {
  const PwLifetimes *lifetimes = machine->lifetimes;
  const PwLayer *layer = &lifetimes->graph->layers[moment.layer];
  int64_t temporaries = 0;
  if (moment.phase == PW_PHASE_FORWARD)
    for (int b = 0; b < lifetimes->n_buffers; b++)
      if (lifetimes->buffers[b].layer == moment.layer
          && lifetimes->buffers[b].kind != PW_BUFFER_GRADIENT)
        allocate (machine, b);
  for (int i = 0; moment.phase == PW_PHASE_INPUT && i < layer->n_inputs; i++) {
    int b = pw_lifetimes_find (lifetimes, PW_BUFFER_GRADIENT, layer->inputs[i], 0);
    if (b < 0)
      continue;
    if (machine->parts[b]++ == 0)
      allocate (machine, b);
    else
      temporaries += lifetimes->buffers[b].bytes_per_sample;
  }
  machine->peak = MAX (machine->peak, machine->alive + temporaries);
}

/* What dies at MOMENT; what is sent by its action waits for that action's end. */
static void
free_dead (Machine *machine, PwMoment moment, gboolean is_end) {
  for (int b = 0; b < machine->lifetimes->n_buffers; b++) {
    const PwBuffer *buffer = &machine->lifetimes->buffers[b];
    PwMoment death = machine->is_fused ? buffer->dies_fused : buffer->dies_split;
    PwPhase maker = buffer->kind == PW_BUFFER_GRADIENT ? PW_PHASE_INPUT : PW_PHASE_FORWARD;
    gboolean waits = buffer->is_sent && death.phase == maker;
    if (waits ? is_end && machine->is_alive[b] && death.phase == maker
                    && (moment.phase == PW_PHASE_FORWARD) == (maker == PW_PHASE_FORWARD)
              : moments_equal (death, moment))
      release (machine, b);
  }
}

/* Runs steps [from, to) as one action and returns the peak beyond what was alive before. */
static int64_t
run_action (Machine *machine, const GArray *steps, guint from, guint to) {
  int64_t before = machine->alive;
  machine->peak = before;
  for (guint s = from; s < to; s++) {
    PwMoment moment = g_array_index (steps, PwMoment, s);
    run_step (machine, moment);
    free_dead (machine, moment, s + 1 == to);
  }
  return machine->peak - before;
}

static int64_t
receive_inputs (Machine *machine) {
  for (int b = 0; b < machine->lifetimes->n_buffers; b++) {
    const PwBuffer *buffer = &machine->lifetimes->buffers[b];
    if (buffer->kind == PW_BUFFER_OUTPUT && buffer->is_received)
      allocate (machine, b);
  }
  return machine->alive;
}

static int64_t
alive_inputs (const Machine *machine) {
  int64_t bytes = 0;
  for (int b = 0; b < machine->lifetimes->n_buffers; b++)
    if (machine->is_alive[b] && machine->lifetimes->buffers[b].is_received)
      bytes += machine->lifetimes->buffers[b].bytes_per_sample;
  return bytes;
}

/* The backward part; the machine holds what the forward left. */
static void
check_backward (Machine *machine, const GArray *steps, const PwFootprint *footprint) {
  guint n = (guint)machine->lifetimes->n_layers;
  g_assert_cmpint (machine->alive - alive_inputs (machine), ==, footprint->stash_bytes);
  g_assert_cmpint (alive_inputs (machine), ==, footprint->input_bytes);
  /* Messages beyond the first of a gradient are gone before the first step: part of what was alive
   * before, so they lower the peak. */
  int64_t messages = receive_gradients (machine);
  g_assert_cmpint (messages, ==, footprint->gradient_in_bytes);
  int64_t held = machine->alive - footprint->stash_bytes - footprint->input_bytes;
  int64_t extra = messages - held;
  if (machine->is_fused) {
    int64_t peak = run_action (machine, steps, n, 3 * n) - extra;
    g_assert_cmpint (MAX (peak, 0), ==, footprint->backward_peak_bytes);
  } else {
    int64_t peak = run_action (machine, steps, n, 2 * n) - extra;
    g_assert_cmpint (MAX (peak, 0), ==, footprint->input_peak_bytes);
    g_assert_cmpint (machine->alive, ==, footprint->kept_bytes);
    g_assert_cmpint (run_action (machine, steps, 2 * n, 3 * n), ==, footprint->weight_peak_bytes);
  }
  for (int b = 0; b < machine->lifetimes->n_buffers; b++) {
    const PwBuffer *buffer = &machine->lifetimes->buffers[b];
    if (buffer->kind == PW_BUFFER_GRADIENT)
      g_assert_cmpint (machine->parts[b], ==, buffer->n_gradient_parts);
  }
}

static void
check_footprint (const Stage *stage, const PwLifetimes *lifetimes, gboolean is_fused) {
  PwFootprint footprint;
  pw_lifetimes_footprint (lifetimes, &footprint);
  Machine machine = {
    .stage = stage,
    .lifetimes = lifetimes,
    .is_fused = is_fused,
    .is_alive = g_new0 (gboolean, (gsize)lifetimes->n_buffers),
    .parts = g_new0 (int, (gsize)lifetimes->n_buffers),
  };
  g_autoptr (GArray) steps = steps_of (stage, is_fused);
  g_assert_cmpint (receive_inputs (&machine), ==, footprint.received_bytes);
  int64_t peak = run_action (&machine, steps, 0, (guint)lifetimes->n_layers);
  g_assert_cmpint (peak, ==, footprint.forward_peak_bytes);
  if (stage->training)
    check_backward (&machine, steps, &footprint);
  g_assert_cmpint (machine.alive, ==, 0);
  g_free (machine.is_alive);
  g_free (machine.parts);
}

static void
for_random_stages (void (*check) (const Stage *stage, const PwLifetimes *lifetimes)) {
  for (int round = 0; round < ROUNDS; round++) {
    g_autoptr (PwGraph) graph = random_graph_new (12);
    int stages;
    g_autofree int *bounds = random_bounds_new (graph->n_layers, 5, &stages);
    for (int s = 0; s < stages; s++) {
      Stage stage = {
        .graph = graph,
        .bounds = bounds,
        .stages = stages,
        .stage = s,
        .first = bounds[s],
        .end = bounds[s + 1],
        .training = g_test_rand_int_range (0, 4) > 0,
      };
      g_autoptr (PwLifetimes) lifetimes
          = pw_lifetimes_new_stage (graph, bounds, stages, s, stage.training);
      check (&stage, lifetimes);
    }
  }
}

static void
test_table (void) {
  for_random_stages (check_table);
}

static void
check_footprints (const Stage *stage, const PwLifetimes *lifetimes) {
  check_footprint (stage, lifetimes, TRUE);
  if (stage->training)
    check_footprint (stage, lifetimes, FALSE);
}

static void
test_footprint (void) {
  for_random_stages (check_footprints);
}

static void
check_order (const Stage *stage, const PwLifetimes *lifetimes) {
  (void)stage;
  for (int b = 0; b < lifetimes->n_buffers; b++) {
    const PwBuffer *buffer = &lifetimes->buffers[b];
    g_assert_cmpint (pw_lifetimes_find (lifetimes, buffer->kind, buffer->layer, buffer->index), ==,
                     b);
  }
  g_assert_cmpint (pw_lifetimes_find (lifetimes, PW_BUFFER_STASH, 1000, 0), ==, -1);
  g_assert_cmpint (pw_lifetimes_find (lifetimes, PW_BUFFER_GRADIENT, PW_GRAPH_INPUT, 0), ==, -1);
}

static void
test_find (void) {
  for_random_stages (check_order);
}

/* What one stage sends another receives: bytes of outputs and of gradients add up over the cut. */
static void
test_conservation (void) {
  for (int round = 0; round < ROUNDS / 4; round++) {
    g_autoptr (PwGraph) graph = random_graph_new (12);
    int stages;
    g_autofree int *bounds = random_bounds_new (graph->n_layers, 5, &stages);
    int64_t gradients_in = 0, gradients_out = 0;
    for (int s = 0; s < stages; s++) {
      g_autoptr (PwLifetimes) lifetimes = pw_lifetimes_new_stage (graph, bounds, stages, s, TRUE);
      PwFootprint footprint;
      pw_lifetimes_footprint (lifetimes, &footprint);
      gradients_in += footprint.gradient_in_bytes;
      gradients_out += footprint.gradient_out_bytes;
    }
    const PwLayerInfo *last = &graph->layers[graph->n_layers - 1].info;
    if (!last->is_loss)
      gradients_out += pw_shape_bytes (&last->output);
    g_assert_cmpint (gradients_in, ==, gradients_out);
  }
}

/* n equal linear layers of width C, in training: F keeps every layer's input, which W reads. */
static void
test_linear_chain (void) {
  enum { N = 7, C = 10 };
  PwShape input = { .n_dims = 1, .dims = { C } };
  PwGraphBuilder *builder = pw_graph_builder_new ("chain", input, (PwShape){ 0 });
  PwLayerAttributes attributes = { .in = C, .out = C };
  int from = PW_GRAPH_INPUT;
  for (int i = 0; i < N; i++) {
    g_autofree char *name = g_strdup_printf ("unit%d", i);
    pw_graph_builder_begin_unit (builder, name, FALSE);
    from = pw_graph_builder_add (builder, "linear", "linear", &attributes, &from, 1);
  }
  g_autoptr (PwGraph) graph = pw_graph_builder_finish (builder, NULL);
  g_autoptr (PwLifetimes) lifetimes = pw_lifetimes_new (graph, 2, 3, TRUE);
  PwFootprint footprint;
  pw_lifetimes_footprint (lifetimes, &footprint);
  const int64_t tensor = C * 4;
  g_assert_cmpint (footprint.parameters, ==, 3 * C * C);
  g_assert_cmpint (footprint.received_bytes, ==, tensor);
  g_assert_cmpint (footprint.input_bytes, ==, tensor);
  g_assert_cmpint (footprint.stash_bytes, ==, 2 * tensor);
  g_assert_cmpint (footprint.output_held_bytes, ==, tensor);
  g_assert_cmpint (footprint.gradient_in_bytes, ==, tensor);
  g_assert_cmpint (footprint.gradient_out_bytes, ==, tensor);
  g_assert_cmpint (footprint.forward_peak_bytes, ==, 3 * tensor);
  /* Fused: one gradient more than was there, and each W frees an input and a gradient. */
  g_assert_cmpint (footprint.backward_peak_bytes, ==, tensor);
  /* Split: all three gradients stay for W, with the fourth made for the stage before. */
  g_assert_cmpint (footprint.input_peak_bytes, ==, 3 * tensor);
  g_assert_cmpint (footprint.kept_bytes, ==, 6 * tensor);
  g_assert_cmpint (footprint.weight_peak_bytes, ==, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/lifetime/births-and-deaths-are-first-and-last-touch", test_table);
  g_test_add_func ("/models/lifetime/footprint-equals-a-machine-that-allocates", test_footprint);
  g_test_add_func ("/models/lifetime/every-buffer-is-found", test_find);
  g_test_add_func ("/models/lifetime/gradients-sent-are-gradients-received", test_conservation);
  g_test_add_func ("/models/lifetime/linear-chain-has-the-closed-form", test_linear_chain);
  return g_test_run ();
}
