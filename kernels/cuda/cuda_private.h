/* What the C files of the CUDA backend share. */
#pragma once
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_private.h"
#include "kernels/kernels.h"

typedef struct PwCudaPool PwCudaPool;       /* the rank's caching, stream-ordered allocator */
typedef struct PwCudaStaging PwCudaStaging; /* page-locked host memory that copies go through */
typedef struct PwCudaCudnn PwCudaCudnn;     /* cuDNN's handle and plans; attention_cudnn.c */
typedef struct PwCudaClock PwCudaClock;     /* a point in time that host and device both know */
typedef struct PwCudaSteps PwCudaSteps;     /* numbers of the step in device memory */

struct PwStream {
  int device;
  cudaStream_t stream;
  PwCudaPool *pool;
  cublasLtHandle_t products;
  int *error_flag; /* device; kernels set bits (PwCudaIndex) where an index is outside its table,
                      looked at when the stream is synchronised */
  int error_seen;  /* the flag as it was then */
  GHashTable *compiled; /* PwCudaProduct -> descriptors and algorithm; product.c */
  PwCudaCudnn *cudnn; /* NULL: the own kernels do all attention */
  PwCudaStaging *staging;
  PwCudaClock *clock;
  PwCudaSteps *steps;
  PwStreamGraph *graph;    /* being captured */
  PwStreamGraph *launched; /* since the stream was synchronised */
  PwCudaStaging *orphan;   /* of a graph that was freed while it may have been running */
};
struct PwStreamGraph {
  PwStream *stream;
  cudaGraphExec_t exec;
  PwCudaStaging *staging; /* what is copied at each launch */
  GPtrArray *timestamps;  /* PwEvent */
};
/* Made when first recorded: only then is the device known. */
struct PwEvent {
  cudaEvent_t event;    /* keeps no time, which makes it cheap */
  gboolean is_captured; /* `event` was last recorded into a graph: there is nothing to ask it */
  cudaEvent_t timestamp;
  PwCudaClock *clock; /* what the timestamp is measured from */
};

/* errors.c. TRUE where CODE is cudaSuccess; else ERROR names the op (`what`), the layer, the rank
 * and CUDA's own words. CONTEXT NULL: no layer, no rank. */
gboolean pw__cuda_check (const PwOpContext *context, const char *what, cudaError_t code,
                         GError **error);
gboolean pw__cuda_check_product (const PwOpContext *context, const char *what, cublasStatus_t code,
                                 GError **error);
/* FALSE with PW_KERNEL_ERROR_UNSUPPORTED where a tensor is not of a type that the kernels take. */
gboolean pw__cuda_type (const PwOpContext *context, const char *what, const PwTensor *tensor,
                        PwCudaType *type, GError **error);
static inline cudaStream_t
pw__cuda_stream (const PwOpContext *context) {
  return context->stream->stream;
}

/* product.c. C[rows,columns] = A[rows,depth] B[depth,columns] + bias, gelu of that, or += A B, all
 * row-major and without gaps. A transposed operand lies in memory as [depth,rows] or
 * [columns,depth]. Sums are fp32. All members are ints or enums: keys are compared as bytes. */
typedef struct {
  int64_t rows, columns, depth;
  PwCudaType type, result; /* of A, B and bias; of C */
  int transpose_a, transpose_b;
  int accumulate; /* not with bias */
  int bias;
  int tf32; /* fp32 operands may be rounded to 10 bits of mantissa */
  int gelu; /* BEFORE_GELU gets what gelu (tanh approximation) is of. Not for every shape and type
             */
} PwCudaProduct;
gboolean pw__cuda_product (PwOpContext *, const char *what, const PwCudaProduct *, const void *a,
                           const void *b, const void *bias, void *before_gelu, void *c, PwWorkspace,
                           GError **);
/* Whether cuBLASLt knows a way. */
gboolean pw__cuda_product_is_known (PwOpContext *, const PwCudaProduct *);
/* Bytes that pw__cuda_product needs of its workspace; 0 too where cuBLASLt knows no way. */
gsize pw__cuda_product_workspace (PwOpContext *, const PwCudaProduct *);
void pw__cuda_product_free (PwStream *); /* what the stream has compiled */

/* pool.c */
PwCudaPool *pw__cuda_pool_new (PwStream *);
void pw__cuda_pool_free (PwCudaPool *);
void *pw__cuda_alloc (PwStream *, gsize bytes, GError **);
void pw__cuda_free (PwStream *, void *);

