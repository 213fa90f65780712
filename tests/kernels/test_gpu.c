/* Every op on a real device, through the module as it is shipped. Without one the program says so
 * and is skipped. */
#include "kernels/module.h"
#include "tests/kernels/op_padding.h"
#include <stdio.h>

#define SKIPPED 77

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_autoptr (GError) error = NULL;
  const PwBackendRun run = { .ranks = 1, .arithmetic = PW_ARITHMETIC_BF16 };
  /* A folder copied to another machine has it elsewhere. */
  const char *file = g_getenv ("PW_CUDA_MODULE_FILE");
  pw_cuda_module_set_file (file ? file : PW_CUDA_MODULE_FILE);
  const PwBackend *backend = pw_backend_get ("cuda", &error);
  if (!backend || !backend->check (&run, &error)) {
    printf ("1..0 # SKIP %s\n", error->message);
    return SKIPPED;
  }
  OpTarget targets[] = {
    { .name = "gpu", .backend = backend },
    { .name = "gpu-bf16", .backend = backend, .element = PW_ELEMENT_BF16 },
    { .name = "gpu-f16", .backend = backend, .element = PW_ELEMENT_F16 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (targets); i++) {
    /* On the fakes bodies run that device/ops checks: what is new is how they are launched. */
    targets[i].bits_are_checked_elsewhere = g_getenv ("CUDA_ON_CPU_BODIES") != NULL;
    op_check_add_tests (&targets[i]);
    op_padding_add_tests (&targets[i]);
  }
  return g_test_run ();
}
