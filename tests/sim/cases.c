#include "cases.h"

#include <stddef.h>
#include <string.h>

void
case_free (Case *c) {
  if (c == NULL)
    return;
  pw_schedule_free (c->lowered);
  pw_stage_edges_free (c->edges);
  pw_stage_costs_free (c->costs);
  g_free (c);
}

static Case *
case_new (PwSchedule *lowered, PwStageEdges *edges) {
  Case *c = g_new0 (Case, 1);
  c->lowered = lowered;
  c->edges = edges;
  c->costs = pw_stage_costs_new (lowered->stages, edges);
  pw_sim_input_init (&c->input);
  c->input.schedule = lowered;
  c->input.edges = edges;
  c->input.costs = c->costs;
  return c;
}

static PwSchedule *
lower (PwSchedule *compute, const PwStageEdges *edges, const PwLowerOptions *options) {
  g_autoptr (GError) error = NULL;
  PwSchedule *lowered = pw_schedule_lower (compute, edges, options, &error);
  g_assert_no_error (error);
  pw_schedule_free (compute);
  return lowered;
}

Case *
case_lowered (PwSchedule *compute, PwStageEdges *edges, const PwLowerOptions *options) {
  return case_new (lower (compute, edges, options), edges);
}

Case *
case_named (const char *name, int ranks, int microbatches, double forward, double backward,
            double latency, PwPolicy policy) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  g_autoptr (GError) error = NULL;
  PwSchedule *compute = pw_schedule_generate (name, &params, &error);
  g_assert_no_error (error);
  PwStageEdges *edges = pw_stage_edges_new_chain (compute->stages);
  PwLowerOptions options = { .policy = policy };
  Case *c = case_lowered (compute, edges, &options);
  for (int s = 0; s < c->costs->stages; s++) {
    c->costs->stage[s].forward = forward;
    c->costs->stage[s].backward = backward;
    c->costs->stage[s].input = c->costs->stage[s].weight = backward / 2;
  }
  for (int e = 0; e < c->costs->n_edges; e++)
    c->costs->link[e].latency_s = latency;
  return c;
}

/* A compute schedule that is played at random: whatever could come next may. */
typedef struct {
  PwSchedule *schedule;
  const PwStageEdges *edges;
  gboolean *is_split;      /* [microbatches][stages] */
  gboolean *has_f, *has_b; /* done: F; B or I */
  gboolean *has_w;
  GArray **lists;
  GArray *ready; /* PwAction */
} Play;

static int
direction_of (const PwSchedule *schedule, int m) {
  return schedule->direction != NULL ? schedule->direction[m / schedule->pieces] : 0;
}

static gboolean
can_forward (const Play *play, int m, int s) {
  const PwStageEdges *edges = play->edges;
  int stages = play->schedule->stages;
  if (play->has_f[m * stages + s])
    return FALSE;
  for (int k = edges->in_start[s]; k < edges->in_start[s + 1]; k++)
    if (!play->has_f[m * stages + edges->edges[edges->in_edges[k]].producer])
      return FALSE;
  return TRUE;
}

static gboolean
can_backward (const Play *play, int m, int s) {
  const PwStageEdges *edges = play->edges;
  int stages = play->schedule->stages;
  if (play->schedule->mode == PW_MODE_INFERENCE || !play->has_f[m * stages + s]
      || play->has_b[m * stages + s])
    return FALSE;
  for (int k = edges->out_start[s]; k < edges->out_start[s + 1]; k++)
    if (!play->has_b[m * stages + edges->edges[edges->out_edges[k]].consumer])
      return FALSE;
  return TRUE;
}

static void
add_ready (Play *play, PwActionKind kind, int s, int m) {
  PwAction action = pw_action (kind, s, m);
  action.direction = (unsigned)direction_of (play->schedule, m) & 1u;
  g_array_append_val (play->ready, action);
}

