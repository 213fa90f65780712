#include <math.h>

#include "models/registry.h"
#include "plans/costs.h"

typedef struct {
  PwGraph *graph;
  PwLayerCosts *costs;
  PwPartition *partition;
  PwStageEdges *edges;
} Case;

static double
random_time (void) {
  return g_test_rand_double_range (1e-6, 1);
}

/* A chain of layers cut into STAGES at random. */
static Case
case_new (int stages) {
  g_autoptr (GError) error = NULL;
  json_t *value = json_loads ("{\"name\": \"mlp\", \"depth\": 5, \"width\": 8}", 0, NULL);
  Case c = { .graph = pw_model_read ((PwJsonPlace){ NULL, "model" }, value, &error) };
  g_assert_no_error (error);
  json_decref (value);
  c.costs = pw_layer_costs_new (c.graph, "measured", 2);
  c.costs->action_overhead_s = random_time () / 100;
  c.costs->link = (PwLink){ .latency_s = 1, .bandwidth = 100 };
  for (int t = 0; t < 2; t++) {
    c.costs->tables[t].samples = 2 + 3 * t;
    for (int l = 0; l < c.graph->n_layers; l++) {
      PwLayerCost *cost = &c.costs->tables[t].layers[l];
      cost->forward_s = random_time ();
      cost->input_s = random_time ();
      cost->weight_s = random_time ();
      cost->update_s = random_time ();
      cost->workspace_bytes = g_test_rand_int_range (0, 1000);
    }
  }
  g_autofree int *counts = g_new (int, (gsize)stages);
  int left = c.graph->n_layers;
  for (int s = 0; s < stages; s++) {
    counts[s] = s == stages - 1 ? left : g_test_rand_int_range (1, left - (stages - 1 - s) + 1);
    left -= counts[s];
  }
  c.partition = pw_partition_new_balance (counts, stages, c.graph->n_layers, NULL);
  g_autofree PwStageEdge *list = g_new (PwStageEdge, (gsize)stages);
  for (int s = 0; s + 1 < stages; s++)
    list[s] = (PwStageEdge){ .producer = s,
                             .consumer = s + 1,
                             .tensor = c.partition->bounds[s + 1] - 1 };
  c.edges = pw_stage_edges_new (stages, list, stages - 1);
  return c;
}

static void
case_clear (Case *c) {
  pw_graph_free (c->graph);
  pw_layer_costs_free (c->costs);
  pw_partition_free (c->partition);
  pw_stage_edges_free (c->edges);
}

static void
assert_near (double a, double b) {
  g_assert_cmpfloat_with_epsilon (a, b, 1e-12 * fmax (fabs (a), fabs (b)));
}

static void
test_sums (void) {
  for (int stages = 1; stages <= 5; stages++) {
    Case c = case_new (stages);
    const int64_t samples[] = { 3, 3, 3 };
    g_autoptr (PwStageCosts) costs
        = pw_stage_costs_sum (c.costs, c.graph, c.partition, c.edges, samples, 3, 2, TRUE, NULL);
    g_assert_null (costs->factor);
    g_assert_false (costs->unitless);
    double overhead = c.costs->action_overhead_s;
    for (int s = 0; s < stages; s++) {
      double F = overhead, I = overhead, W = overhead, U = overhead;
      int64_t workspace = 0, elements = 0;
      for (int l = c.partition->bounds[s]; l < c.partition->bounds[s + 1]; l++) {
        PwLayerCost layer;
        pw_layer_costs_at (c.costs, l, 3, &layer);
        F += layer.forward_s;
        I += layer.input_s;
        W += layer.weight_s;
        U += layer.update_s;
        workspace = MAX (workspace, layer.workspace_bytes);
        elements += pw_layer_info_parameters (&c.graph->layers[l].info);
      }
      const PwStageCost *stage = &costs->stage[s];
      assert_near (stage->forward, F);
      assert_near (stage->recompute, F);
      assert_near (stage->input, I);
      assert_near (stage->weight, W);
      assert_near (stage->backward, I + W - overhead);
      assert_near (stage->update, U);
      g_assert_cmpint (stage->workspace_bytes, ==, workspace);
      g_assert_cmpint (stage->parameter_bytes, ==, 4 * elements);
      g_assert_cmpint (stage->gradient_bytes, ==, 4 * elements);
      g_assert_cmpint (stage->optimizer_bytes, ==, 8 * elements);
    }
    for (int e = 0; e < c.edges->n_edges; e++) {
      const PwShape *shape = &c.graph->layers[c.edges->edges[e].tensor].info.output;
      g_assert_cmpint (costs->message_bytes[e], ==, 3 * pw_shape_bytes (shape));
      g_assert_cmpfloat (costs->link[e].bandwidth, ==, 100);
    }
    case_clear (&c);
  }
}

