/* Split backwards, several stages per rank and the turn of a V change no bit of what is trained. */
#include "exec_schedules.h"

static const char *const schedules[] = {
  "'name': 'zb-h1'", "'name': 'zb-h2'",  "'name': 'zb-interleaved'",
  "'name': 'zb-v'",  "'name': 'v-half'", "'name': 'v-min'",
};
/* Eight stages at most. */
static const ExecSchedules zero_bubble = {
  .prefix = "/exec/exact-zero-bubble",
  .models
  = { "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 9, 'output': 7}",
      "{'name': 'gpt', 'blocks': 8, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}" },
  .schedules = schedules,
  .n_schedules = G_N_ELEMENTS (schedules),
  .n_ascending = G_N_ELEMENTS (schedules),
  .microbatches = { 1, 3, 8 },
  .steps = 6,
};

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  exec_schedules_add_tests (&zero_bubble);
  return g_test_run ();
}