static void
find_ready (Play *play) {
  int stages = play->schedule->stages;
  g_array_set_size (play->ready, 0);
  for (int m = 0; m < play->schedule->microbatches * play->schedule->pieces; m++)
    for (int s = 0; s < stages; s++) {
      gboolean split = play->is_split[m * stages + s];
      if (can_forward (play, m, s))
        add_ready (play, PW_ACTION_FORWARD, s, m);
      if (can_backward (play, m, s))
        add_ready (play, split ? PW_ACTION_INPUT_GRADIENT : PW_ACTION_BACKWARD, s, m);
      if (split && play->has_b[m * stages + s] && !play->has_w[m * stages + s])
        add_ready (play, PW_ACTION_WEIGHT_GRADIENT, s, m);
    }
}

static void
do_action (Play *play, PwAction action) {
  const PwSchedule *schedule = play->schedule;
  int rank = pw_placement_rank (schedule->placement, action.direction, action.stage);
  int place = (int)action.microbatch * schedule->stages + (int)action.stage;
  g_array_append_val (play->lists[rank], action);
  if (action.kind == PW_ACTION_FORWARD)
    play->has_f[place] = TRUE;
  else if (action.kind == PW_ACTION_WEIGHT_GRADIENT)
    play->has_w[place] = TRUE;
  else
    play->has_b[place] = TRUE;
}

/* Another ready action of the same rank to make a pair: an F and a B or I. */
static gboolean
find_partner (const Play *play, PwAction action, PwAction *partner) {
  const PwPlacement *placement = play->schedule->placement;
  gboolean forward = action.kind == PW_ACTION_FORWARD;
  if (action.kind == PW_ACTION_WEIGHT_GRADIENT)
    return FALSE;
  for (guint i = 0; i < play->ready->len; i++) {
    *partner = g_array_index (play->ready, PwAction, i);
    gboolean fits
        = forward ? partner->kind == PW_ACTION_BACKWARD || partner->kind == PW_ACTION_INPUT_GRADIENT
                  : partner->kind == PW_ACTION_FORWARD;
    if (fits
        && pw_placement_rank (placement, partner->direction, partner->stage)
               == pw_placement_rank (placement, action.direction, action.stage))
      return TRUE;
  }
  return FALSE;
}

static void
play_at_random (PwSchedule *schedule, const PwStageEdges *edges, gboolean pairs) {
  gsize n = (gsize)schedule->microbatches * (gsize)schedule->pieces * (gsize)schedule->stages;
  Play play = { .schedule = schedule,
                .edges = edges,
                .is_split = g_new0 (gboolean, (gsize)n),
                .has_f = g_new0 (gboolean, (gsize)n),
                .has_b = g_new0 (gboolean, (gsize)n),
                .has_w = g_new0 (gboolean, (gsize)n),
                .lists = g_new (GArray *, (gsize)schedule->ranks),
                .ready = g_array_new (FALSE, FALSE, sizeof (PwAction)) };
  int splitting = g_test_rand_int_range (0, 3);
  for (gsize i = 0; i < n; i++)
    play.is_split[i] = splitting == 2 ? g_test_rand_int_range (0, 2) : splitting;
  for (int rank = 0; rank < schedule->ranks; rank++)
    play.lists[rank] = g_array_new (FALSE, FALSE, sizeof (PwAction));
  for (find_ready (&play); play.ready->len > 0; find_ready (&play)) {
    gint32 pick = g_test_rand_int_range (0, (gint32)play.ready->len);
    PwAction action = g_array_index (play.ready, PwAction, pick), partner;
    if (pairs && find_partner (&play, action, &partner) && g_test_rand_int_range (0, 2)) {
      action.paired = 1;
      do_action (&play, action);
      do_action (&play, partner);
    } else
      do_action (&play, action);
  }
  for (int rank = 0; rank < schedule->ranks; rank++) {
    gsize length;
    PwAction *list = g_array_steal (play.lists[rank], &length);
    pw_schedule_take_list (schedule, rank, list, (int64_t)length);
    g_array_unref (play.lists[rank]);
  }
  g_free (play.is_split);
  g_free (play.has_f);
  g_free (play.has_b);
  g_free (play.has_w);
  g_free (play.lists);
  g_array_unref (play.ready);
}

