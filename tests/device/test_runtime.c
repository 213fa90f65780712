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

/* ---- Graphs ---- */

static void
begin (cudaStream_t stream) {
  SUCCEEDS (cudaStreamBeginCapture (stream, cudaStreamCaptureModeThreadLocal));
}

static void
end_fails (cudaStream_t stream, cudaError_t code) {
  cudaGraph_t graph;
  g_assert_cmpint (cudaStreamEndCapture (stream, &graph), ==, code);
  g_assert_null (graph);
  SUCCEEDS (cudaStreamSynchronize (stream));
  cudaGetLastError ();
}

/* Capturing does nothing, each launch does all of it, in the order of the launching stream. */
static void
test_a_graph_runs_at_each_launch (void) {
  cudaStream_t stream = stream_new ();
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  float *x, y[8];
  SUCCEEDS (cudaMalloc ((void **)&x, sizeof y));
  SUCCEEDS (cudaMemsetAsync (x, 0, sizeof y, stream));
  begin (stream);
  SUCCEEDS (planted_add_one_by_four (x, 2, stream));
  SUCCEEDS (cudaMemcpyAsync (y, x, sizeof y, cudaMemcpyDeviceToHost, stream));
  SUCCEEDS (cudaStreamEndCapture (stream, &graph));
  SUCCEEDS (cudaGraphInstantiate (&exec, graph, 0));
  SUCCEEDS (cudaGraphDestroy (graph));
  for (int i = 1; i <= 3; i++)
    SUCCEEDS (cudaGraphLaunch (exec, stream));
  SUCCEEDS (cudaGraphExecDestroy (exec)); /* what is under way is finished */
  SUCCEEDS (cudaStreamSynchronize (stream));
  for (int i = 0; i < 8; i++)
    g_assert_cmpfloat (y[i], ==, 3);
  SUCCEEDS (cudaFree (x));
  SUCCEEDS (cudaStreamDestroy (stream));
}

/* An external event has the time of the last launch that has come to it. */
static void
test_external_events_are_of_the_last_launch (void) {
  cudaStream_t stream = stream_new ();
  Gate gate = { 0 };
  cudaEvent_t before, event;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  float first, second;
  SUCCEEDS (cudaEventCreate (&before));
  SUCCEEDS (cudaEventCreate (&event));
  SUCCEEDS (cudaEventRecord (before, stream));
  g_assert_cmpint (cudaEventRecordWithFlags (event, stream, cudaEventRecordExternal), ==,
                   cudaErrorInvalidValue);
  begin (stream);
  SUCCEEDS (cudaEventRecordWithFlags (event, stream, cudaEventRecordExternal));
  SUCCEEDS (cudaStreamEndCapture (stream, &graph));
  SUCCEEDS (cudaGraphInstantiate (&exec, graph, 0));
  SUCCEEDS (cudaGraphLaunch (exec, stream));
  SUCCEEDS (cudaStreamSynchronize (stream));
  SUCCEEDS (cudaEventElapsedTime (&first, before, event));
  SUCCEEDS (cudaLaunchHostFunc (stream, wait_at_gate, &gate));
  SUCCEEDS (cudaGraphLaunch (exec, stream));
  SUCCEEDS (cudaEventQuery (event)); /* of the launch before */
  SUCCEEDS (cudaEventElapsedTime (&second, before, event));
  g_assert_cmpfloat (second, ==, first);
  g_usleep (1000);
  g_atomic_int_set (&gate.is_open, 1);
  SUCCEEDS (cudaStreamSynchronize (stream));
  SUCCEEDS (cudaEventElapsedTime (&second, before, event));
  g_assert_cmpfloat (second, >=, first + 1);
  SUCCEEDS (cudaGraphExecDestroy (exec));
  SUCCEEDS (cudaGraphDestroy (graph));
  SUCCEEDS (cudaEventDestroy (before));
  SUCCEEDS (cudaEventDestroy (event));
  SUCCEEDS (cudaStreamDestroy (stream));
  cudaGetLastError ();
}

/* Each row does something while a stream is captured that CUDA does not let it; *CODE is what the
 * end of the capture gives then. */
typedef struct {
  cudaStream_t stream, other;
  cudaEvent_t event, outside;
} Capturing;

