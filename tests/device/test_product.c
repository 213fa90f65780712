/* The fake's products are those that cuBLASLt describes, for random shapes, types, transposes,
 * batches, leading dimensions and epilogues, against the definition in double. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <glib.h>
#include <math.h>
#include <string.h>

#define SUCCEEDS(call) g_assert_cmpint (call, ==, 0)

/* Device memory is the host's, and the stream is synchronised before it is looked at. */
typedef struct {
  cudaDataType_t type;
  int64_t rows, columns, leading, stride;
  void *data;
} Matrix;

typedef struct {
  cublasLtHandle_t library;
  cudaStream_t stream;
  cublasLtMatmulDesc_t product;
  Matrix a, b, c, d, auxiliary;
  float *bias;
  int64_t m, n, k;
  cublasOperation_t op_a, op_b;
  int batch;
  float alpha, beta;
} Case;

static size_t
bytes_of (cudaDataType_t type) {
  return type == CUDA_R_32F ? 4 : 2;
}

/* The upper half of an fp32. */
static float
read_element (const Matrix *matrix, int64_t i) {
  float value;
  if (matrix->type == CUDA_R_32F)
    return ((const float *)matrix->data)[i];
  const uint32_t bits = (uint32_t)((const uint16_t *)matrix->data)[i] << 16;
  memcpy (&value, &bits, sizeof value);
  return value;
}

/* Sixteenths below 4: exact in bf16, too. */
static void
write_element (const Matrix *matrix, int64_t i, float value) {
  uint32_t bits;
  memcpy (&bits, &value, sizeof bits);
  if (matrix->type == CUDA_R_32F)
    ((float *)matrix->data)[i] = value;
  else
    ((uint16_t *)matrix->data)[i] = (uint16_t)(bits >> 16);
}

static float
random_sixteenth (void) {
  return (float)g_test_rand_int_range (-40, 40) / 16;
}

static void
matrix_init_led (Matrix *matrix, cudaDataType_t type, int64_t rows, int64_t columns, int batch,
                 int64_t leading) {
  matrix->type = type;
  matrix->rows = rows;
  matrix->columns = columns;
  matrix->leading = leading;
  matrix->stride = matrix->leading * columns + g_test_rand_int_range (0, 5);
  const int64_t n = matrix->stride * batch;
  SUCCEEDS (cudaMalloc (&matrix->data, (size_t)n * bytes_of (type)));
  for (int64_t i = 0; i < n; i++)
    write_element (matrix, i, random_sixteenth ());
}

static void
matrix_init (Matrix *matrix, cudaDataType_t type, int64_t rows, int64_t columns, int batch) {
  matrix_init_led (matrix, type, rows, columns, batch, rows + g_test_rand_int_range (0, 3));
}

static cublasLtMatrixLayout_t
layout_of (const Matrix *matrix, int batch) {
  cublasLtMatrixLayout_t layout;
  const int32_t n = batch;
  SUCCEEDS (cublasLtMatrixLayoutCreate (&layout, matrix->type, (uint64_t)matrix->rows,
                                        (uint64_t)matrix->columns, matrix->leading));
  SUCCEEDS (
      cublasLtMatrixLayoutSetAttribute (layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &n, sizeof n));
  SUCCEEDS (cublasLtMatrixLayoutSetAttribute (layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                              &matrix->stride, sizeof matrix->stride));
  return layout;
}

static void
set (Case *c, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t bytes) {
  SUCCEEDS (cublasLtMatmulDescSetAttribute (c->product, attribute, value, bytes));
}

