/* What the C files of the CUDA backend share. */
#pragma once
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

typedef struct PwCudaPool PwCudaPool; /* the rank's caching, stream-ordered allocator */

struct PwStream {
  int device;
  cudaStream_t stream;
  PwCudaPool *pool;
  cublasLtHandle_t products;
  int *error_flag; /* device; kernels set bits where an index is outside its table, looked at when the
                      stream is synchronised */
};
struct PwEvent {
  cudaEvent_t event;
};

/* TRUE where CODE is cudaSuccess; else ERROR names the op (`what`), the layer, the rank and CUDA's
 * own words. CONTEXT NULL: no layer, no rank. */
gboolean pw__cuda_check (const PwOpContext *context, const char *what, cudaError_t code,
                         GError **error);
/* FALSE with PW_KERNEL_ERROR_UNSUPPORTED where a tensor is not of a type that the kernels take. */
gboolean pw__cuda_type (const PwOpContext *context, const char *what, const PwTensor *tensor,
                        PwCudaType *type, GError **error);
static inline cudaStream_t
pw__cuda_stream (const PwOpContext *context) {
  return context->stream->stream;
}
