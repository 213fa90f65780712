#include "exec/profile.h"
#include "cli/execution.h"
#include "cli/hardware.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "cli/table.h"
#include "cli/workload.h"
#include <stdio.h>

typedef struct {
  char *output, *hardware, *sizes;
  double seconds;
} Options;

/* SIZES as given, or the plan's micro-batch sizes, each once and ascending. */
static GArray *
list_sizes (const char *sizes, const PwResolvedPlan *resolved, GError **error) {
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (int64_t));
  g_auto (GStrv) parts = g_strsplit (sizes ? sizes : "", ",", -1);
  for (int i = 0; parts[i]; i++) {
    int64_t size;
    if (!pw_integer_parse ("sizes", parts[i], 1, 1 << 30, &size, error))
      return NULL;
    if (list->len > 0 && size <= g_array_index (list, int64_t, list->len - 1)) {
      pw_input_fail (error, "--sizes: %s: sizes must ascend", sizes);
      return NULL;
    }
    g_array_append_val (list, size);
  }
  /* torch.chunk cuts equal pieces, the last ones smaller. */
  for (int m = resolved->microbatches - 1; !sizes && m >= 0; m--)
    if (list->len == 0 || g_array_index (list, int64_t, list->len - 1) < resolved->samples[m])
      g_array_append_val (list, resolved->samples[m]);
  if (list->len == 0) {
    pw_input_fail (error, "--sizes: no size is given");
    return NULL;
  }
  return g_steal_pointer (&list);
}

static void
show_progress (double fraction, gpointer data) {
  (void)data;
  pw_progress_show ("profiling %3.0f%%", 100 * fraction);
}

static PwLayerCosts *
measure (const PwPlan *plan, const PwResolvedPlan *resolved, const Options *options,
         PwExecOptions *exec, GError **error) {
  if (!pw_execution_options (plan, exec, error)
      || !pw_execution_check_memory (plan, resolved, exec, NULL, error))
    return NULL;
  g_autoptr (GArray) sizes = list_sizes (options->sizes, resolved, error);
  if (!sizes)
    return NULL;
  PwProfileOptions profile = { .backend = exec->backend,
                               .transport = exec->transport,
                               .ranks = resolved->compute->ranks,
                               .samples = (const int64_t *)(gconstpointer)sizes->data,
                               .n_samples = (int)sizes->len,
                               .optimizer_kind = plan->optimizer.kind,
                               .precision = plan->precision,
                               .seconds = options->seconds,
                               .progress = show_progress };
  PwLayerCosts *costs = pw_profile_run (resolved->graph, &profile, error);
  pw_progress_clear ();
  return costs;
}

/* The sum over a unit's layers for SAMPLES. */
static PwLayerCost
unit_cost (const PwLayerCosts *costs, const PwUnit *unit, int64_t samples) {
  PwLayerCost sum = { 0 };
  for (int l = unit->first_layer; l < unit->first_layer + unit->n_layers; l++) {
    PwLayerCost layer;
    pw_layer_costs_at (costs, l, (double)samples, &layer);
    sum.forward_s += layer.forward_s;
    sum.input_s += layer.input_s;
    sum.weight_s += layer.weight_s;
    sum.update_s += layer.update_s;
    sum.workspace_bytes = MAX (sum.workspace_bytes, layer.workspace_bytes);
  }
  return sum;
}

static json_t *
unit_json (const PwUnit *unit, const PwLayerCost *cost) {
  json_t *object = json_object ();
  json_object_set_new (object, "unit", json_string (unit->name));
  json_object_set_new (object, "forward_s", pw_output_number (cost->forward_s));
  json_object_set_new (object, "input_s", pw_output_number (cost->input_s));
  json_object_set_new (object, "weight_s", pw_output_number (cost->weight_s));
  json_object_set_new (object, "update_s", pw_output_number (cost->update_s));
  json_object_set_new (object, "workspace_bytes", json_integer (cost->workspace_bytes));
  return object;
}

