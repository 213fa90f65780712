/* Parameters, their gradients and optimiser states: on the rank of their stage, one accumulator for
 * every use of a parameter. */
#include <string.h>

#include "exec/half.h"
#include "exec/processes_private.h"

static const PwLayer *
layer_of (const PwExec *exec, int layer) {
  return &exec->resolved->graph->layers[layer];
}

PwExecStage *
pw__exec_stage_of_layer (PwExec *exec, int direction, int layer) {
  PwExecStage *stage = &exec->stages[direction * exec->n_stages];
  while (layer >= stage->first_layer + stage->n_layers)
    stage++;
  return stage;
}

static PwParameter *
parameter_of (PwExec *exec, int direction, int layer, int index) {
  PwExecStage *stage = pw__exec_stage_of_layer (exec, direction, layer);
  return &stage->parameters[layer - stage->first_layer][index];
}

static gboolean
check_sharer (PwExec *exec, int direction, int owner, int user, GError **error) {
  int a = pw__exec_stage_of_layer (exec, direction, owner)->rank;
  int b = pw__exec_stage_of_layer (exec, direction, user)->rank;
  if (a == b)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
               "layers %s and %s share a parameter but are on ranks %d and %d: the executor does "
               "not exchange the gradients of shared parameters between ranks",
               layer_of (exec, owner)->name, layer_of (exec, user)->name, a, b);
  return FALSE;
}

gboolean
pw__check_shared (PwExec *exec, GError **error) {
  for (int i = 0; i < exec->resolved->graph->n_layers; i++) {
    int owner = layer_of (exec, i)->shares_with;
    exec->has_shared |= owner >= 0;
    for (int direction = 0; owner >= 0 && direction < exec->placement->directions; direction++)
      if (!check_sharer (exec, direction, owner, i, error))
        return FALSE;
  }
  return TRUE;
}

/* ---- Allocation ---- */

static gboolean
allocate_tensor (PwWorker *worker, PwMemoryCategory category, const PwShape *shape,
                 gboolean is_zeroed, PwTensor *tensor, GError **error) {
  *tensor = pw__tensor (shape, 0, NULL);
  gsize bytes = (gsize)pw_tensor_bytes (tensor);
  tensor->data = pw__buffer_take (worker, category, (int64_t)bytes, error);
  if (!tensor->data)
    return FALSE;
  return !is_zeroed
         || worker->context.backend->zero (worker->context.stream, tensor->data, bytes, error);
}

/* FROM, on the host, is rounded to the parameter's type; the master keeps it as it is. */
static gboolean
set_value (PwWorker *worker, PwDtype element, const PwParameter *parameter, const float *from,
           GError **error) {
  const PwBackend *backend = worker->context.backend;
  const PwTensor *value = &parameter->value, *master = &parameter->master;
  gsize bytes = (gsize)pw_tensor_bytes (value);
  if (element == PW_DTYPE_F32)
    return backend->copy_from_host (worker->context.stream, value->data, from, bytes, error);
  g_autofree void *rounded = g_malloc (bytes);
  pw__floats_to (element, from, pw_tensor_elements (value), rounded);
  return backend->copy_from_host (worker->context.stream, value->data, rounded, bytes, error)
         && (!master->data
             || backend->copy_from_host (worker->context.stream, master->data, from,
                                         (gsize)pw_tensor_bytes (master), error));
}

static gboolean
get_value (PwWorker *worker, PwDtype element, const PwParameter *parameter, float *to,
           GError **error) {
  const PwBackend *backend = worker->context.backend;
  gboolean is_exact = element == PW_DTYPE_F32 || parameter->master.data;
  const PwTensor *from = parameter->master.data ? &parameter->master : &parameter->value;
  gsize bytes = (gsize)pw_tensor_bytes (from);
  if (is_exact)
    return backend->copy_to_host (worker->context.stream, to, from->data, bytes, error);
  g_autofree void *halves = g_malloc (bytes);
  if (!backend->copy_to_host (worker->context.stream, halves, from->data, bytes, error)
      || !backend->stream_synchronize (worker->context.stream, error))
    return FALSE;
  pw__floats_from (element, halves, pw_tensor_elements (from), to);
  return TRUE;
}

static gboolean
fill_initial (PwWorker *worker, const PwLayer *layer, int p, const PwParameter *to,
              GError **error) {
  const PwExec *exec = worker->exec;
  const PwLayerParameter *parameter = &layer->info.parameters[p];
  int64_t n = pw_tensor_elements (&to->value);
  g_autofree char *name = g_strdup_printf ("%s.%s", layer->name, parameter->name);
  if (exec->is_host_memory && parameter->shape.dtype == PW_DTYPE_F32) {
    pw__initial_fill (exec->resolved->seed, name, parameter->init, parameter->scale, n,
                      to->value.data);
    return TRUE;
  }
  g_autofree float *values = g_new (float, (gsize)n);
  pw__initial_fill (exec->resolved->seed, name, parameter->init, parameter->scale, n, values);
  return set_value (worker, parameter->shape.dtype, to, values, error);
}

