/* Every schedule that trains, as the registry has it, on every rank count up to 4 that it allows:
 * what is computed is what its reference computes, to the last bit. A new schedule is tested here
 * as soon as it is listed. */
#include "reference.h"

#include "tests/support/repeats.h"

#define STEPS TEST_REPEATS (3, 2)

/* Deep enough for as many stages as any default makes. */
static const char *const models[] = {
  "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 9, 'output': 7}",
  "{'name': 'gpt', 'blocks': 8, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}",
};

static const struct {
  const char *name, *why;
} excluded[] = {
  { "forward-only", "it does not train" },
  { "seq1f1b", "the executor does not cut sequences into pieces" },
};

static gboolean
is_excluded (const char *name) {
  for (gsize i = 0; i < G_N_ELEMENTS (excluded); i++)
    if (g_str_equal (excluded[i].name, name))
      return TRUE;
  return FALSE;
}

static gboolean
is_allowed (const PwScheduleType *type, int ranks, int microbatches) {
  g_autoptr (GError) error = NULL;
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  g_autoptr (PwSchedule) schedule = pw_schedule_generate (type->name, &params, &error);
  if (!schedule)
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
  return schedule != NULL;
}

static void
compare_with_delayed (ExecCase *c, const char *model) {
  g_autoptr (GError) error = NULL;
  double expected[STEPS], losses[STEPS];
  PwExecOptions options = { .timeout_s = 60 };
  g_autofree char *reference = reference_train_delayed (c, model, STEPS, expected);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  g_autofree char *sha = exec_case_stream (c, exec, STEPS, losses);
  g_assert_cmpstr (sha, ==, reference);
  for (int s = 0; s < STEPS; s++)
    g_assert_cmpfloat (losses[s], ==, expected[s]);
}

static void
train (gconstpointer data) {
  const PwScheduleType *type = data;
  g_autofree char *members = g_strdup_printf ("'name': '%s'", type->name);
  int n_trained = 0;
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++)
    for (int ranks = 1; ranks <= 4; ranks++)
      for (int microbatches = 2 * ranks; microbatches <= 2 * ranks + 3; microbatches += 3) {
        if (!is_allowed (type, ranks, microbatches))
          continue;
        g_test_message ("%d ranks, %d micro-batches", ranks, microbatches);
        g_autoptr (ExecCase) c
            = exec_case_new_scheduled (models[m], members, "", ranks, microbatches);
        if (c->resolved->compute->promise.synchronous)
          exec_case_compare_with_sequential (c, NULL, STEPS);
        else
          compare_with_delayed (c, models[m]);
        n_trained++;
      }
  g_assert_cmpint (n_trained, >, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    g_autofree char *path = g_strdup_printf ("/exec/registry/%s-trains-exactly", (*type)->name);
    if (!is_excluded ((*type)->name))
      g_test_add_data_func (path, *type, train);
  }
  return g_test_run ();
}