static PwPlacement *
random_placement (void) {
  int ranks = g_test_rand_int_range (1, 5), chunks = g_test_rand_int_range (1, 4);
  PwPlacementKind kind = g_test_rand_int_range (0, 4);
  if (kind == PW_PLACEMENT_BIDIRECTIONAL)
    return pw_placement_new (kind, ranks, ranks);
  if (kind != PW_PLACEMENT_CUSTOM)
    return pw_placement_new (kind, ranks, ranks * chunks);
  int stages = ranks + g_test_rand_int_range (0, 4);
  PwPlacement *placement = pw_placement_new_custom (ranks, stages, 1);
  for (int s = 0; s < stages; s++)
    placement->rank_of_stage[s] = s < ranks ? s : g_test_rand_int_range (0, ranks);
  return placement;
}

PwStageEdges *
edges_random (int stages) {
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (PwStageEdge));
  for (int s = 0; s + 1 < stages; s++) {
    PwStageEdge edge = { .producer = s, .consumer = s + 1 };
    g_array_append_val (list, edge);
  }
  int skips = stages > 2 && g_test_rand_int_range (0, 2) ? g_test_rand_int_range (1, 4) : 0;
  for (int i = 0; i < skips; i++) {
    int producer = g_test_rand_int_range (0, stages - 2);
    PwStageEdge edge = { .producer = producer,
                         .consumer = g_test_rand_int_range (producer + 2, stages),
                         .tensor = i + 1 };
    g_array_append_val (list, edge);
  }
  return pw_stage_edges_new (stages, (const PwStageEdge *)(gpointer)list->data, (int)list->len);
}

Case *
case_random (void) {
  PwPlacement *placement = random_placement ();
  gboolean two_ways = placement->directions == 2;
  int microbatches = g_test_rand_int_range (1, 7);
  PwSchedule *schedule = pw_schedule_new ("random", placement, microbatches);
  if (two_ways) {
    schedule->direction = g_new (uint8_t, (gsize)microbatches);
    for (int m = 0; m < microbatches; m++)
      schedule->direction[m] = (uint8_t)g_test_rand_int_range (0, 2);
  }
  if (g_test_rand_int_range (0, 8) == 0)
    schedule->mode = PW_MODE_INFERENCE;
  PwStageEdges *edges = edges_random (schedule->stages);
  play_at_random (schedule, edges, g_test_rand_int_range (0, 3) == 0);
  g_autofree gboolean *offloaded = g_new (gboolean, (gsize)schedule->stages);
  for (int s = 0; s < schedule->stages; s++)
    offloaded[s] = g_test_rand_bit () != 0;
  PwLowerOptions options = {
    .offloaded_stages = g_test_rand_int_range (0, 3) == 0 ? offloaded : NULL,
    .policy = g_test_rand_int_range (0, PW_POLICY_N),
    .batched = g_test_rand_int_range (0, 2),
    .recompute = schedule->mode == PW_MODE_TRAINING ? g_test_rand_int_range (0, 3) : 0,
    .updates = g_test_rand_int_range (0, 2),
    .reduces = g_test_rand_int_range (0, 2),
    .overlaps_reduction = g_test_rand_int_range (0, 2),
    .norms = g_test_rand_int_range (0, 2),
  };
  Case *c = case_new (lower (schedule, edges, &options), edges);
  costs_randomise (c->costs, TRUE);
  if (g_test_rand_int_range (0, 3) == 0)
    costs_randomise_ranks (c->costs, c->lowered->ranks);
  return c;
}

static gboolean
is_message (PwAction action) {
  return pw_action_kinds[action.kind].is_send || pw_action_kinds[action.kind].is_recv;
}

