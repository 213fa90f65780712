/* A pipeline's parameters, and what the simulator predicts for it. */
#include "exec/checkpoint.h"
#include "exec/profile.h"
#include "pipewright/pipeline_private.h"
#include "pipewright/simulate.h"

/* Reads or writes one tensor of the executor. */
typedef gboolean (*Access) (PwExec *exec, int layer, int index, float *values, GError **error);

static gboolean
set_parameter (PwExec *exec, int layer, int index, float *values, GError **error) {
  return pw_exec_set_parameter (exec, layer, index, values, error);
}

/* All tensors in layer order, one after another in VALUES. */
static gboolean
for_each_tensor (PwPipeline *pipeline, Access access, float *values, GError **error) {
  const PwGraph *graph = pipeline->resolved->graph;
  for (int layer = 0; layer < graph->n_layers; layer++) {
    const PwLayerInfo *info = &graph->layers[layer].info;
    for (int i = 0; i < info->n_parameters; i++) {
      if (!access (pipeline->exec, layer, i, values, error))
        return FALSE;
      values += pw_shape_elements (&info->parameters[i].shape);
    }
  }
  return TRUE;
}

gboolean
pw_pipeline_get_parameters (PwPipeline *pipeline, float *parameters, GError **error) {
  return for_each_tensor (pipeline, pw_exec_get_parameter, parameters, error);
}

gboolean
pw_pipeline_set_parameters (PwPipeline *pipeline, const float *parameters, GError **error) {
  return for_each_tensor (pipeline, set_parameter, (float *) parameters, error);
}

gboolean
pw_pipeline_get_gradients (PwPipeline *pipeline, float *gradients, GError **error) {
  return for_each_tensor (pipeline, pw_exec_get_gradient, gradients, error);
}

char *
pw_pipeline_parameters_sha256 (PwPipeline *pipeline, GError **error) {
  return pw_exec_parameters_sha256 (pipeline->exec, error);
}

gboolean
pw_pipeline_state_save (PwPipeline *pipeline, const char *path, GError **error) {
  return pw_checkpoint_save (pipeline->exec, path, error);
}

gboolean
pw_pipeline_state_load (PwPipeline *pipeline, const char *path, GError **error) {
  return pw_checkpoint_load (pipeline->exec, path, error);
}

gboolean
pw_pipeline_predict (PwPipeline *pipeline, int64_t samples, double seconds,
                     PwPipelinePrediction *prediction, GError **error) {
  int microbatches;
  g_autofree int64_t *cut = pw__pipeline_cut (pipeline, MAX (samples, 1), &microbatches);
  if (!pipeline->costs) {
    PwProfileOptions options = { .ranks = pipeline->plan->ranks,
                                 .samples = cut,
                                 .n_samples = 1,
                                 .optimizer_kind = pipeline->plan->optimizer.kind,
                                 .seconds = seconds > 0 ? seconds : 1 };
    pipeline->costs = pw_profile_run (pipeline->resolved->graph, &options, error);
    if (!pipeline->costs)
      return FALSE;
  }
  PwPlan plan = *pipeline->plan; /* borrows all but the numbers */
  plan.batch = MAX (samples, 1);
  plan.params.microbatches = microbatches;
  PwResolveOptions resolve = { .mode = PW_MODE_TRAINING,
                               .updates = TRUE,
                               .layer_costs = pipeline->costs };
  PwResolvedPlan *resolved = pw_plan_resolve (&plan, &resolve, error);
  if (!resolved)
    return FALSE;
  g_autoptr (PwSimulation) simulation = pw_simulate_resolved (resolved, 1, error);
  if (!simulation)
    return FALSE;
  *prediction = (PwPipelinePrediction){
    .iteration_time_s = simulation->result->iteration_time,
    .bubble_fraction = simulation->result->bubble_fraction,
    .peak_memory_bytes = simulation->result->peak_memory_bytes,
  };
  return TRUE;
}
