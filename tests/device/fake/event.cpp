/* Events. Each cudaEventRecord makes a Record of its own, which every later wait keeps: a wait is
 * for the record that was the newest when it was called, and takes over that record's order only.
 */
#include "tests/device/fake/runtime_private.h"

struct CUevent_st {
  SpinLock lock;
  int device;
  unsigned flags;
  std::shared_ptr<Record> newest;
  /* Recorded last into this capture, whose nodes it stands for; NULL: not into one. */
  std::shared_ptr<Capture> capture;
  Positions positions;
};

static std::atomic<long> n_live;

static std::shared_ptr<Record>
newest_record (cudaEvent_t event) {
  SpinGuard guard (event->lock);
  return event->newest;
}

void
record_wait (Record *record, const char *host) {
  Deadline deadline;
  for (;;) {
    int seen = record->bell.count ();
    if (record->done)
      break;
    record->bell.sleep (seen);
    if (host)
      deadline.check (host);
  }
  sanitizers::acquire (&record->mark);
}

void
record_complete (Record *record) {
  sanitizers::release (&record->mark);
  record->seconds = monotonic_seconds ();
  record->done = true;
  record->bell.ring ();
}

/* The last owner of a record may be any thread. */
static std::function<void ()>
owning (std::shared_ptr<Record> record, void (*act) (Record *)) {
  struct Owner {
    std::shared_ptr<Record> record;
    ~Owner () {
      sanitizers::Hidden hidden;
      record.reset ();
    }
  };
  auto owner = std::make_shared<Owner> ();
  owner->record = std::move (record);
  return [owner, act] { act (owner->record.get ()); };
}

static void
set_newest (cudaEvent_t event, const std::shared_ptr<Record> &record) {
  SpinGuard guard (event->lock);
  event->newest = record;
  event->capture.reset ();
  event->positions.clear ();
}

/* The event keeps its last record until a launch comes to the node. */
static cudaError_t
record_external (cudaEvent_t event, cudaStream_t stream) {
  {
    SpinGuard guard (event->lock);
    event->capture.reset ();
  }
  return enqueue (stream, "an event's record", [event] {
    std::shared_ptr<Record> record;
    {
      sanitizers::Hidden hidden;
      record = std::make_shared<Record> ();
    }
    record_complete (record.get ());
    sanitizers::Hidden hidden;
    set_newest (event, record);
    record.reset ();
  });
}

static cudaError_t
record_captured (cudaEvent_t event, cudaStream_t stream) {
  Positions positions = capture_position (stream);
  SpinGuard guard (event->lock);
  event->capture = stream->capture;
  event->positions = positions;
  return cudaSuccess;
}

static cudaError_t
check_not_captured (cudaEvent_t event, const char *call) {
  SpinGuard guard (event->lock);
  return event->capture
             ? refuse (cudaErrorCapturedEvent, call, "the event was last recorded into a capture")
             : cudaSuccess;
}

extern "C" {

long
pw_fake_live_events (void) {
  return n_live;
}

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t *event, unsigned flags) {
  if (!event)
    return set_last_error (cudaErrorInvalidValue);
  int n_devices;
  cudaError_t code = cudaGetDeviceCount (&n_devices);
  if (code != cudaSuccess)
    return code;
  sanitizers::Hidden hidden;
  *event = new CUevent_st ();
  (*event)->device = current_device ();
  (*event)->flags = flags;
  n_live++;
  return cudaSuccess;
}

cudaError_t
cudaEventCreate (cudaEvent_t *event) {
  return cudaEventCreateWithFlags (event, cudaEventDefault);
}

cudaError_t
cudaEventDestroy (cudaEvent_t event) {
  if (!event)
    return set_last_error (cudaErrorInvalidResourceHandle);
  sanitizers::Hidden hidden;
  delete event;
  n_live--;
  return cudaSuccess;
}

cudaError_t
cudaEventRecordWithFlags (cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  static const char *const call = "cudaEventRecord";
  cudaError_t code = check_stream (call, stream);
  if (code != cudaSuccess)
    return code;
  if (!event || event->device != stream->device)
    return refuse (cudaErrorInvalidResourceHandle, call,
                   "the event was made for another device than the stream");
  const bool is_external = flags & cudaEventRecordExternal;
  if (is_external && !is_capturing (stream))
    return refuse (cudaErrorInvalidValue, call, "external, but the stream is not being captured");
  sanitizers::Hidden hidden;
  if (is_capturing (stream))
    return is_external ? record_external (event, stream) : record_captured (event, stream);
  auto record = std::make_shared<Record> ();
  set_newest (event, record);
  return enqueue (stream, "an event's record", owning (record, record_complete));
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags (event, stream, cudaEventRecordDefault);
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned) {
  cudaError_t code = check_stream ("cudaStreamWaitEvent", stream);
  if (code != cudaSuccess)
    return code;
  if (!event)
    return set_last_error (cudaErrorInvalidResourceHandle);
  sanitizers::Hidden hidden;
  {
    SpinGuard guard (event->lock);
    if (event->capture || is_capturing (stream))
      return capture_wait (stream, event->capture, event->positions);
  }
  std::shared_ptr<Record> record = newest_record (event);
  if (!record)
    return cudaSuccess; /* never recorded: nothing to wait for */
  return enqueue (stream, "a wait for an event",
                  owning (record, [] (Record *r) { record_wait (r, nullptr); }));
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event) {
  if (inside_host_function ())
    return refuse (cudaErrorNotPermitted, "cudaEventSynchronize", "inside a host function");
  cudaError_t code = check_not_captured (event, "cudaEventSynchronize");
  if (code == cudaSuccess)
    code = check_unsafe_call ("cudaEventSynchronize");
  if (code != cudaSuccess)
    return code;
  std::shared_ptr<Record> record = newest_record (event);
  if (record)
    record_wait (record.get (), "cudaEventSynchronize");
  return set_last_error (device_state ());
}

cudaError_t
cudaEventQuery (cudaEvent_t event) {
  cudaError_t code = check_not_captured (event, "cudaEventQuery");
  if (code == cudaSuccess)
    code = check_unsafe_call ("cudaEventQuery");
  if (code != cudaSuccess)
    return code;
  std::shared_ptr<Record> record = newest_record (event);
  if (device_state () != cudaSuccess)
    return set_last_error (device_state ());
  if (!record)
    return cudaSuccess;
  if (!record->done)
    return cudaErrorNotReady;
  sanitizers::acquire (&record->mark);
  return cudaSuccess;
}

cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if ((start->flags | end->flags) & cudaEventDisableTiming || start->device != end->device)
    return set_last_error (cudaErrorInvalidResourceHandle);
  cudaError_t code = check_not_captured (start, "cudaEventElapsedTime");
  if (code == cudaSuccess)
    code = check_not_captured (end, "cudaEventElapsedTime");
  if (code != cudaSuccess)
    return code;
  std::shared_ptr<Record> from = newest_record (start), to = newest_record (end);
  if (!from || !to)
    return set_last_error (cudaErrorInvalidResourceHandle);
  if (!from->done || !to->done)
    return cudaErrorNotReady;
  *milliseconds = (float)((to->seconds - from->seconds) * 1e3);
  return cudaSuccess;
}
}
