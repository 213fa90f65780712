/* Products by cuBLASLt. It thinks in columns: a row-major matrix is its transpose there, so
 * C = A B is asked for as C^T = B^T A^T and nothing is copied.
 *
 * What is computed is a function of the shape alone, so that equal inputs give equal bits wherever
 * they stand: the algorithm is the heuristic's first choice for a fixed workspace limit and for the
 * alignment that the rows' length guarantees, not for what a pointer happens to have; parts of a
 * sum are added in fp32 and in order. It is chosen once per shape and stream. */
#include "kernels/cuda/cuda_private.h"
#include <string.h>

#define WORKSPACE_MAX ((size_t)32 << 20) /* what the library advises for sm_90 */
#define ALIGNMENT_MAX 16u                /* wider loads do not exist */
#define GELU_COLUMNS 8                   /* what is kept of a gelu has to come in multiples of it */

typedef struct {
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t a, b, c; /* of C^T = B^T A^T: `a` is the layout of B */
  cublasLtMatmulHeuristicResult_t choice;
  cublasStatus_t status; /* not success: the library knows no way, which is asked for once, too */
} Compiled;

static guint
product_hash (gconstpointer key) {
  const unsigned char *bytes = key;
  guint hash = 2166136261u; /* FNV-1a */
  for (gsize i = 0; i < sizeof (PwCudaProduct); i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static gboolean
product_equal (gconstpointer a, gconstpointer b) {
  return memcmp (a, b, sizeof (PwCudaProduct)) == 0;
}

static void
compiled_free (gpointer data) {
  Compiled *compiled = data;
  if (compiled->product)
    cublasLtMatmulDescDestroy (compiled->product);
  cublasLtMatrixLayout_t layouts[] = { compiled->a, compiled->b, compiled->c };
  for (gsize i = 0; i < G_N_ELEMENTS (layouts); i++)
    if (layouts[i])
      cublasLtMatrixLayoutDestroy (layouts[i]);
  g_free (compiled);
}

void
pw__cuda_product_free (PwStream *stream) {
  g_clear_pointer (&stream->compiled, g_hash_table_unref);
}

static cudaDataType_t
data_type (PwCudaType type) {
  static const cudaDataType_t types[]
      = { [PW_CUDA_F32] = CUDA_R_32F, [PW_CUDA_BF16] = CUDA_R_16BF, [PW_CUDA_F16] = CUDA_R_16F };
  return types[type];
}

/* What every row of COLUMNS elements starts at a multiple of. */
static uint32_t
alignment (int64_t columns, PwCudaType type) {
  uint64_t bytes = (uint64_t)columns * (type == PW_CUDA_F32 ? 4 : 2);
  return (uint32_t)MIN (bytes & -bytes, ALIGNMENT_MAX);
}

static cublasStatus_t
describe (Compiled *compiled, const PwCudaProduct *p) {
  const cublasComputeType_t compute
      = p->type == PW_CUDA_F32 && p->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const cublasOperation_t op_a = p->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t op_b = p->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t epilogue
      = p->gelu   ? p->bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX
        : p->bias ? CUBLASLT_EPILOGUE_BIAS
                  : CUBLASLT_EPILOGUE_DEFAULT;
  const cudaDataType_t bias_type = data_type (p->type);
  /* The heuristic finds nothing for a bias that is nowhere; of the address it looks at the
   * alignment alone. */
  const void *const somewhere = (const void *)(uintptr_t)256;
  cublasStatus_t status = cublasLtMatmulDescCreate (&compiled->product, compute, CUDA_R_32F);
  const struct {
    cublasLtMatmulDescAttributes_t attribute;
    const void *value;
    size_t bytes;
    gboolean is_needed;
  } rows[] = {
    { CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a, TRUE },
    { CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b, TRUE },
    { CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue, TRUE },
    { CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type, p->bias != 0 },
    { CUBLASLT_MATMUL_DESC_BIAS_POINTER, &somewhere, sizeof somewhere, p->bias != 0 },
    { CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &p->columns, sizeof p->columns, p->gelu != 0 },
    { CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &somewhere, sizeof somewhere, p->gelu != 0 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows) && status == CUBLAS_STATUS_SUCCESS; i++)
    if (rows[i].is_needed)
      status = cublasLtMatmulDescSetAttribute (compiled->product, rows[i].attribute, rows[i].value,
                                               rows[i].bytes);
  return status;
}

/* As stored: of `columns` each, which are the library's rows. */
static cublasStatus_t
lay_out (Compiled *compiled, const PwCudaProduct *p) {
  int64_t a_rows = p->transpose_a ? p->depth : p->rows;
  int64_t a_columns = p->transpose_a ? p->rows : p->depth;
  int64_t b_rows = p->transpose_b ? p->columns : p->depth;
  int64_t b_columns = p->transpose_b ? p->depth : p->columns;
  const struct {
    cublasLtMatrixLayout_t *layout;
    PwCudaType type;
    int64_t rows, columns;
  } matrices[] = {
    { &compiled->a, p->type, b_rows, b_columns },
    { &compiled->b, p->type, a_rows, a_columns },
    { &compiled->c, p->result, p->rows, p->columns },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (matrices); i++) {
    cublasStatus_t status = cublasLtMatrixLayoutCreate (
        matrices[i].layout, data_type (matrices[i].type), (uint64_t)matrices[i].columns,
        (uint64_t)matrices[i].rows, matrices[i].columns);
    if (status != CUBLAS_STATUS_SUCCESS)
      return status;
  }
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t
prefer (cublasLtMatmulPreference_t preference, const PwCudaProduct *p) {
  const uint32_t a = alignment (p->transpose_b ? p->depth : p->columns, p->type);
  const uint32_t b = alignment (p->transpose_a ? p->rows : p->depth, p->type);
  const uint32_t c = alignment (p->columns, p->result);
  const uint32_t in_order = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const size_t workspace = WORKSPACE_MAX;
  const struct {
    cublasLtMatmulPreferenceAttributes_t attribute;
    const void *value;
    size_t bytes;
  } rows[] = {
    { CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace },
    { CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &in_order, sizeof in_order },
    { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a, sizeof a },
    { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b, sizeof b },
    { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof c },
    { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c, sizeof c },
  };
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  for (gsize i = 0; i < G_N_ELEMENTS (rows) && status == CUBLAS_STATUS_SUCCESS; i++)
    status = cublasLtMatmulPreferenceSetAttribute (preference, rows[i].attribute, rows[i].value,
                                                   rows[i].bytes);
  return status;
}

static cublasStatus_t
choose (cublasLtHandle_t library, Compiled *compiled, const PwCudaProduct *p) {
  cublasLtMatmulPreference_t preference = NULL;
  cublasStatus_t status = cublasLtMatmulPreferenceCreate (&preference);
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  int found = 0;
  status = prefer (preference, p);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmulAlgoGetHeuristic (library, compiled->product, compiled->a, compiled->b,
                                             compiled->c, compiled->c, preference, 1,
                                             &compiled->choice, &found);
  cublasLtMatmulPreferenceDestroy (preference);
  if (status == CUBLAS_STATUS_SUCCESS && found == 0)
    status = CUBLAS_STATUS_NOT_SUPPORTED;
  return status;
}

static const Compiled *
compile (PwStream *stream, const PwCudaProduct *p) {
  if (!stream->compiled)
    stream->compiled = g_hash_table_new_full (product_hash, product_equal, g_free, compiled_free);
  const Compiled *known = g_hash_table_lookup (stream->compiled, p);
  if (known)
    return known;
  Compiled *compiled = g_new0 (Compiled, 1);
  compiled->status = p->gelu && p->columns % GELU_COLUMNS != 0 ? CUBLAS_STATUS_NOT_SUPPORTED
                                                               : describe (compiled, p);
  if (compiled->status == CUBLAS_STATUS_SUCCESS)
    compiled->status = lay_out (compiled, p);
  if (compiled->status == CUBLAS_STATUS_SUCCESS)
    compiled->status = choose (stream->products, compiled, p);
  g_hash_table_insert (stream->compiled, g_memdup2 (p, sizeof *p), compiled);
  return compiled;
}

gsize
pw__cuda_product_workspace (PwOpContext *context, const PwCudaProduct *p) {
  const Compiled *compiled = compile (context->stream, p);
  return compiled->status == CUBLAS_STATUS_SUCCESS ? compiled->choice.workspaceSize : 0;
}

gboolean
pw__cuda_product_is_known (PwOpContext *context, const PwCudaProduct *p) {
  return compile (context->stream, p)->status == CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t
set_addresses (const Compiled *compiled, const PwCudaProduct *p, const void *bias,
               void *before_gelu) {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  if (p->bias)
    status = cublasLtMatmulDescSetAttribute (compiled->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                             &bias, sizeof bias);
  if (p->gelu && status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmulDescSetAttribute (compiled->product,
                                             CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER,
                                             &before_gelu, sizeof before_gelu);
  return status;
}

gboolean
pw__cuda_product (PwOpContext *context, const char *what, const PwCudaProduct *p, const void *a,
                  const void *b, const void *bias, void *before_gelu, void *c,
                  PwWorkspace workspace, GError **error) {
  if (p->rows == 0 || p->columns == 0)
    return TRUE;
  const Compiled *compiled = compile (context->stream, p);
  if (!pw__cuda_check_product (context, what, compiled->status, error))
    return FALSE;
  g_assert (workspace.bytes >= compiled->choice.workspaceSize);
  if (!pw__cuda_check_product (context, what, set_addresses (compiled, p, bias, before_gelu),
                               error))
    return FALSE;
  const float one = 1, beta = p->accumulate ? 1 : 0;
  return pw__cuda_check_product (
      context, what,
      cublasLtMatmul (context->stream->products, compiled->product, &one, b, compiled->a, a,
                      compiled->b, &beta, c, compiled->c, c, compiled->c, &compiled->choice.algo,
                      workspace.data, compiled->choice.workspaceSize, context->stream->stream),
      error);
}