/* staging.c. Copies from and to host memory that is not page-locked, without blocking the host:
 * FROM may be reused at once, TO is filled when the stream is synchronised. */
PwCudaStaging *pw__cuda_staging_new (void);
void pw__cuda_staging_free (PwCudaStaging *);
gboolean pw__cuda_copy_from_host (PwStream *, void *to, const void *from, gsize bytes, GError **);
gboolean pw__cuda_copy_to_host (PwStream *, void *to, const void *from, gsize bytes, GError **);
/* The same of what MAKE writes, BYTES of it, where FROM would be copied. */
typedef void (*PwCudaMake) (void *to, const void *from);
gboolean pw__cuda_copy_made (PwStream *, void *to, const void *from, gsize bytes, PwCudaMake make,
                             GError **);
/* After the stream's work is done: hands out what was copied to the host, unless the work failed.
 */
void pw__cuda_staging_deliver (PwCudaStaging *, gboolean good);
/* Of a graph: keeps what is copied in a place of its own, large enough for what STREAM copied in a
 * step lately, and copies from the host at each `fetch`. */
PwCudaStaging *pw__cuda_staging_new_kept (PwStream *, GError **);
void pw__cuda_staging_fetch (PwCudaStaging *);

/* steps.c. In device memory, in the stream's order; NULL with an error. */
gboolean pw__cuda_steps_init (PwStream *, GError **);
/* What is in device memory is not known any more. */
void pw__cuda_steps_forget (PwStream *);
const PwSgdScalars *pw__cuda_sgd_scalars (PwOpContext *, const PwOptimizerStep *, GError **);
const PwAdamScalars *pw__cuda_adam_scalars (PwOpContext *, const PwOptimizerStep *,
                                            gboolean decoupled, GError **);
const int64_t *pw__cuda_step_number (PwOpContext *, GError **);

/* graph.c */
gboolean pw__cuda_graph_begin (PwStream *, GError **);
PwStreamGraph *pw__cuda_graph_end (PwStream *, GError **);
gboolean pw__cuda_graph_launch (PwStreamGraph *, PwStream *, GError **);
void pw__cuda_graph_free (PwStreamGraph *);
/* The calling thread may ask for memory although it captures a graph, until the mode before, which
 * is returned, is set again. */
static inline enum cudaStreamCaptureMode
pw__cuda_set_capture_mode (enum cudaStreamCaptureMode mode) {
  cudaThreadExchangeStreamCaptureMode (&mode);
  return mode;
}

/* clock.c */
PwCudaClock *pw__cuda_clock_new (cudaStream_t, GError **);
void pw__cuda_clock_release (PwCudaClock *);
/* Another one in its place when it is old; the stream is idle. */
gboolean pw__cuda_clock_renew (PwStream *, GError **);
/* Its next record is measured from the stream's clock. */
void pw__cuda_timestamp_rebase (PwEvent *, const PwStream *);
gboolean pw__cuda_timestamp_record (PwEvent *, PwStream *, GError **);
gboolean pw__cuda_timestamp_read (PwEvent *, double *seconds, GError **);

/* devices.c */
gboolean pw__cuda_check_run (const PwBackendRun *, GError **);
gboolean pw__cuda_device_of_place (int place, int *device, GError **);

/* device.c */
PwStream *pw__cuda_stream_new (int place, GError **);
void pw__cuda_stream_free (PwStream *);
gboolean pw__cuda_stream_synchronize (PwStream *, GError **);
gboolean pw__cuda_zero (PwStream *, void *, gsize bytes, GError **);
gboolean pw__cuda_copy (PwStream *, void *to, const void *from, gsize bytes, GError **);
PwEvent *pw__cuda_event_new (GError **);
void pw__cuda_event_free (PwEvent *);
gboolean pw__cuda_event_record (PwEvent *, PwStream *, GError **);
gboolean pw__cuda_event_wait (PwEvent *, PwStream *, GError **);
gboolean pw__cuda_event_test (PwEvent *, gboolean *reached, GError **);

/* ranges.c */
#if __has_include(<nvtx3/nvToolsExt.h>)
#  define PW_CUDA_HAS_RANGES
void pw__cuda_range_push (const char *name);
void pw__cuda_range_pop (void);
#endif
