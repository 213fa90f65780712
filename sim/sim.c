#include "sim/sim.h"
#include "sim/compile_private.h"
#include "sim/engine_private.h"
#include "sim/memory_private.h"
#include "sim/paths_private.h"
#include "sim/walk_private.h"

GQuark
pw_sim_error_quark (void) {
  return g_quark_from_static_string ("pw-sim-error-quark");
}

void
pw_sim_input_init (PwSimInput *input) {
  *input = (PwSimInput){ .iterations = 1, .weight_memory = 0.5 };
}

/* Compute pays for messages, whose times depend on compute. */
static gboolean
pays_for_messages (const PwStageCosts *costs) {
  return costs->topology != NULL && costs->topology->compute_slowdown > 1;
}

gboolean
pw_sim_needs_events (const PwSimInput *input) {
  g_autoptr (PwSimLayout) layout = pw__sim_layout_new (input, NULL);
  return layout != NULL
         && (pays_for_messages (input->costs) || pw__sim_paths_are_shared (layout, input->costs));
}

/* NULL without an error: the walk does not know. */
static PwSimResult *
run_walk (const PwSimInput *input, const PwSimLayout *layout, gboolean shares) {
  if (!pw__sim_walk_applies (layout))
    return NULL;
  g_autoptr (PwSimResult) result = pw__sim_result_new (layout);
  PwSimSummary summary;
  PwSimDurations durations;
  pw__sim_summary_init (&summary, input, layout, result);
  pw__sim_durations_init (&durations, layout, input->costs);
  gboolean done = pw__sim_walk (&summary, &durations, input->costs, shares);
  pw__sim_durations_clear (&durations);
  if (!done) {
    pw__sim_summary_clear (&summary);
    return NULL;
  }
  pw__sim_summary_finish (&summary);
  return g_steal_pointer (&result);
}

static gboolean
add_memory (const PwSimInput *input, const PwSimLayout *layout, PwSimResult *result,
            GError **error) {
  if (!pw__sim_memory_is_known (input->costs))
    return TRUE;
  g_autoptr (PwSimIndex) index = pw__sim_index_new (layout, error);
  if (index == NULL)
    return FALSE;
  pw__sim_memory_add (input, layout, index, result);
  return TRUE;
}

PwSimResult *
pw_sim_run (const PwSimInput *input, GError **error) {
  g_autoptr (PwSimLayout) layout = pw__sim_layout_new (input, error);
  if (layout == NULL)
    return NULL;
  gboolean by_time = input->engine == PW_SIM_ENGINE_AUTO;
  gboolean shares = by_time && pw__sim_paths_are_shared (layout, input->costs);
  if (input->engine == PW_SIM_ENGINE_EVENTS || (by_time && pays_for_messages (input->costs)))
    return pw__sim_run_events (input, layout, error);
  g_autoptr (PwSimResult) result = run_walk (input, layout, shares);
  if (result == NULL && shares)
    return pw__sim_run_events (input, layout, error);
  if (result == NULL)
    return pw__sim_run_compiled (input, g_steal_pointer (&layout), error);
  if (!add_memory (input, layout, result, error))
    return NULL;
  return g_steal_pointer (&result);
}
