/* Synthetic costs against the schedules' closed forms, through the program. */
#include "program.h"
#include "schedules/schedule.h"
#include <math.h>

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon (a, b, 1e-9)

static void
test_example (void) {
  g_autoptr (json_t) result = program_json (
      "simulate --schedule 1f1b --ranks 4 --stages 4 --microbatches 8 --forward 1 --backward 2");
  assert_near (json_number_at (result, "iteration_time"), 33);
  assert_near (json_number_at (result, "ideal_time"), 24);
  assert_near (json_number_at (result, "bubble_ratio"), 0.375);
  assert_near (json_number_at (result, "bubble_fraction"), 9.0 / 33);
  assert_near (json_number_at (result, "peak_activations"), 4);
  g_assert_cmpint (json_integer_value (json_object_get (result, "actions")), ==, 64);
}

static void
check_sums (json_t *result) {
  json_t *ranks = json_object_get (result, "per_rank"), *rank;
  double iteration = json_number_at (result, "iteration_time");
  gsize i;
  json_array_foreach (ranks, i, rank) {
    double idle = json_number_at (rank, "idle_time");
    assert_near (json_number_at (rank, "busy_time") + idle, iteration);
    assert_near (json_number_at (rank, "warmup_idle") + json_number_at (rank, "steady_idle")
                     + json_number_at (rank, "drain_idle"),
                 idle);
    double causes = 0;
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get (rank, "idle_by_cause"), key, value) causes
        += json_number_value (value);
    assert_near (causes, idle);
  }
}

/* `bubble_time` is about the iteration, or about the longest rank's span. */
static void
check_closed_form (json_t *result, const char *key, double bubble) {
  double measured = json_number_at (result, key) - json_number_at (result, "ideal_time");
  if (isfinite (bubble))
    g_assert_cmpfloat_with_epsilon (measured, bubble, 1e-6);
}

static void
check_closed_forms (const PwScheduleType *type, const PwScheduleParams *params, json_t *result) {
  const char *key = g_str_equal (type->measure, "span") ? "longest_rank_span" : "iteration_time";
  check_closed_form (result, key, type->bubble_time (params));
  if (type->span_bubble_time)
    check_closed_form (result, "longest_rank_span", type->span_bubble_time (params));
}

static void
test_closed_forms (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++)
    for (int i = 0; i < 4; i++) {
      PwScheduleParams params;
      pw_schedule_params_init (&params);
      params.ranks = 2 * g_test_rand_int_range (1, 4);
      params.microbatches = params.ranks * g_test_rand_int_range (2, 5);
      params.F = g_test_rand_int_range (1, 5);
      params.I = params.W = g_test_rand_int_range (1, 5);
      g_autoptr (PwSchedule) own = pw_schedule_generate ((*type)->name, &params, NULL);
      if (!own)
        continue;
      g_test_message ("%s ranks %d microbatches %d F %g I %g", (*type)->name, params.ranks,
                      params.microbatches, params.F, params.I);
      g_autoptr (json_t) result = program_json (
          "simulate --schedule %s --ranks %d --microbatches %d --forward %g --backward %g",
          (*type)->name, params.ranks, params.microbatches, params.F, params.I + params.W);
      if (params.chunks == 0)
        params.chunks = own->chunks;
      check_closed_forms (*type, &params, result);
      check_sums (result);
    }
}

static void
test_latency (void) {
  /* A message in each direction between the two ranks is on the critical path. */
  g_autoptr (json_t) result
      = program_json ("simulate --schedule naive --ranks 2 --microbatches 3 --p2p-latency 0.5 "
                      "--message-bytes 10 --bandwidth 20 --links");
  assert_near (json_number_at (result, "iteration_time"), 3 * (2 + 4 + 2 * 1));
  json_t *link = json_array_get (json_object_get (result, "links"), 0);
  assert_near (json_number_at (link, "time"), 3);
  assert_near (json_number_at (link, "bytes"), 30);
}

static void
test_cost_lists (void) {
  g_autoptr (json_t) result = program_json (
      "simulate --schedule gpipe --ranks 3 --microbatches 1 --forward 1,2,3 --backward 4,5,6");
  assert_near (json_number_at (result, "iteration_time"), 21);
}

