/* Layers that are run again: whatever is chosen, R finds what it reads and leaves what F without R
 * would have left. */
#include "models/lifetime.h"
#include "random_graph.h"

#include <string.h>

#define ROUNDS 2000

typedef struct {
  const PwGraph *graph;
  const int *bounds;
  int stages, stage;
  const gboolean *again;
  PwLifetimes *first, *training;
  PwAgainFootprint footprint;
} Choice;

static void
choice_init (Choice *choice, const PwGraph *graph, const int *bounds, int stages, int stage,
             const gboolean *again) {
  *choice = (Choice){
    .graph = graph,
    .bounds = bounds,
    .stages = stages,
    .stage = stage,
    .again = again,
    .first = pw_lifetimes_new_again (graph, bounds, stages, stage, PW_LIFETIMES_FIRST, again),
    .training = pw_lifetimes_new_again (graph, bounds, stages, stage, PW_LIFETIMES_TRAINING, again),
  };
  pw_lifetimes_again_footprint (graph, bounds, stages, stage, again, &choice->footprint);
}

static void
choice_clear (Choice *choice) {
  pw_lifetimes_free (choice->first);
  pw_lifetimes_free (choice->training);
}

static void
for_random_choices (void (*check) (Choice *choice)) {
  for (int round = 0; round < ROUNDS; round++) {
    g_autoptr (PwGraph) graph = random_graph_new (12);
    int stages;
    g_autofree int *bounds = random_bounds_new (graph->n_layers, 5, &stages);
    g_autofree gboolean *again = g_new (gboolean, (gsize)graph->n_layers);
    for (int l = 0; l < graph->n_layers; l++)
      again[l] = g_test_rand_bit () != 0;
    for (int s = 0; s < stages; s++) {
      Choice choice;
      choice_init (&choice, graph, bounds, stages, s, again);
      check (&choice);
      choice_clear (&choice);
    }
  }
}

/* What a buffer of FIRST is among those of training. */
static int
same_in_training (const Choice *choice, const PwBuffer *buffer) {
  return pw_lifetimes_find (choice->training, buffer->kind, buffer->layer, buffer->index);
}

/* [training's buffers] alive after F; returns the bytes that were not received. */
static int64_t
keep_first (const Choice *choice, gboolean *is_alive) {
  int64_t stash = 0, input = 0, held = 0;
  for (int b = 0; b < choice->first->n_buffers; b++) {
    const PwBuffer *buffer = &choice->first->buffers[b];
    g_assert_cmpint (buffer->kind, !=, PW_BUFFER_GRADIENT);
    gboolean is_kept = buffer->dies_split.phase != PW_PHASE_FORWARD;
    is_alive[same_in_training (choice, buffer)] = is_kept;
    stash += is_kept && !buffer->is_received ? buffer->bytes_per_sample : 0;
    input += is_kept && buffer->is_received ? buffer->bytes_per_sample : 0;
    held += !is_kept && buffer->is_sent ? buffer->bytes_per_sample : 0;
    if (is_kept && !buffer->is_received)
      g_assert_false (choice->again[buffer->layer]);
  }
  if (choice->footprint.first_peak_bytes > 0) {
    g_assert_cmpint (stash, ==, choice->footprint.first_stash_bytes);
    g_assert_cmpint (input, ==, choice->footprint.first_input_bytes);
    g_assert_cmpint (held, ==, choice->footprint.first_output_held_bytes);
  }
  return stash;
}

