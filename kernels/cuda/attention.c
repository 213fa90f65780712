#include "kernels/cuda/check_private.h"

/* The widest head that there is a tile for. */
#define WIDTH_MAX 256

typedef struct {
  PwCudaType type;
  int64_t batch, tokens, features;
} Sizes;

static gboolean
sizes_init (Sizes *sizes, PwOpContext *context, const char *op, const PwTensor *qkv, int64_t heads,
            const PwTensor *y, const PwTensor *lse, GError **error) {
  if (!PW_CUDA_COMMON_TYPE (context, op, &sizes->type, error, qkv, y))
    return FALSE;
  g_assert (qkv->n_dims >= 2);
  sizes->tokens = qkv->dims[qkv->n_dims - 2];
  sizes->batch = pw_tensor_rows (qkv) / sizes->tokens;
  sizes->features = pw_tensor_last_dim (qkv) / 3;
  g_assert (sizes->features * 3 == pw_tensor_last_dim (qkv) && sizes->features % heads == 0);
  g_assert (pw_tensor_elements (y) * 3 == pw_tensor_elements (qkv));
  g_assert (pw_tensor_elements (lse) == pw_tensor_rows (qkv) * heads);
  if (sizes->features / heads <= WIDTH_MAX)
    return TRUE;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
               "rank %d, layer %d: %s: heads are %" G_GINT64_FORMAT " wide, at most %d is done",
               context->rank, context->layer, op, sizes->features / heads, WIDTH_MAX);
  return FALSE;
}

gboolean
pw__cuda_attention_forward (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                            gboolean causal, const PwTensor *lengths, PwTensor *y, PwTensor *lse,
                            PwWorkspace workspace G_GNUC_UNUSED, GError **error) {
  g_assert (lengths == NULL);
  Sizes sizes;
  if (!sizes_init (&sizes, context, "attention_forward", qkv, heads, y, lse, error))
    return FALSE;
  cudaError_t code = pw__launch_attention (sizes.type, qkv->data, sizes.batch, heads, sizes.tokens,
                                           sizes.features, causal, y->data, floats (lse),
                                           pw__cuda_stream (context));
  return pw__cuda_check (context, "attention_forward", code, error);
}

gboolean
pw__cuda_attention_input_gradient (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                                   gboolean causal, const PwTensor *lengths, const PwTensor *y,
                                   const PwTensor *lse, const PwTensor *dy, PwTensor *dqkv,
                                   PwWorkspace workspace, GError **error) {
  static const char op[] = "attention_input_gradient";
  g_assert (lengths == NULL);
  Sizes sizes;
  if (!sizes_init (&sizes, context, op, qkv, heads, y, lse, error)
      || !PW_CUDA_COMMON_TYPE (context, op, &sizes.type, error, qkv, dy, dqkv))
    return FALSE;
  g_assert (pw_tensor_elements (dy) == pw_tensor_elements (y));
  g_assert (pw_tensor_elements (dqkv) == pw_tensor_elements (qkv));
  g_assert (workspace.bytes >= pw__cuda_attention_workspace (context, sizes.batch, heads,
                                                             sizes.tokens, sizes.features));
  cudaError_t code = pw__launch_attention_gradient (
      sizes.type, qkv->data, sizes.batch, heads, sizes.tokens, sizes.features, causal, y->data,
      floats (lse), dy->data, dqkv->data, workspace.data, pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}

/* dy . y of each row of each head. */
gsize
pw__cuda_attention_workspace (PwOpContext *context G_GNUC_UNUSED, int64_t batch, int64_t heads,
                              int64_t tokens, int64_t features G_GNUC_UNUSED) {
  return (gsize)(batch * heads * tokens) * sizeof (float);
}
