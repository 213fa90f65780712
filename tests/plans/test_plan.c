#include <string.h>

#include "plans/plan.h"

#define MODEL "\"model\": \"mlp\""

static PwPlan *
parse (const char *text) {
  g_autoptr (GError) error = NULL;
  PwPlan *plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  return plan;
}

static void
test_defaults (void) {
  g_autoptr (PwPlan) plan = parse ("{" MODEL "}");
  g_assert_cmpstr (plan->schedule, ==, "1f1b");
  g_assert_null (plan->schedule_csv);
  g_assert_cmpint (plan->ranks, ==, 0);
  g_assert_cmpint (plan->params.microbatches, ==, 0);
  g_assert_cmpint (plan->batch, ==, 0);
  g_assert_cmpint (plan->method, ==, PW_METHOD_TIME);
  g_assert_cmpint (plan->steps, ==, 10);
  g_assert_cmpint (plan->seed, ==, 1);
  g_assert_cmpstr (plan->backend, ==, "cpu");
  g_assert_cmpstr (plan->transport, ==, "threads");
  g_assert_cmpint (plan->policy, ==, PW_POLICY_PER_EDGE);
  g_assert_cmpint (plan->optimizer.kind, ==, PW_OPTIMIZER_ADAMW);
  g_assert_cmpfloat (plan->optimizer.learning_rate, ==, 3e-4);
  g_assert_cmpint (plan->data.kind, ==, PW_DATA_RANDOM);
  g_assert_cmpint (plan->data_parallel, ==, 1);
  g_assert_cmpint ((int)plan->memory_limit, ==, 0);
  g_assert_cmpstr (plan->hardware->name, ==, "cpu-core-fp32");
}

static void
test_every_key (void) {
  g_autoptr (PwPlan) plan = parse (
      "{\"model\": {\"name\": \"gpt\"}, \"hardware\": \"h200\", \"costs\": \"c.json\", "
      "\"ranks\": 3, \"partition\": {\"balance\": [3, 3, 2], \"method\": \"flops\", \"ends\": "
      "\"counted\"}, \"schedule\": {\"name\": \"gpipe\", \"microbatches\": 5, \"chunks\": 2, "
      "\"group\": 4, \"waves\": 1, \"pieces\": 2, \"update_every\": 3, \"reverse\": true}, "
      "\"batch\": 10, \"steps\": 7, \"seed\": 9, \"backend\": \"cuda\", \"transport\": \"mpi\", "
      "\"p2p_policy\": \"rendezvous\", \"p2p_batched\": true, \"precision\": \"bf16\", "
      "\"share_devices\": true, \"cuda_graphs\": true, "
      "\"recompute\": \"except-last\", \"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.5, "
      "\"momentum\": 0.25, \"beta1\": 0.5, \"beta2\": 0.75, \"epsilon\": 0.125, "
      "\"weight_decay\": 2}, \"data\": {\"text\": \"t.txt\"}, \"data_parallel\": 2, "
      "\"memory_limit\": \"2GiB\", \"checkpoint\": \"saved\"}");
  g_assert_cmpstr (plan->hardware->name, ==, "h200");
  g_assert_cmpstr (plan->costs, ==, "c.json");
  g_assert_cmpint (plan->ranks, ==, 3);
  g_assert_cmpuint (plan->balance->len, ==, 3);
  g_assert_cmpint (g_array_index (plan->balance, int, 2), ==, 2);
  g_assert_cmpint (plan->method, ==, PW_METHOD_BALANCE);
  g_assert_cmpint (plan->fallback, ==, PW_METHOD_FLOPS);
  g_assert_true (plan->count_ends);
  g_assert_cmpstr (plan->schedule, ==, "gpipe");
  g_assert_cmpint (plan->params.microbatches, ==, 5);
  g_assert_cmpint (plan->params.chunks, ==, 2);
  g_assert_cmpint (plan->params.group, ==, 4);
  g_assert_cmpint (plan->params.waves, ==, 1);
  g_assert_cmpint (plan->params.pieces, ==, 2);
  g_assert_cmpint (plan->params.update_every, ==, 3);
  g_assert_true (plan->params.reverse);
  g_assert_cmpint (plan->batch, ==, 10);
  g_assert_cmpint (plan->steps, ==, 7);
  g_assert_cmpint (plan->seed, ==, 9);
  g_assert_cmpstr (plan->backend, ==, "cuda");
  g_assert_cmpstr (plan->transport, ==, "mpi");
  g_assert_cmpint (plan->policy, ==, PW_POLICY_RENDEZVOUS);
  g_assert_true (plan->batched);
  g_assert_true (plan->share_devices);
  g_assert_true (plan->cuda_graphs);
  g_assert_cmpstr (pw_precision_names[plan->precision], ==, "bf16");
  g_assert_cmpint (plan->recompute, ==, PW_RECOMPUTE_EXCEPT_LAST);
  g_assert_cmpint (plan->optimizer.kind, ==, PW_OPTIMIZER_SGD);
  g_assert_cmpfloat (plan->optimizer.learning_rate, ==, 0.5);
  g_assert_cmpfloat (plan->optimizer.momentum, ==, 0.25);
  g_assert_cmpfloat (plan->optimizer.beta1, ==, 0.5);
  g_assert_cmpfloat (plan->optimizer.beta2, ==, 0.75);
  g_assert_cmpfloat (plan->optimizer.epsilon, ==, 0.125);
  g_assert_cmpfloat (plan->optimizer.weight_decay, ==, 2);
  g_assert_cmpint (plan->data.kind, ==, PW_DATA_TEXT);
  g_assert_cmpstr (plan->data.path, ==, "t.txt");
  g_assert_cmpint (plan->data_parallel, ==, 2);
  g_assert_cmpint (plan->memory_limit, ==, G_GINT64_CONSTANT (2) << 30);
  g_assert_cmpstr (plan->checkpoint, ==, "saved");
}