static void
add_costs (json_t *object, const PwGraph *graph, const PwLayerCosts *costs) {
  json_t *tables = json_array ();
  json_object_set_new (object, "model", pw_output_string (graph->name));
  json_object_set_new (object, "machine", pw_output_string (costs->machine));
  json_object_set_new (object, "precision",
                       pw_output_string (pw_precision_names[costs->precision]));
  for (int t = 0; t < costs->n_tables; t++) {
    json_t *table = json_object (), *units = json_array ();
    json_object_set_new (table, "samples", json_integer (costs->tables[t].samples));
    for (int u = 0; u < graph->n_units; u++) {
      PwLayerCost cost = unit_cost (costs, &graph->units[u], costs->tables[t].samples);
      json_array_append_new (units, unit_json (&graph->units[u], &cost));
    }
    json_object_set_new (table, "units", units);
    json_array_append_new (tables, table);
  }
  json_object_set_new (object, "sizes", tables);
  json_object_set_new (object, "latency_s", pw_output_number (costs->link.latency_s));
  json_object_set_new (object, "bandwidth", pw_output_number (costs->link.bandwidth));
  json_object_set_new (object, "action_overhead_s", pw_output_number (costs->action_overhead_s));
}

static void
print_size (const PwGraph *graph, const PwLayerCosts *costs, int64_t samples) {
  static const char *const headings[]
      = { "<unit", "layers", "forward", "input", "weight", "update", "sum", "workspace", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  PwLayerCost total = { 0 };
  for (int u = 0; u <= graph->n_units; u++) {
    gboolean is_total = u == graph->n_units;
    const PwUnit *unit = &graph->units[u];
    PwLayerCost cost = is_total ? total : unit_cost (costs, unit, samples);
    pw_table_row (table);
    pw_table_text (table, is_total ? "all" : unit->name);
    pw_table_integer (table, is_total ? graph->n_layers : unit->n_layers);
    pw_table_time (table, cost.forward_s, FALSE);
    pw_table_time (table, cost.input_s, FALSE);
    pw_table_time (table, cost.weight_s, FALSE);
    pw_table_time (table, cost.update_s, FALSE);
    pw_table_time (table, cost.forward_s + cost.input_s + cost.weight_s + cost.update_s, FALSE);
    pw_table_bytes (table, cost.workspace_bytes);
    total.forward_s += cost.forward_s;
    total.input_s += cost.input_s;
    total.weight_s += cost.weight_s;
    total.update_s += cost.update_s;
    total.workspace_bytes = MAX (total.workspace_bytes, cost.workspace_bytes);
  }
  printf ("micro-batch of %" G_GINT64_FORMAT " sample%s\n", samples, samples == 1 ? "" : "s");
  pw_table_print (table);
  printf ("\n");
}

static void
print_text (const PwGraph *graph, const PwLayerCosts *costs) {
  char text[PW_TEXT_MAX];
  if (costs->machine)
    printf ("%s in %s on %s\n\n", graph->name, pw_precision_names[costs->precision],
            costs->machine);
  for (int t = 0; t < costs->n_tables; t++)
    print_size (graph, costs, costs->tables[t].samples);
  pw_print_fact ("message latency", "%s", pw_format_time (costs->link.latency_s, FALSE, text));
  if (costs->link.bandwidth > 0)
    pw_print_fact ("message bandwidth", "%s/s",
                   pw_format_bytes ((int64_t)costs->link.bandwidth, text));
  pw_print_fact ("action overhead", "%s", pw_format_time (costs->action_overhead_s, FALSE, text));
}

/* ---- The machine ---- */

/* Two ranks have a link; where the machine has one device only, it is left out. */
static gboolean
choose_ranks (PwPlan *plan, PwExecOptions *exec, GError **error) {
  if (plan->ranks > 0)
    return pw_execution_options (plan, exec, error);
  plan->ranks = 2;
  if (g_get_num_processors () > 1 && pw_execution_options (plan, exec, NULL))
    return TRUE;
  plan->ranks = 1;
  return pw_execution_options (plan, exec, error);
}

static void
show_machine_progress (double fraction, gpointer data) {
  (void)data;
  pw_progress_show ("measuring the machine %3.0f%%", 100 * fraction);
}

static PwHardware *
measure_machine (const PwExecOptions *exec, int ranks, const Options *options, GError **error) {
  PwMachineOptions machine = { .backend = exec->backend,
                               .transport = exec->transport,
                               .ranks = ranks,
                               .seconds = options->seconds,
                               .progress = show_machine_progress };
  PwHardware *hardware = pw_profile_machine (&machine, error);
  pw_progress_clear ();
  if (hardware && !pw_hardware_save (hardware, options->hardware, error))
    g_clear_pointer (&hardware, pw_hardware_free);
  return hardware;
}

static gboolean
profile_machine (const PwCall *call, const Options *options, GError **error) {
  if (!options->hardware)
    return pw_usage_fail (error, "profile: give a plan, or --hardware-out to measure the machine");
  if (options->output || options->sizes)
    return pw_usage_fail (error, "%s is for a plan, and none is given",
                          options->output ? "-o" : "--sizes");
  g_autoptr (PwPlan) plan = pw_workload_machine (call->settings, error);
  PwExecOptions exec = { 0 };
  if (!plan || !choose_ranks (plan, &exec, error))
    return FALSE;
  g_autoptr (PwHardware) hardware = measure_machine (&exec, plan->ranks, options, error);
  if (!hardware)
    return FALSE;
  if (call->json)
    pw_output_json (json_pack ("{s:o}", "hardware", pw_hardware_to_json (hardware)));
  else
    pw_hardware_print (hardware);
  return TRUE;
}

/* ---- The plan ---- */

static void
print (const PwCall *call, const PwGraph *graph, const PwLayerCosts *costs,
       const PwHardware *hardware) {
  if (call->json) {
    json_t *object = json_object ();
    add_costs (object, graph, costs);
    if (hardware)
      json_object_set_new (object, "hardware", pw_hardware_to_json (hardware));
    pw_output_json (object);
    return;
  }
  print_text (graph, costs);
  if (hardware) {
    printf ("\n");
    pw_hardware_print (hardware);
  }
}

static gboolean
profile_plan (const PwCall *call, const Options *options, GError **error) {
  g_autoptr (PwPlan) plan = pw_workload_plan (call->settings, call->argv[0], error);
  g_autoptr (PwResolvedPlan) resolved = plan ? pw_plan_resolve (plan, NULL, error) : NULL;
  if (!resolved)
    return FALSE;
  PwExecOptions exec = { 0 };
  g_autoptr (PwLayerCosts) costs = measure (plan, resolved, options, &exec, error);
  if (!costs || (options->output && !pw_layer_costs_save (costs, options->output, error)))
    return FALSE;
  g_autoptr (PwHardware) hardware = NULL;
  if (options->hardware) {
    hardware = measure_machine (&exec, resolved->compute->ranks, options, error);
    if (!hardware)
      return FALSE;
  }
  print (call, resolved->graph, costs, hardware);
  return TRUE;
}

static gboolean
profile (const PwCall *call, const Options *options, GError **error) {
  if (options->seconds < 0 || options->seconds > 3600)
    return pw_input_fail (error, "--seconds: %g is not within 0 and 3600", options->seconds);
  if (!pw_output_check ("-o", options->output, error)
      || !pw_output_check ("--hardware-out", options->hardware, error)
      || !pw_process_group_refuse ("profile", "it measures in one, with a thread per rank", error))
    return FALSE;
  return call->n_arguments > 0 ? profile_plan (call, options, error)
                               : profile_machine (call, options, error);
}

static int
run (PwCall *call, GError **error) {
  Options options = { 0 };
  GOptionEntry entries[]
      = { { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output,
            "write the costs, for --costs and a plan's \"costs\"", "FILE.json" },
          { "hardware-out", 0, 0, G_OPTION_ARG_FILENAME, &options.hardware,
            "measure the machine, too, and write it for --hardware and a plan's \"hardware\"",
            "FILE.json" },
          { "sizes", 0, 0, G_OPTION_ARG_STRING, &options.sizes,
            "samples of a micro-batch; default: those of the plan", "N,N,..." },
          { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds,
            "time for each size, default 2; and for the machine, default 20", "X" },
          G_OPTION_ENTRY_NULL };
  if (pw_call_parse (call, entries, error))
    profile (call, &options, error);
  g_free (options.output);
  g_free (options.hardware);
  g_free (options.sizes);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_profile = {
  .name = "profile",
  .arguments = "[PLAN]",
  .max_arguments = 1,
  .takes = PW_TAKES_PLAN,
  .without = pw_execution_without,
  .has_json = TRUE,
  .summary = "measures each layer and the transport on this machine",
  .details
  = "Times forward, input gradient, weight gradient and update of every layer as they are\n"
    "met in training, with as many cores busy as the plan has ranks.\n"
    "\n"
    "--hardware-out measures the machine itself, with a plan or without: rates of products by\n"
    "size and precision, of memory and copies by size, the link by the size of a message.\n"
    "Estimates for any model can be made from that. Without a plan it takes --backend,\n"
    "--transport, --ranks (2; on the CPU that many cores are busy) and --share-devices.",
  .example = "  pipewright profile examples/gpt-small.json -o costs.json\n"
             "    then: pipewright simulate examples/gpt-small.json --costs costs.json\n"
             "  pipewright profile --hardware-out machine.json\n"
             "    then: pipewright simulate examples/gpt-small.json --hardware machine.json",
  .run = run,
};
