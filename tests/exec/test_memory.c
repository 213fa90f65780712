/* Measured peaks are the predicted ones: the stage costs' bytes along a rank's list. */
#include "exec_case.h"
#include "skip_models.h"

#include <string.h>

#include "sim/sim.h"

static gboolean
is_recomputed (const PwProgram *program, PwAction forward) {
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if (action.kind == PW_ACTION_RECOMPUTE && action.stage == forward.stage
        && action.microbatch == forward.microbatch && action.direction == forward.direction)
      return TRUE;
  }
  return FALSE;
}

/* What the rank holds along its list if sends are done AT_ONCE, or only at the end: the two bounds
 * of what the other rank's speed can make of it. Old weights are counted as if they were there all
 * the time, or (AT_ONCE) never: they come and go with the updates. Workspace aside. */
static int64_t
predicted_peak (const PwResolvedPlan *resolved, const PwSchedule *lowered, int rank,
                gboolean at_once) {
  const PwPlacement *placement = lowered->placement;
  int places = placement->directions * lowered->stages;
  g_autofree int *versions = g_new (int, (gsize)places);
  pw_schedule_weight_versions (lowered, versions);
  int64_t alive = 0, peak = 0;
  for (int place = 0; place < places; place++)
    if (placement->rank_of_stage[place] == rank) {
      const PwStageCost *cost = &resolved->costs->stage[place % lowered->stages];
      alive += cost->gradient_bytes + cost->optimizer_bytes;
      alive += (at_once ? 1 : versions[place]) * cost->parameter_bytes;
    }
  const PwProgram *program = &lowered->programs[rank];
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    const PwStageCost *cost = &resolved->costs->stage[action.stage];
    gboolean is_first = action.stage == 0;
    gboolean is_last = (int)action.stage == lowered->stages - 1;
    switch ((PwActionKind)action.kind) {
    case PW_ACTION_RECV_FORWARD:
    case PW_ACTION_RECV_BACKWARD:
      alive += resolved->costs->message_bytes[action.edge];
      break;
    case PW_ACTION_RECOMPUTE:
      peak = MAX (peak, alive + cost->again.again_peak_bytes);
      alive += cost->stash_bytes - cost->again.first_stash_bytes;
      alive += cost->input_kept_bytes - cost->again.first_input_bytes;
      break;
    case PW_ACTION_FORWARD:
      alive += is_first ? cost->input_bytes : 0;
      if (is_recomputed (program, action)) {
        peak = MAX (peak, alive + cost->again.first_peak_bytes);
        alive += cost->again.first_stash_bytes;
        alive += cost->again.first_input_bytes - cost->input_bytes;
        alive += at_once || is_last ? 0 : cost->again.first_output_held_bytes;
        break;
      }
      peak = MAX (peak, alive + cost->forward_peak_bytes);
      alive += cost->stash_bytes - (cost->input_bytes - cost->input_kept_bytes);
      alive += at_once || is_last ? 0 : cost->output_held_bytes;
      break;
    case PW_ACTION_BACKWARD:
      peak = MAX (peak, alive + cost->backward_peak_bytes);
      alive -= cost->stash_bytes + cost->input_kept_bytes + cost->gradient_in_bytes;
      alive += at_once || is_first ? 0 : cost->gradient_out_bytes;
      break;
    case PW_ACTION_REDUCE_GRADIENT:
      peak = MAX (peak, alive + cost->exchange_bytes);
      break;
    default:
      break;
    }
    peak = MAX (peak, alive);
  }
  return peak;
}

/* What stays all the time is what the simulator says; the peak lies between the two bounds. */
static void
check_rank (const ExecCase *c, const PwSchedule *lowered, const PwSimResult *predicted,
            const PwExecRank *rank) {
  static const PwMemoryCategory standing[]
      = { PW_MEMORY_PARAMETERS, PW_MEMORY_GRADIENTS, PW_MEMORY_OPTIMIZER, PW_MEMORY_VERSIONS };
  int64_t sum = 0;
  for (int k = 0; k < PW_MEMORY_N; k++)
    sum += rank->peak_by_category[k];
  g_assert_cmpint (sum, ==, rank->peak_memory_bytes);
  int64_t measured = rank->peak_memory_bytes - rank->peak_by_category[PW_MEMORY_WORKSPACE];
  g_assert_cmpint (measured, >=, predicted_peak (c->resolved, lowered, rank->rank, TRUE));
  g_assert_cmpint (measured, <=, predicted_peak (c->resolved, lowered, rank->rank, FALSE));
  for (gsize i = 0; i < G_N_ELEMENTS (standing); i++)
    g_assert_cmpint (rank->peak_by_category[standing[i]], ==,
                     predicted->rank[rank->rank].peak_by_category[standing[i]]);
}

