/* Opens cuDNN. libcudnn.so.9 is a small library that loads the large ones when a handle is made. */
#include "kernels/cuda/cudnn_private.h"
#include <gmodule.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* 9.10.2. Gradients of attention have known faults in the two before it, and older ones want other
 * graphs. */
#define VERSION_LEAST 91002

static gboolean
look_up (GModule *module, PwCudnnCalls *calls) {
  const struct {
    const char *name;
    gpointer to;
  } rows[] = {
    { "cudnnGetVersion", &calls->get_version },
    { "cudnnCreate", &calls->create },
    { "cudnnDestroy", &calls->destroy },
    { "cudnnSetStream", &calls->set_stream },
    { "cudnnGetErrorString", &calls->get_error_string },
    { "cudnnGetLastErrorString", &calls->get_last_error_string },
    { "cudnnBackendCreateDescriptor", &calls->create_descriptor },
    { "cudnnBackendDestroyDescriptor", &calls->destroy_descriptor },
    { "cudnnBackendSetAttribute", &calls->set_attribute },
    { "cudnnBackendGetAttribute", &calls->get_attribute },
    { "cudnnBackendFinalize", &calls->finalize },
    { "cudnnBackendExecute", &calls->execute },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    gpointer symbol;
    if (!g_module_symbol (module, rows[i].name, &symbol))
      return FALSE;
    memcpy (rows[i].to, &symbol, sizeof symbol);
  }
  return TRUE;
}

static const PwCudnnCalls *
open_library (void) {
  static PwCudnnCalls calls;
  const char *wanted = getenv ("PW_CUDNN");
  if (wanted && strcmp (wanted, "0") == 0)
    return NULL;
  GModule *module = g_module_open ("libcudnn.so.9", G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (!module)
    return NULL;
  if (look_up (module, &calls) && calls.get_version () >= VERSION_LEAST) {
    const size_t version = calls.get_version ();
    g_snprintf (calls.name, sizeof calls.name, "cuDNN %zu.%zu.%zu", version / 10000,
                version / 100 % 100, version % 100);
    g_module_make_resident (module);
    return &calls;
  }
  g_module_close (module);
  return NULL;
}

static const PwCudnnCalls *opened;

static void
open_once (void) {
  opened = open_library ();
}

/* pthread's once, which the thread sanitizer sees. */
const PwCudnnCalls *
pw__cudnn_calls (void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once (&once, open_once);
  return opened;
}
