#include "cases.h"

#include <math.h>
#include <string.h>

#include "reference.h"
#include "sim/link_private.h"

static void
test_share (void) {
  static const struct {
    int n;
    double limit[3], capacity, rate[3];
  } rows[] = {
    { 1, { 5 }, 5, { 5 } },
    { 2, { 6, 6 }, 6, { 3, 3 } },
    { 3, { 1, 5, 8 }, 9, { 1, 4, 4 } },
    { 3, { 1, 2, 8 }, 9, { 1, 2, 6 } },
    { 2, { 1, 2 }, 9, { 1, 2 } },
    { 3, { 2, 2, 2 }, 6, { 2, 2, 2 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwLinkFlow flows[3];
    PwLinkResource link = { .capacity = rows[i].capacity };
    for (int k = 0; k < rows[i].n; k++)
      flows[k] = (PwLinkFlow){ .limit = rows[i].limit[k], .n = 1 };
    pw__link_share (flows, rows[i].n, &link, 1);
    for (int k = 0; k < rows[i].n; k++)
      g_assert_cmpfloat (flows[k].rate, ==, rows[i].rate[k]);
  }
}

/* Ports of capacity 12: A from 0 to 1, B from 0 to 2, C from 3 to 2, D from 3 to 2. Into 2 go three
 * flows, 4 each; A has what B leaves at 0. */
static void
test_share_ports (void) {
  enum { OUT_0, OUT_3, IN_1, IN_2, N };
  PwLinkFlow flows[] = {
    { .limit = 12, .n = 2, .resources = { OUT_0, IN_1 } },
    { .limit = 12, .n = 2, .resources = { OUT_0, IN_2 } },
    { .limit = 12, .n = 2, .resources = { OUT_3, IN_2 } },
    { .limit = 12, .n = 2, .resources = { OUT_3, IN_2 } },
    { .limit = 7 },
  };
  static const double rates[] = { 8, 4, 4, 4, 7 };
  PwLinkResource ports[N];
  for (int r = 0; r < N; r++)
    ports[r] = (PwLinkResource){ .capacity = 12 };
  pw__link_share (flows, G_N_ELEMENTS (flows), ports, N);
  for (gsize i = 0; i < G_N_ELEMENTS (flows); i++)
    g_assert_cmpfloat (flows[i].rate, ==, rates[i]);
}

static void
share_links (Case *c, PwLinkSharing sharing) {
  for (int e = 0; e < c->costs->n_edges; e++)
    c->costs->link[e].sharing = sharing;
}

/* Every pair of ranks and direction sees one transfer at a time under these, so who shares makes no
 * difference. */
static void
test_alone_is_own (void) {
  static const char *const names[] = { "naive", "gpipe", "1f1b" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (int P = 1; P <= 5; P++) {
      g_autoptr (Case) c = case_named (names[i], P, 2 * P, 1, 2, 0.3, PW_POLICY_PER_EDGE);
      for (int e = 0; e < c->costs->n_edges; e++) {
        c->costs->message_bytes[e] = 7;
        c->costs->link[e].bandwidth = 30;
      }
      g_autoptr (PwSimResult) own = run_with (c, PW_SIM_ENGINE_AUTO);
      share_links (c, PW_LINK_FCFS);
      g_autoptr (PwSimResult) in_turn = run_with (c, PW_SIM_ENGINE_AUTO);
      assert_same_results (own, in_turn);
      share_links (c, PW_LINK_FAIR);
      g_autoptr (PwSimResult) fair = run_with (c, PW_SIM_ENGINE_AUTO);
      for (int64_t id = 0; id < own->offset[P]; id++)
        g_assert_cmpfloat_with_epsilon (fair->end[id], own->end[id], 1e-9);
    }
}

/* Two edges between the same ranks, 0 -> 1 and 0 -> 2 with stages 1 and 2 on rank 1: both messages
 * are ready at 1. */
static Case *
two_messages (PwLinkSharing sharing) {
  static const PwStageEdge list[]
      = { { .producer = 0, .consumer = 1 }, { .producer = 0, .consumer = 2 } };
  Case *c = g_new0 (Case, 1);
  c->edges = pw_stage_edges_new (3, list, 2);
  PwPlacement *placement = pw_placement_new_custom (2, 3, 1);
  placement->rank_of_stage[0] = 0;
  placement->rank_of_stage[1] = placement->rank_of_stage[2] = 1;
  g_autoptr (PwSchedule) compute = pw_schedule_new ("two", placement, 1);
  compute->mode = PW_MODE_INFERENCE;
  PwAction *first = g_new (PwAction, 1), *second = g_new (PwAction, 2);
  first[0] = pw_action (PW_ACTION_FORWARD, 0, 0);
  second[0] = pw_action (PW_ACTION_FORWARD, 1, 0);
  second[1] = pw_action (PW_ACTION_FORWARD, 2, 0);
  pw_schedule_take_list (compute, 0, first, 1);
  pw_schedule_take_list (compute, 1, second, 2);
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
  c->lowered = pw_schedule_lower (compute, c->edges, &options, NULL);
  c->costs = pw_stage_costs_new (3, c->edges);
  for (int s = 0; s < 3; s++)
    c->costs->stage[s].forward = 1;
  for (int e = 0; e < 2; e++) {
    c->costs->link[e] = (PwLink){ .latency_s = 0.5, .bandwidth = 10, .sharing = sharing };
    c->costs->message_bytes[e] = 20 + 10 * e;
  }
  pw_sim_input_init (&c->input);
  c->input.schedule = c->lowered;
  c->input.edges = c->edges;
  c->input.costs = c->costs;
  return c;
}

static void
assert_transfers (PwLinkSharing sharing, double end_0, double end_1) {
  g_autoptr (Case) c = two_messages (sharing);
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  const PwProgram *program = &c->lowered->programs[0];
  double end[2] = { 0 };
  for (int64_t i = 0; i < program->n_prologue; i++)
    if (pw_action_kinds[program->actions[i].kind].is_send)
      end[program->actions[i].edge] = result->end[i];
  g_assert_cmpfloat_with_epsilon (end[0], end_0, 1e-9);
  g_assert_cmpfloat_with_epsilon (end[1], end_1, 1e-9);
  g_assert_cmpfloat_with_epsilon (result->total_time, MAX (MAX (end_0, 1) + 1, end_1) + 1, 1e-9);
}

/* 20 and 30 bytes at 10 a second, latency 0.5, both ready at 1. Alone: 2.5 and 3.5 long. In turn:
 * one after the other. Fair: 5 a second each until 20 have gone, then 10 for the last 10. */
static void
test_two_messages (void) {
  assert_transfers (PW_LINK_OWN, 3.5, 4.5);
  assert_transfers (PW_LINK_FCFS, 3.5, 7);
  assert_transfers (PW_LINK_FAIR, 1.5 + 4, 1.5 + 4 + 1);
}

/* Sharing never makes anything earlier than a link of one's own would, nor breaks what waits. */
static void
test_sharing_is_never_faster (void) {
  for (int i = 0; i < 150; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, FALSE);
    for (int e = 0; e < c->costs->n_edges; e++)
      c->costs->link[e].bandwidth = 50;
    g_autoptr (PwSimResult) own = run_with (c, PW_SIM_ENGINE_AUTO);
    for (PwLinkSharing sharing = PW_LINK_FCFS; sharing <= PW_LINK_FAIR; sharing++) {
      share_links (c, sharing);
      g_autoptr (PwSimResult) shared = run_with (c, PW_SIM_ENGINE_AUTO);
      for (int64_t id = 0; id < own->offset[own->ranks]; id++)
        g_assert_cmpfloat (shared->end[id], >=, own->end[id] - 1e-9);
    }
  }
}

/* One channel per pair of ranks and direction: a chain over ranks of one stage each. */
static void
test_fair_alone_on_random_chains (void) {
  for (int i = 0; i < 100; i++) {
    g_autoptr (Case) c = case_named (i % 2 ? "1f1b" : "gpipe", g_test_rand_int_range (1, 6),
                                     g_test_rand_int_range (1, 9), 1, 1, 0, PW_POLICY_PER_EDGE);
    costs_randomise (c->costs, FALSE);
    g_autoptr (PwSimResult) own = run_with (c, PW_SIM_ENGINE_AUTO);
    share_links (c, PW_LINK_FAIR);
    g_autoptr (PwSimResult) fair = run_with (c, PW_SIM_ENGINE_AUTO);
    for (int64_t id = 0; id < own->offset[own->ranks]; id++) {
      g_assert_cmpfloat_with_epsilon (fair->start[id], own->start[id], 1e-9);
      g_assert_cmpfloat_with_epsilon (fair->end[id], own->end[id], 1e-9);
    }
  }
}

/* Many equal times, so that who is first among equals is tried, too. */
static Case *
shared_at_random (PwLinkSharing sharing, gboolean quarters) {
  Case *c = g_test_rand_bit () ? case_random () : case_scrambled ();
  costs_randomise (c->costs, quarters);
  if (g_test_rand_bit () && c->lowered->policy != PW_POLICY_BUFFERED && !c->lowered->batched)
    c->lowered->policy = PW_POLICY_PER_EDGE;
  share_links (c, sharing);
  return c;
}

static void
test_engines_agree (void) {
  for (int i = 0; i < 1000; i++) {
    g_autoptr (Case) c
        = shared_at_random (i % 2 ? PW_LINK_FCFS : PW_LINK_FAIR, g_test_rand_bit () != 0);
    PwSimInput input = c->input;
    g_autoptr (PwSimResult) first = pw_sim_run (&input, NULL);
    input.engine = PW_SIM_ENGINE_EVENTS;
    g_autoptr (PwSimResult) events = pw_sim_run (&input, NULL);
    g_assert_true ((first == NULL) == (events == NULL));
    if (first != NULL)
      assert_same_results (first, events);
  }
}

/* Rank 0: F0 SEND_A F2 SEND_C, rank 1: F1 SEND_B F3; A goes from stage 0 to 1, B from 1 to 2, C
 * from 0 to 3. A and C are ready at once and share the link, though C's SEND stands behind F2,
 * which waits for B and so for A. */
static void
test_late_in_list (void) {
  static const PwStageEdge list[] = { { .producer = 0, .consumer = 1 },
                                      { .producer = 1, .consumer = 2 },
                                      { .producer = 0, .consumer = 3 } };
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new (4, list, 3);
  PwPlacement *placement = pw_placement_new_custom (2, 4, 1);
  for (int s = 0; s < 4; s++)
    placement->rank_of_stage[s] = s % 2;
  g_autoptr (PwSchedule) compute = pw_schedule_new ("late", placement, 1);
  compute->mode = PW_MODE_INFERENCE;
  for (int rank = 0; rank < 2; rank++) {
    PwAction *actions = g_new (PwAction, 2);
    for (int i = 0; i < 2; i++)
      actions[i] = pw_action (PW_ACTION_FORWARD, 2 * i + rank, 0);
    pw_schedule_take_list (compute, rank, actions, 2);
  }
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, edges, &options, NULL);
  PwProgram *program = &lowered->programs[0];
  PwAction late = program->actions[2];
  g_assert_cmpint (late.kind, ==, PW_ACTION_SEND_FORWARD);
  for (int64_t i = 2; i + 1 < program->n_prologue; i++)
    program->actions[i] = program->actions[i + 1];
  program->actions[program->n_prologue - 1] = late;
  g_autoptr (PwStageCosts) costs = pw_stage_costs_new (4, edges);
  for (int s = 0; s < 4; s++)
    costs->stage[s].forward = 1;
  for (int e = 0; e < 3; e++) {
    costs->link[e] = (PwLink){ .bandwidth = 10, .sharing = PW_LINK_FAIR };
    costs->message_bytes[e] = 20;
  }
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = edges;
  input.costs = costs;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, NULL);
  input.engine = PW_SIM_ENGINE_EVENTS;
  g_autoptr (PwSimResult) events = pw_sim_run (&input, NULL);
  assert_same_results (result, events);
  g_assert_cmpfloat_with_epsilon (result->end[1], 1 + 4, 1e-9);
  g_assert_cmpfloat_with_epsilon (result->end[program->n_prologue - 1], 1 + 4, 1e-9);
}

