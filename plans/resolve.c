/* Resolving, in the order in which one thing needs the other: model, schedule (its number of stages
 * and micro-batches), micro-batch sizes, layer costs, partition, edges, stage costs; then the
 * schedule once more, told what a stage costs, and its lowered form. */
#include "plans/resolve.h"

#include <math.h>
#include <string.h>

#include "models/registry.h"
#include "plans/plan_private.h"
#include "plans/microbatch_factors.h"
#include "plans/offload.h"
#include "plans/rank_factors.h"
#include "plans/recompute.h"
#include "schedules/check.h"

/* Bytes of a whole micro-batch or of all parameters stay below this, so that sums of them do not
 * overflow. */
#define BYTES_MAX 1152921504606846976.0 /* 2^60 */

int64_t *
pw_plan_cut_batch (int64_t batch, int microbatches, GError **error) {
  g_assert (batch >= 1 && microbatches >= 1);
  int64_t size = batch / microbatches + (batch % microbatches != 0);
  int64_t count = batch / size + (batch % size != 0);
  if (count < microbatches) {
    g_set_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE,
                 "a batch of %" G_GINT64_FORMAT " cut for %d micro-batches has %" G_GINT64_FORMAT
                 " in each and makes only %" G_GINT64_FORMAT " of them",
                 batch, microbatches, size, count);
    return NULL;
  }
  int64_t *samples = g_new (int64_t, (gsize)microbatches);
  for (int m = 0; m < microbatches; m++)
    samples[m] = MIN (size, batch - m * size);
  return samples;
}

static gboolean
set_precision (const PwPlan *plan, PwGraph *graph, GError **error) {
  PwDtype element = pw_precision_element (plan->precision);
  if (element == PW_DTYPE_F32 || pw_graph_set_element (graph, element, error))
    return TRUE;
  pw__plan_prefix_error (plan, "precision", "precision", error);
  return FALSE;
}

PwGraph *
pw_plan_read_model (const PwPlan *plan, GError **error) {
  PwJsonPlace place = { .file = plan->json, .path = "model" };
  g_autoptr (PwGraph) graph = pw_model_read (place, plan->model, error);
  return graph != NULL && set_precision (plan, graph, error) ? g_steal_pointer (&graph) : NULL;
}

static gboolean
read_model (PwResolver *r, GError **error) {
  r->out->precision = r->plan->precision;
  r->out->graph = r->options.graph;
  if (r->out->graph != NULL)
    return set_precision (r->plan, r->out->graph, error);
  r->out->graph = pw_plan_read_model (r->plan, error);
  return r->out->graph != NULL;
}

/* Inference of a plan for training runs its stages forward only. */
static gboolean
runs_forward_only (const PwResolver *r) {
  return r->options.mode == PW_MODE_INFERENCE;
}

static gboolean
choose_ranks (PwResolver *r, GError **error) {
  const PwPlan *plan = r->plan;
  if (plan->ranks > 0)
    r->params.ranks = plan->ranks;
  else if (plan->method == PW_METHOD_BALANCE)
    r->params.ranks = MAX ((int)plan->balance->len / MAX (plan->params.chunks, 1), 1);
  else
    return pw__plan_fail (plan, "ranks", "ranks", PW_PLAN_ERROR_VALUE, error,
                          "missing, and neither partition.balance nor schedule.csv says how many");
  return TRUE;
}

/* Twice the ranks fill a pipeline reasonably; fewer where the batch is cut into fewer. */
static void
choose_microbatches (PwResolver *r) {
  if (r->params.microbatches > 0)
    return;
  int64_t wanted = MIN (2 * (int64_t)r->params.ranks, PW_MICROBATCHES_MAX);
  int64_t batch = r->plan->batch / r->plan->data_parallel;
  if (batch > 0) {
    int64_t size = (batch + wanted - 1) / wanted;
    wanted = (batch + size - 1) / size;
  }
  r->params.microbatches = (int)wanted;
}

static PwSchedule *
generate (const PwResolver *r, GError **error) {
  PwSchedule *schedule = pw_schedule_generate (r->name, &r->params, error);
  if (schedule == NULL)
    pw__plan_prefix_error (r->plan, "schedule", "schedule", error);
  return schedule;
}

