/* Graphs of a stream's work. While one is captured, host memory that work reads or writes is noted
 * instead of copied (staging.c), and each launch copies anew; so do numbers that change from step
 * to step (steps.c). Timestamps become nodes that write the time at each launch.
 *
 * Only this thread's own calls must be safe while it captures: other ranks go on meanwhile. */
#include "kernels/cuda/cuda_private.h"

static PwStreamGraph *
graph_new (PwStream *stream, GError **error) {
  PwStreamGraph *graph = g_new0 (PwStreamGraph, 1);
  graph->stream = stream;
  graph->timestamps = g_ptr_array_new ();
  graph->staging = pw__cuda_staging_new_kept (stream, error);
  if (graph->staging)
    return graph;
  pw__cuda_graph_free (graph);
  return NULL;
}

void
pw__cuda_graph_free (PwStreamGraph *graph) {
  if (!graph)
    return;
  PwStream *stream = graph->stream;
  if (graph->exec)
    cudaGraphExecDestroy (graph->exec);
  if (stream->launched == graph && !stream->orphan) {
    stream->launched = NULL;
    stream->orphan = g_steal_pointer (&graph->staging);
  }
  pw__cuda_staging_free (graph->staging);
  g_ptr_array_unref (graph->timestamps);
  g_free (graph);
}

gboolean
pw__cuda_graph_begin (PwStream *stream, GError **error) {
  g_assert (stream->graph == NULL);
  PwStreamGraph *graph = graph_new (stream, error);
  if (!graph)
    return FALSE;
  if (!pw__cuda_check (NULL, "begin of a graph",
                       cudaStreamBeginCapture (stream->stream, cudaStreamCaptureModeThreadLocal),
                       error)) {
    pw__cuda_graph_free (graph);
    return FALSE;
  }
  stream->graph = graph;
  pw__cuda_steps_forget (stream);
  return TRUE;
}

PwStreamGraph *
pw__cuda_graph_end (PwStream *stream, GError **error) {
  g_assert (stream->graph != NULL);
  PwStreamGraph *graph = g_steal_pointer (&stream->graph);
  cudaGraph_t captured = NULL;
  pw__cuda_steps_forget (stream);
  gboolean good = pw__cuda_check (NULL, "end of a graph",
                                  cudaStreamEndCapture (stream->stream, &captured), error)
                  && pw__cuda_check (NULL, "instantiation of a graph",
                                     cudaGraphInstantiate (&graph->exec, captured, 0), error);
  cudaGetLastError (); /* not to be found by the next launch */
  if (captured)
    cudaGraphDestroy (captured);
  if (good)
    return graph;
  pw__cuda_graph_free (graph);
  return NULL;
}

gboolean
pw__cuda_graph_launch (PwStreamGraph *graph, PwStream *stream, GError **error) {
  g_assert (stream == graph->stream && stream->launched == NULL && stream->graph == NULL);
  pw__cuda_staging_fetch (graph->staging);
  for (guint i = 0; i < graph->timestamps->len; i++)
    pw__cuda_timestamp_rebase (g_ptr_array_index (graph->timestamps, i), stream);
  pw__cuda_steps_forget (stream);
  if (!pw__cuda_check (NULL, "launch of a graph", cudaGraphLaunch (graph->exec, stream->stream),
                       error))
    return FALSE;
  stream->launched = graph;
  return TRUE;
}
