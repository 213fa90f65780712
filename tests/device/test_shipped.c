/* The object that nvcc made, unchanged, launches its kernels with the grid, block, shared memory,
 * stream and arguments that its source says: it runs against the fake runtime, which finds the
 * host's bodies of its kernels by the names that the object registers. */
#include <cuda_runtime_api.h>
#include <glib.h>
#include <string.h>

#include "tests/device/fake/fake.h"
#include "tests/device/planted/kernels.h"

#define SUCCEEDS(call) g_assert_cmpint (call, ==, cudaSuccess)

static cudaStream_t stream;

static void *
device_new (size_t bytes, const void *from) {
  void *data;
  SUCCEEDS (cudaMallocAsync (&data, bytes, stream));
  if (from)
    SUCCEEDS (cudaMemcpyAsync (data, from, bytes, cudaMemcpyHostToDevice, stream));
  return data;
}

static void
get (void *to, const void *from, size_t bytes) {
  SUCCEEDS (cudaMemcpyAsync (to, from, bytes, cudaMemcpyDeviceToHost, stream));
  SUCCEEDS (cudaStreamSynchronize (stream));
}

static void
test_grids_of_three_dimensions_and_a_struct (void) {
  enum { n = 64 * 6 * 2 - 5 };
  float x[n];
  uint16_t y[n];
  int places[n];
  for (int i = 0; i < n; i++)
    x[i] = (float)(i % 64);
  const float two = 2;
  float *dx = device_new (sizeof x, x), *scale = device_new (sizeof two, &two);
  void *dy = device_new (sizeof y, NULL);
  int *dplaces = device_new (sizeof places, NULL);
  const PlantedShift shift = { .shift = 3, .n = n };
  SUCCEEDS (planted_pack (dx, scale, shift, dy, dplaces, stream));
  get (y, dy, sizeof y);
  get (places, dplaces, sizeof places);
  for (int i = 0; i < n; i++) {
    const float right = 2 * x[i] + 3; /* exact in bf16: the upper half of an fp32 */
    uint32_t bits;
    memcpy (&bits, &right, sizeof bits);
    g_assert_cmphex (y[i], ==, bits >> 16);
    g_assert_cmpint (places[i], ==, i);
  }
  void *all[] = { dx, scale, dy, dplaces };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    SUCCEEDS (cudaFreeAsync (all[i], stream));
}

static void
test_templates_and_shared_memory (void) {
  enum { rows = 3, columns = 200 };
  float x[rows * columns], y[rows * columns], mean[rows], variance[rows];
  for (int i = 0; i < rows * columns; i++)
    x[i] = (float)(i % columns) + (float)(1000 * (i / columns));
  float *dx = device_new (sizeof x, x), *dy = device_new (sizeof y, NULL);
  float *dmean = device_new (sizeof mean, NULL), *dvariance = device_new (sizeof variance, NULL);
  SUCCEEDS (planted_moments (dx, dy, dmean, dvariance, rows, columns, PLANTED_NONE, stream));
  get (y, dy, sizeof y);
  get (mean, dmean, sizeof mean);
  get (variance, dvariance, sizeof variance);
  for (int i = 0; i < rows * columns; i++)
    g_assert_cmpfloat_with_epsilon (y[i], (float)(i % columns) - 99.5f, 1e-3);
  for (int row = 0; row < rows; row++) {
    g_assert_cmpfloat_with_epsilon (mean[row], 99.5f + 1000 * (float)row, 1e-3);
    g_assert_cmpfloat_with_epsilon (variance[row], (columns * columns - 1) / 12.f, 1e-1);
  }
  float *all[] = { dx, dy, dmean, dvariance };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    SUCCEEDS (cudaFreeAsync (all[i], stream));
}

static void
test_errors_come_back (void) {
  g_assert_cmpint (planted_scale (NULL, 0, 1, stream), ==, cudaErrorInvalidConfiguration);
  g_assert_cmpint (planted_scale (NULL, 1, 1, NULL), ==, cudaErrorInvalidResourceHandle);
  SUCCEEDS (cudaGetLastError ());
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (pw_fake_live_streams (), ==, 0); /* that is, the runtime is the fake one */
  SUCCEEDS (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
  g_test_add_func ("/device/shipped/grids-of-three-dimensions-and-a-struct",
                   test_grids_of_three_dimensions_and_a_struct);
  g_test_add_func ("/device/shipped/templates-and-shared-memory", test_templates_and_shared_memory);
  g_test_add_func ("/device/shipped/errors-come-back", test_errors_come_back);
  int status = g_test_run ();
  SUCCEEDS (cudaStreamDestroy (stream));
  return status;
}
