#include "reference.h"

#include <string.h>

#define CASES 300

static void
test_equals_definitions (void) {
  for (int i = 0; i < CASES; i++) {
    g_autoptr (Case) c = case_random ();
    g_autoptr (Reference) reference = reference_run (c);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    gsize bytes = (gsize)reference->n * sizeof (double);
    g_assert_cmpint (result->offset[result->ranks], ==, reference->n);
    assert_same_bytes (result->start, reference->start, bytes);
    assert_same_bytes (result->end, reference->end, bytes);
  }
}

static void
test_engines_agree (void) {
  for (int i = 0; i < CASES; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, g_test_rand_int_range (0, 2));
    if (g_test_rand_int_range (0, 3) == 0)
      costs_randomise_factor (c->costs, c->lowered->microbatches);
    if (g_test_rand_int_range (0, 3) == 0)
      costs_randomise_bytes (c->costs);
    c->input.iterations = g_test_rand_int_range (1, 4);
    g_autoptr (PwSimResult) walked = run_with (c, PW_SIM_ENGINE_COMPILED);
    g_autoptr (PwSimResult) events = run_with (c, PW_SIM_ENGINE_EVENTS);
    assert_same_results (walked, events);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, &error);
    g_assert_no_error (error);
    g_autoptr (PwSimResult) compiled = pw_sim_program_result (program);
    assert_same_results (walked, compiled);
    g_assert_cmpint (pw_sim_program_events (program), ==, compiled->events);
  }
}

/* One program, many costs: with and without links, with and without factors. */
static void
test_retime_equals_run (void) {
  for (int i = 0; i < CASES / 4; i++) {
    g_autoptr (Case) c = case_random ();
    g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
    for (int k = 0; k < 4; k++) {
      g_clear_pointer (&c->costs->factor, g_free);
      costs_randomise (c->costs, FALSE);
      if (g_test_rand_int_range (0, 3) == 0)
        costs_randomise_factor (c->costs, c->lowered->microbatches);
      g_autoptr (PwSimResult) fresh = run_with (c, PW_SIM_ENGINE_COMPILED);
      double end = pw_sim_retime (program, c->costs);
      g_assert_cmpfloat (end, ==, fresh->total_time);
      g_autoptr (PwSimResult) retimed = pw_sim_program_result (program);
      assert_same_results (fresh, retimed);
    }
  }
}

static void
test_scrambled_messages (void) {
  int deadlocks = 0;
  for (int i = 0; i < CASES; i++) {
    g_autoptr (Case) c = case_scrambled ();
    g_autoptr (Reference) reference = reference_run (c);
    for (PwSimEngine engine = PW_SIM_ENGINE_COMPILED; engine <= PW_SIM_ENGINE_EVENTS; engine++) {
      g_autoptr (GError) error = NULL;
      c->input.engine = engine;
      g_autoptr (PwSimResult) result = pw_sim_run (&c->input, &error);
      if (reference == NULL) {
        g_assert_error (error, PW_SIM_ERROR, PW_SIM_ERROR_DEADLOCK);
        deadlocks++;
        continue;
      }
      g_assert_no_error (error);
      gsize bytes = (gsize)reference->n * sizeof (double);
      assert_same_bytes (result->start, reference->start, bytes);
      assert_same_bytes (result->end, reference->end, bytes);
    }
  }
  g_assert_cmpint (deadlocks, >, 0);
}

/* Raises one cost of C. */
static void
raise_one (PwStageCosts *costs) {
  PwStageCost *cost = &costs->stage[g_test_rand_int_range (0, costs->stages)];
  double *of_stage[] = { &cost->forward, &cost->backward,  &cost->input,
                         &cost->weight,  &cost->recompute, &cost->update };
  gint32 pick = g_test_rand_int_range (0, G_N_ELEMENTS (of_stage) + 1);
  if (pick < (gint32)G_N_ELEMENTS (of_stage))
    *of_stage[pick] += g_test_rand_double_range (0, 3);
  else if (costs->n_edges > 0)
    costs->link[g_test_rand_int_range (0, costs->n_edges)].latency_s
        += g_test_rand_double_range (0, 3);
}

