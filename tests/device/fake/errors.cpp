/* Error codes: their names, the thread's last one. */
#include <cstdio>

#include "tests/device/fake/runtime_private.h"

static thread_local cudaError_t last_error;

cudaError_t
set_last_error (cudaError_t code) {
  if (code != cudaSuccess)
    last_error = code;
  return code;
}

cudaError_t
refuse (cudaError_t code, const char *call, const char *why) {
  fprintf (stderr, "cuda-on-cpu: %s: %s\n", call, why);
  return set_last_error (code);
}

static const struct {
  cudaError_t code;
  const char *name, *text;
} descriptions[] = {
  { cudaSuccess, "cudaSuccess", "no error" },
  { cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument" },
  { cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory" },
  { cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
    "invalid configuration argument" },
  { cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function" },
  { cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
    "CUDA driver version is insufficient for CUDA runtime version" },
  { cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected" },
  { cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal" },
  { cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle" },
  { cudaErrorNotReady, "cudaErrorNotReady", "device not ready" },
  { cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
    "an illegal memory access was encountered" },
  { cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure" },
  { cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
    "too many resources requested for launch" },
  { cudaErrorPeerAccessAlreadyEnabled, "cudaErrorPeerAccessAlreadyEnabled",
    "peer access is already enabled" },
  { cudaErrorPeerAccessNotEnabled, "cudaErrorPeerAccessNotEnabled",
    "peer access has not been enabled" },
  { cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted" },
  { cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported" },
  { cudaErrorIllegalState, "cudaErrorIllegalState",
    "the operation cannot be performed in the present state" },
  { cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
    "operation not permitted when stream is capturing" },
  { cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
    "operation failed due to a previous error during capture" },
  { cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
    "operation would result in a merge of separate capture sequences" },
  { cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
    "capture was not initiated in this stream" },
  { cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
    "capturing stream has unjoined work" },
  { cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
    "dependency created on uncaptured work in another stream" },
  { cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
    "operation not permitted on an event last recorded in a capturing stream" },
  { cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
    "attempt to terminate a thread-local capture sequence from another thread" },
  { cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered" },
  { cudaErrorUnknown, "cudaErrorUnknown", "unknown error" },
};

extern "C" {

const char *
cudaGetErrorName (cudaError_t code) {
  for (const auto &description : descriptions)
    if (description.code == code)
      return description.name;
  return "unrecognized error code";
}

const char *
cudaGetErrorString (cudaError_t code) {
  for (const auto &description : descriptions)
    if (description.code == code)
      return description.text;
  return "unrecognized error code";
}

cudaError_t
cudaGetLastError (void) {
  cudaError_t code = last_error;
  last_error = cudaSuccess;
  return code != cudaSuccess ? code : device_state ();
}

cudaError_t
cudaPeekAtLastError (void) {
  return last_error != cudaSuccess ? last_error : device_state ();
}
}
