/* Small kernels, each right or with one planted fault, and their launchers. */
#pragma once
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  PLANTED_NONE,
  PLANTED_NO_BARRIER_BEFORE_REUSE,
  PLANTED_NO_BARRIER_AFTER_WRITE,
  PLANTED_PAST_STATIC_SHARED,
  PLANTED_PAST_DYNAMIC_SHARED,
  PLANTED_PAST_GLOBAL,
} PlantedFault;

#define PLANTED_BLOCK 64

/* mean[rows], variance[rows] of x[rows, columns]; y = x - mean. */
cudaError_t planted_moments (const float *x, float *y, float *mean, float *variance, int rows,
                             int columns, PlantedFault fault, cudaStream_t stream);
/* sums[columns] += the columns of x[rows, columns], a block per row. */
cudaError_t planted_column_sums (const float *x, float *sums, int rows, int columns, int atomic,
                                 cudaStream_t stream);
/* *out = 0 + 1 + ... + 63 by one block of 64 threads. */
cudaError_t planted_tree_sum (float *out, int warp_synchronous, cudaStream_t stream);
/* x[0..4n) += 1 as float4. */
cudaError_t planted_add_one_by_four (float *x, int n, cudaStream_t stream);
cudaError_t planted_scale (float *x, long n, float factor, cudaStream_t stream);
/* A barrier after some threads have left; a shuffle that names lanes which do not take part. */
cudaError_t planted_barrier_after_exit (float *x, cudaStream_t stream);
cudaError_t planted_absent_lanes (float *x, cudaStream_t stream);
/* y[n] = (bf16) (scale[0] x[n] + shift), in a grid and blocks of three dimensions; every thread
 * writes its place in `places`. */
typedef struct {
  float shift;
  int n;
} PlantedShift;
cudaError_t planted_pack (const float *x, const float *scale, PlantedShift shift, void *y,
                          int *places, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
