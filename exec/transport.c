#include "exec/exec.h"
#include "exec/transport.h"
#include "kernels/module.h"

static const PwTransport *const transports[] = { &pw_transport_threads, NULL };

static const PwTransport *
from_module (const char *name, const char *symbol, GError **error) {
  g_autoptr (GError) own = NULL;
  const PwTransport *transport = pw_cuda_module_symbol (symbol, &own);
  if (!transport)
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "transport \"%s\": %s", name,
                 own->message);
  return transport;
}

const PwTransport *
pw_transport_get (const char *name, GError **error) {
  for (gsize i = 0; transports[i]; i++)
    if (g_str_equal (transports[i]->name, name))
      return transports[i];
  if (g_str_equal (name, "nccl"))
    return from_module (name, "pw_transport_nccl", error);
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
               "this build has no transport \"%s\"", name);
  return NULL;
}

const PwTransport *const *
pw_transport_list (void) {
  return transports;
}
