/* What the engine and the fakes tell the sanitizers. Neither is instrumented: one build of them
 * serves plain, AddressSanitizer and ThreadSanitizer programs, so every hook is weak.
 *
 * ThreadSanitizer gets exactly the orders that CUDA promises, by acquire and release. Locks inside
 * the fakes are futexes that it cannot see, and their bookkeeping runs under Hidden: an order that
 * only the fake has would hide a missing event in the program under test. */
#pragma once
#include <cstddef>

extern "C" {
void __tsan_acquire (void *) __attribute__ ((weak));
void __tsan_release (void *) __attribute__ ((weak));
void __tsan_read_range (void *, unsigned long) __attribute__ ((weak));
void __tsan_write_range (void *, unsigned long) __attribute__ ((weak));
void __tsan_ignore_thread_begin (void) __attribute__ ((weak));
void __tsan_ignore_thread_end (void) __attribute__ ((weak));
void *__tsan_create_fiber (unsigned) __attribute__ ((weak));
void __tsan_destroy_fiber (void *) __attribute__ ((weak));
void *__tsan_get_current_fiber (void) __attribute__ ((weak));
void __tsan_switch_to_fiber (void *, unsigned) __attribute__ ((weak));
void __sanitizer_start_switch_fiber (void **, const void *, size_t) __attribute__ ((weak));
void __sanitizer_finish_switch_fiber (void *, const void **, size_t *) __attribute__ ((weak));
void __asan_poison_memory_region (const volatile void *, size_t) __attribute__ ((weak));
void __asan_unpoison_memory_region (const volatile void *, size_t) __attribute__ ((weak));
void *__asan_region_is_poisoned (void *, size_t) __attribute__ ((weak));
void __asan_report_error (void *, void *, void *, void *, int, size_t) __attribute__ ((weak));
}

namespace sanitizers {

static inline bool
thread_active () {
  return __tsan_create_fiber != nullptr;
}

static inline void
acquire (void *sync) {
  if (__tsan_acquire)
    __tsan_acquire (sync);
}

static inline void
release (void *sync) {
  if (__tsan_release)
    __tsan_release (sync);
}

static inline void
poison (void *data, size_t bytes) {
  if (__asan_poison_memory_region)
    __asan_poison_memory_region (data, bytes);
}

static inline void
unpoison (void *data, size_t bytes) {
  if (__asan_unpoison_memory_region)
    __asan_unpoison_memory_region (data, bytes);
}

static inline void
check_address (const void *data, size_t bytes, bool write) {
  if (!__asan_region_is_poisoned)
    return;
  void *bad = __asan_region_is_poisoned (const_cast<void *> (data), bytes);
  if (bad) {
    void *frame = __builtin_frame_address (0);
    __asan_report_error (__builtin_return_address (0), frame, frame, bad, write, 1);
  }
}

/* A library call reads or writes these bytes on behalf of the calling thread. */
static inline void
touch_read (const void *data, size_t bytes) {
  if (bytes && __tsan_read_range)
    __tsan_read_range (const_cast<void *> (data), bytes);
  if (bytes)
    check_address (data, bytes, false);
}

static inline void
touch_write (void *data, size_t bytes) {
  if (bytes && __tsan_write_range)
    __tsan_write_range (data, bytes);
  if (bytes)
    check_address (data, bytes, true);
}

/* Memory accesses of this thread (malloc and free among them) are not looked at meanwhile. */
struct Hidden {
  Hidden () {
    if (__tsan_ignore_thread_begin)
      __tsan_ignore_thread_begin ();
  }
  ~Hidden () {
    if (__tsan_ignore_thread_end)
      __tsan_ignore_thread_end ();
  }
  Hidden (const Hidden &) = delete;
  Hidden &operator= (const Hidden &) = delete;
};

} // namespace sanitizers
