/* What the files of the fake CUDA runtime share.
 *
 * A stream is a worker thread with a queue, device memory is the host's, an event's record is an
 * object of its own which waiters keep. ThreadSanitizer is told of CUDA's orders only: a call that
 * enqueues before its operation, an operation before the next of its stream, a record before what
 * waits for it, a stream before the host that synchronised it. */
#pragma once
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <pthread.h>
#include <vector>

#include "tests/device/fake/fake.h"
#include "tests/device/fake/lock.h"
#include "tests/device/shim/device_calls.h"

struct Settings {
  std::atomic<uint64_t> seed;
  std::atomic<unsigned> delay_us;
  std::atomic<int> devices;
  std::atomic<size_t> memory_bytes;
  std::atomic<double> hang_s;
};
Settings &settings ();

/* What a record of an event is; waiters keep it. */
struct Record {
  Bell bell;
  std::atomic<bool> done{ false };
  double seconds = 0;
  char mark = 0;
};
/* HOST: who waits, if it is the host. */
void record_wait (Record *record, const char *host);
void record_complete (Record *record);

struct Capture;
/* A node of a capture. */
struct Position {
  int lane, node;
};
typedef std::vector<Position> Positions;

struct Operation {
  const char *what;
  std::function<void ()> run;
  char mark = 0;
};

struct CUstream_st {
  int id, device, priority;
  unsigned flags;
  int references = 2; /* the program's handle, the worker, and every waiting thread */
  SpinLock lock;
  std::deque<Operation *> queue;
  Bell bell;
  long n_enqueued = 0, n_finished = 0;
  bool stop = false;
  const char *running = nullptr;
  char tail_mark = 0;
  Random random;
  std::shared_ptr<Capture> capture; /* the stream is being captured, as this lane */
  int lane = 0;
  CUstream_st (int number, int on_device, unsigned stream_flags, int stream_priority)
      : id (number), device (on_device), priority (stream_priority), flags (stream_flags),
        random (settings ().seed * 1000003 + (uint64_t)number) {
  }
};

/* Every call returns through this: the thread remembers its last error. */
cudaError_t set_last_error (cudaError_t code);
/* Says on standard error why the fake refuses something that CUDA would take or crash on. */
cudaError_t refuse (cudaError_t code, const char *call, const char *why);
/* cudaSuccess, or what pw_fake_break_operation has broken. */
cudaError_t device_state ();
/* Counts down from N; true once, when it reaches zero. */
bool countdown (std::atomic<long> &n);

int current_device ();
/* An error where STREAM is none of ours: the default streams are refused, since what they wait for
 * would hide a missing event. */
cudaError_t check_stream (const char *call, cudaStream_t stream);
bool inside_host_function ();
/* RUN and AT_LAUNCH, which is called when RUN is enqueued, may be called many times: where the
 * stream is being captured, at each launch of the graph. */
cudaError_t enqueue (cudaStream_t stream, const char *what, std::function<void ()> run,
                     std::function<void ()> at_launch = nullptr);
/* Of a graph: no call of the program's can mean it. */
cudaError_t internal_stream_new (cudaStream_t *stream, int device);

/* graph.cpp */
bool is_capturing (const CUstream_st *stream);
/* An error once something has spoilt the stream's capture. */
cudaError_t check_capture (const CUstream_st *stream);
/* An error, which spoils the capture, where the stream is being captured. */
cudaError_t refuse_while_capturing (const CUstream_st *stream, const char *call);
/* The same for a call that the thread may not make while anything is being captured. */
cudaError_t check_unsafe_call (const char *call);
cudaError_t capture_add (CUstream_st *stream, const char *what, std::function<void ()> run,
                         std::function<void ()> at_launch);
/* What an event that is recorded now stands for. */
Positions capture_position (const CUstream_st *stream);
/* STREAM waits for an event of CAPTURE (NULL: of none), which pulls it in. */
cudaError_t capture_wait (CUstream_st *stream, const std::shared_ptr<Capture> &capture,
                          const Positions &positions);

struct Deadline {
  double start = monotonic_seconds ();
  /* Ends the program with what every stream does where the wait has taken too long. */
  void check (const char *who) const;
};

/* In device memory, `data` and `bytes` more; -1: not; else its device. */
int device_of (const void *data, size_t bytes);
extern "C" {
/* For the libraries above the runtime. */
/* RUN and AT_LAUNCH (which may be NULL) as of enqueue; FREE when nobody will call them again, and
 * on an error. */
cudaError_t pw__fake_enqueue (cudaStream_t stream, const char *what, void (*run) (void *),
                              void (*at_launch) (void *), void (*free) (void *), void *data);
/* The stream is being captured. */
int pw__fake_is_capturing (cudaStream_t stream);
int pw__fake_device_of (const void *data, size_t bytes);
/* Its number on the machine, whatever CUDA_VISIBLE_DEVICES makes of it. */
int pw__fake_physical_device (int device);
double pw__fake_hang_s (void);
/* DUMP adds to what is said about a hang. */
void pw__fake_on_hang (void (*dump) (FILE *));
}
