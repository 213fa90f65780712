/* The products of linear layers beside bare cuBLASLt calls of the same shapes, in the same run.
 *   bench_cuda_products [--tiny] [--module FILE]
 *
 * Shapes are those of GPT with 1.3 billion parameters, for micro-batches of one and four sequences;
 * forward (with its bias), input gradient, weight gradient (added to fp32 sums); fp32, tf32, bf16,
 * fp16. The bare call chooses as the backend does, the heuristic's first for 32 MiB of workspace,
 * but freely: any order of sums, what alignment its pointers happen to have, no bias. Rounds of
 * both alternate; the figure is the median of their ratios. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/gpu_bench.h"

#define WORKSPACE_BYTES ((size_t)32 << 20)
#define MARK_SHARE 85.0 /* % */

typedef struct {
  const char *name;
  PwElement element;
  PwArithmetic arithmetic;
  cudaDataType_t type;
  cublasComputeType_t compute;
} Precision;
static const Precision precisions[] = {
  { "fp32", PW_ELEMENT_F32, PW_ARITHMETIC_FP32, CUDA_R_32F, CUBLAS_COMPUTE_32F },
  { "tf32", PW_ELEMENT_F32, PW_ARITHMETIC_TF32, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32 },
  { "bf16", PW_ELEMENT_BF16, PW_ARITHMETIC_BF16, CUDA_R_16BF, CUBLAS_COMPUTE_32F },
  { "fp16", PW_ELEMENT_F16, PW_ARITHMETIC_FP16, CUDA_R_16F, CUBLAS_COMPUTE_32F },
};

typedef struct {
  const char *layer;
  int64_t in, out;
} Shape;
static const Shape shapes[] = { { "qkv", 2048, 6144 },
                                { "projection", 2048, 2048 },
                                { "fc1", 2048, 8192 },
                                { "fc2", 8192, 2048 },
                                { "output", 2048, 50304 } };
static const Shape tiny_shapes[] = { { "qkv", 16, 48 }, { "fc2", 64, 16 } };

typedef enum { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, N_KINDS } Kind;
static const char *const kind_names[N_KINDS] = { "forward", "input gradient", "weight gradient" };

/* ---- The op ---- */

typedef struct {
  PwOpContext *context;
  Kind kind;
  PwTensor x, w, bias, y, dw;
  PwWorkspace workspace;
} Op;

static gboolean
call_op (gpointer data, int64_t i G_GNUC_UNUSED, GError **error) {
  Op *op = data;
  const PwOps *ops = &op->context->backend->ops;
  switch (op->kind) {
  case FORWARD:
    return ops->linear_forward (op->context, &op->x, &op->w, &op->bias, &op->y, op->workspace,
                                error);
  case INPUT_GRADIENT:
    return ops->linear_input_gradient (op->context, &op->y, &op->w, &op->x, NULL, op->workspace,
                                       error);
  default:
    return ops->linear_weight_gradient (op->context, &op->x, &op->y, &op->dw, op->workspace, error);
  }
}

/* ---- The bare call ---- */

typedef struct {
  cublasLtHandle_t library;
  cudaStream_t stream;
  cudaEvent_t begin, end;
  void *workspace, *lead;
  gsize lead_bytes;
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t a, b, c;
  cublasLtMatmulHeuristicResult_t choice;
  const void *a_data, *b_data;
  void *c_data;
  float beta;
} Bare;

static void
need_cuda (cudaError_t code, const char *what) {
  if (code == cudaSuccess)
    return;
  fprintf (stderr, "%s: %s\n", what, cudaGetErrorString (code));
  exit (1);
}

static void
need_product (cublasStatus_t code, const char *what) {
  if (code == CUBLAS_STATUS_SUCCESS)
    return;
  fprintf (stderr, "%s: %s\n", what, cublasLtGetStatusString (code));
  exit (1);
}

static void
bare_open (Bare *bare, GpuBench *bench) {
  *bare = (Bare){ .lead = bench->lead, .lead_bytes = bench->lead_bytes };
  need_cuda (cudaSetDevice (0), "device 0");
  need_cuda (cudaStreamCreateWithFlags (&bare->stream, cudaStreamNonBlocking), "stream");
  need_cuda (cudaEventCreate (&bare->begin), "event");
  need_cuda (cudaEventCreate (&bare->end), "event");
  need_product (cublasLtCreate (&bare->library), "cublasLtCreate");
  bare->workspace = gpu_bench_memory (bench, WORKSPACE_BYTES);
}

static void
bare_close (Bare *bare) {
  cublasLtDestroy (bare->library);
  cudaEventDestroy (bare->begin);
  cudaEventDestroy (bare->end);
  cudaStreamDestroy (bare->stream);
}

