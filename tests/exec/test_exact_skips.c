/* Tensors that jump over stages go from the rank that makes them to every rank that reads them, and
 * their gradients back: whatever the schedule, what is trained is what sequential training trains,
 * to the last bit. */
#include "reference.h"
#include "skip_models.h"

#include "tests/support/repeats.h"

#define STEPS TEST_REPEATS (20, 2)
#define JUMPS_MAX 64

/* JUMPS[n]: edges over n stages to another rank; a tensor with several is counted in MANY. */
static void
count_jumps (const PwResolvedPlan *resolved, int *jumps, int *many) {
  const PwStageEdges *edges = resolved->edges;
  const PwPlacement *placement = resolved->compute->placement;
  for (int e = 0; e < edges->n_edges; e++) {
    const PwStageEdge *edge = &edges->edges[e];
    for (int other = 0; other < e; other++)
      *many += edges->edges[other].tensor == edge->tensor;
    if (pw_placement_rank (placement, 0, edge->producer)
        != pw_placement_rank (placement, 0, edge->consumer))
      jumps[MIN (edge->consumer - edge->producer - 1, JUMPS_MAX - 1)]++;
  }
}

/* Blocks read what was made 1, 2, 4, 9 and 15 blocks before. */
static void
train (gconstpointer data) {
  static const char *const joins[] = { "add", "concat" };
  static const int distances[] = { 15, 1, 4, 2, 9 };
  const PwScheduleType *type = data;
  g_autofree char *members = g_strdup_printf ("'name': '%s'", type->name);
  int jumps[JUMPS_MAX] = { 0 }, many = 0;
  for (gsize j = 0; j < G_N_ELEMENTS (joins); j++) {
    g_autofree char *model
        = skip_model_new (joins[j], 20, distances, (int)G_N_ELEMENTS (distances));
    for (int ranks = 2; ranks <= 4; ranks++)
      for (int again = 0; again <= 1; again++) {
        int microbatches = 2 * ranks;
        if (!exec_case_allows (type, ranks, microbatches))
          continue;
        g_test_message ("%s on %d ranks", joins[j], ranks);
        g_autoptr (ExecCase) c = exec_case_new_scheduled (
            model, members, again ? ", 'recompute': 'stage'" : "", ranks, microbatches);
        count_jumps (c->resolved, jumps, &many);
        reference_compare (c, model, NULL, STEPS);
      }
  }
  g_assert_cmpint (jumps[0], >, 0);
  g_assert_cmpint (jumps[1], >, 0);
  g_assert_cmpint (jumps[2], >, 0);
  g_assert_cmpint (many, >, 0);
}

/* A U: of eight stages the first skips to the last, the second to the last but one, and so on; the
 * middle is jumped over by all. */
static void
over_many_stages (void) {
  static const struct {
    const char *schedule;
    int ranks;
  } cases[] = {
    { "'name': 'interleaved-1f1b', 'chunks': 2", 4 },
    { "'name': 'zb-v'", 4 },
    { "'name': 'looped-bfs', 'chunks': 4", 2 },
    { "'name': 'hanayo', 'waves': 2", 2 },
    { "'name': 'zb-interleaved', 'chunks': 2", 4 },
    { "'name': 'interleaved-1f1b', 'chunks': 3", 3 },
  };
  static const char *const joins[] = { "add", "concat" };
  /* Blocks 4 to 7 join 3 to 0. */
  static const int distances[] = { 0, 0, 0, 0, 0, 1, 3, 5, 7, 9 };
  int jumps[JUMPS_MAX] = { 0 }, many = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (joins); j++) {
      g_test_message ("%s on %d ranks, %s", cases[i].schedule, cases[i].ranks, joins[j]);
      g_autofree char *model
          = skip_model_new (joins[j], 10, distances, (int)G_N_ELEMENTS (distances));
      g_autoptr (ExecCase) c
          = exec_case_new_scheduled (model, cases[i].schedule, "", cases[i].ranks, 12);
      count_jumps (c->resolved, jumps, &many);
      reference_compare (c, model, NULL, STEPS);
    }
  for (int n = 0; n <= 5; n++)
    g_assert_cmpint (jumps[n], >, 0);
}

static void
policies_and_delays (void) {
  static const int distances[] = { 15, 1, 4, 2, 9 };
  static const char *const schedules[]
      = { "'name': '1f1b'", "'name': 'zb-h1'", "'name': 'interleaved-1f1b'", "'name': 'chimera'" };
  g_autofree char *model = skip_model_new ("concat", 20, distances, (int)G_N_ELEMENTS (distances));
  for (gsize s = 0; s < G_N_ELEMENTS (schedules); s++)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        g_autofree char *more
            = g_strdup_printf (", 'p2p_policy': '%s', 'p2p_batched': %s", pw_policies[policy].name,
                               batched ? "true" : "false");
        g_autoptr (ExecCase) c = exec_case_new_scheduled (model, schedules[s], more, 4, 8);
        exec_case_compare_with_sequential (c, &exec_case_delayed, 3);
      }
}

