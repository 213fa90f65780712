/* Stage costs: sums over layers, and what a hand gives. */
#include "plans/costs.h"

PwStageCosts *
pw_stage_costs_new (int stages, const PwStageEdges *edges) {
  PwStageCosts *costs = g_new0 (PwStageCosts, 1);
  costs->stages = stages;
  costs->n_edges = edges->n_edges;
  costs->stage = g_new0 (PwStageCost, (gsize)stages);
  costs->message_bytes = g_new0 (int64_t, (gsize)edges->n_edges);
  costs->link = g_new0 (PwLink, (gsize)edges->n_edges);
  return costs;
}

PwStageCosts *
pw_stage_costs_copy (const PwStageCosts *costs) {
  PwStageCosts *copy = g_memdup2 (costs, sizeof *costs);
  gsize stages = (gsize)costs->stages, edges = (gsize)costs->n_edges;
  copy->stage = g_memdup2 (costs->stage, stages * sizeof *costs->stage);
  copy->message_bytes = g_memdup2 (costs->message_bytes, edges * sizeof *costs->message_bytes);
  copy->link = g_memdup2 (costs->link, edges * sizeof *costs->link);
  if (costs->factor != NULL)
    copy->factor
        = g_memdup2 (costs->factor, (gsize)costs->microbatches * stages * sizeof *costs->factor);
  copy->topology = g_memdup2 (costs->topology, sizeof *costs->topology);
  if (costs->rank_factor != NULL)
    copy->rank_factor
        = g_memdup2 (costs->rank_factor, (gsize)costs->ranks * sizeof *costs->rank_factor);
  return copy;
}

void
pw_stage_costs_free (PwStageCosts *costs) {
  if (costs == NULL)
    return;
  g_free (costs->stage);
  g_free (costs->message_bytes);
  g_free (costs->link);
  g_free (costs->factor);
  g_free (costs->rank_factor);
  g_free (costs->topology);
  g_free (costs);
}

void
pw_stage_costs_path (const PwStageCosts *costs, int edge, int from, int to, PwPath *path) {
  pw_topology_path (costs->topology, &costs->link[edge], from, to, path);
}

/* Times of the layers [first, end) for SAMPLES samples, one action's overhead in each. */
static void
sum_times (const PwLayerCosts *costs, int first, int end, int64_t samples, gboolean training,
           const gboolean *again, PwStageCost *out) {
  gboolean has_again = FALSE;
  for (int l = first; l < end; l++) {
    PwLayerCost layer;
    pw_layer_costs_at (costs, l, (double)samples, &layer);
    out->forward += layer.forward_s;
    out->workspace_bytes = MAX (out->workspace_bytes, layer.workspace_bytes);
    if (!training)
      continue;
    out->input += layer.input_s;
    out->weight += layer.weight_s;
    out->update += layer.update_s;
    if (!again[l])
      continue;
    out->recompute += layer.forward_s;
    has_again = TRUE;
  }
  double overhead = costs->action_overhead_s;
  if (training) {
    out->recompute += has_again ? overhead : 0;
    out->backward = out->input + out->weight + overhead;
    out->input += overhead;
    out->weight += overhead;
    out->update += overhead;
  }
  out->forward += overhead;
}

/* Every use of a parameter has an accumulator of its own, shared ones too. */
static int64_t
gradient_elements (const PwGraph *graph, int first, int end) {
  int64_t elements = 0;
  for (int l = first; l < end; l++)
    elements += pw_layer_info_parameters (&graph->layers[l].info);
  return elements;
}

static void
sum_bytes (const PwGraph *graph, const PwPartition *partition, int stage, int64_t samples,
           int optimizer_slots, gboolean training, const gboolean *again, PwStageCost *out) {
  int first = partition->bounds[stage], end = partition->bounds[stage + 1];
  g_autoptr (PwLifetimes) lifetimes
      = pw_lifetimes_new_again (graph, partition->bounds, partition->stages, stage,
                                training ? PW_LIFETIMES_TRAINING : PW_LIFETIMES_INFERENCE, again);
  PwFootprint footprint;
  pw_lifetimes_footprint (lifetimes, &footprint);
  const int64_t fp32 = pw_dtype_bytes (PW_DTYPE_F32);
  PwParameterSize size = pw_graph_parameter_size (graph, first, end - first);
  out->parameter_bytes = size.bytes;
  out->stash_bytes = footprint.stash_bytes * samples;
  out->input_bytes = footprint.received_bytes * samples;
  out->input_kept_bytes = footprint.input_bytes * samples;
  out->output_held_bytes = footprint.output_held_bytes * samples;
  out->forward_peak_bytes = footprint.forward_peak_bytes * samples;
  if (!training)
    return;
  out->gradient_bytes = gradient_elements (graph, first, end) * fp32;
  out->optimizer_bytes = optimizer_slots * size.elements * fp32 + size.master_bytes;
  out->kept_bytes = footprint.kept_bytes * samples;
  out->gradient_in_bytes = footprint.gradient_in_bytes * samples;
  out->gradient_out_bytes = footprint.gradient_out_bytes * samples;
  out->backward_peak_bytes = footprint.backward_peak_bytes * samples;
  out->input_peak_bytes = footprint.input_peak_bytes * samples;
  out->weight_peak_bytes = footprint.weight_peak_bytes * samples;
  pw_lifetimes_again_footprint (graph, partition->bounds, partition->stages, stage, again,
                                &out->again);
  out->again.first_peak_bytes *= samples;
  out->again.first_stash_bytes *= samples;
  out->again.first_input_bytes *= samples;
  out->again.first_output_held_bytes *= samples;
  out->again.again_peak_bytes *= samples;
}

