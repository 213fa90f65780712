/* The CPU as a device: memory is malloc's, a stream is the calling thread, an event is a time. */
#include "kernels/cpu/cpu_private.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct PwEvent {
  double seconds; /* negative: never recorded */
};

static guint
product_hash (gconstpointer key) {
  const unsigned char *bytes = key;
  guint hash = 2166136261u; /* FNV-1a */
  for (gsize i = 0; i < sizeof (PwProduct); i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static gboolean
product_equal (gconstpointer a, gconstpointer b) {
  return memcmp (a, b, sizeof (PwProduct)) == 0;
}

/* oneDNN sums in another order on two threads: the calling thread gets one for good. */
PwStream *
pw__cpu_stream_new (int device G_GNUC_UNUSED, GError **error G_GNUC_UNUSED) {
  omp_set_num_threads (1);
  PwStream *stream = g_new0 (PwStream, 1);
  stream->loops = pw__cpu_vector_loops (0);
  stream->products
      = g_hash_table_new_full (product_hash, product_equal, g_free, pw__cpu_product_free);
  return stream;
}

void
pw__cpu_stream_free (PwStream *stream) {
  if (stream == NULL)
    return;
  g_hash_table_unref (stream->products);
  if (stream->queue != NULL)
    dnnl_stream_destroy (stream->queue);
  if (stream->engine != NULL)
    dnnl_engine_destroy (stream->engine);
  g_free (stream);
}

gboolean
pw__cpu_stream_synchronize (PwStream *stream G_GNUC_UNUSED, GError **error G_GNUC_UNUSED) {
  return TRUE;
}

void *
pw__cpu_alloc (PwStream *stream G_GNUC_UNUSED, gsize bytes, GError **error) {
  void *memory = NULL;
  if (posix_memalign (&memory, 64, MAX (bytes, 64)) == 0)
    return memory;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY,
               "cpu: out of memory: %" G_GSIZE_FORMAT " bytes were asked for", bytes);
  return NULL;
}

void
pw__cpu_free (PwStream *stream G_GNUC_UNUSED, void *memory) {
  free (memory);
}

gboolean
pw__cpu_zero (PwStream *stream G_GNUC_UNUSED, void *memory, gsize bytes,
              GError **error G_GNUC_UNUSED) {
  memset (memory, 0, bytes);
  return TRUE;
}

gboolean
pw__cpu_copy (PwStream *stream G_GNUC_UNUSED, void *to, const void *from, gsize bytes,
              GError **error G_GNUC_UNUSED) {
  memcpy (to, from, bytes);
  return TRUE;
}

PwEvent *
pw__cpu_event_new (GError **error G_GNUC_UNUSED) {
  PwEvent *event = g_new0 (PwEvent, 1);
  event->seconds = -1;
  return event;
}

void
pw__cpu_event_free (PwEvent *event) {
  g_free (event);
}

/* All earlier work has been done when this is called, so there is nothing to note. */
gboolean
pw__cpu_event_record (PwEvent *event G_GNUC_UNUSED, PwStream *stream G_GNUC_UNUSED,
                      GError **error G_GNUC_UNUSED) {
  return TRUE;
}

gboolean
pw__cpu_event_wait (PwEvent *event G_GNUC_UNUSED, PwStream *stream G_GNUC_UNUSED,
                    GError **error G_GNUC_UNUSED) {
  return TRUE;
}

gboolean
pw__cpu_timestamp_record (PwEvent *event, PwStream *stream G_GNUC_UNUSED,
                          GError **error G_GNUC_UNUSED) {
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  event->seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
  return TRUE;
}

gboolean
pw__cpu_timestamp_read (PwEvent *event, double *seconds, GError **error G_GNUC_UNUSED) {
  g_assert (event->seconds >= 0);
  *seconds = event->seconds;
  return TRUE;
}
