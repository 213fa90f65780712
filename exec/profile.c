/* Layer costs as a run will meet them. The graph is cut into one stage per rank, and every rank
 * runs its stage over and over in the order of 1F1B with two micro-batches in flight,
 *
 *   F0 F1 B0 F2 B1 F3 B2 B3 U
 *
 * with the executor itself, so that buffers are allocated, written and reused as in training and
 * all cores are busy. The ranks do not wait for each other: a transport that answers at once stands
 * in for the neighbours. Then the stages move on by one rank, and the medians are over both. */
#include "exec/profile.h"

#include "exec/exec_private.h"
#include "exec/data.h"
#include "exec/half.h"
#include "exec/profile_private.h"
#include "exec/random_private.h"

#define MICROBATCHES 4
#define IN_FLIGHT 2
#define SAMPLES_MAX 4096 /* times kept of each layer and phase: the last ones */
#define LARGEST_MESSAGE (4 << 20)
#define ITERATIONS_MIN 4 /* the first is warm-up */

/* ---- Times ---- */

typedef struct {
  double *seconds; /* ring of SAMPLES_MAX */
  gsize n;
  double total;
} Times;

enum { UPDATE = PW_PHASE_WEIGHT + 1, N_KINDS };

typedef struct {
  const PwGraph *graph;
  const PwProfileOptions *options;
  int n_stages;
  PwPartition *partition;
  PwStageEdges *edges;
  Times (*times)[N_KINDS]; /* [n_layers]; a layer's are written by its stage's worker */
  double outside_s;        /* loops without layers and waiting, all ranks */
  int64_t n_actions;       /* compute actions in them */
  void *pattern;           /* of the precision's type */
  double done, budget;     /* seconds, of all sizes */
} Profile;

static void
add_time (Times *times, double seconds) {
  if (!times->seconds)
    times->seconds = g_new (double, SAMPLES_MAX);
  times->seconds[times->n++ % SAMPLES_MAX] = seconds;
  times->total += seconds;
}

static void
add_layer_time (gpointer data, int layer, PwPhase phase, double seconds) {
  Profile *profile = data;
  add_time (&profile->times[layer][phase], seconds);
}

static void
add_update_time (gpointer data, int layer, double seconds) {
  Profile *profile = data;
  add_time (&profile->times[layer][UPDATE], seconds);
}

static double
total_time (const Profile *profile) {
  double total = 0;
  for (int l = 0; l < profile->graph->n_layers; l++)
    for (int k = 0; k < N_KINDS; k++)
      total += profile->times[l][k].total;
  return total;
}

static double
median_time (Times *times) {
  return pw__median (times->seconds, MIN (times->n, SAMPLES_MAX));
}

static void
clear_times (Profile *profile) {
  for (int l = 0; l < profile->graph->n_layers; l++)
    for (int k = 0; k < N_KINDS; k++) {
      g_free (profile->times[l][k].seconds);
      profile->times[l][k] = (Times){ 0 };
    }
}

/* ---- The cut ---- */

static gboolean
shares_parameters (const PwGraph *graph) {
  for (int l = 0; l < graph->n_layers; l++)
    if (graph->layers[l].shares_with >= 0)
      return TRUE;
  return FALSE;
}

/* One stage per rank by FLOPs, of whole units. Shared parameters cannot be cut apart: one stage. */
static PwPartition *
cut (const PwGraph *graph, int ranks) {
  int stages = shares_parameters (graph) ? 1 : MIN (ranks, graph->n_units);
  g_autofree double *flops = g_new0 (double, (gsize)graph->n_units);
  for (int u = 0; u < graph->n_units; u++)
    flops[u]
        = (double)pw_graph_flops (graph, graph->units[u].first_layer, graph->units[u].n_layers);
  PwPartition *partition = pw_partition_new_balanced (flops, graph->n_units, stages, 0, 0, NULL);
  for (int s = 0; s < stages; s++)
    partition->bounds[s] = graph->units[partition->bounds[s]].first_layer;
  partition->bounds[stages] = graph->n_layers;
  return partition;
}

static int
stage_of (const PwPartition *partition, int layer) {
  int s = 0;
  while (layer >= partition->bounds[s + 1])
    s++;
  return s;
}

