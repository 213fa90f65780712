/* The loss of a mini-batch. A gradient is of the mean over what is summed into one update: the
 * whole mini-batch, or the micro-batches between two updates of an asynchronous schedule. Losses
 * are reported as the mean over the mini-batch in both cases. */
#include "exec/exec_private.h"

void
pw__minibatch_init (PwMiniBatch *minibatch, const PwExecProgram *program) {
  minibatch->step = -1;
  minibatch->loss_scales = g_new0 (double, (gsize)program->n_groups);
  minibatch->shares = g_new0 (double, (gsize)program->n_groups);
}

void
pw__minibatch_clear (PwMiniBatch *minibatch) {
  g_free (minibatch->loss_scales);
  g_free (minibatch->shares);
  g_free (minibatch->losses);
  g_free (minibatch->inputs);
  g_free (minibatch->targets);
}

/* The tokens that count, or all elements. */
static int64_t
count_targets (const PwShape *shape, const void *targets, int64_t first, int64_t end) {
  int64_t n = pw_shape_elements (shape);
  if (shape->dtype != PW_DTYPE_I32)
    return (end - first) * n;
  const int32_t *tokens = targets;
  int64_t counted = 0;
  for (int64_t i = first * n; i < end * n; i++)
    counted += tokens[i] != -1;
  return counted;
}

static void
scale_by_targets (PwMiniBatch *minibatch, const PwExec *exec) {
  const PwRun *run = &exec->run;
  const PwExecProgram *program = run->program;
  g_autofree int64_t *counted = g_new0 (int64_t, (gsize)program->n_groups);
  int64_t total = 0;
  for (int m = 0; m < program->per_minibatch; m++) {
    int64_t n = count_targets (&exec->resolved->graph->target, minibatch->batch->targets,
                               run->first_sample[m], run->first_sample[m + 1]);
    counted[program->group[m]] += n;
    total += n;
  }
  for (int g = 0; g < program->n_groups; g++) {
    minibatch->loss_scales[g] = counted[g] > 0 ? 1.0 / (double)counted[g] : 0;
    minibatch->shares[g] = total > 0 ? (double)counted[g] / (double)total : 0;
  }
}

void
pw__minibatch_scale (PwMiniBatch *minibatch, const PwExec *exec) {
  const PwExecBatch *batch = minibatch->batch;
  if (batch->loss_scale == 0 && batch->targets) {
    scale_by_targets (minibatch, exec);
    return;
  }
  for (int g = 0; g < exec->run.program->n_groups; g++) {
    minibatch->loss_scales[g] = batch->loss_scale;
    minibatch->shares[g] = 1;
  }
}

double
pw__minibatch_loss (const PwMiniBatch *minibatch, const PwExecProgram *program,
                    const double *losses) {
  double sum = 0;
  for (int g = 0; g < program->n_groups; g++) {
    double of_group = 0;
    for (int m = 0; m < program->per_minibatch; m++)
      of_group += program->group[m] == g ? losses[m] : 0;
    sum += of_group * minibatch->shares[g];
  }
  return sum;
}
