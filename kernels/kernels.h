/* The op table: everything a backend computes, one member per op, and the device around it.
 *
 * Rules that hold for every op:
 *  - Tensors are contiguous, row-major; N is the product of all leading dimensions ("rows").
 *  - Outputs and input gradients are ASSIGNED; parameter gradients are ACCUMULATED (+=), so a
 *    mini-batch of many micro-batches needs no extra pass. `accumulate` ops say so in their line.
 *  - No op allocates: `workspace_bytes` tells what the caller must pass (0: NULL will do).
 *  - No op returns a value to the host: losses and norms are added to device scalars.
 *  - Same inputs, same shapes: same bits, on any thread. One context is used by one thread.
 *  - An op that fails sets ERROR and returns FALSE; outputs are then undefined. */
#pragma once
#include <glib.h>
#include <stdint.h>

#define PW_KERNEL_ERROR (pw_kernel_error_quark ())
GQuark pw_kernel_error_quark (void);
typedef enum {
  PW_KERNEL_ERROR_UNSUPPORTED, /* type or shape the backend has no kernel for */
  PW_KERNEL_ERROR_MEMORY,
  PW_KERNEL_ERROR_INDEX,  /* a token or target outside its table */
  PW_KERNEL_ERROR_LIBRARY /* the library beneath failed; the message has its words */
} PwKernelError;

typedef enum { PW_ELEMENT_F32, PW_ELEMENT_BF16, PW_ELEMENT_F16, PW_ELEMENT_I32 } PwElement;

#define PW_TENSOR_DIMS_MAX 5
typedef struct {
  void *data; /* 64-byte aligned where allocated by the backend */
  PwElement element;
  int n_dims;
  int64_t dims[PW_TENSOR_DIMS_MAX];
} PwTensor;
int64_t pw_tensor_elements (const PwTensor *tensor);
int64_t pw_tensor_bytes (const PwTensor *tensor);
int64_t pw_tensor_last_dim (const PwTensor *tensor); /* 1 for a scalar */
int64_t pw_tensor_rows (const PwTensor *tensor);     /* elements / last dim */

typedef struct PwBackend PwBackend;
typedef struct PwStream PwStream;
typedef struct PwEvent PwEvent;
typedef struct PwStreamGraph PwStreamGraph;

/* Who calls, for messages and counter-based random numbers. One per rank. */
typedef struct {
  const PwBackend *backend;
  PwStream *stream;
  int rank;
  int64_t step;
  int layer;
  int64_t microbatch;
  uint64_t seed;
  gboolean tf32; /* products of fp32 may round their operands to 10 bits of mantissa (CUDA) */
} PwOpContext;

typedef struct {
  void *data;
  gsize bytes;
} PwWorkspace;

/* Optimiser hyper-parameters of one step; `step` counts from 1. */
typedef struct {
  double learning_rate, momentum, beta1, beta2, epsilon, weight_decay;
  int64_t step;
} PwOptimizerStep;

