/* Tables of rates: what lies between rows, and what estimates make of them. */
#include <glib/gstdio.h>
#include <math.h>

#include "plans/resolve.h"

/* RATE(size) = SIZE^POWER is a line through the logarithms. */
static PwRates
power_law (double power) {
  PwRates rates = { 0 };
  for (double size = 64; size <= 1e6; size *= 7)
    pw_rates_append (&rates, size, pow (size, power));
  return rates;
}

static void
test_power_laws (void) {
  for (double power = -0.5; power <= 1; power += 0.25) {
    PwRates rates = power_law (power);
    double last = rates.rows[rates.n - 1].size;
    for (double size = 1; size < 1e9; size *= 1.3)
      g_assert_cmpfloat_with_epsilon (
          pw_rates_at (&rates, size) / pow (CLAMP (size, 64, last), power), 1, 1e-12);
    for (int i = 0; i < rates.n; i++)
      g_assert_true (pw_rates_at (&rates, rates.rows[i].size) == rates.rows[i].rate);
    pw_rates_clear (&rates);
  }
}

/* At a measured size a message takes what was measured; no message takes less than the latency. */
static void
test_links (void) {
  const double latency = 3e-6;
  const PwLink link = { .latency_s = latency, .bandwidth = 1e9 };
  PwMessageRates messages = { 0 };
  for (double bytes = 8; bytes <= 1 << 24; bytes *= 8)
    pw_rates_append (&messages.one_way, bytes,
                     bytes / (latency + bytes / 2e10 + sqrt (bytes) / 1e9));
  for (int i = 0; i < messages.one_way.n; i++) {
    const PwRate *row = &messages.one_way.rows[i];
    PwLink at = pw_link_at (&link, &messages, (int64_t)row->size);
    g_assert_cmpfloat_with_epsilon (pw_link_time (&at, (int64_t)row->size), row->size / row->rate,
                                    1e-9 * row->size / row->rate);
  }
  for (int64_t bytes = 0; bytes < 1 << 30; bytes = 2 * bytes + 1) {
    PwLink at = pw_link_at (&link, &messages, bytes);
    g_assert_cmpfloat (pw_link_time (&at, bytes), >=, latency);
  }
  PwLink same = pw_link_at (&link, &(PwMessageRates){ 0 }, 1000);
  g_assert_true (same.latency_s == link.latency_s && same.bandwidth == link.bandwidth);
  pw_message_rates_clear (&messages);
}

static PwResolvedPlan *
resolve (const char *hardware) {
  g_autofree char *text = g_strdup_printf (
      "{\"model\": {\"name\": \"gpt\", \"blocks\": 2}, \"ranks\": 2, \"hardware\": %s}", hardware);
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  PwResolvedPlan *resolved = pw_plan_resolve (plan, NULL, &error);
  g_assert_no_error (error);
  return resolved;
}

/* Tables that say one rate whatever the size are the plain figures. */
static void
test_flat_tables (void) {
  g_autoptr (PwResolvedPlan) plain
      = resolve ("{\"flops\": 2e12, \"efficiency\": 1, \"memory_bandwidth\": 1e11, "
                 "\"link\": {\"latency_s\": 0, \"bandwidth\": 1e10}}");
  g_autoptr (PwResolvedPlan) tables = resolve (
      "{\"flops\": 1, \"memory_bandwidth\": 1, "
      "\"link\": {\"latency_s\": 0, \"bandwidth\": 1}, "
      "\"rates\": {\"fp32\": [{\"flops\": 10, \"rate\": 2e12}, {\"flops\": 1e9, \"rate\": 2e12}]}, "
      "\"memory_rates\": [{\"bytes\": 10, \"bandwidth\": 1e11}], "
      "\"messages\": {\"one_way\": [{\"bytes\": 10, \"bandwidth\": 1e10}]}}");
  for (int l = 0; l < plain->graph->n_layers; l++) {
    const PwLayerCost *a = &plain->layer_costs->tables[0].layers[l];
    const PwLayerCost *b = &tables->layer_costs->tables[0].layers[l];
    g_assert_cmpfloat_with_epsilon (a->forward_s, b->forward_s, 1e-12 * a->forward_s + 1e-30);
    g_assert_cmpfloat_with_epsilon (a->weight_s, b->weight_s, 1e-12 * a->weight_s + 1e-30);
    g_assert_cmpfloat_with_epsilon (a->update_s, b->update_s, 1e-12 * a->update_s + 1e-30);
  }
  for (int e = 0; e < plain->costs->n_edges; e++) {
    int64_t bytes = plain->costs->message_bytes[e];
    double a = pw_link_time (&plain->costs->link[e], bytes);
    g_assert_cmpfloat_with_epsilon (a, pw_link_time (&tables->costs->link[e], bytes), 1e-12 * a);
  }
}

/* A cost file keeps its table of messages. */
static void
test_cost_file (void) {
  g_autofree char *folder = g_dir_make_tmp ("pw-rates-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "costs.json", NULL);
  g_autoptr (PwResolvedPlan) resolved = resolve ("\"h200\"");
  g_autoptr (PwLayerCosts) costs = pw_layer_costs_copy (resolved->layer_costs);
  pw_rates_append (&costs->messages.one_way, 8, 1.1e6 / 3);
  pw_rates_append (&costs->messages.both_ways, 8, 1e5 / 7);
  g_autoptr (GError) error = NULL;
  g_assert_true (pw_layer_costs_save (costs, path, &error));
  g_autoptr (PwLayerCosts) back = pw_layer_costs_load (path, resolved->graph, &error);
  g_assert_no_error (error);
  g_assert_cmpint (back->messages.one_way.n, ==, 1);
  g_assert_true (back->messages.one_way.rows[0].rate == 1.1e6 / 3);
  g_assert_true (back->messages.both_ways.rows[0].rate == 1e5 / 7);
  g_assert_cmpint (g_unlink (path) + g_rmdir (folder), ==, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/rates/power-laws-are-met-and-the-ends-hold", test_power_laws);
  g_test_add_func ("/plans/rates/messages-take-what-was-measured", test_links);
  g_test_add_func ("/plans/rates/flat-tables-are-the-plain-figures", test_flat_tables);
  g_test_add_func ("/plans/rates/cost-files-keep-their-messages", test_cost_file);
  return g_test_run ();
}
