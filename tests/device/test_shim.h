#pragma once
#include <cuda_runtime_api.h>

typedef enum {
  TEST_SHIM_SHUFFLES,
  TEST_SHIM_BARRIERS,
  TEST_SHIM_ATOMICS,
  TEST_SHIM_LAST_BLOCK,
  TEST_SHIM_BF16,
  TEST_SHIM_HALF,
  TEST_SHIM_MANY_MASKS,
} TestShimKernel;

#ifdef __cplusplus
extern "C"
#endif
    cudaError_t
    test_shim_launch (TestShimKernel kernel, int *out, cudaStream_t stream);
