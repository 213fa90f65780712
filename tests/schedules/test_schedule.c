#include <string.h>

#include "schedules/block.h"
#include "schedules/schedule.h"
#include "schedules/stages.h"
#include "tests/schedules/reference_schedule.h"

static void
test_action_layout (void) {
  PwAction action = pw_action (PW_ACTION_RECV_BACKWARD, 65534, PW_MICROBATCHES_MAX);
  char text[PW_ACTION_TEXT_MAX];
  g_assert_cmpuint (sizeof action, ==, 8);
  g_assert_cmpuint (action.stage, ==, 65534);
  g_assert_cmpuint (action.microbatch, ==, PW_MICROBATCHES_MAX);
  g_assert_cmpuint (action.kind, ==, PW_ACTION_RECV_BACKWARD);
  g_assert_cmpint (action.paired + action.grouped + action.direction + action.edge, ==, 0);
  g_assert_cmpstr (pw_action_format (action, text), ==, "65534RECV_B16777215");
  g_assert_cmpstr (pw_action_format (pw_action (PW_ACTION_UPDATE, 3, 0), text), ==, "3U");
}

/* Two actions have the same key where, and only where, these four are the same. */
static void
test_action_keys (void) {
  gboolean seen[PW_ACTION_KEYS] = { FALSE };
  for (PwActionKind kind = 0; kind < PW_ACTION_N; kind++)
    for (int flags = 0; flags < 8; flags++) {
      PwAction plain = pw_action (kind, 0, 0), other = pw_action (kind, 65534, PW_MICROBATCHES_MAX);
      plain.direction = other.direction = flags % 2 != 0;
      plain.paired = other.paired = flags / 2 % 2 != 0;
      plain.grouped = other.grouped = flags / 4 != 0;
      other.edge = 65535;
      g_assert_cmpuint (pw_action_key (&plain), ==, pw_action_key (&other));
      g_assert_false (seen[pw_action_key (&plain)]);
      seen[pw_action_key (&plain)] = TRUE;
    }
}

/* A block that was freed may come again, one that was not may not. */
static void
test_blocks_are_apart (void) {
  enum { N = 40 };
  char *blocks[N] = { NULL };
  gsize bytes[N] = { 0 };
  for (int i = 0; i < 400; i++) {
    int at = g_test_rand_int_range (0, N);
    for (gsize k = 0; k < bytes[at]; k += 4096)
      g_assert_cmpint (blocks[at][k], ==, at);
    pw_block_free (blocks[at]);
    bytes[at] = (gsize)1 << g_test_rand_int_range (0, 24);
    blocks[at] = pw_block_new (bytes[at]);
    g_assert_cmpuint ((gsize)blocks[at] % 64, ==, 0);
    memset (blocks[at], at, bytes[at]);
  }
  for (int i = 0; i < N; i++)
    pw_block_free (blocks[i]);
}

static void
test_action_kinds_are_complete (void) {
  for (PwActionKind kind = 0; kind < PW_ACTION_N; kind++) {
    g_assert_nonnull (pw_action_kinds[kind].name);
    for (PwActionKind other = 0; other < kind; other++)
      g_assert_cmpstr (pw_action_kinds[kind].name, !=, pw_action_kinds[other].name);
  }
}

static void
test_policies_are_parsed_by_name (void) {
  PwPolicy policy;
  for (PwPolicy p = 0; p < PW_POLICY_N; p++) {
    g_assert_cmpstr (pw_policy_names[p], ==, pw_policies[p].name);
    g_assert_true (pw_policy_parse (pw_policies[p].name, &policy));
    g_assert_cmpint (policy, ==, p);
  }
  g_assert_null (pw_policy_names[PW_POLICY_N]);
  g_assert_false (pw_policy_parse ("per-rank", &policy));
}

static void
assert_ranks (PwPlacementKind kind, int direction, const int *expected) {
  g_autoptr (PwPlacement) placement = pw_placement_new (kind, 4, 8);
  g_autoptr (PwPlacement) copy = pw_placement_copy (placement);
  copy->kind = PW_PLACEMENT_CUSTOM;
  for (int stage = 0; stage < 8; stage++)
    g_assert_cmpint (pw_placement_rank (copy, direction, stage), ==, expected[stage]);
  for (int rank = 0; rank < 4; rank++)
    g_assert_cmpint (pw_placement_chunks (copy, rank), ==, 2);
  g_assert_true (pw_placement_recognise (copy));
  g_assert_cmpint (copy->kind, ==, kind);
}

