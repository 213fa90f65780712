/* Runs a grid, block after block. With a seed, warps have random priorities: the preferred warp
 * runs until it blocks, and the order changes now and then. One warp far ahead of the others shows
 * a missing barrier every time, which a uniform shuffle of threads does not; the idea is that of
 * probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010). */
#include <cstdio>
#include <unistd.h>

#include "tests/device/shim/block.h"

thread_local DeviceThread *pw_shim_current;
extern "C" {
__thread uint3 threadIdx, blockIdx;
__thread dim3 blockDim, gridDim;
__thread unsigned pw_shim_lane;
}

static const unsigned reorder_every = 97; /* choices between two new orders, on average */

void
block_die (const Block *block, const char *what) {
  unsigned at_barrier = 0, in_warp = 0;
  for (const DeviceThread &thread : block->threads) {
    at_barrier += thread.state == ThreadState::at_barrier;
    in_warp += thread.state == ThreadState::in_warp_operation;
  }
  fprintf (
      stderr,
      "cuda-on-cpu: kernel %s, block (%u,%u,%u): %s (of %u threads %u wait at a barrier, %u in "
      "a warp operation, %u have ended)\n",
      block->kernel->name, block->index.x, block->index.y, block->index.z, what, block->n_threads,
      at_barrier, in_warp, block->n_finished);
  fflush (nullptr);
  _exit (86);
}

void
block_wake (Block *block, DeviceThread *thread) {
  thread->state = ThreadState::ready;
  block->warps[thread->warp].ready |= 1u << thread->lane;
  block->warps_ready |= 1u << thread->warp;
}

void
block_yield (DeviceThread *thread) {
  fiber_suspend (thread->fiber);
}

static void
run_thread (void *data) {
  DeviceThread *thread = (DeviceThread *)data;
  Block *block = thread->block;
  sanitizers::acquire (&block->start_mark);
  block->kernel->call (block->kernel->function, block->arguments);
  sanitizers::release (&block->end_mark);
  thread->state = ThreadState::finished;
  block->n_finished++;
}

static void
resume (Block *block, DeviceThread *thread) {
  pw_shim_current = thread;
  threadIdx = thread->index;
  pw_shim_lane = thread->lane;
  fiber_resume (&block->scheduler, thread->fiber);
}

static void
shuffle_preference (Block *block, Random *random) {
  std::vector<unsigned> &order = block->preference;
  for (size_t i = order.size (); i > 1; i--)
    std::swap (order[i - 1], order[random->next () % i]);
}

/* A ready lane of the first preferred warp that has any; with a seed the search starts anywhere. */
static DeviceThread *
choose (Block *block, Random *random, bool seeded) {
  size_t i = 0;
  while (!(block->warps_ready >> block->preference[i] & 1))
    i++;
  unsigned w = block->preference[i];
  Warp *warp = &block->warps[w];
  unsigned first = seeded ? (unsigned)(random->next () & 31) : 0;
  unsigned at_or_after = warp->ready & ~0u << first;
  unsigned lane = (unsigned)__builtin_ctz (at_or_after ? at_or_after : warp->ready);
  warp->ready &= ~(1u << lane);
  if (!warp->ready)
    block->warps_ready &= ~(1u << w);
  return &block->threads[w * 32 + lane];
}

static void
prepare_block (Block *block, size_t number) {
  const dim3 &grid = block->geometry.grid, &size = block->geometry.block;
  block->parity = number & 1;
  block->index = { (unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                   (unsigned)(number / grid.x / grid.y) };
  blockIdx = block->index;
  block->n_finished = 0;
  block->warps_ready = 0;
  for (Warp &warp : block->warps)
    for (WarpExchange &exchange : warp.exchanges)
      exchange.arrived = exchange.mask = exchange.n_unfetched = 0;
  block->barrier.arrived = 0;
  block->barrier.sum = 0;
  size_t first_fiber = sanitizers::thread_active () ? block->parity * block->n_threads : 0;
  for (unsigned i = 0; i < block->n_threads; i++) {
    DeviceThread *thread = &block->threads[i];
    uint3 index = { i % size.x, i / size.x % size.y, i / size.x / size.y };
    *thread = { .fiber = block->fibers[first_fiber + i],
                .block = block,
                .state = ThreadState::ready,
                .index = index,
                .number = i,
                .lane = i & 31,
                .warp = i >> 5 };
    thread->fiber->run = run_thread;
    thread->fiber->data = thread;
    block_wake (block, thread);
  }
}

static void
run_block (Block *block, Random *random, bool seeded) {
  for (size_t i = 0; i < block->preference.size (); i++)
    block->preference[i] = (unsigned)i;
  bool reorder = seeded;
  while (block->warps_ready) {
    if (reorder)
      shuffle_preference (block, random);
    resume (block, choose (block, random, seeded));
    reorder = seeded && random->next () % reorder_every == 0;
    if (block->n_finished && block->barrier.arrived
        && block->barrier.arrived + block->n_finished == block->n_threads)
      block_die (block, "__syncthreads is not reached by all threads");
  }
  if (block->n_finished != block->n_threads)
    block_die (block, "its threads wait for each other for ever");
}

void
pw_shim_run_grid (const PwShimKernel *kernel, const PwShimGeometry *geometry, void **arguments,
                  uint64_t seed) {
  const dim3 &grid = geometry->grid, &size = geometry->block;
  Block *block = new Block ();
  Random random (seed);
  block->kernel = kernel;
  block->geometry = *geometry;
  block->arguments = arguments;
  block->n_threads = size.x * size.y * size.z;
  block->threads.resize (block->n_threads);
  block->warps.resize ((block->n_threads + 31) / 32);
  block->preference.resize (block->warps.size ());
  block->fibers = fiber_pool_take (block->n_threads * (sanitizers::thread_active () ? 2 : 1));
  fiber_init_scheduler (&block->scheduler);
  gridDim = grid;
  blockDim = size;
  for (size_t i = 0; i < (size_t)grid.x * grid.y * grid.z; i++) {
    shared_memory_begin_block (block);
    prepare_block (block, i);
    sanitizers::release (&block->start_mark);
    run_block (block, &random, seed != 0);
    shared_memory_end_block (block);
  }
  sanitizers::acquire (&block->end_mark);
  shared_memory_end_grid (block);
  fiber_pool_give (block->fibers);
  delete block;
}