static void
test_monotonic (void) {
  for (int i = 0; i < CASES; i++) {
    g_autoptr (Case) c = case_random ();
    g_autoptr (PwSimResult) before = run_with (c, PW_SIM_ENGINE_AUTO);
    raise_one (c->costs);
    g_autoptr (PwSimResult) after = run_with (c, PW_SIM_ENGINE_AUTO);
    g_assert_cmpfloat (after->total_time, >=, before->total_time);
    for (int64_t id = 0; id < before->offset[before->ranks]; id++)
      g_assert_cmpfloat (after->end[id], >=, before->end[id]);
  }
}

typedef struct {
  const char *name;
  PwPolicy policy;
  const char *lists; /* ranks */
  const char *cycle; /* what the message must name, NULL: runs */
} Deadlock;

/* Both ranks send before they receive; a receive posted early on the only queue holds up the send
 * behind it; entries of one queue in different orders. */
#define EARLY_RECEIVE                                                                              \
  "0F0 0F1 0SEND_F0 0RECV_B0 0SEND_F1 0B0 0RECV_B1 0B1\n"                                          \
  "1RECV_F0 1RECV_F1 1F0 1F1 1B0 1SEND_B0 1B1 1SEND_B1"
#define BOTH_SEND                                                                                  \
  "0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0 0B0 0RECV_B1 0B1\n"                                          \
  "1RECV_F0 1F0 1B0 1SEND_B0 1RECV_F1 1F1 1B1 1SEND_B1"
#define GROUPED                                                                                    \
  "0F0 0SEND_F0 0F1 0SEND_F1+ 0RECV_B0 0B0 0RECV_B1 0B1\n"                                         \
  "1RECV_F0 1F0 1B0 1SEND_B0+ 1RECV_F1 1F1 1B1 1SEND_B1"
#define OTHER_ORDER                                                                                \
  "0F0 0F1 0SEND_F0 0SEND_F1 0RECV_B0 0B0 0RECV_B1 0B1\n"                                          \
  "1RECV_F1 1RECV_F0 1F0 1F1 1B0 1SEND_B0 1B1 1SEND_B1"
static const Deadlock deadlocks[] = {
  { "early receive", PW_POLICY_SHARED_STREAM, EARLY_RECEIVE, "0RECV_B0 (rank 0, action 3)" },
  { "early receive", PW_POLICY_PER_PEER, EARLY_RECEIVE, "0SEND_F1" },
  { "early receive", PW_POLICY_PER_EDGE, EARLY_RECEIVE, NULL },
  { "early receive", PW_POLICY_BUFFERED, EARLY_RECEIVE, NULL },
  { "early receive", PW_POLICY_RENDEZVOUS, EARLY_RECEIVE, "rank 1" },
  { "both send", PW_POLICY_RENDEZVOUS, BOTH_SEND, "0SEND_F1" },
  { "both send", PW_POLICY_SHARED_STREAM, BOTH_SEND, "1SEND_B0" },
  { "both send", PW_POLICY_PER_EDGE, BOTH_SEND, NULL },
  { "grouped", PW_POLICY_RENDEZVOUS, GROUPED, NULL },
  { "grouped", PW_POLICY_SHARED_STREAM, GROUPED, NULL },
  { "grouped", PW_POLICY_PER_PEER, GROUPED, NULL },
  { "other order", PW_POLICY_PER_EDGE, OTHER_ORDER, "0SEND_F0" },
  { "other order", PW_POLICY_BUFFERED, OTHER_ORDER, NULL },
};

static void
test_deadlocks (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (deadlocks); i++)
    for (PwSimEngine engine = PW_SIM_ENGINE_AUTO; engine <= PW_SIM_ENGINE_EVENTS; engine++) {
      const Deadlock *row = &deadlocks[i];
      g_test_message ("%s under %s", row->name, pw_policies[row->policy].name);
      g_autoptr (Case) c = case_written (row->lists, row->policy);
      g_autoptr (GError) error = NULL;
      c->input.engine = engine;
      g_autoptr (PwSimResult) result = pw_sim_run (&c->input, &error);
      if (row->cycle == NULL) {
        g_assert_no_error (error);
        continue;
      }
      g_assert_error (error, PW_SIM_ERROR, PW_SIM_ERROR_DEADLOCK);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, row->cycle));
      g_assert_nonnull (strstr (error->message, pw_policies[row->policy].name));
    }
}

