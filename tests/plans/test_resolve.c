#include <math.h>
#include <string.h>

#include "io/file.h"
#include "plans/plan.h"
#include "plans/resolve.h"

static PwPlan *
parse (const char *text) {
  g_autoptr (GError) error = NULL;
  PwPlan *plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  return plan;
}

static PwResolvedPlan *
resolve (const char *text, const PwResolveOptions *options) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan = parse (text);
  PwResolvedPlan *resolved = pw_plan_resolve (plan, options, &error);
  g_assert_no_error (error);
  return resolved;
}

/* torch.chunk's documentation, word for word: chunks of size ceil(n / chunks), the last one smaller
 * if need be; fewer of them if they run out. */
static GArray *
chunk (int64_t n, int chunks) {
  GArray *sizes = g_array_new (FALSE, FALSE, sizeof (int64_t));
  int64_t size = (int64_t)ceil ((double)n / chunks);
  for (int64_t from = 0; from < n; from += size) {
    int64_t length = MIN (size, n - from);
    g_array_append_val (sizes, length);
  }
  return sizes;
}

static void
test_cut_batch (void) {
  for (int64_t batch = 1; batch <= 70; batch++)
    for (int m = 1; m <= 75; m++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (GArray) expected = chunk (batch, m);
      g_autofree int64_t *samples = pw_plan_cut_batch (batch, m, &error);
      if ((int)expected->len < m) {
        g_assert_null (samples);
        g_assert_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE);
        continue;
      }
      g_assert_no_error (error);
      for (int i = 0; i < m; i++)
        g_assert_cmpint (samples[i], ==, g_array_index (expected, int64_t, i));
    }
}

static void
test_defaults (void) {
  g_autoptr (PwResolvedPlan) r = resolve ("{\"model\": \"gpt\", \"ranks\": 3}", NULL);
  g_assert_cmpint (r->microbatches, ==, 6);
  g_assert_cmpint (r->batch, ==, 6);
  g_assert_cmpint (r->mode, ==, PW_MODE_TRAINING);
  g_assert_cmpstr (r->compute->name, ==, "1f1b");
  g_assert_true (r->lowered->is_lowered);
  g_assert_cmpint (r->optimizer_slots, ==, 2);
  g_assert_cmpint (r->method, ==, PW_METHOD_TIME);
}

/* For every batch there is a default that torch.chunk can cut. */
static void
test_default_microbatches (void) {
  for (int batch = 1; batch <= 40; batch++) {
    g_autofree char *text
        = g_strdup_printf ("{\"model\": \"mlp\", \"ranks\": 4, \"batch\": %d}", batch);
    g_autoptr (PwResolvedPlan) r = resolve (text, NULL);
    g_assert_cmpint (r->microbatches, <=, 8);
    int64_t sum = 0;
    for (int m = 0; m < r->microbatches; m++)
      sum += r->samples[m];
    g_assert_cmpint (sum, ==, batch);
  }
}

static void
test_ranks_from_balance (void) {
  g_autoptr (PwResolvedPlan) r = resolve (
      "{\"model\": {\"name\": \"gpt\", \"blocks\": 5}, \"partition\": {\"balance\": [2, 2, 1]}}",
      NULL);
  g_assert_cmpint (r->compute->ranks, ==, 3);
}

