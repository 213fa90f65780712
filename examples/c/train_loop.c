/* Your own training loop around a pipeline: zero the gradients, forward, your own loss, backward,
 * step. It fits y = sin(x) on two ranks, with a Huber loss that the library does not have. */
#include <math.h>
#include <pipewright.h>
#include <stdio.h>

enum { SAMPLES = 64, STEPS = 300 };

/* The mean over the samples of huber (output - target), and its gradient. */
static double
huber (const float *output, const float *target, float *gradient) {
  double loss = 0;
  for (int i = 0; i < SAMPLES; i++) {
    float d = output[i] - target[i];
    loss += fabsf (d) <= 1 ? 0.5 * (double) (d * d) : (double) fabsf (d) - 0.5;
    gradient[i] = fmaxf (-1, fminf (1, d)) / SAMPLES;
  }
  return loss / SAMPLES;
}

static gboolean
train (PwPipeline *pipeline, GError **error) {
  float input[SAMPLES], target[SAMPLES], output[SAMPLES], gradient[SAMPLES];
  for (int i = 0; i < SAMPLES; i++) {
    input[i] = (float) i / SAMPLES * 6.0f - 3.0f;
    target[i] = sinf (input[i]);
  }
  for (int step = 0; step < STEPS; step++) {
    if (!pw_pipeline_zero_grad (pipeline, error) ||
        !pw_pipeline_forward (pipeline, input, SAMPLES, output, error))
      return FALSE;
    double loss = huber (output, target, gradient);
    if (!pw_pipeline_backward (pipeline, gradient, error) || !pw_optimizer_step (pipeline, error))
      return FALSE;
    if (step % 100 == 0 || step == STEPS - 1)
      printf ("step %3d  loss %.5f\n", step, loss);
  }
  return TRUE;
}

int
main (void) {
  g_autoptr (PwSequential) model = pw_sequential_new ();
  pw_sequential_add (model, "linear", "in", (int64_t) 1, "out", (int64_t) 64, NULL);
  pw_sequential_add (model, "gelu", NULL);
  pw_sequential_add (model, "linear", "in", (int64_t) 64, "out", (int64_t) 64, NULL);
  pw_sequential_add (model, "gelu", NULL);
  pw_sequential_add (model, "linear", "in", (int64_t) 64, "out", (int64_t) 1, NULL);

  g_autoptr (GError) error = NULL;
  PwPipelineOptions options = { .optimizer = PW_PIPELINE_ADAM, .learning_rate = 0.01 };
  int balance[] = { 2, 3 };
  g_autoptr (PwPipeline) pipeline = pw_pipeline_new (model, balance, 2, 4, &options, &error);
  if (!pipeline || !train (pipeline, &error)) {
    fprintf (stderr, "train_loop: %s\n", error->message);
    return 3;
  }
  return 0;
}
