/* The public library: equal bits for every cut, one step equal to another way of doing it, and
 * arguments that cannot be. */
#include "pipewright/pipewright.h"
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 12, SAMPLES = 10 };

static PwSequential *
new_model (int pairs) {
  PwSequential *model = pw_sequential_new ();
  for (int i = 0; i < pairs; i++) {
    pw_sequential_add (model, "linear", "in", (int64_t) WIDTH, "out", (int64_t) WIDTH, NULL);
    pw_sequential_add (model, "gelu", NULL);
  }
  return model;
}

static PwPipeline *
new_pipeline (const PwSequential *model, const int *balance, int stages, int chunks,
              PwPipelineOptions options) {
  g_autoptr (GError) error = NULL;
  options.seed = 7;
  PwPipeline *pipeline = pw_pipeline_new (model, balance, stages, chunks, &options, &error);
  g_assert_no_error (error);
  g_assert_nonnull (pipeline);
  return pipeline;
}

static void
fill (float *values, gsize n, double phase) {
  for (gsize i = 0; i < n; i++)
    values[i] = (float) sin ((double) i * 0.7 + phase);
}

/* STEPS steps; returns the hash and the last loss. */
static char *
train (PwPipeline *pipeline, int steps, double *loss) {
  g_autoptr (GError) error = NULL;
  float input[SAMPLES * WIDTH], target[SAMPLES * WIDTH];
  fill (input, G_N_ELEMENTS (input), 0);
  fill (target, G_N_ELEMENTS (target), 1);
  for (int i = 0; i < steps; i++) {
    pw_pipeline_forward_backward (pipeline, input, SAMPLES, target, NULL, NULL, loss, &error);
    g_assert_no_error (error);
    pw_optimizer_step (pipeline, &error);
    g_assert_no_error (error);
  }
  char *hash = pw_pipeline_parameters_sha256 (pipeline, &error);
  g_assert_no_error (error);
  return hash;
}

static void
test_equal_bits (void) {
  static const char *const schedules[] = { "naive", "gpipe", "1f1b" };
  g_autoptr (PwSequential) model = new_model (4);
  for (int chunks = 1; chunks <= 4; chunks++) {
    double reference_loss, loss;
    g_autoptr (PwPipeline) reference =
        new_pipeline (model, NULL, 1, chunks, (PwPipelineOptions){ .sequential = TRUE });
    g_autofree char *expected = train (reference, 5, &reference_loss);
    for (gsize s = 0; s < G_N_ELEMENTS (schedules); s++)
      for (int stages = 1; stages <= 4; stages++) {
        g_autoptr (PwPipeline) pipeline = new_pipeline (
            model, NULL, stages, chunks, (PwPipelineOptions){ .schedule = schedules[s] });
        g_autofree char *hash = train (pipeline, 5, &loss);
        g_assert_cmpstr (hash, ==, expected);
        g_assert_cmpfloat (loss, ==, reference_loss);
      }
  }
}

static double
half_square (const float *output, float *gradient, int64_t first_sample, int64_t samples,
             gpointer data) {
  const float *target = (const float *) data + first_sample * WIDTH;
  double loss = 0;
  for (int64_t i = 0; i < samples * WIDTH; i++) {
    float d = output[i] - target[i];
    loss += (double) (d * d) / (SAMPLES * WIDTH);
    gradient[i] = d * (2.0f / (SAMPLES * WIDTH));
  }
  return loss;
}

static void
get_gradients (PwPipeline *pipeline, GArray *gradients) {
  g_autoptr (GError) error = NULL;
  g_array_set_size (gradients, (guint) pw_pipeline_parameter_count (pipeline));
  pw_pipeline_get_gradients (pipeline, (float *) (void *) gradients->data, &error);
  g_assert_no_error (error);
}

static void
assert_close (const GArray *a, const GArray *b) {
  g_assert_cmpuint (a->len, ==, b->len);
  for (guint i = 0; i < a->len; i++)
    g_assert_cmpfloat_with_epsilon (g_array_index (a, float, i), g_array_index (b, float, i), 1e-6);
}

