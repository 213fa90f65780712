/* The ops that are not products beside what the device can do, measured in the same run: those that
 * move bytes against a device copy (read and written bytes counted), attention against the largest
 * product, as it comes (cuDNN where it is found) and by the own kernels. Then how long the device
 * waits for the host in a step's sequence of ops.
 *
 *   bench_cuda_ops [--tiny] [--module FILE]
 *
 * Shapes are those of GPT with 1.3 billion parameters, four sequences. Bytes are the fewest that an
 * op must move: each operand read once, each result written once. Calls rotate among parts of
 * buffers that are larger than a cache. */
#include <stdio.h>
#include <string.h>

#include "bench/gpu_bench.h"

#define SETS 4        /* parts of a buffer, each a tensor as wide as the model */
#define MARK_WAIT 3.0 /* %, of the device for the host */

typedef struct {
  int64_t batch, tokens, width, heads, vocabulary, product;
  int blocks;
} Sizes;
static const Sizes full_sizes = { 4, 2048, 2048, 16, 50304, 8192, 24 };
static const Sizes tiny_sizes = { 1, 8, 16, 2, 32, 16, 2 };

typedef struct {
  GpuBench *bench;
  Sizes size;
  PwElement element;
  int64_t rows, wide; /* batch * tokens; elements of a set */
  PwTensor a, b, c;   /* [rows, 4 width], or SETS tensors of [rows, width] */
  PwTensor gain, bias, wide_gain, mean, rstd, dgain, dbias, dwide_bias, lse, row_lse;
  PwTensor logits, tokens, table, dtable;
  PwTensor w, master, m, v, gradient; /* [4 width, width] */
  PwTensor dqkv, dw;
  PwWorkspace workspace;
  double *scalar;
} Ops;

static int64_t
element_bytes (PwElement element) {
  return element == PW_ELEMENT_F32 ? 4 : 2;
}

/* Part I of BUFFER as [batch, tokens, width]. */
static PwTensor
part (const Ops *ops, const PwTensor *buffer, int64_t i) {
  return (PwTensor){ .data
                     = (char *)buffer->data + i % SETS * ops->wide * element_bytes (ops->element),
                     .element = ops->element,
                     .n_dims = 3,
                     .dims = { ops->size.batch, ops->size.tokens, ops->size.width } };
}

/* The whole, its last dimension N widths. */
static PwTensor
whole (const Ops *ops, const PwTensor *buffer, int64_t n) {
  return (PwTensor){ .data = buffer->data,
                     .element = ops->element,
                     .n_dims = 3,
                     .dims = { ops->size.batch, ops->size.tokens, n * ops->size.width } };
}

#define CALL(name) static gboolean name (gpointer data, int64_t i, GError **error)

static PwOpContext *
context_of (const Ops *o) {
  return &o->bench->context;
}

static const PwOps *
table_of (const Ops *o) {
  return &o->bench->context.backend->ops;
}

CALL (layernorm_forward) {
  Ops *o = data;
  PwTensor x = part (o, &o->a, i), y = part (o, &o->b, i);
  return table_of (o)->layernorm_forward (context_of (o), &x, &o->gain, &o->bias, 1e-5, &y,
                                          &o->mean, &o->rstd, error);
}

CALL (layernorm_gradient) {
  Ops *o = data;
  PwTensor x = part (o, &o->a, i), dy = part (o, &o->b, i), dx = part (o, &o->c, i);
  return table_of (o)->layernorm_input_gradient (context_of (o), &x, &o->gain, &o->mean, &o->rstd,
                                                 &dy, &dx, &o->dgain, &o->dbias, o->workspace,
                                                 error);
}

CALL (rmsnorm_forward) {
  Ops *o = data;
  PwTensor x = part (o, &o->a, i), y = part (o, &o->b, i);
  return table_of (o)->rmsnorm_forward (context_of (o), &x, &o->gain, 1e-5, &y, &o->rstd, error);
}

CALL (rmsnorm_gradient) {
  Ops *o = data;
  PwTensor x = part (o, &o->a, i), dy = part (o, &o->b, i), dx = part (o, &o->c, i);
  return table_of (o)->rmsnorm_input_gradient (context_of (o), &x, &o->gain, &o->rstd, &dy, &dx,
                                               &o->dgain, o->workspace, error);
}