Case *
case_scrambled (void) {
  Case *c = case_random ();
  int swaps = g_test_rand_int_range (1, 6);
  for (int i = 0; i < swaps; i++) {
    PwProgram *program = &c->lowered->programs[g_test_rand_int_range (0, c->lowered->ranks)];
    if (program->n_prologue < 2)
      continue;
    gint32 at = g_test_rand_int_range (0, (gint32)program->n_prologue - 1);
    PwAction *actions = program->actions + at;
    if (!is_message (actions[0]) && !is_message (actions[1]))
      continue;
    if (actions[0].paired || actions[1].paired || (at > 0 && actions[-1].paired))
      continue;
    PwAction moved = actions[0];
    actions[0] = actions[1];
    actions[1] = moved;
  }
  return c;
}

static PwAction
parse_action (const char *text, const PwStageEdges *edges) {
  static const PwActionKind kinds[]
      = { PW_ACTION_SEND_FORWARD,   PW_ACTION_RECV_FORWARD,   PW_ACTION_SEND_BACKWARD,
          PW_ACTION_RECV_BACKWARD,  PW_ACTION_FORWARD,        PW_ACTION_BACKWARD,
          PW_ACTION_INPUT_GRADIENT, PW_ACTION_WEIGHT_GRADIENT };
  char *rest;
  int stage = (int)strtol (text, &rest, 10);
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++) {
    const char *name = pw_action_kinds[kinds[i]].name;
    if (!g_str_has_prefix (rest, name))
      continue;
    PwAction action = pw_action (kinds[i], stage, strtol (rest + strlen (name), &rest, 10));
    if (is_message (action)) {
      gboolean to_next = kinds[i] == PW_ACTION_SEND_FORWARD || kinds[i] == PW_ACTION_RECV_BACKWARD;
      action.edge = (uint16_t)(to_next ? stage : stage - 1);
      g_assert_cmpint (action.edge, <, edges->n_edges);
    }
    action.grouped = *rest == '+';
    action.paired = *rest == '&';
    return action;
  }
  g_assert_not_reached ();
}

Case *
case_written (const char *lists, PwPolicy policy) {
  g_auto (GStrv) lines = g_strsplit (lists, "\n", -1);
  int ranks = (int)g_strv_length (lines);
  PwStageEdges *edges = pw_stage_edges_new_chain (ranks);
  PwSchedule *schedule
      = pw_schedule_new ("written", pw_placement_new (PW_PLACEMENT_LOOP, ranks, ranks), 8);
  schedule->is_lowered = TRUE;
  schedule->policy = policy;
  for (int rank = 0; rank < ranks; rank++) {
    g_auto (GStrv) words = g_strsplit (lines[rank], " ", -1);
    guint n = g_strv_length (words);
    PwAction *actions = g_new (PwAction, (gsize)(n + 1));
    for (guint i = 0; i < n; i++) {
      actions[i] = parse_action (words[i], edges);
      schedule->batched |= actions[i].grouped;
    }
    pw_schedule_take_list (schedule, rank, actions, n);
  }
  Case *c = case_new (schedule, edges);
  for (int s = 0; s < ranks; s++) {
    PwStageCost *cost = &c->costs->stage[s];
    cost->forward = cost->input = cost->weight = 1;
    cost->backward = 2;
  }
  return c;
}

static double
random_time (gboolean quarters) {
  return quarters ? 0.25 * g_test_rand_int_range (1, 20) : g_test_rand_double_range (0.1, 5);
}

