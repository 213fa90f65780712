/* Streams: a worker thread and a queue each. */
#include <algorithm>
#include <cstdlib>

#include "tests/device/fake/runtime_private.h"

static SpinLock streams_lock;
static int n_streams_made;
static std::vector<void (*) (FILE *)> hang_dumps;
static std::atomic<long> break_operation_after;
static std::atomic<int> break_code, broken;
static thread_local bool in_host_function;

static std::vector<CUstream_st *> &
streams () {
  static std::vector<CUstream_st *> *all = new std::vector<CUstream_st *>;
  return *all;
}

cudaError_t
device_state () {
  return (cudaError_t)broken.load ();
}

bool
inside_host_function () {
  return in_host_function;
}

static void
dump_streams (FILE *out) {
  SpinGuard guard (streams_lock);
  for (const CUstream_st *stream : streams ())
    fprintf (out, "  device %d, stream %d: %s%s, %ld more wait\n", stream->device, stream->id,
             stream->running ? "runs " : "idle", stream->running ? stream->running : "",
             std::max (stream->n_enqueued - stream->n_finished - 1, 0L));
}

void
Deadline::check (const char *who) const {
  if (monotonic_seconds () - start <= settings ().hang_s)
    return;
  fprintf (stderr, "cuda-on-cpu: HANG: %s has waited %g s\n", who, settings ().hang_s.load ());
  dump_streams (stderr);
  for (auto dump : hang_dumps)
    dump (stderr);
  fflush (nullptr);
  _exit (PW_FAKE_EXIT_HANG);
}

static Operation *
next_operation (CUstream_st *stream, bool *stopped) {
  SpinGuard guard (stream->lock);
  *stopped = stream->queue.empty () && stream->stop;
  if (stream->queue.empty ())
    return nullptr;
  Operation *operation = stream->queue.front ();
  stream->queue.pop_front ();
  return operation;
}

static void
delay (CUstream_st *stream) {
  unsigned longest = settings ().delay_us;
  if (!longest)
    return;
  uint64_t us = stream->random.next () % longest;
  struct timespec t = { 0, (long)(us % 1000000 * 1000) };
  syscall (SYS_nanosleep, &t, nullptr);
}

static void
perform (CUstream_st *stream, Operation *operation) {
  delay (stream);
  stream->running = operation->what;
  sanitizers::acquire (&operation->mark);
  operation->run ();
  sanitizers::release (&stream->tail_mark);
  stream->running = nullptr;
  if (countdown (break_operation_after))
    broken = break_code.load ();
  {
    sanitizers::Hidden hidden;
    delete operation;
  }
  __atomic_add_fetch (&stream->n_finished, 1, __ATOMIC_RELEASE);
  stream->bell.ring ();
}

static void
unreference (CUstream_st *stream) {
  sanitizers::Hidden hidden;
  {
    SpinGuard guard (streams_lock);
    if (--stream->references > 0)
      return;
  }
  delete stream;
}

static void *
work (void *data) {
  CUstream_st *stream = (CUstream_st *)data;
  for (bool stopped = false; !stopped;) {
    int seen = stream->bell.count ();
    Operation *operation = next_operation (stream, &stopped);
    if (operation)
      perform (stream, operation);
    else if (!stopped)
      stream->bell.sleep (seen);
  }
  unreference (stream);
  return nullptr;
}

cudaError_t
check_stream (const char *call, cudaStream_t stream) {
  if ((uintptr_t)stream <= 2)
    return refuse (cudaErrorInvalidResourceHandle, call, "a default stream: name one of your own");
  if (in_host_function)
    return refuse (cudaErrorNotPermitted, call, "inside a host function");
  cudaError_t code = check_capture (stream);
  return code != cudaSuccess ? code : set_last_error (device_state ());
}

cudaError_t
enqueue (cudaStream_t stream, const char *what, std::function<void ()> run,
         std::function<void ()> at_launch) {
  if (is_capturing (stream))
    return capture_add (stream, what, std::move (run), std::move (at_launch));
  if (at_launch)
    at_launch ();
  Operation *operation;
  {
    sanitizers::Hidden hidden;
    operation = new Operation{ what, std::move (run) };
  }
  sanitizers::release (&operation->mark);
  {
    SpinGuard guard (stream->lock);
    stream->queue.push_back (operation);
    stream->n_enqueued++;
  }
  stream->bell.ring ();
  return cudaSuccess;
}

cudaError_t
pw__fake_enqueue (cudaStream_t stream, const char *what, void (*run) (void *),
                  void (*at_launch) (void *), void (*free) (void *), void *data) {
  struct Owner {
    void (*free) (void *);
    void *data;
    ~Owner () {
      sanitizers::Hidden hidden;
      free (data);
    }
  };
  std::shared_ptr<Owner> owner (new Owner{ free, data });
  cudaError_t code = check_stream (what, stream);
  if (code != cudaSuccess)
    return code;
  return enqueue (
      stream, what, [owner, run] { run (owner->data); },
      at_launch ? std::function<void ()> ([data, at_launch] { at_launch (data); }) : nullptr);
}

int
pw__fake_is_capturing (cudaStream_t stream) {
  return is_capturing (stream);
}

void
pw__fake_on_hang (void (*dump) (FILE *)) {
  SpinGuard guard (streams_lock);
  hang_dumps.push_back (dump);
}