static void
test_file (void) {
  scratch_write ("two.csv", "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
  g_autoptr (json_t) file = program_json ("simulate --schedule two.csv --backward 2 --no-timing");
  g_autoptr (json_t) name = program_json (
      "simulate --schedule 1f1b --ranks 2 --microbatches 2 --backward 2 --no-timing");
  assert_near (json_number_at (file, "iteration_time"), json_number_at (name, "iteration_time"));
}

static void
test_iterations (void) {
  g_autoptr (json_t) one = program_json ("simulate --schedule gpipe --ranks 2 --microbatches 4");
  g_autoptr (json_t) many
      = program_json ("simulate --schedule gpipe --ranks 2 --microbatches 4 --iterations 5");
  g_assert_cmpfloat (json_number_at (many, "iteration_time"), <=,
                     json_number_at (one, "iteration_time"));
  g_assert_cmpfloat (json_number_at (many, "actions"), ==, 5 * json_number_at (one, "actions"));
}

static void
test_critical_path (void) {
  g_autoptr (json_t) result
      = program_json ("simulate --schedule 1f1b --ranks 4 --microbatches 8 --critical-path");
  json_t *path = json_object_get (result, "critical_path");
  gsize n = json_array_size (path);
  g_assert_cmpuint (n, >, 0);
  assert_near (json_number_at (json_array_get (path, 0), "start"), 0);
  assert_near (json_number_at (json_array_get (path, n - 1), "end"),
               json_number_at (result, "iteration_time"));
}

static void
test_best (void) {
  g_autoptr (json_t) result
      = program_json ("compare --schedules naive,gpipe,1f1b --ranks 4 --microbatches 8");
  g_assert_cmpstr (json_string_value (json_object_get (result, "best")), ==, "1f1b");
  g_assert_cmpuint (json_array_size (json_object_get (result, "rows")), ==, 3);
}

static void
test_memory_limit (void) {
  g_auto (Outcome) over
      = program_run ("simulate --schedule gpipe --ranks 4 --microbatches 8 --memory-limit 4");
  g_assert_cmpint (over.status, ==, 1);
  g_autofree char *within
      = program_output ("simulate --schedule 1f1b --ranks 4 --microbatches 8 --memory-limit 4");
  g_autoptr (json_t) rows
      = program_json ("compare --schedules gpipe,1f1b --ranks 4 --microbatches 8 --memory-limit 4");
  json_t *first = json_array_get (json_object_get (rows, "rows"), 0);
  g_assert_nonnull (json_object_get (first, "error"));
}

/* All ranks twice as slow: twice the time, to the last bit. One slow rank: no iteration is shorter
 * than its work, nor, back to back, longer than alone. */
static void
test_rank_factors (void) {
  static const char *const schedules[] = { "gpipe", "1f1b", "zb-h1", "zb-v" };
  for (gsize i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autofree char *options = g_strdup_printf (
        "simulate --schedule %s --ranks 4 --microbatches 8 --backward 2", schedules[i]);
    g_autoptr (json_t) plain = program_json ("%s", options);
    g_autoptr (json_t) all = program_json ("%s --rank-factors 2,2,2,2", options);
    g_assert_cmpfloat (json_number_at (all, "iteration_time"), ==,
                       2 * json_number_at (plain, "iteration_time"));
    g_autoptr (json_t) slow = program_json ("%s --rank-factors 2:1.5", options);
    g_autoptr (json_t) many = program_json ("%s --rank-factors 2:1.5 --iterations 5", options);
    json_t *rank = json_array_get (json_object_get (slow, "per_rank"), 2);
    double period = json_number_at (many, "iteration_time");
    g_assert_cmpfloat (period, >=, json_number_at (rank, "busy_time"));
    g_assert_cmpfloat (period, <=, json_number_at (slow, "iteration_time"));
    g_assert_cmpfloat (json_number_at (slow, "iteration_time"), >,
                       json_number_at (plain, "iteration_time"));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/synthetic/1f1b-of-four-ranks-takes-33", test_example);
  g_test_add_func ("/cli/synthetic/every-schedule-meets-its-closed-form", test_closed_forms);
  g_test_add_func ("/cli/synthetic/links-cost-latency-and-bytes", test_latency);
  g_test_add_func ("/cli/synthetic/a-list-has-one-cost-per-stage", test_cost_lists);
  g_test_add_func ("/cli/synthetic/a-file-equals-the-schedule-it-spells", test_file);
  g_test_add_func ("/cli/synthetic/iterations-overlap-at-most", test_iterations);
  g_test_add_func ("/cli/synthetic/a-slow-rank-bounds-the-period", test_rank_factors);
  g_test_add_func ("/cli/synthetic/the-critical-path-spans-the-iteration", test_critical_path);
  g_test_add_func ("/cli/synthetic/of-equal-times-less-memory-is-best", test_best);
  g_test_add_func ("/cli/synthetic/a-memory-limit-is-a-question", test_memory_limit);
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
