/* The result seen as a trace and as a critical path. */
#include "cases.h"

#include <math.h>

static void
test_trace (void) {
  for (int i = 0; i < 100; i++) {
    g_autoptr (Case) c = case_random ();
    if (g_test_rand_int_range (0, 2))
      costs_randomise_bytes (c->costs);
    c->input.iterations = g_test_rand_int_range (1, 4);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (PwTrace) trace = pw_sim_trace (&c->input, result, "gpt");
    g_autoptr (GError) error = NULL;
    pw_trace_check (trace, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (trace->info.source, ==, "simulated");
    g_assert_cmpstr (trace->info.model, ==, "gpt");
    g_assert_cmpint (trace->info.iterations, ==, c->input.iterations);
    g_assert_cmpint (trace->records->len, ==, result->offset[result->ranks]);
    g_assert_cmpint (trace->memory->len, ==, result->memory->len);
    g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, 0);
    for (int rank = 0; rank < result->ranks; rank++) {
      const PwSimRank *simulated = &result->rank[rank];
      g_assert_cmpfloat_with_epsilon (summary->ranks[rank].busy_time, simulated->busy_time, 1e-9);
      g_assert_cmpfloat_with_epsilon (summary->ranks[rank].idle_time, simulated->idle_time, 1e-9);
      g_assert_cmpint (summary->ranks[rank].peak_memory_bytes, ==, simulated->peak_memory_bytes);
    }
    if (c->input.iterations == 1)
      g_assert_cmpfloat_with_epsilon (summary->iteration_time, result->iteration_time, 1e-9);
  }
}

/* A rank is busy or idle, and the pieces of idle time add up to what the result says. */
static void
test_trace_has_all_idle_time (void) {
  for (int i = 0; i < 200; i++) {
    g_autoptr (Case) c = case_random ();
    c->input.iterations = g_test_rand_int_range (1, 3);
    if (g_test_rand_bit ())
      costs_randomise_topology (c->costs, PW_LINK_FAIR, FALSE);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (PwTrace) trace = pw_sim_trace (&c->input, result, NULL);
    g_autofree double (*idle)[PW_IDLE_N] = g_malloc0 ((gsize)result->ranks * sizeof *idle);
    double epsilon = 1e-9 * result->total_time;
    for (guint k = 0; k < trace->idle->len; k++) {
      const PwTraceIdle *piece = &g_array_index (trace->idle, PwTraceIdle, k);
      g_assert_cmpfloat (piece->start, <, piece->end);
      if (k > 0 && piece[-1].rank == piece->rank)
        g_assert_cmpfloat (piece->start, >=, piece[-1].end);
      idle[piece->rank][piece->cause] += piece->end - piece->start;
    }
    for (int rank = 0; rank < result->ranks; rank++)
      for (int cause = 0; cause < PW_IDLE_N; cause++)
        g_assert_cmpfloat_with_epsilon (idle[rank][cause], result->rank[rank].idle_by_cause[cause],
                                        epsilon);
    for (guint k = 0, p = 0; k < trace->records->len; k++) {
      const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, k);
      if (!pw_action_kinds[record->action.kind].is_compute)
        continue;
      for (; p < trace->idle->len; p++) {
        const PwTraceIdle *piece = &g_array_index (trace->idle, PwTraceIdle, p);
        if (piece->rank > record->rank
            || (piece->rank == record->rank && piece->start >= record->start))
          break;
        g_assert_true (piece->rank < record->rank || piece->end <= record->start + epsilon);
      }
    }
  }
}

static void
test_trace_numbers_each_iteration_from_zero (void) {
  g_autoptr (Case) c = case_named ("1f1b", 2, 3, 1, 2, 0, PW_POLICY_PER_EDGE);
  c->input.iterations = 2;
  c->costs->message_bytes[0] = 40;
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  g_autoptr (PwTrace) trace = pw_sim_trace (&c->input, result, NULL);
  int per_iteration[2] = { 0 };
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    g_assert_cmpint (record->action.microbatch, <, 3);
    g_assert_cmpint (record->bytes, ==, pw_action_kinds[record->action.kind].is_compute ? 0 : 40);
    per_iteration[record->iteration]++;
  }
  g_assert_cmpint (per_iteration[0], ==, per_iteration[1]);
}

