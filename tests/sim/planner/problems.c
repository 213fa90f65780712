#include "problems.h"

#include <math.h>

#include "schedules/lower.h"
#include "sim/sim.h"

Problem *
problem_new (int ranks, int chunks, int microbatches) {
  Problem *problem = g_new0 (Problem, 1);
  int stages = ranks * chunks;
  problem->edges = pw_stage_edges_new_chain (stages);
  problem->costs = pw_stage_costs_new (stages, problem->edges);
  problem->held = g_new (double, (gsize)stages);
  problem->kept = g_new (double, (gsize)stages);
  problem->limit = g_new (double, (gsize)ranks);
  problem->input = (PwSearchInput){ .ranks = ranks,
                                    .microbatches = microbatches,
                                    .chunks = chunks,
                                    .costs = problem->costs,
                                    .held = problem->held,
                                    .kept = problem->kept,
                                    .limit = problem->limit };
  problem_set_costs (problem, 1, 1, 1, 0);
  problem_set_memory (problem, 0.5, INFINITY);
  return problem;
}

void
problem_free (Problem *problem) {
  if (problem == NULL)
    return;
  pw_stage_edges_free (problem->edges);
  pw_stage_costs_free (problem->costs);
  g_free (problem->held);
  g_free (problem->kept);
  g_free (problem->limit);
  g_free (problem);
}

static void
set_cost (PwStageCost *cost, double F, double I, double W) {
  cost->forward = F;
  cost->input = I;
  cost->weight = W;
  cost->backward = I + W;
}

void
problem_set_costs (Problem *problem, double F, double I, double W, double transfer) {
  for (int s = 0; s < problem->costs->stages; s++)
    set_cost (&problem->costs->stage[s], F, I, W);
  for (int e = 0; e < problem->costs->n_edges; e++)
    problem->costs->link[e].latency_s = transfer;
}

void
problem_set_memory (Problem *problem, double weight_memory, double limit) {
  for (int s = 0; s < problem->costs->stages; s++) {
    problem->held[s] = 1.0 / problem->input.chunks;
    problem->kept[s] = weight_memory * problem->held[s];
  }
  for (int rank = 0; rank < problem->input.ranks; rank++)
    problem->limit[rank] = limit;
}

/* Whole numbers and quarters of them, so that sums are exact in any order. */
Problem *
problem_new_random (int ranks, int chunks, int microbatches, gboolean zeros) {
  Problem *problem = problem_new (ranks, chunks, microbatches);
  int least = zeros ? 0 : 1, links = g_test_rand_int_range (0, 4);
  for (int s = 0; s < ranks * chunks; s++) {
    set_cost (&problem->costs->stage[s], g_test_rand_int_range (least, 10),
              g_test_rand_int_range (least, 10), g_test_rand_int_range (least, 10));
    problem->held[s] = g_test_rand_int_range (least, 4);
    problem->kept[s] = problem->held[s] * g_test_rand_int_range (0, 5) / 4;
  }
  for (int e = 0; e < problem->costs->n_edges; e++)
    problem->costs->link[e].latency_s = g_test_rand_int_range (0, links + 1);
  gboolean none = g_test_rand_int_range (0, 4) == 0;
  for (int rank = 0; rank < ranks; rank++) {
    double one = problem->held[rank] + (chunks == 2 ? problem->held[2 * ranks - 1 - rank] : 0);
    problem->limit[rank]
        = none ? INFINITY : one + one * g_test_rand_int_range (0, 4 * MIN (microbatches, 4)) / 4;
  }
  problem->input.objective = (PwObjective)g_test_rand_int_range (0, 2);
  return problem;
}

/* Equal neighbours as "12 x 1/1/1". */
static void
append_runs (GString *text, const char *head, GPtrArray *words) {
  g_string_append (text, head);
  for (guint i = 0, n = 1; i < words->len; i += n) {
    const char *word = g_ptr_array_index (words, i);
    for (n = 1; i + n < words->len && g_str_equal (word, g_ptr_array_index (words, i + n)); n++)
      continue;
    if (n > 1)
      g_string_append_printf (text, " %u x %s", n, word);
    else
      g_string_append_printf (text, " %s", word);
  }
  g_ptr_array_unref (words);
}

char *
problem_describe (const Problem *problem) {
  GString *text = g_string_new (NULL);
  const PwSearchInput *input = &problem->input;
  g_string_append_printf (text, "P=%d M=%d chunks=%d %s;", input->ranks, input->microbatches,
                          input->chunks,
                          input->objective == PW_OBJECTIVE_SPAN ? "span" : "iteration");
  GPtrArray *stages = g_ptr_array_new_with_free_func (g_free);
  GPtrArray *transfers = g_ptr_array_new_with_free_func (g_free);
  GPtrArray *limits = g_ptr_array_new_with_free_func (g_free);
  for (int s = 0; s < problem->costs->stages; s++) {
    const PwStageCost *cost = &problem->costs->stage[s];
    g_ptr_array_add (stages, g_strdup_printf ("%g/%g/%g:%g/%g", cost->forward, cost->input,
                                              cost->weight, problem->held[s], problem->kept[s]));
  }
  for (int e = 0; e < problem->costs->n_edges; e++)
    g_ptr_array_add (transfers, g_strdup_printf ("%g", problem->costs->link[e].latency_s));
  for (int rank = 0; rank < input->ranks; rank++)
    g_ptr_array_add (limits, g_strdup_printf ("%g", problem->limit[rank]));
  append_runs (text, " F/I/W:held/kept", stages);
  append_runs (text, "; transfers", transfers);
  append_runs (text, "; limits", limits);
  return g_string_free (text, FALSE);
}

double
problem_simulate (const Problem *problem, const PwSchedule *schedule, PwPolicy policy) {
  PwLowerOptions options = { .policy = policy, .updates = TRUE };
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, problem->edges, &options, &error);
  g_assert_no_error (error);
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = problem->edges;
  input.costs = problem->costs;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, &error);
  g_assert_no_error (error);
  return problem->input.objective == PW_OBJECTIVE_SPAN ? result->longest_rank_span
                                                       : result->iteration_time;
}

double
problem_peak (const Problem *problem, const PwSchedule *schedule, int rank) {
  const PwProgram *program = &schedule->programs[rank];
  double held = 0, peak = 0;
  for (int64_t i = 0; i < program->n_prologue; i++) {
    int s = (int)program->actions[i].stage;
    switch ((PwActionKind)program->actions[i].kind) {
    case PW_ACTION_FORWARD:
      held += problem->held[s];
      break;
    case PW_ACTION_INPUT_GRADIENT:
      held -= problem->held[s] - problem->kept[s];
      break;
    case PW_ACTION_WEIGHT_GRADIENT:
      held -= problem->kept[s];
      break;
    case PW_ACTION_BACKWARD:
      held -= problem->held[s];
      break;
    default:
      break;
    }
    peak = MAX (peak, held);
  }
  return peak;
}

gboolean
problem_fits (const Problem *problem, const PwSchedule *schedule) {
  for (int rank = 0; rank < schedule->ranks; rank++)
    if (problem_peak (problem, schedule, rank) > problem->limit[rank] * (1 + 1e-9))
      return FALSE;
  return TRUE;
}
