/* Lists other than whole training: inference, forward and backward apart, the caller's own loss. */
#include "exec_case.h"

#include <string.h>

#include "models/registry.h"

#define TAIL                                                                                       \
  "'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 3}, 'batch': 8, 'seed': 4, "           \
  "'data': 'random'"

/* linear, gelu, linear, layernorm; no loss. */
static PwGraph *
lossless_graph (void) {
  g_autoptr (GError) error = NULL;
  PwShape input = { .dtype = PW_DTYPE_F32, .n_dims = 1, .dims = { 6 } };
  PwGraphBuilder *builder = pw_graph_builder_new ("lossless", input, (PwShape){ 0 });
  PwLayerAttributes attributes;
  int from = PW_GRAPH_INPUT;
  static const char *const types[] = { "linear", "gelu", "linear", "layernorm" };
  for (int i = 0; i < 4; i++) {
    g_autofree char *unit = g_strdup_printf ("u%d", i);
    pw_layer_attributes_init (&attributes);
    attributes.in = i == 0 ? 6 : 7;
    attributes.out = i == 0 ? 7 : 5;
    attributes.features = 5;
    pw_graph_builder_begin_unit (builder, unit, FALSE);
    from = pw_graph_builder_add (builder, types[i], types[i], &attributes, &from, 1);
  }
  PwGraph *graph = pw_graph_builder_finish (builder, &error);
  g_assert_no_error (error);
  return graph;
}

static ExecCase *
lossless_case (void) {
  PwResolveOptions options = { .mode = PW_MODE_TRAINING, .graph = lossless_graph () };
  return exec_case_new ("'model': 'mlp', " TAIL, &options);
}

static PwExec *
new_exec (ExecCase *c, const PwSchedule *lowered, int *program) {
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .timeout_s = 60 };
  PwExec *exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  *program = pw_exec_add (exec, lowered, &error);
  g_assert_no_error (error);
  return exec;
}

static void
run (PwExec *exec, int program, const PwExecBatch *batch, double *loss) {
  g_autoptr (GError) error = NULL;
  PwExecStep step;
  pw_exec_run (exec, program, batch, &step, &error);
  g_assert_no_error (error);
  if (loss)
    *loss = step.loss;
}

static float *
gradients (PwExec *exec, const PwGraph *graph, gsize *n) {
  g_autoptr (GError) error = NULL;
  float *all = g_new0 (float, (gsize)pw_graph_parameters (graph, 0, graph->n_layers));
  *n = 0;
  for (int l = 0; l < graph->n_layers; l++)
    for (int p = 0; p < graph->layers[l].info.n_parameters; p++) {
      pw_exec_get_gradient (exec, l, p, all + *n, &error);
      g_assert_no_error (error);
      *n += (gsize)pw_shape_elements (&graph->layers[l].info.parameters[p].shape);
    }
  return all;
}

/* Sum of squares over the mini-batch of 8. */
static void
square_loss (int microbatch, const PwTensor *output, PwTensor *gradient, double *loss,
             gpointer data) {
  (void)microbatch;
  (void)data;
  const float *y = output->data;
  float *dy = gradient->data;
  for (int64_t i = 0; i < pw_tensor_elements (output); i++) {
    *loss += (double)y[i] * (double)y[i];
    dy[i] = 2 * y[i];
  }
}