/* End units stay outside of the balance unless they are counted. */
static void
test_ends (void) {
  static const char kept[] = "{\"model\": {\"name\": \"gpt\", \"blocks\": 5}, \"ranks\": 3, "
                             "\"partition\": {\"balance\": [2, 2, 1]}}";
  static const char counted[] = "{\"model\": {\"name\": \"gpt\", \"blocks\": 5}, \"ranks\": 3, "
                                "\"partition\": {\"balance\": [1, 5, 1], \"ends\": \"counted\"}}";
  g_autoptr (PwResolvedPlan) a = resolve (kept, NULL);
  const int expected_kept[] = { 0, 3, 5, 7 }, expected_counted[] = { 0, 1, 6, 7 };
  g_assert_cmpint (a->graph->n_units, ==, 7);
  for (int s = 0; s <= 3; s++)
    g_assert_cmpint (a->units->bounds[s], ==, expected_kept[s]);
  g_autoptr (PwResolvedPlan) b = resolve (counted, NULL);
  for (int s = 0; s <= 3; s++)
    g_assert_cmpint (b->units->bounds[s], ==, expected_counted[s]);
  for (int s = 0; s < 3; s++) {
    g_assert_cmpint (b->partition->bounds[s], ==, b->graph->units[b->units->bounds[s]].first_layer);
    g_assert_cmpint (a->partition->bounds[s], ==, a->graph->units[a->units->bounds[s]].first_layer);
  }
  g_assert_cmpint (a->partition->bounds[3], ==, a->graph->n_layers);
}

/* The largest stage by METHOD's own measure. */
static double
largest_stage (const PwResolvedPlan *r, PwPartitionMethod method) {
  double largest = 0;
  for (int s = 0; s < r->partition->stages; s++) {
    int first = r->partition->bounds[s], n = r->partition->bounds[s + 1] - first;
    const PwStageCost *stage = &r->costs->stage[s];
    double cost = method == PW_METHOD_PARAMETERS ? (double)pw_graph_parameters (r->graph, first, n)
                  : method == PW_METHOD_FLOPS    ? (double)pw_graph_flops (r->graph, first, n)
                                                 : stage->forward + stage->backward;
    largest = MAX (largest, cost);
  }
  return largest;
}

