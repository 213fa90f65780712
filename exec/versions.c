/* Weight versions of an asynchronous schedule. A version's number is that of the updates before it
 * in the stage's list, never a matter of time. The newest values stay in the stage's parameters,
 * where the optimiser works on them; what a micro-batch under way still needs is copied away before
 * the update:
 *
 *   pipedream, 2 micro-batches under way     F0 F1 B0 U  F2 B1 U  F3 B2 U
 *   newest                                    0  0  0 1   1  1 2   2  2 3
 *   kept                                               0   0  0 1   1  1 2       */
#include "exec/exec_private.h"

static PwVersion *
get (const PwExecStage *stage, guint i) {
  return &g_array_index (stage->versions, PwVersion, i);
}

static PwVersion *
find (const PwExecStage *stage, int64_t number) {
  for (guint i = 0; i < stage->versions->len; i++)
    if (get (stage, i)->number == number)
      return get (stage, i);
  return NULL;
}

static void
free_values (PwWorker *worker, PwExecStage *stage, PwVersion *version) {
  const PwGraph *graph = worker->exec->resolved->graph;
  version->number = -1;
  for (int i = 0; i < stage->n_layers; i++)
    for (int p = 0; p < graph->layers[stage->first_layer + i].info.n_parameters; p++) {
      const PwParameter *parameter = &stage->parameters[i][p];
      if (!parameter->is_borrowed && version->values[i][p])
        pw__memory_give (worker->memory, PW_MEMORY_VERSIONS, version->values[i][p],
                         pw_tensor_bytes (&parameter->value));
      version->values[i][p] = NULL;
    }
}

void
pw__versions_begin (PwWorker *worker, PwExecStage *stage) {
  for (guint i = 0; i < stage->versions->len; i++)
    if (get (stage, i)->number >= 0)
      free_values (worker, stage, get (stage, i));
  stage->newest = 0;
  stage->n_newest_users = 0;
}

void
pw__versions_use (PwExecStage *stage, const PwStep *step, PwVersionRule rule) {
  int64_t number = stage->newest;
  if (rule == PW_VERSIONS_PREVIOUS)
    number = MAX (0, stage->newest + step->updates_ahead - 1);
  step->microbatch->version = number;
  if (number == stage->newest) {
    stage->n_newest_users++;
    return;
  }
  PwVersion *version = find (stage, number);
  g_assert (version);
  version->n_users++;
}

const PwVersion *
pw__versions_find (const PwExecStage *stage, const PwMicrobatch *microbatch) {
  return microbatch->version == stage->newest ? NULL : find (stage, microbatch->version);
}

/* 2BW forwards with the one before the newest until the next update. */
static gboolean
is_needed (const PwExecStage *stage, const PwVersion *version, PwVersionRule rule) {
  return version->n_users > 0
         || (rule == PW_VERSIONS_PREVIOUS && version->number == stage->newest - 1);
}

void
pw__versions_drop (PwWorker *worker, PwExecStage *stage, const PwMicrobatch *microbatch,
                   PwVersionRule rule) {
  if (microbatch->version == stage->newest) {
    stage->n_newest_users--;
    return;
  }
  PwVersion *version = find (stage, microbatch->version);
  version->n_users--;
  if (!is_needed (stage, version, rule))
    free_values (worker, stage, version);
}

static PwVersion *
free_place (PwExecStage *stage) {
  PwVersion *version = find (stage, -1);
  if (version)
    return version;
  PwVersion fresh = { .number = -1 };
  fresh.values = g_malloc0_n ((gsize)stage->n_layers, sizeof *fresh.values);
  g_array_append_val (stage->versions, fresh);
  return get (stage, stage->versions->len - 1);
}

static gboolean
copy_value (PwWorker *worker, const PwTensor *value, void **to, GError **error) {
  int64_t bytes = pw_tensor_bytes (value);
  *to = pw__buffer_take (worker, PW_MEMORY_VERSIONS, bytes, error);
  return *to
         && worker->context.backend->copy (worker->context.stream, *to, value->data, (gsize)bytes,
                                           error);
}

/* A layer that shares a parameter does so with one of the same stage: program.c. */
static gboolean
copy_layer (PwWorker *worker, const PwExecStage *stage, int i, PwVersion *version, GError **error) {
  const PwLayer *layer = &worker->exec->resolved->graph->layers[stage->first_layer + i];
  for (int p = 0; p < layer->info.n_parameters; p++) {
    const PwParameter *parameter = &stage->parameters[i][p];
    if (parameter->is_borrowed)
      version->values[i][p] = version->values[layer->shares_with - stage->first_layer][p];
    else if (!copy_value (worker, &parameter->value, &version->values[i][p], error))
      return FALSE;
  }
  return TRUE;
}

gboolean
pw__versions_keep (PwWorker *worker, PwExecStage *stage, PwVersionRule rule, GError **error) {
  int64_t number = stage->newest++;
  for (guint i = 0; i < stage->versions->len; i++)
    if (get (stage, i)->number >= 0 && !is_needed (stage, get (stage, i), rule))
      free_values (worker, stage, get (stage, i));
  int n_users = stage->n_newest_users;
  stage->n_newest_users = 0;
  if (n_users == 0 && rule != PW_VERSIONS_PREVIOUS)
    return TRUE;
  PwVersion *version = free_place (stage);
  version->number = number;
  version->n_users = n_users;
  for (int i = 0; i < stage->n_layers; i++)
    if (!copy_layer (worker, stage, i, version, error))
      return FALSE;
  return TRUE;
}