/* The built-in loss, a loss function, and forward + own loss + backward give the same gradients. */
static void
test_three_ways (gconstpointer data) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSequential) model = new_model (4);
  g_autoptr (PwPipeline) pipeline =
      new_pipeline (model, NULL, 4, 4, (PwPipelineOptions){ .schedule = data });
  float input[SAMPLES * WIDTH], target[SAMPLES * WIDTH], output[SAMPLES * WIDTH];
  float output_gradient[SAMPLES * WIDTH];
  fill (input, G_N_ELEMENTS (input), 0);
  fill (target, G_N_ELEMENTS (target), 1);
  g_autoptr (GArray) builtin = g_array_new (FALSE, TRUE, sizeof (float));
  g_autoptr (GArray) callback = g_array_new (FALSE, TRUE, sizeof (float));
  g_autoptr (GArray) apart = g_array_new (FALSE, TRUE, sizeof (float));
  double builtin_loss, callback_loss, apart_loss;

  pw_pipeline_forward_backward (pipeline, input, SAMPLES, target, NULL, NULL, &builtin_loss, &error);
  g_assert_no_error (error);
  get_gradients (pipeline, builtin);
  g_assert_true (pw_pipeline_zero_grad (pipeline, &error));

  pw_pipeline_forward_backward (pipeline, input, SAMPLES, NULL, half_square, target, &callback_loss,
                                &error);
  g_assert_no_error (error);
  get_gradients (pipeline, callback);
  g_assert_true (pw_pipeline_zero_grad (pipeline, &error));

  pw_pipeline_forward (pipeline, input, SAMPLES, output, &error);
  g_assert_no_error (error);
  apart_loss = half_square (output, output_gradient, 0, SAMPLES, target);
  pw_pipeline_backward (pipeline, output_gradient, &error);
  g_assert_no_error (error);
  get_gradients (pipeline, apart);

  g_assert_cmpfloat_with_epsilon (builtin_loss, callback_loss, 1e-6);
  g_assert_cmpfloat_with_epsilon (builtin_loss, apart_loss, 1e-6);
  assert_close (builtin, callback);
  assert_close (builtin, apart);
  float largest = 0;
  for (guint i = 0; i < builtin->len; i++)
    largest = fmaxf (largest, fabsf (g_array_index (builtin, float, i)));
  g_assert_cmpfloat (largest, >, 1e-4f);
}

/* Mini-batches of changing size, fewer samples than chunks included. */
static void
test_changing_sizes (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSequential) model = new_model (2);
  g_autoptr (PwPipeline) pipeline = new_pipeline (model, NULL, 2, 4, (PwPipelineOptions){ 0 });
  g_autoptr (PwPipeline) whole = new_pipeline (model, NULL, 1, 1, (PwPipelineOptions){ 0 });
  for (int64_t samples = 1; samples <= SAMPLES; samples++) {
    float input[SAMPLES * WIDTH], a[SAMPLES * WIDTH], b[SAMPLES * WIDTH];
    fill (input, G_N_ELEMENTS (input), (double) samples);
    g_assert_true (pw_pipeline_forward (pipeline, input, samples, a, &error));
    g_assert_true (pw_pipeline_backward (pipeline, a, &error));
    g_assert_true (pw_pipeline_forward (whole, input, samples, b, &error));
    g_assert_true (pw_pipeline_backward (whole, b, &error));
    for (int64_t i = 0; i < samples * WIDTH; i++)
      g_assert_cmpfloat_with_epsilon (a[i], b[i], 1e-5);
  }
}

