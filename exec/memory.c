#include "exec/exec.h"
#include "exec/memory_private.h"

/* Free blocks of one size, a stack: the one freed last is the likeliest to be in the cache. */
typedef struct {
  int64_t bytes; /* 0: an empty place of the hash table */
  void **blocks;
  int n, capacity;
} SizeClass;

struct PwMemory {
  const PwBackend *backend;
  PwStream *stream;
  int rank;
  gboolean is_kept;
  int64_t limit;
  PwMemoryUse use, peak, window;
  SizeClass *classes; /* open addressing; n_places is a power of two */
  int n_places, n_classes;
  GPtrArray *blocks; /* all that the backend gave */
};

PwMemory *
pw__memory_new (const PwBackend *backend, PwStream *stream, int rank, int64_t limit) {
  PwMemory *memory = g_new0 (PwMemory, 1);
  memory->backend = backend;
  memory->stream = stream;
  memory->rank = rank;
  memory->limit = limit;
  memory->n_places = 64;
  memory->classes = g_new0 (SizeClass, (gsize)memory->n_places);
  memory->blocks = g_ptr_array_new ();
  return memory;
}

void
pw__memory_free (PwMemory *memory) {
  if (!memory)
    return;
  for (guint i = 0; i < memory->blocks->len; i++)
    memory->backend->free (memory->stream, g_ptr_array_index (memory->blocks, i));
  g_ptr_array_free (memory->blocks, TRUE);
  for (int i = 0; i < memory->n_places; i++)
    g_free (memory->classes[i].blocks);
  g_free (memory->classes);
  g_free (memory);
}

static SizeClass *
find_place (SizeClass *classes, int n_places, int64_t bytes) {
  uint64_t hash = (uint64_t)bytes * 0x9e3779b97f4a7c15u;
  int at = (int)(hash >> 40) & (n_places - 1);
  while (classes[at].bytes != 0 && classes[at].bytes != bytes)
    at = (at + 1) & (n_places - 1);
  return &classes[at];
}

static void
grow_classes (PwMemory *memory) {
  int n_places = memory->n_places * 2;
  SizeClass *classes = g_new0 (SizeClass, (gsize)n_places);
  for (int i = 0; i < memory->n_places; i++)
    if (memory->classes[i].bytes != 0)
      *find_place (classes, n_places, memory->classes[i].bytes) = memory->classes[i];
  g_free (memory->classes);
  memory->classes = classes;
  memory->n_places = n_places;
}

static SizeClass *
size_class (PwMemory *memory, int64_t bytes) {
  SizeClass *class = find_place (memory->classes, memory->n_places, bytes);
  if (class->bytes == bytes)
    return class;
  if (2 * (memory->n_classes + 1) > memory->n_places) {
    grow_classes (memory);
    class = find_place (memory->classes, memory->n_places, bytes);
  }
  class->bytes = bytes;
  memory->n_classes++;
  return class;
}

/* Hands all free blocks back to the backend; FALSE if there was none. */
static gboolean
trim (PwMemory *memory) {
  gboolean any = FALSE;
  if (memory->is_kept)
    return FALSE;
  for (int i = 0; i < memory->n_places; i++) {
    SizeClass *class = &memory->classes[i];
    for (; class->n > 0; class->n--) {
      void *block = class->blocks[class->n - 1];
      g_ptr_array_remove_fast (memory->blocks, block);
      memory->backend->free (memory->stream, block);
      any = TRUE;
    }
  }
  return any;
}

static void *
allocate (PwMemory *memory, int64_t bytes, GError **error) {
  g_autoptr (GError) first = NULL;
  void *block = memory->backend->alloc (memory->stream, (gsize)bytes, &first);
  if (!block && trim (memory))
    block = memory->backend->alloc (memory->stream, (gsize)bytes, NULL);
  if (!block) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY, "%s",
                 first ? first->message : "out of memory");
    return NULL;
  }
  g_ptr_array_add (memory->blocks, block);
  return block;
}

static void
count (PwMemory *memory, PwMemoryCategory category, int64_t bytes) {
  memory->use.bytes[category] += bytes;
  memory->use.total += bytes;
  if (memory->use.total > memory->window.total)
    memory->window = memory->use;
  if (memory->use.total > memory->peak.total)
    memory->peak = memory->use;
}

gboolean
pw__memory_is_short (const PwMemory *memory, int64_t bytes) {
  return memory->limit > 0 && memory->use.total + bytes > memory->limit;
}

void *
pw__memory_take (PwMemory *memory, PwMemoryCategory category, int64_t bytes, GError **error) {
  int64_t size = MAX (bytes, 1);
  if (pw__memory_is_short (memory, bytes)) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY,
                 "%" G_GINT64_FORMAT " bytes more for %s would pass the limit of %" G_GINT64_FORMAT
                 " bytes per rank: %" G_GINT64_FORMAT " are in use",
                 bytes, pw_memory_names[category], memory->limit, memory->use.total);
    return NULL;
  }
  SizeClass *class = size_class (memory, size);
  void *block = class->n > 0 ? class->blocks[--class->n] : allocate (memory, size, error);
  if (!block) {
    g_prefix_error (error, "%" G_GINT64_FORMAT " bytes for %s: ", bytes, pw_memory_names[category]);
    return NULL;
  }
  count (memory, category, bytes);
  return block;
}

void
pw__memory_give (PwMemory *memory, PwMemoryCategory category, void *data, int64_t bytes) {
  SizeClass *class = size_class (memory, MAX (bytes, 1));
  if (class->n == class->capacity) {
    class->capacity = MAX (8, 2 * class->capacity);
    class->blocks = g_renew (void *, class->blocks, (gsize) class->capacity);
  }
  class->blocks[class->n++] = data;
  count (memory, category, -bytes);
  g_assert (memory->use.bytes[category] >= 0);
}

void
pw__memory_keep (PwMemory *memory, gboolean is_kept) {
  memory->is_kept = is_kept;
}

void
pw__memory_move (PwMemory *memory, PwMemoryCategory from, PwMemoryCategory to, int64_t bytes) {
  memory->use.bytes[from] -= bytes;
  memory->use.bytes[to] += bytes;
}

const PwMemoryUse *
pw__memory_use (const PwMemory *memory) {
  return &memory->use;
}

const PwMemoryUse *
pw__memory_peak (const PwMemory *memory) {
  return &memory->peak;
}

void
pw__memory_window (PwMemory *memory, PwMemoryUse *peak) {
  *peak = memory->window;
  memory->window = memory->use;
}
