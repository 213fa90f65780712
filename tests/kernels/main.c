/* Every op on the CPU, once per instruction set that this processor has. */
#include "kernels/cpu/cpu_private.h"
#include "tests/kernels/op_padding.h"

static void
choose_loops (PwStream *stream, int variant) {
  stream->loops = pw__cpu_vector_loops (variant);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  static OpTarget targets[8];
  static char names[8][32];
  for (int i = 0; pw__cpu_vector_loops (i) != NULL; i++) {
    g_snprintf (names[i], sizeof names[i], "cpu-%s", pw__cpu_vector_loops (i)->name);
    targets[i] = (OpTarget){
      .name = names[i], .backend = &pw_backend_cpu, .prepare = choose_loops, .variant = i
    };
    op_check_add_tests (&targets[i]);
    op_padding_add_tests (&targets[i]);
  }
  return g_test_run ();
}
