#include "cases.h"

#include <math.h>

/* Bytes of one kind that live on a rank from a moment to another. */
typedef struct {
  int rank;
  PwMemoryCategory category;
  double from, to;
  int64_t bytes;
} Life;

typedef struct {
  const Case *c;
  const PwSimResult *result;
  GArray *lives;
} Story;

static void
live (Story *story, int rank, PwMemoryCategory category, double from, double to, int64_t bytes) {
  Life life = { rank, category, from, to, bytes };
  g_array_append_val (story->lives, life);
}

/* The action of one of KINDS (two, PW_ACTION_N: none) of LIKE's stage and micro-batch; -1: none. */
static int64_t
find (const Story *story, int rank, PwActionKind a, PwActionKind b, PwAction like) {
  const PwProgram *program = &story->c->lowered->programs[rank];
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if ((action.kind == a || action.kind == b) && action.stage == like.stage
        && action.microbatch == like.microbatch && action.direction == like.direction)
      return i;
  }
  return -1;
}

static double
end_of (const Story *story, int rank, int64_t index) {
  return story->result->end[story->result->offset[rank] + index];
}

static double
start_of (const Story *story, int rank, int64_t index) {
  return story->result->start[story->result->offset[rank] + index];
}

/* End of the compute before INDEX in the list. */
static double
reached (const Story *story, int rank, int64_t index) {
  const PwProgram *program = &story->c->lowered->programs[rank];
  for (index--; index >= 0; index--)
    if (pw_action_kinds[program->actions[index].kind].is_compute)
      return end_of (story, rank, index);
  return 0;
}

static int
rank_of (const Story *story, PwAction like, int stage) {
  return pw_placement_rank (story->c->lowered->placement, like.direction, stage);
}

/* When the data of EDGE for LIKE's action are allocated on its rank. */
static double
arrival (const Story *story, int rank, PwAction like, int edge, gboolean forward) {
  const PwStageEdge *e = &story->c->edges->edges[edge];
  int other = forward ? e->producer : e->consumer;
  if (rank_of (story, like, other) == rank) {
    PwAction maker = like;
    maker.stage = (uint16_t)other;
    return end_of (story, rank,
                   forward
                       ? find (story, rank, PW_ACTION_FORWARD, PW_ACTION_N, maker)
                       : find (story, rank, PW_ACTION_BACKWARD, PW_ACTION_INPUT_GRADIENT, maker));
  }
  const PwProgram *program = &story->c->lowered->programs[rank];
  PwActionKind kind = forward ? PW_ACTION_RECV_FORWARD : PW_ACTION_RECV_BACKWARD;
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if (action.kind == kind && action.edge == edge && action.microbatch == like.microbatch
        && action.direction == like.direction)
      return reached (story, rank, i);
  }
  g_assert_not_reached ();
}

/* End of the last message of what the action made, -1: none is sent. */
static double
last_sent (const Story *story, int rank, PwAction like, gboolean forward) {
  const PwProgram *program = &story->c->lowered->programs[rank];
  double last = -1;
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if (action.kind == (forward ? PW_ACTION_SEND_FORWARD : PW_ACTION_SEND_BACKWARD)
        && action.stage == like.stage && action.microbatch == like.microbatch
        && action.direction == like.direction)
      last = MAX (last, end_of (story, rank, i));
  }
  return last;
}

/* BYTES that come in over the edges of a stage, all at the first byte's share of the messages. */
static void
tell_arrivals (Story *story, int rank, PwAction like, gboolean forward, int64_t bytes, double start,
               double to) {
  const PwStageEdges *edges = story->c->edges;
  int n = 0, only = -1;
  for (int e = 0; e < edges->n_edges; e++)
    if ((forward ? edges->edges[e].consumer : edges->edges[e].producer) == (int)like.stage) {
      n++;
      only = e;
    }
  g_assert_cmpint (n, <=, 1);
  double from = n == 0 ? start : arrival (story, rank, like, only, forward);
  live (story, rank, PW_MEMORY_BOUNDARY, from, to, bytes);
}

