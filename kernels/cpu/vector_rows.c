/* Loops that reduce: rows of softmax and normalisation, sums. Each sum has a fixed shape: lanes,
 * then a tree over the lanes. Compiled once per instruction set, which names the table it fills
 * (PW_ROW_LOOPS). */
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/vector.h"
#include <math.h>
#include <stddef.h>

extern const PwRowLoops PW_ROW_LOOPS;

static float
row_greatest (const float *x, int64_t n) {
  PwLanes best = lanes_all (-INFINITY);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    best = lanes_max (lanes_load (x + i), best);
  float greatest = lanes_greatest (best);
  for (; i < n; i++)
    greatest = x[i] > greatest ? x[i] : greatest;
  return greatest;
}

static void
row_scale (float *x, float factor, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (x + i, lanes_load (x + i) * factor);
  for (; i < n; i++)
    x[i] *= factor;
}

static void
softmax (const float *x, float *p, int64_t n, float *max, float *sum) {
  float greatest = row_greatest (x, n);
  PwLanes sums = lanes_all (0);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes e = lanes_exp (lanes_load (x + i) - greatest);
    sums += e;
    lanes_store (p + i, e);
  }
  if (i < n) {
    PwLanes e = lanes_exp (lanes_load_part (x + i, n - i) - greatest);
    lanes_store_part (p + i, e, n - i);
    sums += lanes_load_part (p + i, n - i);
  }
  float total = lanes_sum (sums);
  row_scale (p, 1.0f / total, n);
  *max = greatest;
  *sum = total;
}

static void
exponential_sum (const float *x, int64_t n, float *max, float *sum) {
  float greatest = row_greatest (x, n);
  PwLanes sums = lanes_all (0);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    sums += lanes_exp (lanes_load (x + i) - greatest);
  if (i < n) {
    float rest[PW_LANES];
    lanes_store (rest, lanes_exp (lanes_load_part (x + i, n - i) - greatest));
    sums += lanes_load_part (rest, n - i);
  }
  *max = greatest;
  *sum = lanes_sum (sums);
}

static void
probabilities (const float *x, float lse, float factor, float *p, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (p + i, lanes_exp (lanes_load (x + i) - lse) * factor);
  if (i < n)
    lanes_store_part (p + i, lanes_exp (lanes_load_part (x + i, n - i) - lse) * factor, n - i);
}

static void
softmax_gradient (float *x, float *dp, float lse, float dot, float scale, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes p = lanes_exp (lanes_load (x + i) - lse);
    lanes_store (x + i, p);
    lanes_store (dp + i, p * scale * (lanes_load (dp + i) - dot));
  }
  if (i < n) {
    PwLanes p = lanes_exp (lanes_load_part (x + i, n - i) - lse);
    lanes_store_part (x + i, p, n - i);
    lanes_store_part (dp + i, p * scale * (lanes_load_part (dp + i, n - i) - dot), n - i);
  }
}

static float
dot (const float *a, const float *b, int64_t n) {
  PwLanes sums = lanes_all (0);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    sums = lanes_fma (lanes_load (a + i), lanes_load (b + i), sums);
  if (i < n)
    sums = lanes_fma (lanes_load_part (a + i, n - i), lanes_load_part (b + i, n - i), sums);
  return lanes_sum (sums);
}

static float
row_sum (const float *x, int64_t n) {
  PwLanes sums = lanes_all (0);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    sums += lanes_load (x + i);
  if (i < n)
    sums += lanes_load_part (x + i, n - i);
  return lanes_sum (sums);
}

static float
row_square_deviation (const float *x, float mean, int64_t n) {
  PwLanes sums = lanes_all (0);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes d = lanes_load (x + i) - mean;
    sums = lanes_fma (d, d, sums);
  }
  float tail = 0;
  for (; i < n; i++)
    tail += (x[i] - mean) * (x[i] - mean);
  return lanes_sum (sums) + tail;
}

static void
layernorm (const float *x, const float *gain, const float *bias, float epsilon, float *y, int64_t n,
           float *mean, float *rstd) {
  float m = row_sum (x, n) / (float)n;
  float r = 1.0f / sqrtf (row_square_deviation (x, m, n) / (float)n + epsilon);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes normal = (lanes_load (x + i) - m) * r;
    lanes_store (y + i, lanes_fma (normal, lanes_load (gain + i), lanes_load (bias + i)));
  }
  for (; i < n; i++)
    y[i] = (x[i] - m) * r * gain[i] + bias[i];
  *mean = m;
  *rstd = r;
}

/* The two means in dx = rstd (g dy - mean (g dy) - xhat mean (g dy xhat)). */
static void
layernorm_means (const float *x, const float *gain, float mean, float rstd, const float *dy,
                 int64_t n, float *plain, float *weighted) {
  PwLanes plains = lanes_all (0), weighteds = lanes_all (0);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes g = lanes_load (gain + i) * lanes_load (dy + i);
    plains += g;
    weighteds = lanes_fma (g, (lanes_load (x + i) - mean) * rstd, weighteds);
  }
  float plain_tail = 0, weighted_tail = 0;
  for (; i < n; i++) {
    float g = gain[i] * dy[i];
    plain_tail += g;
    weighted_tail += g * ((x[i] - mean) * rstd);
  }
  *plain = (lanes_sum (plains) + plain_tail) / (float)n;
  *weighted = (lanes_sum (weighteds) + weighted_tail) / (float)n;
}