static void
halves (void) {
  g_autoptr (ExecCase) c = lossless_case ();
  const PwGraph *graph = c->resolved->graph;
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) forward = exec_case_half (c->resolved->lowered, TRUE);
  g_autoptr (PwSchedule) backward = exec_case_half (c->resolved->lowered, FALSE);
  int whole;
  PwExecBatch batch = exec_case_batch (c, 0);
  g_autoptr (PwExec) exec = new_exec (c, c->resolved->lowered, &whole);
  int forwards = pw_exec_add (exec, forward, &error);
  int backwards = pw_exec_add (exec, backward, &error);
  g_assert_no_error (error);

  float outputs[2][8 * 5];
  double loss;
  gsize n;
  PwExecBatch with_loss
      = { .inputs = batch.inputs, .outputs = outputs[0], .loss_func = square_loss };
  run (exec, whole, &with_loss, &loss);
  g_autofree float *expected = gradients (exec, graph, &n);
  pw_exec_zero_gradients (exec, &error);

  PwExecBatch only_forward = { .inputs = batch.inputs, .outputs = outputs[1] };
  run (exec, forwards, &only_forward, NULL); /* a forward may be left without a backward */
  run (exec, forwards, &only_forward, NULL);
  g_assert_cmpint (memcmp (outputs[0], outputs[1], sizeof outputs[0]), ==, 0);
  float output_gradients[8 * 5];
  double sum = 0;
  for (int i = 0; i < 8 * 5; i++) {
    output_gradients[i] = 2 * outputs[1][i];
    sum += (double)outputs[1][i] * (double)outputs[1][i];
  }
  g_assert_cmpfloat_with_epsilon (loss, sum, 1e-9);
  PwExecBatch only_backward = { .output_gradients = output_gradients };
  run (exec, backwards, &only_backward, NULL);
  g_autofree float *found = gradients (exec, graph, &n);
  g_assert_cmpint (memcmp (found, expected, n * sizeof (float)), ==, 0);
  g_assert_false (pw_exec_run (exec, backwards, &only_backward, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
}

/* The last stage is on two ranks: the caller's loss is called by either, one at a time. */
static void
loss_of_two_directions (void) {
  g_autoptr (GError) error = NULL;
  PwResolveOptions options = { .mode = PW_MODE_TRAINING, .graph = lossless_graph () };
  g_autoptr (ExecCase) c = exec_case_new (
      "'model': 'mlp', 'ranks': 2, 'schedule': {'name': 'chimera', 'microbatches': 4}, "
      "'batch': 8, 'seed': 4, 'data': 'random'",
      &options);
  PwExecBatch batch = exec_case_batch (c, 0);
  float outputs[2][8 * 5];
  double loss[2];
  float *found[2];
  gsize n;
  for (int i = 0; i < 2; i++) {
    g_autoptr (PwExec) exec = i == 0 ? pw_exec_new_sequential (c->resolved, NULL, &error)
                                     : pw_exec_new (c->resolved, NULL, &error);
    int program = pw_exec_add (exec, c->resolved->lowered, &error);
    g_assert_no_error (error);
    PwExecBatch with_loss
        = { .inputs = batch.inputs, .outputs = outputs[i], .loss_func = square_loss };
    run (exec, program, &with_loss, &loss[i]);
    found[i] = gradients (exec, c->resolved->graph, &n);
  }
  g_assert_cmpfloat (loss[0], ==, loss[1]);
  g_assert_cmpint (memcmp (outputs[0], outputs[1], sizeof outputs[0]), ==, 0);
  g_assert_cmpint (memcmp (found[0], found[1], n * sizeof (float)), ==, 0);
  g_free (found[0]);
  g_free (found[1]);
}

/* Two runs without U add up; the optimiser by hand does what U does. */
static void
updates_by_hand (void) {
  PwResolveOptions without_u = { .mode = PW_MODE_TRAINING };
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) with = exec_case_new ("'model': " PW_TEST_GPT ", " TAIL, NULL);
  g_autoptr (ExecCase) without = exec_case_new ("'model': " PW_TEST_GPT ", " TAIL, &without_u);
  int program;
  g_autoptr (PwExec) exec = new_exec (without, without->resolved->lowered, &program);
  g_autoptr (PwExec) reference = pw_exec_new (with->resolved, NULL, &error);
  g_autofree char *expected = exec_case_train (with, reference, 3, NULL);
  for (int s = 0; s < 3; s++) {
    PwExecBatch batch = exec_case_batch (without, s);
    run (exec, program, &batch, NULL);
    pw_exec_update (exec, &error);
    g_assert_no_error (error);
  }
  g_autofree char *sha = pw_exec_parameters_sha256 (exec, &error);
  g_assert_cmpstr (sha, ==, expected);

  gsize n;
  PwExecBatch batch = exec_case_batch (without, 3);
  run (exec, program, &batch, NULL);
  g_autofree float *once = gradients (exec, without->resolved->graph, &n);
  run (exec, program, &batch, NULL);
  g_autofree float *twice = gradients (exec, without->resolved->graph, &n);
  double difference = 0, scale = 0;
  for (gsize i = 0; i < n; i++) {
    difference += ABS ((double)twice[i] - 2 * (double)once[i]);
    scale += ABS ((double)once[i]);
  }
  g_assert_cmpfloat (difference, <, 1e-4 * scale);
}

