#include "kernels/kernels.h"
#include "kernels/module.h"
#include <string.h>

static const PwBackend *const backends[] = { &pw_backend_cpu, &pw_backend_empty };

const PwBackend *
pw_backend_get (const char *name, GError **error) {
  for (gsize i = 0; i < G_N_ELEMENTS (backends); i++)
    if (strcmp (backends[i]->name, name) == 0)
      return backends[i];
  if (strcmp (name, "cuda") == 0)
    return pw_cuda_module_symbol ("pw_backend_cuda", error);
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED, "there is no backend \"%s\"",
               name);
  return NULL;
}