static void
test_placements (void) {
  assert_ranks (PW_PLACEMENT_LOOP, 0, (int[]){ 0, 1, 2, 3, 0, 1, 2, 3 });
  assert_ranks (PW_PLACEMENT_WAVE, 0, (int[]){ 0, 1, 2, 3, 3, 2, 1, 0 });
  assert_ranks (PW_PLACEMENT_BIDIRECTIONAL, 0, (int[]){ 0, 1, 2, 3, 0, 1, 2, 3 });
  assert_ranks (PW_PLACEMENT_BIDIRECTIONAL, 1, (int[]){ 3, 2, 1, 0, 3, 2, 1, 0 });
  g_autoptr (PwPlacement) custom = pw_placement_new (PW_PLACEMENT_CUSTOM, 2, 3);
  g_assert_cmpint (pw_placement_rank (custom, 0, 2), ==, -1);
  g_assert_false (pw_placement_recognise (custom));
}

static void
test_edges_are_sorted_and_indexed (void) {
  const PwStageEdge list[] = { { 1, 3, 0 }, { 2, 3, 0 }, { 0, 3, 7 }, { 0, 1, 0 }, { 0, 3, 2 } };
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new (4, list, G_N_ELEMENTS (list));
  pw_stage_edges_add_shared (edges, (int[]){ 0, 3 }, (int[]){ 1, 9 }, 2);
  const int tensors[] = { 0, 2, 7, 0, 0 }, consumers[] = { 1, 3, 3, 3, 3 };
  for (int e = 0; e < edges->n_edges; e++) {
    g_assert_cmpint (edges->edges[e].tensor, ==, tensors[e]);
    g_assert_cmpint (edges->edges[e].consumer, ==, consumers[e]);
  }
  g_assert_cmpint (edges->in_start[3], ==, 1);
  g_assert_cmpint (edges->in_start[4], ==, 5);
  g_assert_cmpint (edges->out_start[1], ==, 3);
  g_assert_cmpint (edges->out_edges[0], ==, 0);
  g_assert_cmpint (edges->out_edges[3], ==, 3);
  g_assert_cmpint (edges->shared[0].layers[1], ==, 9);
}

static void
test_chain_edge_has_its_producers_number (void) {
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (5);
  g_assert_cmpint (edges->n_edges, ==, 4);
  for (int e = 0; e < 4; e++) {
    g_assert_cmpint (edges->edges[e].producer, ==, e);
    g_assert_cmpint (edges->edges[e].consumer, ==, e + 1);
    g_assert_cmpint (edges->out_edges[edges->out_start[e]], ==, e);
    g_assert_cmpint (edges->in_edges[edges->in_start[e + 1]], ==, e);
  }
  g_autoptr (PwStageEdges) single = pw_stage_edges_new_chain (1);
  g_assert_cmpint (single->n_edges, ==, 0);
}

/* One rank, endless 1F1B: F0 | F1 B0 ... | B last. */
static PwSchedule *
new_endless (int repeats) {
  PwSchedule *s
      = pw_schedule_new ("endless", pw_placement_new (PW_PLACEMENT_LOOP, 1, 1), repeats + 1);
  PwAction *list = g_new (PwAction, 4);
  list[0] = pw_action (PW_ACTION_FORWARD, 0, 0);
  list[1] = pw_action (PW_ACTION_FORWARD, 0, 1);
  list[2] = pw_action (PW_ACTION_BACKWARD, 0, 0);
  list[3] = pw_action (PW_ACTION_BACKWARD, 0, repeats);
  pw_schedule_take_list (s, 0, list, 4);
  s->programs[0] = (PwProgram){
    .actions = list, .n_prologue = 1, .n_body = 2, .n_epilogue = 1, .repeats = repeats, .shift = 1
  };
  return s;
}