static void
tell_forward (Story *story, int rank, PwAction f, double start, double end) {
  const PwStageCost *cost = &story->c->costs->stage[f.stage];
  int64_t r = find (story, rank, PW_ACTION_RECOMPUTE, PW_ACTION_N, f);
  int64_t b = find (story, rank, PW_ACTION_BACKWARD, PW_ACTION_INPUT_GRADIENT, f);
  double gone = b < 0 ? INFINITY : end_of (story, rank, b);
  double ready = r < 0 ? end : end_of (story, rank, r);
  const PwAgainFootprint *again = &cost->again;
  int64_t kept = r < 0 ? cost->input_kept_bytes : again->first_input_bytes;
  tell_arrivals (story, rank, f, TRUE, cost->input_bytes - kept, start, end);
  tell_arrivals (story, rank, f, TRUE, kept - cost->input_kept_bytes, start, ready);
  tell_arrivals (story, rank, f, TRUE, cost->input_kept_bytes, start, gone);
  live (story, rank, PW_MEMORY_STASH, start, end,
        r < 0 ? cost->forward_peak_bytes : again->first_peak_bytes);
  live (story, rank, PW_MEMORY_STASH, end, ready, r < 0 ? 0 : again->first_stash_bytes);
  live (story, rank, PW_MEMORY_STASH, ready, gone, cost->stash_bytes);
  int64_t offload = find (story, rank, PW_ACTION_OFFLOAD, PW_ACTION_N, f);
  int64_t reload = find (story, rank, PW_ACTION_RELOAD, PW_ACTION_N, f);
  if (offload >= 0)
    live (story, rank, PW_MEMORY_STASH, end_of (story, rank, offload),
          start_of (story, rank, reload), r < 0 ? -cost->stash_bytes : -again->first_stash_bytes);
  live (story, rank, PW_MEMORY_BOUNDARY, end, last_sent (story, rank, f, TRUE),
        r < 0 ? cost->output_held_bytes : again->first_output_held_bytes);
}

static void
tell_backward (Story *story, int rank, PwAction b, double start, double end) {
  const PwStageCost *cost = &story->c->costs->stage[b.stage];
  gboolean split = b.kind == PW_ACTION_INPUT_GRADIENT;
  tell_arrivals (story, rank, b, FALSE, cost->gradient_in_bytes, start, end);
  live (story, rank, PW_MEMORY_STASH, start, end,
        split ? cost->input_peak_bytes : cost->backward_peak_bytes);
  live (story, rank, PW_MEMORY_BOUNDARY, end, last_sent (story, rank, b, FALSE),
        cost->gradient_out_bytes);
  if (split)
    live (story, rank, PW_MEMORY_STASH, end,
          end_of (story, rank, find (story, rank, PW_ACTION_WEIGHT_GRADIENT, PW_ACTION_N, b)),
          cost->kept_bytes);
}

static gboolean
has_replica_elsewhere (const Story *story, PwAction like) {
  PwAction other = like;
  other.direction = !like.direction;
  return story->c->lowered->placement->directions == 2
         && rank_of (story, like, like.stage) != rank_of (story, other, like.stage);
}

/* A way from one rank to another one needs a communicator at both, whether anything goes there or
 * not; NAMES has one of RANK's per queue. */
static void
name_way (GHashTable *names, PwQueueScope scope, int rank, int from, int to, char *name) {
  g_autofree char *peer = g_strdup_printf ("peer %d", from == rank ? to : from);
  if (from != to && scope == PW_QUEUE_RANK)
    g_hash_table_add (names, g_strdup ("all"));
  else if (from != to && (from == rank || to == rank))
    g_hash_table_add (names, g_strdup (scope == PW_QUEUE_PEER ? peer : name));
  g_free (name);
}

static int
communicators (const Story *story, int rank) {
  const PwSchedule *lowered = story->c->lowered;
  const PwStageEdges *edges = story->c->edges;
  PwQueueScope scope = pw_policies[lowered->policy].queue;
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (int d = 0; d < lowered->placement->directions; d++) {
    PwAction like = { .direction = d != 0 }, other = { .direction = d == 0 };
    for (int e = 0; e < edges->n_edges; e++) {
      int a = rank_of (story, like, edges->edges[e].producer);
      int b = rank_of (story, like, edges->edges[e].consumer);
      name_way (names, scope, rank, a, b, g_strdup_printf ("%d F %d", d, e));
      name_way (names, scope, rank, b, a, g_strdup_printf ("%d B %d", d, e));
    }
    for (int s = 0; s < lowered->stages && lowered->placement->directions == 2; s++)
      name_way (names, scope, rank, rank_of (story, like, s), rank_of (story, other, s),
                g_strdup_printf ("%d replica %d", d, s));
  }
  PwAction any = { 0 };
  gboolean outside = FALSE;
  for (int s = 0; s < lowered->stages && lowered->placement->directions == 1; s++) {
    any.stage = (uint16_t)s;
    outside |= find (story, rank, PW_ACTION_REDUCE_GRADIENT, PW_ACTION_N, any) >= 0;
  }
  return (int)g_hash_table_size (names) + outside;
}

