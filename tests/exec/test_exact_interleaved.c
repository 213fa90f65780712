/* Longer warm-ups and several chunks per rank in a loop change no bit of what is trained. */
#include "exec_schedules.h"

static const char *const schedules[] = {
  "'name': 'eager-1f1b'",
  "'name': 'interleaved-1f1b'",
  "'name': 'interleaved-1f1b', 'chunks': 3, 'group': 5",
  "'name': 'looped-bfs'",
  "'name': 'looped-bfs', 'chunks': 3",
  "'name': 'looped-bfs', 'reverse': true",
};
/* Twelve stages at most. */
static const ExecSchedules interleaved = {
  .prefix = "/exec/exact-interleaved",
  .models
  = { "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 13, 'output': 7}",
      "{'name': 'gpt', 'blocks': 12, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}" },
  .schedules = schedules,
  .n_schedules = G_N_ELEMENTS (schedules),
  .n_ascending = 5,
  .microbatches = { 1, 3, 10 },
  .steps = 4,
};

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  exec_schedules_add_tests (&interleaved);
  return g_test_run ();
}