static void
case_init (Case *c, gboolean may_batch) {
  const cudaDataType_t in = g_test_rand_bit () ? CUDA_R_32F : CUDA_R_16BF;
  c->m = g_test_rand_int_range (1, 20);
  c->n = g_test_rand_int_range (1, 20);
  c->k = g_test_rand_int_range (1, 20);
  c->op_a = g_test_rand_bit () ? CUBLAS_OP_T : CUBLAS_OP_N;
  c->op_b = g_test_rand_bit () ? CUBLAS_OP_T : CUBLAS_OP_N;
  c->batch = may_batch ? g_test_rand_int_range (1, 4) : 1;
  c->alpha = random_sixteenth ();
  c->beta = g_test_rand_bit () ? random_sixteenth () : 0;
  SUCCEEDS (cudaStreamCreateWithFlags (&c->stream, cudaStreamNonBlocking));
  SUCCEEDS (cublasLtCreate (&c->library));
  SUCCEEDS (cublasLtMatmulDescCreate (&c->product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  matrix_init (&c->a, in, c->op_a == CUBLAS_OP_N ? c->m : c->k,
               c->op_a == CUBLAS_OP_N ? c->k : c->m, c->batch);
  matrix_init (&c->b, in, c->op_b == CUBLAS_OP_N ? c->k : c->n,
               c->op_b == CUBLAS_OP_N ? c->n : c->k, c->batch);
  matrix_init (&c->c, CUDA_R_32F, c->m, c->n, c->batch);
  matrix_init (&c->d, CUDA_R_32F, c->m, c->n, c->batch);
  matrix_init_led (&c->auxiliary, CUDA_R_32F, c->m, c->n, 1, (c->m + 7) / 8 * 8);
  SUCCEEDS (cudaMalloc ((void **)&c->bias, 20 * sizeof (float)));
  for (int i = 0; i < 20; i++)
    c->bias[i] = random_sixteenth ();
  set (c, CUBLASLT_MATMUL_DESC_TRANSA, &c->op_a, sizeof c->op_a);
  set (c, CUBLASLT_MATMUL_DESC_TRANSB, &c->op_b, sizeof c->op_b);
}

static void
case_clear (Case *c) {
  void *all[] = { c->a.data, c->b.data, c->c.data, c->d.data, c->auxiliary.data, c->bias };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    SUCCEEDS (cudaFree (all[i]));
  SUCCEEDS (cublasLtMatmulDescDestroy (c->product));
  SUCCEEDS (cublasLtDestroy (c->library));
  SUCCEEDS (cudaStreamDestroy (c->stream));
}

static void
case_run (Case *c, cublasLtEpilogue_t epilogue) {
  cublasLtMatrixLayout_t a = layout_of (&c->a, c->batch), b = layout_of (&c->b, c->batch);
  cublasLtMatrixLayout_t in = layout_of (&c->c, c->batch), out = layout_of (&c->d, c->batch);
  const int bias_type = CUDA_R_32F;
  set (c, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
  set (c, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &c->bias, sizeof c->bias);
  set (c, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
  if (epilogue & 128) {
    set (c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &c->auxiliary.data, sizeof (void *));
    set (c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &c->auxiliary.leading, sizeof (int64_t));
  }
  SUCCEEDS (cublasLtMatmul (c->library, c->product, &c->alpha, c->a.data, a, c->b.data, b, &c->beta,
                            c->c.data, in, c->d.data, out, NULL, NULL, 0, c->stream));
  SUCCEEDS (cudaStreamSynchronize (c->stream));
  cublasLtMatrixLayout_t layouts[] = { a, b, in, out };
  for (gsize i = 0; i < G_N_ELEMENTS (layouts); i++)
    SUCCEEDS (cublasLtMatrixLayoutDestroy (layouts[i]));
}

static double
operand (const Matrix *matrix, cublasOperation_t op, int64_t row, int64_t column, int batch) {
  const int64_t r = op == CUBLAS_OP_N ? row : column, c = op == CUBLAS_OP_N ? column : row;
  return (double)read_element (matrix, batch * matrix->stride + c * matrix->leading + r);
}

static double
expected (const Case *c, int64_t i, int64_t j, int batch) {
  double sum = 0;
  for (int64_t l = 0; l < c->k; l++)
    sum += operand (&c->a, c->op_a, i, l, batch) * operand (&c->b, c->op_b, l, j, batch);
  return (double)c->alpha * sum + (double)c->beta * operand (&c->c, CUBLAS_OP_N, i, j, batch);
}

static void
assert_near (double value, double right) {
  g_assert_cmpfloat_with_epsilon (value, right, 1e-4 * (1 + fabs (right)));
}

static double
gelu (double x) {
  return 0.5 * x * (1 + tanh (sqrt (2 / G_PI) * (x + 0.044715 * x * x * x)));
}

static void
test_products (void) {
  for (int round = 0; round < 40; round++) {
    Case c = { 0 };
    case_init (&c, TRUE);
    case_run (&c, CUBLASLT_EPILOGUE_DEFAULT);
    for (int batch = 0; batch < c.batch; batch++)
      for (int64_t i = 0; i < c.m; i++)
        for (int64_t j = 0; j < c.n; j++)
          assert_near (operand (&c.d, CUBLAS_OP_N, i, j, batch), expected (&c, i, j, batch));
    case_clear (&c);
  }
}

static void
test_epilogues (void) {
  static const cublasLtEpilogue_t epilogues[]
      = { CUBLASLT_EPILOGUE_BIAS,         CUBLASLT_EPILOGUE_RELU,      CUBLASLT_EPILOGUE_RELU_BIAS,
          CUBLASLT_EPILOGUE_GELU,         CUBLASLT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_AUX,
          CUBLASLT_EPILOGUE_GELU_AUX_BIAS };
  for (gsize e = 0; e < G_N_ELEMENTS (epilogues); e++) {
    Case c = { 0 };
    case_init (&c, FALSE);
    case_run (&c, epilogues[e]);
    for (int64_t i = 0; i < c.m; i++)
      for (int64_t j = 0; j < c.n; j++) {
        double right = expected (&c, i, j, 0);
        if (epilogues[e] & CUBLASLT_EPILOGUE_BIAS)
          right += (double)c.bias[i];
        if (epilogues[e] & 128)
          assert_near (operand (&c.auxiliary, CUBLAS_OP_N, i, j, 0), right);
        if (epilogues[e] & CUBLASLT_EPILOGUE_GELU)
          right = gelu (right);
        if (epilogues[e] & CUBLASLT_EPILOGUE_RELU)
          right = MAX (right, 0);
        assert_near (operand (&c.d, CUBLAS_OP_N, i, j, 0), right);
      }
    case_clear (&c);
  }
}

/* d gelu by a central difference. */
static void
test_gelu_gradient (void) {
  Case c = { 0 };
  case_init (&c, FALSE);
  case_run (&c, CUBLASLT_EPILOGUE_DGELU);
  for (int64_t i = 0; i < c.m; i++)
    for (int64_t j = 0; j < c.n; j++) {
      const double x = operand (&c.auxiliary, CUBLAS_OP_N, i, j, 0), h = 1e-5;
      const double slope = (gelu (x + h) - gelu (x - h)) / (2 * h);
      assert_near (operand (&c.d, CUBLAS_OP_N, i, j, 0), expected (&c, i, j, 0) * slope);
    }
  case_clear (&c);
}

static void
test_bias_gradients (void) {
  for (int of_b = 0; of_b < 2; of_b++) {
    Case c = { 0 };
    case_init (&c, FALSE);
    case_run (&c, of_b ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_BGRADA);
    for (int64_t o = 0; o < (of_b ? c.n : c.m); o++) {
      double sum = 0;
      for (int64_t l = 0; l < c.k; l++)
        sum += of_b ? operand (&c.b, c.op_b, l, o, 0) : operand (&c.a, c.op_a, o, l, 0);
      assert_near ((double)c.bias[o], sum);
    }
    case_clear (&c);
  }
}

static void
test_what_is_not_covered_is_refused (void) {
  Case c = { 0 };
  case_init (&c, FALSE);
  cublasLtMatrixLayout_t a = layout_of (&c.a, 1), d = layout_of (&c.d, 1), wrong;
  const cublasLtEpilogue_t drelu = CUBLASLT_EPILOGUE_DRELU;
  const int32_t on_device = CUBLASLT_POINTER_MODE_DEVICE;
  cublasLtMatmulDesc_t in_double;
  g_assert_cmpint (cublasLtMatmulDescCreate (&in_double, CUBLAS_COMPUTE_64F, CUDA_R_64F), ==,
                   CUBLAS_STATUS_NOT_SUPPORTED);
  g_assert_cmpint (cublasLtMatmulDescSetAttribute (c.product, CUBLASLT_MATMUL_DESC_POINTER_MODE,
                                                   &on_device, sizeof on_device),
                   ==, CUBLAS_STATUS_NOT_SUPPORTED);
  SUCCEEDS (cublasLtMatrixLayoutCreate (&wrong, c.a.type, (uint64_t)c.k + 50, 3, c.k + 50));
  g_assert_cmpint (cublasLtMatmul (c.library, c.product, &c.alpha, c.a.data, a, c.b.data, wrong,
                                   &c.beta, c.d.data, d, c.d.data, d, NULL, NULL, 0, c.stream),
                   ==, CUBLAS_STATUS_INVALID_VALUE);
  cublasLtMatrixLayout_t b = layout_of (&c.b, 1);
  set (&c, CUBLASLT_MATMUL_DESC_EPILOGUE, &drelu, sizeof drelu);
  g_assert_cmpint (cublasLtMatmul (c.library, c.product, &c.alpha, c.a.data, a, c.b.data, b,
                                   &c.beta, c.d.data, d, c.d.data, d, NULL, NULL, 0, c.stream),
                   ==, CUBLAS_STATUS_NOT_SUPPORTED);
  cublasLtMatrixLayout_t layouts[] = { a, b, d, wrong };
  for (gsize i = 0; i < G_N_ELEMENTS (layouts); i++)
    SUCCEEDS (cublasLtMatrixLayoutDestroy (layouts[i]));
  case_clear (&c);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/device/product/equals-its-definition", test_products);
  g_test_add_func ("/device/product/epilogues-equal-their-definitions", test_epilogues);
  g_test_add_func ("/device/product/gelu-gradient-is-its-slope", test_gelu_gradient);
  g_test_add_func ("/device/product/bias-gradients-are-sums", test_bias_gradients);
  g_test_add_func ("/device/product/what-is-not-covered-is-refused",
                   test_what_is_not_covered_is_refused);
  return g_test_run ();
}
