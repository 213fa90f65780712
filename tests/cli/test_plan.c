/* `plan`: what it finds is what other commands say of it. */
#include "program.h"
#include <math.h>
#include <string.h>

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon (a, b, 1e-9 * (1 + fabs ((double)(b))))

#define PLAN                                                                                       \
  "{\"model\": {\"name\": \"gpt\", \"blocks\": 6, \"width\": 64, \"heads\": 2, \"tokens\": 32, "   \
  "\"vocabulary\": 100}, \"batch\": 6, \"ranks\": 3, \"schedule\": {%s}}"

static const char *
string_at (json_t *object, const char *key) {
  const char *text = json_string_value (json_object_get (object, key));
  g_assert_nonnull (text);
  return text;
}

static const char costs[] = "--forward 2,3,2 --backward-input 2,2,3 --backward-weight 1,2,2 "
                            "--p2p-latency 0.25 --memory-limit 2 --microbatches 6";

/* The file simulates to the same times and passes the checker with the same memory. */
static void
test_file (void) {
  for (int chunks = 1; chunks <= 2; chunks++) {
    g_autoptr (json_t) found
        = program_json ("plan --ranks 3 %s --chunks %d --csv order.csv", costs, chunks);
    g_autoptr (json_t) simulated
        = program_json ("simulate --schedule order.csv --cost-per rank %s", costs);
    assert_near (json_number_at (simulated, "iteration_time"),
                 json_number_at (found, "iteration_time"));
    assert_near (json_number_at (simulated, "peak_activations"),
                 json_number_at (found, "peak_activations"));
    g_assert_cmpfloat (json_number_at (found, "chunks"), ==, chunks);
    g_autofree char *checked
        = program_output ("schedule check order.csv --memory-limit 2 --p2p-policy all");
    g_autofree char *drawn = program_output ("schedule show order.csv");
    g_assert_nonnull (strstr (drawn, "rank 2"));
  }
}

/* A plan file that names the order is as long as `plan` said. */
static void
test_plan_file (void) {
  g_autofree char *named = g_strdup_printf (PLAN, "\"microbatches\": 6");
  g_autofree char *filed = g_strdup_printf (PLAN, "\"csv\": \"order.csv\"");
  scratch_write ("named.json", named);
  scratch_write ("filed.json", filed);
  for (int chunks = 1; chunks <= 2; chunks++) {
    g_autoptr (json_t) found = program_json ("plan named.json --chunks %d --csv order.csv", chunks);
    g_autoptr (json_t) simulated = program_json ("simulate filed.json");
    assert_near (json_number_at (simulated, "iteration_time"),
                 json_number_at (found, "iteration_time"));
    /* Its schedule is replaced, and what it says of sizes stands. */
    g_autoptr (json_t) again = program_json ("plan filed.json --chunks %d", chunks);
    assert_near (json_number_at (again, "iteration_time"),
                 json_number_at (found, "iteration_time"));
  }
}

static void
test_better_chunks (void) {
  g_autoptr (json_t) found = program_json ("plan --ranks 4 --microbatches 8 --memory-limit 3");
  json_t *tried = json_object_get (found, "tried"), *row;
  double best = INFINITY;
  gsize i;
  json_array_foreach (tried, i, row) {
    g_assert_cmpfloat (json_number_at (row, "chunks"), ==, (double)(i + 1));
    g_assert_cmpfloat (json_number_at (row, "peak_activations"), <=, 3 + 1e-9);
    g_assert_cmpfloat (json_number_at (row, "lower_bound"), <=,
                       json_number_at (row, "iteration_time") + 1e-9);
    best = MIN (best, json_number_at (row, "iteration_time"));
  }
  g_assert_cmpuint (i, ==, 2);
  assert_near (json_number_at (found, "iteration_time"), best);
  assert_near (json_number_at (found, "gap_to_lower_bound"),
               best / json_number_at (found, "lower_bound") - 1);
}

static void
test_builtin (void) {
  g_autoptr (json_t) found
      = program_json ("plan --ranks 4 --microbatches 8 --chunks 1 --memory-limit 4");
  json_t *builtin = json_object_get (found, "builtin");
  g_assert_cmpstr (string_at (builtin, "name"), ==, "zb-h1");
  assert_near (json_number_at (builtin, "value"), 27);
  g_assert_cmpfloat (json_number_at (found, "iteration_time"), <=, 27);
}

static void
test_span (void) {
  g_autoptr (json_t) found
      = program_json ("plan --ranks 4 --microbatches 8 --chunks 2 --objective span");
  g_assert_cmpstr (string_at (found, "objective"), ==, "span");
  assert_near (json_number_at (found, "longest_rank_span"), 24);
  assert_near (json_number_at (found, "lower_bound"), 24);
  g_assert_true (json_is_true (json_object_get (found, "is_optimal")));
}

/* Two stages per rank may be more than the model has units; one is not. */
static void
test_few_units (void) {
  g_autoptr (json_t) found = program_json ("plan examples/mlp-tiny.json --ranks 4");
  g_assert_cmpfloat (json_number_at (found, "chunks"), ==, 1);
  json_t *row = json_array_get (json_object_get (found, "tried"), 1);
  g_assert_nonnull (strstr (string_at (row, "error"), "8 stages"));
  g_auto (Outcome) refused = program_run ("plan examples/mlp-tiny.json --ranks 4 --chunks 2");
  g_assert_cmpint (refused.status, ==, 2);
}

static void
test_no_json (void) {
  g_auto (Outcome) outcome
      = program_run ("plan --ranks 2 --microbatches 2 --memory-limit 0.5 --json");
  g_assert_cmpint (outcome.status, ==, 1);
  g_autoptr (json_t) object = json_loads (outcome.out, 0, NULL);
  g_autofree char *keys = json_keys (object);
  g_assert_cmpstr (keys, ==, "objective,tried");
}

/* The search knows which rank is slow: what it finds is what simulate says, not below its bound. */
static void
test_slow_rank (void) {
  for (int chunks = 1; chunks <= 2; chunks++) {
    g_autoptr (json_t) found = program_json (
        "plan --ranks 3 %s --chunks %d --rank-factors 1:1.5 --csv order.csv", costs, chunks);
    g_autoptr (json_t) simulated = program_json (
        "simulate --schedule order.csv --cost-per rank %s --rank-factors 1:1.5", costs);
    assert_near (json_number_at (simulated, "iteration_time"),
                 json_number_at (found, "iteration_time"));
    g_assert_cmpfloat (json_number_at (found, "lower_bound"), <=,
                       json_number_at (found, "iteration_time") + 1e-9);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/plan/an-order-in-a-file-is-the-same-order", test_file);
  g_test_add_func ("/cli/plan/a-slow-rank-is-planned-for", test_slow_rank);
  g_test_add_func ("/cli/plan/a-plan-can-name-its-order", test_plan_file);
  g_test_add_func ("/cli/plan/the-better-number-of-chunks-is-reported", test_better_chunks);
  g_test_add_func ("/cli/plan/names-the-best-built-in-within-the-memory", test_builtin);
  g_test_add_func ("/cli/plan/the-span-can-be-the-objective", test_span);
  g_test_add_func ("/cli/plan/what-cannot-be-cut-is-a-row-unless-asked-for", test_few_units);
  g_test_add_func ("/cli/plan/no-order-is-an-answer-in-json-too", test_no_json);
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
