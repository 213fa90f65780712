/* In the place of attention_cudnn.c where cuDNN's headers were not found: the own kernels do all.
 */
#include "kernels/cuda/attention_private.h"

const char *
pw__cudnn_attention_library (void) {
  return NULL;
}

void
pw__cudnn_attention_open (PwStream *stream G_GNUC_UNUSED) {
}

void
pw__cudnn_attention_close (PwStream *stream G_GNUC_UNUSED) {
}

const PwCudnnPlan *
pw__cudnn_attention_plan (PwOpContext *context G_GNUC_UNUSED,
                          const PwCudaAttention *attention G_GNUC_UNUSED,
                          gboolean is_gradient G_GNUC_UNUSED) {
  return NULL;
}

gsize
pw__cudnn_attention_workspace (PwOpContext *context G_GNUC_UNUSED,
                               const PwCudaAttention *attention G_GNUC_UNUSED) {
  return 0;
}

gboolean
pw__cudnn_attention_forward (PwOpContext *context G_GNUC_UNUSED,
                             const PwCudnnPlan *plan G_GNUC_UNUSED,
                             const PwCudaAttention *attention G_GNUC_UNUSED,
                             const void *qkv G_GNUC_UNUSED, void *y G_GNUC_UNUSED,
                             float *lse G_GNUC_UNUSED, PwWorkspace workspace G_GNUC_UNUSED,
                             GError **error G_GNUC_UNUSED) {
  g_assert_not_reached ();
}

gboolean
pw__cudnn_attention_gradient (PwOpContext *context G_GNUC_UNUSED,
                              const PwCudnnPlan *plan G_GNUC_UNUSED,
                              const PwCudaAttention *attention G_GNUC_UNUSED,
                              const void *qkv G_GNUC_UNUSED, const void *y G_GNUC_UNUSED,
                              const float *lse G_GNUC_UNUSED, const void *dy G_GNUC_UNUSED,
                              void *dqkv G_GNUC_UNUSED, PwWorkspace workspace G_GNUC_UNUSED,
                              GError **error G_GNUC_UNUSED) {
  g_assert_not_reached ();
}