static void
test_unroll_repeats_the_body (void) {
  for (int iterations = 1; iterations <= 3; iterations++) {
    g_autoptr (PwSchedule) endless = new_endless (3);
    g_autoptr (PwSchedule) plain = pw_schedule_unroll (endless, iterations, NULL);
    int M = 4 * iterations;
    const PwAction *list = plain->programs[0].actions;
    g_assert_cmpint (plain->microbatches, ==, M);
    g_assert_cmpint (pw_program_length (&plain->programs[0]), ==, 2 * M);
    g_assert_cmpint (pw_schedule_count_actions (plain), ==, 2 * M);
    for (unsigned m = 0; m + 1 < (unsigned)M; m++) {
      g_assert_cmpuint (list[1 + 2 * m].microbatch, ==, m + 1);
      g_assert_cmpuint (list[2 + 2 * m].microbatch, ==, m);
    }
    g_assert_cmpint (list[2 * M - 1].microbatch, ==, M - 1);
    g_assert_cmpint (pw_schedule_count_actions (endless), ==, 8);
  }
}

static void
test_unroll_repeats_a_plain_iteration (void) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = 2;
  params.microbatches = 3;
  g_autoptr (PwSchedule) once = pw_schedule_generate ("1f1b", &params, NULL);
  g_autoptr (PwSchedule) same = pw_schedule_unroll (once, 1, NULL);
  g_autoptr (PwSchedule) thrice = pw_schedule_unroll (once, 3, NULL);
  g_assert_true (reference_same_lists (once, same));
  g_assert_cmpint (thrice->microbatches, ==, 9);
  for (int rank = 0; rank < 2; rank++)
    for (int i = 0; i < 18; i++) {
      PwAction a = thrice->programs[rank].actions[i], b = once->programs[rank].actions[i % 6];
      g_assert_cmpuint (a.microbatch, ==, b.microbatch + 3u * (unsigned)(i / 6));
      g_assert_cmpuint (a.kind, ==, b.kind);
    }
}

static void
test_unroll_refuses_what_it_cannot_number (void) {
  g_autoptr (PwSchedule) endless = new_endless (3);
  const int64_t bad[] = { 0, -1, PW_MICROBATCHES_MAX, G_MAXINT64 };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_schedule_unroll (endless, bad[i], &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
  }
  g_autoptr (GError) error = NULL;
  endless->programs[0].shift = 3;
  g_assert_null (pw_schedule_unroll (endless, 2, &error));
  g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
}

static void
test_copy_is_equal_and_apart (void) {
  g_autoptr (PwSchedule) endless = new_endless (5);
  g_autoptr (PwSchedule) copy = pw_schedule_copy (endless);
  g_assert_cmpint (copy->programs[0].n_body, ==, 2);
  g_assert_true (copy->programs[0].actions != endless->programs[0].actions);
  for (int i = 0; i < 4; i++)
    g_assert_true (pw_action_equal (copy->programs[0].actions[i], endless->programs[0].actions[i]));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/action/fits-64-bits", test_action_layout);
  g_test_add_func ("/schedules/action/key-is-kind-direction-and-flags", test_action_keys);
  g_test_add_func ("/schedules/block/those-in-use-are-apart", test_blocks_are_apart);
  g_test_add_func ("/schedules/action/every-kind-has-its-own-name", test_action_kinds_are_complete);
  g_test_add_func ("/schedules/policy/is-parsed-by-name", test_policies_are_parsed_by_name);
  g_test_add_func ("/schedules/placement/kinds-are-as-drawn", test_placements);
  g_test_add_func ("/schedules/stages/edges-are-sorted-and-indexed",
                   test_edges_are_sorted_and_indexed);
  g_test_add_func ("/schedules/stages/chain-edge-has-its-producers-number",
                   test_chain_edge_has_its_producers_number);
  g_test_add_func ("/schedules/schedule/unroll-repeats-the-body", test_unroll_repeats_the_body);
  g_test_add_func ("/schedules/schedule/unroll-repeats-a-plain-iteration",
                   test_unroll_repeats_a_plain_iteration);
  g_test_add_func ("/schedules/schedule/unroll-refuses-what-it-cannot-number",
                   test_unroll_refuses_what_it_cannot_number);
  g_test_add_func ("/schedules/schedule/copy-is-equal-and-apart", test_copy_is_equal_and_apart);
  return g_test_run ();
}