/* The parts of a stage are those of its layers' footprint. */
static void
test_bytes (void) {
  for (int stages = 1; stages <= 5; stages++) {
    Case c = case_new (stages);
    const int64_t samples = 7;
    g_autoptr (PwStageCosts) costs
        = pw_stage_costs_sum (c.costs, c.graph, c.partition, c.edges, &samples, 1, 0, TRUE, NULL);
    for (int s = 0; s < stages; s++) {
      const PwStageCost *stage = &costs->stage[s];
      g_autoptr (PwLifetimes) lifetimes
          = pw_lifetimes_new_stage (c.graph, c.partition->bounds, stages, s, TRUE);
      PwFootprint footprint;
      pw_lifetimes_footprint (lifetimes, &footprint);
      g_assert_cmpint (stage->stash_bytes, ==, 7 * footprint.stash_bytes);
      g_assert_cmpint (stage->kept_bytes, ==, 7 * footprint.kept_bytes);
      g_assert_cmpint (stage->forward_peak_bytes, ==, 7 * footprint.forward_peak_bytes);
      g_assert_cmpint (stage->backward_peak_bytes, ==, 7 * footprint.backward_peak_bytes);
      g_assert_cmpint (stage->input_kept_bytes, <=, stage->input_bytes);
      g_assert_cmpint (stage->optimizer_bytes, ==, 0);
      if (s > 0) { /* a chain: what stage s receives is what stage s - 1 sends, and back */
        g_assert_cmpint (stage->input_bytes, ==, costs->message_bytes[s - 1]);
        g_assert_cmpint (costs->stage[s - 1].gradient_in_bytes, ==, costs->message_bytes[s - 1]);
        g_assert_cmpint (stage->gradient_out_bytes, ==, costs->message_bytes[s - 1]);
      }
    }
    case_clear (&c);
  }
}

static void
test_inference (void) {
  Case c = case_new (3);
  const int64_t samples = 2;
  g_autoptr (PwStageCosts) costs
      = pw_stage_costs_sum (c.costs, c.graph, c.partition, c.edges, &samples, 1, 2, FALSE, NULL);
  for (int s = 0; s < 3; s++) {
    const PwStageCost *stage = &costs->stage[s];
    g_assert_cmpfloat (stage->forward, >, 0);
    g_assert_cmpfloat (stage->backward + stage->update + stage->recompute, ==, 0);
    g_assert_cmpint (stage->gradient_bytes + stage->optimizer_bytes + stage->stash_bytes, ==, 0);
    g_assert_cmpint (stage->gradient_in_bytes + stage->gradient_out_bytes, ==, 0);
  }
  case_clear (&c);
}

static void
test_factors (void) {
  Case c = case_new (3);
  const int64_t samples[] = { 5, 5, 2 };
  g_autoptr (PwStageCosts) costs
      = pw_stage_costs_sum (c.costs, c.graph, c.partition, c.edges, samples, 3, 0, TRUE, NULL);
  g_autoptr (PwStageCosts) small
      = pw_stage_costs_sum (c.costs, c.graph, c.partition, c.edges, &samples[2], 1, 0, TRUE, NULL);
  g_assert_nonnull (costs->factor);
  for (int s = 0; s < 3; s++) {
    g_assert_cmpfloat (costs->factor[s], ==, 1);
    g_assert_cmpfloat (costs->factor[3 + s], ==, 1);
    const PwStageCost *nominal = &costs->stage[s], *last = &small->stage[s];
    assert_near (costs->factor[6 + s] * (nominal->forward + nominal->backward),
                 last->forward + last->backward);
  }
  g_autoptr (PwStageCosts) copy = pw_stage_costs_copy (costs);
  g_assert_cmpfloat (copy->factor[8], ==, costs->factor[8]);
  g_assert_true (copy->factor != costs->factor && copy->stage != costs->stage);
  case_clear (&c);
}

static void
test_synthetic (void) {
  const double forward[] = { 1, 2 }, backward[] = { 4, 6 }, input[] = { 1, 2 }, weight[] = { 3, 5 };
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (2);
  PwSyntheticCosts synthetic = { .stages = 2, .forward = forward, .backward = backward };
  g_autoptr (PwStageCosts) fused = pw_stage_costs_new_synthetic (&synthetic, edges);
  g_assert_true (fused->unitless);
  g_assert_cmpfloat (fused->stage[1].input, ==, 3);
  g_assert_cmpfloat (fused->stage[1].weight, ==, 3);
  g_assert_cmpfloat (pw_link_time (&fused->link[0], fused->message_bytes[0]), ==, 0);
  synthetic = (PwSyntheticCosts){ .stages = 2,
                                  .forward = forward,
                                  .input = input,
                                  .weight = weight,
                                  .latency = 0.5,
                                  .message_bytes = 3,
                                  .bandwidth = 2 };
  g_autoptr (PwStageCosts) split = pw_stage_costs_new_synthetic (&synthetic, edges);
  g_assert_cmpfloat (split->stage[1].backward, ==, 7);
  g_assert_cmpfloat (pw_link_time (&split->link[0], split->message_bytes[0]), ==, 2);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/stage-costs/sums-equal-those-of-the-layers", test_sums);
  g_test_add_func ("/plans/stage-costs/bytes-are-the-footprint's", test_bytes);
  g_test_add_func ("/plans/stage-costs/inference-has-no-backward", test_inference);
  g_test_add_func ("/plans/stage-costs/unequal-micro-batches-have-factors", test_factors);
  g_test_add_func ("/plans/stage-costs/synthetic-ones-are-what-was-given", test_synthetic);
  return g_test_run ();
}
