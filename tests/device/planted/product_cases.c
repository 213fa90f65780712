/* Faults round a product of cuBLASLt. */
#include <cublasLt.h>
#include <math.h>
#include <string.h>

#include "tests/device/planted/kernels.h"
#include "tests/device/planted/planted.h"

enum { m = 7, n = 5, k = 9 };

typedef struct {
  cublasLtHandle_t library;
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t a, b, c;
} Plan;

/* Row-major C = A B: asked for as C^T = B^T A^T in columns. */
static void
plan_init (Plan *plan) {
  CHECK (cublasLtCreate (&plan->library));
  CHECK (cublasLtMatmulDescCreate (&plan->product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  CHECK (cublasLtMatrixLayoutCreate (&plan->a, CUDA_R_32F, k, m, k));
  CHECK (cublasLtMatrixLayoutCreate (&plan->b, CUDA_R_32F, n, k, n));
  CHECK (cublasLtMatrixLayoutCreate (&plan->c, CUDA_R_32F, n, m, n));
}

static void
plan_clear (Plan *plan) {
  CHECK (cublasLtMatrixLayoutDestroy (plan->a));
  CHECK (cublasLtMatrixLayoutDestroy (plan->b));
  CHECK (cublasLtMatrixLayoutDestroy (plan->c));
  CHECK (cublasLtMatmulDescDestroy (plan->product));
  CHECK (cublasLtDestroy (plan->library));
}

static int
wrong_values (const float *a, const float *b, const float *c, int checked) {
  int wrong = 0;
  for (int i = 0; i < checked; i++) {
    float sum = 0;
    for (int l = 0; l < k; l++)
      sum += a[i / n * k + l] * b[l * n + i % n];
    wrong += !(fabsf (sum - c[i]) <= 1e-5f);
  }
  return wrong;
}

static int
run_product (const char *name) {
  const int too_small = !strcmp (name, "product-past-output");
  float a[m * k], b[k * n], c[m * n], *da, *db, *dc;
  const float one = 1, zero = 0;
  for (int i = 0; i < m * k; i++)
    a[i] = sinf ((float)i);
  for (int i = 0; i < k * n; i++)
    b[i] = cosf ((float)i);
  cudaStream_t stream, other;
  CHECK (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
  CHECK (cudaStreamCreateWithFlags (&other, cudaStreamNonBlocking));
  CHECK (cudaMalloc ((void **)&da, sizeof a));
  CHECK (cudaMalloc ((void **)&db, sizeof b));
  CHECK (cudaMalloc ((void **)&dc, too_small ? sizeof c - 4 : sizeof c));
  CHECK (cudaMemcpyAsync (da, a, sizeof a, cudaMemcpyHostToDevice, stream));
  CHECK (cudaMemcpyAsync (db, b, sizeof b, cudaMemcpyHostToDevice, stream));
  Plan plan;
  plan_init (&plan);
  CHECK (cublasLtMatmul (plan.library, plan.product, &one, db, plan.b, da, plan.a, &zero, dc,
                         plan.c, dc, plan.c, NULL, NULL, 0, stream));
  if (!strcmp (name, "product-input-changed"))
    CHECK (planted_scale (da, m * k, 2.f, other));
  const size_t copied = too_small ? sizeof c - 4 : sizeof c;
  CHECK (cudaMemcpyAsync (c, dc, copied, cudaMemcpyDeviceToHost, stream));
  CHECK (cudaStreamSynchronize (stream));
  CHECK (cudaFree (da));
  CHECK (cudaFree (db));
  CHECK (cudaFree (dc));
  plan_clear (&plan);
  CHECK (cudaStreamDestroy (stream));
  CHECK (cudaStreamDestroy (other));
  return wrong_values (a, b, c, (int)(copied / sizeof c[0]));
}

const PlantedCase planted_product_cases[] = {
  { "product", run_product },
  { "product-input-changed", run_product },
  { "product-past-output", run_product },
  { NULL, NULL },
};
