#include "kernels/cuda/handles.h"
#include "kernels/cuda/cuda_private.h"

cudaStream_t
pw_cuda_stream_handle (const PwStream *stream) {
  return stream->stream;
}

cudaEvent_t
pw_cuda_event_handle (const PwEvent *event) {
  return event->event;
}

gboolean
pw_cuda_stream_is_capturing (const PwStream *stream) {
  return stream->graph != NULL;
}

gboolean
pw_cuda_timestamp_record (PwEvent *event, const PwStream *compute, cudaStream_t handle,
                          GError **error) {
  PwStream stream = {
    .device = compute->device, .stream = handle, .clock = compute->clock, .graph = compute->graph
  };
  return pw__cuda_timestamp_record (event, &stream, error);
}
