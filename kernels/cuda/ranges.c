/* Names for NVIDIA's profilers (NVTX, which is headers only): without a profiler each call is a
 * test of a pointer. */
#include "kernels/cuda/cuda_private.h"

#ifdef PW_CUDA_HAS_RANGES
#  include <pthread.h>
#  include <nvtx3/nvToolsExt.h>

/* At the first call, which is not for threads to race on. */
static void
find_profiler (void) {
  nvtxInitialize (NULL);
}

void
pw__cuda_range_push (const char *name) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once (&once, find_profiler);
  nvtxRangePushA (name);
}

void
pw__cuda_range_pop (void) {
  nvtxRangePop ();
}
#endif