static PwStageEdges *
edges_of (const PwGraph *graph, const PwPartition *partition) {
  g_autoptr (GArray) edges = g_array_new (FALSE, FALSE, sizeof (PwStageEdge));
  for (int l = 0; l < graph->n_layers; l++)
    for (int k = 0; k < graph->layers[l].n_inputs; k++) {
      int tensor = graph->layers[l].inputs[k];
      int consumer = stage_of (partition, l);
      if (tensor == PW_GRAPH_INPUT || stage_of (partition, tensor) == consumer)
        continue;
      gboolean is_known = FALSE;
      for (guint i = 0; i < edges->len; i++) {
        const PwStageEdge *edge = &g_array_index (edges, PwStageEdge, i);
        is_known |= edge->tensor == tensor && edge->consumer == consumer;
      }
      PwStageEdge edge
          = { .producer = stage_of (partition, tensor), .consumer = consumer, .tensor = tensor };
      if (!is_known)
        g_array_append_val (edges, edge);
    }
  return pw_stage_edges_new (partition->stages, (const PwStageEdge *)(void *)edges->data,
                             (int)edges->len);
}

/* ---- The lists ---- */

static void
add_messages (GArray *list, PwActionKind kind, const int *edges, int from, int to, int stage,
              int microbatch) {
  for (int i = from; i < to; i++) {
    PwAction action = pw_action (kind, stage, microbatch);
    action.edge = (uint16_t)edges[i];
    g_array_append_val (list, action);
  }
}

static void
add_compute (GArray *list, const PwStageEdges *edges, PwActionKind kind, int stage,
             int microbatch) {
  gboolean is_forward = kind == PW_ACTION_FORWARD;
  const int *in_start = is_forward ? edges->in_start : edges->out_start;
  const int *in = is_forward ? edges->in_edges : edges->out_edges;
  const int *out_start = is_forward ? edges->out_start : edges->in_start;
  const int *out = is_forward ? edges->out_edges : edges->in_edges;
  PwAction action = pw_action (kind, stage, microbatch);
  add_messages (list, is_forward ? PW_ACTION_RECV_FORWARD : PW_ACTION_RECV_BACKWARD, in,
                in_start[stage], in_start[stage + 1], stage, microbatch);
  g_array_append_val (list, action);
  add_messages (list, is_forward ? PW_ACTION_SEND_FORWARD : PW_ACTION_SEND_BACKWARD, out,
                out_start[stage], out_start[stage + 1], stage, microbatch);
}

static PwSchedule *
make_lists (const Profile *profile, int shift) {
  int n = profile->n_stages;
  PwPlacement *placement = pw_placement_new_custom (n, n, 1);
  for (int s = 0; s < n; s++)
    placement->rank_of_stage[s] = (s + shift) % n;
  PwSchedule *schedule = pw_schedule_new ("profile", placement, MICROBATCHES);
  schedule->is_lowered = TRUE;
  schedule->mode = PW_MODE_TRAINING;
  schedule->policy = PW_POLICY_DEFAULT;
  for (int s = 0; s < n; s++) {
    g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (PwAction));
    for (int m = 0; m < MICROBATCHES + IN_FLIGHT - 1; m++) {
      if (m < MICROBATCHES)
        add_compute (list, profile->edges, PW_ACTION_FORWARD, s, m);
      if (m >= IN_FLIGHT - 1)
        add_compute (list, profile->edges, PW_ACTION_BACKWARD, s, m - IN_FLIGHT + 1);
    }
    PwAction update = pw_action (PW_ACTION_UPDATE, s, 0);
    g_array_append_val (list, update);
    pw_schedule_take_list (schedule, placement->rank_of_stage[s],
                           g_memdup2 (list->data, list->len * sizeof (PwAction)), list->len);
  }
  return schedule;
}

/* ---- Running ---- */

static void
report_progress (Profile *profile, double seconds) {
  const PwProfileOptions *options = profile->options;
  profile->done += seconds;
  if (options->progress)
    options->progress (MIN (1, profile->done / profile->budget), options->progress_data);
}

static void
add_overhead (Profile *profile, const PwExec *exec, double layers_s) {
  double loops_s = 0;
  for (int r = 0; r < exec->n_ranks; r++)
    loops_s += exec->workers[r].figures.wall_time - exec->workers[r].figures.wait_time;
  profile->outside_s += loops_s - layers_s;
  profile->n_actions += exec->n_ranks * (2 * MICROBATCHES + 1);
}

