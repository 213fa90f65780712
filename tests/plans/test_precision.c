/* What a plan's precision changes in costs. */
#include <glib/gstdio.h>
#include <string.h>

#include "plans/resolve.h"

static PwResolvedPlan *
resolve (const char *precision, const char *optimizer, const char *members) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf (
      "{\"ranks\": 4, \"schedule\": {\"name\": \"1f1b\", \"microbatches\": 8}, \"batch\": 16, "
      "\"precision\": \"%s\", \"optimizer\": %s, %s}",
      precision, optimizer, members);
  g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  PwResolvedPlan *resolved = pw_plan_resolve (plan, NULL, &error);
  g_assert_no_error (error);
  return resolved;
}

#define GPT                                                                                        \
  "\"model\": {\"name\": \"gpt\", \"blocks\": 8, \"width\": 4096, \"heads\": 32, \"tokens\": "     \
  "2048}, "                                                                                        \
  "\"hardware\": \"h100-80g-ib\", \"partition\": {\"balance\": [2, 2, 2, 2]}"
#define MLP                                                                                        \
  "\"model\": {\"name\": \"mlp\", \"depth\": 7}, \"partition\": {\"balance\": [2, 2, 2, 2]}"

/* Per parameter: 4 + 4 + 4 s bytes in fp32, 2 + 4 + 4 s + 4 in a half type. */
static void
test_states (void) {
  static const struct {
    const char *optimizer;
    int slots;
  } rows[] = {
    { "{\"name\": \"sgd\", \"momentum\": 0}", 0 },
    { "{\"name\": \"sgd\", \"momentum\": 0.9}", 1 },
    { "\"adam\"", 2 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PwResolvedPlan) fp32 = resolve ("fp32", rows[i].optimizer, GPT);
    g_autoptr (PwResolvedPlan) tf32 = resolve ("tf32", rows[i].optimizer, GPT);
    g_autoptr (PwResolvedPlan) bf16 = resolve ("bf16", rows[i].optimizer, GPT);
    g_autoptr (PwResolvedPlan) fp16 = resolve ("fp16", rows[i].optimizer, GPT);
    g_assert_cmpint (tf32->precision, ==, PW_PRECISION_TF32);
    g_assert_cmpint (bf16->precision, ==, PW_PRECISION_BF16);
    for (int s = 0; s < 4; s++) {
      const PwStageCost *a = &fp32->costs->stage[s], *b = &bf16->costs->stage[s];
      int64_t n = pw_graph_parameters (fp32->graph, fp32->partition->bounds[s],
                                       fp32->partition->bounds[s + 1] - fp32->partition->bounds[s]);
      g_assert_cmpint (a->parameter_bytes, ==, 4 * n);
      g_assert_cmpint (a->optimizer_bytes, ==, 4 * rows[i].slots * n);
      g_assert_cmpint (b->parameter_bytes, ==, 2 * n);
      g_assert_cmpint (b->gradient_bytes, ==, a->gradient_bytes);
      g_assert_cmpint (b->optimizer_bytes, ==, 4 * (rows[i].slots + 1) * n);
      gsize times = offsetof (PwStageCost, parameter_bytes);
      g_assert_true (memcmp ((const char *)a + times, (const char *)&tf32->costs->stage[s] + times,
                             sizeof *a - times)
                     == 0);
      g_assert_true (memcmp (b, &fp16->costs->stage[s], sizeof *b) == 0);
      /* The master saves nothing in the update: it is read and written where the weight was. */
      double ratio = b->update / a->update;
      g_assert_cmpfloat_with_epsilon (ratio, (14 + 8 * rows[i].slots) / (12.0 + 8 * rows[i].slots),
                                      1e-12);
    }
  }
}

/* All that has a sample dimension halves, but for what is fp32 anyway. */
static void
test_activations (void) {
  g_autoptr (PwResolvedPlan) fp32 = resolve ("fp32", "\"adamw\"", GPT);
  g_autoptr (PwResolvedPlan) bf16 = resolve ("bf16", "\"adamw\"", GPT);
  g_assert_cmpint (bf16->edges->n_edges, ==, 3);
  for (int e = 0; e < 3; e++) {
    g_assert_cmpint (fp32->costs->message_bytes[e], ==, INT64_C (2) * 2048 * 4096 * 4);
    g_assert_cmpint (2 * bf16->costs->message_bytes[e], ==, fp32->costs->message_bytes[e]);
  }
  for (int s = 0; s < 4; s++) {
    const PwStageCost *a = &fp32->costs->stage[s], *b = &bf16->costs->stage[s];
    g_assert_cmpint (2 * b->gradient_in_bytes, ==, a->gradient_in_bytes);
    g_assert_cmpint (2 * b->gradient_out_bytes, ==, a->gradient_out_bytes);
    g_assert_cmpint (2 * b->stash_bytes, >=, a->stash_bytes);
    g_assert_cmpint (20 * b->stash_bytes, <, 11 * a->stash_bytes);
    g_assert_cmpint (20 * b->backward_peak_bytes, <, 11 * a->backward_peak_bytes);
    if (s > 0)
      g_assert_cmpint (2 * b->input_bytes, ==, a->input_bytes);
    else
      g_assert_cmpint (b->input_bytes, ==, a->input_bytes);
  }
  g_autoptr (PwResolvedPlan) mlp = resolve ("fp16", "\"adamw\"", MLP);
  g_autoptr (PwResolvedPlan) mlp32 = resolve ("fp32", "\"adamw\"", MLP);
  g_assert_cmpint (mlp->graph->input.dtype, ==, PW_DTYPE_F16);
  g_assert_cmpint (mlp->graph->target.dtype, ==, PW_DTYPE_F32);
  for (int s = 0; s < 4; s++)
    g_assert_cmpint (2 * mlp->costs->stage[s].stash_bytes, ==, mlp32->costs->stage[s].stash_bytes);
}