/* No balance that can be written beats the method: all cuts of seven blocks into three. */
static void
test_methods_are_optimal (void) {
  static const char *const models[] = {
    "{\"name\": \"gpt\", \"blocks\": 7}",
    "{\"name\": \"gpt\", \"blocks\": 7, \"vocabulary\": 40000}",
    "{\"layers\": [{\"type\": \"linear\", \"in\": 64, \"out\": 512},"
    "{\"type\": \"linear\", \"in\": 512, \"out\": 64}, {\"type\": \"relu\", \"repeat\": 3},"
    "{\"type\": \"linear\", \"in\": 64, \"out\": 64, \"repeat\": 2}]}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (models); i++)
    for (int method = PW_METHOD_TIME; method <= PW_METHOD_FLOPS; method++) {
      g_autofree char *text
          = g_strdup_printf ("{\"model\": %s, \"ranks\": 3, \"partition\": {\"method\": \"%s\"}}",
                             models[i], pw_partition_method_names[method]);
      g_autoptr (PwResolvedPlan) best = resolve (text, NULL);
      double cost = largest_stage (best, (PwPartitionMethod)method);
      for (int a = 1; a <= 5; a++)
        for (int b = 1; a + b <= 6; b++) {
          g_autofree char *other = g_strdup_printf (
              "{\"model\": %s, \"ranks\": 3, \"partition\": {\"balance\": [%d, %d, %d]}}",
              models[i], a, b, 7 - a - b);
          g_autoptr (PwResolvedPlan) r = resolve (other, NULL);
          g_assert_cmpfloat (cost, <=, largest_stage (r, (PwPartitionMethod)method) * (1 + 1e-12));
        }
    }
}

/* Memory: wide layers' weights and stashes are kept apart. */
static void
test_memory_method (void) {
  g_autoptr (PwResolvedPlan) r
      = resolve ("{\"model\": {\"layers\": [{\"type\": \"linear\", \"in\": 8, \"out\": 4096}, "
                 "{\"type\": \"linear\", \"in\": 4096, \"out\": 4096}, "
                 "{\"type\": \"linear\", \"in\": 4096, \"out\": 8}, "
                 "{\"type\": \"linear\", \"in\": 8, \"out\": 8, \"repeat\": 3}]}, \"ranks\": 3, "
                 "\"partition\": {\"method\": \"memory\"}}",
                 NULL);
  g_assert_cmpint (r->method, ==, PW_METHOD_MEMORY);
  g_assert_cmpint (r->units->bounds[1], ==, 1);
  g_assert_cmpint (r->units->bounds[2], ==, 2);
}

static const struct {
  const char *text;
  GQuark (*domain) (void);
  int code;
  const char *message;
} bad[] = {
  { "{\"model\": {\"name\": \"gpt\", \"blocks\": 24},\n\"ranks\": 4,\n\"partition\":\n"
    "{\"balance\": [6, 6, 6, 5]}}",
    pw_plan_error_quark, PW_PLAN_ERROR_PARTITION,
    "plan.json:4: partition.balance: adds up to 23 units, the model has 24" },
  { "{\"model\": \"gpt\",\n\"ranks\": 4,\n\"partition\": {\"balance\": [4, 4]}}",
    pw_plan_error_quark, PW_PLAN_ERROR_PARTITION,
    "plan.json:3: partition.balance: has 2 stages, the schedule 4" },
  { "{\"model\": {\"name\": \"gpt\", \"blocks\": 3},\n\"ranks\": 4}", pw_plan_error_quark,
    PW_PLAN_ERROR_PARTITION,
    "plan.json:2: ranks: 4 stages, but the model has 3 units to cut between" },
  { "{\"model\": \"mlp\"}", pw_plan_error_quark, PW_PLAN_ERROR_VALUE,
    "plan.json:1: ranks: missing" },
  { "{\"model\": \"mlp\", \"ranks\": 2, \"batch\": 10,\n\"schedule\": {\n\"microbatches\": 8}}",
    pw_plan_error_quark, PW_PLAN_ERROR_VALUE,
    "plan.json:3: schedule.microbatches: a batch of 10 cut for 8 micro-batches has 2 in each and "
    "makes only 5" },
  { "{\"model\": \"mlp\", \"ranks\": 2,\n\"schedule\": {\"name\": \"1f1b\", \"chunks\": 2}}",
    pw_schedule_error_quark, PW_SCHEDULE_ERROR_PARAMETER, "plan.json:2: schedule: " },
  { "{\"model\": \"mlp\", \"ranks\": 2,\n\"schedule\": {\"name\": \"1f1b\", \"waves\": 2}}",
    pw_schedule_error_quark, PW_SCHEDULE_ERROR_PARAMETER, "plan.json:2: schedule: " },
  { "{\n\"model\": \"gtp\", \"ranks\": 2}", pw_model_error_quark, PW_MODEL_ERROR_UNKNOWN,
    "plan.json:2: model: " },
  { "{\n\"model\": {\"name\": \"gpt\",\n\"heads\": 3}, \"ranks\": 2}", pw_model_error_quark,
    PW_MODEL_ERROR_ATTRIBUTE, "plan.json:2: model: " },
  { "{\"model\": \"mlp\", \"ranks\": 2,\n\"costs\": \"no-such-costs.json\"}", pw_file_error_quark,
    PW_FILE_ERROR_READ, "plan.json:2: costs: no-such-costs.json" },
  { "{\"model\": \"mlp\", \"ranks\": 2,\n\"schedule\": \"no-such.csv\"}", pw_file_error_quark,
    PW_FILE_ERROR_READ, "plan.json:2: schedule: no-such.csv" },
  { "{\"model\": \"mlp\", \"ranks\": 2,\"data_parallel\": 2,\n\"batch\": 7}", pw_plan_error_quark,
    PW_PLAN_ERROR_VALUE, "plan.json:2: batch: 7 samples cannot be shared equally by 2 pipelines" },
  { "{\"model\": \"mlp\", \"ranks\": 2,\n\"recompute\": {\"layers\": [\"hiden0.*\"]}}",
    pw_plan_error_quark, PW_PLAN_ERROR_VALUE,
    "plan.json:2: recompute: mlp has no layer \"hiden0.*\"" },
  { "{\"model\": \"mlp\", \"ranks\": 2,\n\"offload\": \"stash\"}", pw_plan_error_quark,
    PW_PLAN_ERROR_VALUE, "plan.json:2: offload: the hardware does not say" },
  { "{\"model\": \"mlp\", \"ranks\": 2, \"hardware\": \"a100-40g\",\n\"offload\": {\"stages\": "
    "[2]}}",
    pw_plan_error_quark, PW_PLAN_ERROR_VALUE,
    "plan.json:2: offload: \"2\" is none of the stages 0 to 1" },
  { "{\"model\": \"mlp\", \"ranks\": 2, \"hardware\": \"a100-40g\", \"recompute\": "
    "\"stage\",\n\"offload\": \"stash\"}",
    pw_plan_error_quark, PW_PLAN_ERROR_UNSUPPORTED, "plan.json:2: offload: what is made again as a whole" },
  { "{\"model\": \"mlp\", \"ranks\": 2,\n\"recompute\": {\"layers\": [0, 99]}}",
    pw_plan_error_quark, PW_PLAN_ERROR_VALUE, "plan.json:2: recompute: mlp has no layer \"99\"" },
};

static void
test_bad (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwPlan) plan = parse (bad[i].text);
    g_test_message ("%s", bad[i].text);
    g_assert_null (pw_plan_resolve (plan, NULL, &error));
    g_test_message ("%s", error->message);
    g_assert_error (error, bad[i].domain (), bad[i].code);
    g_assert_true (g_str_has_prefix (error->message, bad[i].message));
  }
}