/* Logits of inference are those of training; no target is needed. */
static void
inference (void) {
  g_autoptr (GError) error = NULL;
  PwResolveOptions forward = { .mode = PW_MODE_INFERENCE };
  g_autoptr (ExecCase) c = exec_case_new ("'model': " PW_TEST_GPT ", " TAIL, &forward);
  g_autoptr (ExecCase) training = exec_case_new ("'model': " PW_TEST_GPT ", " TAIL, NULL);
  int program[2];
  g_autoptr (PwExec) exec = new_exec (c, c->resolved->lowered, &program[0]);
  g_autoptr (PwExec) trainer = new_exec (training, training->resolved->lowered, &program[1]);
  g_assert_cmpint (pw_shape_elements (pw_exec_output_shape (exec)), ==, 8 * 32);
  float logits[2][8 * 8 * 32];
  for (int s = 0; s < 3; s++) {
    PwExecBatch batch = exec_case_batch (c, 0);
    batch.targets = NULL;
    batch.outputs = logits[0];
    run (exec, program[0], &batch, NULL);
  }
  PwExecBatch batch = exec_case_batch (training, 0);
  batch.outputs = logits[1];
  run (trainer, program[1], &batch, NULL);
  g_assert_cmpint (memcmp (logits[0], logits[1], sizeof logits[0]), ==, 0);
  PwExecRank rank;
  pw_exec_rank (exec, 0, &rank);
  g_assert_cmpint (rank.peak_by_category[PW_MEMORY_GRADIENTS], ==, 0);
  g_assert_cmpint (pw_exec_add (exec, training->resolved->lowered, &error), ==, -1);
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
}

/* Sizes may change from run to run; only their order in the batch counts. */
static void
sizes_per_run (void) {
  g_autoptr (ExecCase) c = lossless_case ();
  int program;
  g_autoptr (PwExec) exec = new_exec (c, c->resolved->lowered, &program);
  PwExecBatch batch = exec_case_batch (c, 0);
  float outputs[2][8 * 5];
  const int64_t sizes[2][3] = { { 3, 3, 2 }, { 1, 2, 5 } };
  for (int i = 0; i < 2; i++) {
    PwExecBatch sized = {
      .samples = sizes[i], .inputs = batch.inputs, .outputs = outputs[i], .loss_func = square_loss
    };
    run (exec, program, &sized, NULL);
  }
  for (int i = 0; i < 8 * 5; i++)
    g_assert_cmpfloat_with_epsilon ((double)outputs[0][i], (double)outputs[1][i], 1e-5);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/programs/forward-and-backward-apart-equal-the-whole", halves);
  g_test_add_func ("/exec/programs/loss-functions-of-two-directions", loss_of_two_directions);
  g_test_add_func ("/exec/programs/updates-by-hand-equal-u", updates_by_hand);
  g_test_add_func ("/exec/programs/inference-gives-the-logits-of-training", inference);
  g_test_add_func ("/exec/programs/micro-batch-sizes-may-change", sizes_per_run);
  return g_test_run ();
}
