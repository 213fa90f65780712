/* The kernels as C sees them. Every launcher only enqueues on `stream` and returns the launch's
 * error; counts are of elements unless their name says otherwise. Shared by .cu files, which know
 * CUDA only, and by the C files that put them behind kernels/kernels.h. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types of activations and parameters: the values of PwElement. Sums, statistics, losses, gradients
 * of parameters and optimiser states are fp32 or double whatever the type. */
typedef enum { PW_CUDA_F32, PW_CUDA_BF16, PW_CUDA_F16 } PwCudaType;

#ifdef __cplusplus
}
#endif