static void
test_short_forms (void) {
  g_autoptr (PwPlan) plan = parse ("{" MODEL ", \"schedule\": \"gpipe\", \"optimizer\": \"sgd\", "
                                   "\"data\": \"text\"}");
  g_assert_cmpstr (plan->schedule, ==, "gpipe");
  g_assert_cmpint (plan->optimizer.kind, ==, PW_OPTIMIZER_SGD);
  g_assert_cmpfloat (plan->optimizer.weight_decay, ==, 0);
  g_assert_cmpint (pw_optimizer_slots (&plan->optimizer), ==, 0);
  g_assert_cmpint (plan->data.kind, ==, PW_DATA_TEXT);
  g_assert_null (plan->data.path);
  g_autoptr (PwPlan) rules = parse ("{" MODEL ", \"schedule\": {\"group\": \"megatron\"}, "
                                    "\"optimizer\": {\"learning_rate\": 1}}");
  g_assert_cmpstr (rules->params.group_rule, ==, "megatron");
  g_assert_cmpint (rules->optimizer.kind, ==, PW_OPTIMIZER_ADAMW);
  g_assert_cmpint (pw_optimizer_slots (&rules->optimizer), ==, 2);
}

static void
test_relative (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan
      = pw_plan_parse ("some/where/plan.json",
                       "{" MODEL ", \"costs\": \"c.json\", \"schedule\": \"a.csv\", \"data\": "
                       "{\"text\": \"/abs/t\"}, \"checkpoint\": \"../saved\"}",
                       &error);
  g_assert_no_error (error);
  g_assert_cmpstr (plan->costs, ==, "some/where/c.json");
  g_assert_cmpstr (plan->schedule_csv, ==, "some/where/a.csv");
  g_assert_null (plan->schedule);
  g_assert_cmpstr (plan->data.path, ==, "/abs/t");
  g_assert_cmpstr (plan->checkpoint, ==, "some/where/../saved");
}

