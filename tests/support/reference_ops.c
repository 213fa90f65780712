#include "tests/support/reference_ops.h"
#include <math.h>

void
pw_reference_linear (const double *x, const double *w, const double *bias, double *y, int64_t rows,
                     int64_t in, int64_t out) {
  for (int64_t n = 0; n < rows; n++)
    for (int64_t o = 0; o < out; o++) {
      double sum = bias == NULL ? 0 : bias[o];
      for (int64_t i = 0; i < in; i++)
        sum += x[n * in + i] * w[o * in + i];
      y[n * out + o] = sum;
    }
}

void
pw_reference_relu (const double *x, double *y, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    y[i] = x[i] > 0 ? x[i] : 0;
}

void
pw_reference_gelu (const double *x, double *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    double u = sqrt (2 / G_PI) * (x[i] + 0.044715 * x[i] * x[i] * x[i]);
    y[i] = 0.5 * x[i] * (1 + tanh (u));
  }
}

void
pw_reference_layernorm (const double *x, const double *gain, const double *bias, double epsilon,
                        double *y, double *mean, double *rstd, int64_t rows, int64_t features) {
  for (int64_t n = 0; n < rows; n++) {
    const double *row = x + n * features;
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < features; c++)
      sum += row[c];
    mean[n] = sum / (double)features;
    for (int64_t c = 0; c < features; c++)
      squares += (row[c] - mean[n]) * (row[c] - mean[n]);
    rstd[n] = 1 / sqrt (squares / (double)features + epsilon);
    for (int64_t c = 0; c < features; c++)
      y[n * features + c] = (row[c] - mean[n]) * rstd[n] * gain[c] + bias[c];
  }
}

void
pw_reference_rmsnorm (const double *x, const double *gain, double epsilon, double *y, double *rstd,
                      int64_t rows, int64_t features) {
  for (int64_t n = 0; n < rows; n++) {
    const double *row = x + n * features;
    double squares = 0;
    for (int64_t c = 0; c < features; c++)
      squares += row[c] * row[c];
    rstd[n] = 1 / sqrt (squares / (double)features + epsilon);
    for (int64_t c = 0; c < features; c++)
      y[n * features + c] = row[c] * rstd[n] * gain[c];
  }
}

void
pw_reference_dropout (const double *x, const gboolean *keep, double probability, double *y,
                      int64_t n) {
  for (int64_t i = 0; i < n; i++)
    y[i] = keep[i] ? x[i] / (1 - probability) : 0;
}

void
pw_reference_embedding (const double *tokens, const double *table, double *y, int64_t rows,
                        int64_t features) {
  for (int64_t n = 0; n < rows; n++)
    for (int64_t c = 0; c < features; c++)
      y[n * features + c] = table[(int64_t)tokens[n] * features + c];
}

void
pw_reference_position (const double *x, const double *table, double *y, int64_t batch,
                       int64_t tokens, int64_t features) {
  for (int64_t b = 0; b < batch; b++)
    for (int64_t t = 0; t < tokens; t++)
      for (int64_t c = 0; c < features; c++) {
        int64_t at = (b * tokens + t) * features + c;
        y[at] = x[at] + table[t * features + c];
      }
}

static double
log_sum_exp (const double *row, int64_t n) {
  double max = row[0], sum = 0;
  for (int64_t i = 1; i < n; i++)
    max = fmax (max, row[i]);
  for (int64_t i = 0; i < n; i++)
    sum += exp (row[i] - max);
  return max + log (sum);
}

void
pw_reference_attention (const double *qkv, int64_t heads, gboolean causal, double *y, double *lse,
                        int64_t batch, int64_t tokens, int64_t features) {
  int64_t width = features / heads;
  g_autofree double *score = g_new (double, (gsize)tokens);
  for (int64_t b = 0; b < batch; b++)
    for (int64_t h = 0; h < heads; h++)
      for (int64_t t = 0; t < tokens; t++) {
        const double *sequence = qkv + b * tokens * 3 * features;
        const double *q = sequence + t * 3 * features + h * width;
        int64_t keys = causal ? t + 1 : tokens;
        for (int64_t s = 0; s < keys; s++) {
          const double *k = sequence + s * 3 * features + features + h * width;
          score[s] = 0;
          for (int64_t d = 0; d < width; d++)
            score[s] += q[d] * k[d] / sqrt ((double)width);
        }
        double row_lse = lse[(b * heads + h) * tokens + t] = log_sum_exp (score, keys);
        for (int64_t d = 0; d < width; d++) {
          double sum = 0;
          for (int64_t s = 0; s < keys; s++)
            sum += exp (score[s] - row_lse)
                   * sequence[s * 3 * features + 2 * features + h * width + d];
          y[(b * tokens + t) * features + h * width + d] = sum;
        }
      }
}

void
pw_reference_add (const double *a, const double *b, double *y, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    y[i] = a[i] + b[i];
}

void
pw_reference_concat (const double *a, const double *b, double *y, int64_t samples, int64_t n_a,
                     int64_t n_b) {
  for (int64_t s = 0; s < samples; s++)
    for (int64_t i = 0; i < n_a + n_b; i++)
      y[s * (n_a + n_b) + i] = i < n_a ? a[s * n_a + i] : b[s * n_b + i - n_a];
}

void
pw_reference_cross_entropy (const double *x, const double *targets, double scale, double *lse,
                            double *loss, int64_t rows, int64_t classes) {
  for (int64_t n = 0; n < rows; n++) {
    lse[n] = log_sum_exp (x + n * classes, classes);
    if (targets[n] >= 0)
      *loss += scale * (lse[n] - x[n * classes + (int64_t)targets[n]]);
  }
}

void
pw_reference_mse (const double *x, const double *targets, double scale, double *loss, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    *loss += scale * (x[i] - targets[i]) * (x[i] - targets[i]);
}

void
pw_reference_sgd (double *w, const double *gradient, double *m, int64_t n, double learning_rate,
                  double momentum, double weight_decay) {
  for (int64_t i = 0; i < n; i++) {
    double step = gradient[i] + weight_decay * w[i];
    if (m != NULL)
      step = m[i] = momentum * m[i] + step;
    w[i] -= learning_rate * step;
  }
}

void
pw_reference_adam (double *w, const double *gradient, double *m, double *v, int64_t n,
                   const PwReferenceAdam *a) {
  for (int64_t i = 0; i < n; i++) {
    double g = gradient[i];
    if (a->decoupled)
      w[i] -= a->learning_rate * a->weight_decay * w[i];
    else
      g += a->weight_decay * w[i];
    m[i] = a->beta1 * m[i] + (1 - a->beta1) * g;
    v[i] = a->beta2 * v[i] + (1 - a->beta2) * g * g;
    double m_hat = m[i] / (1 - pow (a->beta1, (double)a->step));
    double v_hat = v[i] / (1 - pow (a->beta2, (double)a->step));
    w[i] -= a->learning_rate * m_hat / (sqrt (v_hat) + a->epsilon);
  }
}

void
pw_reference_square_sum (const double *x, double *sum, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    *sum += x[i] * x[i];
}
