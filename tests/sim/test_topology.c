/* Messages that share ports, buses, links and cards, and computes that pay for them: against the
 * slow reference, against each other, and by hand. */
#include <math.h>
#include <string.h>

#include "cases.h"
#include "shared_reference.h"

/* Any schedule, policy and topology. */
static Case *
case_on_topology (PwLinkSharing sharing, gboolean quarters) {
  Case *c = case_random ();
  costs_randomise (c->costs, quarters);
  costs_randomise_topology (c->costs, sharing, quarters);
  if (g_test_rand_int_range (0, 4) == 0)
    c->costs->topology->ranks_per_node = 0;
  return c;
}

static void
assert_is_reference (const Case *c, double tolerance) {
  g_autoptr (Reference) reference = shared_reference_run (c);
  g_assert_nonnull (reference);
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  g_assert_cmpint (reference->n, ==, result->offset[result->ranks]);
  for (int64_t id = 0; id < reference->n; id++) {
    double scale = MAX (reference->end[id], 1);
    g_assert_cmpfloat (fabs (reference->start[id] - result->start[id]), <=, tolerance * scale);
    g_assert_cmpfloat (fabs (reference->end[id] - result->end[id]), <=, tolerance * scale);
  }
}

/* Sums of quarters have no rounding, so even who is first among equals must be the same. */
static void
test_reference_in_turn (void) {
  for (int i = 0; i < 1500; i++) {
    g_autoptr (Case) c = case_on_topology (i % 3 ? PW_LINK_FCFS : PW_LINK_OWN, TRUE);
    assert_is_reference (c, 0);
  }
}

/* Computes that pay for communication end alike, but for their rounding, where they do alike: who
 * is first in line then hangs on the last bit. Quarters have none, so that is left to them. */
static void
test_reference_random_times (void) {
  for (int i = 0; i < 500; i++) {
    g_autoptr (Case) c = case_on_topology (i % 3 ? PW_LINK_FCFS : PW_LINK_OWN, FALSE);
    if (i % 3)
      c->costs->topology->compute_slowdown = 0;
    assert_is_reference (c, c->costs->topology->compute_slowdown > 1 ? 1e-9 : 0);
  }
}

static void
test_reference_fair (void) {
  for (int i = 0; i < 1500; i++) {
    g_autoptr (Case) c = case_on_topology (PW_LINK_FAIR, i % 2 == 0);
    assert_is_reference (c, 1e-9);
  }
}

static void
test_engines_agree (void) {
  for (int i = 0; i < 1500; i++) {
    g_autoptr (Case) c = case_on_topology ((PwLinkSharing)(i % 3), g_test_rand_bit () != 0);
    g_autoptr (PwSimResult) first = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (PwSimResult) events = run_with (c, PW_SIM_ENGINE_EVENTS);
    assert_same_results (first, events);
    if (i % 3 != PW_LINK_OWN || c->costs->topology->compute_slowdown > 1)
      continue;
    g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
    g_autoptr (PwSimResult) compiled = pw_sim_program_result (program);
    assert_same_results (compiled, events);
  }
}

/* A topology that says nothing changes nothing, not even a bit. */
static void
test_plain_topology (void) {
  for (int i = 0; i < 200; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, FALSE);
    PwLinkSharing sharing = (PwLinkSharing)(i % 3);
    for (int e = 0; e < c->costs->n_edges; e++)
      c->costs->link[e].sharing = sharing;
    g_autoptr (PwSimResult) plain = run_with (c, PW_SIM_ENGINE_AUTO);
    PwTopology topology = { .compute_slowdown = i % 2 };
    c->costs->topology = g_memdup2 (&topology, sizeof topology);
    g_autoptr (PwSimResult) same = run_with (c, PW_SIM_ENGINE_AUTO);
    assert_same_results (plain, same);
  }
}

/* What a message took and when. */
typedef struct {
  PwPath path;
  double start, end, alone, bytes;
} Trip;

static GArray *
list_trips (const Case *c, const PwSimResult *result) {
  GArray *trips = g_array_new (FALSE, FALSE, sizeof (Trip));
  for (int rank = 0; rank < c->lowered->ranks; rank++)
    for (int64_t i = 0; i < c->lowered->programs[rank].n_prologue; i++) {
      PwAction action = c->lowered->programs[rank].actions[i];
      if (!pw_action_kinds[action.kind].is_send)
        continue;
      int64_t id = result->offset[rank] + i;
      Trip trip = { .path = reference_path (c, action),
                    .start = result->start[id],
                    .end = result->end[id],
                    .alone = reference_duration (c, rank, i),
                    .bytes = (double)c->costs->message_bytes[action.edge] };
      g_array_append_val (trips, trip);
    }
  return trips;
}

