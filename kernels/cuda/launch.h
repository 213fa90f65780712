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

/* Bits of the stream's error flag: what was outside its table. Set by atomicOr (flag, bit). */
typedef enum { PW_CUDA_INDEX_TOKEN = 1, PW_CUDA_INDEX_TARGET = 2 } PwCudaIndex;

/* colsum.cu: sums[columns] += the sums over the rows of x[rows,columns], in an order fixed by the
 * shape. */
int64_t pw__cuda_column_sums_workspace (int64_t rows, int64_t columns); /* bytes */
cudaError_t pw__cuda_column_sums (PwCudaType type, const void *x, int64_t rows, int64_t columns,
                                  float *sums, void *workspace, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