/* The lists of all ITERATIONS, as the simulator is given them. */
static PwSchedule *
lower_all (const ExecCase *c, int iterations) {
  g_autoptr (GError) error = NULL;
  PwLowerOptions options = pw_resolved_plan_lower_options (c->resolved, c->plan);
  options.updates = TRUE;
  g_autoptr (PwSchedule) unrolled = pw_schedule_unroll (c->resolved->compute, iterations, &error);
  g_assert_no_error (error);
  PwSchedule *lowered = pw_schedule_lower (unrolled, c->resolved->edges, &options, &error);
  g_assert_no_error (error);
  return lowered;
}

static void
check_peaks_again (const char *model, const char *schedule, int ranks, const char *optimizer,
                   int microbatches, const char *recompute) {
  g_autoptr (GError) error = NULL;
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': %d, 'schedule': {'name': '%s', 'microbatches': %d}, 'batch': %d, "
      "'optimizer': %s, 'data': 'random', 'recompute': %s",
      model, ranks, schedule, microbatches, 2 * microbatches, optimizer, recompute);
  g_autoptr (ExecCase) c = exec_case_new (members, NULL);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  g_assert_no_error (error);
  gboolean is_endless = pw_schedule_is_endless (c->resolved->compute);
  double losses[4];
  g_autofree char *sha
      = is_endless ? exec_case_stream (c, exec, 4, losses) : exec_case_train (c, exec, 4, losses);
  int iterations = is_endless ? 4 : 1;
  g_autoptr (PwSchedule) lowered = lower_all (c, iterations);
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = c->resolved->edges;
  input.costs = c->resolved->costs;
  input.iterations = iterations;
  input.is_unrolled = TRUE;
  g_autoptr (PwSimResult) predicted = pw_sim_run (&input, &error);
  g_assert_no_error (error);
  for (int r = 0; r < ranks; r++) {
    PwExecRank rank;
    pw_exec_rank (exec, r, &rank);
    check_rank (c, lowered, predicted, &rank);
  }
}

static void
check_peaks (const char *model, const char *schedule, int ranks, const char *optimizer,
             int microbatches) {
  check_peaks_again (model, schedule, ranks, optimizer, microbatches, "'none'");
}

static const char *const models[] = { PW_TEST_MLP, PW_TEST_GPT, PW_TEST_LIST };

/* No messages: the two bounds are one number. */
static void
one_rank (void) {
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++) {
    check_peaks (models[m], "gpipe", 1, "{'name': 'sgd'}", 4);
    check_peaks (models[m], "1f1b", 1, "{'name': 'adam'}", 3);
    check_peaks (models[m], "gpipe", 1, "{'name': 'sgd', 'momentum': 0.9}", 1);
  }
}

static void
several_ranks (void) {
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++)
    for (int ranks = 2; ranks <= 4; ranks += 2) {
      check_peaks (models[m], "gpipe", ranks, "{'name': 'adamw'}", 5);
      check_peaks (models[m], "1f1b", ranks, "{'name': 'adamw'}", 5);
    }
}

static void
recomputation (void) {
  static const char *const modes[]
      = { "'stage'", "'except-last'", "{'layers': ['*gelu*', '*layernorm*']}",
          "{'layers': [1, 2, 4, 5]}" };
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++)
    for (gsize k = 0; k < G_N_ELEMENTS (modes); k++) {
      if (m < 2 && k == 2)
        continue; /* they have not all of these */
      for (int ranks = 1; ranks <= 3; ranks++)
        check_peaks_again (models[m], "1f1b", ranks, "{'name': 'sgd'}", 4, modes[k]);
    }
  for (int ranks = 1; ranks <= 3; ranks++)
    check_peaks_again (PW_TEST_GPT, "1f1b", ranks, "{'name': 'sgd'}", 4,
                       "{'layers': ['*.gelu', '*.ln?', '*.attention']}");
}

