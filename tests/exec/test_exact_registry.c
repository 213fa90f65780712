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

static void
train (gconstpointer data) {
  const PwScheduleType *type = data;
  g_autofree char *members = g_strdup_printf ("'name': '%s'", type->name);
  int n_trained = 0;
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++)
    for (int ranks = 1; ranks <= 4; ranks++)
      for (int microbatches = 2 * ranks; microbatches <= 2 * ranks + 3; microbatches += 3) {
        if (!exec_case_allows (type, ranks, microbatches))
          continue;
        g_test_message ("%d ranks, %d micro-batches", ranks, microbatches);
        g_autoptr (ExecCase) c
            = exec_case_new_scheduled (models[m], members, "", ranks, microbatches);
        reference_compare (c, models[m], NULL, STEPS);
        n_trained++;
      }
  g_assert_cmpint (n_trained, >, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    g_autofree char *path = g_strdup_printf ("/exec/registry/%s-trains-exactly", (*type)->name);
    if (exec_case_trains (*type))
      g_test_add_data_func (path, *type, train);
  }
  return g_test_run ();
}
