/* Attention by cuDNN: one plan for each shape and direction, which the stream keeps. What is
 * computed is a function of the shape, the library and the device, as with products (product.c). */
#include <math.h>
#include <string.h>

#include "kernels/cuda/attention_graph_private.h"

/* The gradient keeps 2 bytes of each score between its kernels: that is what it costs to add up in
 * one order. */
#define WORKSPACE_MAX ((gsize)1 << 30)
#define ALIGNMENT 256 /* of the library's part of the workspace */
#define WIDTH_MAX 256

struct PwCudaCudnn {
  const PwCudnnCalls *calls;
  cudnnHandle_t handle; /* made for the first attention: it loads the large libraries */
  gboolean is_tried;
  int capability_major; /* of the device; 0: not known */
  GHashTable *plans;    /* Key -> PwCudnnPlan or NULL, which is remembered too */
};

/* All ints, and no gaps: keys are compared as bytes. */
typedef struct {
  PwCudaAttention attention;
  int64_t is_gradient;
} Key;
G_STATIC_ASSERT (sizeof (Key) == 2 * sizeof (int) + 5 * sizeof (int64_t));

static guint
key_hash (gconstpointer key) {
  const unsigned char *bytes = key;
  guint hash = 2166136261u; /* FNV-1a */
  for (gsize i = 0; i < sizeof (Key); i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static gboolean
key_equal (gconstpointer a, gconstpointer b) {
  return memcmp (a, b, sizeof (Key)) == 0;
}

static void
plan_free (gpointer plan) {
  pw__cudnn_plan_free (plan);
}

const char *
pw__cudnn_attention_library (void) {
  const PwCudnnCalls *calls = pw__cudnn_calls ();
  return calls ? calls->name : NULL;
}

void
pw__cudnn_attention_open (PwStream *stream) {
  const PwCudnnCalls *calls = pw__cudnn_calls ();
  if (!calls)
    return;
  stream->cudnn = g_new0 (PwCudaCudnn, 1);
  stream->cudnn->calls = calls;
  if (cudaDeviceGetAttribute (&stream->cudnn->capability_major, cudaDevAttrComputeCapabilityMajor,
                              stream->device)
      != cudaSuccess)
    cudaGetLastError (); /* not to be found by the next call */
  stream->cudnn->plans = g_hash_table_new_full (key_hash, key_equal, g_free, plan_free);
}

void
pw__cudnn_attention_close (PwStream *stream) {
  PwCudaCudnn *cudnn = g_steal_pointer (&stream->cudnn);
  if (!cudnn)
    return;
  g_hash_table_unref (cudnn->plans);
  if (cudnn->handle)
    cudnn->calls->destroy (cudnn->handle);
  g_free (cudnn);
}

static gboolean
has_handle (PwStream *stream) {
  PwCudaCudnn *cudnn = stream->cudnn;
  if (cudnn->is_tried)
    return cudnn->handle != NULL;
  cudnn->is_tried = TRUE;
  if (cudnn->calls->create (&cudnn->handle) != CUDNN_STATUS_SUCCESS)
    cudnn->handle = NULL;
  else if (cudnn->calls->set_stream (cudnn->handle, stream->stream) != CUDNN_STATUS_SUCCESS) {
    cudnn->calls->destroy (cudnn->handle);
    cudnn->handle = NULL;
  }
  return cudnn->handle != NULL;
}

/* What no engine takes is not asked for. Heads must stand at multiples of 16 bytes. */
static gboolean
may_take (const PwCudaAttention *a) {
  int64_t width = a->features / a->heads;
  return a->type != PW_CUDA_F32 && width % 8 == 0 && width <= WIDTH_MAX && a->tokens > 1;
}

/* A graph whose dq is a product like the others adds up in one order on sm_8x, sm_9x and sm_12x. On
 * sm_10x and sm_11x that hangs on an engine's knobs as well, and no note tells. Before 9.16 a
 * gradient over keys that fill no whole tile needs lengths to be given, too. */
static gboolean
may_take_gradient (const PwCudaCudnn *cudnn, const PwCudaAttention *a) {
  const int major = cudnn->capability_major;
  return (major == 8 || major == 9 || major == 12)
         && (a->tokens % 128 == 0 || cudnn->calls->get_version () >= 91600);
}

const PwCudnnPlan *
pw__cudnn_attention_plan (PwOpContext *context, const PwCudaAttention *attention,
                          gboolean is_gradient) {
  PwCudaCudnn *cudnn = context->stream->cudnn;
  if (!cudnn || !may_take (attention) || (is_gradient && !may_take_gradient (cudnn, attention))
      || !has_handle (context->stream))
    return NULL;
  const Key key = { .attention = *attention, .is_gradient = is_gradient };
  gpointer known;
  if (g_hash_table_lookup_extended (cudnn->plans, &key, NULL, &known))
    return known;
  PwCudnnTensor tensors[N_TENSORS];
  PwCudnnNode nodes[ATTENTION_NODES_MAX];
  PwCudnnGraph graph = pw__cudnn_attention_graph (attention, is_gradient, tensors, nodes);
  PwCudnnPlan *plan = pw__cudnn_plan_new (cudnn->calls, cudnn->handle, &graph, WORKSPACE_MAX);
  g_hash_table_insert (cudnn->plans, g_memdup2 (&key, sizeof key), plan);
  return plan;
}

/* The gradient's delta lies before the library's part. */
static gsize
delta_bytes (const PwCudaAttention *a) {
  gsize bytes = (gsize)(a->batch * a->heads * a->tokens) * sizeof (float);
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

gsize
pw__cudnn_attention_workspace (PwOpContext *context, const PwCudaAttention *attention) {
  const PwCudnnPlan *there = pw__cudnn_attention_plan (context, attention, FALSE);
  const PwCudnnPlan *back = pw__cudnn_attention_plan (context, attention, TRUE);
  gsize bytes_there = there ? pw__cudnn_plan_workspace (there) : 0;
  gsize bytes_back = back ? delta_bytes (attention) + pw__cudnn_plan_workspace (back) : 0;
  return MAX (bytes_there, bytes_back);
}

static gboolean
run (PwOpContext *context, const char *op, const PwCudnnPlan *plan, void *const *pointers,
     void *workspace, GError **error) {
  const PwCudnnCalls *calls = context->stream->cudnn->calls;
  cudnnStatus_t status = pw__cudnn_plan_run (plan, pointers, workspace);
  if (status == CUDNN_STATUS_SUCCESS)
    return TRUE;
  char words[512] = "";
  calls->get_last_error_string (words, sizeof words);
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY,
               "rank %d, layer %d: %s: cuDNN: %s%s%s", context->rank, context->layer, op,
               calls->get_error_string (status), words[0] ? ": " : "", words);
  return FALSE;
}

/* A third of each row of qkv. */
static void *
third (const PwCudaAttention *a, const void *qkv, int64_t i) {
  return (char *)(uintptr_t)qkv + i * a->features * 2;
}

gboolean
pw__cudnn_attention_forward (PwOpContext *context, const PwCudnnPlan *plan,
                             const PwCudaAttention *a, const void *qkv, void *y, float *lse,
                             PwWorkspace workspace, GError **error) {
  float scale = (float)(1 / sqrt ((double)(a->features / a->heads))), least = -INFINITY;
  void *pointers[N_TENSORS] = { [Q] = third (a, qkv, 0),
                                [K_T] = third (a, qkv, 1),
                                [V] = third (a, qkv, 2),
                                [Y] = y,
                                [LSE] = lse,
                                [SCALE] = &scale,
                                [LEAST] = &least };
  g_assert (workspace.bytes >= pw__cudnn_plan_workspace (plan));
  return run (context, "attention_forward", plan, pointers, workspace.data, error);
}

gboolean
pw__cudnn_attention_gradient (PwOpContext *context, const PwCudnnPlan *plan,
                              const PwCudaAttention *a, const void *qkv, const void *y,
                              const float *lse, const void *dy, void *dqkv, PwWorkspace workspace,
                              GError **error) {
  float scale = (float)(1 / sqrt ((double)(a->features / a->heads))), least = -INFINITY, one = 1;
  void *pointers[N_TENSORS] = { [Q] = third (a, qkv, 0),
                                [K_T] = third (a, qkv, 1),
                                [V_T] = third (a, qkv, 2),
                                [Y] = (void *)(uintptr_t)y,
                                [DY] = (void *)(uintptr_t)dy,
                                [LSE] = (void *)(uintptr_t)lse,
                                [DQ] = third (a, dqkv, 0),
                                [DK] = third (a, dqkv, 1),
                                [DV] = third (a, dqkv, 2),
                                [DELTA] = workspace.data,
                                [SCALE] = &scale,
                                [LEAST] = &least,
                                [ONE] = &one };
  g_assert (workspace.bytes >= delta_bytes (a) + pw__cudnn_plan_workspace (plan));
  return run (context, "attention_input_gradient", plan, pointers,
              (char *)workspace.data + delta_bytes (a), error);
}
