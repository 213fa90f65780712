/* Lists of layers with skips, as JSON for exec_case_new. */
#pragma once
#include <glib.h>

/* N_BLOCKS of linear and gelu; block i joins in the linear output of block i - DISTANCES[i mod
 * n], where there is one, by TYPE, "add" or "concat". */
char *skip_model_new (const char *type, int n_blocks, const int *distances, int n_distances);
/* Random entries, each reading anything before it. */
char *skip_model_new_random (int n_entries);
