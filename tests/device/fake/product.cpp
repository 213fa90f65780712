#include "tests/device/fake/product.h"

#include <cmath>
#include <cstring>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "tests/device/shim/sanitizers.h"

static const float gelu_slope = .7978845608f, gelu_cube = .044715f; /* 1606.08415 */

size_t
element_bytes (cudaDataType_t type) {
  return type == CUDA_R_32F ? 4 : type == CUDA_R_16BF || type == CUDA_R_16F ? 2 : 0;
}

static float
load (const void *data, long i, cudaDataType_t type) {
  if (type == CUDA_R_16BF)
    return __bfloat162float (((const __nv_bfloat16 *)data)[i]);
  if (type == CUDA_R_16F)
    return __half2float (((const __half *)data)[i]);
  return ((const float *)data)[i];
}

static void
store (void *data, long i, cudaDataType_t type, float value) {
  if (type == CUDA_R_16BF)
    ((__nv_bfloat16 *)data)[i] = __float2bfloat16 (value);
  else if (type == CUDA_R_16F)
    ((__half *)data)[i] = __float2half (value);
  else
    ((float *)data)[i] = value;
}

static char *
matrix_of (const MatrixView *view, int batch) {
  return (char *)view->data + batch * view->stride * (long)element_bytes (view->type);
}

static void
touch (const MatrixView *view, int batch, bool write) {
  size_t bytes = element_bytes (view->type);
  for (long column = 0; column < view->columns; column++) {
    char *start = matrix_of (view, batch) + column * view->leading * (long)bytes;
    if (write)
      sanitizers::touch_write (start, (size_t)view->rows * bytes);
    else
      sanitizers::touch_read (start, (size_t)view->rows * bytes);
  }
}

/* op(VIEW) as fp32, INNER to OUTER: element (i, l) of A at [l][i], (l, j) of B at [l][j]. */
static std::vector<float>
unpack (const MatrixView *view, int batch, long inner, long outer, bool inner_is_row) {
  std::vector<float> out ((size_t)(inner * outer));
  const void *data = matrix_of (view, batch);
  for (long l = 0; l < inner; l++)
    for (long o = 0; o < outer; o++) {
      long at = inner_is_row ? o * view->leading + l : l * view->leading + o;
      out[(size_t)(l * outer + o)] = load (data, at, view->type);
    }
  return out;
}

/* [column][row] sums. */
static std::vector<float>
multiply (const Product *p, int batch) {
  const long m = p->d.rows, n = p->d.columns;
  std::vector<float> a = unpack (&p->a, batch, p->inner, m, p->a.transposed);
  std::vector<float> b = unpack (&p->b, batch, p->inner, n, !p->b.transposed);
  std::vector<float> sums ((size_t)(m * n));
  for (long l = 0; l < p->inner; l++)
    for (long j = 0; j < n; j++) {
      const float factor = b[(size_t)(l * n + j)];
      float *to = &sums[(size_t)(j * m)];
      const float *from = &a[(size_t)(l * m)];
      for (long i = 0; i < m; i++)
        to[i] += from[i] * factor;
    }
  return sums;
}

static float
gelu (float x) {
  return .5f * x * (1 + tanhf (gelu_slope * (x + gelu_cube * x * x * x)));
}

static float
gelu_gradient (float x) {
  const float t = tanhf (gelu_slope * (x + gelu_cube * x * x * x));
  return .5f * (1 + t) + .5f * x * (1 - t * t) * gelu_slope * (1 + 3 * gelu_cube * x * x);
}

enum : unsigned { relu_bit = 2, bias_bit = 4, gelu_bit = 32, dgelu_bit = 64, aux_bit = 128 };

