/* Split backwards, several stages per rank and the turn of a V change no bit of what is trained. */
#include "exec_case.h"

#define STEPS 6

/* Deep enough for eight stages. */
static const char *const models[] = {
  "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 9, 'output': 7}",
  "{'name': 'gpt', 'blocks': 8, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}",
};
static const char *const schedules[]
    = { "zb-h1", "zb-h2", "zb-interleaved", "zb-v", "v-half", "v-min" };

static ExecCase *
make_case (int model, const char *schedule, const char *more, int ranks, int microbatches) {
  g_autofree char *members = g_strdup_printf ("'name': '%s'", schedule);
  return exec_case_new_scheduled (models[model], members, more, ranks, microbatches);
}

static void
every_rank_count (void) {
  static const int microbatches[] = { 1, 3, 8 };
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++)
    for (gsize s = 0; s < G_N_ELEMENTS (schedules); s++)
      for (int ranks = 1; ranks <= 4; ranks++)
        for (gsize i = 0; i < G_N_ELEMENTS (microbatches); i++) {
          g_test_message ("%s on %d ranks, %d micro-batches", schedules[s], ranks, microbatches[i]);
          g_autoptr (ExecCase) c = make_case ((int)m, schedules[s], "", ranks, microbatches[i]);
          exec_case_compare_with_sequential (c, NULL, STEPS);
        }
}

/* What is computed does not even depend on which of them ran. */
static void
same_as_1f1b (void) {
  g_autoptr (ExecCase) plain = make_case (1, "1f1b", "", 1, 4);
  g_autofree char *reference = exec_case_train_new (plain, FALSE, NULL, STEPS, NULL);
  for (gsize s = 0; s < G_N_ELEMENTS (schedules); s++) {
    g_autoptr (ExecCase) c = make_case (1, schedules[s], "", 3, 4);
    g_autofree char *sha = exec_case_train_new (c, FALSE, NULL, STEPS, NULL);
    g_assert_cmpstr (sha, ==, reference);
  }
}

static void
policies (void) {
  for (gsize s = 0; s < G_N_ELEMENTS (schedules); s++)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        g_autofree char *more
            = g_strdup_printf (", 'p2p_policy': '%s', 'p2p_batched': %s", pw_policies[policy].name,
                               batched ? "true" : "false");
        g_autoptr (ExecCase) c = make_case ((int)policy % 2, schedules[s], more, 3, 5);
        exec_case_compare_with_sequential (c, &exec_case_delayed, STEPS);
      }
}

static void
recomputation (void) {
  for (gsize s = 0; s < G_N_ELEMENTS (schedules); s++) {
    g_autoptr (ExecCase) c = make_case (1, schedules[s], ", 'recompute': 'stage'", 2, 4);
    exec_case_compare_with_sequential (c, NULL, STEPS);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/exact-zero-bubble/every-rank-count-equals-sequential", every_rank_count);
  g_test_add_func ("/exec/exact-zero-bubble/equals-1f1b-on-one-rank", same_as_1f1b);
  g_test_add_func ("/exec/exact-zero-bubble/policies-and-delays-change-nothing", policies);
  g_test_add_func ("/exec/exact-zero-bubble/recomputation-changes-nothing", recomputation);
  return g_test_run ();
}
