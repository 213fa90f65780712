/* Training by hand: one micro-batch after another on one rank, weights and gradients copied in and
 * out, every version ever made kept. Slow and plain; only the kernels are those of the executor. */
#include "reference.h"

#include <string.h>

typedef struct {
  int layer, index, stage;
  int64_t n;
  GPtrArray *versions; /* float [n] */
  float *sum, *state[2];
} Tensor;

typedef struct {
  ExecCase *c, *one;
  PwExec *exec;
  int program;
  GArray *tensors;
  gboolean has_sum;
  PwOpContext context;
} Reference;

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

static Reference *
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

static void
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

/* Forward and backward of micro-batch M of the current mini-batch; STAGE_VERSION[stage] updates
 * made the weights it uses. Gradients add up. Returns the loss times SCALE. */
static double
run_microbatch (Reference *reference, int m, const int *stage_version, double scale) {
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

/* The gradients since the last call are moved to the running sum: sum + gradients. */
static void
add_gradients (Reference *reference) {
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

static int
newest_version (const Reference *reference) {
  return (int)tensor_at (reference, 0)->versions->len - 1;
}

/* The optimiser makes the next version from the newest with the running sum, which is then none. */
static void
make_version (Reference *reference) {
  g_autoptr (GError) error = NULL;
  const PwOptimizerPlan *plan = &reference->c->resolved->optimizer;
  const PwOps *ops = &pw_backend_cpu.ops;
  PwOptimizerStep step = { .learning_rate = plan->learning_rate,
                           .momentum = plan->momentum,
                           .beta1 = plan->beta1,
                           .beta2 = plan->beta2,
                           .epsilon = plan->epsilon,
                           .weight_decay = plan->weight_decay,
                           .step = newest_version (reference) + 1 };
  for (guint i = 0; i < reference->tensors->len; i++) {
    Tensor *tensor = tensor_at (reference, i);
    gsize bytes = (gsize)tensor->n * sizeof (float);
    float *next
        = g_memdup2 (g_ptr_array_index (tensor->versions, tensor->versions->len - 1), bytes);
    PwTensor w = flat (next, tensor->n), gradient = flat (tensor->sum, tensor->n);
    PwTensor a = flat (tensor->state[0], tensor->n), b = flat (tensor->state[1], tensor->n);
    if (plan->kind == PW_OPTIMIZER_SGD)
      ops->sgd (&reference->context, &w, NULL, &gradient, plan->momentum != 0 ? &a : NULL, &step,
                &error);
    else if (plan->kind == PW_OPTIMIZER_ADAM)
      ops->adam (&reference->context, &w, NULL, &gradient, &a, &b, &step, &error);
    else
      ops->adamw (&reference->context, &w, NULL, &gradient, &a, &b, &step, &error);
    g_assert_no_error (error);
    g_ptr_array_add (tensor->versions, next);
  }
  reference->has_sum = FALSE;
}

static int64_t
count_targets (const Reference *reference, int first, int end) {
  const PwShape *target = &reference->c->resolved->graph->target;
  int64_t samples = first_sample (reference, end) - first_sample (reference, first);
  return samples * pw_shape_elements (target);
}

static char *
sha256 (Reference *reference) {
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  for (guint i = 0; i < reference->tensors->len; i++) {
    const Tensor *tensor = tensor_at (reference, i);
    g_checksum_update (checksum, g_ptr_array_index (tensor->versions, tensor->versions->len - 1),
                       (gssize)(tensor->n * (int64_t)sizeof (float)));
  }
  return g_strdup (g_checksum_get_string (checksum));
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reference, reference_free)

char *
reference_train_replicas (ExecCase *c, const char *model, int steps, double *losses) {
  const PwSchedule *schedule = c->resolved->compute;
  g_autoptr (Reference) reference = reference_new (c, model);
  int M = schedule->microbatches;
  double scale = 1.0 / (double)count_targets (reference, 0, M);
  g_autofree int *version = g_new0 (int, (gsize)schedule->stages);
  g_autofree double *loss = g_new0 (double, (gsize)M);
  for (int s = 0; s < steps; s++) {
    exec_case_batch (c, s);
    for (int stage = 0; stage < schedule->stages; stage++)
      version[stage] = s;
    for (int direction = 0; direction < 2; direction++) {
      for (int m = 0; m < M; m++)
        if (schedule->direction[m] == direction)
          loss[m] = run_microbatch (reference, m, version, scale);
      add_gradients (reference);
    }
    make_version (reference);
    losses[s] = 0;
    for (int m = 0; m < M; m++)
      losses[s] += loss[m];
  }
  return sha256 (reference);
}

/* Updates of STAGE that stand before the KIND of micro-batch M in its rank's list. */
static int
updates_before (const PwSchedule *unrolled, int stage, PwActionKind kind, int64_t m) {
  const PwProgram *program = &unrolled->programs[pw_placement_rank (unrolled->placement, 0, stage)];
  int n = 0;
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if ((int)action.stage != stage)
      continue;
    if (action.kind == kind && action.microbatch == m)
      return n;
    n += action.kind == PW_ACTION_UPDATE;
  }
  g_assert_not_reached ();
}

static int
version_of (const PwSchedule *unrolled, int stage, int64_t m) {
  if (unrolled->promise.version_rule == PW_VERSIONS_NEWEST)
    return updates_before (unrolled, stage, PW_ACTION_FORWARD, m);
  return MAX (0, updates_before (unrolled, stage, PW_ACTION_BACKWARD, m) - 1);
}

char *
reference_train_delayed (ExecCase *c, const char *model, int steps, double *losses) {
  g_autoptr (GError) error = NULL;
  g_autoptr (Reference) reference = reference_new (c, model);
  g_autoptr (PwSchedule) unrolled = pw_schedule_unroll (c->resolved->compute, steps, &error);
  g_assert_no_error (error);
  int M = c->resolved->microbatches, stages = unrolled->stages, every = 1;
  while (every < M && updates_before (unrolled, stages - 1, PW_ACTION_BACKWARD, every) == 0)
    every++;
  g_autofree int *version = g_new0 (int, (gsize)stages);
  for (int s = 0; s < steps; s++) {
    exec_case_batch (c, s);
    losses[s] = 0;
    for (int group = 0; group < M; group += every) {
      double n = (double)count_targets (reference, group, group + every), loss = 0;
      for (int m = group; m < group + every; m++) {
        for (int stage = 0; stage < stages; stage++)
          version[stage] = version_of (unrolled, stage, (int64_t)s * M + m);
        loss += run_microbatch (reference, m, version, 1 / n);
      }
      add_gradients (reference);
      make_version (reference);
      losses[s] += loss * (n / (double)count_targets (reference, 0, M));
    }
  }
  return sha256 (reference);
}

static void
compare_with_delayed (ExecCase *c, const char *model, int steps) {
  g_autoptr (GError) error = NULL;
  g_autofree double *expected = g_new (double, (gsize)steps),
                    *losses = g_new (double, (gsize)steps);
  PwExecOptions options = { .timeout_s = 60 };
  g_autofree char *reference = reference_train_delayed (c, model, steps, expected);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  g_autofree char *sha = exec_case_stream (c, exec, steps, losses);
  g_assert_cmpstr (sha, ==, reference);
  for (int s = 0; s < steps; s++)
    g_assert_cmpfloat (losses[s], ==, expected[s]);
}

void
reference_compare (ExecCase *c, const char *model, const PwTransport *transport, int steps) {
  if (c->resolved->compute->promise.synchronous)
    exec_case_compare_with_sequential (c, transport, steps);
  else
    compare_with_delayed (c, model, steps);
}