/* What went wholly within [FROM, TO], latency aside, fits through every resource. */
static void
assert_fits (const Case *c, const GArray *trips, const PwResource *resource, double from,
             double to) {
  double bytes = 0, capacity = shared_reference_capacity (c, resource);
  if (to <= from)
    return;
  for (guint i = 0; i < trips->len; i++) {
    const Trip *trip = &g_array_index (trips, Trip, i);
    for (int r = 0; r < trip->path.n; r++) {
      if (!pw_resource_is_same (&trip->path.resources[r], resource))
        continue;
      if (trip->start + trip->path.latency_s >= from - 1e-9 && trip->end <= to)
        bytes += trip->bytes;
    }
  }
  g_assert_cmpfloat (bytes, <=, capacity * (to - from) * (1 + 1e-9) + 1e-6);
}

static void
assert_apart (const Trip *a, const Trip *b) {
  for (int r = 0; r < a->path.n; r++)
    for (int q = 0; q < b->path.n; q++)
      if (a->path.resources[r].sharing == PW_LINK_FCFS
          && pw_resource_is_same (&a->path.resources[r], &b->path.resources[q]))
        g_assert_true (a->end <= b->start || b->end <= a->start || a->end <= a->start
                       || b->end <= b->start);
}

static void
assert_ranks_in_order (const Case *c, const PwSimResult *result) {
  for (int rank = 0; rank < result->ranks; rank++) {
    double clock = 0;
    for (int64_t i = 0; i < c->lowered->programs[rank].n_prologue; i++) {
      int64_t id = result->offset[rank] + i;
      if (!pw_action_kinds[c->lowered->programs[rank].actions[i].kind].is_compute)
        continue;
      gboolean is_second = i > 0 && c->lowered->programs[rank].actions[i - 1].paired;
      g_assert_true (result->start[id] >= clock || is_second);
      clock = MAX (clock, result->end[id]);
    }
  }
  assert_idle_adds_up (result);
}

static void
test_invariants (void) {
  for (int i = 0; i < 250; i++) {
    g_autoptr (Case) c = case_on_topology (i % 2 ? PW_LINK_FAIR : PW_LINK_FCFS, FALSE);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (GArray) trips = list_trips (c, result);
    assert_ranks_in_order (c, result);
    for (guint a = 0; a < trips->len; a++) {
      const Trip *trip = &g_array_index (trips, Trip, a);
      g_assert_cmpfloat (trip->end - trip->start, >=, trip->alone - 1e-9 * (1 + trip->end));
      for (guint b = 0; b < a; b++)
        assert_apart (trip, &g_array_index (trips, Trip, b));
      for (guint b = 0; b < trips->len; b += 3)
        for (int r = 0; r < trip->path.n; r++)
          if (trip->path.resources[r].sharing == PW_LINK_FAIR)
            assert_fits (c, trips, &trip->path.resources[r], trip->start + trip->path.latency_s,
                         g_array_index (trips, Trip, b).end);
    }
  }
}

/* What is said of each resource is the sum over the trips that take it. */
static void
test_resource_use (void) {
  for (int i = 0; i < 200; i++) {
    g_autoptr (Case) c = case_on_topology ((PwLinkSharing)(i % 3), FALSE);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autoptr (GArray) trips = list_trips (c, result);
    g_autoptr (GArray) uses = pw_sim_resource_use (&c->input, result);
    double last = INFINITY, epsilon = 1e-9 * (1 + result->total_time);
    int64_t taken = 0;
    for (guint u = 0; u < uses->len; u++) {
      const PwSimResourceUse *use = &g_array_index (uses, PwSimResourceUse, u);
      double bytes = 0, time = 0, longest = 0;
      int64_t messages = 0;
      for (guint t = 0; t < trips->len; t++) {
        const Trip *trip = &g_array_index (trips, Trip, t);
        for (int r = 0; r < trip->path.n; r++)
          if (pw_resource_is_same (&trip->path.resources[r], &use->resource)) {
            messages++;
            bytes += trip->bytes;
            time += trip->end - trip->start;
            longest = MAX (longest, trip->end - trip->start);
          }
      }
      taken += messages;
      g_assert_cmpint (use->messages, ==, messages);
      g_assert_cmpfloat_with_epsilon (use->bytes, bytes, 1e-6);
      g_assert_cmpfloat (use->busy_time, <=, MIN (time, result->total_time) + epsilon);
      g_assert_cmpfloat (use->busy_time, >=, longest - epsilon);
      if (use->resource.sharing == PW_LINK_FCFS)
        g_assert_cmpfloat_with_epsilon (use->busy_time, time, epsilon);
      if (use->resource.sharing != PW_LINK_OWN)
        g_assert_cmpfloat (use->bytes, <=,
                           use->resource.capacity * (use->busy_time + epsilon) + 1e-6);
      g_assert_cmpfloat (use->busy_time, <=, last);
      last = use->busy_time;
    }
    for (guint t = 0; t < trips->len; t++)
      taken -= g_array_index (trips, Trip, t).path.n;
    g_assert_cmpint (taken, ==, 0);
  }
}