typedef struct {
  /* y[N,out] = x[N,in] w[out,in]^T + bias[out]; bias may be NULL. */
  gboolean (*linear_forward) (PwOpContext *, const PwTensor *x, const PwTensor *w,
                              const PwTensor *bias, PwTensor *y, PwWorkspace, GError **);
  /* dx = dy w; dbias += column sums of dy. dx may be NULL (nobody needs it), dbias may be NULL. */
  gboolean (*linear_input_gradient) (PwOpContext *, const PwTensor *dy, const PwTensor *w,
                                     PwTensor *dx, PwTensor *dbias, PwWorkspace, GError **);
  /* dw += dy^T x. */
  gboolean (*linear_weight_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *dy,
                                      PwTensor *dw, PwWorkspace, GError **);
  /* y = max(x, 0); dx = dy where x > 0. */
  gboolean (*relu_forward) (PwOpContext *, const PwTensor *x, PwTensor *y, GError **);
  gboolean (*relu_input_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *dy,
                                   PwTensor *dx, GError **);
  /* GELU, tanh approximation (Hendrycks & Gimpel 1606.08415; torch approximate="tanh"). */
  gboolean (*gelu_forward) (PwOpContext *, const PwTensor *x, PwTensor *y, GError **);
  gboolean (*gelu_input_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *dy,
                                   PwTensor *dx, GError **);
  /* h = x w^T + bias, which the gradients read, and y = gelu (h), in one go; bias may be NULL. y
   * may be of an h that was not yet rounded to its type. */
  gboolean (*linear_gelu_forward) (PwOpContext *, const PwTensor *x, const PwTensor *w,
                                   const PwTensor *bias, PwTensor *h, PwTensor *y, PwWorkspace,
                                   GError **);
  /* The gradients of both after y: dx = gelu' (x) dy, rounded to its type, and dbias += the column
   * sums of dx, with the bits of gelu_input_gradient and linear_input_gradient. */
  gboolean (*gelu_bias_input_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *dy,
                                        PwTensor *dx, PwTensor *dbias, PwWorkspace, GError **);
  /* Over the last dimension (1607.06450). mean, rstd [N] are for the gradient. */
  gboolean (*layernorm_forward) (PwOpContext *, const PwTensor *x, const PwTensor *gain,
                                 const PwTensor *bias, double epsilon, PwTensor *y, PwTensor *mean,
                                 PwTensor *rstd, GError **);
  /* dgain, dbias are accumulated. dx may be NULL. */
  gboolean (*layernorm_input_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *gain,
                                        const PwTensor *mean, const PwTensor *rstd,
                                        const PwTensor *dy, PwTensor *dx, PwTensor *dgain,
                                        PwTensor *dbias, PwWorkspace, GError **);
  /* y = x rstd gain, rstd = 1 / sqrt (mean of x^2 + epsilon), over the last dimension
   * (1910.07467). rstd [N] is for the gradient. dgain is accumulated. dx may be NULL. */
  gboolean (*rmsnorm_forward) (PwOpContext *, const PwTensor *x, const PwTensor *gain,
                               double epsilon, PwTensor *y, PwTensor *rstd, GError **);
  gboolean (*rmsnorm_input_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *gain,
                                      const PwTensor *rstd, const PwTensor *dy, PwTensor *dx,
                                      PwTensor *dgain, PwWorkspace, GError **);
  /* y = x / (1 - probability) where an element is kept, else 0. Whether it is hangs on the
   * context's (seed, step, layer), the sample and the element in it alone (kernels/dropout.h), so
   * the gradient draws the same again and no mask is stored. Dimension 0 counts samples;
   * FIRST_SAMPLE is the first one's number in the mini-batch. y may be x, dx may be dy. */
  gboolean (*dropout_forward) (PwOpContext *, const PwTensor *x, double probability,
                               int64_t first_sample, PwTensor *y, GError **);
  gboolean (*dropout_input_gradient) (PwOpContext *, const PwTensor *dy, double probability,
                                      int64_t first_sample, PwTensor *dx, GError **);
  /* y[N,C] = table[token[N]]; tokens outside the table fail: at once, or on a device at the latest
   * when the stream is synchronised. */
  gboolean (*embedding_forward) (PwOpContext *, const PwTensor *tokens, const PwTensor *table,
                                 PwTensor *y, GError **);
  /* dtable += scattered dy, in row order (deterministic). */
  gboolean (*embedding_weight_gradient) (PwOpContext *, const PwTensor *tokens, const PwTensor *dy,
                                         PwTensor *dtable, PwWorkspace, GError **);
  /* y[B,T,C] = x[B,T,C] + table[0..T,C]; the table's gradient is dtable[t] += sum over b of dy. */
  gboolean (*position_forward) (PwOpContext *, const PwTensor *x, const PwTensor *table,
                                PwTensor *y, GError **);
  gboolean (*position_weight_gradient) (PwOpContext *, const PwTensor *dy, PwTensor *dtable,
                                        GError **);
  /* qkv[B,T,3C] = [q | k | v], each [heads, C/heads]; y[B,T,C] = softmax(q k^T / sqrt(d)) v per
   * head, masked to s <= t when causal. The probabilities are never kept whole: lse[B,heads,T],
   * fp32, the log of each row's sum of exponentials, is enough to make them again
   * (FlashAttention-2, 2307.08691). LENGTHS, int32 [B] from 0 to T, or NULL where all are T: tokens
   * at or past a sample's length are no keys, and their own rows of y, lse and gradient are 0. */
  gboolean (*attention_forward) (PwOpContext *, const PwTensor *qkv, int64_t heads, gboolean causal,
                                 const PwTensor *lengths, PwTensor *y, PwTensor *lse, PwWorkspace,
                                 GError **);
  /* Reads y, too: sum over s of p dp = dy . y, so no sweep over the keys is needed for it. y costs
   * no memory where the next layer is linear, which keeps it as its own input. */
  gboolean (*attention_input_gradient) (PwOpContext *, const PwTensor *qkv, int64_t heads,
                                        gboolean causal, const PwTensor *lengths, const PwTensor *y,
                                        const PwTensor *lse, const PwTensor *dy, PwTensor *dqkv,
                                        PwWorkspace, GError **);
  /* y[B,T,C] = x[B,T,C], and 0 for tokens at or past their sample's length, whatever x holds there;
   * LENGTHS int32 [B] from 0 to T. y may be x. The gradient is the same map of dy. */
  gboolean (*mask_rows) (PwOpContext *, const PwTensor *x, const PwTensor *lengths, PwTensor *y,
                         GError **);
  /* y = a + b; y may be a or b. */
  gboolean (*add) (PwOpContext *, const PwTensor *a, const PwTensor *b, PwTensor *y, GError **);
  /* y[B,D,..] = a[B,Da,..] and then b[B,Db,..] in every sample, D = Da + Db. The gradients are dy's
   * two parts; da or db may be NULL. */
  gboolean (*concat_forward) (PwOpContext *, const PwTensor *a, const PwTensor *b, PwTensor *y,
                              GError **);
  gboolean (*concat_input_gradient) (PwOpContext *, const PwTensor *dy, PwTensor *da, PwTensor *db,
                                     GError **);
  /* Logits x[N,V], targets int32 [N]; lse[N], fp32, the log of each row's sum of exponentials, is
   * kept for the gradient. *loss (a device double) += scale * sum over n of lse[n] -
   * x[n][target[n]]; target -1 is left out. */
  gboolean (*cross_entropy_forward) (PwOpContext *, const PwTensor *x, const PwTensor *targets,
                                     double scale, PwTensor *lse, double *loss, GError **);
  /* dx = scale * (exp(x - lse) - onehot(target)), 0 where the target is -1; dx may be x. */
  gboolean (*cross_entropy_input_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *lse,
                                            const PwTensor *targets, double scale, PwTensor *dx,
                                            GError **);
  /* *loss += scale * sum of (x - target)^2; dx = 2 scale (x - target). */
  gboolean (*mse_forward) (PwOpContext *, const PwTensor *x, const PwTensor *targets, double scale,
                           double *loss, PwWorkspace, GError **);
  gboolean (*mse_input_gradient) (PwOpContext *, const PwTensor *x, const PwTensor *targets,
                                  double scale, PwTensor *dx, GError **);
  /* Optimisers, in place on w. SGD: m = momentum m + g (m may be NULL when momentum is 0);
   * Adam: 1412.6980; AdamW: decoupled decay, 1711.05101. Equal to torch.optim's in fp32.
   * Gradients and states are fp32. Where w is of a half type, MASTER is its fp32 value: the step is
   * made on that and w gets it rounded (1710.03740); NULL where w is fp32 itself. */
  gboolean (*sgd) (PwOpContext *, PwTensor *w, PwTensor *master, const PwTensor *gradient,
                   PwTensor *momentum, const PwOptimizerStep *, GError **);
  gboolean (*adam) (PwOpContext *, PwTensor *w, PwTensor *master, const PwTensor *gradient,
                    PwTensor *m, PwTensor *v, const PwOptimizerStep *, GError **);
  gboolean (*adamw) (PwOpContext *, PwTensor *w, PwTensor *master, const PwTensor *gradient,
                     PwTensor *m, PwTensor *v, const PwOptimizerStep *, GError **);
  /* *sum (a device double) += sum of squares, in double and in an order fixed by the shape. */
  gboolean (*square_sum) (PwOpContext *, const PwTensor *x, double *sum, PwWorkspace, GError **);
  /* *overflow (a device int32) = 1 if x holds an infinity or a NaN; else it is left as it is. */
  gboolean (*overflow_check) (PwOpContext *, const PwTensor *x, int32_t *overflow, GError **);
} PwOps;

