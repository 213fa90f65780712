/* Device memory and pinned memory are the host's, filled with NaN when allocated. */
#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/device/fake/runtime_private.h"

namespace {
struct Allocation {
  size_t bytes;
  int device; /* pinned: -1 */
};
typedef std::map<const char *, Allocation> Allocations;
} // namespace

static SpinLock lock;
static size_t used[PW_FAKE_DEVICES_MAX], peak[PW_FAKE_DEVICES_MAX];
static std::atomic<long> fail_after;

static Allocations &
allocations () {
  static Allocations *all = new Allocations;
  return *all;
}

/* The allocation that has DATA's first byte. */
static const Allocation *
find (const void *data, const char **start) {
  auto after = allocations ().upper_bound ((const char *)data);
  if (after == allocations ().begin ())
    return nullptr;
  --after;
  *start = after->first;
  return (const char *)data < after->first + after->second.bytes ? &after->second : nullptr;
}

int
device_of (const void *data, size_t bytes) {
  SpinGuard guard (lock);
  const char *start;
  const Allocation *allocation = find (data, &start);
  if (!allocation || (const char *)data + bytes > start + allocation->bytes)
    return -1;
  return allocation->device;
}

int
pw__fake_device_of (const void *data, size_t bytes) {
  return device_of (data, bytes);
}

static cudaError_t
allocate (void **out, size_t bytes, int device) {
  if (!out)
    return set_last_error (cudaErrorInvalidValue);
  *out = nullptr;
  if (device_state () != cudaSuccess)
    return set_last_error (device_state ());
  if (!bytes)
    return cudaSuccess;
  SpinGuard guard (lock);
  if (device >= 0
      && (countdown (fail_after) || bytes > settings ().memory_bytes
          || used[device] > settings ().memory_bytes - bytes))
    return set_last_error (cudaErrorMemoryAllocation);
  if (posix_memalign (out, 256, bytes))
    return set_last_error (cudaErrorMemoryAllocation);
  allocations ()[(const char *)*out] = { bytes, device };
  if (device >= 0) {
    used[device] += bytes;
    peak[device] = used[device] > peak[device] ? used[device] : peak[device];
  }
  return cudaSuccess;
}

/* Forgets the allocation that starts at DATA; its memory is the caller's to give back. */
static bool
forget (void *data, bool on_device, size_t *bytes) {
  SpinGuard guard (lock);
  auto found = allocations ().find ((const char *)data);
  if (found == allocations ().end () || (found->second.device >= 0) != on_device)
    return false;
  *bytes = found->second.bytes;
  if (on_device)
    used[found->second.device] -= *bytes;
  allocations ().erase (found);
  return true;
}

static void
fill_with_nan (void *data, size_t bytes) {
  memset (data, 0xff, bytes);
}

