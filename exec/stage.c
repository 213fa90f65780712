/* A stage at rest: its layers' runners, the ends of its edges, its micro-batches. */
#include "exec/exec_private.h"

static gboolean
find_runners (PwExecStage *stage, const PwGraph *graph, GError **error) {
  stage->runners = g_new0 (const PwLayerRunner *, (gsize)stage->n_layers);
  for (int i = 0; i < stage->n_layers; i++) {
    const PwLayer *layer = &graph->layers[stage->first_layer + i];
    stage->runners[i] = pw_layer_runner_get (layer->type->name);
    if (!stage->runners[i]) {
      g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                   "layer %s: the executor cannot run layers of type %s", layer->name,
                   layer->type->name);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
pw__stage_init (PwExecStage *stage, PwExec *exec, int place, GError **error) {
  const PwGraph *graph = exec->resolved->graph;
  const int *bounds = exec->resolved->partition->bounds;
  const PwLayer *last = &graph->layers[graph->n_layers - 1];
  int number = place % exec->n_stages;
  stage->number = number;
  stage->direction = place / exec->n_stages;
  stage->rank = pw_placement_rank (exec->placement, stage->direction, number);
  if (exec->n_places > exec->n_stages)
    stage->replica = &exec->stages[(place + exec->n_stages) % exec->n_places];
  stage->first_layer = bounds[number];
  stage->n_layers = bounds[number + 1] - bounds[number];
  stage->microbatches = g_ptr_array_new ();
  stage->versions = g_array_new (FALSE, FALSE, sizeof (PwVersion));
  stage->sized_calls = g_array_new (FALSE, FALSE, sizeof (PwSizedCalls));
  if (!find_runners (stage, graph, error))
    return FALSE;
  pw__walk_init (&stage->walks[PW_WALK_TRAINING], stage, exec, PW_LIFETIMES_TRAINING);
  pw__walk_init (&stage->walks[PW_WALK_FIRST], stage, exec, PW_LIFETIMES_FIRST);
  pw__walk_init (&stage->walks[PW_WALK_PLAIN], stage, exec, PW_LIFETIMES_INFERENCE);
  stage->caller_gradient = last->info.is_loss
                               ? -1
                               : pw_lifetimes_find (stage->walks[PW_WALK_TRAINING].lifetimes,
                                                    PW_BUFFER_GRADIENT, graph->n_layers - 1, 0);
  if (stage->first_layer + stage->n_layers < graph->n_layers)
    stage->caller_gradient = -1;
  return TRUE;
}

static PwEdgeEnd
edge_end (const PwExecStage *stage, PwExec *exec, int edge, int peer) {
  int tensor = exec->resolved->edges->edges[edge].tensor;
  PwEdgeEnd end = { .edge = edge, .peer = &exec->stages[stage->direction * exec->n_stages + peer] };
  end.is_local = end.peer->rank == stage->rank;
  for (int w = 0; w < PW_WALK_N; w++)
    end.output[w] = pw_lifetimes_find (stage->walks[w].lifetimes, PW_BUFFER_OUTPUT, tensor, 0);
  end.gradient
      = pw_lifetimes_find (stage->walks[PW_WALK_TRAINING].lifetimes, PW_BUFFER_GRADIENT, tensor, 0);
  return end;
}

static gboolean
check_end (const PwExecStage *stage, const PwExec *exec, const PwEdgeEnd *end, GError **error) {
  if (end->output[PW_WALK_TRAINING] >= 0 && end->output[PW_WALK_PLAIN] >= 0)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
               "edge %d: stage %d has no buffer for the output of layer %s", end->edge,
               stage->number,
               exec->resolved->graph->layers[exec->resolved->edges->edges[end->edge].tensor].name);
  return FALSE;
}

static void
connect_in (PwExecStage *stage, PwExec *exec) {
  const PwStageEdges *edges = exec->resolved->edges;
  int start = edges->in_start[stage->number];
  stage->n_in = edges->in_start[stage->number + 1] - start;
  stage->in = g_new0 (PwEdgeEnd, (gsize)stage->n_in + 1);
  for (int i = 0; i < stage->n_in; i++) {
    int edge = edges->in_edges[start + i];
    stage->in[i] = edge_end (stage, exec, edge, edges->edges[edge].producer);
    if (stage->in[i].gradient >= 0)
      stage->walks[PW_WALK_TRAINING].n_edges[stage->in[i].gradient]++;
  }
}

static int
compare_consumers (gconstpointer a, gconstpointer b) {
  return ((const PwEdgeEnd *)b)->peer->number - ((const PwEdgeEnd *)a)->peer->number;
}

static void
connect_out (PwExecStage *stage, PwExec *exec) {
  const PwStageEdges *edges = exec->resolved->edges;
  int start = edges->out_start[stage->number];
  stage->n_out = edges->out_start[stage->number + 1] - start;
  stage->out = g_new0 (PwEdgeEnd, (gsize)stage->n_out + 1);
  for (int i = 0; i < stage->n_out; i++) {
    int edge = edges->out_edges[start + i];
    stage->out[i] = edge_end (stage, exec, edge, edges->edges[edge].consumer);
    for (int w = 0; w < PW_WALK_N; w++)
      if (stage->out[i].output[w] >= 0)
        stage->walks[w].n_edges[stage->out[i].output[w]]++;
  }
  if (stage->n_out > 1)
    qsort (stage->out, (gsize)stage->n_out, sizeof (PwEdgeEnd), compare_consumers);
}

gboolean
pw__stage_connect (PwExecStage *stage, PwExec *exec, GError **error) {
  connect_in (stage, exec);
  connect_out (stage, exec);
  for (int i = 0; i < stage->n_in; i++)
    if (!check_end (stage, exec, &stage->in[i], error))
      return FALSE;
  for (int i = 0; i < stage->n_out; i++)
    if (!check_end (stage, exec, &stage->out[i], error))
      return FALSE;
  return TRUE;
}

void
pw__stage_match_ends (PwExecStage *stage) {
  for (int i = 0; i < stage->n_in; i++) {
    const PwExecStage *peer = stage->in[i].peer;
    for (int j = 0; j < peer->n_out; j++)
      if (peer->out[j].edge == stage->in[i].edge) {
        stage->in[i].at_peer = j;
        peer->out[j].at_peer = i;
      }
  }
}

PwMicrobatch *
pw__stage_microbatch (PwExecStage *stage, int number) {
  while (stage->microbatches->len <= (guint)number) {
    PwMicrobatch *microbatch = g_new0 (PwMicrobatch, 1);
    microbatch->slot = (int)stage->microbatches->len;
    microbatch->number = -1;
    for (int w = 0; w < PW_WALK_N; w++)
      microbatch->slots[w] = g_new0 (PwSlot, (gsize)stage->walks[w].lifetimes->n_buffers + 1);
    microbatch->parts = g_new0 (PwPart, (gsize)stage->n_out + 1);
    g_ptr_array_add (stage->microbatches, microbatch);
  }
  return g_ptr_array_index (stage->microbatches, number);
}

gboolean
pw__stage_reserve_losses (PwWorker *worker, PwExecStage *stage, int n, GError **error) {
  const PwGraph *graph = worker->exec->resolved->graph;
  const PwLayer *last = &graph->layers[graph->n_layers - 1];
  if (!last->info.is_loss || stage->first_layer + stage->n_layers < graph->n_layers
      || n <= stage->n_losses)
    return TRUE;
  if (stage->losses)
    pw__memory_give (worker->memory, PW_MEMORY_WORKSPACE, stage->losses,
                     stage->n_losses * (int64_t)sizeof (double));
  stage->n_losses = n;
  stage->host_losses = g_renew (double, stage->host_losses, (gsize)n);
  memset (stage->host_losses, 0, (gsize)n * sizeof (double));
  stage->losses
      = pw__buffer_take (worker, PW_MEMORY_WORKSPACE, n * (int64_t)sizeof (double), error);
  return stage->losses != NULL;
}

void
pw__stage_clear (PwExecStage *stage) {
  for (int w = 0; w < PW_WALK_N; w++)
    pw__walk_clear (&stage->walks[w]);
  for (guint m = 0; stage->microbatches && m < stage->microbatches->len; m++) {
    PwMicrobatch *microbatch = g_ptr_array_index (stage->microbatches, m);
    for (int w = 0; w < PW_WALK_N; w++)
      g_free (microbatch->slots[w]);
    g_free (microbatch->parts);
    g_free (microbatch);
  }
  if (stage->microbatches)
    g_ptr_array_free (stage->microbatches, TRUE);
  for (guint i = 0; stage->sized_calls && i < stage->sized_calls->len; i++)
    g_free (g_array_index (stage->sized_calls, PwSizedCalls, i).calls);
  if (stage->sized_calls)
    g_array_free (stage->sized_calls, TRUE);
  for (guint i = 0; stage->versions && i < stage->versions->len; i++)
    g_free (g_array_index (stage->versions, PwVersion, i).values);
  if (stage->versions)
    g_array_free (stage->versions, TRUE);
  g_free (stage->host_losses);
  g_free (stage->runners);
  g_free (stage->parameters);
  g_free (stage->in);
  g_free (stage->out);
}
