/* A rank's stream and what hangs on it. Streams never wait for the legacy stream, and only
 * stream_synchronize and stream_free make the host wait. */
#include "kernels/cuda/attention_private.h"
#include "kernels/cuda/cuda_private.h"

static gboolean
set_up (PwStream *stream, GError **error) {
  if (!pw__cuda_check (NULL, "use of the device", cudaSetDevice (stream->device), error)
      || !pw__cuda_check (NULL, "new stream",
                          cudaStreamCreateWithFlags (&stream->stream, cudaStreamNonBlocking), error)
      || !pw__cuda_check_product (NULL, "cuBLASLt", cublasLtCreate (&stream->products), error))
    return FALSE;
  stream->error_flag = pw__cuda_alloc (stream, sizeof *stream->error_flag, error);
  if (!stream->error_flag
      || !pw__cuda_zero (stream, stream->error_flag, sizeof *stream->error_flag, error))
    return FALSE;
  if (!pw__cuda_steps_init (stream, error))
    return FALSE;
  stream->clock = pw__cuda_clock_new (stream->stream, error);
  return stream->clock != NULL;
}

PwStream *
pw__cuda_stream_new (int place, GError **error) {
  int device;
  if (!pw__cuda_device_of_place (place, &device, error))
    return NULL;
  PwStream *stream = g_new0 (PwStream, 1);
  stream->device = device;
  stream->pool = pw__cuda_pool_new (stream);
  stream->staging = pw__cuda_staging_new ();
  pw__cudnn_attention_open (stream);
  if (set_up (stream, error))
    return stream;
  pw__cuda_stream_free (stream);
  return NULL;
}

/* Errors of work that is thrown away are of no interest. */
void
pw__cuda_stream_free (PwStream *stream) {
  if (!stream)
    return;
  cudaSetDevice (stream->device);
  if (stream->stream)
    cudaStreamSynchronize (stream->stream);
  pw__cudnn_attention_close (stream);
  pw__cuda_product_free (stream);
  if (stream->products)
    cublasLtDestroy (stream->products);
  pw__cuda_clock_release (stream->clock);
  pw__cuda_staging_free (stream->staging);
  pw__cuda_staging_free (stream->orphan);
  pw__cuda_pool_free (stream->pool);
  g_free (stream->steps);
  if (stream->stream)
    cudaStreamDestroy (stream->stream);
  g_free (stream);
}

/* The flag is cleared, so that the stream can go on. */
static gboolean
check_flag (PwStream *stream, GError **error) {
  int flag = stream->error_seen;
  if (flag == 0)
    return TRUE;
  if (!pw__cuda_zero (stream, stream->error_flag, sizeof flag, error)
      || !pw__cuda_check (NULL, "synchronize", cudaStreamSynchronize (stream->stream), error))
    return FALSE;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX,
               "cuda: device %d: a %s is outside its table", stream->device,
               flag & PW_CUDA_INDEX_TOKEN    ? "token"
               : flag & PW_CUDA_INDEX_TARGET ? "target"
                                             : "length");
  return FALSE;
}

gboolean
pw__cuda_stream_synchronize (PwStream *stream, GError **error) {
  gboolean good
      = pw__cuda_copy_to_host (stream, &stream->error_seen, stream->error_flag,
                               sizeof stream->error_seen, error)
        && pw__cuda_check (NULL, "synchronize", cudaStreamSynchronize (stream->stream), error);
  pw__cuda_staging_deliver (stream->staging, good);
  if (stream->launched)
    pw__cuda_staging_deliver (g_steal_pointer (&stream->launched)->staging, good);
  return good && check_flag (stream, error) && pw__cuda_clock_renew (stream, error);
}

gboolean
pw__cuda_zero (PwStream *stream, void *memory, gsize bytes, GError **error) {
  return bytes == 0
         || pw__cuda_check (NULL, "zero", cudaMemsetAsync (memory, 0, bytes, stream->stream),
                            error);
}

gboolean
pw__cuda_copy (PwStream *stream, void *to, const void *from, gsize bytes, GError **error) {
  return bytes == 0
         || pw__cuda_check (
             NULL, "copy",
             cudaMemcpyAsync (to, from, bytes, cudaMemcpyDeviceToDevice, stream->stream), error);
}

PwEvent *
pw__cuda_event_new (GError **error G_GNUC_UNUSED) {
  return g_new0 (PwEvent, 1);
}

void
pw__cuda_event_free (PwEvent *event) {
  if (!event)
    return;
  if (event->event)
    cudaEventDestroy (event->event);
  if (event->timestamp)
    cudaEventDestroy (event->timestamp);
  pw__cuda_clock_release (event->clock);
  g_free (event);
}

gboolean
pw__cuda_event_record (PwEvent *event, PwStream *stream, GError **error) {
  if (!event->event
      && !pw__cuda_check (NULL, "new event",
                          cudaEventCreateWithFlags (&event->event, cudaEventDisableTiming), error))
    return FALSE;
  event->is_captured = stream->graph != NULL;
  return pw__cuda_check (NULL, "record an event", cudaEventRecord (event->event, stream->stream),
                         error);
}

/* An event that was never recorded has nothing to wait for. */
gboolean
pw__cuda_event_wait (PwEvent *event, PwStream *stream, GError **error) {
  return !event->event
         || pw__cuda_check (NULL, "wait for an event",
                            cudaStreamWaitEvent (stream->stream, event->event, 0), error);
}

static gboolean
is_reached (cudaEvent_t event, gboolean *reached, GError **error) {
  cudaError_t code = event ? cudaEventQuery (event) : cudaSuccess;
  *reached = code == cudaSuccess;
  if (code == cudaErrorNotReady) {
    cudaGetLastError (); /* not to be found by the next launch */
    return TRUE;
  }
  return pw__cuda_check (NULL, "test an event", code, error);
}

gboolean
pw__cuda_event_test (PwEvent *event, gboolean *reached, GError **error) {
  gboolean timestamp_reached = FALSE;
  if (!is_reached (event->is_captured ? NULL : event->event, reached, error)
      || !is_reached (event->timestamp, &timestamp_reached, error))
    return FALSE;
  *reached = *reached && timestamp_reached;
  return TRUE;
}
