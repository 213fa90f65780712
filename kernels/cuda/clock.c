/* One clock for host and devices. Device timestamps are differences between events; to put them on
 * the host's monotonic clock, an event (the base) is recorded and waited for between two looks at
 * that clock, a few times, and the shortest round is kept: the base lies in the middle of it, off
 * by at most half the round, some microseconds (Cristian's method). A timestamp is its base's time
 * plus the elapsed time between both events.
 *
 * Clocks drift apart by some microseconds per second, and the difference is a float of
 * milliseconds, so a base that has grown old is replaced when the stream is idle; each timestamp
 * keeps the base that it was recorded against. */
#include "kernels/cuda/cuda_private.h"
#include <time.h>

#define ROUNDS 5
#define BASE_OLD_S 1.0

struct PwCudaClock {
  gatomicrefcount uses;
  cudaEvent_t base;
  double base_s; /* on the host's monotonic clock */
};

static double
host_seconds (void) {
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static gboolean
time_round (PwCudaClock *clock, cudaStream_t stream, double *shortest, GError **error) {
  cudaEvent_t base;
  if (!pw__cuda_check (NULL, "event of the clock", cudaEventCreate (&base), error))
    return FALSE;
  double before = host_seconds ();
  gboolean good
      = pw__cuda_check (NULL, "record the clock's base", cudaEventRecord (base, stream), error)
        && pw__cuda_check (NULL, "wait for the clock's base", cudaEventSynchronize (base), error);
  double after = host_seconds ();
  if (!good || after - before >= *shortest) {
    cudaEventDestroy (base);
    return good;
  }
  if (clock->base)
    cudaEventDestroy (clock->base);
  clock->base = base;
  clock->base_s = (before + after) / 2;
  *shortest = after - before;
  return TRUE;
}

PwCudaClock *
pw__cuda_clock_new (cudaStream_t stream, GError **error) {
  PwCudaClock *clock = g_new0 (PwCudaClock, 1);
  g_atomic_ref_count_init (&clock->uses);
  double shortest = G_MAXDOUBLE;
  for (int i = 0; i < ROUNDS; i++)
    if (!time_round (clock, stream, &shortest, error)) {
      pw__cuda_clock_release (clock);
      return NULL;
    }
  return clock;
}

void
pw__cuda_clock_release (PwCudaClock *clock) {
  if (!clock || !g_atomic_ref_count_dec (&clock->uses))
    return;
  if (clock->base)
    cudaEventDestroy (clock->base);
  g_free (clock);
}

gboolean
pw__cuda_clock_renew (PwStream *stream, GError **error) {
  if (!stream->clock || host_seconds () - stream->clock->base_s < BASE_OLD_S)
    return TRUE;
  PwCudaClock *clock = pw__cuda_clock_new (stream->stream, error);
  if (!clock)
    return FALSE;
  pw__cuda_clock_release (stream->clock);
  stream->clock = clock;
  return TRUE;
}

void
pw__cuda_timestamp_rebase (PwEvent *event, const PwStream *stream) {
  if (event->clock == stream->clock)
    return;
  pw__cuda_clock_release (event->clock);
  event->clock = stream->clock;
  g_atomic_ref_count_inc (&event->clock->uses);
}

gboolean
pw__cuda_timestamp_record (PwEvent *event, PwStream *stream, GError **error) {
  if (!event->timestamp
      && !pw__cuda_check (NULL, "new timestamp", cudaEventCreate (&event->timestamp), error))
    return FALSE;
  pw__cuda_timestamp_rebase (event, stream);
  if (stream->graph)
    g_ptr_array_add (stream->graph->timestamps, event);
  return pw__cuda_check (
      NULL, "record a timestamp",
      cudaEventRecordWithFlags (event->timestamp, stream->stream,
                                stream->graph ? cudaEventRecordExternal : cudaEventRecordDefault),
      error);
}

gboolean
pw__cuda_timestamp_read (PwEvent *event, double *seconds, GError **error) {
  g_assert (event->timestamp != NULL);
  float milliseconds = 0;
  if (!pw__cuda_check (NULL, "wait for a timestamp", cudaEventSynchronize (event->timestamp), error)
      || !pw__cuda_check (
          NULL, "read a timestamp",
          cudaEventElapsedTime (&milliseconds, event->clock->base, event->timestamp), error)) {
    cudaGetLastError (); /* not to be found by the next launch */
    return FALSE;
  }
  *seconds = event->clock->base_s + 1e-3 * (double)milliseconds;
  return TRUE;
}
