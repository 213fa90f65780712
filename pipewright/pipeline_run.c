/* Running a pipeline: whole mini-batches under the schedule, or forward and backward apart. */
#include "pipewright/pipeline_private.h"

/* What the executor's loss callback needs, on the last rank's worker. */
typedef struct {
  const PwPipeline *pipeline;
  const int64_t *samples; /* per micro-batch */
  int64_t total_samples;
  const void *target;
  PwPipelineLossFunc func;
  gpointer data;
} LossCall;

static int64_t
first_sample (const LossCall *call, int microbatch) {
  int64_t first = 0;
  for (int m = 0; m < microbatch; m++)
    first += call->samples[m];
  return first;
}

static void
call_users_loss (int microbatch, const PwTensor *output, PwTensor *gradient, double *loss,
                 gpointer data) {
  const LossCall *call = data;
  *loss += call->func (output->data, gradient->data, first_sample (call, microbatch),
                       call->samples[microbatch], call->data);
}

/* The mean over all elements (mse) or all rows (cross_entropy) of the mini-batch. The shapes were
 * made by the same graph, so the ops cannot refuse them. */
static void
call_builtin_loss (int microbatch, const PwTensor *output, PwTensor *gradient, double *loss,
                   gpointer data) {
  const LossCall *call = data;
  const PwOps *ops = &pw_backend_cpu.ops;
  PwOpContext context = { .backend = &pw_backend_cpu, .stream = call->pipeline->loss_stream };
  int64_t elements = pw_pipeline_output_elements (call->pipeline);
  int64_t first = first_sample (call, microbatch);
  PwTensor target = *output;

  if (call->pipeline->is_cross_entropy) {
    int64_t rows = elements / pw_tensor_last_dim (output);
    double scale = 1.0 / (double) (rows * call->total_samples);
    target = (PwTensor){ .data = (int32_t *) call->target + first * rows,
                         .element = PW_ELEMENT_I32,
                         .n_dims = 1,
                         .dims = { rows * call->samples[microbatch] } };
    PwTensor lse = target;
    g_autofree float *sums = g_new (float, (gsize) target.dims[0]);
    lse.data = sums;
    lse.element = PW_ELEMENT_F32;
    ops->cross_entropy_forward (&context, output, &target, scale, &lse, loss, NULL);
    ops->cross_entropy_input_gradient (&context, output, &lse, &target, scale, gradient, NULL);
  } else {
    double scale = 1.0 / (double) (elements * call->total_samples);
    target.data = (float *) call->target + first * elements;
    ops->mse_forward (&context, output, &target, scale, loss, (PwWorkspace){ 0 }, NULL);
    ops->mse_input_gradient (&context, output, &target, scale, gradient, NULL);
  }
}

static gboolean
check_samples (int64_t samples, GError **error) {
  if (samples >= 1)
    return TRUE;
  g_set_error_literal (error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_VALUE,
                       "samples: must be at least 1");
  return FALSE;
}

static gboolean
check_targets (const PwPipeline *pipeline, const void *target, int64_t samples, GError **error) {
  if (!pipeline->is_cross_entropy)
    return TRUE;
  const PwShape *output = pw__pipeline_output (pipeline);
  int64_t classes = output->dims[output->n_dims - 1];
  int64_t rows = pw_shape_elements (output) / classes * samples;
  const int32_t *labels = target;
  for (int64_t i = 0; i < rows; i++)
    if (labels[i] < -1 || labels[i] >= classes) {
      g_set_error (error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_VALUE,
                   "target[%" G_GINT64_FORMAT "]: %d is not one of %" G_GINT64_FORMAT " classes", i,
                   labels[i], classes);
      return FALSE;
    }
  return TRUE;
}

gboolean
pw_pipeline_forward_backward (PwPipeline *pipeline, const void *input, int64_t samples,
                              const void *target, PwPipelineLossFunc loss_func, gpointer data,
                              double *loss, GError **error) {
  if (!check_samples (samples, error) ||
      (!loss_func && !check_targets (pipeline, target, samples, error)))
    return FALSE;
  int microbatches;
  g_autofree int64_t *cut = pw__pipeline_cut (pipeline, samples, &microbatches);
  PwPipelineLists *lists = pw__pipeline_lists (pipeline, microbatches, error);
  if (!lists)
    return FALSE;

  LossCall call = { pipeline, cut, samples, target, loss_func, data };
  PwExecBatch batch = { .samples = cut,
                        .inputs = input,
                        .loss_func = loss_func ? call_users_loss : call_builtin_loss,
                        .loss_data = &call };
  PwExecStep step;
  if (!pw_exec_run (pipeline->exec, lists->whole_program, &batch, &step, error))
    return FALSE;
  pipeline->iteration_s = step.iteration_s;
  pipeline->forward_samples = 0;
  if (loss)
    *loss = step.loss;
  return TRUE;
}

gboolean
pw_pipeline_forward (PwPipeline *pipeline, const void *input, int64_t samples, float *output,
                     GError **error) {
  if (!check_samples (samples, error))
    return FALSE;
  int microbatches;
  g_autofree int64_t *cut = pw__pipeline_cut (pipeline, samples, &microbatches);
  PwPipelineLists *lists = pw__pipeline_lists (pipeline, microbatches, error);
  if (!lists)
    return FALSE;
  PwExecBatch batch = { .samples = cut, .inputs = input, .outputs = output };
  PwExecStep step;
  if (!pw_exec_run (pipeline->exec, lists->forward_program, &batch, &step, error))
    return FALSE;
  pipeline->forward_samples = samples;
  return TRUE;
}

gboolean
pw_pipeline_backward (PwPipeline *pipeline, const float *output_gradient, GError **error) {
  if (pipeline->forward_samples == 0) {
    g_set_error_literal (error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_ORDER,
                         "backward needs a forward before it");
    return FALSE;
  }
  int microbatches;
  g_autofree int64_t *cut = pw__pipeline_cut (pipeline, pipeline->forward_samples, &microbatches);
  PwPipelineLists *lists = pw__pipeline_lists (pipeline, microbatches, error);
  if (!lists)
    return FALSE;
  pipeline->forward_samples = 0;
  PwExecBatch batch = { .samples = cut, .output_gradients = output_gradient };
  PwExecStep step;
  return pw_exec_run (pipeline->exec, lists->backward_program, &batch, &step, error);
}

gboolean
pw_pipeline_zero_grad (PwPipeline *pipeline, GError **error) {
  return pw_exec_zero_gradients (pipeline->exec, error);
}

gboolean
pw_optimizer_step (PwPipeline *pipeline, GError **error) {
  return pw_exec_update (pipeline->exec, error) && pw_exec_zero_gradients (pipeline->exec, error);
}

double
pw_pipeline_iteration_time_s (const PwPipeline *pipeline) {
  return pipeline->iteration_s;
}
