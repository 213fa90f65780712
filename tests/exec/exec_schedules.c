#include "exec_schedules.h"

#include "tests/support/repeats.h"

static int
steps_of (const ExecSchedules *all) {
  return TEST_REPEATS (all->steps, MIN (all->steps, 2));
}

static ExecCase *
make_case (const ExecSchedules *all, int model, int schedule, const char *more, int ranks,
           int microbatches) {
  return exec_case_new_scheduled (all->models[model], all->schedules[schedule], more, ranks,
                                  microbatches);
}

static void
every_rank_count (gconstpointer data) {
  const ExecSchedules *all = data;
  for (int model = 0; model < 2; model++)
    for (int s = 0; s < all->n_schedules; s++)
      for (int ranks = 1; ranks <= 4; ranks++)
        for (gsize i = 0; i < G_N_ELEMENTS (all->microbatches); i += TEST_REPEATS (1, 2)) {
          g_test_message ("%s on %d ranks, %d micro-batches", all->schedules[s], ranks,
                          all->microbatches[i]);
          g_autoptr (ExecCase) c = make_case (all, model, s, "", ranks, all->microbatches[i]);
          exec_case_compare_with_sequential (c, NULL, steps_of (all));
        }
}

/* What is computed does not even depend on which of them ran. */
static void
same_as_1f1b (gconstpointer data) {
  const ExecSchedules *all = data;
  g_autoptr (ExecCase) plain = exec_case_new_scheduled (all->models[1], "'name': '1f1b'", "", 1, 4);
  g_autofree char *reference = exec_case_train_new (plain, FALSE, NULL, steps_of (all), NULL);
  for (int s = 0; s < all->n_ascending; s++) {
    g_autoptr (ExecCase) c = make_case (all, 1, s, "", 3, 4);
    g_autofree char *sha = exec_case_train_new (c, FALSE, NULL, steps_of (all), NULL);
    g_assert_cmpstr (sha, ==, reference);
  }
}

static void
policies (gconstpointer data) {
  const ExecSchedules *all = data;
  for (int s = 0; s < all->n_schedules; s++)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        g_autofree char *more
            = g_strdup_printf (", 'p2p_policy': '%s', 'p2p_batched': %s", pw_policies[policy].name,
                               batched ? "true" : "false");
        g_autoptr (ExecCase) c = make_case (all, (int)policy % 2, s, more, 3, 5);
        exec_case_compare_with_sequential (c, &exec_case_delayed, steps_of (all));
      }
}

static void
recomputation (gconstpointer data) {
  const ExecSchedules *all = data;
  for (int s = 0; s < all->n_schedules; s++) {
    g_autoptr (ExecCase) c = make_case (all, 1, s, ", 'recompute': 'stage'", 2, 4);
    exec_case_compare_with_sequential (c, NULL, steps_of (all));
  }
}

void
exec_schedules_add_tests (const ExecSchedules *schedules) {
  static const struct {
    const char *name;
    GTestDataFunc run;
  } tests[] = {
    { "every-rank-count-equals-sequential", every_rank_count },
    { "equals-1f1b-on-one-rank", same_as_1f1b },
    { "policies-and-delays-change-nothing", policies },
    { "recomputation-changes-nothing", recomputation },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strconcat (schedules->prefix, "/", tests[i].name, NULL);
    g_test_add_data_func (path, schedules, tests[i].run);
  }
}