/* Largest workspace of the ops that take one, for these shapes. */
typedef struct {
  /* also of what runs together with a linear layer */
  gsize (*linear) (PwOpContext *, int64_t rows, int64_t in, int64_t out);
  gsize (*layernorm) (PwOpContext *, int64_t rows, int64_t features); /* and rmsnorm's */
  gsize (*embedding) (PwOpContext *, int64_t rows, int64_t vocabulary, int64_t features);
  gsize (*attention) (PwOpContext *, PwElement, gboolean causal, int64_t batch, int64_t heads,
                      int64_t tokens, int64_t features);
  gsize (*sum) (PwOpContext *, int64_t elements); /* mse_forward, square_sum */
} PwWorkspaces;

/* What products are computed in. */
typedef enum {
  PW_ARITHMETIC_FP32,
  PW_ARITHMETIC_TF32,
  PW_ARITHMETIC_BF16,
  PW_ARITHMETIC_FP16
} PwArithmetic;

/* What a run is going to ask of the machine. */
typedef struct {
  int ranks;       /* of this process */
  int first_place; /* of them among the ranks on this machine: there may be processes before it */
  int processes;   /* of the run, on this machine; 0: this one only */
  gboolean share_devices; /* ranks may share devices: place p computes on device p mod devices */
  gboolean graphs;        /* steps will be captured */
  PwArithmetic arithmetic;
  const int64_t *rank_bytes; /* [ranks] memory at its peak; NULL: not known */
} PwBackendRun;

