/* Numbers that change from step to step. Kernels read them from device memory, so that a graph can
 * be launched for one step after another: they are copied there when they are not what is there
 * already, once per step. */
#include "kernels/cuda/cuda_private.h"
#include <string.h>

typedef enum { SGD, ADAM, ADAMW, NUMBER, N_KINDS } Kind;

/* A cache line each. */
typedef union {
  PwSgdScalars sgd;
  PwAdamScalars adam;
  int64_t number;
  char bytes[64];
} Numbers;

struct PwCudaSteps {
  Numbers *there; /* [N_KINDS], device */
  gboolean is_known[N_KINDS];
  PwOptimizerStep known[N_KINDS]; /* what it was made of; of NUMBER only `step` */
};

gboolean
pw__cuda_steps_init (PwStream *stream, GError **error) {
  stream->steps = g_new0 (PwCudaSteps, 1);
  stream->steps->there = pw__cuda_alloc (stream, N_KINDS * sizeof (Numbers), error);
  return stream->steps->there != NULL;
}

void
pw__cuda_steps_forget (PwStream *stream) {
  memset (stream->steps->is_known, 0, sizeof stream->steps->is_known);
}

static void
make_sgd (void *to, const void *from) {
  const PwOptimizerStep *step = from;
  *(PwSgdScalars *)to = pw__sgd_scalars (step->learning_rate, step->momentum, step->weight_decay);
}

static PwAdamScalars
adam_scalars (const PwOptimizerStep *step, gboolean decoupled) {
  return pw__adam_scalars (step->learning_rate, step->beta1, step->beta2, step->epsilon,
                           step->weight_decay, step->step, decoupled);
}

static void
make_adam (void *to, const void *from) {
  *(PwAdamScalars *)to = adam_scalars (from, FALSE);
}

static void
make_adamw (void *to, const void *from) {
  *(PwAdamScalars *)to = adam_scalars (from, TRUE);
}

static void
make_number (void *to, const void *from) {
  *(int64_t *)to = ((const PwOpContext *)from)->step;
}

static const struct {
  gsize bytes;
  PwCudaMake make;
} kinds[] = {
  [SGD] = { .bytes = sizeof (PwSgdScalars), .make = make_sgd },
  [ADAM] = { .bytes = sizeof (PwAdamScalars), .make = make_adam },
  [ADAMW] = { .bytes = sizeof (PwAdamScalars), .make = make_adamw },
  [NUMBER] = { .bytes = sizeof (int64_t), .make = make_number },
};

/* FROM is what the numbers are made of, and what a graph makes them of at each launch. */
static const Numbers *
bring (PwStream *stream, Kind kind, const void *from, const PwOptimizerStep *key, GError **error) {
  PwCudaSteps *steps = stream->steps;
  Numbers *there = &steps->there[kind];
  if (steps->is_known[kind] && memcmp (key, &steps->known[kind], sizeof *key) == 0)
    return there;
  if (!pw__cuda_copy_made (stream, there, from, kinds[kind].bytes, kinds[kind].make, error))
    return NULL;
  steps->is_known[kind] = TRUE;
  steps->known[kind] = *key;
  return there;
}

const PwSgdScalars *
pw__cuda_sgd_scalars (PwOpContext *context, const PwOptimizerStep *step, GError **error) {
  const Numbers *there = bring (context->stream, SGD, step, step, error);
  return there ? &there->sgd : NULL;
}

const PwAdamScalars *
pw__cuda_adam_scalars (PwOpContext *context, const PwOptimizerStep *step, gboolean decoupled,
                       GError **error) {
  const Numbers *there = bring (context->stream, decoupled ? ADAMW : ADAM, step, step, error);
  return there ? &there->adam : NULL;
}

const int64_t *
pw__cuda_step_number (PwOpContext *context, GError **error) {
  PwOptimizerStep key = { .step = context->step };
  const Numbers *there = bring (context->stream, NUMBER, context, &key, error);
  return there ? &there->number : NULL;
}
