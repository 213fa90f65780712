#include "kernels/cpu/cpu_private.h"

gboolean
pw__cpu_check_float32 (const char *op, GError **error, int n, const PwTensor *const *tensors) {
  for (int i = 0; i < n; i++) {
    if (tensors[i] == NULL || tensors[i]->element == PW_ELEMENT_F32)
      continue;
    g_assert (tensors[i]->element == PW_ELEMENT_BF16 || tensors[i]->element == PW_ELEMENT_F16);
    g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
                 "cpu: %s computes in float32 only, not in %s", op,
                 tensors[i]->element == PW_ELEMENT_BF16 ? "bfloat16" : "float16");
    return FALSE;
  }
  return TRUE;
}

gboolean
pw__cpu_check_no_master (const char *op, const PwTensor *master, GError **error) {
  if (master == NULL)
    return TRUE;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
               "cpu: %s computes in float32 only and takes no master copy", op);
  return FALSE;
}

gboolean
pw__cpu_check_indices (PwOpContext *context, const char *what, const PwTensor *indices,
                       int32_t least, int64_t bound, GError **error) {
  g_assert (indices->element == PW_ELEMENT_I32);
  const int32_t *index = indices->data;
  int64_t n = pw_tensor_elements (indices);
  for (int64_t i = 0; i < n; i++) {
    if (index[i] >= least && index[i] < bound)
      continue;
    g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX,
                 "layer %d, micro-batch %" G_GINT64_FORMAT ": %s %" G_GINT64_FORMAT
                 " is %d; it must be at least %d and less than %" G_GINT64_FORMAT,
                 context->layer, context->microbatch, what, i, index[i], least, bound);
    return FALSE;
  }
  return TRUE;
}
