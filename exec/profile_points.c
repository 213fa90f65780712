/* Products as linear layers have them: forward, input gradient and weight gradient of x[n,n]
 * w[n,n], and of w[4n,n] as in a transformer's feed-forward layer; memory by y = a + b; copies. */
#include "exec/exec_private.h"
#include "exec/half.h"
#include "exec/profile_machine_private.h"
#include "exec/random_private.h"

#define PRODUCT_LEAST 16
#define PRODUCT_MOST 8192
#define BYTES_LEAST ((gsize)256)
#define BYTES_MOST ((gsize)256 << 20)
#define STAGED_MOST ((gsize)64 << 20) /* of one round: the host does not wait for the device */
#define PATTERN ((gsize)64 << 10)     /* elements; repeated */

/* ---- The list ---- */

static void
add_product (GArray *points, PwHardware *hardware, PwPrecision precision, int64_t n, int64_t out) {
  double flops = 2.0 * (double)n * (double)n * (double)out;
  PwMachinePoint point = { .table = PW_TABLE_PRODUCTS + (int)precision,
                           .rows = n,
                           .in = n,
                           .out = out,
                           .size = flops,
                           .amount = 3 * flops,
                           .into = &hardware->rates[precision] };
  g_array_append_val (points, point);
}

static void
add_memory (GArray *points, PwHardware *hardware, gsize bytes) {
  PwMachinePoint point = { .table = PW_TABLE_MEMORY,
                           .bytes = bytes,
                           .size = 3 * (double)bytes,
                           .amount = 3 * (double)bytes,
                           .into = &hardware->memory_rates };
  g_array_append_val (points, point);
}

static void
add_copy (GArray *points, PwHardware *hardware, PwCopyKind kind, gsize bytes) {
  PwMachinePoint point = { .table = PW_TABLE_COPY + (int)kind,
                           .bytes = bytes,
                           .size = (double)bytes,
                           .amount = (double)bytes,
                           .calls_max = kind == PW_COPY_ON_DEVICE ? 0 : (int)(STAGED_MOST / bytes),
                           .into = &hardware->copies[kind] };
  g_array_append_val (points, point);
}

/* Host memory has one device: copies to and from it would be the same again. */
void
pw__machine_points (const PwBackend *backend, PwHardware *hardware, GArray *points) {
  for (gsize bytes = BYTES_LEAST; bytes <= BYTES_MOST; bytes *= 4)
    add_memory (points, hardware, bytes);
  for (int kind = 0; kind < PW_COPY_N; kind++)
    for (gsize bytes = BYTES_LEAST; bytes <= BYTES_MOST; bytes *= 4)
      if (kind == PW_COPY_ON_DEVICE || (!pw__is_host_memory (backend) && bytes <= STAGED_MOST))
        add_copy (points, hardware, (PwCopyKind)kind, bytes);
  for (int precision = 0; precision < PW_PRECISION_N; precision++)
    for (int64_t n = PRODUCT_LEAST; n <= PRODUCT_MOST; n *= 2) {
      if (!pw__computes_in (backend, (PwPrecision)precision))
        continue;
      add_product (points, hardware, (PwPrecision)precision, n, n);
      if (4 * n <= PRODUCT_MOST)
        add_product (points, hardware, (PwPrecision)precision, n, 4 * n);
    }
}

/* ---- Buffers ---- */

static PwDtype
element_of (const PwMachinePoint *point) {
  return point->table < PW_TABLE_PRODUCTS
             ? PW_DTYPE_F32
             : pw_precision_element ((PwPrecision)(point->table - PW_TABLE_PRODUCTS));
}

/* A pattern from the host, repeated on the device. */
static gboolean
fill (PwMachineBench *bench, PwDtype element, char *buffer, gsize bytes, GError **error) {
  const PwBackend *backend = bench->context.backend;
  PwStream *stream = bench->context.stream;
  g_autofree float *values = g_new (float, PATTERN);
  for (gsize i = 0; i < PATTERN; i += 2) {
    double pair[2];
    pw__random_normal_pair (1, i, pair);
    values[i] = (float)(0.1 * pair[0]);
    values[i + 1] = (float)(0.1 * pair[1]);
  }
  gsize pattern_bytes = PATTERN * (gsize)pw_dtype_bytes (element);
  g_autofree char *pattern = g_malloc (pattern_bytes);
  pw__floats_to (element, values, (int64_t)PATTERN, pattern);
  gsize first = MIN (bytes, pattern_bytes);
  if (!backend->copy_from_host (stream, buffer, pattern, first, error))
    return FALSE;
  for (gsize done = first; done < bytes; done += MIN (first, bytes - done))
    if (!backend->copy (stream, buffer + done, buffer, MIN (first, bytes - done), error))
      return FALSE;
  return TRUE;
}

static gboolean
take (PwMachineBench *bench, int i, PwDtype element, gsize bytes, GError **error) {
  bench->buffers[i] = bench->context.backend->alloc (bench->context.stream, bytes, error);
  return bench->buffers[i] && fill (bench, element, bench->buffers[i], bytes, error);
}