CALL (gelu_forward) {
  Ops *o = data;
  (void)i;
  PwTensor x = whole (o, &o->a, 4), y = whole (o, &o->b, 4);
  return table_of (o)->gelu_forward (context_of (o), &x, &y, error);
}

CALL (linear_gelu_forward) {
  Ops *o = data;
  (void)i;
  PwTensor x = whole (o, &o->a, 1), h = whole (o, &o->c, 4), y = whole (o, &o->b, 4);
  return table_of (o)->linear_gelu_forward (context_of (o), &x, &o->w, &o->wide_gain, &h, &y,
                                            o->workspace, error);
}

CALL (gelu_gradient) {
  Ops *o = data;
  (void)i;
  PwTensor x = whole (o, &o->a, 4), dy = whole (o, &o->b, 4), dx = whole (o, &o->c, 4);
  return table_of (o)->gelu_input_gradient (context_of (o), &x, &dy, &dx, error);
}

CALL (gelu_bias_gradient) {
  Ops *o = data;
  (void)i;
  PwTensor x = whole (o, &o->a, 4), dy = whole (o, &o->b, 4), dx = whole (o, &o->c, 4);
  return table_of (o)->gelu_bias_input_gradient (context_of (o), &x, &dy, &dx, &o->dwide_bias,
                                                 o->workspace, error);
}

CALL (add) {
  Ops *o = data;
  PwTensor x = part (o, &o->a, i), z = part (o, &o->b, i), y = part (o, &o->c, i);
  return table_of (o)->add (context_of (o), &x, &z, &y, error);
}

CALL (dropout) {
  Ops *o = data;
  PwTensor x = part (o, &o->a, i), y = part (o, &o->b, i);
  return table_of (o)->dropout_forward (context_of (o), &x, 0.1, 0, &y, error);
}

CALL (bias_gradient) {
  Ops *o = data;
  (void)i;
  PwTensor dy = whole (o, &o->a, 4);
  return table_of (o)->linear_input_gradient (context_of (o), &dy, &o->w, NULL, &o->dwide_bias,
                                              o->workspace, error);
}

CALL (attention_forward) {
  Ops *o = data;
  (void)i;
  PwTensor qkv = whole (o, &o->a, 3), y = part (o, &o->b, 0);
  return table_of (o)->attention_forward (context_of (o), &qkv, o->size.heads, TRUE, NULL, &y,
                                          &o->lse, o->workspace, error);
}

CALL (attention_gradient) {
  Ops *o = data;
  (void)i;
  PwTensor qkv = whole (o, &o->a, 3), y = part (o, &o->b, 0), dy = part (o, &o->b, 1);
  PwTensor dqkv = whole (o, &o->c, 3);
  return table_of (o)->attention_input_gradient (context_of (o), &qkv, o->size.heads, TRUE, NULL,
                                                 &y, &o->lse, &dy, &dqkv, o->workspace, error);
}

/* cuDNN reads 16 bytes at a time: what lies 8 bytes beyond is for the own kernels, which do not
 * mind. */
static PwTensor
shifted (PwTensor tensor) {
  tensor.data = (char *)tensor.data + 8;
  return tensor;
}

CALL (own_attention_forward) {
  Ops *o = data;
  (void)i;
  PwTensor qkv = shifted (whole (o, &o->a, 3)), y = part (o, &o->b, 0);
  return table_of (o)->attention_forward (context_of (o), &qkv, o->size.heads, TRUE, NULL, &y,
                                          &o->lse, o->workspace, error);
}

CALL (own_attention_gradient) {
  Ops *o = data;
  (void)i;
  PwTensor qkv = shifted (whole (o, &o->a, 3)), dqkv = shifted (whole (o, &o->c, 3));
  PwTensor y = part (o, &o->b, 0), dy = part (o, &o->b, 1);
  return table_of (o)->attention_input_gradient (context_of (o), &qkv, o->size.heads, TRUE, NULL,
                                                 &y, &o->lse, &dy, &dqkv, o->workspace, error);
}

CALL (cross_entropy_forward) {
  Ops *o = data;
  (void)i;
  return table_of (o)->cross_entropy_forward (context_of (o), &o->logits, &o->tokens, 1,
                                              &o->row_lse, o->scalar, error);
}