/* What one transfer waits for, by the definitions. */
typedef struct {
  int64_t link, id;
  double ready, start, end, duration;
} Transfer;

static int
compare_transfers (const void *a, const void *b) {
  const Transfer *x = a, *y = b;
  if (x->link != y->link)
    return x->link < y->link ? -1 : 1;
  if (x->ready < y->ready || x->ready > y->ready)
    return x->ready < y->ready ? -1 : 1;
  return x->id < y->id ? -1 : 1;
}

static gboolean
made_by (PwAction send, PwAction compute) {
  gboolean forward = send.kind == PW_ACTION_SEND_FORWARD;
  return compute.stage == send.stage && compute.microbatch == send.microbatch
         && compute.direction == send.direction
         && (forward
                 ? compute.kind == PW_ACTION_FORWARD
                 : compute.kind == PW_ACTION_BACKWARD || compute.kind == PW_ACTION_INPUT_GRADIENT);
}

/* Everything before it in its list: its maker, and the last message of its channel. */
static Transfer
describe_transfer (const Case *c, const PwSimResult *result, int rank, int64_t index) {
  const PwSchedule *schedule = c->lowered;
  const PwAction *list = schedule->programs[rank].actions;
  PwAction send = list[index];
  const PwStageEdge *edge = &c->edges->edges[send.edge];
  int to = (int)send.stage == edge->producer ? edge->consumer : edge->producer;
  int peer = pw_placement_rank (schedule->placement, send.direction, to);
  const double *end = result->end + result->offset[rank];
  Transfer transfer = { .link = (int64_t)rank * schedule->ranks + peer,
                        .id = result->offset[rank] + index,
                        .start = result->start[result->offset[rank] + index],
                        .end = end[index],
                        .duration = reference_duration (c, rank, index) };
  for (int64_t i = 0; i < index; i++)
    if (made_by (send, list[i])
        || (schedule->policy == PW_POLICY_PER_EDGE && list[i].kind == send.kind
            && list[i].edge == send.edge && list[i].direction == send.direction))
      transfer.ready = MAX (transfer.ready, end[i]);
  return transfer;
}

