/* What the transports that speak to CUDA's libraries themselves need of the backend's streams and
 * events. They live in the same module. */
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/kernels.h"

cudaStream_t pw_cuda_stream_handle (const PwStream *stream);
/* What is enqueued becomes a graph: no event may be asked for now. */
gboolean pw_cuda_stream_is_capturing (const PwStream *stream);
/* NULL: never recorded. */
cudaEvent_t pw_cuda_event_handle (const PwEvent *event);
/* Into EVENT when HANDLE, a stream of COMPUTE's device, comes there; measured by COMPUTE's clock.
 */
gboolean pw_cuda_timestamp_record (PwEvent *event, const PwStream *compute, cudaStream_t handle,
                                   GError **error);