/* Large products take as long as the peak of their type says; all else as its bytes. */
static void
test_times (void) {
  g_autoptr (PwResolvedPlan) fp32 = resolve ("fp32", "\"adamw\"", GPT);
  g_autoptr (PwResolvedPlan) bf16 = resolve ("bf16", "\"adamw\"", GPT);
  const PwHardware *h100 = pw_hardware_get ("h100-80g-ib");
  int n_products = 0;
  for (int l = 0; l < bf16->graph->n_layers; l++) {
    const PwLayer *layer = &bf16->graph->layers[l];
    const PwLayerCost *a = &fp32->layer_costs->tables[0].layers[l];
    const PwLayerCost *b = &bf16->layer_costs->tables[0].layers[l];
    g_assert_cmpfloat (b->forward_s, <=, a->forward_s);
    g_assert_cmpfloat (b->input_s, <=, a->input_s);
    g_assert_cmpfloat (b->weight_s, <=, a->weight_s);
    if (layer->info.flops_forward == 0 || layer->info.flops_weight == 0)
      continue;
    n_products++;
    double flops = 2 * (double)layer->info.flops_forward;
    if (layer->attributes.in >= 4096 && layer->attributes.out >= 4096)
      g_assert_cmpfloat_with_epsilon (b->forward_s, flops / (h100->efficiency * h100->flops_half),
                                      1e-12 * b->forward_s);
  }
  g_assert_cmpint (n_products, ==, 4 * 8 + 1);
}

/* A product of each precision has the machine's own rate. */
static void
test_distinct_rates (void) {
  const PwHardware *h100 = pw_hardware_get ("h100-80g-ib");
  g_autoptr (PwResolvedPlan) fp32 = resolve ("fp32", "\"adamw\"", GPT);
  g_autoptr (PwResolvedPlan) tf32 = resolve ("tf32", "\"adamw\"", GPT);
  for (int l = 0; l < fp32->graph->n_layers; l++) {
    const PwLayer *layer = &fp32->graph->layers[l];
    if (layer->attributes.in < 4096 || layer->attributes.out < 4096)
      continue;
    double a = fp32->layer_costs->tables[0].layers[l].forward_s;
    double b = tf32->layer_costs->tables[0].layers[l].forward_s;
    g_assert_cmpfloat_with_epsilon (a / b, h100->flops_tf32 / h100->flops, 1e-9);
  }
}

static PwResolvedPlan *
resolve_with_costs (const char *precision, const char *costs, GError **error) {
  g_autofree char *text
      = g_strdup_printf ("{\"precision\": \"%s\", \"costs\": \"%s\", " MLP "}", precision, costs);
  g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", text, error);
  g_assert_no_error (*error);
  return pw_plan_resolve (plan, NULL, error);
}

/* Costs hold for what they were measured in; those of an old file do not say. */
static void
test_costs_of_another_precision (void) {
  g_autofree char *folder = g_dir_make_tmp ("pw-precision-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "costs.json", NULL);
  g_autoptr (PwResolvedPlan) tf32 = resolve ("tf32", "\"adamw\"", MLP);
  g_autoptr (GError) error = NULL;
  g_assert_true (pw_layer_costs_save (tf32->layer_costs, path, &error));
  g_autoptr (PwResolvedPlan) same = resolve_with_costs ("tf32", path, &error);
  g_assert_no_error (error);
  g_assert_cmpint (same->layer_costs->precision, ==, PW_PRECISION_TF32);
  g_autoptr (PwResolvedPlan) other = resolve_with_costs ("fp32", path, &error);
  g_assert_null (other);
  g_assert_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "costs of tf32, the plan computes in fp32"));
  g_clear_error (&error);
  tf32->layer_costs->precision = -1;
  g_assert_true (pw_layer_costs_save (tf32->layer_costs, path, &error));
  g_autoptr (PwResolvedPlan) unsaid = resolve_with_costs ("fp32", path, &error);
  g_assert_no_error (error);
  g_remove (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/precision/states-have-their-bytes", test_states);
  g_test_add_func ("/plans/precision/activations-halve", test_activations);
  g_test_add_func ("/plans/precision/products-run-at-the-peak-of-their-type", test_times);
  g_test_add_func ("/plans/precision/tf32-is-not-fp32", test_distinct_rates);
  g_test_add_func ("/plans/precision/costs-hold-for-their-own", test_costs_of_another_precision);
  return g_test_run ();
}
