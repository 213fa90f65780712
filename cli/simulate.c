#include "cli/output.h"
#include "cli/report.h"
#include "cli/workload.h"
#include "plots/plot.h"
#include "traces/chrome.h"

typedef struct {
  char *trace, *plot;
  gboolean critical_path, links;
  char *jitter, *link_jitter, *samples, *jitter_seed, *slack;
} Options;

/* What is asked beyond one simulation. */
typedef struct {
  PwSimJitter jitter;
  PwSimJitterResult *scattered; /* NULL: not asked */
} Answers;

static gboolean
read_jitter (const Options *options, PwSimJitter *jitter, GError **error) {
  *jitter = (PwSimJitter){ .samples = 1000 };
  int64_t seed = 0;
  if (!options->jitter && !options->link_jitter && (options->samples || options->jitter_seed))
    return pw_usage_fail (error, "--%s is for --jitter or --link-jitter",
                          options->samples ? "samples" : "jitter-seed");
  if ((options->jitter
       && !pw_fraction_parse ("jitter", options->jitter, 10, &jitter->compute, error))
      || (options->link_jitter
          && !pw_fraction_parse ("link-jitter", options->link_jitter, 10, &jitter->link, error))
      || (options->samples
          && !pw_integer_parse ("samples", options->samples, 1, 100000000, &jitter->samples, error))
      || (options->jitter_seed
          && !pw_integer_parse ("jitter-seed", options->jitter_seed, 0, G_MAXINT64, &seed, error)))
    return FALSE;
  jitter->seed = (uint64_t)seed;
  return TRUE;
}

/* Everything that needs the compiled program. */
static gboolean
ask (const PwSimulation *simulation, const Options *options, Answers *answers, GError **error) {
  gboolean scatters = options->jitter || options->link_jitter;
  if (!scatters && !options->slack)
    return TRUE;
  if (pw_sim_needs_events (&simulation->input))
    return pw_input_fail (error,
                          "--%s: links are shared, so who is first on them changes with every "
                          "delay; such plans have no answer yet",
                          scatters ? "jitter" : "slack");
  g_autoptr (PwSimProgram) program = pw_sim_compile (&simulation->input, error);
  if (!program)
    return FALSE;
  if (scatters)
    answers->scattered = pw_sim_jitter (program, simulation->costs, &answers->jitter);
  if (!options->slack)
    return TRUE;
  g_autofree char *csv = pw_report_slack_csv (simulation->result, program);
  return pw_output_text (options->slack, csv, error);
}

static PwSimulation *
simulate (const PwCall *call, double *memory_limit, GError **error) {
  if (call->n_arguments == 0) {
    g_auto (PwWorkloadSynthetic) workload = { 0 };
    if (!pw_workload_synthetic (call->settings, TRUE, &workload, error))
      return NULL;
    *memory_limit = workload.synthetic.params.memory_limit;
    return pw_simulate_synthetic (&workload.synthetic, error);
  }
  int iterations;
  g_autoptr (PwPlan) plan = pw_workload_plan (call->settings, call->argv[0], error);
  if (!plan || !pw_workload_iterations (call->settings, &iterations, error))
    return NULL;
  *memory_limit = (double)plan->memory_limit;
  return pw_simulate_plan (plan, iterations, error);
}

static gboolean
write_files (const PwSimulation *simulation, const Options *options, GError **error) {
  if (!options->trace && !options->plot)
    return TRUE;
  g_autoptr (PwTrace) trace = pw_simulation_trace (simulation);
  if (options->trace && !pw_trace_write (trace, options->trace, error))
    return FALSE;
  if (!options->plot)
    return TRUE;
  PwPlotOptions plot = { .output = options->plot,
                         .iteration = simulation->input.iterations > 1 ? -2 : -1,
                         .memory = trace->memory->len > 0 };
  const PwTrace *traces[] = { trace };
  return pw_plot_timeline (traces, 1, &plot, NULL, error);
}

