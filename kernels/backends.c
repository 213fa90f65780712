#include "kernels/kernels.h"
#include <string.h>

static const PwBackend *const backends[] = { &pw_backend_cpu, &pw_backend_empty };

const PwBackend *
pw_backend_get (const char *name) {
  for (gsize i = 0; i < G_N_ELEMENTS (backends); i++)
    if (strcmp (backends[i]->name, name) == 0)
      return backends[i];
  return NULL;
}