/* What only the executor cannot do does not keep a plan from being simulated. */
static void
test_other_machines_resolve (void) {
  g_autoptr (PwResolvedPlan) r = resolve ("{\"model\": \"mlp\", \"ranks\": 2, \"backend\": "
                                          "\"cuda\", \"transport\": \"nccl\"}",
                                          NULL);
  g_assert_cmpint (r->compute->ranks, ==, 2);
}

static void
test_inference (void) {
  static const PwResolveOptions inference = { .mode = PW_MODE_INFERENCE };
  g_autoptr (PwResolvedPlan) r
      = resolve ("{\"model\": \"mlp\", \"ranks\": 2, \"batch\": 5, "
                 "\"schedule\": {\"name\": \"gpipe\", \"microbatches\": 3, \"reverse\": true}}",
                 &inference);
  g_assert_cmpint (r->mode, ==, PW_MODE_INFERENCE);
  g_assert_cmpint (r->lowered->mode, ==, PW_MODE_INFERENCE);
  g_assert_cmpint (r->microbatches, ==, 3);
  g_assert_cmpint (r->costs->stage[0].gradient_bytes, ==, 0);
}

/* Counts actions of KIND in the lowered lists. */
static int
count (const PwSchedule *schedule, PwActionKind kind) {
  int n = 0;
  for (int rank = 0; rank < schedule->ranks; rank++)
    for (int64_t i = 0; i < schedule->programs[rank].n_prologue; i++)
      n += schedule->programs[rank].actions[i].kind == kind;
  return n;
}

static void
test_updates (void) {
  static const char text[] = "{\"model\": \"mlp\", \"ranks\": 3, \"recompute\": \"stage\"}";
  static const PwResolveOptions steps_apart = { .mode = PW_MODE_TRAINING };
  g_autoptr (PwResolvedPlan) with = resolve (text, NULL);
  g_autoptr (PwResolvedPlan) without = resolve (text, &steps_apart);
  g_assert_cmpint (count (with->lowered, PW_ACTION_UPDATE), ==, 3);
  g_assert_cmpint (count (without->lowered, PW_ACTION_UPDATE), ==, 0);
  g_assert_cmpint (count (with->lowered, PW_ACTION_RECOMPUTE), ==, 3 * with->microbatches);
  g_assert_cmpint (count (with->compute, PW_ACTION_RECOMPUTE), ==, 0);
}

