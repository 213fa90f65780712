/* One block of a grid while it runs: threads are fibers of one OS thread, so nothing here needs a
 * lock, and which thread goes next is the scheduler's choice.
 *
 * Even and odd blocks have fibers and synchronisation marks of their own under ThreadSanitizer:
 * neighbouring blocks are then unordered, and a race between them shows. Two marks alternate per
 * barrier (and per warp operation): with one mark a thread that left the barrier late would take
 * over what a fast one did after it. */
#pragma once
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "tests/device/fake/lock.h"
#include "tests/device/shim/device_calls.h"
#include "tests/device/shim/fiber.h"

enum class ThreadState { ready, at_barrier, in_warp_operation, finished };

struct Block;
struct DeviceThread {
  Fiber *fiber;
  Block *block;
  ThreadState state;
  uint3 index;
  unsigned number, lane, warp;
};

/* An operation over the lanes of MASK; slots alternate, too. */
struct WarpExchange {
  unsigned mask, arrived, generation;
  unsigned n_unfetched; /* lanes that have yet to read the last result */
  PwShimWarpOperation operation;
  unsigned nonzero[2];
  char slots[2][32][16];
  char marks[2][2]; /* [parity of the block][generation] */
};

struct Warp {
  std::deque<WarpExchange> exchanges; /* as many as different masks were under way at once */
  unsigned ready;                     /* lanes */
};

struct Barrier {
  unsigned arrived, generation;
  int sum, last_sum;
  char marks[2][2];
};

struct Block {
  const PwShimKernel *kernel;
  PwShimGeometry geometry;
  void **arguments;
  uint3 index;
  unsigned parity;
  unsigned n_threads, n_finished, warps_ready;
  std::vector<Fiber *> fibers; /* twice n_threads under ThreadSanitizer */
  std::vector<DeviceThread> threads;
  std::vector<Warp> warps;
  std::vector<unsigned> preference; /* warps, the first goes first */
  Barrier barrier;
  Fiber scheduler;
  char start_mark, end_mark;
  /* Shared memory: see shared_memory.cpp. */
  size_t shared_bytes;
  std::vector<std::pair<const void *, void *>> arrays; /* declaration, memory */
  std::vector<void *> old_arrays;
};

/* The thread that runs now. */
extern thread_local DeviceThread *pw_shim_current;

void block_wake (Block *block, DeviceThread *thread);
/* Lets the scheduler choose; comes back when it chose this one. */
void block_yield (DeviceThread *thread);
void block_die (const Block *block, const char *what) __attribute__ ((noreturn));

void shared_memory_begin_block (Block *block);
void shared_memory_end_block (Block *block);
void shared_memory_end_grid (Block *block);
