/* Attention by cuDNN where it takes the shape, else by the own kernels: a choice that hangs on the
 * stream and the shape alone. Padded sequences are always the own kernels'. */
#include "kernels/cuda/attention_private.h"
#include "kernels/cuda/check_private.h"

/* The widest head that there is a tile for. */
#define WIDTH_MAX 256

static gboolean
attention_init (PwCudaAttention *a, PwOpContext *context, const char *op, const PwTensor *qkv,
                int64_t heads, gboolean causal, const PwTensor *y, const PwTensor *lse,
                GError **error) {
  if (!PW_CUDA_COMMON_TYPE (context, op, &a->type, error, qkv, y))
    return FALSE;
  g_assert (qkv->n_dims >= 2);
  a->causal = causal != FALSE;
  a->heads = heads;
  a->tokens = qkv->dims[qkv->n_dims - 2];
  a->batch = pw_tensor_rows (qkv) / a->tokens;
  a->features = pw_tensor_last_dim (qkv) / 3;
  g_assert (a->features * 3 == pw_tensor_last_dim (qkv) && a->features % heads == 0);
  g_assert (pw_tensor_elements (y) * 3 == pw_tensor_elements (qkv));
  g_assert (pw_tensor_elements (lse) == pw_tensor_rows (qkv) * heads);
  if (a->features / heads <= WIDTH_MAX)
    return TRUE;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
               "rank %d, layer %d: %s: heads are %" G_GINT64_FORMAT " wide, at most %d is done",
               context->rank, context->layer, op, a->features / heads, WIDTH_MAX);
  return FALSE;
}

/* cuDNN reads 16 bytes at a time. What the backend allocates is aligned, so this is no choice that
 * hangs on where a tensor happens to lie, unless the caller shifts it. */
static gboolean
is_aligned (const PwTensor *a, const PwTensor *b, const PwTensor *c, const PwTensor *d) {
  return (((uintptr_t)a->data | (uintptr_t)b->data | (uintptr_t)c->data | (uintptr_t)d->data) & 15)
         == 0;
}

static const int32_t *
lengths_of (const PwCudaAttention *a, const PwTensor *lengths) {
  g_assert (!lengths
            || (lengths->element == PW_ELEMENT_I32 && pw_tensor_elements (lengths) == a->batch));
  return lengths ? lengths->data : NULL;
}

gboolean
pw__cuda_attention_forward (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                            gboolean causal, const PwTensor *lengths, PwTensor *y, PwTensor *lse,
                            PwWorkspace workspace, GError **error) {
  static const char op[] = "attention_forward";
  PwCudaAttention a;
  if (!attention_init (&a, context, op, qkv, heads, causal, y, lse, error))
    return FALSE;
  const PwCudnnPlan *plan = lengths ? NULL : pw__cudnn_attention_plan (context, &a, FALSE);
  if (plan && is_aligned (qkv, y, lse, lse))
    return pw__cudnn_attention_forward (context, plan, &a, qkv->data, y->data, floats (lse),
                                        workspace, error);
  cudaError_t code = pw__launch_attention (
      a.type, qkv->data, a.batch, heads, a.tokens, a.features, causal, lengths_of (&a, lengths),
      context->stream->error_flag, y->data, floats (lse), pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}

/* dy . y of each row of each head. */
static gsize
delta_bytes (const PwCudaAttention *a) {
  return (gsize)(a->batch * a->heads * a->tokens) * sizeof (float);
}

gboolean
pw__cuda_attention_input_gradient (PwOpContext *context, const PwTensor *qkv, int64_t heads,
                                   gboolean causal, const PwTensor *lengths, const PwTensor *y,
                                   const PwTensor *lse, const PwTensor *dy, PwTensor *dqkv,
                                   PwWorkspace workspace, GError **error) {
  static const char op[] = "attention_input_gradient";
  PwCudaAttention a;
  if (!attention_init (&a, context, op, qkv, heads, causal, y, lse, error)
      || !PW_CUDA_COMMON_TYPE (context, op, &a.type, error, qkv, dy, dqkv))
    return FALSE;
  g_assert (pw_tensor_elements (dy) == pw_tensor_elements (y));
  g_assert (pw_tensor_elements (dqkv) == pw_tensor_elements (qkv));
  const PwCudnnPlan *plan = lengths ? NULL : pw__cudnn_attention_plan (context, &a, TRUE);
  if (plan && is_aligned (qkv, y, dy, dqkv) && is_aligned (lse, lse, lse, lse))
    return pw__cudnn_attention_gradient (context, plan, &a, qkv->data, y->data, floats (lse),
                                         dy->data, dqkv->data, workspace, error);
  g_assert (workspace.bytes >= delta_bytes (&a));
  cudaError_t code = pw__launch_attention_gradient (
      a.type, qkv->data, a.batch, heads, a.tokens, a.features, causal, lengths_of (&a, lengths),
      context->stream->error_flag, y->data, floats (lse), dy->data, dqkv->data, workspace.data,
      pw__cuda_stream (context));
  return pw__cuda_check (context, op, code, error);
}

gsize
pw__cuda_attention_workspace (PwOpContext *context, PwElement element, gboolean causal,
                              int64_t batch, int64_t heads, int64_t tokens, int64_t features) {
  PwCudaAttention a = { .causal = causal != FALSE,
                        .batch = batch,
                        .heads = heads,
                        .tokens = tokens,
                        .features = features };
  const PwTensor typed = { .element = element };
  if (!pw__cuda_type (context, "attention", &typed, &a.type, NULL))
    return 0;
  const gsize own = delta_bytes (&a), library = pw__cudnn_attention_workspace (context, &a);
  return MAX (own, library);
}
