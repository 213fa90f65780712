/* Copies and fills. All are asynchronous for the host, those from and to pageable memory, too:
 * that is the strictest thing CUDA may do. The sanitizers see the memcpy itself. */
#include <cstring>

#include "tests/device/fake/runtime_private.h"

static const char *
kind_error (cudaMemcpyKind kind, bool to_device, bool from_device) {
  switch (kind) {
  case cudaMemcpyHostToHost:
    return to_device || from_device ? "host to host, but device memory" : nullptr;
  case cudaMemcpyHostToDevice:
    return !to_device || from_device ? "not from the host to a device" : nullptr;
  case cudaMemcpyDeviceToHost:
    return to_device || !from_device ? "not from a device to the host" : nullptr;
  case cudaMemcpyDeviceToDevice:
    return !to_device || !from_device ? "not from device to device" : nullptr;
  default:
    return nullptr;
  }
}

/* In device memory from the first byte to the last, or not at all. */
static bool
within_allocation (const void *data, size_t bytes) {
  return device_of (data, bytes) >= 0 || device_of (data, 1) < 0;
}

static cudaError_t
copy (const char *call, void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
      cudaStream_t stream) {
  cudaError_t code = check_stream (call, stream);
  if (code != cudaSuccess || !bytes)
    return code;
  if (!within_allocation (to, bytes) || !within_allocation (from, bytes))
    return refuse (cudaErrorInvalidValue, call, "runs over the end of an allocation");
  const char *wrong = kind_error (kind, device_of (to, bytes) >= 0, device_of (from, bytes) >= 0);
  if (wrong)
    return refuse (cudaErrorInvalidValue, call, wrong);
  return enqueue (stream, "a copy", [=] { memcpy (to, from, bytes); });
}

extern "C" {

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                 cudaStream_t stream) {
  return copy ("cudaMemcpyAsync", to, from, bytes, kind, stream);
}

cudaError_t
cudaMemcpyPeerAsync (void *to, int to_device, const void *from, int from_device, size_t bytes,
                     cudaStream_t stream) {
  if (bytes && (device_of (to, bytes) != to_device || device_of (from, bytes) != from_device))
    return refuse (cudaErrorInvalidValue, "cudaMemcpyPeerAsync", "not the devices named");
  return copy ("cudaMemcpyPeerAsync", to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t
cudaMemcpy2DAsync (void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                   size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  for (size_t row = 0; row < height; row++) {
    cudaError_t code = copy ("cudaMemcpy2DAsync", (char *)to + row * to_pitch,
                             (const char *)from + row * from_pitch, width, kind, stream);
    if (code != cudaSuccess)
      return code;
  }
  return cudaSuccess;
}

cudaError_t
cudaMemsetAsync (void *data, int value, size_t bytes, cudaStream_t stream) {
  cudaError_t code = check_stream ("cudaMemsetAsync", stream);
  if (code != cudaSuccess || !bytes)
    return code;
  if (device_of (data, bytes) < 0)
    return refuse (cudaErrorInvalidValue, "cudaMemsetAsync", "not inside a device allocation");
  return enqueue (stream, "a fill", [=] { memset (data, value, bytes); });
}

/* The synchronous ones use the legacy default stream, with which a non-blocking stream is not
 * ordered. */
cudaError_t
cudaMemcpy (void *, const void *, size_t, cudaMemcpyKind) {
  return refuse (cudaErrorNotSupported, "cudaMemcpy",
                 "is not ordered with your streams; use cudaMemcpyAsync");
}

cudaError_t
cudaMemset (void *, int, size_t) {
  return refuse (cudaErrorNotSupported, "cudaMemset",
                 "is not ordered with your streams; use cudaMemsetAsync");
}
}
