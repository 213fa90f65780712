/* cuBLASLt's calls over product.h. What is not covered is refused, not ignored. */
#include <cublasLt.h>

#include <cstring>

#include "tests/device/fake/product.h"
#include "tests/device/fake/runtime_private.h"

/* Every heuristic asks for some workspace, so that one shared by two streams shows as a race. */
static const size_t workspace_wanted = 1024;

struct cublasLtContext {
  int device;
};

namespace {
struct Description {
  cublasComputeType_t compute;
  cublasOperation_t transpose_a, transpose_b;
  unsigned epilogue;
  void *bias, *auxiliary;
  int bias_type;
  int64_t auxiliary_leading;
};
struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t leading;
  int32_t batch;
  int64_t stride;
};
struct Preference {
  uint64_t workspace_bytes;
};
/* In the library's opaque algorithm. */
struct Algorithm {
  uint64_t magic, workspace_bytes;
};
} // namespace

static const uint64_t algorithm_magic = 0x7077616c676f31;

static Description *
description_of (cublasLtMatmulDesc_t opaque) {
  return *(Description **)opaque;
}

/* A handle is a pointer to an opaque struct, whose first word is ours. */
template <class Handle, class Ours>
static cublasStatus_t
wrap (Handle *handle, const Ours &ours) {
  if (!handle)
    return CUBLAS_STATUS_INVALID_VALUE;
  *handle = (Handle) new (Ours *) (new Ours (ours));
  return CUBLAS_STATUS_SUCCESS;
}

