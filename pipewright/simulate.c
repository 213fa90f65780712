#include "pipewright/simulate.h"
#include "io/file.h"
#include "schedules/check.h"
#include "schedules/csv.h"
#include "plans/microbatch_factors.h"
#include "plans/offload.h"
#include "plans/rank_factors.h"
#include "schedules/lower.h"

GQuark
pw_simulate_error_quark (void) {
  return g_quark_from_static_string ("pw-simulate-error-quark");
}

static gboolean fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_SIMULATE_ERROR, PW_SIMULATE_ERROR_VALUE, message);
  return FALSE;
}

static double
mean (const double *values, int n, double otherwise) {
  double sum = 0;
  for (int i = 0; i < n; i++)
    sum += values[i];
  return n > 0 ? sum / n : otherwise;
}

/* What the generator is told: mean times, and the chunks or waves that make so many stages. */
static PwScheduleParams
generator_params (const PwSynthetic *synthetic, const PwScheduleType *type) {
  PwScheduleParams params = synthetic->params;
  double half = mean (synthetic->backward, synthetic->n_backward, 2) / 2;
  params.F = mean (synthetic->forward, synthetic->n_forward, 1);
  params.I = mean (synthetic->input, synthetic->n_input, half);
  params.W = mean (synthetic->weight, synthetic->n_weight, half);
  params.comm = synthetic->latency;
  if (synthetic->bandwidth > 0)
    params.comm += synthetic->message_bytes / synthetic->bandwidth;
  int stages = synthetic->stages, ranks = MAX (params.ranks, 1);
  if (params.chunks == 0 && (type->options & PW_OPTION_CHUNKS) && stages % ranks == 0)
    params.chunks = stages / ranks;
  if (params.waves == 0 && (type->options & PW_OPTION_WAVES) && stages % (2 * ranks) == 0)
    params.waves = stages / (2 * ranks);
  return params;
}

static gboolean
check_size (const char *what, int wanted, int actual, const char *schedule, GError **error) {
  if (wanted == 0 || wanted == actual)
    return TRUE;
  return fail (error, "--%s: %s has %d, not %d", what, schedule, actual, wanted);
}

static PwSchedule *
load_schedule (const PwSynthetic *synthetic, GError **error) {
  g_autofree char *text = NULL;
  if (!pw_file_read (synthetic->schedule, &text, NULL, error))
    return NULL;
  g_autoptr (PwSchedule) schedule = pw_schedule_from_csv (synthetic->schedule, text, NULL, error);
  if (!schedule
      || !check_size ("ranks", synthetic->params.ranks, schedule->ranks, synthetic->schedule, error)
      || !check_size ("microbatches", synthetic->params.microbatches, schedule->microbatches,
                      synthetic->schedule, error))
    return NULL;
  return g_steal_pointer (&schedule);
}

static gboolean
looks_like_file (const char *name) {
  return strchr (name, '/') || g_str_has_suffix (name, ".csv") || g_str_equal (name, "-")
         || g_file_test (name, G_FILE_TEST_EXISTS);
}

PwSchedule *
pw_simulate_schedule (const PwSynthetic *synthetic, GError **error) {
  const PwScheduleType *type = pw_schedule_get (synthetic->schedule);
  g_autoptr (PwSchedule) schedule = NULL;
  if (type || !looks_like_file (synthetic->schedule)) {
    PwScheduleParams params = type ? generator_params (synthetic, type) : synthetic->params;
    schedule = pw_schedule_generate (synthetic->schedule, &params, error);
  } else {
    schedule = load_schedule (synthetic, error);
  }
  if (!schedule
      || !check_size ("stages", synthetic->stages, schedule->stages, schedule->name, error))
    return NULL;
  return g_steal_pointer (&schedule);
}

/* COUNT entries from a list of one or as many; per rank each is shared by the rank's stages. */
static double *
expand (const char *option, const double *values, int n, double otherwise,
        const PwSynthetic *synthetic, const PwSchedule *schedule, GError **error) {
  int stages = schedule->stages;
  int count = synthetic->per_rank ? schedule->ranks : stages;
  if (n > 1 && n != count) {
    fail (error, "--%s: %d values for %d %s", option, n, count,
          synthetic->per_rank ? "ranks" : "stages");
    return NULL;
  }
  double *expanded = g_new (double, (gsize)stages);
  for (int s = 0; s < stages; s++) {
    int rank = pw_placement_rank (schedule->placement, 0, s);
    int i = n <= 1 ? 0 : synthetic->per_rank ? rank : s;
    expanded[s] = n == 0 ? otherwise : values[i];
    if (synthetic->per_rank)
      expanded[s] /= schedule->chunks;
  }
  return expanded;
}

