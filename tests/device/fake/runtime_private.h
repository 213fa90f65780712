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
cudaError_t enqueue (cudaStream_t stream, const char *what, std::function<void ()> run);

struct Deadline {
  double start = monotonic_seconds ();
  /* Ends the program with what every stream does where the wait has taken too long. */
  void check (const char *who) const;
};

/* In device memory, `data` and `bytes` more; -1: not; else its device. */
int device_of (const void *data, size_t bytes);
extern "C" {
/* For the libraries above the runtime. */
cudaError_t pw__fake_enqueue (cudaStream_t stream, const char *what, void (*run) (void *),
                              void *data);
int pw__fake_device_of (const void *data, size_t bytes);
double pw__fake_hang_s (void);
/* DUMP adds to what is said about a hang. */
void pw__fake_on_hang (void (*dump) (FILE *));
}