/* Beside the logits, which a run overwrites and the next call needs. */
CALL (cross_entropy_gradient) {
  Ops *o = data;
  (void)i;
  PwTensor dx = o->logits;
  dx.data = (char *)dx.data + pw_tensor_bytes (&o->logits);
  return table_of (o)->cross_entropy_input_gradient (context_of (o), &o->logits, &o->row_lse,
                                                     &o->tokens, 1, &dx, error);
}

CALL (embedding_forward) {
  Ops *o = data;
  PwTensor y = part (o, &o->c, i);
  return table_of (o)->embedding_forward (context_of (o), &o->tokens, &o->table, &y, error);
}

CALL (embedding_gradient) {
  Ops *o = data;
  PwTensor dy = part (o, &o->a, i);
  return table_of (o)->embedding_weight_gradient (context_of (o), &o->tokens, &dy, &o->dtable,
                                                  o->workspace, error);
}

CALL (adamw) {
  Ops *o = data;
  const PwOptimizerStep step = { .learning_rate = 1e-6,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .epsilon = 1e-8,
                                 .weight_decay = 0.01,
                                 .step = i + 1 };
  return table_of (o)->adamw (context_of (o), &o->w,
                              o->element == PW_ELEMENT_F32 ? NULL : &o->master, &o->gradient, &o->m,
                              &o->v, &step, error);
}

CALL (square_sum) {
  Ops *o = data;
  (void)i;
  return table_of (o)->square_sum (context_of (o), &o->gradient, o->scalar, o->workspace, error);
}

/* What an op moves: tensors as wide as the model, four times as wide, of the vocabulary; bytes per
 * parameter; or operations, in squares of the sequence for each row and feature. */
typedef struct {
  const char *name;
  GpuCall call;
  int wide, four_wide, logits;
  int parameter_bytes, parameter_bytes_half;
  double attention;   /* products of [tokens, tokens] by features, causal ones half */
  int product;        /* of rows by [4 width, width] */
  gboolean only_half; /* in fp32 it would be another row again */
} Case;

static const Case cases[] = {
  { .name = "LayerNorm forward", .call = layernorm_forward, .wide = 2 },
  { .name = "LayerNorm gradient", .call = layernorm_gradient, .wide = 3 },
  { .name = "RMSNorm forward", .call = rmsnorm_forward, .wide = 2 },
  { .name = "RMSNorm gradient", .call = rmsnorm_gradient, .wide = 3 },
  { .name = "linear + GELU forward", .call = linear_gelu_forward, .product = 1 },
  { .name = "GELU forward", .call = gelu_forward, .four_wide = 2 },
  { .name = "GELU gradient", .call = gelu_gradient, .four_wide = 3 },
  { .name = "GELU + bias gradient", .call = gelu_bias_gradient, .four_wide = 3 },
  { .name = "add", .call = add, .wide = 3 },
  { .name = "dropout", .call = dropout, .wide = 2 },
  { .name = "bias gradient", .call = bias_gradient, .four_wide = 1 },
  { .name = "cross-entropy forward", .call = cross_entropy_forward, .logits = 1 },
  { .name = "cross-entropy gradient", .call = cross_entropy_gradient, .logits = 2 },
  { .name = "embedding forward", .call = embedding_forward, .wide = 2 },
  { .name = "embedding gradient", .call = embedding_gradient, .wide = 1 },
  { .name = "AdamW", .call = adamw, .parameter_bytes = 28, .parameter_bytes_half = 30 },
  { .name = "square sum", .call = square_sum, .parameter_bytes = 4, .parameter_bytes_half = 4 },
  { .name = "attention forward", .call = attention_forward, .attention = 2 },
  { .name = "attention gradient", .call = attention_gradient, .attention = 5 },
  { .name = "own attention forward",
    .call = own_attention_forward,
    .attention = 2,
    .only_half = TRUE },
  { .name = "own attention gradient",
    .call = own_attention_gradient,
    .attention = 5,
    .only_half = TRUE },
};

static double
case_bytes (const Ops *o, const Case *c) {
  const double wide = (double)(o->wide * element_bytes (o->element));
  const double logits = (double)(o->rows * o->size.vocabulary * element_bytes (o->element));
  const int of_parameter
      = o->element == PW_ELEMENT_F32 ? c->parameter_bytes : c->parameter_bytes_half;
  return c->wide * wide + c->four_wide * 4 * wide + c->logits * logits
         + of_parameter * (double)pw_tensor_elements (&o->w);
}

