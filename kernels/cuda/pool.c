/* A rank's memory on its device. The device is asked for segments, which are cut into blocks; what
 * is freed is joined with its free neighbours and given out again, best fit first. Nothing is asked
 * of the device twice, and no call waits for it: a block belongs to the stream's order, so work
 * that is enqueued after a free may have the block while work from before it still runs.
 *
 *   segment   | block | free | block | block |     neighbours by address
 *   free      256  512  4096 ...                   sorted by (bytes, address)
 *
 * Small requests have segments of their own, so that they do not nibble at large ones. */
#include "kernels/cuda/cuda_private.h"

#define ALIGNMENT ((gsize)256)
#define SMALL_MAX ((gsize)1 << 20)
#define SEGMENT_BYTES ((gsize)1 << 21) /* what the device's driver hands out at least */

/* Where device memory is the host's (CUDA on the CPU), the address sanitizer is told what is free,
 * in the stream's order, as the work that uses it. */
#if defined(__SANITIZE_ADDRESS__) && defined(PW_DEVICE_MEMORY_IS_HOST)
#  include <sanitizer/asan_interface.h>
#  define SLACK ALIGNMENT
#  define IS_SEALED 1
#else
#  define SLACK ((gsize)0)
#  define IS_SEALED 0
#endif

typedef struct Block Block;
struct Block {
  char *memory;
  gsize bytes;
  gboolean is_free, is_small;
  Block *before, *after; /* in the segment; both NULL: the block is the segment */
};

struct PwCudaPool {
  PwStream *stream;
  GHashTable *used;   /* memory -> Block */
  GPtrArray *free[2]; /* [is_small] sorted by (bytes, address) */
  gsize used_bytes, free_bytes;
#if IS_SEALED
  GPtrArray *graph_seals; /* Seal: of work that is a graph's, done at each launch */
#endif
};

#if IS_SEALED
typedef struct {
  char *memory;
  gsize bytes;
  gboolean is_free, is_kept;
} Seal;

static void
seal_now (void *data) {
  Seal *seal = data;
  if (seal->is_free)
    ASAN_POISON_MEMORY_REGION (seal->memory, seal->bytes);
  else
    ASAN_UNPOISON_MEMORY_REGION (seal->memory, seal->bytes);
  if (!seal->is_kept)
    g_free (seal);
}

/* A device that takes no more work has none that could find the seal wrong. */
static void
set_sealed (PwCudaPool *pool, char *memory, gsize bytes, gboolean is_free) {
  Seal *seal = g_new (Seal, 1);
  *seal = (Seal){ memory, bytes, is_free, pool->stream->graph != NULL };
  if (seal->is_kept)
    g_ptr_array_add (pool->graph_seals, seal);
  if (cudaLaunchHostFunc (pool->stream->stream, seal_now, seal) != cudaSuccess)
    seal_now (seal);
}

static void
unseal_segment (const Block *block) {
  ASAN_UNPOISON_MEMORY_REGION (block->memory, block->bytes);
}
#else
#  define set_sealed(pool, memory, bytes, is_free) ((void)0)
#  define unseal_segment(block) ((void)0)
#endif

static void
block_free (gpointer block) {
  g_slice_free (Block, block);
}

PwCudaPool *
pw__cuda_pool_new (PwStream *stream) {
  PwCudaPool *pool = g_new0 (PwCudaPool, 1);
  pool->stream = stream;
  pool->used = g_hash_table_new (NULL, NULL);
  for (int i = 0; i < 2; i++)
    pool->free[i] = g_ptr_array_new ();
#if IS_SEALED
  pool->graph_seals = g_ptr_array_new_with_free_func (g_free);
#endif
  return pool;
}

