/* Names for NVIDIA's profilers (NVTX, which is headers only): without a profiler each call is a
 * test of a pointer. */
#include "kernels/cuda/cuda_private.h"

#ifdef PW_CUDA_HAS_RANGES
#  include <nvtx3/nvToolsExt.h>

void
pw__cuda_range_push (const char *name) {
  nvtxRangePushA (name);
}

void
pw__cuda_range_pop (void) {
  nvtxRangePop ();
}
#endif
