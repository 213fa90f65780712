/* Matrix products by oneDNN, two ways:
 *
 *   sgemm    nothing to prepare; packs its operands anew in every call
 *   matmul   compiled once per shape and stream; works in the caller's workspace
 *
 * Measured on one core with AVX-512 (256 GFLOP/s), matmul leads by up to 15% from 128 rows on,
 * most with strides that are powers of two, and sgemm by up to 15% with few rows. The
 * choice hangs on the shape alone, so equal shapes get equal bits. */
#include "kernels/cpu/cpu_private.h"
#include <string.h>

/* Least extent of a product for which matmul is compiled. */
#define MATMUL_EXTENT_MIN 96

typedef struct {
  dnnl_primitive_t primitive;
  dnnl_memory_t a, b, bias, c, scratchpad;
  gsize scratchpad_bytes;
} CompiledProduct;

static const char *const status_words[] = {
  [dnnl_out_of_memory] = "out of memory", [dnnl_invalid_arguments] = "invalid arguments",
  [dnnl_unimplemented] = "unimplemented", [dnnl_iterator_ends] = "iterator ends",
  [dnnl_runtime_error] = "runtime error", [dnnl_not_required] = "not required",
};

static gboolean
fail (const PwProduct *product, const char *call, dnnl_status_t status, GError **error) {
  gboolean known = (gsize)status < G_N_ELEMENTS (status_words) && status_words[status] != NULL;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY,
               "oneDNN: %s of a product [%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT
               "] x [%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT "]: %s (%d)",
               call, product->rows, product->depth, product->depth, product->columns,
               known ? status_words[status] : "unknown status", (int)status);
  return FALSE;
}