/* N transfers of 10 bytes, from rank FROM[i] to TO[i], ready at 1; links and network have bandwidth
 * 10 and no latency. Ends of the transfers. */
static void
run_transfers (int n, const int *from, const int *to, const PwTopology *topology,
               PwLinkSharing sharing, double *ends) {
  g_autofree PwStageEdge *list = g_new (PwStageEdge, (gsize)n);
  for (int i = 0; i < n; i++)
    list[i] = (PwStageEdge){ .producer = 2 * i, .consumer = 2 * i + 1, .tensor = i };
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new (2 * n, list, n);
  PwPlacement *placement = pw_placement_new_custom (4, 2 * n, 1);
  g_autofree int *order = g_new (int, (gsize)(2 * n));
  g_autoptr (PwSchedule) compute = pw_schedule_new ("transfers", placement, 1);
  compute->mode = PW_MODE_INFERENCE;
  for (int i = 0; i < n; i++) {
    placement->rank_of_stage[2 * i] = from[i];
    placement->rank_of_stage[2 * i + 1] = to[i];
  }
  for (int rank = 0; rank < 4; rank++) {
    PwAction *actions = g_new (PwAction, (gsize)(2 * n));
    int count = 0;
    for (int half = 0; half < 2; half++)
      for (int s = half; s < 2 * n; s += 2)
        if (placement->rank_of_stage[s] == rank)
          actions[count++] = pw_action (PW_ACTION_FORWARD, s, 0);
    pw_schedule_take_list (compute, rank, actions, count);
  }
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, edges, &options, NULL);
  g_autoptr (PwStageCosts) costs = pw_stage_costs_new (2 * n, edges);
  for (int i = 0; i < n; i++) {
    costs->link[i] = (PwLink){ .bandwidth = 10, .sharing = sharing };
    costs->message_bytes[i] = 10;
  }
  costs->topology = g_memdup2 (topology, sizeof *topology);
  costs->topology->network = (PwLink){ .bandwidth = 10, .sharing = sharing };
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = edges;
  input.costs = costs;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, NULL);
  for (int rank = 0; rank < 4; rank++)
    for (int64_t i = 0; i < lowered->programs[rank].n_prologue; i++) {
      PwAction action = lowered->programs[rank].actions[i];
      if (pw_action_kinds[action.kind].is_send)
        ends[action.edge] = result->end[result->offset[rank] + i];
    }
}

/* Alone each transfer takes 1. Under fair shares both of two take 2; in turn the first 1, the
 * second
 * 2. Stages take no time, so all could start at 0. */
static const struct {
  const char *what;
  int from[3], to[3], n;
  PwTopology topology;
  double fair[3], in_turn[3];
} closed[] = {
  { "two flows on one link", { 0, 0 }, { 1, 1 }, 2, { 0 }, { 2, 2 }, { 1, 2 } },
  { "three flows on one link", { 0, 0, 0 }, { 1, 1, 1 }, 3, { 0 }, { 3, 3, 3 }, { 1, 2, 3 } },
  { "both directions, full duplex", { 0, 1 }, { 1, 0 }, 2, { 0 }, { 1, 1 }, { 1, 1 } },
  { "both directions, half duplex",
    { 0, 1 },
    { 1, 0 },
    2,
    { .link_duplex = PW_DUPLEX_HALF },
    { 2, 2 },
    { 1, 2 } },
  { "two pairs, a link each", { 0, 2 }, { 1, 3 }, 2, { 0 }, { 1, 1 }, { 1, 1 } },
  { "two pairs on a switch",
    { 0, 2 },
    { 1, 3 },
    2,
    { .fabric = PW_FABRIC_SWITCH },
    { 1, 1 },
    { 1, 1 } },
  { "two pairs on a bus", { 0, 2 }, { 1, 3 }, 2, { .fabric = PW_FABRIC_BUS }, { 2, 2 }, { 1, 2 } },
  { "two from one port",
    { 0, 0 },
    { 1, 2 },
    2,
    { .fabric = PW_FABRIC_SWITCH },
    { 2, 2 },
    { 1, 2 } },
  { "two into one port",
    { 0, 1 },
    { 2, 2 },
    2,
    { .fabric = PW_FABRIC_SWITCH },
    { 2, 2 },
    { 1, 2 } },
  { "in and out of one port",
    { 0, 1 },
    { 1, 2 },
    2,
    { .fabric = PW_FABRIC_SWITCH },
    { 1, 1 },
    { 1, 1 } },
  { "in and out of one port, half duplex",
    { 0, 1 },
    { 1, 2 },
    2,
    { .fabric = PW_FABRIC_SWITCH, .link_duplex = PW_DUPLEX_HALF },
    { 2, 2 },
    { 1, 2 } },
  { "a card per rank", { 0, 1 }, { 2, 3 }, 2, { .ranks_per_node = 2 }, { 1, 1 }, { 1, 1 } },
  { "one card per node",
    { 0, 1 },
    { 2, 3 },
    2,
    { .ranks_per_node = 2, .network_cards = 1 },
    { 2, 2 },
    { 1, 2 } },
  { "one card, both directions",
    { 0, 3 },
    { 2, 1 },
    2,
    { .ranks_per_node = 2, .network_cards = 1 },
    { 1, 1 },
    { 1, 1 } },
  { "one card, both directions, half duplex",
    { 0, 3 },
    { 2, 1 },
    2,
    { .ranks_per_node = 2, .network_cards = 1, .network_duplex = PW_DUPLEX_HALF },
    { 2, 2 },
    { 1, 2 } },
  { "within the node beside the network",
    { 0, 1 },
    { 1, 3 },
    2,
    { .ranks_per_node = 2, .network_cards = 1 },
    { 1, 1 },
    { 1, 1 } },
  { "within the node beside the network, on a bus",
    { 0, 1 },
    { 1, 3 },
    2,
    { .fabric = PW_FABRIC_BUS, .ranks_per_node = 2, .network_cards = 1 },
    { 2, 2 },
    { 1, 2 } },
};

