/* Where rounds repeat the walk carries them out at once: with the results of the engines that take
 * every action by itself, to the last bit. */
#include "cases.h"

static PwSchedule *
generate (const PwScheduleType *type, int ranks, int microbatches) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  g_autoptr (PwSchedule) schedule = pw_schedule_generate (type->name, &params, NULL);
  return schedule != NULL ? pw_schedule_unroll (schedule, 1, NULL) : NULL;
}

static void
assert_like_engines (const Case *c) {
  g_autoptr (PwSimResult) walked = run_with (c, PW_SIM_ENGINE_AUTO);
  g_autoptr (PwSimResult) compiled = run_with (c, PW_SIM_ENGINE_COMPILED);
  g_assert_nonnull (walked);
  g_assert_nonnull (compiled);
  assert_same_results (walked, compiled);
  if (walked->offset[walked->ranks] > 20000)
    return;
  g_autoptr (PwSimResult) events = run_with (c, PW_SIM_ENGINE_EVENTS);
  assert_same_results (walked, events);
}

static PwLowerOptions
any_options (void) {
  return (PwLowerOptions){ .policy = g_test_rand_bit () ? PW_POLICY_BUFFERED : PW_POLICY_PER_EDGE,
                           .recompute = g_test_rand_int_range (0, 3),
                           .updates = g_test_rand_bit () };
}

/* Takes SCHEDULE and EDGES. */
static void
assert_any_costs (PwSchedule *schedule, PwStageEdges *edges) {
  PwLowerOptions options = any_options ();
  g_autoptr (Case) c = case_lowered (schedule, edges, &options);
  c->input.weight_memory = g_test_rand_bit () ? 0.5 : 0.3;
  assert_like_engines (c); /* all is instant */
  costs_randomise (c->costs, g_test_rand_bit ());
  assert_like_engines (c);
  costs_randomise_ranks (c->costs, c->lowered->ranks);
  assert_like_engines (c);
  c->input.iterations = 2;
  assert_like_engines (c);
  c->input.iterations = 1;
  costs_randomise_factor (c->costs, c->lowered->microbatches);
  assert_like_engines (c);
}

static void
test_registry (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    int accepted = 0;
    for (int P = 1; P <= 5; P++)
      for (int M = 2 * P; M <= 40 * P; M += 7 * P + g_test_rand_int_range (0, 2)) {
        PwSchedule *schedule = generate (*type, P, M);
        if (schedule == NULL)
          continue;
        accepted++;
        assert_any_costs (schedule, pw_stage_edges_new_chain (schedule->stages));
      }
    g_assert_cmpint (accepted, >, 0);
  }
}

static void
test_skips (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int i = 0; i < 20; i++) {
      PwSchedule *schedule = generate (*type, g_test_rand_int_range (2, 6), 120);
      if (schedule != NULL)
        assert_any_costs (schedule, edges_random (schedule->stages));
    }
}

/* What the first stage sends the last one takes as many rounds later as there are ranks. */
static void
test_far_skips (void) {
  for (int P = 8; P <= 64; P += 8) {
    PwSchedule *schedule = generate (pw_schedule_get ("1f1b"), P, 6 * P);
    g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (PwStageEdge));
    for (int s = 0; s + 1 < P; s++) {
      PwStageEdge edge = { .producer = s, .consumer = s + 1, .tensor = s + 1 };
      g_array_append_val (list, edge);
    }
    PwStageEdge skip = { .producer = 0, .consumer = P - 1 };
    g_array_append_val (list, skip);
    assert_any_costs (schedule, pw_stage_edges_new (P, (const PwStageEdge *)(gpointer)list->data,
                                                    (int)list->len));
  }
}

static gboolean
is_message (const PwAction *action) {
  return action->kind >= PW_ACTION_SEND_FORWARD && action->kind <= PW_ACTION_RECV_BACKWARD;
}

/* Moves one message of some rank's lowered list forward, or one of every few; some are there twice
 * then, in another's place. */
static void
move_messages (PwSchedule *lowered) {
  PwProgram *program = &lowered->programs[g_test_rand_int_range (0, lowered->ranks)];
  gint32 n = (gint32)program->n_prologue;
  int apart = g_test_rand_int_range (1, 7), step = g_test_rand_int_range (2, 13);
  if (n < 30)
    return;
  gboolean once = g_test_rand_bit (), twice = g_test_rand_int_range (0, 4) == 0;
  for (gint32 at = g_test_rand_int_range (apart, n); at < n; at += once ? n : step)
    if (is_message (&program->actions[at])) {
      PwAction action = program->actions[at];
      if (!twice || !is_message (&program->actions[at - apart]))
        program->actions[at] = program->actions[at - apart];
      program->actions[at - apart] = action;
    }
}

/* Both refuse it, or both have the same results. */
static gboolean
runs_as_compiled (Case *c) {
  c->input.engine = PW_SIM_ENGINE_COMPILED;
  g_autoptr (PwSimResult) compiled = pw_sim_run (&c->input, NULL);
  c->input.engine = PW_SIM_ENGINE_AUTO;
  g_autoptr (PwSimResult) walked = pw_sim_run (&c->input, NULL);
  g_assert_true ((compiled == NULL) == (walked == NULL));
  if (walked != NULL)
    assert_same_results (walked, compiled);
  return walked != NULL;
}

/* Whatever is wrong with them the engines say of them; what is not wrong has their results. */
static void
test_moved (void) {
  int run = 0, refused = 0;
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int i = 0; i < 120; i++) {
      PwSchedule *schedule = generate (*type, g_test_rand_int_range (2, 6), 120);
      if (schedule == NULL)
        continue;
      PwLowerOptions options = any_options ();
      PwStageEdges *edges = pw_stage_edges_new_chain (schedule->stages);
      g_autoptr (Case) c = case_lowered (schedule, edges, &options);
      costs_randomise (c->costs, TRUE);
      for (int moves = g_test_rand_int_range (1, 4); moves > 0; moves--)
        move_messages (c->lowered);
      if (runs_as_compiled (c))
        run++;
      else
        refused++;
    }
  g_assert_cmpint (run, >, 50);
  g_assert_cmpint (refused, >, 20);
}

/* Every second message is received before the first: no queue gives them out so. */
static void
test_order (void) {
  for (int queued = 0; queued < 2; queued++) {
    g_autoptr (Case) c = case_named ("forward-only", 2, 400, 1, 0, 0.25,
                                     queued ? PW_POLICY_PER_EDGE : PW_POLICY_BUFFERED);
    PwProgram *program = &c->lowered->programs[1];
    for (uint32_t m = 0, at = 0; m < 400; m += 2)
      for (int i = 0; i < 4; i++) {
        PwAction action = pw_action (i < 2 ? PW_ACTION_RECV_FORWARD : PW_ACTION_FORWARD, 1,
                                     m + (i == 0 || i == 3));
        if (i < 2)
          action.edge = program->actions[0].edge;
        program->actions[at++] = action;
      }
    g_assert_true (runs_as_compiled (c) == !queued);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/rounds/every-schedule-as-the-engines-have-it", test_registry);
  g_test_add_func ("/sim/rounds/with-skips-too", test_skips);
  g_test_add_func ("/sim/rounds/with-skips-over-all-ranks", test_far_skips);
  g_test_add_func ("/sim/rounds/so-are-moved-messages", test_moved);
  g_test_add_func ("/sim/rounds/no-queue-mixes-messages-up", test_order);
  return g_test_run ();
}