static void
layernorm_input_row (const float *x, const float *gain, float mean, float rstd, const float *dy,
                     float *dx, int64_t n) {
  float plain, weighted;
  layernorm_means (x, gain, mean, rstd, dy, n, &plain, &weighted);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes normal = (lanes_load (x + i) - mean) * rstd;
    PwLanes g = lanes_load (gain + i) * lanes_load (dy + i);
    lanes_store (dx + i, (g - plain - normal * weighted) * rstd);
  }
  for (; i < n; i++)
    dx[i] = (gain[i] * dy[i] - plain - (x[i] - mean) * rstd * weighted) * rstd;
}

static void
layernorm_gradient (const float *x, const float *gain, float mean, float rstd, const float *dy,
                    float *dx, float *dgain, float *dbias, int64_t n) {
  if (dx != NULL)
    layernorm_input_row (x, gain, mean, rstd, dy, dx, n);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes normal = (lanes_load (x + i) - mean) * rstd;
    PwLanes d = lanes_load (dy + i);
    lanes_store (dgain + i, lanes_fma (d, normal, lanes_load (dgain + i)));
    lanes_store (dbias + i, lanes_load (dbias + i) + d);
  }
  for (; i < n; i++) {
    dgain[i] += dy[i] * ((x[i] - mean) * rstd);
    dbias[i] += dy[i];
  }
}

static float
row_square_mean (const float *x, int64_t n) {
  return row_square_deviation (x, 0, n) / (float)n;
}

static void
rmsnorm (const float *x, const float *gain, float epsilon, float *y, int64_t n, float *rstd) {
  float r = 1.0f / sqrtf (row_square_mean (x, n) + epsilon);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (y + i, lanes_load (x + i) * r * lanes_load (gain + i));
  for (; i < n; i++)
    y[i] = x[i] * r * gain[i];
  *rstd = r;
}

/* dx = rstd (g dy - xhat mean (g dy xhat)) */
static void
rmsnorm_input_row (const float *x, const float *gain, float rstd, const float *dy, float *dx,
                   int64_t n) {
  float plain, weighted;
  layernorm_means (x, gain, 0, rstd, dy, n, &plain, &weighted);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes g = lanes_load (gain + i) * lanes_load (dy + i);
    lanes_store (dx + i, (g - lanes_load (x + i) * rstd * weighted) * rstd);
  }
  for (; i < n; i++)
    dx[i] = (gain[i] * dy[i] - x[i] * rstd * weighted) * rstd;
}

static void
rmsnorm_gradient (const float *x, const float *gain, float rstd, const float *dy, float *dx,
                  float *dgain, int64_t n) {
  if (dx != NULL)
    rmsnorm_input_row (x, gain, rstd, dy, dx, n);
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes normal = lanes_load (x + i) * rstd;
    lanes_store (dgain + i, lanes_fma (lanes_load (dy + i), normal, lanes_load (dgain + i)));
  }
  for (; i < n; i++)
    dgain[i] += dy[i] * (x[i] * rstd);
}

/* Four rows in one pass over the sums. */
static void
add_columns (const float *x, int64_t rows, int64_t columns, float *sums) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const float *a = x + row * columns, *b = a + columns, *c = b + columns, *d = c + columns;
    int64_t i = 0;
    for (; i + PW_LANES <= columns; i += PW_LANES) {
      PwLanes four
          = (lanes_load (a + i) + lanes_load (b + i)) + (lanes_load (c + i) + lanes_load (d + i));
      lanes_store (sums + i, lanes_load (sums + i) + four);
    }
    for (; i < columns; i++)
      sums[i] += (a[i] + b[i]) + (c[i] + d[i]);
  }
  for (; row < rows; row++)
    for (int64_t i = 0; i < columns; i++)
      sums[i] += x[row * columns + i];
}

static inline PwWideLanes
widen (const float *x) {
  PwHalfLanes half;
  memcpy (&half, x, sizeof half);
  return __builtin_convertvector(half, PwWideLanes);
}

static double
square_sum (const float *x, int64_t n) {
  PwWideLanes low = { 0 }, high = { 0 };
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwWideLanes a = widen (x + i), b = widen (x + i + PW_LANES / 2);
    low += a * a;
    high += b * b;
  }
  double sum = lanes_wide_sum (low + high);
  for (; i < n; i++)
    sum += (double)x[i] * (double)x[i];
  return sum;
}

static double
square_difference_sum (const float *a, const float *b, int64_t n) {
  PwWideLanes sums = { 0 };
  int64_t i = 0;
  for (; i + PW_LANES / 2 <= n; i += PW_LANES / 2) {
    PwWideLanes d = widen (a + i) - widen (b + i);
    sums += d * d;
  }
  double sum = lanes_wide_sum (sums);
  for (; i < n; i++) {
    double d = (double)a[i] - (double)b[i];
    sum += d * d;
  }
  return sum;
}

const PwRowLoops PW_ROW_LOOPS = {
  .softmax = softmax,
  .exponential_sum = exponential_sum,
  .probabilities = probabilities,
  .softmax_gradient = softmax_gradient,
  .dot = dot,
  .layernorm = layernorm,
  .layernorm_gradient = layernorm_gradient,
  .rmsnorm = rmsnorm,
  .rmsnorm_gradient = rmsnorm_gradient,
  .add_columns = add_columns,
  .square_sum = square_sum,
  .square_difference_sum = square_difference_sum,
};