static const char *const broken[][2] = {
  { "0F0 0SEND_F0\n1F0", "0SEND_F0 has no receive" },
  { "0F0\n1RECV_F0 1F0", "1RECV_F0 has no send" },
  { "0F0 0F0 0SEND_F0\n1RECV_F0 1F0", "0F0 stands there for the second time" },
  { "0F0\n1F0", "1F0 waits for what nobody sends" },
  { "0SEND_F0\n1RECV_F0 1F0", "0SEND_F0 sends what nobody made" },
  { "0F9 0SEND_F9\n1RECV_F9 1F9", "0F9 is outside the schedule" },
};

static void
test_broken_lists (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autoptr (Case) c = case_written (broken[i][0], PW_POLICY_PER_EDGE);
    g_autoptr (GError) by_events = NULL, by_compiling = NULL;
    c->input.engine = PW_SIM_ENGINE_EVENTS;
    g_autoptr (PwSimResult) result = pw_sim_run (&c->input, &by_events);
    g_assert_error (by_events, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE);
    g_assert_nonnull (strstr (by_events->message, broken[i][1]));
    g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, &by_compiling);
    g_assert_error (by_compiling, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE);
    g_assert_nonnull (strstr (by_compiling->message, broken[i][1]));
  }
}

/* What the first walk cannot do it leaves to the compiler; only a compute that stands twice passes
 * unseen. */
static void
test_walk_refuses_broken_messages (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    if (strstr (broken[i][1], "second time") != NULL)
      continue;
    g_autoptr (Case) c = case_written (broken[i][0], PW_POLICY_PER_EDGE);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSimResult) result = pw_sim_run (&c->input, &error);
    g_assert_error (error, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE);
  }
}

/* A queue behind a slow message, by hand: transfers take 3. */
static void
test_queue_by_hand (void) {
  g_autoptr (Case) c
      = case_written ("0F0 0SEND_F0 0F1 0SEND_F1\n1RECV_F0 1F0 1RECV_F1 1F1", PW_POLICY_PER_EDGE);
  c->costs->link[0].latency_s = 3;
  static const double start[] = { 0, 1, 1, 4, 1, 4, 4, 7 };
  static const double end[] = { 1, 4, 2, 7, 4, 5, 7, 8 };
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  assert_same_bytes (result->start, start, sizeof start);
  assert_same_bytes (result->end, end, sizeof end);
  g_assert_cmpfloat (result->rank[1].idle_by_cause[PW_IDLE_DEPENDENCY], ==, 1);
  g_assert_cmpfloat (result->rank[1].idle_by_cause[PW_IDLE_TRANSFER], ==, 3 + 2);
  g_assert_cmpfloat (result->rank[1].idle_by_cause[PW_IDLE_QUEUE_HEAD], ==, 0);
  g_assert_cmpfloat (result->rank[0].idle_by_cause[PW_IDLE_BARRIER], ==, 6);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/times/equal-the-definitions-evaluated-slowly", test_equals_definitions);
  g_test_add_func ("/sim/times/engines-agree-to-the-last-bit", test_engines_agree);
  g_test_add_func ("/sim/times/retiming-equals-a-fresh-run", test_retime_equals_run);
  g_test_add_func ("/sim/times/any-order-of-messages-is-timed-or-a-deadlock",
                   test_scrambled_messages);
  g_test_add_func ("/sim/times/no-cost-raised-lowers-a-time", test_monotonic);
  g_test_add_func ("/sim/times/deadlocks-are-named-under-the-policies-that-have-them",
                   test_deadlocks);
  g_test_add_func ("/sim/times/broken-lists-are-refused", test_broken_lists);
  g_test_add_func ("/sim/times/broken-messages-are-refused-at-first-sight",
                   test_walk_refuses_broken_messages);
  g_test_add_func ("/sim/times/a-queue-by-hand", test_queue_by_hand);
  return g_test_run ();
}
