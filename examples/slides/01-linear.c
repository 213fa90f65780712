/* Slide 1: a model of 100 linear layers without activations, 1000 wide, cut into ten stages of ten
 * layers, each mini-batch in 8 micro-batches; two training steps on ten ranks, whatever the number
 * of cores. The parameters are then compared, bit for bit, with sequential training.
 *
 *   01-linear [WIDTH [SAMPLES]]        default 1000 32 */
#include <math.h>
#include <pipewright.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAYERS = 100, STAGES = 10, CHUNKS = 8, STEPS = 2 };

typedef struct {
  int64_t width, samples;
  float *input, *target;
} Problem;

static void
problem_init (Problem *problem, int64_t width, int64_t samples) {
  gsize n = (gsize) (width * samples);
  *problem = (Problem){ width, samples, g_new (float, n), g_new (float, n) };
  for (gsize i = 0; i < n; i++) {
    problem->input[i] = (float) sin ((double) i);
    problem->target[i] = (float) cos ((double) i);
  }
}

/* Trains and returns the parameters' hash. */
static char *
train (const Problem *problem, gboolean sequential, GError **error) {
  g_autoptr (PwSequential) model = pw_sequential_new ();
  for (int i = 0; i < LAYERS; i++)
    pw_sequential_add (model, "linear", "in", problem->width, "out", problem->width, NULL);

  int balance[STAGES];
  for (int i = 0; i < STAGES; i++)
    balance[i] = LAYERS / STAGES;
  PwPipelineOptions options = { .seed = 1, .learning_rate = 0.01, .sequential = sequential };
  g_autoptr (PwPipeline) pipeline = pw_pipeline_new (model, balance, STAGES, CHUNKS, &options, error);
  if (!pipeline)
    return NULL;

  for (int step = 0; step < STEPS; step++) {
    double loss;
    if (!pw_pipeline_forward_backward (pipeline, problem->input, problem->samples, problem->target,
                                       NULL, NULL, &loss, error) ||
        !pw_optimizer_step (pipeline, error))
      return NULL;
    printf ("%-10s step %d  loss %.6f\n", sequential ? "sequential" : "pipeline", step, loss);
  }
  return pw_pipeline_parameters_sha256 (pipeline, error);
}

int
main (int argc, char **argv) {
  Problem problem;
  problem_init (&problem, argc > 1 ? atoll (argv[1]) : 1000, argc > 2 ? atoll (argv[2]) : 32);

  g_autoptr (GError) error = NULL;
  g_autofree char *pipeline = train (&problem, FALSE, &error);
  g_autofree char *sequential = pipeline ? train (&problem, TRUE, &error) : NULL;
  g_free (problem.input);
  g_free (problem.target);
  if (!sequential) {
    fprintf (stderr, "01-linear: %s\n", error->message);
    return 3;
  }
  gboolean equal = g_str_equal (pipeline, sequential);
  printf ("parameters after %d steps on %d ranks: %s\n", STEPS, STAGES,
          equal ? "the same bits as sequential training" : "DIFFERENT from sequential training");
  return equal ? 0 : 1;
}
