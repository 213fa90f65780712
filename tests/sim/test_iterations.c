/* What ends an iteration, and what follows it: closed forms and orders of the exchange of
 * gradients, of norms, and of iterations back to back. */
#include "cases.h"

typedef struct {
  double update, reduce, norm;
  gboolean overlaps;
  int iterations;
} Ending;

static Case *
case_ending (const char *name, int ranks, int microbatches, const Ending *ending) {
  Case *c = case_named (name, ranks, microbatches, 1, 2, 0, PW_POLICY_PER_EDGE);
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  g_autoptr (PwSchedule) compute = pw_schedule_generate (name, &params, NULL);
  PwLowerOptions options = { .updates = TRUE,
                             .reduces = ending->reduce > 0,
                             .overlaps_reduction = ending->overlaps,
                             .norms = ending->norm > 0 };
  pw_schedule_free (c->lowered);
  c->lowered = pw_schedule_lower (compute, c->edges, &options, NULL);
  g_assert_nonnull (c->lowered);
  c->input.schedule = c->lowered;
  c->input.iterations = ending->iterations;
  c->costs->norm = ending->norm;
  for (int s = 0; s < c->costs->stages; s++) {
    c->costs->stage[s].update = ending->update;
    c->costs->stage[s].reduce = ending->reduce;
  }
  return c;
}

static double
period (const char *name, int ranks, int microbatches, const Ending *ending) {
  g_autoptr (Case) c = case_ending (name, ranks, microbatches, ending);
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  g_autoptr (PwSimResult) events = run_with (c, PW_SIM_ENGINE_EVENTS);
  assert_same_results (result, events);
  assert_idle_adds_up (result);
  return result->iteration_time;
}

/* Rank 0 has the last gradient: behind it its exchange, the norm's, its step, and nobody is later.
 */
static void
test_gpipe_and_1f1b (void) {
  static const char *const names[] = { "gpipe", "1f1b" };
  for (gsize n = 0; n < G_N_ELEMENTS (names); n++)
    for (int ranks = 1; ranks <= 5; ranks++)
      for (int microbatches = ranks; microbatches <= 3 * ranks; microbatches += ranks)
        for (int choice = 0; choice < 16; choice++) {
          Ending ending = { .update = choice & 1 ? 0.5 : 0,
                            .reduce = choice & 2 ? 0.75 : 0,
                            .norm = choice & 4 ? 0.25 : 0,
                            .overlaps = choice & 8,
                            .iterations = 1 + choice % 3 };
          double pipeline = 3.0 * (microbatches + ranks - 1);
          g_assert_cmpfloat (period (names[n], ranks, microbatches, &ending), ==,
                             pipeline + ending.reduce + ending.norm + ending.update);
        }
}

/* A rank's other stages hide the exchange of one that has its last gradient early. */
static void
test_overlap_hides (void) {
  static const struct {
    const char *name;
    int ranks, microbatches;
  } rows[] = { { "interleaved-1f1b", 4, 8 },
               { "looped-bfs", 4, 8 },
               { "hanayo", 4, 8 },
               { "zb-v", 4, 8 },
               { "zb-h1", 4, 8 },
               { "1f1b", 4, 8 },
               { "chimera", 4, 8 },
               { "dualpipe", 4, 8 },
               { "dualpipe-v", 4, 8 } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    double last = 0, none = 0;
    for (int way = 0; way < 3; way++) {
      Ending ending = { .update = 0.25, .reduce = way > 0 ? 1.5 : 0, .overlaps = way == 1 };
      double time = period (rows[i].name, rows[i].ranks, rows[i].microbatches, &ending);
      g_assert_cmpfloat (time, >=, last);
      none = way == 0 ? time : none;
      last = time;
    }
    g_assert_cmpfloat (last, >, none);
  }
}

/* Both replicas of a stage start and end together, and U of each comes later. */
static void
test_replicas_meet (void) {
  static const char *const names[] = { "chimera", "dualpipe" };
  for (gsize n = 0; n < G_N_ELEMENTS (names); n++) {
    Ending ending = { .update = 0.5, .reduce = 0.75, .iterations = 1 };
    g_autoptr (Case) c = case_ending (names[n], 4, 8, &ending);
    for (int s = 0; s < c->costs->stages; s++)
      c->costs->stage[s].forward = 1 + 0.25 * s;
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    double start[16][2], updated[16][2];
    for (int rank = 0; rank < result->ranks; rank++)
      for (int64_t i = 0; i < c->lowered->programs[rank].n_prologue; i++) {
        PwAction action = c->lowered->programs[rank].actions[i];
        double at = result->start[result->offset[rank] + i];
        if (action.kind == PW_ACTION_REDUCE_GRADIENT)
          start[action.stage][action.direction] = at;
        else if (action.kind == PW_ACTION_UPDATE)
          updated[action.stage][action.direction] = at;
      }
    for (int s = 0; s < c->costs->stages; s++) {
      g_assert_cmpfloat (start[s][0], ==, start[s][1]);
      g_assert_cmpfloat (updated[s][0], >=, start[s][0] + 0.75);
      g_assert_cmpfloat (updated[s][1], >=, start[s][0] + 0.75);
    }
  }
}

/* With a norm every rank steps at one time, and what it waits for others is a barrier. */
static void
test_norm_is_a_barrier (void) {
  Ending ending = { .update = 0.5, .norm = 0.25, .iterations = 1 };
  g_autoptr (Case) c = case_ending ("1f1b", 4, 8, &ending);
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  for (int rank = 0; rank < 4; rank++) {
    const PwSimRank *of_rank = &result->rank[rank];
    g_assert_cmpfloat (of_rank->last_end, ==, result->total_time);
    g_assert_cmpfloat (of_rank->idle_by_cause[PW_IDLE_BARRIER], ==, 2.0 * rank);
    g_assert_cmpfloat (of_rank->idle_by_cause[PW_IDLE_TRANSFER], ==, 0.25);
  }
}

