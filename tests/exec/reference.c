#include "reference.h"

#include <string.h>

typedef struct {
  int layer, index, stage;
  int64_t n;
  GPtrArray *versions; /* float [n] */
  float *sum, *state[2];
} Tensor;

struct Reference {
  ExecCase *c, *one;
  PwExec *exec;
  int program;
  GArray *tensors;
  gboolean has_sum;
  PwOpContext context;
};

static Tensor *
tensor_at (const Reference *reference, guint i) {
  return &g_array_index (reference->tensors, Tensor, i);
}

static int
stage_of (const PwResolvedPlan *resolved, int layer) {
  int stage = 0;
  while (layer >= resolved->partition->bounds[stage + 1])
    stage++;
  return stage;
}

static void
add_tensor (Reference *reference, int layer, int index) {
  g_autoptr (GError) error = NULL;
  const PwGraph *graph = reference->c->resolved->graph;
  Tensor tensor = { .layer = layer,
                    .index = index,
                    .stage = stage_of (reference->c->resolved, layer),
                    .n = pw_shape_elements (&graph->layers[layer].info.parameters[index].shape),
                    .versions = g_ptr_array_new_with_free_func (g_free) };
  float *initial = g_new0 (float, (gsize)tensor.n);
  pw_exec_get_parameter (reference->exec, layer, index, initial, &error);
  g_assert_no_error (error);
  g_ptr_array_add (tensor.versions, initial);
  tensor.sum = g_new0 (float, (gsize)tensor.n);
  for (int s = 0; s < 2; s++)
    tensor.state[s] = g_new0 (float, (gsize)tensor.n);
  g_array_append_val (reference->tensors, tensor);
}

Reference *
reference_new (ExecCase *c, const char *model) {
  g_autoptr (GError) error = NULL;
  Reference *reference = g_new0 (Reference, 1);
  PwResolveOptions options = { .mode = PW_MODE_TRAINING };
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': 1, 'schedule': {'name': 'gpipe', 'microbatches': 1}, 'batch': 1, "
      "'seed': %" G_GINT64_FORMAT,
      model, c->resolved->seed);
  reference->c = c;
  reference->one = exec_case_new (members, &options);
  reference->exec = pw_exec_new_sequential (reference->one->resolved, NULL, &error);
  g_assert_no_error (error);
  reference->program = pw_exec_add (reference->exec, reference->one->resolved->lowered, &error);
  g_assert_no_error (error);
  reference->context.backend = &pw_backend_cpu;
  reference->context.stream = pw_backend_cpu.stream_new (0, &error);
  g_assert_no_error (error);
  reference->tensors = g_array_new (FALSE, FALSE, sizeof (Tensor));
  const PwGraph *graph = c->resolved->graph;
  for (int l = 0; l < graph->n_layers; l++)
    for (int p = 0; p < graph->layers[l].info.n_parameters; p++)
      add_tensor (reference, l, p);
  return reference;
}

void
reference_free (Reference *reference) {
  if (!reference)
    return;
  for (guint i = 0; i < reference->tensors->len; i++) {
    Tensor *tensor = tensor_at (reference, i);
    g_ptr_array_free (tensor->versions, TRUE);
    g_free (tensor->sum);
    g_free (tensor->state[0]);
    g_free (tensor->state[1]);
  }
  g_array_free (reference->tensors, TRUE);
  pw_backend_cpu.stream_free (reference->context.stream);
  pw_exec_free (reference->exec);
  exec_case_free (reference->one);
  g_free (reference);
}

static int64_t
first_sample (const Reference *reference, int m) {
  int64_t first = 0;
  for (int i = 0; i < m; i++)
    first += reference->c->resolved->samples[i];
  return first;
}