static cudaError_t
synchronize_it (Capturing *c) {
  return cudaStreamSynchronize (c->stream);
}
static cudaError_t
query_it (Capturing *c) {
  return cudaStreamQuery (c->stream);
}
static cudaError_t
allocate (Capturing *c) {
  void *memory;
  (void)c;
  return cudaMalloc (&memory, 8);
}
static cudaError_t
synchronize_the_device (Capturing *c) {
  (void)c;
  return cudaDeviceSynchronize ();
}
static cudaError_t
wait_for_work_outside (Capturing *c) {
  return cudaStreamWaitEvent (c->stream, c->outside, 0);
}
static cudaError_t
ask_for_an_event (Capturing *c) {
  return cudaEventQuery (c->outside);
}
static cudaError_t
leave_a_stream (Capturing *c) {
  SUCCEEDS (cudaEventRecord (c->event, c->stream));
  SUCCEEDS (cudaStreamWaitEvent (c->other, c->event, 0));
  SUCCEEDS (cudaEventRecordWithFlags (c->outside, c->other, cudaEventRecordExternal));
  return cudaSuccess;
}
static cudaError_t
merge (Capturing *c) {
  begin (c->other);
  SUCCEEDS (cudaEventRecord (c->event, c->stream));
  cudaError_t code = cudaStreamWaitEvent (c->other, c->event, 0);
  end_fails (c->other, cudaErrorStreamCaptureInvalidated);
  return code;
}
static cudaError_t
end_elsewhere (Capturing *c) {
  cudaGraph_t graph;
  SUCCEEDS (cudaEventRecord (c->event, c->stream));
  SUCCEEDS (cudaStreamWaitEvent (c->other, c->event, 0));
  return cudaStreamEndCapture (c->other, &graph);
}

static void
test_what_a_capture_does_not_allow (void) {
  static const struct {
    cudaError_t (*act) (Capturing *c);
    cudaError_t code, end;
  } rows[] = {
    { synchronize_it, cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated },
    { query_it, cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated },
    { allocate, cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated },
    { synchronize_the_device, cudaErrorStreamCaptureUnsupported,
      cudaErrorStreamCaptureInvalidated },
    { ask_for_an_event, cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated },
    { wait_for_work_outside, cudaErrorStreamCaptureIsolation, cudaErrorStreamCaptureInvalidated },
    { leave_a_stream, cudaSuccess, cudaErrorStreamCaptureUnjoined },
    { merge, cudaErrorStreamCaptureMerge, cudaErrorStreamCaptureInvalidated },
    { end_elsewhere, cudaErrorStreamCaptureUnmatched, cudaErrorStreamCaptureInvalidated },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    Capturing c = { .stream = stream_new (), .other = stream_new () };
    SUCCEEDS (cudaEventCreate (&c.event));
    SUCCEEDS (cudaEventCreate (&c.outside));
    SUCCEEDS (cudaEventRecord (c.outside, c.other));
    g_test_message ("row %d", (int)i);
    begin (c.stream);
    g_assert_cmpint (rows[i].act (&c), ==, rows[i].code);
    end_fails (c.stream, rows[i].end);
    g_assert_cmpint (cudaStreamSynchronize (c.other), ==, cudaSuccess);
    SUCCEEDS (cudaStreamDestroy (c.stream));
    SUCCEEDS (cudaStreamDestroy (c.other));
    SUCCEEDS (cudaEventDestroy (c.event));
    SUCCEEDS (cudaEventDestroy (c.outside));
  }
}

/* A thread in relaxed mode may ask for memory meanwhile, and so may other threads. */
static gpointer
allocate_on_a_thread (gpointer data) {
  void *memory;
  SUCCEEDS (cudaMalloc (&memory, 8));
  *(void **)data = memory;
  return NULL;
}

static void
test_memory_while_capturing (void) {
  cudaStream_t stream = stream_new ();
  cudaGraph_t graph;
  void *memory, *of_thread;
  enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  begin (stream);
  SUCCEEDS (cudaThreadExchangeStreamCaptureMode (&mode));
  SUCCEEDS (cudaMalloc (&memory, 8));
  SUCCEEDS (cudaThreadExchangeStreamCaptureMode (&mode));
  g_assert_cmpint (mode, ==, cudaStreamCaptureModeRelaxed);
  g_thread_join (g_thread_new (NULL, allocate_on_a_thread, &of_thread));
  SUCCEEDS (cudaStreamEndCapture (stream, &graph));
  SUCCEEDS (cudaGraphDestroy (graph));
  SUCCEEDS (cudaFree (memory));
  SUCCEEDS (cudaFree (of_thread));
  SUCCEEDS (cudaStreamDestroy (stream));
}

static void
test_nothing_is_left (void) {
  g_assert_cmpint (pw_fake_live_allocations (), ==, 0);
  g_assert_cmpint (pw_fake_live_streams (), ==, 0);
  g_assert_cmpint (pw_fake_live_events (), ==, 0);
  g_assert_cmpint (pw_fake_live_graphs (), ==, 0);
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
    { "a-graph-runs-at-each-launch", test_a_graph_runs_at_each_launch },
    { "external-events-are-of-the-last-launch", test_external_events_are_of_the_last_launch },
    { "what-a-capture-does-not-allow", test_what_a_capture_does_not_allow },
    { "memory-while-capturing", test_memory_while_capturing },
    { "nothing-is-left", test_nothing_is_left },
  };
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strconcat ("/device/runtime/", tests[i].name, NULL);
    g_test_add_func (path, tests[i].run);
  }
  return g_test_run ();
}