static gboolean
allocate_value (PwWorker *worker, const PwLayer *layer, int p, PwParameter *parameter,
                GError **error) {
  const PwShape *shape = &layer->info.parameters[p].shape;
  PwShape fp32 = *shape;
  fp32.dtype = PW_DTYPE_F32;
  if (!allocate_tensor (worker, PW_MEMORY_PARAMETERS, shape, FALSE, &parameter->value, error))
    return FALSE;
  if (worker->exec->is_training && shape->dtype != PW_DTYPE_F32
      && !allocate_tensor (worker, PW_MEMORY_OPTIMIZER, &fp32, FALSE, &parameter->master, error))
    return FALSE;
  return fill_initial (worker, layer, p, parameter, error);
}

static void
borrow (PwParameter *parameter, const PwParameter *owner) {
  parameter->is_borrowed = TRUE;
  parameter->value = owner->value;
  parameter->master = owner->master;
}

static gboolean
allocate_parameter (PwWorker *worker, PwExecStage *stage, int i, int p, GError **error) {
  PwExec *exec = worker->exec;
  const PwLayer *layer = layer_of (exec, stage->first_layer + i);
  PwParameter *parameter = &stage->parameters[i][p];
  PwShape fp32 = layer->info.parameters[p].shape;
  fp32.dtype = PW_DTYPE_F32;
  if (p == 0 && layer->shares_with >= 0)
    borrow (parameter, parameter_of (exec, stage->direction, layer->shares_with, 0));
  else if (stage->direction == 1 && pw__stage_is_folded (stage))
    borrow (parameter, &stage->replica->parameters[i][p]);
  else if (!allocate_value (worker, layer, p, parameter, error))
    return FALSE;
  if (!exec->is_training)
    return TRUE;
  if (!allocate_tensor (worker, PW_MEMORY_GRADIENTS, &fp32, TRUE, &parameter->gradient, error))
    return FALSE;
  int n_states = parameter->is_borrowed ? 0 : pw__optimizer_slots (&exec->resolved->optimizer);
  for (int s = 0; s < n_states; s++)
    if (!allocate_tensor (worker, PW_MEMORY_OPTIMIZER, &fp32, TRUE, &parameter->state[s], error))
      return FALSE;
  return TRUE;
}

gboolean
pw__stage_allocate (PwWorker *worker, PwExecStage *stage, GError **error) {
  stage->parameters = g_malloc0_n ((gsize)stage->n_layers, sizeof *stage->parameters);
  for (int i = 0; i < stage->n_layers; i++)
    for (int p = 0; p < layer_of (worker->exec, stage->first_layer + i)->info.n_parameters; p++)
      if (!allocate_parameter (worker, stage, i, p, error))
        return FALSE;
  return TRUE;
}

/* ---- Gradients ---- */

gboolean
pw__sum_shared (PwWorker *worker, PwExecStage *stage, int i, int p, GError **error) {
  PwExec *exec = worker->exec;
  PwTensor *sum = &stage->parameters[i][p].gradient;
  int owner = stage->first_layer + i;
  for (int l = owner + 1; exec->has_shared && p == 0 && l < exec->resolved->graph->n_layers; l++)
    if (layer_of (exec, l)->shares_with == owner
        && !exec->backend->ops.add (&worker->context, sum,
                                    &parameter_of (exec, stage->direction, l, 0)->gradient, sum,
                                    error))
      return FALSE;
  return TRUE;
}

static gboolean
zero (PwWorker *worker, PwTensor *tensor, GError **error) {
  return worker->context.backend->zero (worker->context.stream, tensor->data,
                                        (gsize)pw_tensor_bytes (tensor), error);
}

static gboolean
zero_uses (PwWorker *worker, PwExecStage *stage, int i, int p, GError **error) {
  PwExec *exec = worker->exec;
  int owner = stage->first_layer + i;
  for (int l = owner + 1; exec->has_shared && p == 0 && l < exec->resolved->graph->n_layers; l++)
    if (layer_of (exec, l)->shares_with == owner
        && !zero (worker, &parameter_of (exec, stage->direction, l, 0)->gradient, error))
      return FALSE;
  return zero (worker, &stage->parameters[i][p].gradient, error);
}