static void
test_closed_forms (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (closed); i++) {
    double fair[3], in_turn[3], own[3];
    g_test_message ("%s", closed[i].what);
    run_transfers (closed[i].n, closed[i].from, closed[i].to, &closed[i].topology, PW_LINK_FAIR,
                   fair);
    run_transfers (closed[i].n, closed[i].from, closed[i].to, &closed[i].topology, PW_LINK_FCFS,
                   in_turn);
    run_transfers (closed[i].n, closed[i].from, closed[i].to, &closed[i].topology, PW_LINK_OWN,
                   own);
    for (int k = 0; k < closed[i].n; k++) {
      g_assert_cmpfloat_with_epsilon (fair[k], closed[i].fair[k], 1e-12);
      g_assert_cmpfloat (in_turn[k], ==, closed[i].in_turn[k]);
      g_assert_cmpfloat (own[k], ==, 1);
    }
  }
}

/* One micro-batch and another: while F1 runs on rank 0 (1 long), F0's message (0.5) is on its way:
 * of F1's work 0.5 / F is done by then, so it ends at 1 + 0.5 + (1 - 0.5 / F). */
static void
test_slowdown_by_hand (void) {
  static const double factors[] = { 1, 2, 4 };
  for (gsize i = 0; i < G_N_ELEMENTS (factors); i++) {
    g_autoptr (Case) c
        = case_written ("0F0 0SEND_F0 0F1 0SEND_F1\n1RECV_F0 1F0 1RECV_F1 1F1", PW_POLICY_PER_EDGE);
    c->lowered->mode = PW_MODE_INFERENCE;
    c->costs->link[0].latency_s = 0.5;
    PwTopology topology = { .compute_slowdown = factors[i] };
    c->costs->topology = g_memdup2 (&topology, sizeof topology);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    double end = 1.5 + (1 - 0.5 / factors[i]);
    g_assert_cmpfloat (result->end[0], ==, 1);
    g_assert_cmpfloat (result->end[2], ==, end);
    /* F0 of rank 1 runs from 1.5 and meets the second message from `end` to `end` + 0.5. */
    double met = MIN (0.5, MAX (0, 1.5 + 1 - end) * factors[i]);
    g_assert_cmpfloat_with_epsilon (result->end[result->offset[1] + 1],
                                    2.5 + met - met / factors[i], 1e-12);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/topology/closed-forms", test_closed_forms);
  g_test_add_func ("/sim/topology/compute-that-pays-by-hand", test_slowdown_by_hand);
  g_test_add_func ("/sim/topology/in-turn-equals-the-reference", test_reference_in_turn);
  g_test_add_func ("/sim/topology/random-times-equal-the-reference", test_reference_random_times);
  g_test_add_func ("/sim/topology/fair-equals-the-reference", test_reference_fair);
  g_test_add_func ("/sim/topology/engines-agree", test_engines_agree);
  g_test_add_func ("/sim/topology/a-plain-one-changes-no-bit", test_plain_topology);
  g_test_add_func ("/sim/topology/nothing-carries-more-than-it-can", test_invariants);
  g_test_add_func ("/sim/topology/use-of-a-resource-is-that-of-its-messages", test_resource_use);
  return g_test_run ();
}