static void
print (const PwCall *call, const PwSimulation *simulation, const Options *options,
       const Answers *answers) {
  if (!call->json) {
    pw_report_print (simulation);
    if (options->links)
      pw_report_links_print (simulation);
    if (options->critical_path)
      pw_report_critical_print (simulation);
    if (answers->scattered)
      pw_report_jitter_print (simulation, &answers->jitter, answers->scattered);
    return;
  }
  json_t *object = pw_report_json (simulation, call->no_timing);
  if (options->links)
    json_object_set_new (object, "links", pw_report_links_json (simulation));
  if (options->critical_path)
    json_object_set_new (object, "critical_path", pw_report_critical_json (simulation));
  if (answers->scattered)
    json_object_set_new (object, "jitter",
                         pw_report_jitter_json (&answers->jitter, answers->scattered));
  pw_output_json (object);
}

static int
answer (PwCall *call, const Options *options, GError **error) {
  double limit = 0;
  Answers answers = { 0 };
  if (!read_jitter (options, &answers.jitter, error))
    return PW_EXIT_USAGE;
  g_autoptr (PwSimulation) simulation = simulate (call, &limit, error);
  if (!simulation || !write_files (simulation, options, error)
      || !ask (simulation, options, &answers, error))
    return PW_EXIT_USAGE;
  print (call, simulation, options, &answers);
  pw_sim_jitter_result_free (answers.scattered);
  g_autofree char *excess = pw_report_excess (simulation, limit);
  if (!excess)
    return PW_EXIT_DONE;
  pw_output_complain ("%s", excess);
  return PW_EXIT_NO;
}

static int
run (PwCall *call, GError **error) {
  Options options = { 0 };
  GOptionEntry entries[]
      = { { "trace", 0, 0, G_OPTION_ARG_FILENAME, &options.trace,
            "write the simulated trace, for Perfetto and `trace diff`", "FILE.json" },
          { "plot", 0, 0, G_OPTION_ARG_FILENAME, &options.plot,
            "draw the timeline (.svg, .png, .pdf)", "FILE" },
          { "critical-path", 0, 0, G_OPTION_ARG_NONE, &options.critical_path,
            "also show the chain of actions that decides the time", NULL },
          { "links", 0, 0, G_OPTION_ARG_NONE, &options.links,
            "also show what travels between ranks", NULL },
          { "slack", 0, 0, G_OPTION_ARG_FILENAME, &options.slack,
            "write how much later each action may end without the end moving", "FILE.csv" },
          { "jitter", 0, 0, G_OPTION_ARG_STRING, &options.jitter,
            "random times of computes: standard deviation of the factor, log-normal with mean 1; "
            "shows how the iteration scatters",
            "5%" },
          { "link-jitter", 0, 0, G_OPTION_ARG_STRING, &options.link_jitter,
            "the same for the times of messages", "5%" },
          { "samples", 0, 0, G_OPTION_ARG_STRING, &options.samples,
            "iterations drawn with jitter; default 1000", "N" },
          { "jitter-seed", 0, 0, G_OPTION_ARG_STRING, &options.jitter_seed,
            "of the random times; default 0", "N" },
          G_OPTION_ENTRY_NULL };
  int status = PW_EXIT_USAGE;
  if (!pw_call_parse (call, entries, error))
    status = PW_EXIT_DONE;
  else if (pw_output_check ("--trace", options.trace, error)
           && pw_output_check ("--plot", options.plot, error)
           && pw_output_check ("--slack", options.slack, error))
    status = answer (call, &options, error);
  g_free (options.trace);
  g_free (options.plot);
  g_free (options.slack);
  g_free (options.jitter);
  g_free (options.link_jitter);
  g_free (options.samples);
  g_free (options.jitter_seed);
  return status;
}

const PwCommand pw_command_simulate = {
  .name = "simulate",
  .arguments = "[PLAN]",
  .max_arguments = 1,
  .takes = PW_TAKES_ANY,
  .has_json = TRUE,
  .has_no_timing = TRUE,
  .summary = "iteration time, bubble by cause and memory of a plan",
  .details
  = "Simulates one iteration (or --iterations) of a plan, or of synthetic costs in units of\n"
    "your own: then --schedule, --ranks and --microbatches are needed and PLAN is left out.\n"
    "Exit status 1: a rank needs more than --memory-limit.",
  .example
  = "  pipewright simulate --schedule 1f1b --ranks 4 --microbatches 8 --forward 1 --backward 2\n"
    "    an iteration takes 33 units, 9 of them idle on every rank",
  .run = run,
};
