/* The kernels as C sees them. Every launcher only enqueues on `stream` and returns the launch's
 * error; counts are of elements unless their name says otherwise. Shared by .cu files, which know
 * CUDA only, and by the C files that put them behind kernels/kernels.h. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdint.h>

#include "kernels/scalars_private.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Types of activations and parameters: the values of PwElement. Sums, statistics, losses, gradients
 * of parameters and optimiser states are fp32 or double whatever the type. */
typedef enum { PW_CUDA_F32, PW_CUDA_BF16, PW_CUDA_F16 } PwCudaType;

/* Bits of the stream's error flag: what was outside its table. Set by atomicOr (flag, bit). */
typedef enum {
  PW_CUDA_INDEX_TOKEN = 1,
  PW_CUDA_INDEX_TARGET = 2,
  PW_CUDA_INDEX_LENGTH = 4
} PwCudaIndex;

/* colsum.cu: sums[columns] += the sums over the rows of x[rows,columns], in an order fixed by the
 * shape. */
int64_t pw__cuda_column_sums_workspace (int64_t rows, int64_t columns); /* bytes */
cudaError_t pw__launch_column_sums (PwCudaType type, const void *x, int64_t rows, int64_t columns,
                                    float *sums, void *workspace, cudaStream_t stream);

/* colsum.cu, too: dx = gelu' (x) dy, and sums += the column sums of dx as it was rounded. */
cudaError_t pw__launch_gelu_bias_gradient (PwCudaType type, const void *x, const void *dy, void *dx,
                                           int64_t rows, int64_t columns, float *sums,
                                           void *workspace, cudaStream_t stream);

/* activations.cu: y = f (x); dx = f' (x) dy. */
cudaError_t pw__launch_relu (PwCudaType type, const void *x, void *y, int64_t n,
                             cudaStream_t stream);
cudaError_t pw__launch_relu_gradient (PwCudaType type, const void *x, const void *dy, void *dx,
                                      int64_t n, cudaStream_t stream);
cudaError_t pw__launch_gelu (PwCudaType type, const void *x, void *y, int64_t n,
                             cudaStream_t stream);
cudaError_t pw__launch_gelu_gradient (PwCudaType type, const void *x, const void *dy, void *dx,
                                      int64_t n, cudaStream_t stream);

/* norm.cu. PARTS: pw__cuda_norm_parts (rows) times pw__cuda_norm_part_floats (features); dx may be
 * NULL. RMSNorm is the same without mean and bias. */
int64_t pw__cuda_norm_parts (int64_t rows);
int64_t pw__cuda_norm_part_floats (int64_t features);
cudaError_t pw__launch_layernorm (PwCudaType type, const void *x, const void *gain,
                                  const void *bias, float epsilon, void *y, float *mean,
                                  float *rstd, int64_t rows, int64_t features, cudaStream_t stream);
cudaError_t pw__launch_layernorm_gradient (PwCudaType type, const void *x, const void *gain,
                                           const float *mean, const float *rstd, const void *dy,
                                           void *dx, float *dgain, float *dbias, int64_t rows,
                                           int64_t features, float *parts, cudaStream_t stream);
cudaError_t pw__launch_rmsnorm (PwCudaType type, const void *x, const void *gain, float epsilon,
                                void *y, float *rstd, int64_t rows, int64_t features,
                                cudaStream_t stream);
cudaError_t pw__launch_rmsnorm_gradient (PwCudaType type, const void *x, const void *gain,
                                         const float *rstd, const void *dy, void *dx, float *dgain,
                                         int64_t rows, int64_t features, float *parts,
                                         cudaStream_t stream);

/* dropout.cu. THRESHOLD: of kernels/dropout.h. STEP: in device memory. */
cudaError_t pw__launch_dropout (PwCudaType type, const void *x, uint64_t seed, const int64_t *step,
                                int layer, uint64_t threshold, float scale, int64_t first_sample,
                                int64_t samples, int64_t sample_elements, void *y,
                                cudaStream_t stream);

/* embedding.cu. FLAG gets PW_CUDA_INDEX_TOKEN where a token is outside the table; its row of y is
 * then 0 and its gradient is left out. */
cudaError_t pw__launch_embedding (PwCudaType type, const int32_t *tokens, const void *table,
                                  void *y, int64_t rows, int64_t vocabulary, int64_t features,
                                  int *flag, cudaStream_t stream);
int64_t pw__cuda_embedding_workspace_bytes (int64_t rows, int64_t vocabulary);
cudaError_t pw__launch_embedding_gradient (PwCudaType type, const int32_t *tokens, const void *dy,
                                           float *dtable, int64_t rows, int64_t vocabulary,
                                           int64_t features, void *workspace, int *flag,
                                           cudaStream_t stream);

