/* Copies between the device and memory that is not page-locked: the driver would block the host, so
 * they go through page-locked blocks of our own. A block is filled from its start and free again
 * when the stream has been synchronised. Once a step is known to need more, one larger block takes
 * the place of many; beyond STAGED_MAX the host waits instead. That of a graph is kept with all
 * that was ever staged, and is filled by each launch. */
#include "kernels/cuda/cuda_private.h"
#include <string.h>

#define BLOCK_BYTES ((gsize)1 << 18)
#define STAGED_MAX ((gsize)1 << 28)
#define ALIGNMENT ((gsize)64)

typedef struct {
  char *memory;
  gsize bytes, used;
} Block;

typedef struct {
  const char *from; /* staged */
  void *to;
  gsize bytes;
} Delivery;

typedef struct {
  char *to; /* staged */
  const void *from;
  gsize bytes;
  PwCudaMake make; /* NULL: copies */
} Fetch;

struct PwCudaStaging {
  gboolean is_kept;   /* a graph's */
  GArray *blocks;     /* Block; the last one is being filled */
  GArray *deliveries; /* Delivery */
  GArray *fetches;    /* Fetch; of a graph */
  gsize bytes;        /* of all blocks */
};

PwCudaStaging *
pw__cuda_staging_new (void) {
  PwCudaStaging *staging = g_new0 (PwCudaStaging, 1);
  staging->blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  staging->deliveries = g_array_new (FALSE, FALSE, sizeof (Delivery));
  staging->fetches = g_array_new (FALSE, FALSE, sizeof (Fetch));
  return staging;
}

static void
free_blocks (PwCudaStaging *staging, guint n) {
  for (guint i = 0; i < n; i++) {
    Block *block = &g_array_index (staging->blocks, Block, i);
    cudaFreeHost (block->memory);
    staging->bytes -= block->bytes;
  }
  g_array_remove_range (staging->blocks, 0, n);
}

void
pw__cuda_staging_free (PwCudaStaging *staging) {
  if (!staging)
    return;
  free_blocks (staging, staging->blocks->len);
  g_array_unref (staging->blocks);
  g_array_unref (staging->deliveries);
  g_array_unref (staging->fetches);
  g_free (staging);
}

void
pw__cuda_staging_deliver (PwCudaStaging *staging, gboolean good) {
  for (guint i = 0; good && i < staging->deliveries->len; i++) {
    const Delivery *delivery = &g_array_index (staging->deliveries, Delivery, i);
    memcpy (delivery->to, delivery->from, delivery->bytes);
  }
  if (staging->is_kept)
    return;
  g_array_set_size (staging->deliveries, 0);
  if (staging->blocks->len > 1)
    free_blocks (staging, staging->blocks->len - 1);
  if (staging->blocks->len == 1)
    g_array_index (staging->blocks, Block, 0).used = 0;
}

static gboolean
allocate (PwCudaStaging *staging, gsize bytes, GError **error) {
  Block block = { .bytes = bytes };
  enum cudaStreamCaptureMode mode = pw__cuda_set_capture_mode (cudaStreamCaptureModeRelaxed);
  cudaError_t code = cudaMallocHost ((void **)&block.memory, block.bytes);
  pw__cuda_set_capture_mode (mode);
  if (!pw__cuda_check (NULL, "page-locked memory", code, error))
    return FALSE;
  staging->bytes += block.bytes;
  g_array_append_val (staging->blocks, block);
  return TRUE;
}

static gboolean
add_block (PwStream *stream, PwCudaStaging *staging, gsize bytes, GError **error) {
  if (!staging->is_kept && staging->bytes + bytes > STAGED_MAX && staging->bytes > 0) {
    gboolean good
        = pw__cuda_check (NULL, "wait for copies", cudaStreamSynchronize (stream->stream), error);
    pw__cuda_staging_deliver (staging, good);
    if (!good)
      return FALSE;
    free_blocks (staging, staging->blocks->len);
  }
  gsize wanted = MAX (BLOCK_BYTES, 2 * staging->bytes);
  return allocate (staging, MAX (bytes, MIN (wanted, STAGED_MAX)), error);
}

PwCudaStaging *
pw__cuda_staging_new_kept (PwStream *stream, GError **error) {
  PwCudaStaging *staging = pw__cuda_staging_new ();
  staging->is_kept = TRUE;
  if (allocate (staging, MAX (stream->staging->bytes, BLOCK_BYTES), error))
    return staging;
  pw__cuda_staging_free (staging);
  return NULL;
}

void
pw__cuda_staging_fetch (PwCudaStaging *staging) {
  for (guint i = 0; i < staging->fetches->len; i++) {
    const Fetch *fetch = &g_array_index (staging->fetches, Fetch, i);
    if (fetch->make)
      fetch->make (fetch->to, fetch->from);
    else
      memcpy (fetch->to, fetch->from, fetch->bytes);
  }
}

/* Where the stream's copies go through now. */
static PwCudaStaging *
staging_of (const PwStream *stream) {
  return stream->graph ? stream->graph->staging : stream->staging;
}

/* BYTES of page-locked memory that are free until the stream is synchronised. */
static char *
stage (PwStream *stream, gsize bytes, GError **error) {
  PwCudaStaging *staging = staging_of (stream);
  GArray *blocks = staging->blocks;
  gsize size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  Block *last = blocks->len > 0 ? &g_array_index (blocks, Block, blocks->len - 1) : NULL;
  if (!last || last->bytes - last->used < size) {
    if (!add_block (stream, staging, size, error))
      return NULL;
    last = &g_array_index (blocks, Block, blocks->len - 1);
  }
  char *memory = last->memory + last->used;
  last->used += size;
  return memory;
}

gboolean
pw__cuda_copy_from_host (PwStream *stream, void *to, const void *from, gsize bytes,
                         GError **error) {
  return pw__cuda_copy_made (stream, to, from, bytes, NULL, error);
}

gboolean
pw__cuda_copy_made (PwStream *stream, void *to, const void *from, gsize bytes, PwCudaMake make,
                    GError **error) {
  if (bytes == 0)
    return TRUE;
  char *staged = stage (stream, bytes, error);
  if (!staged)
    return FALSE;
  Fetch fetch = { .to = staged, .from = from, .bytes = bytes, .make = make };
  if (stream->graph)
    g_array_append_val (stream->graph->staging->fetches, fetch);
  else if (make)
    make (staged, from);
  else
    memcpy (staged, from, bytes);
  return pw__cuda_check (
      NULL, "copy from host memory",
      cudaMemcpyAsync (to, staged, bytes, cudaMemcpyHostToDevice, stream->stream), error);
}

gboolean
pw__cuda_copy_to_host (PwStream *stream, void *to, const void *from, gsize bytes, GError **error) {
  if (bytes == 0)
    return TRUE;
  char *staged = stage (stream, bytes, error);
  if (!staged
      || !pw__cuda_check (
          NULL, "copy to host memory",
          cudaMemcpyAsync (staged, from, bytes, cudaMemcpyDeviceToHost, stream->stream), error))
    return FALSE;
  Delivery delivery = { .from = staged, .to = to, .bytes = bytes };
  g_array_append_val (staging_of (stream)->deliveries, delivery);
  return TRUE;
}
