/* The monotonic clock, and condition variables that keep its time. */
#pragma once
#include <pthread.h>
#include <time.h>

static inline double
pw__now_s (void) {
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline struct timespec
pw__timespec (double seconds) {
  struct timespec t = { .tv_sec = (time_t)seconds };
  t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
  return t;
}

static inline void
pw__cond_init (pthread_cond_t *cond) {
  pthread_condattr_t attributes;
  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (cond, &attributes);
  pthread_condattr_destroy (&attributes);
}