static void
bare_choose (Bare *bare) {
  const size_t workspace = WORKSPACE_BYTES;
  cublasLtMatmulPreference_t preference;
  int found = 0;
  need_product (cublasLtMatmulPreferenceCreate (&preference), "preference");
  need_product (cublasLtMatmulPreferenceSetAttribute (preference,
                                                      CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                      &workspace, sizeof workspace),
                "preference");
  need_product (cublasLtMatmulAlgoGetHeuristic (bare->library, bare->product, bare->a, bare->b,
                                                bare->c, bare->c, preference, 1, &bare->choice,
                                                &found),
                "heuristic");
  need_product (found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED, "heuristic");
  cublasLtMatmulPreferenceDestroy (preference);
}

/* In the library's columns, where a row-major matrix is its transpose: y^T = w x^T, dx^T = w^T
 * dy^T, dw^T += x^T dy. */
static void
bare_prepare (Bare *bare, const Precision *precision, const Op *op) {
  const Kind kind = op->kind;
  const uint64_t in = (uint64_t)pw_tensor_last_dim (&op->x),
                 out = (uint64_t)pw_tensor_rows (&op->w), rows = (uint64_t)pw_tensor_rows (&op->x);
  const cublasOperation_t op_a = kind == FORWARD ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t op_b = kind == WEIGHT_GRADIENT ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cudaDataType_t result = kind == WEIGHT_GRADIENT ? CUDA_R_32F : precision->type;
  need_product (cublasLtMatmulDescCreate (&bare->product, precision->compute, CUDA_R_32F),
                "description");
  need_product (cublasLtMatmulDescSetAttribute (bare->product, CUBLASLT_MATMUL_DESC_TRANSA, &op_a,
                                                sizeof op_a),
                "description");
  need_product (cublasLtMatmulDescSetAttribute (bare->product, CUBLASLT_MATMUL_DESC_TRANSB, &op_b,
                                                sizeof op_b),
                "description");
  const struct {
    cublasLtMatrixLayout_t *layout;
    cudaDataType_t type;
    uint64_t rows, columns;
  } all[N_KINDS][3] = {
    [FORWARD] = { { &bare->a, precision->type, in, out },
                  { &bare->b, precision->type, in, rows },
                  { &bare->c, result, out, rows } },
    [INPUT_GRADIENT] = { { &bare->a, precision->type, in, out },
                         { &bare->b, precision->type, out, rows },
                         { &bare->c, result, in, rows } },
    [WEIGHT_GRADIENT] = { { &bare->a, precision->type, in, rows },
                          { &bare->b, precision->type, out, rows },
                          { &bare->c, result, in, out } },
  };
  for (int i = 0; i < 3; i++)
    need_product (cublasLtMatrixLayoutCreate (all[kind][i].layout, all[kind][i].type,
                                              all[kind][i].rows, all[kind][i].columns,
                                              (int64_t)all[kind][i].rows),
                  "layout");
  bare->beta = kind == WEIGHT_GRADIENT ? 1 : 0;
  bare->a_data = kind == WEIGHT_GRADIENT ? op->x.data : op->w.data;
  bare->b_data = kind == FORWARD ? op->x.data : op->y.data;
  bare->c_data = kind == FORWARD ? op->y.data : kind == INPUT_GRADIENT ? op->x.data : op->dw.data;
  bare_choose (bare);
}

static void
bare_clear (Bare *bare) {
  cublasLtMatmulDescDestroy (bare->product);
  cublasLtMatrixLayoutDestroy (bare->a);
  cublasLtMatrixLayoutDestroy (bare->b);
  cublasLtMatrixLayoutDestroy (bare->c);
}

static double
bare_round (const Bare *bare, int64_t calls) {
  const float one = 1;
  float milliseconds = 0;
  need_cuda (cudaMemsetAsync (bare->lead, 0, bare->lead_bytes, bare->stream), "lead");
  need_cuda (cudaEventRecord (bare->begin, bare->stream), "event");
  for (int64_t i = 0; i < calls; i++)
    need_product (cublasLtMatmul (bare->library, bare->product, &one, bare->a_data, bare->a,
                                  bare->b_data, bare->b, &bare->beta, bare->c_data, bare->c,
                                  bare->c_data, bare->c, &bare->choice.algo, bare->workspace,
                                  WORKSPACE_BYTES, bare->stream),
                  "cublasLtMatmul");
  need_cuda (cudaEventRecord (bare->end, bare->stream), "event");
  need_cuda (cudaEventSynchronize (bare->end), "bare product");
  need_cuda (cudaEventElapsedTime (&milliseconds, bare->begin, bare->end), "time");
  return 1e-3 * (double)milliseconds / (double)calls;
}