enum { X, W, Y, DX, DW };

static gboolean
prepare_product (PwMachineBench *bench, const PwMachinePoint *point, GError **error) {
  PwDtype element = element_of (point);
  gsize width = (gsize)pw_dtype_bytes (element);
  gsize input = (gsize)(point->rows * point->in), output = (gsize)(point->rows * point->out);
  gsize weight = (gsize)(point->in * point->out);
  PwOpContext *context = &bench->context;
  context->tf32 = point->table == PW_TABLE_PRODUCTS + PW_PRECISION_TF32;
  gsize bytes = context->backend->workspace.linear (context, point->rows, point->in, point->out);
  if (bytes > 0)
    bench->workspace
        = (PwWorkspace){ .data = context->backend->alloc (context->stream, bytes, error),
                         .bytes = bytes };
  return (bytes == 0 || bench->workspace.data) && take (bench, X, element, input * width, error)
         && take (bench, W, element, weight * width, error)
         && take (bench, Y, element, output * width, error)
         && take (bench, DX, element, input * width, error)
         && take (bench, DW, PW_DTYPE_F32, weight * sizeof (float), error);
}

gboolean
pw__machine_prepare (PwMachineBench *bench, const PwMachinePoint *point, GError **error) {
  if (point->table >= PW_TABLE_PRODUCTS)
    return prepare_product (bench, point, error);
  gboolean has_host = point->table == PW_TABLE_COPY + PW_COPY_TO_DEVICE
                      || point->table == PW_TABLE_COPY + PW_COPY_TO_HOST;
  if (has_host)
    bench->host = g_malloc0 (point->bytes);
  int n = point->table == PW_TABLE_MEMORY ? 3 : has_host ? 1 : 2;
  for (int i = 0; i < n; i++)
    if (!take (bench, i, PW_DTYPE_F32, point->bytes, error))
      return FALSE;
  return TRUE;
}

void
pw__machine_clear (PwMachineBench *bench) {
  const PwBackend *backend = bench->context.backend;
  for (int i = 0; i < PW_MACHINE_BUFFERS; i++)
    if (bench->buffers[i])
      backend->free (bench->context.stream, g_steal_pointer (&bench->buffers[i]));
  if (bench->workspace.data)
    backend->free (bench->context.stream, bench->workspace.data);
  bench->workspace = (PwWorkspace){ 0 };
  g_clear_pointer (&bench->host, g_free);
}

/* ---- Calls ---- */

static PwTensor
matrix (PwMachineBench *bench, int i, PwDtype element, int64_t rows, int64_t columns) {
  PwShape shape = { .dtype = element, .n_dims = 2, .dims = { rows, columns } };
  return pw__tensor (&shape, 0, bench->buffers[i]);
}

static gboolean
multiply (PwMachineBench *bench, const PwMachinePoint *point, GError **error) {
  PwOpContext *context = &bench->context;
  const PwOps *ops = &context->backend->ops;
  PwDtype element = element_of (point);
  PwTensor x = matrix (bench, X, element, point->rows, point->in);
  PwTensor w = matrix (bench, W, element, point->out, point->in);
  PwTensor y = matrix (bench, Y, element, point->rows, point->out);
  PwTensor dx = matrix (bench, DX, element, point->rows, point->in);
  PwTensor dw = matrix (bench, DW, PW_DTYPE_F32, point->out, point->in);
  return ops->linear_forward (context, &x, &w, NULL, &y, bench->workspace, error)
         && ops->linear_input_gradient (context, &y, &w, &dx, NULL, bench->workspace, error)
         && ops->linear_weight_gradient (context, &x, &y, &dw, bench->workspace, error);
}

gboolean
pw__machine_call (PwMachineBench *bench, const PwMachinePoint *point, GError **error) {
  PwOpContext *context = &bench->context;
  const PwBackend *backend = context->backend;
  if (point->table >= PW_TABLE_PRODUCTS)
    return multiply (bench, point, error);
  if (point->table == PW_TABLE_MEMORY) {
    int64_t elements = (int64_t)(point->bytes / sizeof (float));
    PwTensor a = matrix (bench, 0, PW_DTYPE_F32, 1, elements);
    PwTensor b = matrix (bench, 1, PW_DTYPE_F32, 1, elements);
    PwTensor y = matrix (bench, 2, PW_DTYPE_F32, 1, elements);
    return backend->ops.add (context, &a, &b, &y, error);
  }
  switch ((PwCopyKind)(point->table - PW_TABLE_COPY)) {
  case PW_COPY_TO_DEVICE:
    return backend->copy_from_host (context->stream, bench->buffers[0], bench->host, point->bytes,
                                    error);
  case PW_COPY_TO_HOST:
    return backend->copy_to_host (context->stream, bench->host, bench->buffers[0], point->bytes,
                                  error);
  default:
    return backend->copy (context->stream, bench->buffers[1], bench->buffers[0], point->bytes,
                          error);
  }
}