static gboolean
run_for (Profile *profile, PwExec *exec, int program, const PwExecBatch *batch, double seconds,
         GError **error) {
  PwLayerTimer timer = { .add = add_layer_time, .add_update = add_update_time, .data = profile };
  double start = pw__now_s ();
  double before = start;
  for (int i = 0; i < ITERATIONS_MIN || before - start < seconds; i++) {
    double layers_s = total_time (profile);
    for (int r = 0; i == 1 && r < exec->n_ranks; r++)
      exec->workers[r].timer = &timer;
    if (!pw_exec_run (exec, program, batch, NULL, error))
      return FALSE;
    if (i > 0)
      add_overhead (profile, exec, total_time (profile) - layers_s);
    double now = pw__now_s ();
    report_progress (profile, now - before);
    before = now;
  }
  return TRUE;
}

static gboolean
run_shift (Profile *profile, const PwResolvedPlan *resolved, const PwExecBatch *batch,
           double seconds, GError **error) {
  PwExecOptions options = { .backend = profile->options->backend,
                            .transport = &pw__transport_loopback,
                            .share_devices = TRUE };
  g_autoptr (PwExec) exec = pw_exec_new (resolved, &options, error);
  if (!exec)
    return FALSE;
  pw__loopback_set_pattern (exec->transport_state, profile->pattern);
  int program = pw_exec_add (exec, resolved->lowered, error);
  return program >= 0 && run_for (profile, exec, program, batch, seconds, error);
}

/* Tokens within every vocabulary are what data.c draws; the rest of a mini-batch is normal. */
static gboolean
fill_batch (const PwGraph *graph, int64_t batch, void *inputs, void *targets, GError **error) {
  PwDataPlan random = { .kind = PW_DATA_RANDOM };
  g_autoptr (PwDataset) dataset = pw_dataset_open (&random, graph, 0, error);
  if (!dataset)
    return FALSE;
  pw_dataset_fill (dataset, 0, batch, inputs, targets);
  return TRUE;
}

static gsize
largest_tensor (const PwGraph *graph) {
  int64_t largest = 8;
  for (int l = 0; l < graph->n_layers; l++)
    largest = MAX (largest, pw_shape_bytes (&graph->layers[l].info.output));
  return (gsize)largest;
}

/* BYTES of small numbers. */
static void
fill_pattern (Profile *profile, gsize bytes) {
  PwDtype element = pw_precision_element (profile->options->precision);
  gsize n = bytes / (gsize)pw_dtype_bytes (element) + 2;
  g_autofree float *values = g_new0 (float, n);
  for (gsize i = 0; i + 1 < n; i += 2) {
    double pair[2];
    pw__random_normal_pair (1, i, pair);
    values[i] = (float)(0.1 * pair[0]);
    values[i + 1] = (float)(0.1 * pair[1]);
  }
  g_free (profile->pattern);
  profile->pattern = g_malloc (n * (gsize)pw_dtype_bytes (element));
  pw__floats_to (element, values, (int64_t)n, profile->pattern);
}

static gboolean
measure_size (Profile *profile, int64_t samples, double seconds, GError **error) {
  const PwGraph *graph = profile->graph;
  int64_t sizes[MICROBATCHES] = { samples, samples, samples, samples };
  int64_t batch_samples = MICROBATCHES * samples;
  PwResolvedPlan resolved
      = { .graph = (PwGraph *)graph,
          .partition = profile->partition,
          .edges = profile->edges,
          .microbatches = MICROBATCHES,
          .samples = sizes,
          .batch = batch_samples,
          .mode = PW_MODE_TRAINING,
          .precision = profile->options->precision,
          .optimizer = { .kind = (PwOptimizerKind)profile->options->optimizer_kind,
                         .learning_rate = 1e-6,
                         .beta1 = 0.9,
                         .beta2 = 0.999,
                         .epsilon = 1e-8 } };
  fill_pattern (profile, largest_tensor (graph) * (gsize)batch_samples);
  g_autofree char *inputs = g_malloc ((gsize)(batch_samples * pw_shape_bytes (&graph->input)));
  g_autofree char *targets
      = g_malloc ((gsize)(batch_samples * pw_shape_bytes (&graph->target)) + 8);
  if (!fill_batch (graph, batch_samples, inputs, targets, error))
    return FALSE;
  PwExecBatch batch
      = { .inputs = inputs, .targets = targets, .output_gradients = profile->pattern };
  int shifts = MIN (profile->n_stages, 2);
  for (int shift = 0; shift < shifts; shift++) {
    resolved.lowered = make_lists (profile, shift);
    gboolean good = run_shift (profile, &resolved, &batch, seconds / shifts, error);
    pw_schedule_free (resolved.lowered);
    if (!good)
      return FALSE;
  }
  return TRUE;
}