static double
case_flops (const Ops *o, const Case *c) {
  const double width = (double)o->size.width;
  return (double)o->rows * width * (c->attention * (double)o->size.tokens + c->product * 8 * width);
}

/* ---- What the device can do ---- */

CALL (copy) {
  Ops *o = data;
  (void)i;
  const PwBackend *backend = context_of (o)->backend;
  return backend->copy (context_of (o)->stream, o->b.data, o->a.data,
                        (gsize)pw_tensor_bytes (&o->a), error);
}

typedef struct {
  Ops *ops;
  PwTensor x, w, y;
} Product;

CALL (product) {
  Product *p = data;
  (void)i;
  return table_of (p->ops)->linear_forward (context_of (p->ops), &p->x, &p->w, NULL, &p->y,
                                            p->ops->workspace, error);
}

static double
product_rate (Ops *o) {
  const int64_t n = o->size.product;
  const PwBackend *backend = context_of (o)->backend;
  const int64_t dims[] = { n, n };
  Product p = { .ops = o,
                .x = gpu_bench_tensor (o->bench, o->element, 1, 2, dims),
                .w = gpu_bench_tensor (o->bench, o->element, 0.02, 2, dims),
                .y = gpu_bench_tensor (o->bench, o->element, 1, 2, dims) };
  const double seconds = gpu_bench_time (o->bench, product, &p);
  backend->free (context_of (o)->stream, p.x.data);
  backend->free (context_of (o)->stream, p.w.data);
  backend->free (context_of (o)->stream, p.y.data);
  return 2 * (double)(n * n * n) / seconds;
}

/* ---- Memory ---- */

static PwWorkspace
workspace_of_all (Ops *o) {
  const Sizes *s = &o->size;
  const PwWorkspaces *of = &context_of (o)->backend->workspace;
  PwOpContext *context = context_of (o);
  const gsize sizes[] = {
    of->layernorm (context, o->rows, s->width),
    of->embedding (context, o->rows, s->vocabulary, s->width),
    of->attention (context, o->element, TRUE, s->batch, s->heads, s->tokens, s->width),
    of->sum (context, 4 * s->width * s->width),
    of->linear (context, o->rows, s->width, 4 * s->width),
    of->linear (context, o->rows, 4 * s->width, s->width),
    of->linear (context, o->rows, s->width, 3 * s->width),
    of->linear (context, o->rows, s->width, s->width),
    of->linear (context, s->product, s->product, s->product),
  };
  gsize most = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    most = MAX (most, sizes[i]);
  return gpu_bench_workspace (o->bench, most);
}

static PwTensor
tensor (Ops *o, PwElement element, double scale, int64_t rows, int64_t columns) {
  return gpu_bench_tensor (o->bench, element, scale, columns ? 2 : 1, (int64_t[]){ rows, columns });
}

static void
ops_init (Ops *o, GpuBench *bench, const Sizes *size, PwElement element) {
  const int64_t width = size->width, rows = size->batch * size->tokens;
  *o = (Ops){ .bench = bench, .size = *size, .element = element, .rows = rows };
  o->wide = rows * width;
  o->a = tensor (o, element, 1, rows, 4 * width);
  o->b = tensor (o, element, 1, rows, 4 * width);
  o->c = tensor (o, element, 1, rows, 4 * width);
  o->gain = tensor (o, element, 1, width, 0);
  o->bias = tensor (o, element, 1, width, 0);
  o->wide_gain = tensor (o, element, 1, 4 * width, 0);
  o->mean = tensor (o, PW_ELEMENT_F32, 0.1, rows, 0);
  o->rstd = tensor (o, PW_ELEMENT_F32, 1, rows, 0);
  o->dgain = tensor (o, PW_ELEMENT_F32, 1, width, 0);
  o->dbias = tensor (o, PW_ELEMENT_F32, 1, width, 0);
  o->dwide_bias = tensor (o, PW_ELEMENT_F32, 1, 4 * width, 0);
  o->lse = tensor (o, PW_ELEMENT_F32, 1, rows, size->heads);
  o->row_lse = tensor (o, PW_ELEMENT_F32, 1, rows, 0);
  o->logits = tensor (o, element, 1, 2 * rows, size->vocabulary);
  o->logits.dims[0] = rows;
  o->tokens = tensor (o, PW_ELEMENT_I32, (double)size->vocabulary, rows, 0);
  o->table = tensor (o, element, 1, size->vocabulary, width);
  o->dtable = tensor (o, PW_ELEMENT_F32, 1, size->vocabulary, width);
  o->w = tensor (o, element, 0.02, 4 * width, width);
  o->master = tensor (o, PW_ELEMENT_F32, 0.02, 4 * width, width);
  o->m = tensor (o, PW_ELEMENT_F32, 0, 4 * width, width);
  o->v = tensor (o, PW_ELEMENT_F32, 0, 4 * width, width);
  o->gradient = tensor (o, PW_ELEMENT_F32, 0.01, 4 * width, width);
  o->dw = tensor (o, PW_ELEMENT_F32, 0.01, 4 * width, width);
  o->workspace = workspace_of_all (o);
  o->scalar = gpu_bench_memory (bench, sizeof *o->scalar);
}