/* ---- Pairs ---- */

typedef struct {
  double share; /* of the bare call's speed, % */
  char *where;
} Least;

static double
compare (GpuBench *bench, Bare *bare, Op *op, double *op_s, double *bare_s) {
  const int64_t calls = gpu_bench_calls (bench, call_op, op);
  g_autofree double *all = g_new (double, 3 * (gsize)bench->rounds);
  double *ratios = all, *ours = all + bench->rounds, *theirs = ours + bench->rounds;
  bare_round (bare, calls);
  for (int r = 0; r < bench->rounds; r++) {
    theirs[r] = bare_round (bare, calls);
    ours[r] = gpu_bench_round (bench, call_op, op, calls);
    ratios[r] = theirs[r] / ours[r];
  }
  *op_s = gpu_bench_median (ours, bench->rounds);
  *bare_s = gpu_bench_median (theirs, bench->rounds);
  return 100 * gpu_bench_median (ratios, bench->rounds);
}

static void
run_shape (GpuBench *bench, Bare *bare, const Precision *precision, const Shape *shape,
           int64_t rows, Least *least) {
  PwOpContext *context = &bench->context;
  const PwBackend *backend = context->backend;
  context->tf32 = precision->arithmetic == PW_ARITHMETIC_TF32;
  const PwElement element = precision->element;
  Op op = { .context = context,
            .x = gpu_bench_tensor (bench, element, 1, 2, (int64_t[]){ rows, shape->in }),
            .w = gpu_bench_tensor (bench, element, 0.02, 2, (int64_t[]){ shape->out, shape->in }),
            .bias = gpu_bench_tensor (bench, element, 0.1, 1, (int64_t[]){ shape->out }),
            .y = gpu_bench_tensor (bench, element, 1, 2, (int64_t[]){ rows, shape->out }),
            .dw
            = gpu_bench_tensor (bench, PW_ELEMENT_F32, 1, 2, (int64_t[]){ shape->out, shape->in }),
            .workspace = gpu_bench_workspace (
                bench, backend->workspace.linear (context, rows, shape->in, shape->out)) };
  for (op.kind = 0; op.kind < N_KINDS; op.kind++) {
    double op_s, bare_s;
    bare_prepare (bare, precision, &op);
    const double share = compare (bench, bare, &op, &op_s, &bare_s);
    bare_clear (bare);
    printf ("%s %-15s %-10s %5" G_GINT64_FORMAT " x %5" G_GINT64_FORMAT " x %5" G_GINT64_FORMAT
            "  %9.1f us  %7.1f TFLOP/s  bare %9.1f us  %6.1f%%\n",
            precision->name, kind_names[op.kind], shape->layer, rows, shape->in, shape->out,
            1e6 * op_s, 2e-12 * (double)(rows * shape->in * shape->out) / op_s, 1e6 * bare_s,
            share);
    fflush (stdout);
    if (least->where && least->share <= share)
      continue;
    g_free (least->where);
    least->share = share;
    least->where = g_strdup_printf ("%s %s, %" G_GINT64_FORMAT " rows", shape->layer,
                                    kind_names[op.kind], rows);
  }
  void *memory[] = { op.x.data, op.w.data, op.bias.data, op.y.data, op.dw.data, op.workspace.data };
  for (gsize i = 0; i < G_N_ELEMENTS (memory); i++)
    backend->free (context->stream, memory[i]);
}

int
main (int argc, char **argv) {
  GpuBench bench;
  Bare bare;
  gpu_bench_open (&bench, argc, argv);
  bare_open (&bare, &bench);
  static const int64_t all_rows[] = { 2048, 8192 }, tiny_rows[] = { 8, 24 };
  const Shape *list = bench.tiny ? tiny_shapes : shapes;
  const gsize n = bench.tiny ? G_N_ELEMENTS (tiny_shapes) : G_N_ELEMENTS (shapes);
  for (gsize p = 0; p < G_N_ELEMENTS (precisions); p++) {
    const Precision *precision = &precisions[p];
    Least least = { .where = NULL };
    if (!gpu_bench_can (&bench, precision->name, precision->arithmetic))
      continue;
    for (gsize r = 0; r < G_N_ELEMENTS (all_rows); r++)
      for (gsize s = 0; s < n; s++)
        run_shape (&bench, &bare, precision, &list[s], bench.tiny ? tiny_rows[r] : all_rows[r],
                   &least);
    g_autofree char *figure = g_strdup_printf ("products in %s, of a bare call's speed, least: %s",
                                               precision->name, least.where);
    gpu_bench_row (figure, least.share, "%", ">=", MARK_SHARE);
    g_free (least.where);
  }
  bare_close (&bare);
  gpu_bench_close (&bench);
  return 0;
}