template <class Ours, class Handle>
static cublasStatus_t
unwrap (Handle handle) {
  delete *(Ours **)handle;
  delete (Ours **)handle;
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
static cublasStatus_t
take (T *field, const void *value, size_t bytes) {
  if (bytes != sizeof *field)
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy ((void *)field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

static MatrixView
view_of (const Layout *layout, const void *data, bool transposed) {
  return {
    layout->type,         (long)layout->rows, (long)layout->columns,    (long)layout->leading,
    (long)layout->stride, transposed,         const_cast<void *> (data)
  };
}

static cublasStatus_t
check_shapes (const Product *p) {
  const MatrixView *all[] = { &p->a, &p->b, &p->c, &p->d };
  for (const MatrixView *view : all) {
    if (!element_bytes (view->type))
      return CUBLAS_STATUS_NOT_SUPPORTED;
    if (view->leading < view->rows)
      return CUBLAS_STATUS_INVALID_VALUE;
  }
  const long a_outer = p->a.transposed ? p->a.columns : p->a.rows;
  const long b_inner = p->b.transposed ? p->b.columns : p->b.rows;
  const long b_outer = p->b.transposed ? p->b.rows : p->b.columns;
  if (a_outer != p->d.rows || b_outer != p->d.columns || b_inner != p->inner
      || p->c.rows != p->d.rows || p->c.columns != p->d.columns || p->a.type != p->b.type)
    return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t
check_epilogue (const Product *p) {
  if (!product_epilogue_is_covered (p->epilogue))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool has_bias = p->epilogue & 4 || p->epilogue >= CUBLASLT_EPILOGUE_BGRADA;
  const bool has_auxiliary = p->epilogue & 128;
  if (has_auxiliary && p->epilogue & 32 && p->auxiliary_leading % 8 != 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  if ((p->epilogue != CUBLASLT_EPILOGUE_DEFAULT && has_bias && !p->bias)
      || (has_auxiliary && p->epilogue < CUBLASLT_EPILOGUE_BGRADA && !p->auxiliary)
      || (p->batch > 1 && p->epilogue >= CUBLASLT_EPILOGUE_BGRADA))
    return CUBLAS_STATUS_INVALID_VALUE;
  return element_bytes (p->bias_type) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

static cublasStatus_t
make_product (Product *p, const Description *description, const Layout *a, const Layout *b,
              const Layout *c, const Layout *d) {
  p->a = view_of (a, p->a.data, description->transpose_a != CUBLAS_OP_N);
  p->b = view_of (b, p->b.data, description->transpose_b != CUBLAS_OP_N);
  p->c = view_of (c, p->c.data, false);
  p->d = view_of (d, p->d.data, false);
  p->inner = p->a.transposed ? p->a.rows : p->a.columns;
  p->batch = d->batch;
  p->epilogue = description->epilogue;
  p->bias = description->bias;
  p->bias_type = description->bias_type < 0 ? d->type : (cudaDataType_t)description->bias_type;
  p->auxiliary = description->auxiliary;
  p->auxiliary_leading = description->auxiliary_leading;
  return check_shapes (p);
}

extern "C" {

cublasStatus_t
cublasLtCreate (cublasLtHandle_t *handle) {
  int device;
  if (cudaGetDeviceCount (&device) != cudaSuccess || cudaGetDevice (&device) != cudaSuccess)
    return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasLtContext{ device };
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtDestroy (cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

size_t
cublasLtGetVersion (void) {
  return CUBLAS_VERSION;
}

const char *
cublasLtGetStatusName (cublasStatus_t status) {
  switch (status) {
  case CUBLAS_STATUS_SUCCESS:
    return "CUBLAS_STATUS_SUCCESS";
  case CUBLAS_STATUS_NOT_INITIALIZED:
    return "CUBLAS_STATUS_NOT_INITIALIZED";
  case CUBLAS_STATUS_ALLOC_FAILED:
    return "CUBLAS_STATUS_ALLOC_FAILED";
  case CUBLAS_STATUS_INVALID_VALUE:
    return "CUBLAS_STATUS_INVALID_VALUE";
  case CUBLAS_STATUS_EXECUTION_FAILED:
    return "CUBLAS_STATUS_EXECUTION_FAILED";
  case CUBLAS_STATUS_NOT_SUPPORTED:
    return "CUBLAS_STATUS_NOT_SUPPORTED";
  default:
    return "CUBLAS_STATUS_INTERNAL_ERROR";
  }
}

const char *
cublasLtGetStatusString (cublasStatus_t status) {
  return cublasLtGetStatusName (status);
}

cublasStatus_t
cublasLtMatmulDescCreate (cublasLtMatmulDesc_t *description, cublasComputeType_t compute,
                          cudaDataType_t scale) {
  if (scale != CUDA_R_32F
      || (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC
          && compute != CUBLAS_COMPUTE_32F_FAST_TF32 && compute != CUBLAS_COMPUTE_32F_FAST_16BF
          && compute != CUBLAS_COMPUTE_32F_FAST_16F))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  Description ours
      = { compute, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr, nullptr, -1, 0 };
  return wrap (description, ours);
}

cublasStatus_t
cublasLtMatmulDescDestroy (cublasLtMatmulDesc_t description) {
  return unwrap<Description> (description);
}

cublasStatus_t
cublasLtMatmulDescSetAttribute (cublasLtMatmulDesc_t opaque,
                                cublasLtMatmulDescAttributes_t attribute, const void *value,
                                size_t bytes) {
  Description *ours = description_of (opaque);
  int32_t mode;
  switch (attribute) {
  case CUBLASLT_MATMUL_DESC_TRANSA:
    return take (&ours->transpose_a, value, bytes);
  case CUBLASLT_MATMUL_DESC_TRANSB:
    return take (&ours->transpose_b, value, bytes);
  case CUBLASLT_MATMUL_DESC_EPILOGUE:
    return take (&ours->epilogue, value, bytes);
  case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
    return take (&ours->bias, value, bytes);
  case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
    return take (&ours->bias_type, value, bytes);
  case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
    return take (&ours->auxiliary, value, bytes);
  case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
    return take (&ours->auxiliary_leading, value, bytes);
  case CUBLASLT_MATMUL_DESC_POINTER_MODE:
    if (take (&mode, value, bytes) != CUBLAS_STATUS_SUCCESS)
      return CUBLAS_STATUS_INVALID_VALUE;
    return mode == CUBLASLT_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  default:
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t
cublasLtMatrixLayoutCreate (cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                            uint64_t columns, int64_t leading) {
  return wrap (layout, Layout{ type, rows, columns, leading, 1, 0 });
}

cublasStatus_t
cublasLtMatrixLayoutDestroy (cublasLtMatrixLayout_t layout) {
  return unwrap<Layout> (layout);
}

cublasStatus_t
cublasLtMatrixLayoutSetAttribute (cublasLtMatrixLayout_t layout,
                                  cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                  size_t bytes) {
  Layout *ours = *(Layout **)layout;
  switch (attribute) {
  case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
    return take (&ours->batch, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
    return take (&ours->stride, value, bytes);
  default:
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t
cublasLtMatmulPreferenceCreate (cublasLtMatmulPreference_t *preference) {
  return wrap (preference, Preference{ 0 });
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy (cublasLtMatmulPreference_t preference) {
  return unwrap<Preference> (preference);
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute (cublasLtMatmulPreference_t preference,
                                      cublasLtMatmulPreferenceAttributes_t attribute,
                                      const void *value, size_t bytes) {
  Preference *ours = *(Preference **)preference;
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    return take (&ours->workspace_bytes, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic (cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                cublasLtMatmulPreference_t preference, int n,
                                cublasLtMatmulHeuristicResult_t results[], int *n_found) {
  *n_found = 0;
  if (n <= 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  Product product = {};
  cublasStatus_t status = make_product (&product, description_of (description), *(Layout **)a,
                                        *(Layout **)b, *(Layout **)c, *(Layout **)d);
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (!product_epilogue_is_covered (product.epilogue))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const uint64_t limit = (*(Preference **)preference)->workspace_bytes;
  Algorithm algorithm = { algorithm_magic, limit < workspace_wanted ? limit : workspace_wanted };
  memset ((void *)results, 0, sizeof *results);
  memcpy ((void *)&results->algo, &algorithm, sizeof algorithm);
  results->workspaceSize = algorithm.workspace_bytes;
  results->state = CUBLAS_STATUS_SUCCESS;
  results->wavesCount = 1;
  *n_found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmul (cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void *alpha,
                const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                cudaStream_t stream) {
  Algorithm algorithm = { algorithm_magic, workspace_bytes };
  if (algo)
    memcpy ((void *)&algorithm, algo, sizeof algorithm);
  if (algorithm.magic != algorithm_magic || algorithm.workspace_bytes > workspace_bytes
      || (algorithm.workspace_bytes && !workspace) || !handle)
    return CUBLAS_STATUS_INVALID_VALUE;
  sanitizers::Hidden hidden;
  std::shared_ptr<Product> product = std::make_shared<Product> ();
  product->a.data = const_cast<void *> (a);
  product->b.data = const_cast<void *> (b);
  product->c.data = const_cast<void *> (c);
  product->d.data = d;
  cublasStatus_t status
      = make_product (product.get (), description_of (description), *(Layout **)a_layout,
                      *(Layout **)b_layout, *(Layout **)c_layout, *(Layout **)d_layout);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = check_epilogue (product.get ());
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  product->alpha = *(const float *)alpha;
  product->beta = *(const float *)beta;
  product->workspace = workspace;
  product->workspace_bytes = algorithm.workspace_bytes;
  auto *owned = new std::shared_ptr<Product> (product);
  cudaError_t code = pw__fake_enqueue (
      stream, "a product",
      [] (void *data) { product_run (((std::shared_ptr<Product> *)data)->get ()); }, nullptr,
      [] (void *data) { delete (std::shared_ptr<Product> *)data; }, owned);
  return code == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
}