/* First come, first served: by the order in which they could start, each when its link is free. */
static void
test_in_turn (void) {
  for (int i = 0; i < 400; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, i % 2 == 0);
    if (c->lowered->batched)
      continue;
    c->lowered->policy = i % 4 < 2 ? PW_POLICY_PER_EDGE : PW_POLICY_BUFFERED;
    share_links (c, PW_LINK_FCFS);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (GArray) transfers = g_array_new (FALSE, FALSE, sizeof (Transfer));
    for (int rank = 0; rank < c->lowered->ranks; rank++)
      for (int64_t k = 0; k < c->lowered->programs[rank].n_prologue; k++)
        if (pw_action_kinds[c->lowered->programs[rank].actions[k].kind].is_send) {
          Transfer transfer = describe_transfer (c, result, rank, k);
          g_array_append_val (transfers, transfer);
        }
    g_array_sort (transfers, compare_transfers);
    for (guint k = 0; k < transfers->len; k++) {
      const Transfer *transfer = &g_array_index (transfers, Transfer, k);
      double start = transfer->ready;
      if (k > 0 && transfer[-1].link == transfer->link)
        start = MAX (start, transfer[-1].end);
      g_assert_cmpfloat (transfer->start, ==, start);
      g_assert_cmpfloat (transfer->end, ==, start + transfer->duration);
    }
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/links/rates-are-max-min-fair", test_share);
  g_test_add_func ("/sim/links/what-a-full-port-leaves-goes-to-others", test_share_ports);
  g_test_add_func ("/sim/links/alone-on-a-link-is-a-link-of-one-s-own", test_alone_is_own);
  g_test_add_func ("/sim/links/two-messages-by-hand", test_two_messages);
  g_test_add_func ("/sim/links/sharing-is-never-faster", test_sharing_is_never_faster);
  g_test_add_func ("/sim/links/fair-alone-equals-own", test_fair_alone_on_random_chains);
  g_test_add_func ("/sim/links/engines-agree-where-links-are-shared", test_engines_agree);
  g_test_add_func ("/sim/links/shared-from-when-it-is-made-wherever-it-stands", test_late_in_list);
  g_test_add_func ("/sim/links/in-turn-is-in-the-order-in-which-they-could-start", test_in_turn);
  return g_test_run ();
}
