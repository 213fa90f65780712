/* Gradients of whole small models against central differences: every layer type, its stashes, its
 * place among the others, sums over several readers. */
#include "exec_case.h"

#include <math.h>
#include <string.h>

#include "exec/layers/layers.h"

static const struct {
  const char *name, *model;
} cases[] = {
  { "linear", "{'layers': [{'type': 'linear', 'in': 5, 'out': 4}, "
              "{'type': 'linear', 'in': 4, 'out': 3, 'bias': false}], 'loss': 'mse'}" },
  { "gelu", "{'layers': [{'type': 'linear', 'in': 5, 'out': 6}, {'type': 'gelu'}, "
            "{'type': 'linear', 'in': 6, 'out': 3}], 'loss': 'mse'}" },
  { "layernorm", "{'layers': [{'type': 'linear', 'in': 5, 'out': 6}, "
                 "{'type': 'layernorm', 'features': 6}, {'type': 'linear', 'in': 6, 'out': 3}], "
                 "'loss': 'mse'}" },
  { "rmsnorm", "{'layers': [{'type': 'linear', 'in': 5, 'out': 6}, "
               "{'type': 'rmsnorm', 'features': 6}, {'type': 'linear', 'in': 6, 'out': 3}], "
               "'loss': 'mse'}" },
  { "dropout", "{'layers': [{'type': 'linear', 'in': 5, 'out': 6}, "
               "{'type': 'dropout', 'probability': 0.4}, {'type': 'linear', 'in': 6, 'out': 3}], "
               "'loss': 'mse'}" },
  { "attention", "{'input': [5, 4], 'layers': [{'type': 'linear', 'in': 4, 'out': 12, "
                 "'init_scale': 0.7}, {'type': 'attention', 'heads': 2}, "
                 "{'type': 'linear', 'in': 4, 'out': 3}], 'loss': 'mse'}" },
  { "attention-open",
    "{'input': [5, 4], 'layers': [{'type': 'linear', 'in': 4, 'out': 12, 'init_scale': 0.7}, "
    "{'type': 'attention', 'heads': 1, 'causal': false}], 'loss': 'mse'}" },
  { "embedding", "{'input': [6], 'layers': [{'type': 'embedding', 'vocabulary': 7, 'features': 4, "
                 "'init_scale': 1}, {'type': 'positional_embedding', 'positions': 6, "
                 "'features': 4, 'init_scale': 1}, {'type': 'linear', 'in': 4, 'out': 7}], "
                 "'loss': 'cross_entropy'}" },
  { "add", "{'layers': [{'type': 'linear', 'in': 5, 'out': 5, 'name': 'a'}, {'type': 'gelu'}, "
           "{'type': 'linear', 'in': 5, 'out': 5, 'name': 'b'}, "
           "{'type': 'add', 'from': ['a', 'b']}, {'type': 'gelu', 'name': 'c'}, "
           "{'type': 'add', 'from': ['c', 'c']}, {'type': 'add', 'from': ['a', 'add5']}], "
           "'loss': 'mse'}" },
  { "concat", "{'layers': [{'type': 'linear', 'in': 5, 'out': 4, 'name': 'a'}, {'type': 'gelu'}, "
              "{'type': 'linear', 'in': 4, 'out': 3, 'name': 'b'}, "
              "{'type': 'concat', 'from': ['a', 'b']}, {'type': 'linear', 'in': 7, 'out': 6}, "
              "{'type': 'gelu', 'name': 'c'}, {'type': 'concat', 'from': ['c', 'input']}, "
              "{'type': 'concat', 'from': ['concat6', 'b']}, "
              "{'type': 'linear', 'in': 14, 'out': 3}], 'loss': 'mse'}" },
  { "concat-channels",
    "{'input': [2, 3, 4], 'layers': [{'type': 'linear', 'in': 4, 'out': 5, 'name': 'a'}, "
    "{'type': 'gelu'}, {'type': 'linear', 'in': 5, 'out': 5, 'name': 'b'}, "
    "{'type': 'concat', 'from': ['b', 'a'], 'name': 'c'}, "
    "{'type': 'concat', 'from': ['c', 'c']}, {'type': 'linear', 'in': 5, 'out': 2}], "
    "'loss': 'mse'}" },
  { "gpt", "{'name': 'gpt', 'blocks': 2, 'width': 8, 'heads': 2, 'tokens': 5, 'vocabulary': 11}" },
  { "gpt-rmsnorm-dropout", "{'name': 'gpt', 'blocks': 1, 'width': 8, 'heads': 2, 'tokens': 5, "
                           "'vocabulary': 11, 'norm': 'rmsnorm', 'dropout': 0.3}" },
  { "gpt-tied", "{'name': 'gpt', 'blocks': 1, 'width': 8, 'heads': 2, 'tokens': 5, "
                "'vocabulary': 11, 'tied': true}" },
};

typedef struct {
  ExecCase *c;
  PwExec *exec;
  int whole, forward; /* programs */
} Running;

/* A forward without its backward is no step of training: dropout draws the same as in the next. */
static double
loss (const Running *running, int program) {
  g_autoptr (GError) error = NULL;
  PwExecStep step;
  PwExecBatch batch = exec_case_batch (running->c, 0);
  pw_exec_run (running->exec, program, &batch, &step, &error);
  g_assert_no_error (error);
  return step.loss;
}