static const struct {
  const char *text;
  PwJsonError code;
  const char *message;
} bad[] = {
  { "{", PW_JSON_ERROR_SYNTAX, "plan.json:1: " },
  { "[]", PW_JSON_ERROR_TYPE, "plan.json:1: expected an object" },
  { "{}", PW_JSON_ERROR_MISSING_KEY, "missing key \"model\"" },
  { "{" MODEL ",\n\n\"shedule\": \"gpipe\"}", PW_JSON_ERROR_UNKNOWN_KEY,
    "plan.json:3: shedule: unknown key, did you mean \"schedule\"?" },
  { "{" MODEL ", " MODEL "}", PW_JSON_ERROR_SYNTAX, "plan.json:1: " },
  { "{\"model\": 3}", PW_JSON_ERROR_TYPE, "model: expected a name, a file or an object" },
  { "{" MODEL ",\n\"ranks\": 0}", PW_JSON_ERROR_RANGE,
    "plan.json:2: ranks: 0 is below the minimum 1" },
  { "{" MODEL ", \"ranks\": -2}", PW_JSON_ERROR_RANGE, "ranks: -2 is below the minimum 1" },
  { "{" MODEL ", \"ranks\": 2.5}", PW_JSON_ERROR_TYPE, "ranks: expected an integer, not 2.5" },
  { "{" MODEL ", \"ranks\": 70000}", PW_JSON_ERROR_RANGE, "ranks: 70000 is above" },
  { "{" MODEL ", \"batch\": 0}", PW_JSON_ERROR_RANGE, "batch: 0 is below the minimum 1" },
  { "{" MODEL ", \"steps\": -1}", PW_JSON_ERROR_RANGE, "steps: -1 is below the minimum 1" },
  { "{" MODEL ", \"seed\": -1}", PW_JSON_ERROR_RANGE, "seed: -1 is below the minimum 0" },
  { "{" MODEL ",\n\"partition\": {\n\"balance\": [6, 6,\n0]}}", PW_JSON_ERROR_RANGE,
    "plan.json:4: partition.balance[2]: 0 is below the minimum 1" },
  { "{" MODEL ", \"partition\": {\"balance\": []}}", PW_JSON_ERROR_RANGE,
    "partition: balance: the list is empty" },
  { "{" MODEL ", \"partition\": {\"method\": \"balance\"}}", PW_JSON_ERROR_MISSING_KEY,
    "partition: method \"balance\" needs the list" },
  { "{" MODEL ", \"partition\": {\"method\": \"flop\"}}", PW_JSON_ERROR_RANGE,
    "partition.method: unknown \"flop\", did you mean \"flops\"?" },
  { "{" MODEL ", \"partition\": {\"ends\": \"count\"}}", PW_JSON_ERROR_RANGE,
    "partition.ends: unknown \"count\", did you mean \"counted\"?" },
  { "{" MODEL ", \"partition\": [1, 2]}", PW_JSON_ERROR_TYPE, "partition: expected an object" },
  { "{" MODEL ",\n\"schedule\": \"gpip\"}", PW_JSON_ERROR_RANGE,
    "plan.json:2: schedule: unknown \"gpip\", did you mean \"gpipe\"?" },
  { "{" MODEL ", \"schedule\": {\"name\": 1}}", PW_JSON_ERROR_TYPE, "schedule.name: expected" },
  { "{" MODEL ", \"schedule\": {\"name\": \"gpipe\", \"csv\": \"a.csv\"}}", PW_JSON_ERROR_RANGE,
    "schedule: takes \"name\" or \"csv\", not both" },
  { "{" MODEL ", \"schedule\": {\"microbatches\": 0}}", PW_JSON_ERROR_RANGE,
    "schedule.microbatches: 0 is below the minimum 1" },
  { "{" MODEL ", \"schedule\": {\"chunks\": 0}}", PW_JSON_ERROR_RANGE,
    "schedule.chunks: 0 is below the minimum 1" },
  { "{" MODEL ", \"schedule\": {\"chunk\": 1}}", PW_JSON_ERROR_UNKNOWN_KEY,
    "schedule.chunk: unknown key, did you mean \"chunks\"?" },
  { "{" MODEL ", \"schedule\": {\"group\": \"pytorsh\"}}", PW_JSON_ERROR_RANGE,
    "schedule.group: expected a number of micro-batches, \"megatron\" or \"pytorch\"" },
  { "{" MODEL ", \"schedule\": {\"group\": 0}}", PW_JSON_ERROR_RANGE, "schedule.group: expected" },
  { "{" MODEL ", \"schedule\": 3}", PW_JSON_ERROR_TYPE, "schedule: expected an object" },
  { "{" MODEL ", \"backend\": \"cpus\"}", PW_JSON_ERROR_RANGE,
    "backend: unknown \"cpus\", did you mean \"cpu\"?" },
  { "{" MODEL ", \"transport\": \"thread\"}", PW_JSON_ERROR_RANGE,
    "transport: unknown \"thread\", did you mean \"threads\"?" },
  { "{" MODEL ", \"p2p_policy\": \"per-egde\"}", PW_JSON_ERROR_RANGE,
    "p2p_policy: unknown \"per-egde\", did you mean \"per-edge\"?" },
  { "{" MODEL ", \"p2p_batched\": 1}", PW_JSON_ERROR_TYPE, "p2p_batched: expected true or false" },
  { "{" MODEL ", \"precision\": \"fp64\"}", PW_JSON_ERROR_RANGE, "precision: unknown \"fp64\"" },
  { "{" MODEL ", \"recompute\": \"all\"}", PW_JSON_ERROR_RANGE, "recompute: unknown \"all\"" },
  { "{" MODEL ", \"recompute\": {\"layer\": []}}", PW_JSON_ERROR_TYPE, "recompute: expected" },
  { "{" MODEL ", \"recompute\": {\"layers\": []}}", PW_JSON_ERROR_TYPE,
    "recompute.layers: expected a list" },
  { "{" MODEL ", \"recompute\": {\"layers\": [\"a\", -1]}}", PW_JSON_ERROR_TYPE,
    "recompute.layers[1]: expected a layer's name or number" },
  { "{" MODEL ",\n\"optimizer\": {\"name\": \"adamv\"}}", PW_JSON_ERROR_RANGE,
    "plan.json:2: optimizer.name: unknown \"adamv\", did you mean \"adam" },
  { "{" MODEL ", \"optimizer\": {\"learning_rate\": -1}}", PW_JSON_ERROR_RANGE,
    "optimizer.learning_rate: -1 is below the minimum 0" },
  { "{" MODEL ", \"optimizer\": {\"beta2\": 1}}", PW_JSON_ERROR_RANGE, "optimizer.beta2: 1 is" },
  { "{" MODEL ", \"optimizer\": {\"lr\": 1}}", PW_JSON_ERROR_UNKNOWN_KEY, "optimizer.lr: unknown" },
  { "{" MODEL ", \"optimizer\": 1}", PW_JSON_ERROR_TYPE, "optimizer: expected" },
  { "{" MODEL ", \"data\": \"images\"}", PW_JSON_ERROR_RANGE, "data: unknown \"images\"" },
  { "{" MODEL ", \"data\": {\"file\": \"x\"}}", PW_JSON_ERROR_UNKNOWN_KEY, "data.file: unknown" },
  { "{" MODEL ", \"data_parallel\": 0}", PW_JSON_ERROR_RANGE, "data_parallel: 0 is below" },
  { "{" MODEL ", \"memory_limit\": \"40Gi\"}", PW_JSON_ERROR_TYPE, "memory_limit: expected" },
  { "{" MODEL ", \"memory_limit\": -1}", PW_JSON_ERROR_RANGE, "memory_limit: -1 bytes" },
  { "{" MODEL ", \"hardware\": \"h201\"}", PW_JSON_ERROR_RANGE, "did you mean \"h200\"?" },
  { "{" MODEL ", \"checkpoint\": 1}", PW_JSON_ERROR_TYPE, "checkpoint: expected a text" },
};

