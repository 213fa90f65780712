/* Faults inside one kernel. */
#include <math.h>
#include <string.h>

#include "tests/device/planted/kernels.h"
#include "tests/device/planted/planted.h"

enum { rows = 5, columns = 300 };

static int
is_far (float value, double expected) {
  return !(fabs (value - expected) <= 1e-4 * (1 + fabs (expected)));
}

static float *
upload (const float *from, size_t n, cudaStream_t stream) {
  void *data;
  CHECK (cudaMalloc (&data, n * sizeof (float)));
  if (from)
    CHECK (cudaMemcpyAsync (data, from, n * sizeof (float), cudaMemcpyHostToDevice, stream));
  return data;
}

static cudaStream_t
stream_new (void) {
  cudaStream_t stream;
  CHECK (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
  return stream;
}

static void
fill (float *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    x[i] = (float)((i * 2654435761u >> 7) % 1000) / 250.f - 1.f;
}

static int
moments_wrong (const float *x, const float *y, const float *mean, const float *variance) {
  int wrong = 0;
  for (int row = 0; row < rows; row++) {
    double sum = 0, square = 0;
    for (int i = 0; i < columns; i++)
      sum += x[row * columns + i];
    const double mu = sum / columns;
    for (int i = 0; i < columns; i++) {
      const double d = x[row * columns + i] - mu;
      square += d * d;
      wrong += is_far (y[row * columns + i], d);
    }
    wrong += is_far (mean[row], mu) + is_far (variance[row], square / columns);
  }
  return wrong;
}

static int
run_moments (const char *name) {
  static const struct {
    const char *name;
    PlantedFault fault;
  } faults[] = {
    { "no-barrier-before-reuse", PLANTED_NO_BARRIER_BEFORE_REUSE },
    { "no-barrier-after-write", PLANTED_NO_BARRIER_AFTER_WRITE },
    { "past-static-shared", PLANTED_PAST_STATIC_SHARED },
    { "past-dynamic-shared", PLANTED_PAST_DYNAMIC_SHARED },
    { "past-global", PLANTED_PAST_GLOBAL },
  };
  PlantedFault fault = PLANTED_NONE;
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
    if (!strcmp (faults[i].name, name))
      fault = faults[i].fault;
  float x[rows * columns], y[rows * columns], mean[rows], variance[rows];
  fill (x, rows * columns);
  cudaStream_t stream = stream_new ();
  float *dx = upload (x, rows * columns, stream), *dy = upload (NULL, rows * columns, stream);
  float *dmean = upload (NULL, rows, stream), *dvariance = upload (NULL, rows, stream);
  CHECK (planted_moments (dx, dy, dmean, dvariance, rows, columns, fault, stream));
  CHECK (cudaMemcpyAsync (y, dy, sizeof y, cudaMemcpyDeviceToHost, stream));
  CHECK (cudaMemcpyAsync (mean, dmean, sizeof mean, cudaMemcpyDeviceToHost, stream));
  CHECK (cudaMemcpyAsync (variance, dvariance, sizeof variance, cudaMemcpyDeviceToHost, stream));
  CHECK (cudaStreamSynchronize (stream));
  float *all[] = { dx, dy, dmean, dvariance };
  for (int i = 0; i < 4; i++)
    CHECK (cudaFree (all[i]));
  CHECK (cudaStreamDestroy (stream));
  return moments_wrong (x, y, mean, variance);
}

static int
run_column_sums (const char *name) {
  float x[rows * columns], sums[columns];
  fill (x, rows * columns);
  cudaStream_t stream = stream_new ();
  float *dx = upload (x, rows * columns, stream), *dsums = upload (NULL, columns, stream);
  CHECK (cudaMemsetAsync (dsums, 0, sizeof sums, stream));
  CHECK (planted_column_sums (dx, dsums, rows, columns, !strcmp (name, "atomic-add"), stream));
  CHECK (cudaMemcpyAsync (sums, dsums, sizeof sums, cudaMemcpyDeviceToHost, stream));
  CHECK (cudaStreamSynchronize (stream));
  CHECK (cudaFree (dx));
  CHECK (cudaFree (dsums));
  CHECK (cudaStreamDestroy (stream));
  int wrong = 0;
  for (int i = 0; i < columns; i++) {
    double sum = 0;
    for (int row = 0; row < rows; row++)
      sum += x[row * columns + i];
    wrong += is_far (sums[i], sum);
  }
  return wrong;
}

static int
run_tree_sum (const char *name) {
  float sum;
  cudaStream_t stream = stream_new ();
  float *out = upload (NULL, 1, stream);
  CHECK (planted_tree_sum (out, !strcmp (name, "warp-synchronous"), stream));
  CHECK (cudaMemcpyAsync (&sum, out, sizeof sum, cudaMemcpyDeviceToHost, stream));
  CHECK (cudaStreamSynchronize (stream));
  CHECK (cudaFree (out));
  CHECK (cudaStreamDestroy (stream));
  return is_far (sum, 63 * 32);
}

static int
run_vectors (const char *name) {
  const int misaligned = !strcmp (name, "misaligned-vector");
  float x[256];
  fill (x, 256);
  cudaStream_t stream = stream_new ();
  float *dx = upload (x, 256, stream), y[256];
  CHECK (planted_add_one_by_four (dx + misaligned, misaligned ? 63 : 64, stream));
  CHECK (cudaMemcpyAsync (y, dx, sizeof y, cudaMemcpyDeviceToHost, stream));
  CHECK (cudaStreamSynchronize (stream));
  CHECK (cudaFree (dx));
  CHECK (cudaStreamDestroy (stream));
  int wrong = 0;
  for (int i = misaligned; i < 253; i++)
    wrong += is_far (y[i], x[i] + 1);
  return wrong;
}

static int
run_fatal (const char *name) {
  cudaStream_t stream = stream_new ();
  float *x = upload (NULL, 64, stream);
  if (!strcmp (name, "barrier-after-exit"))
    CHECK (planted_barrier_after_exit (x, stream));
  else
    CHECK (planted_absent_lanes (x, stream));
  CHECK (cudaStreamSynchronize (stream));
  CHECK (cudaFree (x));
  CHECK (cudaStreamDestroy (stream));
  return 0;
}

const PlantedCase planted_kernel_cases[] = {
  { "moments", run_moments },
  { "no-barrier-before-reuse", run_moments },
  { "no-barrier-after-write", run_moments },
  { "past-static-shared", run_moments },
  { "past-dynamic-shared", run_moments },
  { "past-global", run_moments },
  { "atomic-add", run_column_sums },
  { "plain-add", run_column_sums },
  { "tree-sum", run_tree_sum },
  { "warp-synchronous", run_tree_sum },
  { "vectors", run_vectors },
  { "misaligned-vector", run_vectors },
  { "barrier-after-exit", run_fatal },
  { "absent-lanes", run_fatal },
  { NULL, NULL },
};