/* Those records that the path has, pairs and messages with both their actions. */
static void
test_trace_marks_the_critical_path (void) {
  for (int i = 0; i < 50; i++) {
    g_autoptr (Case) c = case_random ();
    c->input.iterations = g_test_rand_int_range (1, 3);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (PwTrace) plain = pw_sim_trace (&c->input, result, NULL);
    g_autoptr (PwTrace) marked = pw_sim_trace_critical (&c->input, result, NULL);
    g_autoptr (GArray) path = pw_sim_critical_path (&c->input, result);
    guint n_marked = 0;
    double longest = 0;
    for (guint k = 0; k < marked->records->len; k++) {
      const PwTraceRecord *record = &g_array_index (marked->records, PwTraceRecord, k);
      g_assert_false (g_array_index (plain->records, PwTraceRecord, k).is_critical);
      n_marked += record->is_critical ? 1 : 0;
      if (record->is_critical)
        longest = MAX (longest, record->end);
    }
    g_assert_cmpfloat (longest, ==, result->total_time);
    g_assert_cmpint (n_marked, >=, path->len);
    g_assert_cmpint (n_marked, <=, 2 * path->len);
  }
}

/* Unbroken from the beginning to the end, so as long as the whole. */
static void
assert_unbroken (const Case *c, const PwSimResult *result) {
  g_autoptr (GArray) path = pw_sim_critical_path (&c->input, result);
  double time = 0;
  g_assert_cmpint (path->len, >, 0);
  for (guint i = 0; i < path->len; i++) {
    const PwSimCritical *step = &g_array_index (path, PwSimCritical, i);
    g_assert_cmpfloat (step->start, ==, time);
    g_assert_cmpfloat (step->start, ==, result->start[result->offset[step->rank] + step->index]);
    time = step->end;
  }
  g_assert_cmpfloat (time, ==, result->total_time);
}

static void
test_path_is_unbroken (void) {
  for (int i = 0; i < 200; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, FALSE);
    c->input.iterations = g_test_rand_int_range (1, 3);
    g_autoptr (PwSimResult) own = run_with (c, PW_SIM_ENGINE_AUTO);
    assert_unbroken (c, own);
    for (int e = 0; e < c->costs->n_edges; e++)
      c->costs->link[e].sharing = PW_LINK_FCFS;
    g_autoptr (PwSimResult) in_turn = run_with (c, PW_SIM_ENGINE_AUTO);
    assert_unbroken (c, in_turn);
    costs_randomise_topology (c->costs, g_test_rand_bit () ? PW_LINK_FCFS : PW_LINK_FAIR, FALSE);
    g_autoptr (PwSimResult) over_fabric = run_with (c, PW_SIM_ENGINE_AUTO);
    assert_unbroken (c, over_fabric);
  }
}

/* Nothing shortens the total unless something on the path is shortened. */
static void
test_path_decides (void) {
  for (int i = 0; i < 100; i++) {
    g_autoptr (Case) c = case_random ();
    g_autoptr (PwSimResult) before = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (GArray) path = pw_sim_critical_path (&c->input, before);
    for (int s = 0; s < c->costs->stages; s++) {
      gboolean decides = FALSE;
      for (guint k = 0; k < path->len; k++) {
        const PwSimCritical *step = &g_array_index (path, PwSimCritical, k);
        decides |= step->action.kind == PW_ACTION_WEIGHT_GRADIENT && step->action.stage == s;
      }
      if (decides)
        continue;
      double kept = c->costs->stage[s].weight;
      c->costs->stage[s].weight = 0;
      g_autoptr (PwSimResult) after = run_with (c, PW_SIM_ENGINE_AUTO);
      g_assert_cmpfloat (after->total_time, ==, before->total_time);
      c->costs->stage[s].weight = kept;
    }
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/trace/agrees-with-the-result", test_trace);
  g_test_add_func ("/sim/trace/numbers-micro-batches-from-zero-in-each-iteration",
                   test_trace_numbers_each_iteration_from_zero);
  g_test_add_func ("/sim/trace/idle-time-is-there-with-its-causes", test_trace_has_all_idle_time);
  g_test_add_func ("/sim/trace/marks-the-critical-path", test_trace_marks_the_critical_path);
  g_test_add_func ("/sim/critical-path/is-unbroken-from-start-to-end", test_path_is_unbroken);
  g_test_add_func ("/sim/critical-path/nothing-off-it-shortens-the-total", test_path_decides);
  return g_test_run ();
}
