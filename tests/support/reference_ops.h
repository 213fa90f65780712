/* Every op of kernels/kernels.h once more, in double precision: one loop per sum sign of its
 * formula, slow and obviously right. Arrays are contiguous and row-major, outputs are assigned,
 * `loss` and `sum` are added to. Indices come as doubles, so that one kind of array does. */
#pragma once
#include <glib.h>
#include <stdint.h>

void pw_reference_linear (const double *x, const double *w, const double *bias /* or NULL */,
                          double *y, int64_t rows, int64_t in, int64_t out);
void pw_reference_relu (const double *x, double *y, int64_t n);
void pw_reference_gelu (const double *x, double *y, int64_t n);
void pw_reference_layernorm (const double *x, const double *gain, const double *bias,
                             double epsilon, double *y, double *mean, double *rstd, int64_t rows,
                             int64_t features);
void pw_reference_rmsnorm (const double *x, const double *gain, double epsilon, double *y,
                           double *rstd, int64_t rows, int64_t features);
void pw_reference_dropout (const double *x, const gboolean *keep, double probability, double *y,
                           int64_t n);
void pw_reference_embedding (const double *tokens, const double *table, double *y, int64_t rows,
                             int64_t features);
void pw_reference_position (const double *x, const double *table, double *y, int64_t batch,
                            int64_t tokens, int64_t features);
void pw_reference_attention (const double *qkv, int64_t heads, gboolean causal, double *y,
                             double *lse, int64_t batch, int64_t tokens, int64_t features);
void pw_reference_add (const double *a, const double *b, double *y, int64_t n);
/* Of each sample n_a elements of a, then n_b of b. */
void pw_reference_concat (const double *a, const double *b, double *y, int64_t samples, int64_t n_a,
                          int64_t n_b);
void pw_reference_cross_entropy (const double *x, const double *targets, double scale, double *lse,
                                 double *loss, int64_t rows, int64_t classes);
void pw_reference_mse (const double *x, const double *targets, double scale, double *loss,
                       int64_t n);
/* Optimisers work in place, as the ops do; m of sgd may be NULL without momentum. */
void pw_reference_sgd (double *w, const double *gradient, double *m, int64_t n,
                       double learning_rate, double momentum, double weight_decay);
typedef struct {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  gboolean decoupled; /* AdamW's decay */
  int64_t step;       /* from 1 */
} PwReferenceAdam;
void pw_reference_adam (double *w, const double *gradient, double *m, double *v, int64_t n,
                        const PwReferenceAdam *);
void pw_reference_square_sum (const double *x, double *sum, int64_t n);
