/* Checks of an op's tensors that most ops share. */
#pragma once
#include "kernels/cuda/cuda_private.h"

/* The one type that all tensors have; FALSE with UNSUPPORTED if they differ or are of none that the
 * kernels take. NULLs are skipped. */
gboolean pw__cuda_common_type (const PwOpContext *, const char *what, PwCudaType *, GError **,
                               int n, const PwTensor *const *tensors);
#define PW_CUDA_COMMON_TYPE(context, what, type, error, ...)                                       \
  pw__cuda_common_type (                                                                           \
      context, what, type, error,                                                                  \
      (int)(sizeof ((const PwTensor *[]){ __VA_ARGS__ }) / sizeof (PwTensor *)),                   \
      (const PwTensor *[]){ __VA_ARGS__ })

/* Of what is fp32 whatever the precision: statistics, gradients of parameters, states. NULL for
 * NULL. */
static inline float *
floats (const PwTensor *tensor) {
  g_assert (tensor == NULL || tensor->element == PW_ELEMENT_F32);
  return tensor == NULL ? NULL : tensor->data;
}

static inline void *
data_of (const PwTensor *tensor) {
  return tensor == NULL ? NULL : tensor->data;
}