bool
product_epilogue_is_covered (unsigned epilogue) {
  switch (epilogue) {
  case CUBLASLT_EPILOGUE_DEFAULT:
  case CUBLASLT_EPILOGUE_RELU:
  case CUBLASLT_EPILOGUE_BIAS:
  case CUBLASLT_EPILOGUE_RELU_BIAS:
  case CUBLASLT_EPILOGUE_GELU:
  case CUBLASLT_EPILOGUE_GELU_BIAS:
  case CUBLASLT_EPILOGUE_GELU_AUX:
  case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
  case CUBLASLT_EPILOGUE_DGELU:
  case CUBLASLT_EPILOGUE_BGRADA:
  case CUBLASLT_EPILOGUE_BGRADB:
    return true;
  default:
    return false;
  }
}

static float
finish (const Product *p, long i, long j, float value) {
  const unsigned epilogue = p->epilogue;
  const bool gradient
      = epilogue == CUBLASLT_EPILOGUE_BGRADA || epilogue == CUBLASLT_EPILOGUE_BGRADB;
  if (gradient || epilogue == CUBLASLT_EPILOGUE_DEFAULT)
    return value;
  if (epilogue & bias_bit)
    value += load (p->bias, i, p->bias_type);
  const long at = j * p->auxiliary_leading + i;
  if (epilogue & dgelu_bit)
    return value * gelu_gradient (load (p->auxiliary, at, p->d.type));
  if (epilogue & aux_bit)
    store (p->auxiliary, at, p->d.type, value);
  if (epilogue & gelu_bit)
    return gelu (value);
  return epilogue & relu_bit && !(value > 0) ? 0 : value;
}

/* Sums of A over its columns, of B over its rows: the gradient of a bias. */
static void
bias_gradient (const Product *p) {
  const bool of_a = p->epilogue == CUBLASLT_EPILOGUE_BGRADA;
  const MatrixView *view = of_a ? &p->a : &p->b;
  const long n = of_a ? p->d.rows : p->d.columns;
  std::vector<float> values
      = unpack (view, 0, p->inner, n, of_a ? view->transposed : !view->transposed);
  sanitizers::touch_write (p->bias, (size_t)n * element_bytes (p->bias_type));
  for (long o = 0; o < n; o++) {
    float sum = 0;
    for (long l = 0; l < p->inner; l++)
      sum += values[(size_t)(l * n + o)];
    store (p->bias, o, p->bias_type, sum);
  }
}

static void
touch_operands (const Product *p, int batch) {
  touch (&p->a, batch, false);
  touch (&p->b, batch, false);
  if (p->beta != 0)
    touch (&p->c, batch, false);
  touch (&p->d, batch, true);
  if (p->epilogue & bias_bit && p->epilogue < CUBLASLT_EPILOGUE_BGRADA)
    sanitizers::touch_read (p->bias, (size_t)p->d.rows * element_bytes (p->bias_type));
  if (p->auxiliary) {
    MatrixView auxiliary = p->d;
    auxiliary.data = p->auxiliary;
    auxiliary.leading = p->auxiliary_leading;
    touch (&auxiliary, 0, p->epilogue & aux_bit);
  }
}

void
product_run (const Product *p) {
  if (p->workspace_bytes) {
    sanitizers::touch_write (p->workspace, p->workspace_bytes);
    memset (p->workspace, 0xff, p->workspace_bytes);
  }
  for (int batch = 0; batch < p->batch; batch++) {
    touch_operands (p, batch);
    std::vector<float> sums = multiply (p, batch);
    const void *c = matrix_of (&p->c, batch);
    void *d = matrix_of (&p->d, batch);
    for (long j = 0; j < p->d.columns; j++)
      for (long i = 0; i < p->d.rows; i++) {
        float value = p->alpha * sums[(size_t)(j * p->d.rows + i)];
        if (p->beta != 0)
          value += p->beta * load (c, j * p->c.leading + i, p->c.type);
        store (d, j * p->d.leading + i, p->d.type, finish (p, i, j, value));
      }
  }
  if (p->epilogue == CUBLASLT_EPILOGUE_BGRADA || p->epilogue == CUBLASLT_EPILOGUE_BGRADB)
    bias_gradient (p);
}
