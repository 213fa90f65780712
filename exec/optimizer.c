/* U: one optimiser step of a stage, then its gradients are zero again. */
#include "exec/exec_private.h"

int
pw__optimizer_slots (const PwOptimizerPlan *plan) {
  if (plan->kind == PW_OPTIMIZER_SGD)
    return plan->momentum != 0 ? 1 : 0;
  return 2;
}

static gboolean
step_parameter (PwWorker *worker, PwParameter *parameter, const PwOptimizerPlan *plan,
                const PwOptimizerStep *step, GError **error) {
  const PwOps *ops = &worker->context.backend->ops;
  PwTensor *master = parameter->master.data ? &parameter->master : NULL;
  switch (plan->kind) {
  case PW_OPTIMIZER_SGD:
    return ops->sgd (&worker->context, &parameter->value, master, &parameter->gradient,
                     parameter->state[0].data ? &parameter->state[0] : NULL, step, error);
  case PW_OPTIMIZER_ADAM:
    return ops->adam (&worker->context, &parameter->value, master, &parameter->gradient,
                      &parameter->state[0], &parameter->state[1], step, error);
  case PW_OPTIMIZER_ADAMW:
    return ops->adamw (&worker->context, &parameter->value, master, &parameter->gradient,
                       &parameter->state[0], &parameter->state[1], step, error);
  }
  g_assert_not_reached ();
}

static gboolean
update_layer (PwWorker *worker, PwExecStage *stage, int i, const PwOptimizerStep *step,
              GError **error) {
  const PwExec *exec = worker->exec;
  const PwLayer *layer = &exec->resolved->graph->layers[stage->first_layer + i];
  worker->context.layer = stage->first_layer + i;
  for (int p = 0; p < layer->info.n_parameters; p++) {
    PwParameter *parameter = &stage->parameters[i][p];
    if (parameter->is_borrowed)
      continue; /* its owner's update has used and cleared the gradient */
    g_autoptr (GError) op = NULL;
    if (!pw__sum_shared (worker, stage, i, p, &op)
        || !step_parameter (worker, parameter, &exec->resolved->optimizer, step, &op)
        || !pw__zero_gradient (worker, stage, i, p, &op)) {
      g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_KERNEL,
                   "rank %d, layer %s, update of %s: %s", worker->rank, layer->name,
                   layer->info.parameters[p].name, op->message);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
pw__stage_update (PwWorker *worker, PwExecStage *stage, GError **error) {
  const PwOptimizerPlan *plan = &worker->exec->resolved->optimizer;
  stage->optimizer_step = (PwOptimizerStep){ .learning_rate = plan->learning_rate,
                                             .momentum = plan->momentum,
                                             .beta1 = plan->beta1,
                                             .beta2 = plan->beta2,
                                             .epsilon = plan->epsilon,
                                             .weight_decay = plan->weight_decay,
                                             .step = stage->n_updates + 1 };
  const PwLayerTimer *timer = worker->timer;
  stage->n_updates++;
  if (stage->direction == 1 && pw__stage_is_folded (stage))
    return TRUE; /* as of direction 0, whose values it uses */
  for (int i = 0; i < stage->n_layers; i++) {
    double before = timer ? pw__now_s () : 0;
    uint64_t mark;
    gboolean is_marked = timer && worker->marks;
    if ((is_marked && !pw__mark_begin (worker, PW_MARK_LAYER_UPDATE, &mark, error))
        || !update_layer (worker, stage, i, &stage->optimizer_step, error)
        || (is_marked
            && !pw__mark_end_layer (worker, mark, stage->first_layer + i, PW_PHASE_WEIGHT, error)))
      return FALSE;
    if (timer && !is_marked)
      timer->add_update (timer->data, stage->first_layer + i, pw__now_s () - before);
  }
  return TRUE;
}
