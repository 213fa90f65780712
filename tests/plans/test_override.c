#include <string.h>

#include "plans/plan.h"
#include "plans/resolve.h"

static PwPlan *
parse (const char *text) {
  g_autoptr (GError) error = NULL;
  PwPlan *plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  return plan;
}

static void
apply (PwPlan *plan, const char *name, const char *value) {
  g_autoptr (GError) error = NULL;
  pw_plan_override (plan, name, value, &error);
  g_assert_no_error (error);
}

/* One good value of every row; a row without one fails the test. */
static const struct {
  const char *name, *value;
} good[] = {
  { "schedule", "gpipe" },
  { "ranks", "3" },
  { "microbatches", "6" },
  { "chunks", "2" },
  { "group", "4" },
  { "waves", "2" },
  { "pieces", "2" },
  { "update-every", "8" },
  { "reverse", NULL },
  { "balance", "2,2,1" },
  { "batch", "12" },
  { "recompute", "stage" },
  { "precision", "bf16" },
  { "transport", "mpi" },
  { "p2p-policy", "per-peer" },
  { "p2p-batched", NULL },
  { "backend", "cuda" },
  { "share-devices", NULL },
  { "cuda-graphs", NULL },
  { "steps", "77" },
  { "seed", "0" },
  { "data-parallel", "2" },
  { "hardware", "h200" },
  { "p2p-sharing", "fcfs" },
  { "node-fabric", "bus" },
  { "link-duplex", "half" },
  { "ranks-per-node", "2" },
  { "network-latency", "1e-5" },
  { "network-bandwidth", "25e9" },
  { "network-duplex", "half" },
  { "network-cards", "1" },
  { "compute-slowdown-while-communicating", "1.5" },
  { "costs", "other.json" },
  { "rank-factors", "0:1.5" },
  { "memory-limit", "1GiB" },
  { "offload", "stages:0,1" },
  { "host-latency", "1e-5" },
  { "host-bandwidth", "25e9" },
  { "gradient-reduction", "at-end" },
  { "microbatch-factors", "lognormal:0.3" },
  { "clip-norm", "1.5" },
  { "collective-algorithm", "tree" },
  { "collective-latency", "1e-5" },
  { "collective-bandwidth", "50e9" },
};

static void
test_every_row (void) {
  gsize n;
  const PwPlanOverride *rows = pw_plan_overrides (&n);
  g_autoptr (PwPlan) plan = parse ("{\"model\": \"mlp\"}");
  for (gsize i = 0; i < n; i++) {
    gsize k = 0;
    while (k < G_N_ELEMENTS (good) && strcmp (good[k].name, rows[i].name) != 0)
      k++;
    g_test_message ("--%s", rows[i].name);
    g_assert_cmpuint (k, <, G_N_ELEMENTS (good));
    g_assert_cmpuint (strlen (rows[i].help), >, 0);
    g_assert_cmpint (rows[i].argument == NULL, ==, good[k].value == NULL);
    apply (plan, good[k].name, good[k].value);
  }
  g_assert_cmpstr (plan->schedule, ==, "gpipe");
  g_assert_cmpint (plan->ranks, ==, 3);
  g_assert_cmpint (plan->params.microbatches, ==, 6);
  g_assert_cmpint (plan->params.chunks, ==, 2);
  g_assert_cmpint (plan->params.group, ==, 4);
  g_assert_cmpint (plan->params.waves, ==, 2);
  g_assert_cmpint (plan->params.pieces, ==, 2);
  g_assert_cmpint (plan->params.update_every, ==, 8);
  g_assert_true (plan->params.reverse);
  g_assert_cmpint (plan->sharing, ==, PW_LINK_FCFS);
  g_assert_cmpint (plan->topology.fabric, ==, PW_FABRIC_BUS);
  g_assert_cmpint (plan->topology.link_duplex, ==, PW_DUPLEX_HALF);
  g_assert_cmpint (plan->topology.ranks_per_node, ==, 2);
  g_assert_cmpfloat (plan->topology.network.latency_s, ==, 1e-5);
  g_assert_cmpfloat (plan->topology.network.bandwidth, ==, 25e9);
  g_assert_cmpint (plan->topology.network_duplex, ==, PW_DUPLEX_HALF);
  g_assert_cmpint (plan->topology.network_cards, ==, 1);
  g_assert_cmpfloat (plan->topology.compute_slowdown, ==, 1.5);
  g_assert_cmpuint (plan->balance->len, ==, 3);
  g_assert_cmpint (plan->method, ==, PW_METHOD_BALANCE);
  g_assert_cmpint (plan->batch, ==, 12);
  g_assert_cmpint (plan->recompute, ==, PW_RECOMPUTE_STAGE);
  g_assert_cmpint (plan->precision, ==, 1);
  g_assert_cmpstr (plan->transport, ==, "mpi");
  g_assert_cmpint (plan->policy, ==, PW_POLICY_PER_PEER);
  g_assert_true (plan->batched);
  g_assert_cmpstr (plan->backend, ==, "cuda");
  g_assert_true (plan->share_devices);
  g_assert_true (plan->cuda_graphs);
  g_assert_cmpint (plan->steps, ==, 77);
  g_assert_cmpint (plan->seed, ==, 0);
  g_assert_cmpint (plan->data_parallel, ==, 2);
  g_assert_cmpint (plan->reduction, ==, PW_REDUCTION_AT_END);
  g_assert_cmpfloat (plan->clip_norm, ==, 1.5);
  g_assert_cmpint (plan->collective.algorithm, ==, PW_COLLECTIVE_TREE);
  g_assert_cmpfloat (plan->collective.latency_s, ==, 1e-5);
  g_assert_cmpfloat (plan->collective.bandwidth, ==, 50e9);
  g_assert_cmpstr (plan->costs, ==, "other.json");
  g_assert_cmpint (plan->memory_limit, ==, 1 << 30);
}

