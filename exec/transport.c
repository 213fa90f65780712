#include "exec/transport.h"

static const PwTransport *const transports[] = { &pw_transport_threads, NULL };

const PwTransport *
pw_transport_get (const char *name) {
  for (gsize i = 0; transports[i]; i++)
    if (g_str_equal (transports[i]->name, name))
      return transports[i];
  return NULL;
}

const PwTransport *const *
pw_transport_list (void) {
  return transports;
}