static double
loss_at (const Running *running, int layer, int p, const float *values, const float *direction,
         int64_t n, double by) {
  g_autofree float *moved = g_new (float, (gsize)n);
  for (int64_t i = 0; i < n; i++)
    moved[i] = (float)(values[i] + by * direction[i]);
  pw_exec_set_parameter (running->exec, layer, p, moved, NULL);
  double result = loss (running, running->forward);
  pw_exec_set_parameter (running->exec, layer, p, values, NULL);
  return result;
}

static double
slope_at (const Running *running, int layer, int p, const float *values, const float *direction,
          int64_t n, double by) {
  return (loss_at (running, layer, p, values, direction, n, by)
          - loss_at (running, layer, p, values, direction, n, -by))
         / (2 * by);
}

/* Along one random direction of +-1, which every element takes part in. */
static void
check_parameter (const Running *running, int layer, int p) {
  const PwLayer *l = &running->c->resolved->graph->layers[layer];
  int64_t n = pw_shape_elements (&l->info.parameters[p].shape);
  g_autofree float *values = g_new (float, (gsize)n);
  g_autofree float *gradient = g_new (float, (gsize)n);
  g_autofree float *direction = g_new (float, (gsize)n);
  g_autoptr (GError) error = NULL;
  pw_exec_get_parameter (running->exec, layer, p, values, &error);
  g_assert_no_error (error);
  for (int64_t i = 0; i < n; i++)
    direction[i] = g_test_rand_int () & 1 ? 1 : -1;
  /* Two step lengths cancel the third derivative: norms of small values bend much. */
  const double by = 2e-3;
  double wide = slope_at (running, layer, p, values, direction, n, 2 * by);
  double found = (4 * slope_at (running, layer, p, values, direction, n, by) - wide) / 3;
  pw_exec_zero_gradients (running->exec, &error);
  loss (running, running->whole);
  pw_exec_get_gradient (running->exec, layer, p, gradient, &error);
  g_assert_no_error (error);
  double expected = 0, scale = 0;
  for (int64_t i = 0; i < n; i++) {
    expected += (double)gradient[i] * direction[i];
    scale += fabs ((double)gradient[i]);
  }
  if (fabs (found - expected) > 1e-2 * scale + 2e-4)
    g_error ("%s.%s: %g along the direction, the gradient says %g", l->name,
             l->info.parameters[p].name, found, expected);
}

static void
gradients_are_right (gconstpointer data) {
  const char *model = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': 1, 'schedule': {'name': 'gpipe', 'microbatches': 2}, 'batch': 3, "
      "'seed': 5, 'data': 'random'",
      model);
  PwResolveOptions options = { .mode = PW_MODE_TRAINING };
  Running running = { .c = exec_case_new (members, &options) };
  running.exec = pw_exec_new (running.c->resolved, NULL, &error);
  g_assert_no_error (error);
  g_autoptr (PwSchedule) forward = exec_case_half (running.c->resolved->lowered, TRUE);
  running.whole = pw_exec_add (running.exec, running.c->resolved->lowered, &error);
  running.forward = pw_exec_add (running.exec, forward, &error);
  g_assert_no_error (error);
  const PwGraph *graph = running.c->resolved->graph;
  int checked = 0;
  for (int l = 0; l < graph->n_layers; l++)
    for (int p = 0; p < graph->layers[l].info.n_parameters; p++, checked++)
      check_parameter (&running, l, p);
  g_assert_cmpint (checked, >, 0);
  pw_exec_free (running.exec);
  exec_case_free (running.c);
}

/* relu has a corner, so its rule is checked by itself: gradients pass where the input is positive.
 */
static void
relu_passes_what_is_positive (void) {
  g_autoptr (GError) error = NULL;
  PwResolveOptions options = { .mode = PW_MODE_TRAINING };
  g_autoptr (ExecCase) c = exec_case_new (
      "'model': {'layers': [{'type': 'linear', 'in': 6, 'out': 6}, {'type': 'relu'}], "
      "'loss': 'mse'}, 'ranks': 1, 'schedule': {'name': 'gpipe', 'microbatches': 1}, 'batch': 1, "
      "'data': 'random'",
      &options);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  g_assert_no_error (error);
  PwExecBatch batch = exec_case_batch (c, 0);
  float output[6], gradient[6];
  batch.outputs = output;
  pw_exec_run (exec, program, &batch, NULL, &error);
  g_assert_no_error (error);
  pw_exec_get_gradient (exec, 0, 1, gradient, &error);
  g_assert_no_error (error);
  const float *targets = c->targets;
  for (int i = 0; i < 6; i++) {
    double expected = output[i] > 0 ? 2.0 / 6 * ((double)output[i] - (double)targets[i]) : 0;
    g_assert_cmpfloat_with_epsilon ((double)gradient[i], expected, 1e-6);
  }
}

static void
every_layer_type_can_run (void) {
  const PwLayerType *const *types = pw_layer_type_list ();
  for (int i = 0; types[i]; i++)
    g_assert_nonnull (pw_layer_runner_get (types[i]->name));
  g_assert_null (pw_layer_runner_get ("convolution-of-nothing"));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/layers/every-type-can-run", every_layer_type_can_run);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path
        = g_strdup_printf ("/exec/layers/%s-gradients-equal-differences", cases[i].name);
    g_test_add_data_func (path, cases[i].model, gradients_are_right);
  }
  g_test_add_func ("/exec/layers/relu-passes-what-is-positive", relu_passes_what_is_positive);
  return g_test_run ();
}
