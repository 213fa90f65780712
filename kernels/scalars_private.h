/* The scalars of one optimiser step, made once per call; the same for every backend. */
#pragma once
#include <math.h>
#include <stdint.h>

typedef struct {
  float beta1, beta2; /* and what is left of 1 */
  float rest1, rest2;
  float step_size;       /* learning rate / (1 - beta1^step) */
  float root_correction; /* 1 / sqrt (1 - beta2^step) */
  float epsilon;
  float shrink; /* w *= shrink first: decoupled decay */
  float l2;     /* gradient += l2 w: plain decay */
} PwAdamScalars;

typedef struct {
  float learning_rate, momentum, l2;
} PwSgdScalars;

static inline PwSgdScalars
pw__sgd_scalars (double learning_rate, double momentum, double weight_decay) {
  PwSgdScalars scalars = { (float)learning_rate, (float)momentum, (float)weight_decay };
  return scalars;
}

static inline PwAdamScalars
pw__adam_scalars (double learning_rate, double beta1, double beta2, double epsilon,
                  double weight_decay, int64_t step, int decoupled) {
  PwAdamScalars scalars;
  scalars.beta1 = (float)beta1;
  scalars.beta2 = (float)beta2;
  scalars.rest1 = (float)(1 - beta1);
  scalars.rest2 = (float)(1 - beta2);
  scalars.step_size = (float)(learning_rate / (1 - pow (beta1, (double)step)));
  scalars.root_correction = (float)(1 / sqrt (1 - pow (beta2, (double)step)));
  scalars.epsilon = (float)epsilon;
  scalars.shrink = decoupled ? (float)(1 - learning_rate * weight_decay) : 1.0f;
  scalars.l2 = decoupled ? 0.0f : (float)weight_decay;
  return scalars;
}