static cudaError_t
synchronize (CUstream_st *stream, const char *who) {
  long wanted;
  {
    SpinGuard guard (stream->lock);
    wanted = stream->n_enqueued;
  }
  Deadline deadline;
  for (;;) {
    int seen = stream->bell.count ();
    if (__atomic_load_n (&stream->n_finished, __ATOMIC_ACQUIRE) >= wanted)
      break;
    stream->bell.sleep (seen);
    deadline.check (who);
  }
  sanitizers::acquire (&stream->tail_mark);
  return set_last_error (device_state ());
}

/* All streams of a device, also those that another thread destroys meanwhile. */
static std::vector<CUstream_st *>
streams_of (int device) {
  SpinGuard guard (streams_lock);
  std::vector<CUstream_st *> found;
  for (CUstream_st *stream : streams ())
    if (stream->device == device) {
      stream->references++;
      found.push_back (stream);
    }
  return found;
}

static cudaError_t
start (cudaStream_t *out, int device, unsigned flags, int priority) {
  CUstream_st *stream;
  {
    SpinGuard guard (streams_lock);
    stream = new CUstream_st (++n_streams_made, device, flags, priority);
    streams ().push_back (stream);
  }
  pthread_t thread;
  if (pthread_create (&thread, nullptr, work, stream) || pthread_detach (thread))
    abort ();
  *out = stream;
  return cudaSuccess;
}

cudaError_t
internal_stream_new (cudaStream_t *stream, int device) {
  return start (stream, device, cudaStreamNonBlocking, 0);
}

static cudaError_t
stream_new (cudaStream_t *out, unsigned flags, int priority) {
  int device_count;
  cudaError_t code = cudaGetDeviceCount (&device_count);
  if (code != cudaSuccess)
    return code;
  if (!out || flags & ~cudaStreamNonBlocking)
    return set_last_error (cudaErrorInvalidValue);
  return start (out, current_device (), flags, priority);
}

extern "C" {

void
pw_fake_break_operation (long n, int code) {
  break_code = code;
  break_operation_after = n;
}

void
pw_fake_repair (void) {
  break_operation_after = 0;
  broken = cudaSuccess;
}

long
pw_fake_live_streams (void) {
  SpinGuard guard (streams_lock);
  return (long)streams ().size ();
}

cudaError_t
cudaStreamCreateWithPriority (cudaStream_t *stream, unsigned flags, int priority) {
  return stream_new (stream, flags, priority);
}

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned flags) {
  return stream_new (stream, flags, 0);
}

cudaError_t
cudaStreamCreate (cudaStream_t *stream) {
  return stream_new (stream, cudaStreamDefault, 0);
}

/* Work that is under way is finished, and the call does not wait for it. */
cudaError_t
cudaStreamDestroy (cudaStream_t stream) {
  if ((uintptr_t)stream <= 2)
    return refuse (cudaErrorInvalidResourceHandle, "cudaStreamDestroy", "a default stream");
  {
    SpinGuard guard (stream->lock);
    stream->stop = true;
  }
  stream->bell.ring ();
  {
    SpinGuard guard (streams_lock);
    std::vector<CUstream_st *> &all = streams ();
    all.erase (std::remove (all.begin (), all.end (), stream), all.end ());
  }
  unreference (stream);
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream) {
  cudaError_t code = check_stream ("cudaStreamSynchronize", stream);
  if (code == cudaErrorInvalidResourceHandle || code == cudaErrorNotPermitted)
    return code;
  code = refuse_while_capturing (stream, "cudaStreamSynchronize");
  return code != cudaSuccess ? code : synchronize (stream, "cudaStreamSynchronize");
}

cudaError_t
cudaStreamQuery (cudaStream_t stream) {
  cudaError_t code = check_stream ("cudaStreamQuery", stream);
  if (code == cudaSuccess)
    code = refuse_while_capturing (stream, "cudaStreamQuery");
  if (code != cudaSuccess)
    return code;
  {
    SpinGuard guard (stream->lock);
    if (__atomic_load_n (&stream->n_finished, __ATOMIC_ACQUIRE) < stream->n_enqueued)
      return cudaErrorNotReady;
  }
  sanitizers::acquire (&stream->tail_mark);
  return cudaSuccess;
}

cudaError_t
cudaDeviceSynchronize (void) {
  if (in_host_function)
    return refuse (cudaErrorNotPermitted, "cudaDeviceSynchronize", "inside a host function");
  cudaError_t code = check_unsafe_call ("cudaDeviceSynchronize");
  for (CUstream_st *stream : streams_of (current_device ())) {
    if (code == cudaSuccess)
      code = refuse_while_capturing (stream, "cudaDeviceSynchronize");
    if (code == cudaSuccess)
      synchronize (stream, "cudaDeviceSynchronize");
    unreference (stream);
  }
  return code != cudaSuccess ? code : set_last_error (device_state ());
}

cudaError_t
cudaStreamGetFlags (cudaStream_t stream, unsigned *flags) {
  *flags = stream->flags;
  return cudaSuccess;
}

cudaError_t
cudaStreamGetPriority (cudaStream_t stream, int *priority) {
  *priority = stream->priority;
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetStreamPriorityRange (int *least, int *greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t
cudaLaunchHostFunc (cudaStream_t stream, cudaHostFn_t function, void *data) {
  cudaError_t code = check_stream ("cudaLaunchHostFunc", stream);
  if (code != cudaSuccess)
    return code;
  return enqueue (stream, "a host function", [=] {
    in_host_function = true;
    function (data);
    in_host_function = false;
  });
}
}