double
reference_microbatch (Reference *reference, int m, const int *stage_version, double scale) {
  g_autoptr (GError) error = NULL;
  const PwGraph *graph = reference->c->resolved->graph;
  for (guint i = 0; i < reference->tensors->len; i++) {
    const Tensor *tensor = tensor_at (reference, i);
    const float *values = g_ptr_array_index (tensor->versions, stage_version[tensor->stage]);
    pw_exec_set_parameter (reference->exec, tensor->layer, tensor->index, values, &error);
    g_assert_no_error (error);
  }
  int64_t first = first_sample (reference, m);
  PwExecBatch batch
      = { .samples = &reference->c->resolved->samples[m],
          .inputs = (char *)reference->c->inputs + first * pw_shape_bytes (&graph->input),
          .targets = (char *)reference->c->targets + first * pw_shape_bytes (&graph->target),
          .loss_scale = scale };
  PwExecStep step;
  pw_exec_run (reference->exec, reference->program, &batch, &step, &error);
  g_assert_no_error (error);
  return step.loss;
}

void
reference_add (Reference *reference) {
  g_autoptr (GError) error = NULL;
  for (guint i = 0; i < reference->tensors->len; i++) {
    Tensor *tensor = tensor_at (reference, i);
    g_autofree float *gradient = g_new0 (float, (gsize)tensor->n);
    pw_exec_get_gradient (reference->exec, tensor->layer, tensor->index, gradient, &error);
    g_assert_no_error (error);
    for (int64_t k = 0; k < tensor->n; k++)
      tensor->sum[k] = reference->has_sum ? tensor->sum[k] + gradient[k] : gradient[k];
  }
  reference->has_sum = TRUE;
  pw_exec_zero_gradients (reference->exec, &error);
  g_assert_no_error (error);
}

static PwTensor
flat (float *data, int64_t n) {
  return (PwTensor){ .data = data, .element = PW_ELEMENT_F32, .n_dims = 1, .dims = { n } };
}

void
reference_update (Reference *reference) {
  g_autoptr (GError) error = NULL;
  const PwOptimizerPlan *plan = &reference->c->resolved->optimizer;
  const PwOps *ops = &pw_backend_cpu.ops;
  PwOptimizerStep step = { .learning_rate = plan->learning_rate,
                           .momentum = plan->momentum,
                           .beta1 = plan->beta1,
                           .beta2 = plan->beta2,
                           .epsilon = plan->epsilon,
                           .weight_decay = plan->weight_decay,
                           .step = reference_versions (reference) + 1 };
  for (guint i = 0; i < reference->tensors->len; i++) {
    Tensor *tensor = tensor_at (reference, i);
    gsize bytes = (gsize)tensor->n * sizeof (float);
    float *next
        = g_memdup2 (g_ptr_array_index (tensor->versions, tensor->versions->len - 1), bytes);
    PwTensor w = flat (next, tensor->n), gradient = flat (tensor->sum, tensor->n);
    PwTensor a = flat (tensor->state[0], tensor->n), b = flat (tensor->state[1], tensor->n);
    if (plan->kind == PW_OPTIMIZER_SGD)
      ops->sgd (&reference->context, &w, &gradient, plan->momentum != 0 ? &a : NULL, &step, &error);
    else if (plan->kind == PW_OPTIMIZER_ADAM)
      ops->adam (&reference->context, &w, &gradient, &a, &b, &step, &error);
    else
      ops->adamw (&reference->context, &w, &gradient, &a, &b, &step, &error);
    g_assert_no_error (error);
    g_ptr_array_add (tensor->versions, next);
  }
  reference->has_sum = FALSE;
}

int
reference_versions (const Reference *reference) {
  return (int)tensor_at (reference, 0)->versions->len - 1;
}

int64_t
reference_targets (const Reference *reference, int first, int end) {
  const PwShape *target = &reference->c->resolved->graph->target;
  int64_t samples = first_sample (reference, end) - first_sample (reference, first);
  return samples * pw_shape_elements (target);
}

char *
reference_sha256 (Reference *reference) {
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  for (guint i = 0; i < reference->tensors->len; i++) {
    const Tensor *tensor = tensor_at (reference, i);
    g_checksum_update (checksum, g_ptr_array_index (tensor->versions, tensor->versions->len - 1),
                       (gssize)(tensor->n * (int64_t)sizeof (float)));
  }
  return g_strdup (g_checksum_get_string (checksum));
}