/* With costs of 1: its sizes are what counts. */
static PwSchedule *
draft_schedule (PwResolver *r, GError **error) {
  const PwPlan *plan = r->plan;
  r->params = plan->params;
  r->name = plan->schedule;
  g_autoptr (PwSchedule) csv = NULL;
  if (plan->schedule_csv != NULL) {
    csv = pw__resolve_read_csv (r, error);
    if (csv == NULL)
      return NULL;
    if (!runs_forward_only (r))
      return g_steal_pointer (&csv);
  } else if (!choose_ranks (r, error)) {
    return NULL;
  }
  choose_microbatches (r);
  if (runs_forward_only (r)) {
    int ranks = r->params.ranks, microbatches = r->params.microbatches;
    g_clear_pointer (&r->csv_text, g_free);
    pw_schedule_params_init (&r->params);
    r->params.ranks = ranks;
    r->params.microbatches = microbatches;
    r->name = "forward-only";
  }
  return generate (r, error);
}

static gboolean
cut_batch (PwResolver *r, int microbatches, GError **error) {
  PwResolvedPlan *out = r->out;
  out->microbatches = microbatches;
  out->replicas = r->plan->data_parallel;
  if (r->plan->batch % out->replicas != 0)
    return pw__plan_fail (r->plan, "batch", "batch", PW_PLAN_ERROR_VALUE, error,
                          "%" G_GINT64_FORMAT " samples cannot be shared equally by %d pipelines",
                          r->plan->batch, out->replicas);
  out->batch = r->plan->batch > 0 ? r->plan->batch / out->replicas : microbatches;
  out->samples = pw_plan_cut_batch (out->batch, microbatches, error);
  if (out->samples == NULL)
    pw__plan_prefix_error (r->plan, "schedule.microbatches", "microbatches", error);
  return out->samples != NULL;
}

/* Every later sum of bytes is below a small multiple of one of these. */
static gboolean
check_bytes (const PwResolver *r, GError **error) {
  const PwGraph *graph = r->out->graph;
  double sample = 0, parameters = 0;
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayerInfo *info = &graph->layers[l].info;
    sample += 4 * (double)pw_shape_bytes (&info->output);
    for (int i = 0; i < info->n_stashes; i++)
      sample += (double)pw_shape_bytes (&info->stashes[i].shape);
    parameters += 18 * (double)pw_layer_info_parameters (info);
  }
  if (sample * (double)r->out->samples[0] < BYTES_MAX && parameters < BYTES_MAX)
    return TRUE;
  return pw__plan_fail (r->plan, "model", NULL, PW_PLAN_ERROR_VALUE, error,
                        "its tensors have more bytes than can be counted");
}

/* The estimate is of Adam: what another optimiser reads and writes less is taken off. */
static void
scale_updates (PwLayerCosts *costs, const PwGraph *graph, int optimizer_slots) {
  for (int l = 0; l < costs->n_layers; l++) {
    const PwLayerInfo *info = &graph->layers[l].info;
    double adam = pw__layer_update_bytes (info, 2);
    if (adam > 0)
      costs->tables[0].layers[l].update_s *= pw__layer_update_bytes (info, optimizer_slots) / adam;
  }
}

static gboolean
check_precision (const PwResolver *r, const PwLayerCosts *costs, GError **error) {
  PwPrecision precision = r->plan->precision;
  if (costs->precision < 0 || costs->precision == (int)precision)
    return TRUE;
  g_set_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH,
               "%s: costs of %s, the plan computes in %s", r->plan->costs,
               pw_precision_names[costs->precision], pw_precision_names[precision]);
  return FALSE;
}

static gboolean
find_layer_costs (PwResolver *r, GError **error) {
  PwResolvedPlan *out = r->out;
  if (r->options.layer_costs != NULL) {
    out->layer_costs = pw_layer_costs_copy (r->options.layer_costs);
  } else if (r->plan->costs != NULL) {
    out->layer_costs = pw_layer_costs_load (r->plan->costs, out->graph, error);
    if (out->layer_costs == NULL || !check_precision (r, out->layer_costs, error)) {
      pw__plan_prefix_error (r->plan, "costs", "costs", error);
      return FALSE;
    }
  } else {
    out->layer_costs = pw_layer_costs_new_analytic (out->graph, r->plan->hardware,
                                                    r->plan->precision, out->samples[0]);
    scale_updates (out->layer_costs, out->graph, out->optimizer_slots);
  }
  return out->layer_costs != NULL;
}

