/* What the files of the CPU backend share: the stream, the product, checks of arguments. */
#pragma once
#include "kernels/cpu/vector.h"
#include "kernels/kernels.h"
#include <dnnl.h>

/* A stream is what one thread needs to compute: nothing in it is shared, so nothing is locked. */
struct PwStream {
  const PwVectorLoops *loops;
  dnnl_engine_t engine; /* made with the first product */
  dnnl_stream_t queue;
  GHashTable *products; /* PwProduct -> compiled product */
};

/* C[rows,columns] = alpha A[rows,depth] B[depth,columns] + bias, or += alpha A B. A transposed
 * operand lies in memory as [depth,rows] or [columns,depth]. Strides are between stored rows. */
typedef struct {
  int64_t rows, columns, depth;
  int64_t stride_a, stride_b, stride_c;
  gboolean transpose_a, transpose_b;
  gboolean accumulate; /* not with bias */
  gboolean bias;
} PwProduct;

gboolean pw__cpu_product (PwOpContext *, const PwProduct *, const float *a, const float *b,
                          const float *bias, float *c, PwWorkspace, GError **);
/* Bytes that pw__cpu_product needs of its workspace. */
gsize pw__cpu_product_workspace (PwOpContext *, const PwProduct *);
void pw__cpu_product_free (gpointer compiled);
/* For the small products of attention: alpha, and no workspace. */
gboolean pw__cpu_small_product (const PwProduct *, float alpha, const float *a, const float *b,
                                float *c, GError **);

/* FALSE with UNSUPPORTED if a tensor is of a half type (a plan may ask for those); any other type
 * than float32 is our mistake. NULLs are skipped. */
gboolean pw__cpu_check_float32 (const char *op, GError **, int n, const PwTensor *const *tensors);
#define PW_CPU_FLOAT32(op, error, ...)                                                             \
  pw__cpu_check_float32 (                                                                          \
      op, error, (int)(sizeof ((const PwTensor *[]){ __VA_ARGS__ }) / sizeof (PwTensor *)),        \
      (const PwTensor *[]){ __VA_ARGS__ })

/* FALSE with UNSUPPORTED: there is no half type here that a master copy would be of. */
gboolean pw__cpu_check_no_master (const char *op, const PwTensor *master, GError **);

/* The row and value of the first index outside [least, bound), as an error. */
gboolean pw__cpu_check_indices (PwOpContext *, const char *what, const PwTensor *indices,
                                int32_t least, int64_t bound, GError **);

static inline float *
floats (const PwTensor *tensor) {
  return tensor->data;
}

PwStream *pw__cpu_stream_new (int device, GError **);
void pw__cpu_stream_free (PwStream *);
gboolean pw__cpu_stream_synchronize (PwStream *, GError **);
void *pw__cpu_alloc (PwStream *, gsize bytes, GError **);
void pw__cpu_free (PwStream *, void *);
gboolean pw__cpu_zero (PwStream *, void *, gsize bytes, GError **);
gboolean pw__cpu_copy (PwStream *, void *to, const void *from, gsize bytes, GError **);
PwEvent *pw__cpu_event_new (GError **);
void pw__cpu_event_free (PwEvent *);
gboolean pw__cpu_event_record (PwEvent *, PwStream *, GError **);
gboolean pw__cpu_event_wait (PwEvent *, PwStream *, GError **);
gboolean pw__cpu_timestamp_record (PwEvent *, PwStream *, GError **);
gboolean pw__cpu_timestamp_read (PwEvent *, double *seconds, GError **);

/* Declares pw__cpu_NAME with the type its member of the tables has. */
#define PW_CPU_OP(name) __typeof__ (*((PwOps *)NULL)->name) pw__cpu_##name
#define PW_CPU_WORKSPACE(name) __typeof__ (*((PwWorkspaces *)NULL)->name) pw__cpu_##name##_workspace

PW_CPU_OP (linear_forward);
PW_CPU_OP (linear_input_gradient);
PW_CPU_OP (linear_weight_gradient);
PW_CPU_OP (linear_gelu_forward);
PW_CPU_WORKSPACE (linear);
PW_CPU_OP (relu_forward);
PW_CPU_OP (relu_input_gradient);
PW_CPU_OP (gelu_forward);
PW_CPU_OP (gelu_input_gradient);
PW_CPU_OP (gelu_bias_input_gradient);
PW_CPU_OP (layernorm_forward);
PW_CPU_OP (layernorm_input_gradient);
PW_CPU_WORKSPACE (layernorm);
PW_CPU_OP (rmsnorm_forward);
PW_CPU_OP (rmsnorm_input_gradient);
PW_CPU_OP (dropout_forward);
PW_CPU_OP (dropout_input_gradient);
PW_CPU_OP (embedding_forward);
PW_CPU_OP (embedding_weight_gradient);
PW_CPU_WORKSPACE (embedding);
PW_CPU_OP (position_forward);
PW_CPU_OP (position_weight_gradient);
PW_CPU_OP (mask_rows);
PW_CPU_OP (attention_forward);
PW_CPU_OP (attention_input_gradient);
PW_CPU_WORKSPACE (attention);
PW_CPU_OP (add);
PW_CPU_OP (concat_forward);
PW_CPU_OP (concat_input_gradient);
PW_CPU_OP (cross_entropy_forward);
PW_CPU_OP (cross_entropy_input_gradient);
PW_CPU_OP (mse_forward);
PW_CPU_OP (mse_input_gradient);
PW_CPU_OP (sgd);
PW_CPU_OP (adam);
PW_CPU_OP (adamw);
PW_CPU_OP (square_sum);
PW_CPU_OP (overflow_check);
PW_CPU_WORKSPACE (sum);