/* Index of the first free block that is not before (BYTES, MEMORY). */
static guint
find_free (const GPtrArray *list, gsize bytes, const char *memory) {
  guint low = 0, high = list->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    const Block *block = g_ptr_array_index (list, middle);
    if (block->bytes < bytes || (block->bytes == bytes && block->memory < memory))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void
add_free (PwCudaPool *pool, Block *block) {
  GPtrArray *list = pool->free[block->is_small];
  block->is_free = TRUE;
  pool->free_bytes += block->bytes;
  g_ptr_array_insert (list, (int)find_free (list, block->bytes, block->memory), block);
}

static void
remove_free (PwCudaPool *pool, Block *block) {
  GPtrArray *list = pool->free[block->is_small];
  guint at = find_free (list, block->bytes, block->memory);
  g_assert (at < list->len && g_ptr_array_index (list, at) == block);
  g_ptr_array_remove_index (list, at);
  block->is_free = FALSE;
  pool->free_bytes -= block->bytes;
}

/* BLOCK keeps BYTES; the rest becomes a free block after it. */
static void
split (PwCudaPool *pool, Block *block, gsize bytes) {
  gsize rest = block->bytes - bytes;
  if (rest < (block->is_small ? ALIGNMENT : SMALL_MAX))
    return;
  Block *after = g_slice_new0 (Block);
  *after = (Block){ .memory = block->memory + bytes,
                    .bytes = rest,
                    .is_small = block->is_small,
                    .before = block,
                    .after = block->after };
  if (after->after)
    after->after->before = after;
  block->after = after;
  block->bytes = bytes;
  add_free (pool, after);
}

/* AFTER, which is free and no longer in the list, becomes the end of BLOCK. */
static void
join (Block *block, Block *after) {
  block->bytes += after->bytes;
  block->after = after->after;
  if (block->after)
    block->after->before = block;
  block_free (after);
}

/* Gives segments that are free as a whole back to the device; FALSE if there was none. */
static gboolean
trim (PwCudaPool *pool) {
  gboolean any = FALSE;
  if (pool->stream->graph)
    return FALSE; /* a device that frees waits for all its work */
  for (int i = 0; i < 2; i++)
    for (guint k = pool->free[i]->len; k > 0; k--) {
      Block *block = g_ptr_array_index (pool->free[i], k - 1);
      if (block->before || block->after)
        continue;
      remove_free (pool, block);
      unseal_segment (block);
      cudaFree (block->memory);
      block_free (block);
      any = TRUE;
    }
  return any;
}

static void
fail (const PwCudaPool *pool, gsize bytes, GError **error) {
  gsize device_free = 0, device_total = 0;
  cudaMemGetInfo (&device_free, &device_total);
  cudaGetLastError (); /* the failed allocation is reported here, not by the next launch */
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY,
               "cuda: device %d: out of memory: %" G_GSIZE_FORMAT " bytes were asked for; the rank "
               "uses %" G_GSIZE_FORMAT " and keeps %" G_GSIZE_FORMAT
               " in free blocks, %" G_GSIZE_FORMAT " of the device's %" G_GSIZE_FORMAT " are free",
               pool->stream->device, bytes, pool->used_bytes, pool->free_bytes, device_free,
               device_total);
}

static Block *
new_segment (PwCudaPool *pool, gsize bytes, gboolean is_small) {
  gsize size = (bytes + SEGMENT_BYTES - 1) / SEGMENT_BYTES * SEGMENT_BYTES;
  void *memory = NULL;
  if (cudaSetDevice (pool->stream->device) != cudaSuccess)
    return NULL;
  enum cudaStreamCaptureMode mode = pw__cuda_set_capture_mode (cudaStreamCaptureModeRelaxed);
  gboolean good = cudaMalloc (&memory, size) == cudaSuccess
                  || (trim (pool) && cudaMalloc (&memory, size) == cudaSuccess);
  pw__cuda_set_capture_mode (mode);
  if (!good)
    return NULL;
  cudaGetLastError ();
  set_sealed (pool, memory, size, TRUE);
  Block *block = g_slice_new0 (Block);
  *block = (Block){ .memory = memory, .bytes = size, .is_small = is_small };
  return block;
}

void *
pw__cuda_alloc (PwStream *stream, gsize bytes, GError **error) {
  PwCudaPool *pool = stream->pool;
  if (bytes > G_MAXSSIZE - 2 * SEGMENT_BYTES) {
    fail (pool, bytes, error);
    return NULL;
  }
  gsize size = (MAX (bytes, 1) + SLACK + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  gboolean is_small = size < SMALL_MAX;
  GPtrArray *list = pool->free[is_small];
  guint at = find_free (list, size, NULL);
  Block *block;
  if (at < list->len) {
    block = g_ptr_array_index (list, at);
    remove_free (pool, block);
  } else
    block = new_segment (pool, size, is_small);
  if (!block) {
    fail (pool, bytes, error);
    return NULL;
  }
  split (pool, block, size);
  pool->used_bytes += block->bytes;
  g_hash_table_insert (pool->used, block->memory, block);
  set_sealed (pool, block->memory, bytes, FALSE);
  return block->memory;
}

void
pw__cuda_free (PwStream *stream, void *memory) {
  if (!memory)
    return;
  PwCudaPool *pool = stream->pool;
  Block *block = g_hash_table_lookup (pool->used, memory);
  g_assert (block != NULL);
  g_hash_table_remove (pool->used, memory);
  set_sealed (pool, block->memory, block->bytes, TRUE);
  pool->used_bytes -= block->bytes;
  if (block->after && block->after->is_free) {
    remove_free (pool, block->after);
    join (block, block->after);
  }
  if (block->before && block->before->is_free) {
    block = block->before;
    remove_free (pool, block);
    join (block, block->after);
  }
  add_free (pool, block);
}

/* Blocks that are still in use go, too: their stream does. */
void
pw__cuda_pool_free (PwCudaPool *pool) {
  if (!pool)
    return;
  guint n;
  g_autofree gpointer *rest = g_hash_table_get_keys_as_array (pool->used, &n);
  for (guint i = 0; i < n; i++)
    pw__cuda_free (pool->stream, rest[i]);
  trim (pool);
  g_hash_table_unref (pool->used);
  for (int i = 0; i < 2; i++)
    g_ptr_array_unref (pool->free[i]);
#if IS_SEALED
  g_ptr_array_unref (pool->graph_seals);
#endif
  g_free (pool);
}
