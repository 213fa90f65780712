/* Barriers, warp operations, votes. */
#pragma once
#include "tests/device/shim/device_calls.h"

#define warpSize 32

static inline void
__syncthreads () {
  pw_shim_barrier ();
}

static inline int
__syncthreads_count (int predicate) {
  return pw_shim_barrier_sum (predicate != 0);
}

static inline int
__syncthreads_or (int predicate) {
  return __syncthreads_count (predicate) != 0;
}

static inline int
__syncthreads_and (int predicate) {
  return __syncthreads_count (!predicate) == 0;
}

static inline void
__syncwarp (unsigned mask = 0xffffffffu) {
  char nothing = 0;
  pw_shim_warp (PW_SHIM_SYNC, mask, &nothing, 1, pw_shim_lane, &nothing);
}

/* A fence orders what stands before it with what stands after another thread's later fence. A
 * pattern with a flag or counter needs one on both sides, as CUDA's memory model says. */
static inline void
__threadfence () {
  pw_shim_fence ();
}

static inline void
__threadfence_block () {
  pw_shim_fence ();
}

static inline void
__threadfence_system () {
  pw_shim_fence ();
}

namespace pw_shim {

template <class T>
static inline T
shuffle (unsigned mask, T value, unsigned source) {
  static_assert (sizeof (T) <= 16, "a shuffle of at most 16 bytes");
  T result;
  pw_shim_warp (PW_SHIM_SHUFFLE, mask, &value, sizeof value, source, &result);
  return result;
}

/* SOURCE, or the lane itself where that is outside the lane's segment of WIDTH lanes. */
static inline unsigned
within_segment (unsigned source, unsigned width) {
  return (source & ~(width - 1)) == (pw_shim_lane & ~(width - 1)) ? source : pw_shim_lane;
}

} // namespace pw_shim

template <class T>
static inline T
__shfl_sync (unsigned mask, T value, int source, int width = 32) {
  unsigned w = (unsigned)width;
  return pw_shim::shuffle (mask, value, (pw_shim_lane & ~(w - 1)) + ((unsigned)source & (w - 1)));
}

/* Unlike the others, xor may reach into an earlier segment, not into a later one. */
template <class T>
static inline T
__shfl_xor_sync (unsigned mask, T value, int lanes, int width = 32) {
  unsigned source = pw_shim_lane ^ (unsigned)lanes, segment = ~((unsigned)width - 1);
  bool later = (source & segment) > (pw_shim_lane & segment);
  return pw_shim::shuffle (mask, value, later ? pw_shim_lane : source);
}

template <class T>
static inline T
__shfl_down_sync (unsigned mask, T value, unsigned delta, int width = 32) {
  return pw_shim::shuffle (mask, value,
                           pw_shim::within_segment (pw_shim_lane + delta, (unsigned)width));
}

template <class T>
static inline T
__shfl_up_sync (unsigned mask, T value, unsigned delta, int width = 32) {
  return pw_shim::shuffle (mask, value,
                           pw_shim::within_segment (pw_shim_lane - delta, (unsigned)width));
}

static inline unsigned
__ballot_sync (unsigned mask, int predicate) {
  char vote = predicate != 0;
  return pw_shim_warp (PW_SHIM_VOTE, mask, &vote, 1, pw_shim_lane, &vote);
}

static inline int
__any_sync (unsigned mask, int predicate) {
  return __ballot_sync (mask, predicate) != 0;
}

static inline int
__all_sync (unsigned mask, int predicate) {
  return __ballot_sync (mask, !predicate) == 0;
}