static void
tell_rank (Story *story, int rank) {
  const PwProgram *program = &story->c->lowered->programs[rank];
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    const PwStageCost *cost = &story->c->costs->stage[action.stage];
    double start = start_of (story, rank, i), end = end_of (story, rank, i);
    if (action.kind == PW_ACTION_FORWARD)
      tell_forward (story, rank, action, start, end);
    else if (action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT)
      tell_backward (story, rank, action, start, end);
    else if (action.kind == PW_ACTION_WEIGHT_GRADIENT)
      live (story, rank, PW_MEMORY_STASH, start, end, cost->weight_peak_bytes);
    else if (action.kind == PW_ACTION_REDUCE_GRADIENT && has_replica_elsewhere (story, action))
      live (story, rank, PW_MEMORY_COMMUNICATION, start, end, cost->exchange_bytes);
    else if (action.kind == PW_ACTION_RECOMPUTE)
      live (story, rank, PW_MEMORY_STASH, start, end, cost->again.again_peak_bytes);
  }
}

static void
tell_fixed (Story *story) {
  const PwPlacement *placement = story->c->lowered->placement;
  int64_t *workspace = g_new0 (int64_t, (gsize)placement->ranks);
  for (int i = 0; i < placement->directions * placement->stages; i++) {
    const PwStageCost *cost = &story->c->costs->stage[i % placement->stages];
    int rank = placement->rank_of_stage[i];
    live (story, rank, PW_MEMORY_PARAMETERS, 0, INFINITY, cost->parameter_bytes);
    live (story, rank, PW_MEMORY_GRADIENTS, 0, INFINITY, cost->gradient_bytes);
    live (story, rank, PW_MEMORY_OPTIMIZER, 0, INFINITY, cost->optimizer_bytes);
    workspace[rank] = MAX (workspace[rank], cost->workspace_bytes);
  }
  for (int rank = 0; rank < placement->ranks; rank++) {
    live (story, rank, PW_MEMORY_WORKSPACE, 0, INFINITY, workspace[rank]);
    live (story, rank, PW_MEMORY_COMMUNICATION, 0, INFINITY,
          communicators (story, rank) * story->c->costs->communication_bytes);
  }
  g_free (workspace);
}

static int64_t
alive_at (const Story *story, int rank, double time, int64_t bytes[PW_MEMORY_N]) {
  int64_t total = 0;
  for (int category = 0; category < PW_MEMORY_N; category++)
    bytes[category] = 0;
  for (guint i = 0; i < story->lives->len; i++) {
    const Life *life = &g_array_index (story->lives, Life, i);
    if (life->rank != rank || life->from > time || life->to <= time)
      continue;
    bytes[life->category] += life->bytes;
    total += life->bytes;
  }
  return total;
}

static void
assert_tells (const Story *story) {
  const PwSimResult *result = story->result;
  int64_t bytes[PW_MEMORY_N];
  for (guint i = 0; i < result->memory->len; i++) {
    const PwTraceMemory *sample = &g_array_index (result->memory, PwTraceMemory, i);
    alive_at (story, sample->rank, sample->time, bytes);
    assert_same_bytes (sample->bytes, bytes, sizeof bytes);
  }
  for (int rank = 0; rank < result->ranks; rank++) {
    int64_t peak = 0;
    for (guint i = 0; i < story->lives->len; i++) {
      const Life *life = &g_array_index (story->lives, Life, i);
      if (life->rank != rank)
        continue;
      /* What is away comes back at its end. */
      double moment = life->bytes < 0 ? life->to : life->from;
      int64_t alive = alive_at (story, rank, moment, bytes);
      peak = MAX (peak, alive);
    }
    g_assert_cmpint (result->rank[rank].peak_memory_bytes, ==, peak);
    alive_at (story, rank, result->rank[rank].peak_time, bytes);
    assert_same_bytes (result->rank[rank].peak_by_category, bytes, sizeof bytes);
  }
}

/* A chain, so that a stage's input is one message; links that take time, so that no two things
 * happen at one moment by chance. */
static Case *
random_chain_case (void) {
  for (;;) {
    Case *c = case_random ();
    costs_randomise (c->costs, FALSE);
    costs_randomise_bytes (c->costs);
    for (int e = 0; e < c->costs->n_edges; e++)
      c->costs->link[e].latency_s = g_test_rand_double_range (0.1, 2);
    if (c->costs->n_edges == c->costs->stages - 1)
      return c;
    case_free (c);
  }
}

