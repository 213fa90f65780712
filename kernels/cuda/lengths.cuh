/* How many tokens of a padded sequence count. */
#pragma once
#include "kernels/cuda/launch.h"

static __device__ inline int64_t
length_of (const int32_t *lengths, int64_t sequence, int64_t tokens, int *flag) {
  int64_t length = lengths[sequence];
  if (length >= 0 && length <= tokens)
    return length;
  atomicOr (flag, PW_CUDA_INDEX_LENGTH);
  return length < 0 ? 0 : tokens;
}
