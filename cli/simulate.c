#include "cli/output.h"
#include "cli/report.h"
#include "cli/why.h"
#include "plots/plot.h"
#include "traces/chrome.h"

typedef struct {
  char *trace, *plot, *memory;
  gboolean critical_path, links;
  PwWhy why;
} Options;

/* What is simulated: a plan, or synthetic costs. */
typedef struct {
  PwPlan *plan; /* NULL: synthetic */
  PwWorkloadSynthetic synthetic;
  double memory_limit;
} Workload;

static void
workload_clear (Workload *workload) {
  pw_plan_free (workload->plan);
  pw_workload_synthetic_clear (&workload->synthetic);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Workload, workload_clear)

static PwSimulation *
simulate (const PwCall *call, Workload *workload, GError **error) {
  if (call->n_arguments == 0) {
    if (!pw_workload_synthetic (call->settings, TRUE, &workload->synthetic, error))
      return NULL;
    workload->memory_limit = workload->synthetic.synthetic.params.memory_limit;
    return pw_simulate_synthetic (&workload->synthetic.synthetic, error);
  }
  int iterations;
  workload->plan = pw_workload_plan (call->settings, call->argv[0], error);
  if (!workload->plan || !pw_workload_iterations (call->settings, &iterations, error))
    return NULL;
  workload->memory_limit = (double)workload->plan->memory_limit;
  return pw_simulate_plan (workload->plan, iterations, error);
}

static gboolean
write_memory (const PwSimulation *simulation, const Options *options, GError **error) {
  if (!options->memory)
    return TRUE;
  if (simulation->result->memory->len == 0)
    return pw_usage_fail (error, "--memory: these costs have no bytes; a plan has");
  g_autofree char *csv = pw_report_memory_csv (simulation->result);
  return pw_output_text (options->memory, csv, error);
}

static gboolean
write_files (const PwSimulation *simulation, const Options *options, GError **error) {
  if (!write_memory (simulation, options, error))
    return FALSE;
  if (!options->trace && !options->plot)
    return TRUE;
  g_autoptr (PwTrace) trace = options->critical_path ? pw_simulation_trace_critical (simulation)
                                                     : pw_simulation_trace (simulation);
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

/* Of a plan: why it does not fit the limit, or the machine where there is none. */
static PwVerdict *
find_verdict (const Workload *workload, const PwSimulation *simulation) {
  const PwPlan *plan = workload->plan;
  if (!plan)
    return NULL;
  int64_t limit = plan->memory_limit > 0 ? plan->memory_limit : plan->hardware->memory_bytes;
  return pw_verdict_new (plan, simulation, limit);
}

static void
print (const PwCall *call, const PwSimulation *simulation, const Options *options,
       const PwVerdict *verdict) {
  if (!call->json) {
    pw_report_print (simulation);
    if (options->links)
      pw_report_links_print (simulation);
    if (options->critical_path)
      pw_report_critical_print (simulation);
    pw_why_print (&options->why, simulation);
    if (verdict)
      pw_report_verdict_print (verdict);
    return;
  }
  json_t *object = pw_report_json (simulation, call->no_timing);
  if (options->links) {
    json_object_set_new (object, "links", pw_report_links_json (simulation));
    json_object_set_new (object, "resources", pw_report_resources_json (simulation));
  }
  if (options->critical_path)
    json_object_set_new (object, "critical_path", pw_report_critical_json (simulation));
  pw_why_add_json (&options->why, object);
  if (verdict)
    json_object_set_new (object, "verdict", pw_report_verdict_json (verdict));
  pw_output_json (object);
}

static int
answer (PwCall *call, Options *options, GError **error) {
  g_auto (Workload) workload = { 0 };
  if (options->memory && g_str_equal (options->memory, "-") && call->json) {
    pw_usage_fail (error, "--memory - and --json cannot both have standard output");
    return PW_EXIT_USAGE;
  }
  if (!pw_why_check (&options->why, call, error))
    return PW_EXIT_USAGE;
  g_autoptr (PwSimulation) simulation = simulate (call, &workload, error);
  if (!simulation || !write_files (simulation, options, error)
      || !pw_why_ask (&options->why, simulation, workload.plan,
                      workload.plan ? NULL : &workload.synthetic.synthetic, error))
    return PW_EXIT_USAGE;
  g_autoptr (PwVerdict) verdict = find_verdict (&workload, simulation);
  print (call, simulation, options, verdict);
  g_autofree char *excess = verdict ? pw_report_verdict_sentence (verdict)
                                    : pw_report_excess (simulation, workload.memory_limit);
  if (!excess)
    return PW_EXIT_DONE;
  pw_output_complain ("%s", excess);
  return PW_EXIT_NO;
}

static int
run (PwCall *call, GError **error) {
  Options options = { 0 };
  GOptionEntry entries[] = {
    { "trace", 0, 0, G_OPTION_ARG_FILENAME, &options.trace,
      "write the simulated trace, for Perfetto and `trace diff`", "FILE.json" },
    { "plot", 0, 0, G_OPTION_ARG_FILENAME, &options.plot, "draw the timeline (.svg, .png, .pdf)",
      "FILE" },
    { "critical-path", 0, 0, G_OPTION_ARG_NONE, &options.critical_path,
      "also show the chain of actions that decides the time, and mark it in --plot and --trace",
      NULL },
    { "memory", 0, 0, G_OPTION_ARG_FILENAME, &options.memory,
      "write what each rank holds over time, by category", "FILE.csv" },
    { "links", 0, 0, G_OPTION_ARG_NONE, &options.links, "also show what travels between ranks",
      NULL },
    { "slack", 0, 0, G_OPTION_ARG_FILENAME, &options.why.slack,
      "write how much later each action may end without the end moving", "FILE.csv" },
    { "what-if", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.why.changes,
      "what a change saves: \"link: 2x\", \"rank 3: 1.2x\", \"stage 0: -1 layer\", "
      "\"microbatches: =16\"; several by commas; repeatable",
      "CHANGE" },
    { "sensitivity", 0, 0, G_OPTION_ARG_NONE, &options.why.sensitivity,
      "what is saved where one rank, stage or link is 1% faster", NULL },
    { "jitter", 0, 0, G_OPTION_ARG_STRING, &options.why.jitter,
      "random times of computes: standard deviation of the factor, log-normal with mean 1; "
      "shows how the iteration scatters",
      "5%" },
    { "link-jitter", 0, 0, G_OPTION_ARG_STRING, &options.why.link_jitter,
      "the same for the times of messages", "5%" },
    { "samples", 0, 0, G_OPTION_ARG_STRING, &options.why.samples,
      "iterations drawn with jitter; default 1000", "N" },
    { "jitter-seed", 0, 0, G_OPTION_ARG_STRING, &options.why.jitter_seed,
      "of the random times; default 0", "N" },
    { "jitter-plot", 0, 0, G_OPTION_ARG_FILENAME, &options.why.jitter_plot,
      "draw how often an iteration takes how long (.svg, .png, .pdf)", "FILE" },
    G_OPTION_ENTRY_NULL
  };
  int status = PW_EXIT_USAGE;
  if (!pw_call_parse (call, entries, error))
    status = PW_EXIT_DONE;
  else if (pw_output_check ("--trace", options.trace, error)
           && pw_output_check ("--plot", options.plot, error)
           && pw_output_check ("--memory", options.memory, error))
    status = answer (call, &options, error);
  g_free (options.trace);
  g_free (options.plot);
  g_free (options.memory);
  pw_why_clear (&options.why);
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