/* The largest number of micro-batches whose activations a rank holds. */
static double
fullest_rank (const PwSchedule *schedule, double weight_memory) {
  g_autofree double *peaks = g_new0 (double, (gsize)schedule->ranks);
  pw_schedule_peak_activations (schedule, weight_memory, peaks);
  double largest = 0;
  for (int rank = 0; rank < schedule->ranks; rank++)
    largest = MAX (largest, peaks[rank]);
  return largest;
}

/* Of ranks of different speed: [ranks], NULL where there are none. */
static gboolean
find_rank_factors (PwResolver *r, double **factors, GError **error) {
  if (r->plan->rank_factors == NULL)
    return TRUE;
  *factors = pw_rank_factors_expand (r->plan->rank_factors, r->params.ranks, error);
  if (*factors == NULL)
    pw__plan_prefix_error (r->plan, "rank_factors", "rank-factors", error);
  return *factors != NULL;
}

static gboolean
set_rank_factors (PwResolver *r, GError **error) {
  r->out->costs->ranks = r->params.ranks;
  return find_rank_factors (r, &r->out->costs->rank_factor, error);
}

/* [stages] the factor of a stage's rank, of two the larger; NULL: all 1. */
static gboolean
stage_weights (PwResolver *r, const PwSchedule *draft, double **weights, GError **error) {
  g_autofree double *factors = NULL;
  if (!find_rank_factors (r, &factors, error))
    return FALSE;
  if (factors == NULL)
    return TRUE;
  *weights = g_new0 (double, (gsize)draft->stages);
  for (int direction = 0; direction < draft->placement->directions; direction++)
    for (int s = 0; s < draft->stages; s++) {
      int rank = pw_placement_rank (draft->placement, direction, s);
      double factor = rank >= 0 ? factors[rank] : 1;
      (*weights)[s] = MAX ((*weights)[s], factor);
    }
  return TRUE;
}

/* Files of a plan are named as seen from it, those of options as seen from here. */
static gboolean
set_microbatch_factors (PwResolver *r, GError **error) {
  const PwPlan *plan = r->plan;
  if (plan->microbatch_factors == NULL)
    return TRUE;
  g_autofree char *folder = pw__plan_is_overridden (plan, "microbatch-factors")
                                ? NULL
                                : g_path_get_dirname (plan->file);
  if (pw_microbatch_factors_apply (plan->microbatch_factors, folder, r->out->costs,
                                   r->out->microbatches, error))
    return TRUE;
  pw__plan_prefix_error (plan, "microbatch_factors", "microbatch-factors", error);
  return FALSE;
}

static void
find_again_stages (PwResolvedPlan *out) {
  const PwPartition *partition = out->partition;
  if (out->again == NULL)
    return;
  out->again_stage = g_new0 (gboolean, (gsize)partition->stages);
  for (int s = 0; s < partition->stages; s++)
    for (int l = partition->bounds[s]; l < partition->bounds[s + 1]; l++)
      out->again_stage[s] |= out->again[l];
}

static gboolean
cut_model (PwResolver *r, const PwSchedule *draft, GError **error) {
  PwResolvedPlan *out = r->out;
  double held = r->plan->method == PW_METHOD_BALANCE && r->plan->fallback != PW_METHOD_MEMORY
                    ? 0
                    : fullest_rank (draft, r->params.weight_memory);
  g_autofree double *weights = NULL;
  if (!stage_weights (r, draft, &weights, error))
    return FALSE;
  out->units = pw__plan_partition_units (r->plan, out, draft->stages, weights, held, error);
  if (out->units == NULL)
    return FALSE;
  out->partition = pw__plan_partition_layers (out->graph, out->units);
  find_again_stages (out);
  out->edges = pw__plan_stage_edges (out->graph, out->partition);
  if (out->edges == NULL)
    return pw__plan_fail (r->plan, "model", NULL, PW_PLAN_ERROR_PARTITION, error,
                          "more than %d tensors go from stage to stage", PW_EDGES_MAX);
  out->costs = pw_stage_costs_sum (out->layer_costs, out->graph, out->partition, out->edges,
                                   out->samples, out->microbatches, out->optimizer_slots,
                                   out->mode == PW_MODE_TRAINING, out->again);
  if (!set_rank_factors (r, error) || !set_microbatch_factors (r, error)
      || !pw__resolve_topology (r->plan, out->costs, error))
    return FALSE;
  pw__resolve_collectives (r->plan, out, draft->ranks, draft->placement->directions);
  return pw__resolve_offload (r->plan, out, MAX (draft->pieces, 1), error);
}

