#include "schedules/block.h"

#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((gsize)2 << 20)
#define LINE ((gsize)64)
#define KEPT_FROM ((gsize)128 << 10) /* smaller blocks malloc keeps itself */
#define KEPT_MAX 256
#define KEPT_BYTES_MAX ((gsize)1 << 30)

/* Stands before the block, in a cache line of its own. */
typedef struct {
  gsize bytes; /* of block and header */
} Header;

typedef struct {
  Header *header;
  gsize bytes;
} Kept;

static GMutex lock;
static Kept kept[KEPT_MAX];
static int n_kept;
static gsize kept_bytes;

static gboolean
is_huge (gsize bytes) {
  return bytes >= 2 * HUGE_PAGE;
}

/* The smallest that fits and is not twice as large. */
static Header *
take_kept (gsize bytes) {
  int best = -1;
  Header *header = NULL;
  g_mutex_lock (&lock);
  for (int i = 0; i < n_kept; i++)
    if (kept[i].bytes >= bytes && kept[i].bytes / 2 < bytes
        && (best < 0 || kept[i].bytes < kept[best].bytes))
      best = i;
  if (best >= 0) {
    header = kept[best].header;
    header->bytes = kept[best].bytes;
    kept_bytes -= header->bytes;
    kept[best] = kept[--n_kept];
  }
  g_mutex_unlock (&lock);
  return header;
}

/* FALSE: there is no room for it. Tools that watch memory must see what is used after it was freed.
 */
static gboolean
keep (Header *header) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  (void)header;
  return FALSE;
#else
  gsize bytes = header->bytes;
  if (bytes < KEPT_FROM || bytes > KEPT_BYTES_MAX)
    return FALSE;
  if (is_huge (bytes))
    madvise (header, bytes, MADV_FREE);
  g_mutex_lock (&lock);
  gboolean fits = n_kept < KEPT_MAX && kept_bytes + bytes <= KEPT_BYTES_MAX;
  if (fits) {
    kept[n_kept++] = (Kept){ .header = header, .bytes = bytes };
    kept_bytes += bytes;
  }
  g_mutex_unlock (&lock);
  return fits;
#endif
}

gpointer
pw_block_new (gsize bytes) {
  bytes += LINE;
  gsize alignment = is_huge (bytes) ? HUGE_PAGE : LINE;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  Header *header = take_kept (bytes);
  if (header == NULL) {
    header = aligned_alloc (alignment, bytes);
    if (header == NULL)
      g_error ("%" G_GSIZE_FORMAT " bytes: out of memory", bytes);
    if (is_huge (bytes))
      madvise (header, bytes, MADV_HUGEPAGE);
    header->bytes = bytes;
  }
  return (char *)header + LINE;
}

void
pw_block_free (gpointer block) {
  if (block == NULL)
    return;
  Header *header = (Header *)((char *)block - LINE);
  if (!keep (header))
    free (header);
}