static void
test_unequal_microbatches (void) {
  g_autoptr (PwResolvedPlan) r = resolve (
      "{\"model\": \"mlp\", \"ranks\": 2, \"batch\": 7, \"schedule\": {\"microbatches\": 4}}",
      NULL);
  const int64_t expected[] = { 2, 2, 2, 1 };
  for (int m = 0; m < 4; m++)
    g_assert_cmpint (r->samples[m], ==, expected[m]);
  g_assert_nonnull (r->costs->factor);
  g_assert_cmpfloat (r->costs->factor[3 * 2], <, 1);
}

static void
test_given_costs (void) {
  static const char text[] = "{\"model\": \"mlp\", \"ranks\": 2}";
  g_autoptr (PwResolvedPlan) r = resolve (text, NULL);
  g_autoptr (PwLayerCosts) costs = pw_layer_costs_copy (r->layer_costs);
  for (int l = 0; l < costs->n_layers; l++)
    costs->tables[0].layers[l].forward_s = 3;
  PwResolveOptions options = { .updates = TRUE, .layer_costs = costs };
  g_autoptr (PwResolvedPlan) other = resolve (text, &options);
  int n = other->partition->bounds[1];
  g_assert_cmpfloat (other->costs->stage[0].forward, ==, 3 * n);
}

#define UNITS 6
/* Unit u is a linear layer that adds a skip from a random earlier unit; some share weights. */
static PwGraph *
skip_graph (int *reads, int *owner) {
  PwShape shape = { .dtype = PW_DTYPE_F32, .n_dims = 1, .dims = { 4 } };
  PwGraphBuilder *builder = pw_graph_builder_new ("skips", shape, (PwShape){ 0 });
  int last[UNITS], linear[UNITS];
  PwLayerAttributes attributes;
  pw_layer_attributes_init (&attributes);
  attributes.in = attributes.out = 4;
  for (int u = 0; u < UNITS; u++) {
    g_autofree char *name = g_strdup_printf ("unit%d", u);
    pw_graph_builder_begin_unit (builder, name, FALSE);
    int from = u == 0 ? PW_GRAPH_INPUT : last[u - 1];
    linear[u] = pw_graph_builder_add (builder, "linear", "linear", &attributes, &from, 1);
    reads[u] = u == 0 ? -1 : last[g_test_rand_int_range (0, u)];
    last[u] = u == 0 ? linear[0]
                     : pw_graph_builder_add (builder, "add", "add", NULL,
                                             (int[]){ linear[u], reads[u] }, 2);
    owner[u] = -1;
    if (u >= 2 && g_test_rand_bit ()) {
      owner[u] = linear[0];
      pw_graph_builder_share (builder, linear[u], linear[0]);
    }
  }
  pw_graph_builder_begin_unit (builder, "loss", TRUE);
  pw_graph_builder_add (builder, "mse", "mse", NULL, &last[UNITS - 1], 1);
  g_autoptr (GError) error = NULL;
  PwGraph *graph = pw_graph_builder_finish (builder, &error);
  g_assert_no_error (error);
  return graph;
}

static int
stage_of (const PwPartition *layers, int layer) {
  int s = 0;
  while (layer >= layers->bounds[s + 1])
    s++;
  return s;
}

static gboolean
reads_from (const PwResolvedPlan *r, int stage, int tensor) {
  for (int l = r->partition->bounds[stage]; l < r->partition->bounds[stage + 1]; l++)
    for (int i = 0; i < r->graph->layers[l].n_inputs; i++)
      if (r->graph->layers[l].inputs[i] == tensor)
        return TRUE;
  return FALSE;
}

