/* Locks that ThreadSanitizer cannot see, so that the fakes' own locking orders nothing in the
 * program under test. */
#pragma once
#include <linux/futex.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/device/shim/sanitizers.h"

struct SpinLock {
  int held = 0;
  void lock () {
    while (__atomic_exchange_n (&held, 1, __ATOMIC_ACQUIRE))
      sched_yield ();
  }
  void unlock () {
    __atomic_store_n (&held, 0, __ATOMIC_RELEASE);
  }
};

/* Held for a few instructions only. What happens meanwhile is bookkeeping, hence hidden. */
struct SpinGuard {
  sanitizers::Hidden hidden;
  SpinLock &lock;
  explicit SpinGuard (SpinLock &l) : lock (l) {
    lock.lock ();
  }
  ~SpinGuard () {
    lock.unlock ();
  }
};

/* Read `count`, look at the condition, then sleep unless it has rung since. The time limit lets
 * waiters look at their own deadlines. */
struct Bell {
  int rings = 0;
  int count () const {
    return __atomic_load_n (&rings, __ATOMIC_ACQUIRE);
  }
  void sleep (int seen) {
    struct timespec limit = { 0, 50 * 1000 * 1000 };
    syscall (SYS_futex, &rings, FUTEX_WAIT_PRIVATE, seen, &limit, nullptr, 0);
  }
  void ring () {
    __atomic_add_fetch (&rings, 1, __ATOMIC_RELEASE);
    syscall (SYS_futex, &rings, FUTEX_WAKE_PRIVATE, 1 << 30, nullptr, nullptr, 0);
  }
};

static inline double
monotonic_seconds () {
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct Random {
  uint64_t state;
  explicit Random (uint64_t seed) : state (seed * 0xbf58476d1ce4e5b9ull ^ 0x9e3779b97f4a7c15ull) {
  }
  uint64_t next () { /* xorshift64, Marsaglia 2003 */
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};
