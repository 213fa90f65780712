#include "pipewright/what_if.h"
#include "sim/what_if.h"

#include <math.h>

static gboolean fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_WHAT_IF_ERROR, PW_WHAT_IF_ERROR_VALUE, message);
  return FALSE;
}

/* Units of each stage that may be moved: end units stay. */
static int *
movable_units (const PwPlan *plan, const PwResolvedPlan *resolved) {
  const PwPartition *units = resolved->units;
  int *counts = g_new (int, (gsize)units->stages);
  for (int s = 0; s < units->stages; s++) {
    counts[s] = 0;
    for (int u = units->bounds[s]; u < units->bounds[s + 1]; u++)
      counts[s] += plan->count_ends || !resolved->graph->units[u].is_end;
  }
  return counts;
}

static double
stage_time (const PwStageCosts *costs, int stage) {
  return costs->stage[stage].forward + costs->stage[stage].backward;
}

/* The neighbour that has the least time takes a layer, the one with the most gives one. */
static int
choose_neighbour (const PwStageCosts *costs, int stage, gboolean takes) {
  if (stage == 0 || stage + 1 == costs->stages)
    return stage == 0 ? 1 : stage - 1;
  double before = stage_time (costs, stage - 1), after = stage_time (costs, stage + 1);
  return (takes ? before <= after : before > after) ? stage - 1 : stage + 1;
}

static gboolean
move_layers (const PwWhatIfChange *change, const PwStageCosts *costs, int *counts, GError **error) {
  int stage = change->from, more = (int)change->value;
  if (stage >= costs->stages)
    return fail (error, "stage %d: the last one is %d", stage, costs->stages - 1);
  if (costs->stages == 1)
    return fail (error, "stage 0: there is no other stage");
  int other = choose_neighbour (costs, stage, more < 0);
  counts[stage] += more;
  counts[other] -= more;
  int giver = more < 0 ? stage : other;
  if (counts[giver] < 1)
    return fail (error, "stage %d has %d that can move: %d cannot leave it", giver,
                 counts[giver] + abs (more), abs (more));
  return TRUE;
}

static gboolean
change_microbatches (const PwWhatIfChange *change, int now, int *wanted, GError **error) {
  double value = change->is_absolute ? change->value : now * change->value;
  if (value < 1 || value > 16777215)
    return fail (error, "microbatches: %.6g of them cannot be", value);
  if (value > floor (value))
    return fail (error, "microbatches: %.6g times %d is not a whole number", change->value, now);
  *wanted = (int)value;
  return TRUE;
}

/* PLAN with those changes that are its own. */
static PwPlan *
change_plan (const PwSimulation *base, const PwPlan *plan, const GArray *changes, GError **error) {
  g_autoptr (PwPlan) changed = pw_plan_copy (plan);
  g_autofree int *counts = movable_units (plan, base->resolved);
  gboolean moved = FALSE;
  int microbatches = base->resolved->microbatches;
  for (guint i = 0; i < changes->len; i++) {
    const PwWhatIfChange *change = &g_array_index (changes, PwWhatIfChange, i);
    if (change->kind == PW_WHAT_IF_MICROBATCHES
        && !change_microbatches (change, microbatches, &microbatches, error))
      return NULL;
    if (change->kind != PW_WHAT_IF_LAYERS)
      continue;
    if (!move_layers (change, base->costs, counts, error))
      return NULL;
    moved = TRUE;
  }
  g_autofree char *number = g_strdup_printf ("%d", microbatches);
  if (microbatches != base->resolved->microbatches
      && !pw_plan_override (changed, "microbatches", number, error))
    return NULL;
  g_autoptr (GString) balance = g_string_new (NULL);
  for (int s = 0; s < base->costs->stages; s++)
    g_string_append_printf (balance, s > 0 ? ",%d" : "%d", counts[s]);
  if (moved && !pw_plan_override (changed, "balance", balance->str, error))
    return NULL;
  return g_steal_pointer (&changed);
}

static PwSimulation *
simulate_changed (const PwSimulation *base, const PwPlan *plan, const PwSynthetic *synthetic,
                  const GArray *changes, GError **error) {
  int iterations = base->input.iterations;
  if (plan) {
    g_autoptr (PwPlan) changed = change_plan (base, plan, changes, error);
    return changed ? pw_simulate_plan (changed, iterations, error) : NULL;
  }
  PwSynthetic changed = *synthetic;
  for (guint i = 0; i < changes->len; i++) {
    const PwWhatIfChange *change = &g_array_index (changes, PwWhatIfChange, i);
    int now = changed.params.microbatches;
    if (change->kind == PW_WHAT_IF_LAYERS) {
      fail (error, "stage %d: synthetic costs have no layers to move", change->from);
      return NULL;
    }
    if (change->kind == PW_WHAT_IF_MICROBATCHES
        && !change_microbatches (change, now > 0 ? now : base->compute->microbatches,
                                 &changed.params.microbatches, error))
      return NULL;
  }
  return pw_simulate_synthetic (&changed, error);
}

static double
samples_of (const PwSimulation *simulation) {
  return simulation->resolved
             ? (double)(simulation->resolved->batch * simulation->resolved->replicas)
             : (double)simulation->compute->microbatches;
}

gboolean
pw_simulate_what_if (const PwSimulation *base, const PwPlan *plan, const PwSynthetic *synthetic,
                     const char *text, PwWhatIfAnswer *answer, GError **error) {
  g_autoptr (GArray) changes = pw_what_if_parse (text, error);
  if (!changes)
    return FALSE;
  g_autoptr (PwSimulation) resolved = NULL;
  const PwSimulation *from = base;
  if (pw_what_if_changes_plan (changes)) {
    from = resolved = simulate_changed (base, plan, synthetic, changes, error);
    if (!resolved)
      return FALSE;
  }
  g_autoptr (PwStageCosts) costs = pw_stage_costs_copy (from->costs);
  if (!pw_what_if_apply (changes, from->compute->placement, from->edges, costs, error))
    return FALSE;
  PwSimInput input = from->input;
  input.costs = costs;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, error);
  if (!result)
    return FALSE;
  answer->iteration_time = result->iteration_time;
  answer->is_other_work
      = samples_of (from) > samples_of (base) || samples_of (from) < samples_of (base);
  double before = base->result->iteration_time / samples_of (base);
  double after = result->iteration_time / samples_of (from);
  answer->gain = before > 0 ? (before - after) / before : 0;
  return TRUE;
}
