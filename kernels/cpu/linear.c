/* y = x w^T + bias. The bias gradient goes with the input gradient, so that the weight gradient is
 * one product and nothing else. */
#include "kernels/cpu/cpu_private.h"

static PwProduct
forward_product (int64_t rows, int64_t in, int64_t out, gboolean bias) {
  return (PwProduct){ .rows = rows,
                      .columns = out,
                      .depth = in,
                      .stride_a = in,
                      .stride_b = in,
                      .stride_c = out,
                      .transpose_b = TRUE,
                      .bias = bias };
}

static PwProduct
input_gradient_product (int64_t rows, int64_t in, int64_t out) {
  return (PwProduct){
    .rows = rows, .columns = in, .depth = out, .stride_a = out, .stride_b = in, .stride_c = in
  };
}

static PwProduct
weight_gradient_product (int64_t rows, int64_t in, int64_t out) {
  return (PwProduct){ .rows = out,
                      .columns = in,
                      .depth = rows,
                      .stride_a = out,
                      .stride_b = in,
                      .stride_c = in,
                      .transpose_a = TRUE,
                      .accumulate = TRUE };
}

gboolean
pw__cpu_linear_forward (PwOpContext *context, const PwTensor *x, const PwTensor *w,
                        const PwTensor *bias, PwTensor *y, PwWorkspace workspace, GError **error) {
  if (!PW_CPU_FLOAT32 ("linear_forward", error, x, w, bias, y))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), in = pw_tensor_last_dim (x), out = pw_tensor_last_dim (y);
  g_assert (pw_tensor_rows (y) == rows && pw_tensor_rows (w) == out);
  g_assert (pw_tensor_last_dim (w) == in);
  g_assert (bias == NULL || pw_tensor_elements (bias) == out);
  PwProduct product = forward_product (rows, in, out, bias != NULL);
  return pw__cpu_product (context, &product, floats (x), floats (w),
                          bias == NULL ? NULL : floats (bias), floats (y), workspace, error);
}

gboolean
pw__cpu_linear_gelu_forward (PwOpContext *context, const PwTensor *x, const PwTensor *w,
                             const PwTensor *bias, PwTensor *h, PwTensor *y, PwWorkspace workspace,
                             GError **error) {
  return pw__cpu_linear_forward (context, x, w, bias, h, workspace, error)
         && pw__cpu_gelu_forward (context, h, y, error);
}

gboolean
pw__cpu_linear_input_gradient (PwOpContext *context, const PwTensor *dy, const PwTensor *w,
                               PwTensor *dx, PwTensor *dbias, PwWorkspace workspace,
                               GError **error) {
  if (!PW_CPU_FLOAT32 ("linear_input_gradient", error, dy, w, dx, dbias))
    return FALSE;
  int64_t rows = pw_tensor_rows (dy), out = pw_tensor_last_dim (dy), in = pw_tensor_last_dim (w);
  g_assert (pw_tensor_rows (w) == out);
  if (dbias != NULL) {
    g_assert (pw_tensor_elements (dbias) == out);
    context->stream->loops->rows->add_columns (floats (dy), rows, out, floats (dbias));
  }
  if (dx == NULL)
    return TRUE;
  g_assert (pw_tensor_rows (dx) == rows && pw_tensor_last_dim (dx) == in);
  PwProduct product = input_gradient_product (rows, in, out);
  return pw__cpu_product (context, &product, floats (dy), floats (w), NULL, floats (dx), workspace,
                          error);
}

gboolean
pw__cpu_linear_weight_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                                PwTensor *dw, PwWorkspace workspace, GError **error) {
  if (!PW_CPU_FLOAT32 ("linear_weight_gradient", error, x, dy, dw))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), in = pw_tensor_last_dim (x), out = pw_tensor_last_dim (dy);
  g_assert (pw_tensor_rows (dy) == rows);
  g_assert (pw_tensor_rows (dw) == out && pw_tensor_last_dim (dw) == in);
  PwProduct product = weight_gradient_product (rows, in, out);
  return pw__cpu_product (context, &product, floats (dy), floats (x), NULL, floats (dw), workspace,
                          error);
}

gsize
pw__cpu_linear_workspace (PwOpContext *context, int64_t rows, int64_t in, int64_t out) {
  const PwProduct products[] = {
    forward_product (rows, in, out, FALSE),
    forward_product (rows, in, out, TRUE),
    input_gradient_product (rows, in, out),
    weight_gradient_product (rows, in, out),
  };
  gsize bytes = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (products); i++)
    bytes = MAX (bytes, pw__cpu_product_workspace (context, &products[i]));
  return bytes;
}