static char *
draw_balance (int n, int stages) {
  g_autofree int *counts = g_new (int, (gsize)stages);
  for (int s = 0; s < stages; s++)
    counts[s] = 1;
  for (int i = stages; i < n; i++)
    counts[g_test_rand_int_range (0, stages)]++;
  GString *text = g_string_new ("[");
  for (int s = 0; s < stages; s++)
    g_string_append_printf (text, "%s%d", s > 0 ? ", " : "", counts[s]);
  g_string_append (text, "]");
  return g_string_free (text, FALSE);
}

static int
count_units (const char *model) {
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': 1, 'schedule': {'name': 'gpipe', 'microbatches': 1}", model);
  g_autoptr (ExecCase) c = exec_case_new (members, NULL);
  return c->resolved->graph->n_units - 1;
}

#define FIRST_STEPS MIN (STEPS, 4)

/* A cut changes in which order the gradients of a tensor are added, and nothing else: losses stay
 * near those of the model in one piece, whose gradients test_layers.c knows. At first: training
 * lets a last bit grow. */
static void
compare_with_uncut (const char *model, const char *rest, const double *losses) {
  double uncut[FIRST_STEPS];
  g_autofree char *members
      = g_strdup_printf ("'model': %s, 'ranks': 1, 'schedule': {'name': 'gpipe', 'microbatches': "
                         "3}, %s",
                         model, rest);
  g_autoptr (ExecCase) c = exec_case_new (members, NULL);
  g_autofree char *sha = exec_case_train_new (c, TRUE, NULL, FIRST_STEPS, uncut);
  for (int s = 0; s < FIRST_STEPS; s++)
    g_assert_cmpfloat_with_epsilon (losses[s], uncut[s], 1e-5 * uncut[s]);
}

/* Whatever reads whatever, cut anywhere. */
static void
random_graphs (void) {
  static const struct {
    const char *schedule;
    int stages_per_rank;
  } schedules[] = {
    { "gpipe", 1 },   { "1f1b", 1 },           { "eager-1f1b", 1 },       { "zb-h1", 1 },
    { "zb-v", 2 },    { "dualpipe-v", 2 },     { "interleaved-1f1b", 2 }, { "looped-bfs", 2 },
    { "chimera", 1 }, { "zb-interleaved", 2 }, { "hanayo", 2 },
  };
  int jumps[JUMPS_MAX] = { 0 }, many = 0;
  for (int round = 0; round < TEST_REPEATS (120, 12); round++) {
    int s = g_test_rand_int_range (0, (int)G_N_ELEMENTS (schedules));
    int ranks = g_str_equal (schedules[s].schedule, "chimera") ? 2 * g_test_rand_int_range (1, 3)
                                                               : g_test_rand_int_range (2, 5);
    g_autofree char *model = skip_model_new_random (g_test_rand_int_range (10, 30));
    int stages = ranks * schedules[s].stages_per_rank;
    g_autofree char *balance = draw_balance (count_units (model), stages);
    g_autofree char *rest = g_strdup_printf (
        "'batch': %d, 'seed': %d, 'data': 'random', 'recompute': '%s', "
        "'optimizer': {'name': 'sgd', 'learning_rate': 0.01}",
        4 * ranks - 1, g_test_rand_int_range (0, 1000), g_test_rand_bit () ? "stage" : "none");
    g_autofree char *members
        = g_strdup_printf ("'model': %s, 'ranks': %d, 'partition': {'balance': %s}, "
                           "'schedule': {'name': '%s', 'microbatches': %d}, %s",
                           model, ranks, balance, schedules[s].schedule, 2 * ranks, rest);
    g_test_message ("%s", members);
    g_autoptr (ExecCase) c = exec_case_new (members, NULL);
    count_jumps (c->resolved, jumps, &many);
    double losses[STEPS];
    g_autofree char *sha = exec_case_train_new (c, FALSE, NULL, STEPS, losses);
    exec_case_compare_with_sequential (c, NULL, STEPS);
    compare_with_uncut (model, rest, losses);
  }
  g_assert_cmpint (jumps[1] + jumps[2] + jumps[3], >, 0);
  g_assert_cmpint (many, >, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    g_autofree char *path = g_strdup_printf ("/exec/skips/%s-trains-exactly", (*type)->name);
    if (exec_case_trains (*type))
      g_test_add_data_func (path, *type, train);
  }
  g_test_add_func ("/exec/skips/over-many-stages", over_many_stages);
  g_test_add_func ("/exec/skips/policies-and-delays-change-nothing", policies_and_delays);
  g_test_add_func ("/exec/skips/random-graphs-equal-sequential", random_graphs);
  return g_test_run ();
}
