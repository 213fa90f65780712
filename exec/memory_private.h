/* The one way to memory: a rank's accounting allocator over the backend's. Live bytes are counted
 * exactly as asked for, by category, as the simulator predicts them. Freed blocks are kept by size,
 * so that after the first iteration nothing is asked of the system any more. One thread at a time.
 */
#pragma once
#include "kernels/kernels.h"
#include "traces/category.h"

typedef struct {
  int64_t total;
  int64_t bytes[PW_MEMORY_N];
} PwMemoryUse;

typedef struct PwMemory PwMemory;
PwMemory *pw__memory_new (const PwBackend *backend, PwStream *stream, int rank, int64_t limit);
/* Everything that was ever allocated goes back to the backend, live or not. */
void pw__memory_free (PwMemory *memory);

void *pw__memory_take (PwMemory *memory, PwMemoryCategory category, int64_t bytes, GError **error);
void pw__memory_give (PwMemory *memory, PwMemoryCategory category, void *data, int64_t bytes);
/* The same bytes are now used for something else. */
/* Free blocks are not given back to the backend: a graph has them. */
void pw__memory_keep (PwMemory *memory, gboolean is_kept);
void pw__memory_move (PwMemory *memory, PwMemoryCategory from, PwMemoryCategory to, int64_t bytes);
/* TRUE if BYTES more would pass the limit. */
gboolean pw__memory_is_short (const PwMemory *memory, int64_t bytes);

const PwMemoryUse *pw__memory_use (const PwMemory *memory);
const PwMemoryUse *pw__memory_peak (const PwMemory *memory);
/* The largest use since the last call. */
void pw__memory_window (PwMemory *memory, PwMemoryUse *peak);