#define TRY(call)                                                                                  \
  G_STMT_START {                                                                                   \
    dnnl_status_t status_ = (call);                                                                \
    if (status_ != dnnl_success)                                                                   \
      return fail (product, #call, status_, error);                                                \
  }                                                                                                \
  G_STMT_END

/* Few rows in any direction: packing by sgemm costs less than matmul's own preparation. */
static gboolean
uses_matmul (const PwProduct *product) {
  return MIN (MIN (product->rows, product->columns), product->depth) >= MATMUL_EXTENT_MIN;
}

void
pw__cpu_product_free (gpointer data) {
  CompiledProduct *compiled = data;
  dnnl_memory_t memories[]
      = { compiled->a, compiled->b, compiled->bias, compiled->c, compiled->scratchpad };
  for (gsize i = 0; i < G_N_ELEMENTS (memories); i++)
    if (memories[i] != NULL)
      dnnl_memory_destroy (memories[i]);
  if (compiled->primitive != NULL)
    dnnl_primitive_destroy (compiled->primitive);
  g_free (compiled);
}

typedef struct {
  dnnl_memory_desc_t a, b, bias, c;
} ProductLayout;

static gboolean
layout_init (ProductLayout *layout, const PwProduct *product, GError **error) {
  const dnnl_dims_t dims_a = { product->rows, product->depth };
  const dnnl_dims_t dims_b = { product->depth, product->columns };
  const dnnl_dims_t dims_c = { product->rows, product->columns };
  const dnnl_dims_t dims_bias = { 1, product->columns };
  dnnl_dims_t strides_a = { product->stride_a, 1 }, strides_b = { product->stride_b, 1 };
  const dnnl_dims_t strides_c = { product->stride_c, 1 };
  const dnnl_dims_t strides_bias = { product->columns, 1 };
  if (product->transpose_a) {
    strides_a[0] = 1;
    strides_a[1] = product->stride_a;
  }
  if (product->transpose_b) {
    strides_b[0] = 1;
    strides_b[1] = product->stride_b;
  }
  TRY (dnnl_memory_desc_init_by_strides (&layout->a, 2, dims_a, dnnl_f32, strides_a));
  TRY (dnnl_memory_desc_init_by_strides (&layout->b, 2, dims_b, dnnl_f32, strides_b));
  TRY (dnnl_memory_desc_init_by_strides (&layout->c, 2, dims_c, dnnl_f32, strides_c));
  TRY (dnnl_memory_desc_init_by_strides (&layout->bias, 2, dims_bias, dnnl_f32, strides_bias));
  return TRUE;
}

static gboolean
attributes_new (dnnl_primitive_attr_t *attributes, const PwProduct *product, GError **error) {
  TRY (dnnl_primitive_attr_create (attributes));
  TRY (dnnl_primitive_attr_set_scratchpad_mode (*attributes, dnnl_scratchpad_mode_user));
  if (!product->accumulate)
    return TRUE;
  dnnl_post_ops_t sum;
  TRY (dnnl_post_ops_create (&sum));
  dnnl_status_t status = dnnl_post_ops_append_sum (sum, 1);
  if (status == dnnl_success)
    status = dnnl_primitive_attr_set_post_ops (*attributes, sum);
  dnnl_post_ops_destroy (sum);
  TRY (status);
  return TRUE;
}

static gboolean
compile_with (CompiledProduct *compiled, PwStream *stream, const PwProduct *product,
              const ProductLayout *layout, const_dnnl_primitive_desc_t description,
              GError **error) {
  const dnnl_memory_desc_t *scratchpad
      = dnnl_primitive_desc_query_md (description, dnnl_query_scratchpad_md, 0);
  compiled->scratchpad_bytes = dnnl_memory_desc_get_size (scratchpad);
  TRY (dnnl_primitive_create (&compiled->primitive, description));
  dnnl_engine_t engine = stream->engine;
  TRY (dnnl_memory_create (&compiled->a, &layout->a, engine, DNNL_MEMORY_NONE));
  TRY (dnnl_memory_create (&compiled->b, &layout->b, engine, DNNL_MEMORY_NONE));
  TRY (dnnl_memory_create (&compiled->c, &layout->c, engine, DNNL_MEMORY_NONE));
  TRY (dnnl_memory_create (&compiled->bias, &layout->bias, engine, DNNL_MEMORY_NONE));
  TRY (dnnl_memory_create (&compiled->scratchpad, scratchpad, engine, DNNL_MEMORY_NONE));
  return TRUE;
}

static gboolean
compile (CompiledProduct *compiled, PwStream *stream, const PwProduct *product, GError **error) {
  if (stream->engine == NULL)
    TRY (dnnl_engine_create (&stream->engine, dnnl_cpu, 0));
  if (stream->queue == NULL)
    TRY (dnnl_stream_create (&stream->queue, stream->engine, dnnl_stream_default_flags));
  ProductLayout layout;
  if (!layout_init (&layout, product, error))
    return FALSE;
  dnnl_matmul_desc_t operation;
  TRY (dnnl_matmul_desc_init (&operation, &layout.a, &layout.b, product->bias ? &layout.bias : NULL,
                              &layout.c));
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t description = NULL;
  gboolean done = attributes_new (&attributes, product, error);
  if (done) {
    dnnl_status_t status
        = dnnl_primitive_desc_create (&description, &operation, attributes, stream->engine, NULL);
    done = status == dnnl_success
               ? compile_with (compiled, stream, product, &layout, description, error)
               : fail (product, "dnnl_primitive_desc_create", status, error);
  }
  if (description != NULL)
    dnnl_primitive_desc_destroy (description);
  if (attributes != NULL)
    dnnl_primitive_attr_destroy (attributes);
  return done;
}

static CompiledProduct *
product_get (PwStream *stream, const PwProduct *product, GError **error) {
  CompiledProduct *compiled = g_hash_table_lookup (stream->products, product);
  if (compiled != NULL)
    return compiled;
  compiled = g_new0 (CompiledProduct, 1);
  if (!compile (compiled, stream, product, error)) {
    pw__cpu_product_free (compiled);
    return NULL;
  }
  g_hash_table_insert (stream->products, g_memdup2 (product, sizeof *product), compiled);
  return compiled;
}

gsize
pw__cpu_product_workspace (PwOpContext *context, const PwProduct *product) {
  if (!uses_matmul (product))
    return 0;
  /* A shape that cannot be compiled needs no workspace: the product itself reports why. */
  CompiledProduct *compiled = product_get (context->stream, product, NULL);
  return compiled == NULL ? 0 : compiled->scratchpad_bytes;
}

static gboolean
multiply_compiled (PwStream *stream, const PwProduct *product, const float *a, const float *b,
                   const float *bias, float *c, PwWorkspace workspace, GError **error) {
  CompiledProduct *compiled = product_get (stream, product, error);
  if (compiled == NULL)
    return FALSE;
  g_assert (workspace.bytes >= compiled->scratchpad_bytes);
  TRY (dnnl_memory_set_data_handle (compiled->a, (void *)a));
  TRY (dnnl_memory_set_data_handle (compiled->b, (void *)b));
  TRY (dnnl_memory_set_data_handle (compiled->c, c));
  TRY (dnnl_memory_set_data_handle (compiled->scratchpad, workspace.data));
  dnnl_exec_arg_t arguments[5] = {
    { .arg = DNNL_ARG_SRC, .memory = compiled->a },
    { .arg = DNNL_ARG_WEIGHTS, .memory = compiled->b },
    { .arg = DNNL_ARG_DST, .memory = compiled->c },
    { .arg = DNNL_ARG_SCRATCHPAD, .memory = compiled->scratchpad },
    { .arg = DNNL_ARG_BIAS, .memory = compiled->bias },
  };
  if (product->bias)
    TRY (dnnl_memory_set_data_handle (compiled->bias, (void *)bias));
  TRY (dnnl_primitive_execute (compiled->primitive, stream->queue, product->bias ? 5 : 4,
                               arguments));
  return TRUE;
}

gboolean
pw__cpu_small_product (const PwProduct *product, float alpha, const float *a, const float *b,
                       float *c, GError **error) {
  TRY (dnnl_sgemm (product->transpose_a ? 'T' : 'N', product->transpose_b ? 'T' : 'N',
                   product->rows, product->columns, product->depth, alpha, a, product->stride_a, b,
                   product->stride_b, product->accumulate ? 1 : 0, c, product->stride_c));
  return TRUE;
}

gboolean
pw__cpu_product (PwOpContext *context, const PwProduct *product, const float *a, const float *b,
                 const float *bias, float *c, PwWorkspace workspace, GError **error) {
  g_assert (product->bias == (bias != NULL) && !(product->bias && product->accumulate));
  if (uses_matmul (product))
    return multiply_compiled (context->stream, product, a, b, bias, c, workspace, error);
  PwProduct plain = *product;
  if (product->bias) {
    for (int64_t row = 0; row < product->rows; row++)
      memcpy (c + row * product->stride_c, bias, (gsize)product->columns * sizeof *bias);
    plain.bias = FALSE;
    plain.accumulate = TRUE;
  }
  return pw__cpu_small_product (&plain, 1, a, b, c, error);
}
