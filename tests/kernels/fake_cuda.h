/* As much of CUDA's runtime as devices.c and pool.c call, for devices that nobody has. */
#pragma once
#include <glib.h>

typedef struct {
  const char *name;
  int capability; /* times 10 */
  gsize bytes;
} FakeDevice;

/* N devices, or none and CODE (a cudaError_t) for who asks. */
void fake_cuda_set (const FakeDevice *devices, int n, int code);
/* Of the current device. */
gsize fake_cuda_allocated (void);
int fake_cuda_allocations (void); /* calls that succeeded, ever */