/* Mean times of a stage, its forward being 1. */
static void
set_param_costs (PwResolver *r) {
  const PwStageCosts *costs = r->out->costs;
  PwScheduleParams *params = &r->params;
  double F = 0, I = 0, W = 0, comm = 0;
  for (int s = 0; s < costs->stages; s++) {
    F += costs->stage[s].forward;
    I += costs->stage[s].input;
    W += costs->stage[s].weight;
  }
  for (int e = 0; e < costs->n_edges; e++)
    comm += pw_link_time (&costs->link[e], costs->message_bytes[e]);
  if (!(F > 0) || !isfinite (I / F) || !isfinite (W / F) || !isfinite (comm / F))
    return;
  params->F = 1;
  params->I = I / F;
  params->W = W / F;
  params->comm = costs->n_edges > 0 ? comm / costs->n_edges / (F / costs->stages) : 0;
}

PwLowerOptions
pw_resolved_plan_lower_options (const PwResolvedPlan *resolved, const PwPlan *plan) {
  return (PwLowerOptions){ .policy = plan->policy,
                           .batched = plan->batched,
                           .recompute
                           = resolved->again != NULL ? plan->recompute : PW_RECOMPUTE_NONE,
                           .recomputed_stages = resolved->again_stage,
                           .offloaded_stages = resolved->offloaded,
                           .reduces = plan->data_parallel > 1,
                           .overlaps_reduction = plan->reduction == PW_REDUCTION_OVERLAPPED,
                           .norms = plan->clip_norm > 0 };
}

static gboolean
finish_schedule (PwResolver *r, PwSchedule *draft, GError **error) {
  PwResolvedPlan *out = r->out;
  if (r->csv_text != NULL) {
    if (!pw__resolve_finish_csv (r, draft, error))
      return FALSE;
  } else {
    pw_schedule_free (draft);
    set_param_costs (r);
    out->compute = generate (r, error);
  }
  if (out->compute == NULL || out->lowered != NULL)
    return out->compute != NULL;
  PwLowerOptions options = pw_resolved_plan_lower_options (out, r->plan);
  options.updates = r->options.updates && out->mode == PW_MODE_TRAINING;
  out->lowered = pw_schedule_lower (out->compute, out->edges, &options, error);
  if (out->lowered == NULL)
    pw__plan_prefix_error (r->plan, "schedule", "schedule", error);
  return out->lowered != NULL;
}

static gboolean
resolve (PwResolver *r, GError **error) {
  PwResolvedPlan *out = r->out;
  if (!read_model (r, error))
    return FALSE;
  out->optimizer = r->plan->optimizer;
  out->optimizer_slots = pw_optimizer_slots (&out->optimizer);
  out->seed = r->plan->seed;
  g_autoptr (PwSchedule) draft = draft_schedule (r, error);
  if (draft == NULL)
    return FALSE;
  out->mode = draft->mode;
  return cut_batch (r, draft->microbatches, error) && check_bytes (r, error)
         && (out->mode != PW_MODE_TRAINING
             || pw__plan_recomputed_layers (r->plan, out->graph, &out->again, error))
         && find_layer_costs (r, error) && cut_model (r, draft, error)
         && finish_schedule (r, g_steal_pointer (&draft), error);
}

PwResolvedPlan *
pw_plan_resolve (const PwPlan *plan, const PwResolveOptions *options, GError **error) {
  static const PwResolveOptions training = { .mode = PW_MODE_TRAINING, .updates = TRUE };
  PwResolver resolver = {
    .plan = plan,
    .options = options != NULL ? *options : training,
    .out = g_new0 (PwResolvedPlan, 1),
  };
  gboolean ok = resolve (&resolver, error);
  g_free (resolver.csv_text);
  if (!ok)
    g_clear_pointer (&resolver.out, pw_resolved_plan_free);
  return resolver.out;
}

void
pw_resolved_plan_free (PwResolvedPlan *resolved) {
  if (resolved == NULL)
    return;
  pw_schedule_free (resolved->compute);
  pw_schedule_free (resolved->lowered);
  pw_stage_costs_free (resolved->costs);
  pw_layer_costs_free (resolved->layer_costs);
  pw_stage_edges_free (resolved->edges);
  g_free (resolved->again);
  g_free (resolved->again_stage);
  g_free (resolved->offloaded);
  pw_partition_free (resolved->partition);
  pw_partition_free (resolved->units);
  pw_graph_free (resolved->graph);
  g_free (resolved->samples);
  g_free (resolved);
}