static void
test_against_lives (void) {
  for (int i = 0; i < 150; i++) {
    g_autoptr (Case) c = random_chain_case ();
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    Story story = { .c = c, .result = result, .lives = g_array_new (FALSE, FALSE, sizeof (Life)) };
    tell_fixed (&story);
    for (int rank = 0; rank < result->ranks; rank++)
      tell_rank (&story, rank);
    assert_tells (&story);
    g_array_unref (story.lives);
  }
}

/* Any edges: what comes also goes. */
static void
test_nothing_stays (void) {
  for (int i = 0; i < 200; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise_bytes (c->costs);
    if (c->lowered->mode == PW_MODE_INFERENCE)
      continue;
    c->input.iterations = g_test_rand_int_range (1, 3);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    const PwTraceMemory *last = NULL;
    int64_t standing = 0;
    for (guint k = 0; k < result->memory->len; k++) {
      const PwTraceMemory *sample = &g_array_index (result->memory, PwTraceMemory, k);
      if (last != NULL && last->rank == sample->rank)
        g_assert_cmpfloat (last->time, <, sample->time);
      else
        g_assert_cmpint (sample->rank, ==, last == NULL ? 0 : last->rank + 1);
      if (last == NULL || last->rank != sample->rank)
        standing = sample->bytes[PW_MEMORY_COMMUNICATION];
      if (k + 1 == result->memory->len || sample[1].rank != sample->rank) {
        g_assert_cmpint (sample->bytes[PW_MEMORY_STASH], ==, 0);
        g_assert_cmpint (sample->bytes[PW_MEMORY_BOUNDARY], ==, 0);
        g_assert_cmpint (sample->bytes[PW_MEMORY_COMMUNICATION], ==, standing);
      }
      last = sample;
    }
  }
}

static void
test_stash_of_1f1b (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 2 * P; M++) {
      g_autoptr (Case) c = case_named ("1f1b", P, M, 1, 2, 0, PW_POLICY_PER_EDGE);
      for (int s = 0; s < P; s++) {
        c->costs->stage[s].stash_bytes = c->costs->stage[s].forward_peak_bytes = 100;
        c->costs->stage[s].parameter_bytes = 7;
      }
      g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
      for (int rank = 0; rank < P; rank++) {
        g_assert_cmpint (result->rank[rank].peak_memory_bytes, ==, 7 + 100 * MIN (M, P - rank));
        g_assert_cmpint (result->rank[rank].peak_by_category[PW_MEMORY_STASH], ==,
                         100 * MIN (M, P - rank));
      }
    }
}

static void
test_versions (void) {
  g_autoptr (Case) c = case_named ("1f1b", 3, 6, 1, 2, 0, PW_POLICY_PER_EDGE);
  c->lowered->promise.weight_versions = 2;
  c->costs->stage[1].parameter_bytes = 11;
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  g_assert_cmpint (result->rank[1].peak_by_category[PW_MEMORY_VERSIONS], ==, 11);
  g_assert_cmpint (result->peak_memory_bytes, ==, 22);
}

/* PipeDream's rank r keeps P-r of them, each but the newest beside the parameters; 2BW's two. */
static void
test_versions_of_pipedream (void) {
  const char *const names[] = { "pipedream", "pipedream-2bw" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (Case) c = case_named (names[i], 4, 12, 1, 2, 0, PW_POLICY_PER_EDGE);
    for (int s = 0; s < 4; s++)
      c->costs->stage[s].parameter_bytes = 10 + s;
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    for (int rank = 0; rank < 4; rank++)
      g_assert_cmpint (result->rank[rank].peak_by_category[PW_MEMORY_VERSIONS], ==,
                       (i == 0 ? 3 - rank : 1) * (10 + rank));
  }
}

static void
test_synthetic (void) {
  g_autoptr (Case) c = case_named ("1f1b", 3, 6, 1, 2, 0, PW_POLICY_PER_EDGE);
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  g_assert_cmpint (result->memory->len, ==, 0);
  g_assert_cmpint (result->peak_memory_bytes, ==, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/memory/samples-and-peaks-equal-the-sum-of-what-lives", test_against_lives);
  g_test_add_func ("/sim/memory/what-comes-goes", test_nothing_stays);
  g_test_add_func ("/sim/memory/1f1b-holds-a-stash-per-micro-batch-in-flight", test_stash_of_1f1b);
  g_test_add_func ("/sim/memory/versions-are-copies-of-the-parameters", test_versions);
  g_test_add_func ("/sim/memory/pipedream-keeps-a-version-per-micro-batch-in-flight",
                   test_versions_of_pipedream);
  g_test_add_func ("/sim/memory/synthetic-costs-have-none", test_synthetic);
  return g_test_run ();
}