void
costs_randomise (PwStageCosts *costs, gboolean quarters) {
  for (int s = 0; s < costs->stages; s++) {
    PwStageCost *cost = &costs->stage[s];
    cost->forward = random_time (quarters);
    cost->input = random_time (quarters);
    cost->weight = random_time (quarters);
    cost->backward = random_time (quarters);
    cost->recompute = random_time (quarters);
    cost->offload = random_time (quarters);
    cost->reduce = g_test_rand_bit () ? random_time (quarters) : 0;
    cost->update = random_time (quarters);
    cost->overlapped = g_test_rand_int_range (0, 2) ? random_time (quarters) : 0;
  }
  costs->norm = g_test_rand_bit () ? random_time (quarters) : 0;
  int links = g_test_rand_int_range (0, 3);
  for (int e = 0; e < costs->n_edges; e++) {
    costs->link[e] = (PwLink){ .latency_s = links > 0 ? random_time (quarters) - 0.25 : 0 };
    costs->message_bytes[e] = 0;
    if (links == 2) {
      costs->message_bytes[e] = g_test_rand_int_range (0, 100);
      costs->link[e].bandwidth = quarters ? 4 : g_test_rand_double_range (1, 100);
    }
    costs->link[e].latency_s = MAX (costs->link[e].latency_s, 0);
  }
}

void
costs_randomise_topology (PwStageCosts *costs, PwLinkSharing sharing, gboolean quarters) {
  PwTopology topology = {
    .ranks_per_node = g_test_rand_int_range (0, 4),
    .fabric = (PwFabric)g_test_rand_int_range (0, 3),
    .link_duplex = (PwDuplex)g_test_rand_int_range (0, 2),
    .network = { .latency_s = random_time (quarters) - 0.1 * !quarters,
                 .bandwidth
                 = quarters ? 1 << g_test_rand_int_range (0, 4) : g_test_rand_double_range (1, 100),
                 .sharing = g_test_rand_int_range (0, 4) ? sharing : PW_LINK_OWN },
    .network_duplex = (PwDuplex)g_test_rand_int_range (0, 2),
    .network_cards = g_test_rand_int_range (0, 3),
  };
  if (g_test_rand_bit ())
    topology.compute_slowdown
        = quarters ? 1 << g_test_rand_int_range (0, 3) : g_test_rand_double_range (1, 3);
  PwLinkSharing link = g_test_rand_int_range (0, 4) ? sharing : PW_LINK_OWN;
  g_free (costs->topology);
  costs->topology = g_memdup2 (&topology, sizeof topology);
  for (int e = 0; e < costs->n_edges; e++) {
    costs->link[e].sharing = link;
    costs->link[e].bandwidth
        = quarters ? 1 << g_test_rand_int_range (1, 5) : g_test_rand_double_range (1, 100);
    costs->message_bytes[e] = g_test_rand_int_range (0, 100);
  }
}

static int64_t
random_bytes (void) {
  return g_test_rand_int_range (0, 1000);
}

void
costs_randomise_ranks (PwStageCosts *costs, int ranks) {
  g_free (costs->rank_factor);
  costs->ranks = ranks;
  costs->rank_factor = g_new (double, (gsize)ranks);
  for (int rank = 0; rank < ranks; rank++)
    costs->rank_factor[rank] = 0.5 * g_test_rand_int_range (1, 5);
}

void
costs_randomise_bytes (PwStageCosts *costs) {
  costs->communication_bytes = random_bytes ();
  for (int s = 0; s < costs->stages; s++) {
    PwStageCost *cost = &costs->stage[s];
    cost->parameter_bytes = random_bytes ();
    cost->gradient_bytes = random_bytes ();
    cost->optimizer_bytes = random_bytes ();
    cost->workspace_bytes = random_bytes ();
    cost->stash_bytes = random_bytes ();
    cost->input_kept_bytes = random_bytes ();
    cost->input_bytes = cost->input_kept_bytes + random_bytes ();
    cost->kept_bytes = random_bytes ();
    cost->output_held_bytes = random_bytes ();
    cost->gradient_in_bytes = random_bytes ();
    cost->gradient_out_bytes = random_bytes ();
    cost->forward_peak_bytes = cost->stash_bytes + random_bytes ();
    cost->backward_peak_bytes = random_bytes ();
    cost->input_peak_bytes = random_bytes ();
    cost->weight_peak_bytes = random_bytes ();
    cost->exchange_bytes = random_bytes ();
    cost->again = (PwAgainFootprint){
      .first_stash_bytes = random_bytes (),
      .first_input_bytes = cost->input_bytes,
      .first_output_held_bytes = random_bytes (),
      .again_peak_bytes = random_bytes (),
    };
    cost->again.first_peak_bytes = cost->again.first_stash_bytes + random_bytes ();
  }
}