static void
check_again (Choice *choice) {
  const PwLifetimes *training = choice->training;
  g_autofree gboolean *is_alive = g_new0 (gboolean, (gsize)training->n_buffers + 1);
  keep_first (choice, is_alive);
  int64_t alive = 0, peak = 0;
  for (int l = training->first_layer; l < training->first_layer + training->n_layers; l++) {
    if (!choice->again[l])
      continue;
    const PwLayer *layer = &choice->graph->layers[l];
    for (int b = 0; b < training->n_buffers; b++) {
      const PwBuffer *buffer = &training->buffers[b];
      if (buffer->kind == PW_BUFFER_GRADIENT || buffer->layer != l)
        continue;
      g_assert_false (is_alive[b]);
      is_alive[b] = TRUE;
      alive += buffer->bytes_per_sample;
    }
    peak = MAX (peak, alive);
    for (int i = 0; i < layer->n_inputs; i++)
      g_assert_true (is_alive[pw_lifetimes_find (training, PW_BUFFER_OUTPUT, layer->inputs[i], 0)]);
    for (int b = 0; b < training->n_buffers; b++)
      if (training->buffers[b].dies_again == l) {
        g_assert_true (is_alive[b]);
        is_alive[b] = FALSE;
        alive -= training->buffers[b].bytes_per_sample;
      }
  }
  g_assert_cmpint (peak, ==, choice->footprint.again_peak_bytes);
  for (int b = 0; b < training->n_buffers; b++) {
    const PwBuffer *buffer = &training->buffers[b];
    if (buffer->kind != PW_BUFFER_GRADIENT)
      g_assert_cmpint (is_alive[b], ==, buffer->dies_split.phase != PW_PHASE_FORWARD);
  }
}

static void
test_again (void) {
  for_random_choices (check_again);
}

/* All layers: a stage keeps its received inputs alone, and R is F. */
static void
test_all (void) {
  for (int round = 0; round < ROUNDS / 4; round++) {
    g_autoptr (PwGraph) graph = random_graph_new (12);
    int stages;
    g_autofree int *bounds = random_bounds_new (graph->n_layers, 5, &stages);
    g_autofree gboolean *again = g_new (gboolean, (gsize)graph->n_layers);
    for (int l = 0; l < graph->n_layers; l++)
      again[l] = TRUE;
    for (int s = 0; s < stages; s++) {
      Choice choice;
      PwFootprint whole;
      choice_init (&choice, graph, bounds, stages, s, again);
      pw_lifetimes_footprint (choice.training, &whole);
      g_assert_cmpint (choice.footprint.first_stash_bytes, ==, 0);
      g_assert_cmpint (choice.footprint.first_input_bytes, ==, whole.received_bytes);
      g_assert_cmpint (choice.footprint.first_peak_bytes, <=,
                       whole.forward_peak_bytes + whole.received_bytes - whole.input_bytes);
      g_assert_cmpint (choice.footprint.again_peak_bytes, >=,
                       whole.stash_bytes - (whole.received_bytes - whole.input_bytes));
      choice_clear (&choice);
    }
  }
}

/* None: nothing is said of it, and nothing else changes. */
static void
test_none (void) {
  for (int round = 0; round < ROUNDS / 4; round++) {
    g_autoptr (PwGraph) graph = random_graph_new (12);
    int stages;
    g_autofree int *bounds = random_bounds_new (graph->n_layers, 5, &stages);
    g_autofree gboolean *again = g_new0 (gboolean, (gsize)graph->n_layers);
    for (int s = 0; s < stages; s++) {
      Choice choice;
      PwFootprint with, without;
      choice_init (&choice, graph, bounds, stages, s, again);
      g_autoptr (PwLifetimes) plain = pw_lifetimes_new_stage (graph, bounds, stages, s, TRUE);
      pw_lifetimes_footprint (choice.training, &with);
      pw_lifetimes_footprint (plain, &without);
      g_assert_cmpint (memcmp (&with, &without, sizeof with), ==, 0);
      g_assert_cmpint (choice.footprint.first_peak_bytes + choice.footprint.again_peak_bytes, ==,
                       0);
      choice_clear (&choice);
    }
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/again/finds-what-it-reads-and-leaves-what-gradients-read", test_again);
  g_test_add_func ("/models/again/all-layers-are-a-whole-stage", test_all);
  g_test_add_func ("/models/again/no-layer-changes-nothing", test_none);
  return g_test_run ();
}