static gboolean
set_rank_factors (const PwSynthetic *synthetic, const PwSchedule *schedule, PwStageCosts *costs,
                  GError **error) {
  if (!synthetic->rank_factors)
    return TRUE;
  costs->ranks = schedule->ranks;
  costs->rank_factor = pw_rank_factors_expand (synthetic->rank_factors, schedule->ranks, error);
  if (!costs->rank_factor)
    g_prefix_error (error, "--rank-factors: ");
  return costs->rank_factor != NULL;
}

static gboolean
set_microbatch_factors (const PwSynthetic *synthetic, const PwSchedule *schedule,
                        PwStageCosts *costs, GError **error) {
  if (!synthetic->microbatch_factors
      || pw_microbatch_factors_apply (synthetic->microbatch_factors, NULL, costs,
                                      schedule->microbatches, error))
    return TRUE;
  g_prefix_error (error, "--microbatch-factors: ");
  return FALSE;
}

PwStageCosts *
pw_simulate_costs (const PwSynthetic *synthetic, const PwSchedule *schedule,
                   const PwStageEdges *edges, GError **error) {
  g_autofree double *forward = NULL, *backward = NULL, *input = NULL, *weight = NULL;
  if ((synthetic->n_input > 0) != (synthetic->n_weight > 0)) {
    fail (error, "--%s is missing", synthetic->n_input > 0 ? "backward-weight" : "backward-input");
    return NULL;
  }
  gboolean is_split = synthetic->n_input > 0;
  forward
      = expand ("forward", synthetic->forward, synthetic->n_forward, 1, synthetic, schedule, error);
  if (!forward)
    return NULL;
  if (synthetic->n_backward > 0 || !is_split) {
    backward = expand ("backward", synthetic->backward, synthetic->n_backward, 2, synthetic,
                       schedule, error);
    if (!backward)
      return NULL;
  }
  if (is_split) {
    input = expand ("backward-input", synthetic->input, synthetic->n_input, 1, synthetic, schedule,
                    error);
    weight = input ? expand ("backward-weight", synthetic->weight, synthetic->n_weight, 1,
                             synthetic, schedule, error)
                   : NULL;
    if (!weight)
      return NULL;
  }
  double overlapped = synthetic->overlapped;
  if (synthetic->per_rank)
    overlapped /= schedule->chunks;
  PwSyntheticCosts costs
      = { .stages = schedule->stages,
          .forward = forward,
          .backward = backward,
          .input = input,
          .weight = weight,
          .overlapped = overlapped,
          .latency = synthetic->latency,
          .message_bytes = synthetic->message_bytes,
          .bandwidth = synthetic->bandwidth,
          .sharing = synthetic->sharing,
          .topology = pw_topology_is_plain (&synthetic->topology) ? NULL : &synthetic->topology };
  g_autoptr (PwStageCosts) made = pw_stage_costs_new_synthetic (&costs, edges);
  made->norm = synthetic->norm;
  for (int s = 0; s < made->stages; s++) {
    int parts = synthetic->per_rank ? schedule->chunks : 1;
    made->stage[s].update = synthetic->update / parts;
    made->stage[s].reduce = synthetic->reduce / parts;
    made->stage[s].offload = synthetic->offload_time / parts;
  }
  gboolean good = set_rank_factors (synthetic, schedule, made, error)
                  && set_microbatch_factors (synthetic, schedule, made, error);
  return good ? g_steal_pointer (&made) : NULL;
}

/* A file may hold anything; the simulator expects a schedule that is in order. */
static gboolean
check_file (const PwSynthetic *synthetic, const PwSchedule *schedule, const PwStageEdges *edges,
            GError **error) {
  if (pw_schedule_get (synthetic->schedule))
    return TRUE;
  PwCheckOptions options = { .policy = synthetic->policy,
                             .batched = synthetic->batched,
                             .weight_memory = synthetic->params.weight_memory,
                             .max_findings = 1 };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, edges, &options);
  if (report->valid)
    return TRUE;
  const PwCheckFinding *finding = &report->findings[0];
  g_set_error (error, PW_SCHEDULE_ERROR, (int)finding->code, "%s: %s", synthetic->schedule,
               finding->message);
  return FALSE;
}

/* One iteration; all ITERATIONS of an endless schedule, which goes on where others drain. */
static PwSchedule *
lower (const PwSchedule *compute, int iterations, const PwStageEdges *edges,
       const PwLowerOptions *options, GError **error) {
  if (iterations <= 1 || !pw_schedule_is_endless (compute))
    return pw_schedule_lower (compute, edges, options, error);
  g_autoptr (PwSchedule) unrolled = pw_schedule_unroll (compute, iterations, error);
  return unrolled ? pw_schedule_lower (unrolled, edges, options, error) : NULL;
}

