#define _GNU_SOURCE /* dladdr1 */
#include "kernels/module.h"
#include "kernels/kernels.h"
#include <dlfcn.h>
#include <gmodule.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "pipewright" G_DIR_SEPARATOR_S "pipewright-cuda.so"

static GMutex mutex; /* of both */
static GModule *module;
static char *file_given;

/* The folder of the object that this code was linked into: the program, or libpipewright.so. */
static char *
own_folder (void) {
  static const char here = 0;
  Dl_info info;
  struct link_map *map = NULL;
  if (!dladdr1 (&here, &info, (void **)&map, RTLD_DL_LINKMAP))
    return NULL;
  gboolean is_program = map == NULL || map->l_name[0] == '\0';
  char *path = realpath (is_program ? "/proc/self/exe" : map->l_name, NULL);
  if (!path)
    return NULL;
  char *folder = g_path_get_dirname (path);
  free (path);
  return folder;
}

static char *
find_file (void) {
  if (file_given)
    return g_file_test (file_given, G_FILE_TEST_EXISTS) ? g_strdup (file_given) : NULL;
  g_autofree char *folder = own_folder ();
  static const char *const ways[] = { ".", PW_BIN_TO_LIB };
  for (gsize i = 0; folder && i < G_N_ELEMENTS (ways); i++) {
    g_autofree char *file = g_build_filename (folder, ways[i], MODULE, NULL);
    if (g_file_test (file, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer (&file);
  }
  return NULL;
}

static gboolean
check_version (GModule *loaded, GError **error) {
  gpointer version = NULL;
  if (g_module_symbol (loaded, "pw_cuda_module_version", &version)
      && strcmp (version, PW_VERSION) == 0)
    return TRUE;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
               "the CUDA backend \"%s\" is of version %s, this is version " PW_VERSION,
               g_module_name (loaded), version ? (const char *)version : "unknown");
  return FALSE;
}

static gboolean
load (GError **error) {
  if (module)
    return TRUE;
  g_autofree char *file = find_file ();
  if (!file) {
    g_set_error_literal (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
                         "this build has no CUDA backend");
    return FALSE;
  }
  GModule *loaded = g_module_open (file, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (!loaded) {
    g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY,
                 "the CUDA backend cannot be loaded: %s", g_module_error ());
    return FALSE;
  }
  if (!check_version (loaded, error)) {
    g_module_close (loaded);
    return FALSE;
  }
  /* Its strings and functions are in use by then: error domains, tables. */
  g_module_make_resident (loaded);
  module = loaded;
  return TRUE;
}

gpointer
pw_cuda_module_symbol (const char *name, GError **error) {
  gpointer symbol = NULL;
  g_mutex_lock (&mutex);
  if (load (error) && !g_module_symbol (module, name, &symbol))
    g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
                 "the CUDA backend of this build has no %s", name);
  g_mutex_unlock (&mutex);
  return symbol;
}

void
pw_cuda_module_set_file (const char *file) {
  g_mutex_lock (&mutex);
  g_free (file_given);
  file_given = g_strdup (file);
  g_mutex_unlock (&mutex);
}