gboolean
pw__zero_gradient (PwWorker *worker, PwExecStage *stage, int i, int p, GError **error) {
  return zero_uses (worker, stage, i, p, error)
         && (!pw__stage_is_folded (stage) || zero_uses (worker, stage->replica, i, p, error));
}

static gboolean
for_own_stages (PwWorker *worker, gboolean (*func) (PwWorker *, PwExecStage *, GError **),
                GError **error) {
  PwExec *exec = worker->exec;
  for (int s = 0; s < exec->n_places; s++)
    if (exec->stages[s].rank == worker->rank && !func (worker, &exec->stages[s], error))
      return FALSE;
  return TRUE;
}

static gboolean
zero_stage (PwWorker *worker, PwExecStage *stage, GError **error) {
  for (int i = 0; i < stage->n_layers; i++)
    for (int p = 0; p < layer_of (worker->exec, stage->first_layer + i)->info.n_parameters; p++)
      if (!zero (worker, &stage->parameters[i][p].gradient, error))
        return FALSE;
  return TRUE;
}

static gboolean
zero_task (PwWorker *worker, gpointer data, GError **error) {
  (void)data;
  return for_own_stages (worker, zero_stage, error);
}

static gboolean
update_task (PwWorker *worker, gpointer data, GError **error) {
  (void)data;
  return pw__reduce_all (worker, error) && for_own_stages (worker, pw__stage_update, error);
}

static gboolean
check_training (const PwExec *exec, GError **error) {
  if (exec->is_training)
    return TRUE;
  g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                       "this executor was made for inference: it has no gradients");
  return FALSE;
}

gboolean
pw_exec_zero_gradients (PwExec *exec, GError **error) {
  return check_training (exec, error) && pw__exec_on_all (exec, zero_task, NULL, error);
}

gboolean
pw_exec_update (PwExec *exec, GError **error) {
  return check_training (exec, error) && pw__exec_on_all_together (exec, update_task, NULL, error);
}

/* ---- Host copies ---- */

typedef enum { GET_PARAMETER, SET_PARAMETER, GET_GRADIENT, GET_STATE, SET_STATE } Access;
typedef struct {
  Access access;
  int direction, layer, index;
  int slot;            /* of the optimiser's state */
  gboolean first_only; /* of several processes the first gets it, not all */
  float *to;
  const float *from;
} Copy;

/* A shared parameter's gradient is the sum over its uses, in layer order. */
static gboolean
get_gradient (PwWorker *worker, const Copy *copy, GError **error) {
  PwExec *exec = worker->exec;
  int shares = copy->index == 0 ? layer_of (exec, copy->layer)->shares_with : -1;
  int owner = shares >= 0 ? shares : copy->layer;
  PwTensor sum = parameter_of (exec, copy->direction, owner, copy->index)->gradient;
  int64_t bytes = pw_tensor_bytes (&sum);
  PwTensor work = sum;
  work.data = pw__buffer_take (worker, PW_MEMORY_WORKSPACE, bytes, error);
  if (!work.data)
    return FALSE;
  gboolean good
      = exec->backend->copy (worker->context.stream, work.data, sum.data, (gsize)bytes, error);
  for (int l = owner + 1; good && copy->index == 0 && l < exec->resolved->graph->n_layers; l++)
    if (layer_of (exec, l)->shares_with == owner)
      good = exec->backend->ops.add (&worker->context, &work,
                                     &parameter_of (exec, copy->direction, l, 0)->gradient, &work,
                                     error);
  good = good
         && exec->backend->copy_to_host (worker->context.stream, copy->to, work.data, (gsize)bytes,
                                         error)
         && exec->backend->stream_synchronize (worker->context.stream, error);
  pw__memory_give (worker->memory, PW_MEMORY_WORKSPACE, work.data, bytes);
  return good;
}

static gboolean
copy_task (PwWorker *worker, gpointer data, GError **error) {
  const Copy *copy = data;
  const PwBackend *backend = worker->context.backend;
  PwParameter *parameter = parameter_of (worker->exec, copy->direction, copy->layer, copy->index);
  PwDtype element = layer_of (worker->exec, copy->layer)->info.parameters[copy->index].shape.dtype;
  const PwTensor *state = &parameter->state[copy->slot];
  gsize bytes = (gsize)pw_tensor_bytes (state);
  gboolean good = FALSE;
  switch (copy->access) {
  case GET_PARAMETER:
    good = get_value (worker, element, parameter, copy->to, error);
    break;
  case SET_PARAMETER:
    good = set_value (worker, element, parameter, copy->from, error);
    break;
  case GET_STATE:
    good = backend->copy_to_host (worker->context.stream, copy->to, state->data, bytes, error);
    break;
  case SET_STATE:
    good = backend->copy_from_host (worker->context.stream, state->data, copy->from, bytes, error);
    break;
  case GET_GRADIENT:
    good = get_gradient (worker, copy, error);
    break;
  }
  return good && backend->stream_synchronize (worker->context.stream, error);
}

