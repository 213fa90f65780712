#include "fake_cuda.h"
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdlib.h>

static const FakeDevice *fakes;
static int n_fakes, current, allocations;
static cudaError_t answer;
static gsize allocated;
static GHashTable *sizes; /* memory -> bytes */

void
fake_cuda_set (const FakeDevice *devices, int n, int code) {
  g_assert_cmpuint (allocated, ==, 0);
  g_clear_pointer (&sizes, g_hash_table_unref);
  fakes = devices;
  n_fakes = n;
  answer = (cudaError_t)code;
  current = 0;
}

gsize
fake_cuda_allocated (void) {
  return allocated;
}

int
fake_cuda_allocations (void) {
  return allocations;
}

cudaError_t
cudaGetDeviceCount (int *count) {
  if (answer == cudaSuccess)
    *count = n_fakes;
  return answer;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *properties, int device) {
  g_assert_cmpint (device, <, n_fakes);
  *properties = (struct cudaDeviceProp){ .totalGlobalMem = fakes[device].bytes,
                                         .major = fakes[device].capability / 10,
                                         .minor = fakes[device].capability % 10 };
  g_strlcpy (properties->name, fakes[device].name, sizeof properties->name);
  return cudaSuccess;
}

cudaError_t
cudaSetDevice (int device) {
  current = device;
  return cudaSuccess;
}

cudaError_t
cudaMalloc (void **memory, size_t bytes) {
  if (bytes > fakes[current].bytes - allocated)
    return cudaErrorMemoryAllocation;
  g_assert_cmpint (posix_memalign (memory, 256, bytes), ==, 0);
  if (!sizes)
    sizes = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (sizes, *memory, GSIZE_TO_POINTER (bytes));
  allocated += bytes;
  allocations++;
  return cudaSuccess;
}

cudaError_t
cudaThreadExchangeStreamCaptureMode (enum cudaStreamCaptureMode *mode) {
  (void)mode;
  return cudaSuccess;
}

cudaError_t
cudaFree (void *memory) {
  gpointer bytes;
  g_assert_true (g_hash_table_steal_extended (sizes, memory, NULL, &bytes));
  allocated -= GPOINTER_TO_SIZE (bytes);
  free (memory);
  return cudaSuccess;
}

cudaError_t
cudaMemGetInfo (size_t *free_bytes, size_t *total) {
  *total = fakes[current].bytes;
  *free_bytes = *total - allocated;
  return cudaSuccess;
}

cudaError_t
cudaGetLastError (void) {
  return cudaSuccess;
}

const char *
cudaGetErrorString (cudaError_t code) {
  return code == cudaErrorECCUncorrectable ? "uncorrectable ECC error encountered" : "no error";
}

const char *
cublasLtGetStatusString (cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "failure";
}