static void
test_bad (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", bad[i].text);
    g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", bad[i].text, &error);
    g_assert_null (plan);
    g_test_message ("%s", error->message);
    g_assert_error (error, PW_JSON_ERROR, (int)bad[i].code);
    g_assert_nonnull (strstr (error->message, bad[i].message));
  }
}

static void
test_missing_file (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan = pw_plan_load ("no/such/plan.json", &error);
  g_assert_null (plan);
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "no/such/plan.json"));
}

static const struct {
  const char *key, *place; /* place NULL: can be run */
} runnable[] = {
  { "\"seed\": 2", NULL },
  { "\"precision\": \"fp32\"", NULL },
  { "\"precision\": \"tf32\"", "plan.json:2: precision: the cpu backend computes in fp32 only" },
  { "\"precision\": \"bf16\"", "plan.json:2: precision: the cpu backend computes in fp32 only" },
  { "\"precision\": \"fp16\"", "plan.json:2: precision: the cpu backend computes in fp32 only" },
  { "\"backend\": \"cuda\",\"precision\": \"bf16\"", NULL },
  { "\"backend\": \"cuda\",\"precision\": \"fp16\"", "plan.json:2: precision: fp16 can be" },
  { "\"backend\": \"cuda\",\"precision\": \"tf32\"", NULL },
  { "\"data_parallel\": 2", "plan.json:2: data_parallel: " },
  { "\"clip_norm\": 1", "plan.json:2: clip_norm: " },
  { "\"offload\": \"stash\"", "plan.json:2: offload: " },
  { "\"offload\": \"none\"", NULL },
  { "\"recompute\": {\"layers\": [1]}", NULL },
  { "\"transport\": \"nccl\"", "plan.json:2: transport: " },
  { "\"backend\": \"cuda\", \"share_devices\": true", NULL },
  { "\"cuda_graphs\": true", "plan.json:2: cuda_graphs: the backend \"cpu\" has no graphs" },
  { "\"backend\": \"cuda\", \"cuda_graphs\": true", NULL },
  { "\"backend\": \"cuda\", \"ranks\": 2, \"cuda_graphs\": true",
    "plan.json:2: cuda_graphs: graphs of 2 ranks" },
};