static void
check_edges (const PwResolvedPlan *r) {
  int expected = 0;
  for (int tensor = 0; tensor < r->graph->n_layers; tensor++)
    for (int stage = stage_of (r->partition, tensor) + 1; stage < r->partition->stages; stage++) {
      int found = 0;
      for (int e = 0; e < r->edges->n_edges; e++) {
        const PwStageEdge *edge = &r->edges->edges[e];
        found += edge->tensor == tensor && edge->consumer == stage
                 && edge->producer == stage_of (r->partition, tensor);
      }
      g_assert_cmpint (found, ==, reads_from (r, stage, tensor));
      expected += found;
    }
  g_assert_cmpint (r->edges->n_edges, ==, expected);
}

static void
check_shared (const PwResolvedPlan *r, const int *owner) {
  int users = 0;
  for (int u = 0; u < UNITS; u++)
    users += owner[u] >= 0;
  g_assert_cmpint (r->edges->n_shared, ==, users > 0);
  if (users == 0)
    return;
  const PwSharedParameter *shared = &r->edges->shared[0];
  g_assert_cmpint (shared->n_stages, ==, users + 1);
  for (int i = 0; i < shared->n_stages; i++) {
    g_assert_cmpint (shared->stages[i], ==, stage_of (r->partition, shared->layers[i]));
    g_assert_true (i == 0 || shared->layers[i] > shared->layers[i - 1]);
  }
}

static void
test_skip_edges (void) {
  for (int round = 0; round < 50; round++) {
    int reads[UNITS], owner[UNITS];
    PwResolveOptions options = { .updates = TRUE, .graph = skip_graph (reads, owner) };
    g_autofree char *text = g_strdup_printf (
        "{\"model\": \"mlp\", \"ranks\": %d, \"partition\": {\"method\": \"parameters\"}}",
        g_test_rand_int_range (1, UNITS + 1));
    g_autoptr (PwResolvedPlan) r = resolve (text, &options);
    check_edges (r);
    check_shared (r, owner);
  }
}

static void
test_huge (void) {
  static const char *const texts[] = {
    "{\"model\": {\"name\": \"mlp\", \"width\": 16777216, \"depth\": 60, \"input\": 16777216}, "
    "\"ranks\": 2, \"batch\": 1000000000}",
    "{\"model\": {\"name\": \"mlp\", \"width\": 2147483647, \"depth\": 2}, \"ranks\": 2, "
    "\"batch\": 1000000000}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwPlan) plan = parse (texts[i]);
    g_autoptr (PwResolvedPlan) r = pw_plan_resolve (plan, NULL, &error);
    g_assert_true ((r == NULL) == (error != NULL));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/resolve/batch-is-cut-as-torch-chunk-cuts", test_cut_batch);
  g_test_add_func ("/plans/resolve/ranks-are-enough", test_defaults);
  g_test_add_func ("/plans/resolve/default-micro-batches-fit-any-batch", test_default_microbatches);
  g_test_add_func ("/plans/resolve/balance-says-the-ranks", test_ranks_from_balance);
  g_test_add_func ("/plans/resolve/ends-stay-unless-counted", test_ends);
  g_test_add_func ("/plans/resolve/no-balance-beats-its-method", test_methods_are_optimal);
  g_test_add_func ("/plans/resolve/memory-spreads-what-is-kept", test_memory_method);
  g_test_add_func ("/plans/resolve/bad-plans-name-place-and-cause", test_bad);
  g_test_add_func ("/plans/resolve/any-backend-can-be-simulated", test_other_machines_resolve);
  g_test_add_func ("/plans/resolve/inference-runs-forward-only", test_inference);
  g_test_add_func ("/plans/resolve/updates-only-where-asked", test_updates);
  g_test_add_func ("/plans/resolve/last-micro-batch-is-cheaper", test_unequal_microbatches);
  g_test_add_func ("/plans/resolve/given-costs-are-used", test_given_costs);
  g_test_add_func ("/plans/resolve/edges-are-what-later-stages-read", test_skip_edges);
  g_test_add_func ("/plans/resolve/huge-models-never-overflow", test_huge);
  return g_test_run ();
}