/* A backend: the ops and the device. Streams order work; on the CPU everything happens at once and
 * events are timestamps. */
struct PwBackend {
  const char *name; /* "cpu", "cuda", "empty" */
  /* FALSE, with a sentence for the user, where this machine cannot do it. Allocates nothing. NULL:
   * any run will do. */
  gboolean (*check) (const PwBackendRun *, GError **error);
  PwOps ops;
  PwWorkspaces workspace;
  /* One stream per rank (more for communication); owned by the thread that made it. PLACE: the
   * rank's number among those on this machine, which chooses the device. */
  PwStream *(*stream_new) (int place, GError **error);
  void (*stream_free) (PwStream *);
  /* Waits for all work; also the place where an index outside its table is reported that a device
   * found on its own. */
  gboolean (*stream_synchronize) (PwStream *, GError **);
  /* 64-byte aligned; contents undefined. Freed memory may be reused by later work on the stream. */
  void *(*alloc) (PwStream *, gsize bytes, GError **);
  void (*free) (PwStream *, void *);
  gboolean (*zero) (PwStream *, void *, gsize bytes, GError **);
  gboolean (*copy) (PwStream *, void *to, const void *from, gsize bytes, GError **);
  /* FROM may be reused at once; TO is filled once the stream has been synchronised. */
  gboolean (*copy_from_host) (PwStream *, void *to, const void *from, gsize bytes, GError **);
  gboolean (*copy_to_host) (PwStream *, void *to, const void *from, gsize bytes, GError **);
  PwEvent *(*event_new) (GError **);
  void (*event_free) (PwEvent *);
  gboolean (*event_record) (PwEvent *, PwStream *, GError **);
  gboolean (*event_wait) (PwEvent *, PwStream *, GError **);
  /* Timestamps are recorded in stream order and read after the step. Seconds, monotonic. */
  gboolean (*timestamp_record) (PwEvent *, PwStream *, GError **);
  gboolean (*timestamp_read) (PwEvent *, double *seconds, GError **);
  /* Never blocks: *REACHED once all work before the event, or timestamp, is done; FALSE if the
   * device has failed. NULL: what was recorded has been reached. */
  gboolean (*event_test) (PwEvent *, gboolean *reached, GError **);
  /* A graph is what the calling thread enqueues between begin and end, on the stream and on streams
   * that it makes wait for it; they have to be waited for in turn before the end. None of it is
   * done then, all of it by each launch, at the price of one call. What may differ between launches
   * lies in host memory that stays where it is, and is read or written anew by each: FROM of
   * copy_from_host, TO of copy_to_host, an optimiser's PwOptimizerStep, the context for its `step`.
   * Timestamps are those of the last launch; other events mean nothing outside the graph. Until the
   * end nothing may be waited for or tested on the host, nor memory be freed that the stream did
   * not have from `alloc`; what work of the graph uses is the caller's to keep as long as the
   * graph. Between two launches the stream is synchronised. NULL, all four: there are no graphs. */
  gboolean (*graph_begin) (PwStream *, GError **);
  /* NULL: there is none, nothing was enqueued, and the stream can be used as before. */
  PwStreamGraph *(*graph_end) (PwStream *, GError **);
  gboolean (*graph_launch) (PwStreamGraph *, PwStream *, GError **);
  void (*graph_free) (PwStreamGraph *); /* before its stream; never waits for it to end */
  /* Names what the calling thread enqueues until the matching pop, for a profiler's picture;
   * nested. NULL: there is no profiler. */
  void (*range_push) (const char *name);
  void (*range_pop) (void);
  /* For a reader: the library, with its version, that attention in half types is left to where it
   * takes the shape; NULL: there is none. A NULL member: there is no choice. */
  const char *(*attention_library) (void);
};

extern const PwBackend pw_backend_cpu;
/* The same calls with ops that do nothing: measures what the executor itself costs. */
extern const PwBackend pw_backend_empty;
/* By name. "cuda" lies in a module, which is loaded by this call (kernels/module.h). */
const PwBackend *pw_backend_get (const char *name, GError **error);
