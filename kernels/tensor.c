#include "kernels/kernels.h"

GQuark
pw_kernel_error_quark (void) {
  return g_quark_from_static_string ("pw-kernel-error-quark");
}

static const int element_bytes[] = {
  [PW_ELEMENT_F32] = 4,
  [PW_ELEMENT_BF16] = 2,
  [PW_ELEMENT_F16] = 2,
  [PW_ELEMENT_I32] = 4,
};

int64_t
pw_tensor_elements (const PwTensor *tensor) {
  g_assert (tensor->n_dims >= 0 && tensor->n_dims <= PW_TENSOR_DIMS_MAX);
  int64_t elements = 1;
  for (int d = 0; d < tensor->n_dims; d++)
    elements *= tensor->dims[d];
  return elements;
}

int64_t
pw_tensor_bytes (const PwTensor *tensor) {
  return pw_tensor_elements (tensor) * element_bytes[tensor->element];
}

int64_t
pw_tensor_last_dim (const PwTensor *tensor) {
  return tensor->n_dims == 0 ? 1 : tensor->dims[tensor->n_dims - 1];
}

int64_t
pw_tensor_rows (const PwTensor *tensor) {
  int64_t rows = 1;
  for (int d = 0; d < tensor->n_dims - 1; d++)
    rows *= tensor->dims[d];
  return rows;
}
