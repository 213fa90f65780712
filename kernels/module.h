/* The CUDA module: kernels/cuda and what else of the house needs CUDA's libraries, in one shared
 * object that is loaded when it is first asked for. Linked in, those libraries would cost every
 * start 0.08 s and 220 MB. */
#pragma once
#include <glib.h>

/* The address of what the module exports as NAME. The module is looked for beside the program or
 * library that asks, stays loaded, and is never looked for by a build without it. Any thread. */
gpointer pw_cuda_module_symbol (const char *name, GError **error);
/* Where it lies, for programs that are not installed beside it. Before the first use. */
void pw_cuda_module_set_file (const char *file);
