/* y = x w^T + bias: three products. The bias is added by the product itself; its gradient goes with
 * the input gradient, so it is a sum of its own: no product there sums over the rows. */
#include "kernels/cuda/cuda_private.h"

static PwCudaProduct
forward_product (const PwOpContext *context, PwCudaType type, int64_t rows, int64_t in, int64_t out,
                 gboolean bias) {
  return (PwCudaProduct){ .rows = rows,
                          .columns = out,
                          .depth = in,
                          .type = type,
                          .result = type,
                          .transpose_b = TRUE,
                          .bias = bias,
                          .tf32 = context->tf32 };
}

static PwCudaProduct
input_gradient_product (const PwOpContext *context, PwCudaType type, int64_t rows, int64_t in,
                        int64_t out) {
  return (PwCudaProduct){
    .rows = rows, .columns = in, .depth = out, .type = type, .result = type, .tf32 = context->tf32
  };
}

static PwCudaProduct
weight_gradient_product (const PwOpContext *context, PwCudaType type, int64_t rows, int64_t in,
                         int64_t out) {
  return (PwCudaProduct){ .rows = out,
                          .columns = in,
                          .depth = rows,
                          .type = type,
                          .result = PW_CUDA_F32,
                          .transpose_a = TRUE,
                          .accumulate = TRUE,
                          .tf32 = context->tf32 };
}

/* Operands are of one type, gradients of parameters are fp32. */
static gboolean
check_types (PwOpContext *context, const char *what, const PwTensor *a, const PwTensor *b,
             const PwTensor *c, const PwTensor *gradient, PwCudaType *type, GError **error) {
  if (!pw__cuda_type (context, what, a, type, error))
    return FALSE;
  g_assert (b->element == a->element && (c == NULL || c->element == a->element));
  g_assert (gradient == NULL || gradient->element == PW_ELEMENT_F32);
  return TRUE;
}

gboolean
pw__cuda_linear_forward (PwOpContext *context, const PwTensor *x, const PwTensor *w,
                         const PwTensor *bias, PwTensor *y, PwWorkspace workspace, GError **error) {
  static const char what[] = "linear_forward";
  PwCudaType type;
  if (!check_types (context, what, x, w, y, NULL, &type, error))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), in = pw_tensor_last_dim (x), out = pw_tensor_last_dim (y);
  g_assert (pw_tensor_rows (y) == rows && pw_tensor_rows (w) == out);
  g_assert (pw_tensor_last_dim (w) == in);
  g_assert (bias == NULL || (pw_tensor_elements (bias) == out && bias->element == x->element));
  PwCudaProduct product = forward_product (context, type, rows, in, out, bias != NULL);
  return pw__cuda_product (context, what, &product, x->data, w->data, bias ? bias->data : NULL,
                           NULL, y->data, workspace, error);
}

gboolean
pw__cuda_linear_gelu_forward (PwOpContext *context, const PwTensor *x, const PwTensor *w,
                              const PwTensor *bias, PwTensor *h, PwTensor *y, PwWorkspace workspace,
                              GError **error) {
  static const char what[] = "linear_gelu_forward";
  PwCudaType type;
  if (!check_types (context, what, x, w, h, NULL, &type, error))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), in = pw_tensor_last_dim (x), out = pw_tensor_last_dim (y);
  g_assert (y->element == h->element && pw_tensor_elements (y) == pw_tensor_elements (h));
  PwCudaProduct product = forward_product (context, type, rows, in, out, bias != NULL);
  product.gelu = TRUE;
  if (!pw__cuda_product_is_known (context, &product))
    return pw__cuda_linear_forward (context, x, w, bias, h, workspace, error)
           && pw__cuda_gelu_forward (context, h, y, error);
  g_assert (pw_tensor_rows (y) == rows && pw_tensor_rows (w) == out);
  g_assert (pw_tensor_last_dim (w) == in);
  g_assert (bias == NULL || (pw_tensor_elements (bias) == out && bias->element == x->element));
  return pw__cuda_product (context, what, &product, x->data, w->data, bias ? bias->data : NULL,
                           h->data, y->data, workspace, error);
}

gboolean
pw__cuda_linear_input_gradient (PwOpContext *context, const PwTensor *dy, const PwTensor *w,
                                PwTensor *dx, PwTensor *dbias, PwWorkspace workspace,
                                GError **error) {
  static const char what[] = "linear_input_gradient";
  PwCudaType type;
  if (!check_types (context, what, dy, w, dx, dbias, &type, error))
    return FALSE;
  int64_t rows = pw_tensor_rows (dy), out = pw_tensor_last_dim (dy), in = pw_tensor_last_dim (w);
  g_assert (pw_tensor_rows (w) == out);
  if (dbias) {
    g_assert (pw_tensor_elements (dbias) == out);
    g_assert ((gsize)pw__cuda_column_sums_workspace (rows, out) <= workspace.bytes);
    if (!pw__cuda_check (context, what,
                         pw__launch_column_sums (type, dy->data, rows, out, dbias->data,
                                                 workspace.data, pw__cuda_stream (context)),
                         error))
      return FALSE;
  }
  if (!dx)
    return TRUE;
  g_assert (pw_tensor_rows (dx) == rows && pw_tensor_last_dim (dx) == in);
  PwCudaProduct product = input_gradient_product (context, type, rows, in, out);
  return pw__cuda_product (context, what, &product, dy->data, w->data, NULL, NULL, dx->data,
                           workspace, error);
}

gboolean
pw__cuda_linear_weight_gradient (PwOpContext *context, const PwTensor *x, const PwTensor *dy,
                                 PwTensor *dw, PwWorkspace workspace, GError **error) {
  static const char what[] = "linear_weight_gradient";
  PwCudaType type;
  if (!check_types (context, what, x, dy, NULL, dw, &type, error))
    return FALSE;
  int64_t rows = pw_tensor_rows (x), in = pw_tensor_last_dim (x), out = pw_tensor_last_dim (dy);
  g_assert (pw_tensor_rows (dy) == rows);
  g_assert (pw_tensor_rows (dw) == out && pw_tensor_last_dim (dw) == in);
  if (rows == 0)
    return TRUE;
  PwCudaProduct product = weight_gradient_product (context, type, rows, in, out);
  return pw__cuda_product (context, what, &product, dy->data, x->data, NULL, NULL, dw->data,
                           workspace, error);
}

/* The shapes say nothing of the type, so it does for all of them. */
gsize
pw__cuda_linear_workspace (PwOpContext *context, int64_t rows, int64_t in, int64_t out) {
  static const PwCudaType types[] = { PW_CUDA_F32, PW_CUDA_BF16, PW_CUDA_F16 };
  gsize bytes = (gsize)pw__cuda_column_sums_workspace (rows, out);
  for (gsize t = 0; t < G_N_ELEMENTS (types); t++) {
    PwCudaProduct products[] = {
      forward_product (context, types[t], rows, in, out, FALSE),
      forward_product (context, types[t], rows, in, out, TRUE),
      forward_product (context, types[t], rows, in, out, FALSE),
      forward_product (context, types[t], rows, in, out, TRUE),
      input_gradient_product (context, types[t], rows, in, out),
      weight_gradient_product (context, types[t], rows, in, out),
    };
    products[0].gelu = products[1].gelu = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS (products); i++)
      bytes = MAX (bytes, pw__cuda_product_workspace (context, &products[i]));
  }
  return bytes;
}
