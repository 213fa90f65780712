/* Shared memory. Each array of each block is an allocation of its own: AddressSanitizer sees its
 * end, ThreadSanitizer sees no reuse between blocks. NaN until written. */
#include <cstdlib>

#include "tests/device/shim/block.h"

static const size_t shared_bytes_max = 227 * 1024; /* what sm_90 gives one block */

/* By volatile words: a call of memset would be the sanitizers' own, seen as a write. */
static void
fill_with_nan (void *data, size_t bytes) {
  volatile unsigned char *tail = (volatile unsigned char *)data + bytes / 8 * 8;
  volatile uint64_t *words = (volatile uint64_t *)data;
  for (size_t i = 0; i < bytes / 8; i++)
    words[i] = ~(uint64_t)0;
  for (size_t i = 0; i < bytes % 8; i++)
    tail[i] = 0xff;
}

void
shared_memory_begin_block (Block *block) {
  block->shared_bytes = 0;
  block->arrays.clear ();
}

void
shared_memory_end_block (Block *block) {
  for (const auto &array : block->arrays)
    block->old_arrays.push_back (array.second);
  if (!sanitizers::thread_active ())
    shared_memory_end_grid (block);
}

void
shared_memory_end_grid (Block *block) {
  sanitizers::Hidden hidden;
  for (void *array : block->old_arrays)
    free (array);
  block->old_arrays.clear ();
}

void *
pw_shim_shared (const void *key, size_t bytes) {
  Block *block = pw_shim_current->block;
  for (const auto &array : block->arrays)
    if (array.first == key)
      return array.second;
  sanitizers::Hidden hidden;
  block->shared_bytes += bytes;
  void *data;
  if (block->shared_bytes > shared_bytes_max || posix_memalign (&data, 128, bytes))
    block_die (block, "more shared memory than a block has");
  fill_with_nan (data, bytes);
  block->arrays.push_back ({ key, data });
  return data;
}

void *
pw_shim_dynamic_shared () {
  static const char key = 0;
  return pw_shim_shared (&key, pw_shim_current->block->geometry.shared_bytes);
}