static PwSimulation *
simulate (PwSimulation *simulation, int iterations, double weight_memory, gint64 begin_us,
          GError **error) {
  const PwSchedule *compute = simulation->compute;
  PwSimInput *input = &simulation->input;
  pw_sim_input_init (input);
  input->schedule = simulation->lowered;
  input->edges = simulation->edges;
  input->costs = simulation->costs;
  input->iterations = MAX (iterations, 1);
  input->is_unrolled = simulation->lowered->microbatches > compute->microbatches;
  input->weight_memory = weight_memory;
  simulation->result = pw_sim_run (input, error);
  simulation->wall_seconds = (double)(g_get_monotonic_time () - begin_us) * 1e-6;
  return simulation->result ? simulation : NULL;
}

PwSimulation *
pw_simulate_synthetic (const PwSynthetic *synthetic, GError **error) {
  gint64 begin_us = g_get_monotonic_time ();
  g_autoptr (PwSimulation) simulation = g_new0 (PwSimulation, 1);
  PwSchedule *compute = simulation->compute = pw_simulate_schedule (synthetic, error);
  if (!compute)
    return NULL;
  PwStageEdges *edges = simulation->edges = pw_stage_edges_new_chain (compute->stages);
  if (!check_file (synthetic, compute, edges, error))
    return NULL;
  simulation->costs = pw_simulate_costs (synthetic, compute, edges, error);
  if (!simulation->costs)
    return NULL;
  g_autofree gboolean *offloaded = NULL;
  if (!pw_offload_parse (synthetic->offload, compute->stages, &offloaded, error)) {
    g_prefix_error (error, "--offload: ");
    return NULL;
  }
  PwLowerOptions options
      = { .policy = synthetic->policy,
          .offloaded_stages = offloaded,
          .batched = synthetic->batched,
          .updates = synthetic->update > 0 || synthetic->reduce > 0 || synthetic->norm > 0,
          .reduces = synthetic->reduce > 0,
          .overlaps_reduction = synthetic->reduction == PW_REDUCTION_OVERLAPPED,
          .norms = synthetic->norm > 0 };
  simulation->lowered = lower (compute, synthetic->iterations, edges, &options, error);
  if (!simulation->lowered
      || !simulate (simulation, synthetic->iterations, synthetic->params.weight_memory, begin_us,
                    error))
    return NULL;
  return g_steal_pointer (&simulation);
}

static PwSimulation *
simulate_resolved (PwResolvedPlan *resolved, int iterations, double weight_memory, gint64 begin_us,
                   GError **error) {
  g_autoptr (PwSimulation) simulation = g_new0 (PwSimulation, 1);
  simulation->resolved = resolved;
  simulation->compute = resolved->compute;
  simulation->lowered = resolved->lowered;
  simulation->edges = resolved->edges;
  simulation->costs = resolved->costs;
  if (!simulate (simulation, iterations, weight_memory, begin_us, error))
    return NULL;
  return g_steal_pointer (&simulation);
}

gboolean
pw_simulate_stream (const PwPlan *plan, PwResolvedPlan *resolved, int iterations, GError **error) {
  if (iterations <= 1 || !pw_schedule_is_endless (resolved->compute))
    return TRUE;
  PwLowerOptions options = pw_resolved_plan_lower_options (resolved, plan);
  PwSchedule *lowered = lower (resolved->compute, iterations, resolved->edges, &options, error);
  if (!lowered)
    return FALSE;
  pw_schedule_free (resolved->lowered);
  resolved->lowered = lowered;
  return TRUE;
}

PwSimulation *
pw_simulate_plan (const PwPlan *plan, int iterations, GError **error) {
  gint64 begin_us = g_get_monotonic_time ();
  g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, error);
  if (!resolved)
    return NULL;
  if (!pw_simulate_stream (plan, resolved, iterations, error))
    return NULL;
  return simulate_resolved (g_steal_pointer (&resolved), iterations, plan->params.weight_memory,
                            begin_us, error);
}

PwSimulation *
pw_simulate_resolved (PwResolvedPlan *resolved, int iterations, GError **error) {
  PwScheduleParams defaults;
  pw_schedule_params_init (&defaults);
  return simulate_resolved (resolved, iterations, defaults.weight_memory, g_get_monotonic_time (),
                            error);
}

PwTrace *
pw_simulation_trace (const PwSimulation *simulation) {
  const PwResolvedPlan *resolved = simulation->resolved;
  return pw_sim_trace (&simulation->input, simulation->result,
                       resolved ? resolved->graph->name : NULL);
}

PwTrace *
pw_simulation_trace_critical (const PwSimulation *simulation) {
  const PwResolvedPlan *resolved = simulation->resolved;
  return pw_sim_trace_critical (&simulation->input, simulation->result,
                                resolved ? resolved->graph->name : NULL);
}

void
pw_simulation_free (PwSimulation *simulation) {
  if (!simulation)
    return;
  pw_sim_result_free (simulation->result);
  if (simulation->resolved) {
    pw_resolved_plan_free (simulation->resolved);
  } else {
    pw_schedule_free (simulation->compute);
    pw_schedule_free (simulation->lowered);
    pw_stage_edges_free (simulation->edges);
    pw_stage_costs_free (simulation->costs);
  }
  g_free (simulation);
}
