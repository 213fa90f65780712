/* Events. Each cudaEventRecord makes a Record of its own, which every later wait keeps: a wait is
 * for the record that was the newest when it was called, and takes over that record's order only.
 */
#include "tests/device/fake/runtime_private.h"

namespace {
struct Record {
  Bell bell;
  std::atomic<bool> done{ false };
  double seconds = 0;
  char mark = 0;
};
} // namespace

struct CUevent_st {
  SpinLock lock;
  int device;
  unsigned flags;
  std::shared_ptr<Record> newest;
};

static std::atomic<long> n_live;

static std::shared_ptr<Record>
newest_record (cudaEvent_t event) {
  SpinGuard guard (event->lock);
  return event->newest;
}

static void
wait_for (Record *record, const char *host) {
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

static void
complete (Record *record) {
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
cudaEventRecord (cudaEvent_t event, cudaStream_t stream) {
  cudaError_t code = check_stream ("cudaEventRecord", stream);
  if (code != cudaSuccess)
    return code;
  if (!event || event->device != stream->device)
    return refuse (cudaErrorInvalidResourceHandle, "cudaEventRecord",
                   "the event was made for another device than the stream");
  sanitizers::Hidden hidden;
  auto record = std::make_shared<Record> ();
  {
    SpinGuard guard (event->lock);
    event->newest = record;
  }
  return enqueue (stream, "an event's record", owning (record, complete));
}

cudaError_t
cudaEventRecordWithFlags (cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord (event, stream);
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned) {
  cudaError_t code = check_stream ("cudaStreamWaitEvent", stream);
  if (code != cudaSuccess)
    return code;
  if (!event)
    return set_last_error (cudaErrorInvalidResourceHandle);
  sanitizers::Hidden hidden;
  std::shared_ptr<Record> record = newest_record (event);
  if (!record)
    return cudaSuccess; /* never recorded: nothing to wait for */
  return enqueue (stream, "a wait for an event",
                  owning (record, [] (Record *r) { wait_for (r, nullptr); }));
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event) {
  if (inside_host_function ())
    return refuse (cudaErrorNotPermitted, "cudaEventSynchronize", "inside a host function");
  std::shared_ptr<Record> record = newest_record (event);
  if (record)
    wait_for (record.get (), "cudaEventSynchronize");
  return set_last_error (device_state ());
}

cudaError_t
cudaEventQuery (cudaEvent_t event) {
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
  std::shared_ptr<Record> from = newest_record (start), to = newest_record (end);
  if (!from || !to)
    return set_last_error (cudaErrorInvalidResourceHandle);
  if (!from->done || !to->done)
    return cudaErrorNotReady;
  *milliseconds = (float)((to->seconds - from->seconds) * 1e3);
  return cudaSuccess;
}
}