/* Tensors that several later stages read: as many messages, and as many gradients in return. */
static void
skips (void) {
  static const char *const joins[] = { "add", "concat" };
  static const int distances[] = { 15, 1, 4, 2, 9 };
  for (gsize j = 0; j < G_N_ELEMENTS (joins); j++) {
    g_autofree char *model
        = skip_model_new (joins[j], 20, distances, (int)G_N_ELEMENTS (distances));
    for (int ranks = 1; ranks <= 4; ranks++) {
      check_peaks (model, "gpipe", ranks, "{'name': 'adamw'}", 5);
      check_peaks (model, "1f1b", ranks, "{'name': 'sgd'}", 4);
      check_peaks_again (model, "1f1b", ranks, "{'name': 'sgd'}", 4, "'stage'");
      check_peaks_again (model, "1f1b", ranks, "{'name': 'sgd'}", 4, "{'layers': ['*.gelu']}");
    }
  }
}

/* Two replicas of each stage, one from each end. */
static void
two_directions (void) {
  for (gsize m = 0; m < 2; m++)
    for (int ranks = 2; ranks <= 4; ranks += 2) {
      check_peaks (models[m], "chimera", ranks, "{'name': 'adamw'}", 2 * ranks);
      check_peaks (models[m], "chimera", ranks, "{'name': 'sgd'}", ranks);
    }
}

/* As many versions of the weights as the schedule needs. */
static void
weight_versions (void) {
  for (gsize m = 0; m < 2; m++)
    for (int ranks = 1; ranks <= 4; ranks++) {
      check_peaks (models[m], "pipedream", ranks, "{'name': 'adamw'}", 5);
      check_peaks (models[m], "pipedream-2bw", ranks, "{'name': 'adamw'}", 4);
    }
}

/* The trace's samples: never above the peak, back to the standing bytes after the last action. */
static void
trace_samples (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = exec_case_new (
      "'model': " PW_TEST_GPT ", 'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 4}, "
      "'batch': 8, 'data': 'random'",
      NULL);
  PwExecOptions options = { .trace_iterations = 2 };
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  g_autofree char *sha = exec_case_train (c, exec, 5, NULL);
  g_autoptr (PwTrace) trace = pw_exec_trace (exec);
  pw_trace_check (trace, &error);
  g_assert_no_error (error);
  g_assert_cmpint (trace->info.iterations, ==, 2);
  int64_t largest[2] = { 0 };
  for (guint i = 0; i < trace->memory->len; i++) {
    const PwTraceMemory *sample = &g_array_index (trace->memory, PwTraceMemory, i);
    int64_t sum = 0;
    for (int k = 0; k < PW_MEMORY_N; k++)
      sum += sample->bytes[k];
    largest[sample->rank] = MAX (largest[sample->rank], sum);
  }
  for (int r = 0; r < 2; r++) {
    PwExecRank rank;
    pw_exec_rank (exec, r, &rank);
    g_assert_cmpint (largest[r], <=, rank.peak_memory_bytes);
    g_assert_cmpint (largest[r], >, rank.peak_memory_bytes / 2);
  }
  /* 4 F, 4 B and U on each rank, 4 sends and 4 receives between them, in each iteration. */
  g_assert_cmpuint (trace->records->len, ==, 2 * (2 * 9 + 2 * 8));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/memory/peak-of-one-rank-is-the-predicted-one", one_rank);
  g_test_add_func ("/exec/memory/peaks-lie-between-the-predicted-bounds", several_ranks);
  g_test_add_func ("/exec/memory/recomputation-of-stages-and-layers", recomputation);
  g_test_add_func ("/exec/memory/skips-over-stages", skips);
  g_test_add_func ("/exec/memory/two-directions-have-two-replicas", two_directions);
  g_test_add_func ("/exec/memory/asynchronous-schedules-keep-weight-versions", weight_versions);
  g_test_add_func ("/exec/memory/trace-holds-the-last-iterations-and-their-memory", trace_samples);
  return g_test_run ();
}
