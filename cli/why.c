#include "cli/why.h"
#include "cli/output.h"
#include "cli/report.h"

static gboolean
scatters (const PwWhy *why) {
  return why->jitter || why->link_jitter;
}

static gboolean
check_jitter (PwWhy *why, GError **error) {
  PwSimJitter *jitter = &why->scatter;
  *jitter = (PwSimJitter){ .samples = 1000 };
  int64_t seed = 0;
  if (!scatters (why) && (why->samples || why->jitter_seed || why->jitter_plot))
    return pw_usage_fail (error, "--%s is for --jitter or --link-jitter",
                          why->samples       ? "samples"
                          : why->jitter_seed ? "jitter-seed"
                                             : "jitter-plot");
  if ((why->jitter && !pw_fraction_parse ("jitter", why->jitter, 10, &jitter->compute, error))
      || (why->link_jitter
          && !pw_fraction_parse ("link-jitter", why->link_jitter, 10, &jitter->link, error))
      || (why->samples
          && !pw_integer_parse ("samples", why->samples, 1, 100000000, &jitter->samples, error))
      || (why->jitter_seed
          && !pw_integer_parse ("jitter-seed", why->jitter_seed, 0, G_MAXINT64, &seed, error)))
    return FALSE;
  jitter->seed = (uint64_t)seed;
  return TRUE;
}

gboolean
pw_why_check (PwWhy *why, const PwCall *call, GError **error) {
  if (why->slack && g_str_equal (why->slack, "-") && call->json)
    return pw_usage_fail (error, "--slack - and --json cannot both have standard output");
  for (int i = 0; why->changes && why->changes[i]; i++) {
    g_autoptr (GArray) changes = pw_what_if_parse (why->changes[i], error);
    if (!changes) {
      g_prefix_error (error, "--what-if: ");
      return FALSE;
    }
  }
  return check_jitter (why, error) && pw_output_check ("--slack", why->slack, error)
         && pw_output_check ("--jitter-plot", why->jitter_plot, error);
}

static void
show_progress (int64_t done, int64_t samples) {
  static gint64 shown_us;
  gint64 now_us = g_get_monotonic_time ();
  if (now_us - shown_us < 200000 || !pw_progress_wanted ())
    return;
  shown_us = now_us;
  pw_progress_show ("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " samples", done, samples);
}

/* What needs the compiled program. */
static gboolean
ask_program (PwWhy *why, const PwSimulation *simulation, GError **error) {
  if (pw_sim_needs_events (&simulation->input))
    return pw_input_fail (error,
                          "--%s: links are shared, and every delay changes who is first on them; "
                          "it is for links that are not",
                          scatters (why) ? "jitter" : "slack");
  g_autoptr (PwSimProgram) program = pw_sim_compile (&simulation->input, error);
  if (!program)
    return FALSE;
  if (scatters (why)) {
    why->scatter.progress = show_progress;
    why->scattered = pw_sim_jitter (program, simulation->costs, &why->scatter);
    pw_progress_clear ();
  }
  if (why->jitter_plot
      && !pw_report_jitter_plot (simulation, why->scattered, why->jitter_plot, error))
    return FALSE;
  if (!why->slack)
    return TRUE;
  g_autofree char *csv = pw_report_slack_csv (simulation->result, program);
  return pw_output_text (why->slack, csv, error);
}

static gboolean
ask_changes (PwWhy *why, const PwSimulation *simulation, const PwPlan *plan,
             const PwSynthetic *synthetic, GError **error) {
  why->answers = g_new0 (PwWhatIfAnswer, g_strv_length (why->changes));
  for (int i = 0; why->changes[i]; i++)
    if (!pw_simulate_what_if (simulation, plan, synthetic, why->changes[i], &why->answers[i],
                              error)) {
      g_prefix_error (error, "--what-if \"%s\": ", why->changes[i]);
      return FALSE;
    }
  return TRUE;
}

gboolean
pw_why_ask (PwWhy *why, const PwSimulation *simulation, const PwPlan *plan,
            const PwSynthetic *synthetic, GError **error) {
  if ((scatters (why) || why->slack) && !ask_program (why, simulation, error))
    return FALSE;
  if (why->changes && !ask_changes (why, simulation, plan, synthetic, error))
    return FALSE;
  if (!why->sensitivity)
    return TRUE;
  why->sensitivities
      = pw_sim_sensitivities (&simulation->input, simulation->result->iteration_time, error);
  return why->sensitivities != NULL;
}

void
pw_why_print (const PwWhy *why, const PwSimulation *simulation) {
  if (why->answers)
    pw_report_what_if_print (simulation, why->changes, why->answers);
  if (why->sensitivities)
    pw_report_sensitivity_print (simulation, why->sensitivities);
  if (why->scattered)
    pw_report_jitter_print (simulation, &why->scatter, why->scattered);
}

void
pw_why_add_json (const PwWhy *why, json_t *object) {
  if (why->answers)
    json_object_set_new (object, "what_if", pw_report_what_if_json (why->changes, why->answers));
  if (why->sensitivities)
    json_object_set_new (object, "sensitivity", pw_report_sensitivity_json (why->sensitivities));
  if (why->scattered)
    json_object_set_new (object, "jitter", pw_report_jitter_json (&why->scatter, why->scattered));
}

void
pw_why_clear (PwWhy *why) {
  g_free (why->jitter);
  g_free (why->link_jitter);
  g_free (why->samples);
  g_free (why->jitter_seed);
  g_free (why->jitter_plot);
  g_free (why->slack);
  g_strfreev (why->changes);
  pw_sim_jitter_result_free (why->scattered);
  g_free (why->answers);
  if (why->sensitivities)
    g_array_unref (why->sensitivities);
}