static const struct {
  const char *name, *value, *message;
} bad[] = {
  { "ranks", "0", "--ranks: 0 is below the minimum 1" },
  { "ranks", "-1", "--ranks: -1 is below the minimum 1" },
  { "ranks", "2x", "--ranks: expected an integer, not \"2x\"" },
  { "ranks", "", "--ranks: expected an integer, not \"\"" },
  { "ranks", NULL, "--ranks: expected P" },
  { "ranks", "99999", "--ranks: 99999 is above the maximum 65535" },
  { "ranks", "99999999999999999999", "--ranks: 99999999999999999999 is too large a number" },
  { "microbatches", "0", "--microbatches: 0 is below the minimum 1" },
  { "schedule", "1f2b", "--schedule: unknown \"1f2b\", did you mean \"1f1b\"?" },
  { "group", "0", "--group: expected a number of micro-batches" },
  { "balance", "", "--balance: unknown \"\"" },
  { "balance", "3,0,3", "--balance: 0 is below the minimum 1" },
  { "balance", "3,,3", "--balance: expected an integer, not \"\"" },
  { "balance", "3;3", "--balance: expected an integer, not \"3;3\"" },
  { "balance", "tim", "--balance: unknown \"tim\", did you mean \"time\"?" },
  { "recompute", "layer", "--recompute: unknown \"layer\"" },
  { "recompute", "layers:", "--recompute: no layer is named" },
  { "p2p-policy", "per-rank", "--p2p-policy: unknown \"per-rank\"" },
  { "p2p-batched", "perhaps", "--p2p-batched: expected true or false, not \"perhaps\"" },
  { "memory-limit", "much", "--memory-limit: expected a number of bytes" },
  { "seed", "-1", "--seed: -1 is below the minimum 0" },
  { "micro-batches", "4", "--micro-batches: unknown option, did you mean \"--microbatches\"?" },
};

static void
test_bad (void) {
  g_autoptr (PwPlan) plan = parse ("{\"model\": \"mlp\"}");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_false (pw_plan_override (plan, bad[i].name, bad[i].value, &error));
    g_test_message ("%s", error->message);
    g_assert_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE);
    g_assert_true (g_str_has_prefix (error->message, bad[i].message));
    g_assert_cmpuint (plan->overridden, ==, 0);
  }
}

/* Whichever comes first, the option's value stays and the file's goes. */
static void
test_schedule_drops_options (void) {
  static const char text[] = "{\"model\": \"mlp\", \"schedule\": {\"name\": \"1f1b\", "
                             "\"microbatches\": 4, \"waves\": 3, \"reverse\": true}}";
  for (int order = 0; order < 2; order++) {
    g_autoptr (PwPlan) plan = parse (text);
    if (order == 0)
      apply (plan, "chunks", "2");
    apply (plan, "schedule", "1f1b");
    if (order == 1)
      apply (plan, "chunks", "2");
    g_assert_cmpint (plan->params.chunks, ==, 2);
    g_assert_cmpint (plan->params.waves, ==, 0);
    g_assert_false (plan->params.reverse);
    g_assert_cmpint (plan->params.microbatches, ==, 4);
  }
  g_autoptr (PwPlan) plan = parse (text);
  apply (plan, "schedule", "gpipe"); /* which takes reverse */
  g_assert_true (plan->params.reverse);
}

