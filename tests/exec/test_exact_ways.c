/* Waves, the folded pairs of DualPipe-V, and every policy on the turns of their stages change no
 * bit of what is trained. Pieces of sequences are refused in one sentence. */
#include "exec_case.h"

#include <string.h>

#include "tests/support/repeats.h"

#define STEPS TEST_REPEATS (6, 2)

/* Deep enough for eight stages. */
static const char *const models[] = {
  "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 9, 'output': 7}",
  "{'name': 'gpt', 'blocks': 8, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}",
};

static ExecCase *
make_case (int model, const char *schedule, const char *more, int ranks, int microbatches) {
  g_autofree char *members = g_strdup_printf ("'name': %s", schedule);
  return exec_case_new_scheduled (models[model], members, more, ranks, microbatches);
}

static void
hanayo (void) {
  static const int microbatches[] = { 1, 3, 8 };
  for (int waves = 1; waves <= 2; waves++)
    for (int m = 0; m < 2; m++)
      for (int ranks = 1; ranks <= 4; ranks++)
        for (gsize i = 0; i < G_N_ELEMENTS (microbatches); i++) {
          if (2 * waves * ranks > 8)
            continue;
          g_autofree char *name = g_strdup_printf ("'hanayo', 'waves': %d", waves);
          g_test_message ("%s on %d ranks, %d micro-batches", name, ranks, microbatches[i]);
          g_autoptr (ExecCase) c = make_case (m, name, "", ranks, microbatches[i]);
          exec_case_compare_with_sequential (c, NULL, STEPS);
        }
}

static void
dualpipe_v (void) {
  for (int m = 0; m < 2; m++)
    for (int ranks = 1; ranks <= 4; ranks++)
      for (int more = 0; more <= 3; more += 3) {
        g_test_message ("%d ranks, %d micro-batches", ranks, 2 * ranks + more);
        g_autoptr (ExecCase) c = make_case (m, "'dualpipe-v'", "", ranks, 2 * ranks + more);
        exec_case_compare_with_sequential (c, NULL, STEPS);
      }
}

static void
policies (void) {
  static const char *const names[] = { "'hanayo'", "'dualpipe-v'" };
  for (gsize s = 0; s < G_N_ELEMENTS (names); s++)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        g_autofree char *more
            = g_strdup_printf (", 'p2p_policy': '%s', 'p2p_batched': %s", pw_policies[policy].name,
                               batched ? "true" : "false");
        g_autoptr (ExecCase) c = make_case ((int)policy % 2, names[s], more, 3, 7);
        exec_case_compare_with_sequential (c, &exec_case_delayed, STEPS);
      }
}

static void
recomputation (void) {
  static const char *const names[] = { "'hanayo'", "'dualpipe-v'" };
  for (gsize s = 0; s < G_N_ELEMENTS (names); s++) {
    g_autoptr (ExecCase) c = make_case (1, names[s], ", 'recompute': 'stage'", 3, 6);
    g_autoptr (ExecCase) plain = make_case (1, "'1f1b'", "", 3, 6);
    g_autofree char *reference = exec_case_train_new (plain, FALSE, NULL, STEPS, NULL);
    g_autofree char *sha = exec_case_train_new (c, FALSE, NULL, STEPS, NULL);
    g_assert_cmpstr (sha, ==, reference);
  }
}

/* Refused when the executor is made, or when it is given the lists. */
static void
not_yet_run (void) {
  const struct {
    const char *name, *says;
  } rows[] = {
    { "'seq1f1b', 'pieces': 2", "sequence pieces" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (ExecCase) c = make_case (0, rows[i].name, "", 2, 4);
    g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
    if (exec != NULL)
      g_assert_cmpint (pw_exec_add (exec, c->resolved->lowered, &error), ==, -1);
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, rows[i].says));
    g_assert_null (strchr (error->message, '\n'));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/exact/hanayo-on-every-rank-count-equals-sequential", hanayo);
  g_test_add_func ("/exec/exact/dualpipe-v-on-every-rank-count-equals-sequential", dualpipe_v);
  g_test_add_func ("/exec/exact/waves-and-folds-under-every-policy", policies);
  g_test_add_func ("/exec/exact/waves-and-folds-with-recomputation", recomputation);
  g_test_add_func ("/exec/exact/pieces-are-refused", not_yet_run);
  return g_test_run ();
}