/* position.cu: of BATCH sequences of N elements. */
cudaError_t pw__launch_position (PwCudaType type, const void *x, const void *table, void *y,
                                 int64_t batch, int64_t n, cudaStream_t stream);
cudaError_t pw__launch_position_gradient (PwCudaType type, const void *dy, float *dtable,
                                          int64_t batch, int64_t n, cudaStream_t stream);

/* add.cu: y may be a or b. */
cudaError_t pw__launch_add (PwCudaType type, const void *a, const void *b, void *y, int64_t n,
                            cudaStream_t stream);

/* concat.cu: of each sample N_A elements of a and N_B of b; da or db may be NULL. */
cudaError_t pw__launch_concat (PwCudaType type, const void *a, const void *b, void *y,
                               int64_t samples, int64_t n_a, int64_t n_b, cudaStream_t stream);
cudaError_t pw__launch_concat_gradient (PwCudaType type, const void *dy, void *da, void *db,
                                        int64_t samples, int64_t n_a, int64_t n_b,
                                        cudaStream_t stream);

/* square_sum.cu: *sum += scale * the sum of squares, PARTS: pw__cuda_sum_parts (n) doubles. */
int64_t pw__cuda_sum_parts (int64_t n);
cudaError_t pw__launch_square_sum (PwCudaType type, const void *x, int64_t n, double *sum,
                                   double *parts, cudaStream_t stream);
cudaError_t pw__launch_overflow (PwCudaType type, const void *x, int64_t n, int32_t *overflow,
                                 cudaStream_t stream);

/* mse.cu: *loss += scale * the sum of (x - target)^2; dx = factor (x - target). TARGET_TYPE: fp32
 * or x's. PARTS as of square_sum. */
cudaError_t pw__launch_mse (PwCudaType type, PwCudaType target_type, const void *x,
                            const void *targets, double scale, int64_t n, double *loss,
                            double *parts, cudaStream_t stream);
cudaError_t pw__launch_mse_gradient (PwCudaType type, PwCudaType target_type, const void *x,
                                     const void *targets, float factor, void *dx, int64_t n,
                                     cudaStream_t stream);

/* mask.cu. FLAG gets PW_CUDA_INDEX_LENGTH where a length is not from 0 to TOKENS; it is then taken
 * as the nearer of the two. */
cudaError_t pw__launch_mask (PwCudaType type, const void *x, const int32_t *lengths, void *y,
                             int64_t batch, int64_t tokens, int64_t features, int *flag,
                             cudaStream_t stream);

/* attention.cu: of BATCH sequences, heads at most 256 wide. LENGTHS, FLAG: as of mask.cu, or NULL.
 * LSE, DELTA: fp32 [batch, heads, tokens]; DELTA is written by the gradient for itself. */
cudaError_t pw__launch_attention (PwCudaType type, const void *qkv, int64_t batch, int64_t heads,
                                  int64_t tokens, int64_t features, int causal,
                                  const int32_t *lengths, int *flag, void *y, float *lse,
                                  cudaStream_t stream);
cudaError_t pw__launch_attention_gradient (PwCudaType type, const void *qkv, int64_t batch,
                                           int64_t heads, int64_t tokens, int64_t features,
                                           int causal, const int32_t *lengths, int *flag,
                                           const void *y, const float *lse, const void *dy,
                                           void *dqkv, float *delta, cudaStream_t stream);

/* cross_entropy.cu. FLAG gets PW_CUDA_INDEX_TARGET where a target is neither -1 nor a class; its
 * row is then left out. DX may be X. */
cudaError_t pw__launch_cross_entropy (PwCudaType type, const void *x, const int32_t *targets,
                                      double scale, int64_t rows, int64_t classes, float *lse,
                                      double *loss, int *flag, cudaStream_t stream);
cudaError_t pw__launch_cross_entropy_gradient (PwCudaType type, const void *x, const float *lse,
                                               const int32_t *targets, float factor, int64_t rows,
                                               int64_t classes, void *dx, int *flag,
                                               cudaStream_t stream);

/* optimizers.cu. MASTER: the fp32 value of a w of a half type, else NULL; momentum may be NULL.
 * SCALARS: in device memory. */
cudaError_t pw__launch_sgd (PwCudaType type, void *w, float *master, const float *gradient,
                            float *momentum, int64_t n, const PwSgdScalars *scalars,
                            cudaStream_t stream);
cudaError_t pw__launch_adam (PwCudaType type, void *w, float *master, const float *gradient,
                             float *m, float *v, int64_t n, const PwAdamScalars *scalars,
                             cudaStream_t stream);

#ifdef __cplusplus
}
#endif
