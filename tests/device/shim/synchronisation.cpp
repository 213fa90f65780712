/* Barriers, warp operations and fences. */
#include <cstring>

#include "tests/device/shim/block.h"

void
pw_shim_barrier () {
  DeviceThread *thread = pw_shim_current;
  Block *block = thread->block;
  Barrier *barrier = &block->barrier;
  char *mark = &barrier->marks[block->parity][barrier->generation & 1];
  sanitizers::release (mark);
  if (++barrier->arrived == block->n_threads) {
    barrier->arrived = 0;
    barrier->generation++;
    barrier->last_sum = barrier->sum;
    barrier->sum = 0;
    for (DeviceThread &other : block->threads)
      block_wake (block, &other);
  } else
    thread->state = ThreadState::at_barrier;
  block_yield (thread);
  sanitizers::acquire (mark);
}

int
pw_shim_barrier_sum (int value) {
  Block *block = pw_shim_current->block;
  block->barrier.sum += value;
  pw_shim_barrier ();
  return block->barrier.last_sum;
}

void
pw_shim_fence () {
  static char mark;
  sanitizers::release (&mark);
  sanitizers::acquire (&mark);
}

void
pw_shim_trap (const char *what) {
  block_die (pw_shim_current->block, what);
}

static WarpExchange *
find_exchange (Block *block, Warp *warp, unsigned mask, PwShimWarpOperation operation) {
  for (WarpExchange &exchange : warp->exchanges)
    if (exchange.arrived && exchange.mask == mask) {
      if (exchange.operation != operation)
        block_die (block, "lanes of one mask are in different warp operations");
      return &exchange;
    }
  /* The same mask's exchange again: as its slots alternate, a lane that is late in fetching still
   * finds its value. */
  for (WarpExchange &exchange : warp->exchanges)
    if (!exchange.arrived && exchange.mask == mask)
      return &exchange;
  for (WarpExchange &exchange : warp->exchanges)
    if (!exchange.arrived && !exchange.n_unfetched)
      return &exchange;
  sanitizers::Hidden hidden;
  return &warp->exchanges.emplace_back ();
}

static void
wait_for_lanes (DeviceThread *thread, WarpExchange *exchange) {
  Block *block = thread->block;
  unsigned first = thread->warp * 32;
  if (exchange->arrived == exchange->mask) {
    exchange->arrived = 0;
    exchange->generation++;
    exchange->n_unfetched += (unsigned)__builtin_popcount (exchange->mask);
    for (unsigned lane = 0; lane < 32; lane++)
      if (exchange->mask >> lane & 1)
        block_wake (block, &block->threads[first + lane]);
  } else
    thread->state = ThreadState::in_warp_operation;
  block_yield (thread);
}

unsigned
pw_shim_warp (PwShimWarpOperation operation, unsigned mask, const void *value, unsigned bytes,
              unsigned source, void *out) {
  DeviceThread *thread = pw_shim_current;
  Block *block = thread->block;
  unsigned in_block = block->n_threads - thread->warp * 32;
  unsigned existing = in_block >= 32 ? ~0u : (1u << in_block) - 1;
  unsigned present = mask & existing; /* lanes beyond the block do not exist */
  if (!(present >> thread->lane & 1))
    block_die (block, "a warp operation by a lane outside its own mask");
  WarpExchange *exchange = find_exchange (block, &block->warps[thread->warp], present, operation);
  unsigned slot = exchange->generation & 1;
  char *mark = &exchange->marks[block->parity][slot];
  if (!exchange->arrived) {
    exchange->mask = present;
    exchange->operation = operation;
    exchange->nonzero[slot] = 0;
  }
  char any = 0;
  for (unsigned i = 0; i < bytes; i++)
    any |= exchange->slots[slot][thread->lane][i] = ((const char *)value)[i];
  exchange->arrived |= 1u << thread->lane;
  if (any)
    exchange->nonzero[slot] |= 1u << thread->lane;
  sanitizers::release (mark);
  wait_for_lanes (thread, exchange);
  sanitizers::acquire (mark);
  exchange->n_unfetched--;
  if (!(present >> source & 1) && existing >> source & 1)
    block_die (block, "a shuffle reads a lane outside its mask");
  for (unsigned i = 0; i < bytes; i++)
    ((char *)out)[i] = present >> source & 1 ? exchange->slots[slot][source][i] : (char)0xff;
  return exchange->nonzero[slot];
}