static PwResolvedPlan *
resolve (const PwPlan *plan) {
  g_autoptr (GError) error = NULL;
  PwResolvedPlan *resolved = pw_plan_resolve (plan, NULL, &error);
  g_assert_no_error (error);
  return resolved;
}

/* A bus and cards that are shared in two ways have no common order of messages. */
static void
test_mixed_sharing (void) {
  g_autoptr (PwPlan) plan
      = parse ("{\"model\": \"mlp\", \"ranks\": 4, \"hardware\": {\"like\": \"h100-80g-ib\", "
               "\"ranks_per_node\": 2, \"network_sharing\": \"fcfs\", "
               "\"network_bandwidth\": 1e10}}");
  g_autoptr (PwResolvedPlan) apart = resolve (plan);
  apply (plan, "node-fabric", "bus");
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_plan_resolve (plan, NULL, &error));
  g_assert_nonnull (strstr (error->message, "shared in different ways: fair and fcfs"));
  apply (plan, "p2p-sharing", "fcfs");
  g_autoptr (PwResolvedPlan) alike = resolve (plan);
}

#define BALANCED                                                                                   \
  "{\"model\": {\"name\": \"gpt\", \"blocks\": 6},\n\"ranks\": 2,\n"                               \
  "\"partition\": {\"balance\": [4, 2], \"method\": \"parameters\"}}"

static void
test_balance_gives_way (void) {
  g_autoptr (PwPlan) plan = parse (BALANCED);
  g_autoptr (PwResolvedPlan) as_written = resolve (plan);
  g_assert_cmpint (as_written->method, ==, PW_METHOD_BALANCE);
  apply (plan, "ranks", "3");
  g_autoptr (PwResolvedPlan) wider = resolve (plan);
  g_assert_cmpint (wider->method, ==, PW_METHOD_PARAMETERS);
  g_assert_cmpint (wider->partition->stages, ==, 3);
  apply (plan, "ranks", "2"); /* what the file was made for */
  g_autoptr (PwResolvedPlan) again = resolve (plan);
  g_assert_cmpint (again->method, ==, PW_METHOD_BALANCE);
}

static void
test_balance_given_must_fit (void) {
  g_autoptr (PwPlan) plan = parse (BALANCED);
  g_autoptr (GError) error = NULL;
  apply (plan, "ranks", "3");
  apply (plan, "balance", "3,3");
  g_assert_null (pw_plan_resolve (plan, NULL, &error));
  g_assert_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_PARTITION);
  g_assert_cmpstr (error->message, ==, "--balance: has 2 stages, the schedule 3");
  g_clear_error (&error);
  apply (plan, "balance", "2,2,1");
  g_assert_null (pw_plan_resolve (plan, NULL, &error));
  g_assert_cmpstr (error->message, ==, "--balance: adds up to 5 units, the model has 6");
  apply (plan, "balance", "2,2,2");
  g_autoptr (PwResolvedPlan) resolved = resolve (plan);
  g_assert_cmpint (resolved->method, ==, PW_METHOD_BALANCE);
}

static void
test_messages_name_the_option (void) {
  g_autoptr (PwPlan) plan = parse (BALANCED);
  g_autoptr (GError) error = NULL;
  apply (plan, "ranks", "7");
  g_assert_null (pw_plan_resolve (plan, NULL, &error));
  g_assert_cmpstr (error->message, ==,
                   "--ranks: 7 stages, but the model has 6 units to cut between");
  g_clear_error (&error);
  apply (plan, "ranks", "2");
  apply (plan, "data-parallel", "2");
  apply (plan, "batch", "13");
  g_assert_null (pw_plan_resolve (plan, NULL, &error));
  g_assert_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE);
  g_assert_true (g_str_has_prefix (error->message, "--batch: "));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/override/every-row-is-applied", test_every_row);
  g_test_add_func ("/plans/override/bad-values-name-the-option", test_bad);
  g_test_add_func ("/plans/override/schedule-drops-what-it-does-not-take",
                   test_schedule_drops_options);
  g_test_add_func ("/plans/override/ranks-make-the-file's-balance-give-way",
                   test_balance_gives_way);
  g_test_add_func ("/plans/override/balance-that-is-given-must-fit", test_balance_given_must_fit);
  g_test_add_func ("/plans/override/resolving-names-the-option", test_messages_name_the_option);
  g_test_add_func ("/plans/override/a-bus-and-cards-are-shared-alike", test_mixed_sharing);
  return g_test_run ();
}
