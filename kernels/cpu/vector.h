/* Loops over floats, compiled once per instruction set; a stream holds the table it uses.
 *
 * A table's results depend on the values and the length alone: never on an address, never on the
 * thread. Different tables may differ in the last bits (lanes are summed in another order). */
#pragma once
#include "kernels/scalars_private.h"
#include <stdint.h>

/* Element by element; the output may be an input. */
typedef struct {
  void (*add) (const float *a, const float *b, float *y, int64_t n);
  void (*relu) (const float *x, float *y, int64_t n);
  void (*relu_gradient) (const float *x, const float *dy, float *dx, int64_t n);
  void (*gelu) (const float *x, float *y, int64_t n);
  void (*gelu_gradient) (const float *x, const float *dy, float *dx, int64_t n);
  /* y = x scale where kernels/dropout.h keeps the element of a sample with KEY, else 0 */
  void (*dropout) (const float *x, uint64_t key, uint64_t threshold, float scale, float *y,
                   int64_t n);
  void (*scale) (const float *x, float factor, float *y, int64_t n);
  /* y = factor (a - b) */
  void (*scaled_difference) (const float *a, const float *b, float factor, float *y, int64_t n);
  /* m NULL: no momentum */
  void (*sgd) (float *w, const float *g, float *m, int64_t n, const PwSgdScalars *);
  void (*adam) (float *w, const float *g, float *m, float *v, int64_t n, const PwAdamScalars *);
} PwMapLoops;

/* Whole rows, and sums. */
typedef struct {
  /* p = exp (x - max) / sum; p may be x. max + log (sum) is the log of the row's sum. */
  void (*softmax) (const float *x, float *p, int64_t n, float *max, float *sum);
  /* max and sum alone. */
  void (*exponential_sum) (const float *x, int64_t n, float *max, float *sum);
  /* Back from the log of the row's sum: p = factor exp (x - lse); p may be x. */
  void (*probabilities) (const float *x, float lse, float factor, float *p, int64_t n);
  /* In place: x becomes p = exp (x - lse), and dp becomes dx = scale p (dp - dot); dot = p . dp. */
  void (*softmax_gradient) (float *x, float *dp, float lse, float dot, float scale, int64_t n);
  float (*dot) (const float *a, const float *b, int64_t n);
  void (*layernorm) (const float *x, const float *gain, const float *bias, float epsilon, float *y,
                     int64_t n, float *mean, float *rstd);
  /* dgain, dbias are accumulated; dx may be NULL. */
  void (*layernorm_gradient) (const float *x, const float *gain, float mean, float rstd,
                              const float *dy, float *dx, float *dgain, float *dbias, int64_t n);
  void (*rmsnorm) (const float *x, const float *gain, float epsilon, float *y, int64_t n,
                   float *rstd);
  /* dgain is accumulated; dx may be NULL. */
  void (*rmsnorm_gradient) (const float *x, const float *gain, float rstd, const float *dy,
                            float *dx, float *dgain, int64_t n);
  /* sums[c] += sum over rows of x[row][c] */
  void (*add_columns) (const float *x, int64_t rows, int64_t columns, float *sums);
  double (*square_sum) (const float *x, int64_t n);
  double (*square_difference_sum) (const float *a, const float *b, int64_t n);
} PwRowLoops;

typedef struct {
  const char *name; /* of the instruction set */
  const PwMapLoops *maps;
  const PwRowLoops *rows;
} PwVectorLoops;

/* Tables this processor can run, the fastest first; NULL after the last. */
const PwVectorLoops *pw__cpu_vector_loops (int index);