static void
test_cross_entropy_learns (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSequential) model = new_model (2);
  g_autoptr (PwPipeline) pipeline =
      new_pipeline (model, NULL, 2, 2,
                    (PwPipelineOptions){ .loss = "cross_entropy",
                                         .optimizer = PW_PIPELINE_ADAMW,
                                         .learning_rate = 0.02 });
  float input[SAMPLES * WIDTH];
  int32_t labels[SAMPLES];
  fill (input, G_N_ELEMENTS (input), 0);
  for (int i = 0; i < SAMPLES; i++)
    labels[i] = i % WIDTH;
  double first = 0, loss = 0;
  for (int step = 0; step < 100; step++) {
    g_assert_true (pw_pipeline_forward_backward (pipeline, input, SAMPLES, labels, NULL, NULL,
                                                 &loss, &error));
    g_assert_true (pw_optimizer_step (pipeline, &error));
    if (step == 0)
      first = loss;
  }
  g_assert_cmpfloat_with_epsilon (first, log (WIDTH), 0.5);
  g_assert_cmpfloat (loss, <, 0.2);

  labels[3] = WIDTH;
  g_assert_false (pw_pipeline_forward_backward (pipeline, input, SAMPLES, labels, NULL, NULL, &loss,
                                                &error));
  g_assert_error (error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_VALUE);
  g_assert_nonnull (strstr (error->message, "target[3]"));
}

static void
test_parameters_round_trip (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSequential) model = new_model (2);
  g_autoptr (PwPipeline) a = new_pipeline (model, NULL, 2, 2, (PwPipelineOptions){ 0 });
  g_autoptr (PwPipeline) b = new_pipeline (model, NULL, 1, 2, (PwPipelineOptions){ 0 });
  double loss;
  g_autofree char *trained = train (a, 3, &loss);
  g_autofree float *parameters = g_new (float, (gsize) pw_pipeline_parameter_count (a));
  g_assert_true (pw_pipeline_get_parameters (a, parameters, &error));
  g_assert_true (pw_pipeline_set_parameters (b, parameters, &error));
  g_autofree char *copied = pw_pipeline_parameters_sha256 (b, &error);
  g_assert_cmpstr (trained, ==, copied);
}