static void
test_runnable (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (runnable); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *text = g_strdup_printf ("{" MODEL ",\n%s}", runnable[i].key);
    g_autoptr (PwPlan) plan = parse (text);
    g_assert_cmpint (pw_plan_check_runnable (plan, &error), ==, runnable[i].place == NULL);
    if (runnable[i].place == NULL)
      continue;
    g_assert_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_UNSUPPORTED);
    g_assert_true (g_str_has_prefix (error->message, runnable[i].place));
  }
}

static void
test_copy (void) {
  PwPlan *plan = parse ("{" MODEL ", \"ranks\": 2, \"partition\": {\"balance\": [2, 3]}}");
  g_assert_true (pw_plan_override (plan, "seed", "5", NULL));
  g_autoptr (PwPlan) copy = pw_plan_copy (plan);
  g_assert_true (pw_plan_override (plan, "balance", "4,1", NULL));
  pw_plan_free (plan);
  g_assert_cmpint (copy->seed, ==, 5);
  g_assert_cmpint (g_array_index (copy->balance, int, 0), ==, 2);
  g_assert_cmpstr (json_string_value (copy->model), ==, "mlp");
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/plan/a-model-is-enough", test_defaults);
  g_test_add_func ("/plans/plan/every-key-arrives", test_every_key);
  g_test_add_func ("/plans/plan/short-forms-mean-the-defaults", test_short_forms);
  g_test_add_func ("/plans/plan/paths-are-relative-to-the-plan", test_relative);
  g_test_add_func ("/plans/plan/bad-ones-name-place-and-cause", test_bad);
  g_test_add_func ("/plans/plan/missing-file-is-named", test_missing_file);
  g_test_add_func ("/plans/plan/what-cannot-run-is-named", test_runnable);
  g_test_add_func ("/plans/plan/copy-is-independent", test_copy);
  return g_test_run ();
}