void
costs_randomise_factor (PwStageCosts *costs, int microbatches) {
  costs->microbatches = microbatches;
  costs->factor = g_new (double, (gsize)microbatches *(gsize)costs->stages);
  for (int i = 0; i < microbatches * costs->stages; i++)
    costs->factor[i] = 0.25 * g_test_rand_int_range (1, 9);
}

PwSimResult *
run_with (const Case *c, PwSimEngine engine) {
  PwSimInput input = c->input;
  input.engine = engine;
  g_autoptr (GError) error = NULL;
  PwSimResult *result = pw_sim_run (&input, &error);
  g_assert_no_error (error);
  return result;
}

void
assert_same_bytes (gconstpointer a, gconstpointer b, gsize n) {
  g_assert_cmpint (memcmp (a, b, n), ==, 0);
}

void
assert_same_results (const PwSimResult *a, const PwSimResult *b) {
  g_assert_cmpint (a->ranks, ==, b->ranks);
  gsize n = (gsize)a->offset[a->ranks];
  assert_same_bytes (a->offset, b->offset, (gsize)(a->ranks + 1) * sizeof (int64_t));
  assert_same_bytes (a->start, b->start, n * sizeof (double));
  assert_same_bytes (a->end, b->end, n * sizeof (double));
  for (int rank = 0; rank < a->ranks; rank++)
    assert_same_bytes (&a->rank[rank].busy_time, &b->rank[rank].busy_time,
                       sizeof (PwSimRank) - offsetof (PwSimRank, busy_time));
  g_assert_cmpfloat (a->iteration_time, ==, b->iteration_time);
  g_assert_cmpfloat (a->total_time, ==, b->total_time);
  g_assert_cmpfloat (a->bubble_fraction, ==, b->bubble_fraction);
  g_assert_cmpfloat (a->peak_activations, ==, b->peak_activations);
  g_assert_cmpint (a->peak_memory_bytes, ==, b->peak_memory_bytes);
  g_assert_cmpint (a->actions, ==, b->actions);
  g_assert_cmpint (a->events, ==, b->events);
  g_assert_cmpint (a->memory->len, ==, b->memory->len);
  for (guint i = 0; i < a->memory->len; i++) {
    const PwTraceMemory *x = &g_array_index (a->memory, PwTraceMemory, i);
    const PwTraceMemory *y = &g_array_index (b->memory, PwTraceMemory, i);
    g_assert_cmpint (x->rank, ==, y->rank);
    g_assert_cmpfloat (x->time, ==, y->time);
    assert_same_bytes (x->bytes, y->bytes, sizeof x->bytes);
  }
}

void
assert_idle_adds_up (const PwSimResult *result) {
  double least = 1e-9 * MAX (result->total_time, 1);
  for (int r = 0; r < result->ranks; r++) {
    const PwSimRank *rank = &result->rank[r];
    double by_cause = 0;
    for (int cause = 0; cause < PW_IDLE_N; cause++) {
      g_assert_cmpfloat (rank->idle_by_cause[cause], >=, 0);
      by_cause += rank->idle_by_cause[cause];
    }
    g_assert_cmpfloat_with_epsilon (by_cause, rank->idle_time, least);
    g_assert_cmpfloat_with_epsilon (rank->warmup_idle + rank->steady_idle + rank->drain_idle,
                                    rank->idle_time, least);
    g_assert_cmpfloat_with_epsilon (rank->busy_time + rank->idle_time, result->total_time, least);
  }
}