static gboolean
do_copy (PwExec *exec, Copy copy, GError **error) {
  g_assert (copy.layer >= 0 && copy.layer < exec->resolved->graph->n_layers);
  g_assert (copy.index >= 0 && copy.index < layer_of (exec, copy.layer)->info.n_parameters);
  const PwShape *shape = &layer_of (exec, copy.layer)->info.parameters[copy.index].shape;
  gsize bytes = (gsize)pw_shape_elements (shape) * sizeof (float);
  int rank = pw__exec_stage_of_layer (exec, copy.direction, copy.layer)->rank;
  return pw__exec_on (exec, rank, copy_task, &copy, error)
         && (!copy.to
             || pw__processes_hand_out (exec, rank, !copy.first_only, copy.to, bytes, error));
}

/* In each replica that has values of its own. */
static gboolean
do_set (PwExec *exec, Copy copy, GError **error) {
  for (; copy.direction < exec->placement->directions; copy.direction++) {
    const PwExecStage *stage = pw__exec_stage_of_layer (exec, copy.direction, copy.layer);
    if (!(copy.direction == 1 && pw__stage_is_folded (stage)) && !do_copy (exec, copy, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
pw_exec_get_parameter (PwExec *exec, int layer, int index, float *to, GError **error) {
  return pw_exec_get_replica (exec, 0, layer, index, to, error);
}

gboolean
pw_exec_get_replica (PwExec *exec, int direction, int layer, int index, float *to, GError **error) {
  g_assert (direction >= 0 && direction < exec->placement->directions);
  Copy copy = {
    .access = GET_PARAMETER, .direction = direction, .layer = layer, .index = index, .to = to
  };
  return do_copy (exec, copy, error);
}

gboolean
pw__exec_get_first (PwExec *exec, int layer, int index, float *to, GError **error) {
  Copy copy
      = { .access = GET_PARAMETER, .layer = layer, .index = index, .first_only = TRUE, .to = to };
  return do_copy (exec, copy, error);
}

gboolean
pw_exec_set_parameter (PwExec *exec, int layer, int index, const float *from, GError **error) {
  return do_set (
      exec, (Copy){ .access = SET_PARAMETER, .layer = layer, .index = index, .from = from }, error);
}

gboolean
pw_exec_get_gradient (PwExec *exec, int layer, int index, float *to, GError **error) {
  Copy copy = { .access = GET_GRADIENT, .layer = layer, .index = index, .to = to };
  if (!check_training (exec, error) || !do_copy (exec, copy, error))
    return FALSE;
  if (exec->placement->directions == 1)
    return TRUE;
  int64_t n = pw_shape_elements (&layer_of (exec, layer)->info.parameters[index].shape);
  g_autofree float *more = g_new (float, (gsize)n);
  copy.direction = 1;
  copy.to = more;
  if (!do_copy (exec, copy, error))
    return FALSE;
  for (int64_t i = 0; i < n; i++)
    to[i] += more[i];
  return TRUE;
}

gboolean
pw__exec_get_state (PwExec *exec, int layer, int index, int slot, float *to, GError **error) {
  Copy copy = {
    .access = GET_STATE, .layer = layer, .index = index, .slot = slot, .first_only = TRUE, .to = to
  };
  return do_copy (exec, copy, error);
}

gboolean
pw__exec_set_state (PwExec *exec, int layer, int index, int slot, const float *from,
                    GError **error) {
  return do_set (
      exec,
      (Copy){ .access = SET_STATE, .layer = layer, .index = index, .slot = slot, .from = from },
      error);
}

/* Only process 0 has seen all values. */
char *
pw_exec_parameters_sha256 (PwExec *exec, GError **error) {
  const PwGraph *graph = exec->resolved->graph;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  for (int l = 0; l < graph->n_layers; l++)
    for (int p = 0; p < graph->layers[l].info.n_parameters; p++) {
      if (p == 0 && graph->layers[l].shares_with >= 0)
        continue;
      int64_t n = pw_shape_elements (&graph->layers[l].info.parameters[p].shape);
      g_autofree float *values = g_new0 (float, (gsize)n);
      if (!pw__exec_get_first (exec, l, p, values, error))
        return NULL;
      g_checksum_update (checksum, (const guchar *)values, (gssize)(n * (int64_t)sizeof (float)));
    }
  g_autofree char *text = g_strdup (g_checksum_get_string (checksum));
  return pw__processes_hand_out (exec, 0, TRUE, text, strlen (text), error)
             ? g_steal_pointer (&text)
             : NULL;
}