static double
compute_time (const PwStageCost *cost) {
  return cost->forward + cost->backward;
}

/* What a smaller micro-batch takes of each stage, relative to the nominal one. Sizes repeat, so
 * only a change is computed. */
static double *
factors_new (const PwLayerCosts *costs, const PwPartition *partition, const PwStageCosts *nominal,
             const int64_t *samples, int microbatches, gboolean training, const gboolean *again) {
  int stages = partition->stages;
  double *factor = g_new (double, (gsize)microbatches *(gsize)stages);
  for (int m = 0; m < microbatches; m++)
    for (int s = 0; s < stages; s++) {
      double *out = &factor[(gsize)m * (gsize)stages + (gsize)s];
      if (m > 0 && samples[m] == samples[m - 1]) {
        *out = out[-stages];
        continue;
      }
      PwStageCost cost = { 0 };
      double whole = compute_time (&nominal->stage[s]);
      sum_times (costs, partition->bounds[s], partition->bounds[s + 1], samples[m], training, again,
                 &cost);
      *out = samples[m] == samples[0] || whole == 0 ? 1 : compute_time (&cost) / whole;
    }
  return factor;
}

PwStageCosts *
pw_stage_costs_sum (const PwLayerCosts *costs, const PwGraph *graph, const PwPartition *partition,
                    const PwStageEdges *edges, const int64_t *samples, int microbatches,
                    int optimizer_slots, gboolean training, const gboolean *again) {
  PwStageCosts *sums = pw_stage_costs_new (partition->stages, edges);
  g_autofree gboolean *all = g_new (gboolean, (gsize)graph->n_layers);
  for (int l = 0; l < graph->n_layers; l++)
    all[l] = TRUE;
  if (again == NULL)
    again = all;
  for (int s = 0; s < partition->stages; s++) {
    sum_times (costs, partition->bounds[s], partition->bounds[s + 1], samples[0], training, again,
               &sums->stage[s]);
    sum_bytes (graph, partition, s, samples[0], optimizer_slots, training, again, &sums->stage[s]);
  }
  for (int e = 0; e < edges->n_edges; e++) {
    const PwShape *shape = &graph->layers[edges->edges[e].tensor].info.output;
    sums->message_bytes[e] = pw_shape_bytes (shape) * samples[0];
    sums->link[e] = pw_link_at (&costs->link, &costs->messages, sums->message_bytes[e]);
  }
  sums->microbatches = microbatches;
  for (int m = 1; m < microbatches && sums->factor == NULL; m++)
    if (samples[m] != samples[0])
      sums->factor = factors_new (costs, partition, sums, samples, microbatches, training, again);
  return sums;
}

static void
fill_synthetic (const PwSyntheticCosts *synthetic, int s, PwStageCost *out) {
  gboolean split = synthetic->input != NULL && synthetic->weight != NULL;
  g_assert (split || synthetic->backward != NULL);
  out->forward = synthetic->forward[s];
  out->recompute = out->forward;
  out->input = split ? synthetic->input[s] : synthetic->backward[s] / 2;
  out->weight = split ? synthetic->weight[s] : synthetic->backward[s] / 2;
  out->backward = synthetic->backward != NULL ? synthetic->backward[s] : out->input + out->weight;
  out->overlapped = synthetic->overlapped;
}

PwStageCosts *
pw_stage_costs_new_synthetic (const PwSyntheticCosts *synthetic, const PwStageEdges *edges) {
  PwStageCosts *costs = pw_stage_costs_new (synthetic->stages, edges);
  costs->unitless = TRUE;
  for (int s = 0; s < synthetic->stages; s++)
    fill_synthetic (synthetic, s, &costs->stage[s]);
  /* The time of a message counts, not its size: a part of a byte goes into the latency. */
  int64_t bytes = (int64_t)synthetic->message_bytes;
  double rest = synthetic->message_bytes - (double)bytes;
  double latency
      = synthetic->latency + (synthetic->bandwidth > 0 ? rest / synthetic->bandwidth : 0);
  for (int e = 0; e < edges->n_edges; e++) {
    costs->message_bytes[e] = bytes;
    costs->link[e] = (PwLink){ .latency_s = latency,
                               .bandwidth = synthetic->bandwidth,
                               .sharing = synthetic->sharing };
  }
  costs->topology = g_memdup2 (synthetic->topology, sizeof *synthetic->topology);
  return costs;
}
