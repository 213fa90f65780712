/* Loops whose elements do not know each other. Compiled once per instruction set, which names the
 * table it fills (PW_MAP_LOOPS). */
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/vector.h"
#include "kernels/dropout.h"
#include <stddef.h>

extern const PwMapLoops PW_MAP_LOOPS;

static void
add (const float *a, const float *b, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (y + i, lanes_load (a + i) + lanes_load (b + i));
  for (; i < n; i++)
    y[i] = a[i] + b[i];
}

static void
relu (const float *x, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (y + i, lanes_max (lanes_all (0), lanes_load (x + i)));
  if (i < n)
    lanes_store_part (y + i, lanes_max (lanes_all (0), lanes_load_part (x + i, n - i)), n - i);
}

static inline PwLanes
relu_slope (PwLanes x, PwLanes dy) {
  return (PwLanes)((PwLaneMask)(x > 0) & (PwLaneMask)dy);
}

static void
relu_gradient (const float *x, const float *dy, float *dx, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (dx + i, relu_slope (lanes_load (x + i), lanes_load (dy + i)));
  if (i < n) {
    int64_t k = n - i;
    PwLanes part = relu_slope (lanes_load_part (x + i, k), lanes_load_part (dy + i, k));
    lanes_store_part (dx + i, part, k);
  }
}

/* 0.5 x (1 + tanh u) = x / (1 + exp (-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3): one exponential
 * and nothing that cancels. */
static inline PwLanes
gelu_decay (PwLanes x) {
  const float a = -1.5957691216057308f, b = -0.0713548162726009f; /* -2 sqrt(2/pi) (1, 0.044715) */
  return lanes_exp (x * lanes_fma (x * x, lanes_all (b), lanes_all (a)));
}

static inline PwLanes
gelu_value (PwLanes x) {
  return x / (gelu_decay (x) + 1.0f);
}

/* With s = 1 / (1 + e): d (x s) = s + x s (1 - s) 2 du/dx, and 1 - s = e s. Beyond 30 the slope is
 * 0 or 1, and x^3 on its way there might overflow. */
static inline PwLanes
gelu_slope (PwLanes x) {
  const float a = 1.5957691216057308f, b = 0.2140644488178027f; /* 2 sqrt(2/pi) (1, 3 0.044715) */
  x = lanes_max (lanes_all (-30.0f), lanes_min (lanes_all (30.0f), x));
  PwLanes e = gelu_decay (x);
  PwLanes s = 1.0f / (e + 1.0f);
  PwLanes twice_du = lanes_fma (x * x, lanes_all (b), lanes_all (a));
  return lanes_fma (x * s * (e * s), twice_du, s);
}

static void
gelu (const float *x, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (y + i, gelu_value (lanes_load (x + i)));
  if (i < n)
    lanes_store_part (y + i, gelu_value (lanes_load_part (x + i, n - i)), n - i);
}

static void
gelu_gradient (const float *x, const float *dy, float *dx, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (dx + i, gelu_slope (lanes_load (x + i)) * lanes_load (dy + i));
  if (i < n) {
    int64_t k = n - i;
    PwLanes part = gelu_slope (lanes_load_part (x + i, k)) * lanes_load_part (dy + i, k);
    lanes_store_part (dx + i, part, k);
  }
}

/* Left to the compiler, which has all it needs: whole numbers and one product. */
static void
dropout (const float *x, uint64_t key, uint64_t threshold, float scale, float *y, int64_t n) {
  for (int64_t i = 0; i + 2 <= n; i += 2) {
    uint64_t pair = pw__dropout_pair (key, i / 2);
    y[i] = pw__dropout_keeps (pair, 0, threshold) ? x[i] * scale : 0;
    y[i + 1] = pw__dropout_keeps (pair, 1, threshold) ? x[i + 1] * scale : 0;
  }
  if (n % 2 != 0)
    y[n - 1]
        = pw__dropout_keeps (pw__dropout_pair (key, n / 2), 0, threshold) ? x[n - 1] * scale : 0;
}

static void
scale (const float *x, float factor, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (y + i, lanes_load (x + i) * factor);
  for (; i < n; i++)
    y[i] = x[i] * factor;
}

static void
scaled_difference (const float *a, const float *b, float factor, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES)
    lanes_store (y + i, (lanes_load (a + i) - lanes_load (b + i)) * factor);
  for (; i < n; i++)
    y[i] = (a[i] - b[i]) * factor;
}

static void
sgd_plain (float *w, const float *g, int64_t n, const PwSgdScalars *s) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes weight = lanes_load (w + i);
    PwLanes step = lanes_load (g + i) + weight * s->l2;
    lanes_store (w + i, weight - step * s->learning_rate);
  }
  for (; i < n; i++)
    w[i] -= (g[i] + w[i] * s->l2) * s->learning_rate;
}

static void
sgd (float *w, const float *g, float *m, int64_t n, const PwSgdScalars *s) {
  if (m == NULL) {
    sgd_plain (w, g, n, s);
    return;
  }
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes weight = lanes_load (w + i);
    PwLanes step = lanes_load (m + i) * s->momentum + (lanes_load (g + i) + weight * s->l2);
    lanes_store (m + i, step);
    lanes_store (w + i, weight - step * s->learning_rate);
  }
  for (; i < n; i++) {
    m[i] = m[i] * s->momentum + (g[i] + w[i] * s->l2);
    w[i] -= m[i] * s->learning_rate;
  }
}

/* Everything of one register's worth of Adam (1412.6980, algorithm 1; 1711.05101, algorithm 2). */
static inline void
adam_lanes (PwLanes *w, PwLanes g, PwLanes *m, PwLanes *v, const PwAdamScalars *s) {
  PwLanes weight = *w * s->shrink;
  g += *w * s->l2;
  *m = *m * s->beta1 + g * s->rest1;
  *v = *v * s->beta2 + g * g * s->rest2;
  PwLanes root = lanes_sqrt (*v) * s->root_correction + s->epsilon;
  *w = weight - *m * s->step_size / root;
}

static void
adam (float *w, const float *g, float *m, float *v, int64_t n, const PwAdamScalars *s) {
  int64_t i = 0;
  for (; i + PW_LANES <= n; i += PW_LANES) {
    PwLanes wi = lanes_load (w + i), mi = lanes_load (m + i), vi = lanes_load (v + i);
    adam_lanes (&wi, lanes_load (g + i), &mi, &vi, s);
    lanes_store (w + i, wi);
    lanes_store (m + i, mi);
    lanes_store (v + i, vi);
  }
  if (i < n) {
    int64_t k = n - i;
    PwLanes wi = lanes_load_part (w + i, k), mi = lanes_load_part (m + i, k);
    PwLanes vi = lanes_load_part (v + i, k);
    adam_lanes (&wi, lanes_load_part (g + i, k), &mi, &vi, s);
    lanes_store_part (w + i, wi, k);
    lanes_store_part (m + i, mi, k);
    lanes_store_part (v + i, vi, k);
  }
}

const PwMapLoops PW_MAP_LOOPS = {
  .add = add,
  .relu = relu,
  .relu_gradient = relu_gradient,
  .gelu = gelu,
  .gelu_gradient = gelu_gradient,
  .dropout = dropout,
  .scale = scale,
  .scaled_difference = scaled_difference,
  .sgd = sgd,
  .adam = adam,
};