extern "C" {

void
pw_fake_fail_allocation (long n) {
  fail_after = n;
}

size_t
pw_fake_allocated_bytes (int device) {
  SpinGuard guard (lock);
  return used[device];
}

size_t
pw_fake_allocated_bytes_peak (int device) {
  SpinGuard guard (lock);
  return peak[device];
}

long
pw_fake_live_allocations (void) {
  SpinGuard guard (lock);
  return (long)allocations ().size ();
}

cudaError_t
cudaMalloc (void **data, size_t bytes) {
  int n_devices;
  cudaError_t code = cudaGetDeviceCount (&n_devices);
  if (code == cudaSuccess)
    code = check_unsafe_call ("cudaMalloc");
  if (code == cudaSuccess)
    code = allocate (data, bytes, current_device ());
  if (code == cudaSuccess && bytes)
    fill_with_nan (*data, bytes);
  return code;
}

/* The memory belongs to the stream's order from the start: use on another stream without an event
 * races with the filling. */
cudaError_t
cudaMallocAsync (void **data, size_t bytes, cudaStream_t stream) {
  cudaError_t code = check_stream ("cudaMallocAsync", stream);
  if (code == cudaSuccess && is_capturing (stream))
    return refuse (cudaErrorNotSupported, "cudaMallocAsync", "into a capture is not covered");
  if (code == cudaSuccess)
    code = allocate (data, bytes, stream->device);
  if (code != cudaSuccess || !bytes)
    return code;
  void *memory = *data;
  return enqueue (stream, "an allocation", [=] { fill_with_nan (memory, bytes); });
}

cudaError_t
cudaMallocFromPoolAsync (void **data, size_t bytes, cudaMemPool_t, cudaStream_t stream) {
  return cudaMallocAsync (data, bytes, stream);
}

cudaError_t
cudaFree (void *data) {
  if (!data)
    return cudaSuccess;
  cudaError_t code = cudaDeviceSynchronize ();
  size_t bytes;
  if (!forget (data, true, &bytes))
    return refuse (cudaErrorInvalidValue, "cudaFree", "not the start of a device allocation");
  free (data);
  return code;
}

cudaError_t
cudaFreeAsync (void *data, cudaStream_t stream) {
  cudaError_t code = check_stream ("cudaFreeAsync", stream);
  if (code == cudaSuccess && is_capturing (stream))
    return refuse (cudaErrorNotSupported, "cudaFreeAsync", "into a capture is not covered");
  if (code == cudaErrorInvalidResourceHandle || code == cudaErrorNotPermitted || !data)
    return code;
  size_t bytes;
  if (!forget (data, true, &bytes))
    return refuse (cudaErrorInvalidValue, "cudaFreeAsync", "not the start of a device allocation");
  return enqueue (stream, "a free", [=] {
    sanitizers::touch_write (data, bytes);
    free (data);
  });
}

cudaError_t
cudaMallocHost (void **data, size_t bytes) {
  cudaError_t code = check_unsafe_call ("cudaMallocHost");
  return code != cudaSuccess ? code : allocate (data, bytes, -1);
}

cudaError_t
cudaHostAlloc (void **data, size_t bytes, unsigned) {
  return cudaMallocHost (data, bytes);
}

cudaError_t
cudaFreeHost (void *data) {
  if (!data)
    return cudaSuccess;
  cudaError_t code = cudaDeviceSynchronize ();
  size_t bytes;
  if (!forget (data, false, &bytes))
    return refuse (cudaErrorInvalidValue, "cudaFreeHost", "not the start of a pinned allocation");
  free (data);
  return code;
}

cudaError_t
cudaMemGetInfo (size_t *free_bytes, size_t *total_bytes) {
  SpinGuard guard (lock);
  *total_bytes = settings ().memory_bytes;
  *free_bytes = *total_bytes - used[current_device ()];
  return device_state ();
}

cudaError_t
cudaPointerGetAttributes (cudaPointerAttributes *attributes, const void *data) {
  SpinGuard guard (lock);
  const char *start;
  const Allocation *allocation = find (data, &start);
  *attributes = {};
  attributes->device = allocation && allocation->device >= 0 ? allocation->device : 0;
  attributes->type = !allocation               ? cudaMemoryTypeUnregistered
                     : allocation->device >= 0 ? cudaMemoryTypeDevice
                                               : cudaMemoryTypeHost;
  attributes->hostPointer
      = allocation && allocation->device < 0 ? const_cast<void *> (data) : nullptr;
  attributes->devicePointer = allocation ? const_cast<void *> (data) : nullptr;
  return cudaSuccess;
}

/* Pools: what a program may set is taken, and changes nothing. */
static char the_pool;

cudaError_t
cudaDeviceGetDefaultMemPool (cudaMemPool_t *pool, int) {
  *pool = (cudaMemPool_t)&the_pool;
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetMemPool (cudaMemPool_t *pool, int device) {
  return cudaDeviceGetDefaultMemPool (pool, device);
}

cudaError_t
cudaMemPoolSetAttribute (cudaMemPool_t, cudaMemPoolAttr, void *) {
  return cudaSuccess;
}

cudaError_t
cudaMemPoolTrimTo (cudaMemPool_t, size_t) {
  return cudaSuccess;
}
}