/* Without a flush a rank is never idle in the steady state, once per micro-batches of an update. */
static void
test_pipedream (void) {
  static const char *const names[] = { "pipedream", "pipedream-2bw" };
  for (gsize n = 0; n < G_N_ELEMENTS (names); n++)
    for (int ranks = 2; ranks <= 4; ranks++) {
      PwScheduleParams params;
      pw_schedule_params_init (&params);
      params.ranks = ranks;
      params.microbatches = 2 * ranks;
      g_autoptr (PwSchedule) endless = pw_schedule_generate (names[n], &params, NULL);
      g_autoptr (PwSchedule) unrolled = pw_schedule_unroll (endless, 6, NULL);
      g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (ranks);
      PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
      g_autoptr (PwSchedule) lowered = pw_schedule_lower (unrolled, edges, &options, NULL);
      g_autoptr (PwStageCosts) costs = pw_stage_costs_new (ranks, edges);
      for (int s = 0; s < ranks; s++) {
        costs->stage[s].forward = 1;
        costs->stage[s].backward = 2;
      }
      PwSimInput input;
      pw_sim_input_init (&input);
      input.schedule = lowered;
      input.edges = edges;
      input.costs = costs;
      input.iterations = 6;
      input.is_unrolled = TRUE;
      g_autoptr (PwSimResult) result = pw_sim_run (&input, NULL);
      g_assert_cmpfloat_with_epsilon (result->iteration_time, 3.0 * params.microbatches, 1e-9);
    }
}

/* On one rank under gpipe every stash goes; the first comes back while the last forward runs, each
 * other one while the backward before its own does. Copies that are quicker cost nothing, one that
 * takes longer holds its backward up. */
static void
test_offload (void) {
  enum { M = 8 };
  static const double times[] = { 0, 0.5, 1, 2, 3, 5 };
  for (gsize i = 0; i < G_N_ELEMENTS (times); i++) {
    PwScheduleParams params;
    pw_schedule_params_init (&params);
    params.ranks = 1;
    params.microbatches = M;
    g_autoptr (PwSchedule) compute = pw_schedule_generate ("gpipe", &params, NULL);
    g_autoptr (Case) c = case_named ("gpipe", 1, M, 5, 2, 0, PW_POLICY_PER_EDGE);
    const gboolean all[] = { TRUE };
    PwLowerOptions options = { .offloaded_stages = all };
    pw_schedule_free (c->lowered);
    c->lowered = pw_schedule_lower (compute, c->edges, &options, NULL);
    c->input.schedule = c->lowered;
    c->costs->stage[0].offload = times[i];
    c->costs->stage[0].stash_bytes = c->costs->stage[0].forward_peak_bytes = 100;
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (PwSimResult) events = run_with (c, PW_SIM_ENGINE_EVENTS);
    assert_same_results (result, events);
    int copies = 0;
    for (int64_t k = 0; k < c->lowered->programs[0].n_prologue; k++)
      copies += c->lowered->programs[0].actions[k].kind == PW_ACTION_RELOAD;
    g_assert_cmpint (copies, ==, M);
    double late = MAX (times[i] - 5, 0) + (M - 1) * MAX (times[i] - 2, 0);
    g_assert_cmpfloat (result->iteration_time, ==, M * 7 + late);
    g_assert_cmpfloat (result->rank[0].idle_by_cause[PW_IDLE_MEMORY], ==, late);
    g_assert_cmpint (result->peak_memory_bytes, <, M * 100);
  }
}

/* An exchange that a rank has alone, of which others have none, is no schedule. */
static void
test_missing_half (void) {
  Ending ending = { .norm = 0.25, .iterations = 1 };
  static const PwSimEngine engines[] = { PW_SIM_ENGINE_AUTO, PW_SIM_ENGINE_EVENTS };
  for (gsize e = 0; e < G_N_ELEMENTS (engines); e++) {
    g_autoptr (Case) c = case_ending ("1f1b", 3, 3, &ending);
    PwProgram *program = &c->lowered->programs[1];
    g_assert_cmpint (program->actions[program->n_prologue - 2].kind, ==, PW_ACTION_NORM);
    program->actions[program->n_prologue - 2] = program->actions[program->n_prologue - 1];
    program->n_prologue--;
    g_autoptr (GError) error = NULL;
    c->input.engine = engines[e];
    g_assert_null (pw_sim_run (&c->input, &error));
    g_assert_error (error, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE);
    g_assert_nonnull (g_strrstr (error->message, "NORM is an exchange of 3, but 2 have it"));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/iterations/gpipe-and-1f1b-have-the-closed-form", test_gpipe_and_1f1b);
  g_test_add_func ("/sim/iterations/overlapping-is-never-slower", test_overlap_hides);
  g_test_add_func ("/sim/iterations/replicas-meet", test_replicas_meet);
  g_test_add_func ("/sim/iterations/a-norm-is-a-barrier", test_norm_is_a_barrier);
  g_test_add_func ("/sim/iterations/pipedream-is-never-idle", test_pipedream);
  g_test_add_func ("/sim/iterations/offload-has-the-closed-form", test_offload);
  g_test_add_func ("/sim/iterations/half-an-exchange-is-an-error", test_missing_half);
  return g_test_run ();
}