static void
ops_clear (Ops *o) {
  void *memory[]
      = { o->a.data,          o->b.data,        o->c.data,       o->gain.data,      o->bias.data,
          o->wide_gain.data,  o->mean.data,     o->rstd.data,    o->dgain.data,     o->dbias.data,
          o->dwide_bias.data, o->lse.data,      o->row_lse.data, o->logits.data,    o->tokens.data,
          o->table.data,      o->dtable.data,   o->w.data,       o->master.data,    o->m.data,
          o->v.data,          o->gradient.data, o->dw.data,      o->workspace.data, o->scalar };
  for (gsize i = 0; i < G_N_ELEMENTS (memory); i++)
    context_of (o)->backend->free (context_of (o)->stream, memory[i]);
}

/* ---- A step's sequence ---- */

static PwTensor
weight (const Ops *o, const PwTensor *of, int64_t out, int64_t in) {
  return (PwTensor){ .data = of->data,
                     .element = of->element,
                     .n_dims = 2,
                     .dims = { out * o->size.width, in * o->size.width } };
}

/* Linear layers of OUT and IN widths. */
static gboolean
linear_forward (Ops *o, int64_t in, int64_t out, GError **error) {
  PwTensor x = whole (o, &o->a, in), y = whole (o, &o->b, out), w = weight (o, &o->w, out, in);
  PwTensor bias = o->wide_gain;
  bias.dims[0] = out * o->size.width;
  return table_of (o)->linear_forward (context_of (o), &x, &w, &bias, &y, o->workspace, error);
}

static gboolean
linear_gradients (Ops *o, int64_t in, int64_t out, gboolean bias_is_done, GError **error) {
  PwTensor dx = whole (o, &o->c, in), dy = whole (o, &o->b, out), w = weight (o, &o->w, out, in);
  PwTensor x = whole (o, &o->a, in), dw = weight (o, &o->dw, out, in), dbias = o->dwide_bias;
  dbias.dims[0] = out * o->size.width;
  return table_of (o)->linear_input_gradient (context_of (o), &dy, &w, &dx,
                                              bias_is_done ? NULL : &dbias, o->workspace, error)
         && table_of (o)->linear_weight_gradient (context_of (o), &x, &dy, &dw, o->workspace,
                                                  error);
}

#define OPS_IN_BLOCK (9 + 14) /* calls; a gradient of a linear layer is two */

static gboolean
forward_block (Ops *o, GError **error) {
  return layernorm_forward (o, 0, error) && linear_forward (o, 1, 3, error)
         && attention_forward (o, 0, error) && linear_forward (o, 1, 1, error) && add (o, 0, error)
         && layernorm_forward (o, 1, error) && linear_gelu_forward (o, 0, error)
         && linear_forward (o, 4, 1, error) && add (o, 1, error);
}

static gboolean
backward_block (Ops *o, GError **error) {
  return linear_gradients (o, 4, 1, FALSE, error) && gelu_bias_gradient (o, 0, error)
         && linear_gradients (o, 1, 4, TRUE, error) && layernorm_gradient (o, 0, error)
         && add (o, 0, error) && linear_gradients (o, 1, 1, FALSE, error)
         && attention_gradient (o, 0, error) && linear_gradients (o, 1, 3, FALSE, error)
         && layernorm_gradient (o, 1, error) && add (o, 1, error);
}

/* All blocks forward and backward, of one sequence. */
CALL (sequence) {
  Ops *o = data;
  (void)i;
  gboolean good = TRUE;
  for (int b = 0; b < o->size.blocks && good; b++)
    good = forward_block (o, error);
  for (int b = 0; b < o->size.blocks && good; b++)
    good = backward_block (o, error);
  return good;
}

