/* Attention by cuDNN, beside the own kernels of attention.cu. Both keep the same lse, so that
 * either can take the other's gradient. */
#pragma once
#include "kernels/cuda/cuda_private.h"

typedef struct {
  PwCudaType type;
  gboolean causal;
  int64_t batch, heads, tokens, features;
} PwCudaAttention;

typedef struct PwCudnnPlan PwCudnnPlan;

/* attention_cudnn.c; attention_no_cudnn.c where the build found no cuDNN. */

/* By name and version; NULL: there is none. */
const char *pw__cudnn_attention_library (void);
/* Settles for the stream's life whether it computes with cuDNN; nothing is loaded if it does not.
 */
void pw__cudnn_attention_open (PwStream *);
void pw__cudnn_attention_close (PwStream *);
/* NULL: this is for the own kernels, now and later. */
const PwCudnnPlan *pw__cudnn_attention_plan (PwOpContext *, const PwCudaAttention *,
                                             gboolean gradient);
/* Bytes of both directions, 0 where the own kernels do both. */
gsize pw__cudnn_attention_workspace (PwOpContext *, const PwCudaAttention *);
gboolean pw__cudnn_attention_forward (PwOpContext *, const PwCudnnPlan *, const PwCudaAttention *,
                                      const void *qkv, void *y, float *lse, PwWorkspace, GError **);
gboolean pw__cudnn_attention_gradient (PwOpContext *, const PwCudnnPlan *, const PwCudaAttention *,
                                       const void *qkv, const void *y, const float *lse,
                                       const void *dy, void *dqkv, PwWorkspace, GError **);
