/* Copies between the device and memory that is not page-locked: the driver would block the host, so
 * they go through page-locked blocks of our own. A block is filled from its start and free again
 * when the stream has been synchronised. Once a step is known to need more, one larger block takes
 * the place of many; beyond STAGED_MAX the host waits instead. */
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

struct PwCudaStaging {
  GArray *blocks;     /* Block; the last one is being filled */
  GArray *deliveries; /* Delivery */
  gsize bytes;        /* of all blocks */
};

PwCudaStaging *
pw__cuda_staging_new (void) {
  PwCudaStaging *staging = g_new0 (PwCudaStaging, 1);
  staging->blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  staging->deliveries = g_array_new (FALSE, FALSE, sizeof (Delivery));
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
  g_free (staging);
}

void
pw__cuda_staging_deliver (PwCudaStaging *staging, gboolean good) {
  for (guint i = 0; good && i < staging->deliveries->len; i++) {
    const Delivery *delivery = &g_array_index (staging->deliveries, Delivery, i);
    memcpy (delivery->to, delivery->from, delivery->bytes);
  }
  g_array_set_size (staging->deliveries, 0);
  if (staging->blocks->len > 1)
    free_blocks (staging, staging->blocks->len - 1);
  if (staging->blocks->len == 1)
    g_array_index (staging->blocks, Block, 0).used = 0;
}

static gboolean
add_block (PwStream *stream, gsize bytes, GError **error) {
  PwCudaStaging *staging = stream->staging;
  if (staging->bytes + bytes > STAGED_MAX && staging->bytes > 0) {
    gboolean good
        = pw__cuda_check (NULL, "wait for copies", cudaStreamSynchronize (stream->stream), error);
    pw__cuda_staging_deliver (staging, good);
    if (!good)
      return FALSE;
    free_blocks (staging, staging->blocks->len);
  }
  Block block = { .bytes = MAX (bytes, MAX (BLOCK_BYTES, 2 * staging->bytes)) };
  block.bytes = MAX (bytes, MIN (block.bytes, STAGED_MAX));
  if (!pw__cuda_check (NULL, "page-locked memory",
                       cudaMallocHost ((void **)&block.memory, block.bytes), error))
    return FALSE;
  staging->bytes += block.bytes;
  g_array_append_val (staging->blocks, block);
  return TRUE;
}

/* BYTES of page-locked memory that are free until the stream is synchronised. */
static char *
stage (PwStream *stream, gsize bytes, GError **error) {
  GArray *blocks = stream->staging->blocks;
  gsize size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  Block *last = blocks->len > 0 ? &g_array_index (blocks, Block, blocks->len - 1) : NULL;
  if (!last || last->bytes - last->used < size) {
    if (!add_block (stream, size, error))
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
  if (bytes == 0)
    return TRUE;
  char *staged = stage (stream, bytes, error);
  if (!staged)
    return FALSE;
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
  g_array_append_val (stream->staging->deliveries, delivery);
  return TRUE;
}