/* ---- The table ---- */

static const PwBackend *
backend_of (const PwProfileOptions *options) {
  return options->backend ? options->backend : &pw_backend_cpu;
}

static gboolean
measure_workspace (const Profile *profile, int64_t samples, PwLayerCost *costs, GError **error) {
  const PwBackend *backend = backend_of (profile->options);
  PwOpContext context = { .backend = backend,
                          .stream = backend->stream_new (0, error),
                          .tf32 = profile->options->precision == PW_PRECISION_TF32 };
  if (!context.stream)
    return FALSE;
  for (int l = 0; l < profile->graph->n_layers; l++) {
    const PwLayer *layer = &profile->graph->layers[l];
    costs[l].workspace_bytes = (int64_t)pw_layer_runner_workspace (
        pw_layer_runner_get (layer->type->name), layer, &context, samples);
  }
  backend->stream_free (context.stream);
  return TRUE;
}

static gboolean
fill_table (Profile *profile, int64_t samples, double seconds, PwLayerCostTable *table,
            GError **error) {
  table->samples = samples;
  if (!measure_size (profile, samples, seconds, error))
    return FALSE;
  for (int l = 0; l < profile->graph->n_layers; l++) {
    Times *times = profile->times[l];
    table->layers[l].forward_s = median_time (&times[PW_PHASE_FORWARD]);
    table->layers[l].input_s = median_time (&times[PW_PHASE_INPUT]);
    table->layers[l].weight_s = median_time (&times[PW_PHASE_WEIGHT]);
    table->layers[l].update_s = median_time (&times[UPDATE]);
  }
  clear_times (profile);
  return measure_workspace (profile, samples, table->layers, error);
}

static gboolean
fill_costs (Profile *profile, PwLayerCosts *costs, GError **error) {
  const PwProfileOptions *options = profile->options;
  double seconds = options->seconds > 0 ? options->seconds : 2;
  profile->budget = seconds * options->n_samples;
  for (int i = 0; i < options->n_samples; i++)
    if (!fill_table (profile, options->samples[i], seconds, &costs->tables[i], error))
      return FALSE;
  costs->action_overhead_s
      = profile->n_actions > 0 ? MAX (0, profile->outside_s / (double)profile->n_actions) : 0;
  return options->ranks < 2
         || pw__profile_link (backend_of (options),
                              options->transport ? options->transport : &pw_transport_threads,
                              LARGEST_MESSAGE, &costs->link, &costs->messages, error);
}

PwLayerCosts *
pw_profile_run (const PwGraph *graph, const PwProfileOptions *options, GError **error) {
  Profile profile = { .graph = graph, .options = options };
  for (int l = 0; l < graph->n_layers; l++)
    if (!pw_layer_runner_get (graph->layers[l].type->name)) {
      g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                   "layer %s: the executor cannot run layers of type %s", graph->layers[l].name,
                   graph->layers[l].type->name);
      return NULL;
    }
  profile.partition = cut (graph, MAX (1, options->ranks));
  profile.n_stages = profile.partition->stages;
  profile.edges = edges_of (graph, profile.partition);
  profile.times = g_malloc0_n ((gsize)graph->n_layers, sizeof *profile.times);
  PwLayerCosts *costs = pw_layer_costs_new (graph, "measured", options->n_samples);
  g_free (costs->machine);
  costs->machine = pw__profile_machine_name (backend_of (options), options->ranks);
  costs->precision = options->precision;
  if (!fill_costs (&profile, costs, error))
    g_clear_pointer (&costs, pw_layer_costs_free);
  clear_times (&profile);
  g_free (profile.times);
  g_free (profile.pattern);
  pw_stage_edges_free (profile.edges);
  pw_partition_free (profile.partition);
  return costs;
}