static void
test_state_goes_on (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSequential) model = new_model (2);
  PwPipelineOptions options = { .optimizer = PW_PIPELINE_ADAM };
  g_autoptr (PwPipeline) a = new_pipeline (model, NULL, 2, 2, options);
  g_autoptr (PwPipeline) b = new_pipeline (model, NULL, 4, 2, options);
  g_autofree char *folder = g_dir_make_tmp ("state.XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "a.safetensors", NULL);
  double loss_a, loss_b;
  g_autofree char *first = train (a, 3, &loss_a);
  g_assert_true (pw_pipeline_state_save (a, path, &error));
  g_assert_true (pw_pipeline_state_load (b, path, &error));
  g_autofree char *hash_a = train (a, 3, &loss_a), *hash_b = train (b, 3, &loss_b);
  g_assert_cmpstr (hash_a, ==, hash_b);
  g_assert_cmpfloat (loss_a, ==, loss_b);
  g_assert_cmpstr (first, !=, hash_a);
  g_unlink (path);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

static void
test_prediction (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSequential) model = new_model (4);
  g_autoptr (PwPipeline) pipeline =
      new_pipeline (model, NULL, 2, 4, (PwPipelineOptions){ .schedule = "gpipe" });
  PwPipelinePrediction prediction;
  g_assert_true (pw_pipeline_predict (pipeline, SAMPLES, 0.05, &prediction, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (prediction.iteration_time_s, >, 0);
  g_assert_cmpfloat (prediction.bubble_fraction, >, 0);
  g_assert_cmpfloat (prediction.bubble_fraction, <, 1);
  g_assert_cmpint (prediction.peak_memory_bytes, >, 0);
}

static void
test_refusals (void) {
  static const struct {
    const char *layer;
    int balance[2], stages, chunks;
    const char *schedule, *loss, *message;
  } cases[] = {
    { "{\"type\":\"linear\",\"in\":4,\"out\":4,\"repeat\":4}", { 2, 3 }, 2, 1, NULL, NULL, "adds up" },
    { "{\"type\":\"linear\",\"in\":4,\"out\":4,\"repeat\":4}", { 4, 0 }, 2, 1, NULL, NULL, "balance" },
    { "{\"type\":\"linear\",\"in\":4,\"out\":4,\"repeat\":4}", { 2, 2 }, 0, 1, NULL, NULL, "stages" },
    { "{\"type\":\"linear\",\"in\":4,\"out\":4,\"repeat\":4}", { 2, 2 }, 2, 0, NULL, NULL, "chunks" },
    { "{\"type\":\"linear\",\"in\":4,\"out\":4,\"repeat\":4}", { 2, 2 }, 2, 1, "2f2b", NULL, "2f2b" },
    { "{\"type\":\"linear\",\"in\":4,\"out\":4,\"repeat\":4}", { 2, 2 }, 2, 1, NULL, "hinge", "loss" },
    { "{\"type\":\"linear\",\"in\":4,\"out\":4,\"repeat\":4}", { 2, 2 }, 2, 1, "pipedream", NULL, "asynchronous" },
    { "{\"type\":\"linear\",\"in\":0,\"out\":4,\"repeat\":4}", { 2, 2 }, 2, 1, NULL, NULL, "in" },
    { "{\"type\":\"linear\",\"in\":4,\"out\":5,\"repeat\":4}", { 2, 2 }, 2, 1, NULL, NULL, "layers" },
    { "{\"type\":\"lineal\",\"in\":4,\"out\":4,\"repeat\":4}", { 2, 2 }, 2, 1, NULL, NULL, "lineal" },
    { "{\"type\":\"linear\"", { 2, 2 }, 2, 1, NULL, NULL, "layer 0" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSequential) model = pw_sequential_new ();
    pw_sequential_add_json (model, cases[i].layer);
    PwPipelineOptions options = { .schedule = cases[i].schedule, .loss = cases[i].loss };
    g_autoptr (PwPipeline) pipeline = pw_pipeline_new (model, cases[i].balance, cases[i].stages,
                                                       cases[i].chunks, &options, &error);
    g_assert_null (pipeline);
    g_assert_nonnull (error);
    if (!strstr (error->message, cases[i].message))
      g_error ("case %zu: \"%s\" does not name %s", i, error->message, cases[i].message);
  }
}

static void
test_backward_needs_a_forward (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSequential) model = new_model (1);
  g_autoptr (PwPipeline) pipeline = new_pipeline (model, NULL, 1, 1, (PwPipelineOptions){ 0 });
  float gradient[SAMPLES * WIDTH] = { 0 };
  g_assert_false (pw_pipeline_backward (pipeline, gradient, &error));
  g_assert_error (error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_ORDER);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pipewright/pipeline/every-cut-gives-the-sequential-bits", test_equal_bits);
  g_test_add_data_func ("/pipewright/pipeline/three-ways-to-the-same-gradients", "1f1b",
                        test_three_ways);
  g_test_add_data_func ("/pipewright/pipeline/three-ways-through-two-directions", "chimera",
                        test_three_ways);
  g_test_add_func ("/pipewright/pipeline/mini-batches-may-change-size", test_changing_sizes);
  g_test_add_func ("/pipewright/pipeline/cross-entropy-is-learned", test_cross_entropy_learns);
  g_test_add_func ("/pipewright/pipeline/parameters-move-to-another-cut", test_parameters_round_trip);
  g_test_add_func ("/pipewright/pipeline/a-saved-state-goes-on-bit-for-bit", test_state_goes_on);
  g_test_add_func ("/pipewright/pipeline/prediction-is-plausible", test_prediction);
  g_test_add_func ("/pipewright/pipeline/impossible-arguments-are-refused", test_refusals);
  g_test_add_func ("/pipewright/pipeline/backward-needs-a-forward", test_backward_needs_a_forward);
  return g_test_run ();
}
