/* Included before everything else in a .cu file that the host's compiler builds: the real CUDA
 * headers, then what nvcc would have known. In plain C++ `__global__` and its like are empty, the
 * vector types are the same, and bf16 and half have host operators. The launch and __shared__ are
 * rewritten by rewrite.py.
 *
 * Not covered: warp matrix operations, asynchronous copies, clusters, textures, cub,
 * cooperative_groups, dynamic parallelism. */
#pragma once

#define cudaLaunchKernelEx cudaLaunchKernelEx_of_the_header /* erases types that launch.h needs */
#include <cuda_runtime.h>
#undef cudaLaunchKernelEx
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#undef __shared__
#ifndef __launch_bounds__
#  define __launch_bounds__(...)
#endif
#ifndef __grid_constant__
#  define __grid_constant__
#endif

#include "tests/device/shim/device_calls.h"

#include "tests/device/shim/atomics.h"
#include "tests/device/shim/intrinsics.h"
#include "tests/device/shim/launch.h"
#include "tests/device/shim/warp.h"
