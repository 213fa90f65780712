/* Devices: how many there are, what they say of themselves, access to each other. */
#include <cstdlib>
#include <cstring>

#include "tests/device/fake/runtime_private.h"

static thread_local int current;
static std::atomic<bool> peers[PW_FAKE_DEVICES_MAX][PW_FAKE_DEVICES_MAX];

int
current_device () {
  return current;
}

/* As CUDA: a list of numbers, cut short at the first that is none. */
static const std::vector<int> *
visible_devices () {
  static const std::vector<int> *all = [] () -> const std::vector<int> * {
    const char *text = getenv ("CUDA_VISIBLE_DEVICES");
    if (!text)
      return nullptr;
    auto *list = new std::vector<int>;
    char *end;
    for (long n = strtol (text, &end, 10); end != text; n = strtol (text, &end, 10)) {
      list->push_back ((int)n);
      text = *end == ',' ? end + 1 : end;
    }
    return list;
  }();
  return all;
}

static int
count_devices () {
  const std::vector<int> *visible = visible_devices ();
  int n = settings ().devices, seen = 0;
  if (!visible || n < 0)
    return n;
  while (seen < (int)visible->size () && (*visible)[(size_t)seen] < n)
    seen++;
  return seen;
}

int
pw__fake_physical_device (int device) {
  const std::vector<int> *visible = visible_devices ();
  return visible && device < (int)visible->size () ? (*visible)[(size_t)device] : device;
}

static cudaError_t
check_device (int device) {
  int count;
  cudaError_t code = cudaGetDeviceCount (&count);
  if (code == cudaSuccess && (device < 0 || device >= count))
    code = cudaErrorInvalidDevice;
  return set_last_error (code);
}

extern "C" {

cudaError_t
cudaGetDeviceCount (int *count) {
  int devices = count_devices ();
  if (devices < 0)
    return set_last_error (cudaErrorInsufficientDriver);
  *count = devices;
  return set_last_error (devices ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t
cudaSetDevice (int device) {
  cudaError_t code = check_device (device);
  if (code == cudaSuccess)
    current = device;
  return code;
}

cudaError_t
cudaGetDevice (int *device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t
cudaInitDevice (int device, unsigned, unsigned) {
  return check_device (device);
}

cudaError_t
cudaGetDeviceProperties (cudaDeviceProp *properties, int device) {
  cudaError_t code = check_device (device);
  if (code != cudaSuccess)
    return code;
  memset ((void *)properties, 0, sizeof *properties);
  snprintf (properties->name, sizeof properties->name, "CUDA on the CPU %d",
            pw__fake_physical_device (device));
  memset (properties->uuid.bytes, pw__fake_physical_device (device) + 1,
          sizeof properties->uuid.bytes);
  properties->totalGlobalMem = settings ().memory_bytes;
  properties->major = 9;
  properties->warpSize = 32;
  properties->multiProcessorCount = 4;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->sharedMemPerBlock = 48 * 1024;
  properties->sharedMemPerBlockOptin = 227 * 1024;
  properties->sharedMemPerMultiprocessor = 228 * 1024;
  properties->l2CacheSize = 1 << 20;
  properties->unifiedAddressing = 1;
  properties->memoryPoolsSupported = 1;
  properties->asyncEngineCount = 3;
  properties->concurrentKernels = 1;
  properties->pciBusID = pw__fake_physical_device (device) + 1;
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetAttribute (int *value, cudaDeviceAttr attribute, int device) {
  cudaError_t code = check_device (device);
  if (code != cudaSuccess)
    return code;
  switch (attribute) {
  case cudaDevAttrComputeCapabilityMajor:
    *value = 9;
    break;
  case cudaDevAttrComputeCapabilityMinor:
    *value = 0;
    break;
  case cudaDevAttrMultiProcessorCount:
    *value = 4;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlockOptin:
    *value = 227 * 1024;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlock:
    *value = 48 * 1024;
    break;
  case cudaDevAttrMaxThreadsPerBlock:
    *value = 1024;
    break;
  case cudaDevAttrWarpSize:
    *value = 32;
    break;
  case cudaDevAttrMemoryPoolsSupported:
    *value = 1;
    break;
  default:
    *value = 0;
  }
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetPCIBusId (char *id, int length, int device) {
  snprintf (id, (size_t)length, "0000:%02X:00.0", device + 1);
  return check_device (device);
}

cudaError_t
cudaDeviceCanAccessPeer (int *can, int device, int peer) {
  cudaError_t code = check_device (device);
  if (code == cudaSuccess)
    code = check_device (peer);
  *can = code == cudaSuccess && device != peer;
  return code;
}

cudaError_t
cudaDeviceEnablePeerAccess (int peer, unsigned) {
  if (check_device (peer) != cudaSuccess || peer == current)
    return set_last_error (cudaErrorInvalidDevice);
  if (peers[current][peer].exchange (true))
    return set_last_error (cudaErrorPeerAccessAlreadyEnabled);
  return cudaSuccess;
}

cudaError_t
cudaDeviceDisablePeerAccess (int peer) {
  if (check_device (peer) != cudaSuccess)
    return cudaErrorInvalidDevice;
  if (!peers[current][peer].exchange (false))
    return set_last_error (cudaErrorPeerAccessNotEnabled);
  return cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion (int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion (int *version) {
  *version = settings ().devices < 0 ? 0 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaSetDeviceFlags (unsigned) {
  return cudaSuccess;
}
}