/* From an idle stream, as the executor starts a step, against one that the host is ahead of. */
static void
measure_waiting (Ops *o, const char *precision) {
  GpuBench *bench = o->bench;
  const gsize lead_bytes = bench->lead_bytes;
  double idle[15], ahead[15];
  const int rounds = MIN (bench->rounds, 15);
  double enqueue_s = 0;
  gpu_bench_round (bench, sequence, o, 1);
  for (int r = 0; r < rounds; r++) {
    ahead[r] = gpu_bench_round (bench, sequence, o, 2);
    bench->lead_bytes = 0;
    const double start = gpu_bench_now ();
    GError *error = NULL;
    gpu_bench_need (sequence (o, 0, &error), &error);
    enqueue_s += (gpu_bench_now () - start) / rounds;
    gpu_bench_need (context_of (o)->backend->stream_synchronize (context_of (o)->stream, &error),
                    &error);
    idle[r] = gpu_bench_round (bench, sequence, o, 1);
    bench->lead_bytes = lead_bytes;
  }
  const double busy_s = gpu_bench_median (ahead, rounds), all_s = gpu_bench_median (idle, rounds);
  printf (
      "%s %d blocks forward and backward, one sequence: %.2f ms behind other work, %.2f ms from an "
      "idle stream; the host enqueues %d ops in %.2f ms\n",
      precision, o->size.blocks, 1e3 * busy_s, 1e3 * all_s, o->size.blocks * OPS_IN_BLOCK,
      1e3 * enqueue_s);
  g_autofree char *figure = g_strdup_printf (
      "device waits for launches, %d blocks in %s, of the time", o->size.blocks, precision);
  gpu_bench_row (figure, 100 * MAX (1 - busy_s / all_s, 0), "%", "<=", MARK_WAIT);
}

static void
run (GpuBench *bench, const char *precision, PwElement element) {
  Ops o;
  Sizes size = bench->tiny ? tiny_sizes : full_sizes;
  ops_init (&o, bench, &size, element);
  const double bandwidth = 2 * (double)pw_tensor_bytes (&o.a) / gpu_bench_time (bench, copy, &o);
  const double rate = product_rate (&o);
  printf ("%s device copy %.0f GB/s (read and written), product of %" G_GINT64_FORMAT
          " cubed %.1f TFLOP/s\n",
          precision, 1e-9 * bandwidth, size.product, 1e-12 * rate);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i];
    if (c->only_half && element == PW_ELEMENT_F32)
      continue;
    const double seconds = gpu_bench_time (bench, c->call, &o);
    const gboolean moves = c->attention == 0;
    const double done = (moves ? case_bytes (&o, c) : case_flops (&o, c)) / seconds;
    const double share = 100 * done / (moves ? bandwidth : rate);
    printf ("%s %-24s %9.1f us  %8.1f %-8s %6.1f%% of %s\n", precision, c->name, 1e6 * seconds,
            done * (moves ? 1e-9 : 1e-12), moves ? "GB/s" : "TFLOP/s", share,
            moves ? "a copy's" : "a product's");
    g_autofree char *figure = g_strdup_printf ("%s in %s, of a %s rate", c->name, precision,
                                               moves ? "copy's" : "product's");
    gpu_bench_row (figure, share, "%", "-", 0);
  }
  ops_clear (&o);
  size.batch = 1;
  ops_init (&o, bench, &size, element);
  measure_waiting (&o, precision);
  ops_clear (&o);
}

int
main (int argc, char **argv) {
  static const struct {
    const char *name;
    PwElement element;
    PwArithmetic arithmetic;
  } precisions[] = { { "bf16", PW_ELEMENT_BF16, PW_ARITHMETIC_BF16 },
                     { "fp32", PW_ELEMENT_F32, PW_ARITHMETIC_FP32 } };
  GpuBench bench;
  gpu_bench_open (&bench, argc, argv);
  for (gsize p = 0; p < G_N_ELEMENTS (precisions); p++) {
    if (gpu_bench_can (&bench, precisions[p].name, precisions[p].arithmetic))
      run (&bench, precisions[p].name, precisions[p].element);
  }
  gpu_bench_close (&bench);
  return 0;
}
