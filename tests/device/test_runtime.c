/* The fake runtime keeps CUDA's rules: order of streams and events, errors, memory, devices. */
#include <cuda_runtime_api.h>
#include <glib.h>
#include <string.h>

#include "tests/device/fake/fake.h"
#include "tests/device/planted/kernels.h"

#define SUCCEEDS(call) g_assert_cmpint (call, ==, cudaSuccess)

static cudaStream_t
stream_new (void) {
  cudaStream_t stream;
  SUCCEEDS (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
  return stream;
}

/* Host functions that a test opens and closes. */
typedef struct {
  int is_open, order;
} Gate;

static void
wait_at_gate (void *data) {
  Gate *gate = data;
  while (!g_atomic_int_get (&gate->is_open))
    g_usleep (100);
}

static void
test_operations_of_a_stream_run_in_order (void) {
  cudaStream_t stream = stream_new ();
  float *x, y[8];
  SUCCEEDS (cudaMallocAsync ((void **)&x, sizeof y, stream));
  SUCCEEDS (cudaMemsetAsync (x, 0, sizeof y, stream));
  SUCCEEDS (planted_add_one_by_four (x, 2, stream));
  SUCCEEDS (planted_scale (x, 8, 3, stream));
  SUCCEEDS (planted_add_one_by_four (x, 2, stream));
  SUCCEEDS (cudaMemcpyAsync (y, x, sizeof y, cudaMemcpyDeviceToHost, stream));
  SUCCEEDS (cudaFreeAsync (x, stream));
  SUCCEEDS (cudaStreamSynchronize (stream));
  for (int i = 0; i < 8; i++)
    g_assert_cmpfloat (y[i], ==, 4);
  SUCCEEDS (cudaStreamDestroy (stream));
}

static void
test_the_host_does_not_wait (void) {
  cudaStream_t stream = stream_new ();
  Gate gate = { 0 };
  cudaEvent_t event;
  SUCCEEDS (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
  SUCCEEDS (cudaEventQuery (event)); /* never recorded: complete */
  SUCCEEDS (cudaLaunchHostFunc (stream, wait_at_gate, &gate));
  SUCCEEDS (cudaEventRecord (event, stream));
  g_assert_cmpint (cudaStreamQuery (stream), ==, cudaErrorNotReady);
  g_assert_cmpint (cudaEventQuery (event), ==, cudaErrorNotReady);
  g_atomic_int_set (&gate.is_open, 1);
  SUCCEEDS (cudaEventSynchronize (event));
  SUCCEEDS (cudaEventQuery (event));
  SUCCEEDS (cudaStreamSynchronize (stream));
  SUCCEEDS (cudaStreamQuery (stream));
  SUCCEEDS (cudaEventDestroy (event));
  SUCCEEDS (cudaStreamDestroy (stream));
}

/* A later record of the same event, which is never reached, is none of the waiter's business. */
static void
test_a_wait_is_for_the_newest_record_at_its_call (void) {
  cudaStream_t one = stream_new (), other = stream_new ();
  Gate gate = { 0 };
  cudaEvent_t event;
  SUCCEEDS (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
  SUCCEEDS (cudaStreamWaitEvent (other, event, 0)); /* never recorded: no wait */
  SUCCEEDS (cudaEventRecord (event, one));
  SUCCEEDS (cudaStreamWaitEvent (other, event, 0));
  SUCCEEDS (cudaLaunchHostFunc (one, wait_at_gate, &gate));
  SUCCEEDS (cudaEventRecord (event, one));
  SUCCEEDS (cudaStreamSynchronize (other));
  g_assert_cmpint (cudaEventQuery (event), ==, cudaErrorNotReady);
  g_atomic_int_set (&gate.is_open, 1);
  SUCCEEDS (cudaStreamSynchronize (one));
  SUCCEEDS (cudaEventDestroy (event));
  SUCCEEDS (cudaStreamDestroy (one));
  SUCCEEDS (cudaStreamDestroy (other));
}

static void
test_an_event_may_go_before_its_record_is_done (void) {
  cudaStream_t one = stream_new (), other = stream_new ();
  Gate gate = { 0 };
  cudaEvent_t event;
  SUCCEEDS (cudaEventCreate (&event));
  SUCCEEDS (cudaLaunchHostFunc (one, wait_at_gate, &gate));
  SUCCEEDS (cudaEventRecord (event, one));
  SUCCEEDS (cudaStreamWaitEvent (other, event, 0));
  SUCCEEDS (cudaEventDestroy (event));
  g_assert_cmpint (cudaStreamQuery (other), ==, cudaErrorNotReady);
  g_atomic_int_set (&gate.is_open, 1);
  SUCCEEDS (cudaStreamSynchronize (other));
  SUCCEEDS (cudaStreamDestroy (one));
  SUCCEEDS (cudaStreamDestroy (other));
}

static void
test_times_are_those_of_the_stream (void) {
  cudaStream_t stream = stream_new ();
  Gate gate = { 0 };
  cudaEvent_t start, end, untimed;
  float milliseconds;
  SUCCEEDS (cudaEventCreate (&start));
  SUCCEEDS (cudaEventCreate (&end));
  SUCCEEDS (cudaEventCreateWithFlags (&untimed, cudaEventDisableTiming));
  SUCCEEDS (cudaEventRecord (start, stream));
  SUCCEEDS (cudaLaunchHostFunc (stream, wait_at_gate, &gate));
  SUCCEEDS (cudaEventRecord (end, stream));
  SUCCEEDS (cudaEventRecord (untimed, stream));
  g_assert_cmpint (cudaEventElapsedTime (&milliseconds, start, end), ==, cudaErrorNotReady);
  SUCCEEDS (cudaEventSynchronize (start));
  g_usleep (2000);
  g_atomic_int_set (&gate.is_open, 1);
  SUCCEEDS (cudaEventSynchronize (end));
  SUCCEEDS (cudaEventElapsedTime (&milliseconds, start, end));
  g_assert_cmpfloat (milliseconds, >=, 2);
  g_assert_cmpint (cudaEventElapsedTime (&milliseconds, start, untimed), ==,
                   cudaErrorInvalidResourceHandle);
  cudaGetLastError ();
  SUCCEEDS (cudaStreamSynchronize (stream));
  SUCCEEDS (cudaEventDestroy (start));
  SUCCEEDS (cudaEventDestroy (end));
  SUCCEEDS (cudaEventDestroy (untimed));
  SUCCEEDS (cudaStreamDestroy (stream));
}

static void
test_default_streams_and_synchronous_copies_are_refused (void) {
  float *x, y = 0;
  SUCCEEDS (cudaMalloc ((void **)&x, 64));
  g_assert_cmpint (planted_scale (x, 16, 2, NULL), ==, cudaErrorInvalidResourceHandle);
  g_assert_cmpint (planted_scale (x, 16, 2, cudaStreamPerThread), ==,
                   cudaErrorInvalidResourceHandle);
  g_assert_cmpint (cudaMemcpy (x, &y, sizeof y, cudaMemcpyHostToDevice), ==, cudaErrorNotSupported);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorNotSupported);
  SUCCEEDS (cudaGetLastError ());
  SUCCEEDS (cudaFree (x));
}

static void
test_wrong_copies_are_refused (void) {
  cudaStream_t stream = stream_new ();
  char *x, host[64];
  SUCCEEDS (cudaMalloc ((void **)&x, 64));
  const struct {
    void *to;
    const void *from;
    size_t bytes;
    enum cudaMemcpyKind kind;
  } rows[] = {
    { x, host, 65, cudaMemcpyHostToDevice },   { x + 1, host, 64, cudaMemcpyHostToDevice },
    { host, x, 64, cudaMemcpyHostToDevice },   { x, host, 64, cudaMemcpyDeviceToHost },
    { x, host, 64, cudaMemcpyDeviceToDevice }, { x, x, 64, cudaMemcpyHostToHost },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    g_assert_cmpint (
        cudaMemcpyAsync (rows[i].to, rows[i].from, rows[i].bytes, rows[i].kind, stream), ==,
        cudaErrorInvalidValue);
  g_assert_cmpint (cudaMemsetAsync (x + 60, 0, 8, stream), ==, cudaErrorInvalidValue);
  g_assert_cmpint (cudaFree (x + 8), ==, cudaErrorInvalidValue);
  g_assert_cmpint (cudaFreeHost (x), ==, cudaErrorInvalidValue);
  cudaGetLastError ();
  SUCCEEDS (cudaFree (x));
  SUCCEEDS (cudaStreamDestroy (stream));
}

static void
test_memory_ends_where_the_device_does (void) {
  const size_t before = pw_fake_allocated_bytes (0);
  size_t free_bytes, total_bytes;
  void *x, *y = NULL;
  pw_fake_set_memory (before + 1000);
  SUCCEEDS (cudaMalloc (&x, 600));
  SUCCEEDS (cudaMemGetInfo (&free_bytes, &total_bytes));
  g_assert_cmpuint (free_bytes, ==, 400);
  g_assert_cmpint (cudaMalloc (&y, 401), ==, cudaErrorMemoryAllocation);
  g_assert_null (y);
  g_assert_cmpstr (cudaGetErrorName (cudaGetLastError ()), ==, "cudaErrorMemoryAllocation");
  SUCCEEDS (cudaSetDevice (1)); /* whose memory is its own */
  SUCCEEDS (cudaMalloc (&y, 900));
  SUCCEEDS (cudaFree (y));
  SUCCEEDS (cudaSetDevice (0));
  SUCCEEDS (cudaFree (x));
  g_assert_cmpuint (pw_fake_allocated_bytes (0), ==, before);
  pw_fake_set_memory ((size_t)8 << 30);
}

static void
test_the_nth_allocation_fails_once (void) {
  void *x[3];
  pw_fake_fail_allocation (2);
  SUCCEEDS (cudaMalloc (&x[0], 8));
  g_assert_cmpint (cudaMalloc (&x[1], 8), ==, cudaErrorMemoryAllocation);
  SUCCEEDS (cudaMalloc (&x[2], 8));
  SUCCEEDS (cudaFree (x[0]));
  SUCCEEDS (cudaFree (x[2]));
  cudaGetLastError ();
}

static void
test_the_nth_launch_is_refused_once (void) {
  cudaStream_t stream = stream_new ();
  float *x;
  SUCCEEDS (cudaMalloc ((void **)&x, 64));
  pw_fake_fail_launch (2, cudaErrorLaunchOutOfResources);
  SUCCEEDS (planted_scale (x, 16, 2, stream));
  g_assert_cmpint (planted_scale (x, 16, 2, stream), ==, cudaErrorLaunchOutOfResources);
  SUCCEEDS (planted_scale (x, 16, 2, stream));
  SUCCEEDS (cudaFree (x));
  SUCCEEDS (cudaStreamDestroy (stream));
}

static void
test_a_broken_device_stays_broken (void) {
  cudaStream_t stream = stream_new ();
  float *x;
  SUCCEEDS (cudaMalloc ((void **)&x, 64));
  pw_fake_break_operation (1, cudaErrorIllegalAddress);
  SUCCEEDS (cudaMemsetAsync (x, 0, 64, stream));
  g_assert_cmpint (cudaStreamSynchronize (stream), ==, cudaErrorIllegalAddress);
  g_assert_cmpint (planted_scale (x, 16, 2, stream), ==, cudaErrorIllegalAddress);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorIllegalAddress);
  g_assert_cmpint (cudaDeviceSynchronize (), ==, cudaErrorIllegalAddress);
  pw_fake_repair ();
  cudaGetLastError ();
  SUCCEEDS (cudaFree (x));
  SUCCEEDS (cudaStreamDestroy (stream));
}

static void
call_back (void *data) {
  cudaStream_t *stream = data;
  g_assert_cmpint (cudaStreamSynchronize (*stream), ==, cudaErrorNotPermitted);
}

static void
test_a_host_function_may_not_call_cuda (void) {
  cudaStream_t stream = stream_new (), other = stream_new ();
  SUCCEEDS (cudaLaunchHostFunc (stream, call_back, &other));
  SUCCEEDS (cudaStreamSynchronize (stream));
  SUCCEEDS (cudaStreamDestroy (stream));
  SUCCEEDS (cudaStreamDestroy (other));
}

static void
test_devices_are_kept_apart (void) {
  int n, can;
  struct cudaDeviceProp properties;
  cudaEvent_t event;
  SUCCEEDS (cudaGetDeviceCount (&n));
  g_assert_cmpint (n, ==, 2);
  g_assert_cmpint (cudaSetDevice (2), ==, cudaErrorInvalidDevice);
  SUCCEEDS (cudaGetDeviceProperties (&properties, 1));
  g_assert_cmpint (properties.major, ==, 9);
  SUCCEEDS (cudaDeviceCanAccessPeer (&can, 0, 1));
  g_assert_true (can);
  SUCCEEDS (cudaDeviceEnablePeerAccess (1, 0));
  g_assert_cmpint (cudaDeviceEnablePeerAccess (1, 0), ==, cudaErrorPeerAccessAlreadyEnabled);
  SUCCEEDS (cudaDeviceDisablePeerAccess (1));
  cudaStream_t of_zero = stream_new ();
  float *x;
  SUCCEEDS (cudaMalloc ((void **)&x, 64));
  SUCCEEDS (cudaSetDevice (1));
  g_assert_cmpint (planted_scale (x, 16, 2, of_zero), ==, cudaErrorInvalidResourceHandle);
  SUCCEEDS (cudaEventCreate (&event));
  g_assert_cmpint (cudaEventRecord (event, of_zero), ==, cudaErrorInvalidResourceHandle);
  SUCCEEDS (cudaEventDestroy (event));
  SUCCEEDS (cudaSetDevice (0));
  SUCCEEDS (cudaFree (x));
  SUCCEEDS (cudaStreamDestroy (of_zero));
  cudaGetLastError ();
}

static void
test_a_machine_may_have_no_device (void) {
  int n = -7;
  cudaStream_t stream;
  pw_fake_set_devices (0);
  g_assert_cmpint (cudaGetDeviceCount (&n), ==, cudaErrorNoDevice);
  g_assert_cmpint (n, ==, 0);
  n = -7;
  pw_fake_set_devices (-1);
  g_assert_cmpint (cudaGetDeviceCount (&n), ==, cudaErrorInsufficientDriver);
  g_assert_cmpint (n, ==, -7);
  g_assert_cmpint (cudaStreamCreate (&stream), ==, cudaErrorInsufficientDriver);
  pw_fake_set_devices (2);
  cudaGetLastError ();
}

static void
test_nothing_is_left (void) {
  g_assert_cmpint (pw_fake_live_allocations (), ==, 0);
  g_assert_cmpint (pw_fake_live_streams (), ==, 0);
  g_assert_cmpint (pw_fake_live_events (), ==, 0);
}

int
main (int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run) (void);
  } tests[] = {
    { "operations-of-a-stream-run-in-order", test_operations_of_a_stream_run_in_order },
    { "the-host-does-not-wait", test_the_host_does_not_wait },
    { "a-wait-is-for-the-newest-record-at-its-call",
      test_a_wait_is_for_the_newest_record_at_its_call },
    { "an-event-may-go-before-its-record-is-done", test_an_event_may_go_before_its_record_is_done },
    { "times-are-those-of-the-stream", test_times_are_those_of_the_stream },
    { "default-streams-and-synchronous-copies-are-refused",
      test_default_streams_and_synchronous_copies_are_refused },
    { "wrong-copies-are-refused", test_wrong_copies_are_refused },
    { "memory-ends-where-the-device-does", test_memory_ends_where_the_device_does },
    { "the-nth-allocation-fails-once", test_the_nth_allocation_fails_once },
    { "the-nth-launch-is-refused-once", test_the_nth_launch_is_refused_once },
    { "a-broken-device-stays-broken", test_a_broken_device_stays_broken },
    { "a-host-function-may-not-call-cuda", test_a_host_function_may_not_call_cuda },
    { "devices-are-kept-apart", test_devices_are_kept_apart },
    { "a-machine-may-have-no-device", test_a_machine_may_have_no_device },
    { "nothing-is-left", test_nothing_is_left },
  };
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strconcat ("/device/runtime/", tests[i].name, NULL);
    g_test_add_func (path, tests[i].run);
  }
  return g_test_run ();
}
