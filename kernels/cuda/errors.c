#include "kernels/cuda/cuda_private.h"

static void
set_error (const PwOpContext *context, PwKernelError code, const char *what, const char *words,
           GError **error) {
  if (context)
    g_set_error (error, PW_KERNEL_ERROR, (int)code, "rank %d, layer %d: %s: %s", context->rank,
                 context->layer, what, words);
  else
    g_set_error (error, PW_KERNEL_ERROR, (int)code, "cuda: %s: %s", what, words);
}

gboolean
pw__cuda_check (const PwOpContext *context, const char *what, cudaError_t code, GError **error) {
  if (code == cudaSuccess)
    return TRUE;
  gboolean memory = code == cudaErrorMemoryAllocation;
  set_error (context, memory ? PW_KERNEL_ERROR_MEMORY : PW_KERNEL_ERROR_LIBRARY, what,
             cudaGetErrorString (code), error);
  return FALSE;
}

gboolean
pw__cuda_check_product (const PwOpContext *context, const char *what, cublasStatus_t code,
                        GError **error) {
  if (code == CUBLAS_STATUS_SUCCESS)
    return TRUE;
  set_error (context, PW_KERNEL_ERROR_LIBRARY, what, cublasLtGetStatusString (code), error);
  return FALSE;
}

gboolean
pw__cuda_type (const PwOpContext *context, const char *what, const PwTensor *tensor,
               PwCudaType *type, GError **error) {
  switch (tensor->element) {
  case PW_ELEMENT_F32:
    *type = PW_CUDA_F32;
    return TRUE;
  case PW_ELEMENT_BF16:
    *type = PW_CUDA_BF16;
    return TRUE;
  case PW_ELEMENT_F16:
    *type = PW_CUDA_F16;
    return TRUE;
  default:
    set_error (context, PW_KERNEL_ERROR_UNSUPPORTED, what, "it does not compute with integers",
               error);
    return FALSE;
  }
}
