/* Stage edges: which stage sends which tensor to which other stage in F (and its gradient back in
 * B). Generator, checker, lowering, simulator and worker all take this array, so skips and tied
 * weights are no special case. An edge between stages of one rank makes no message. */
#pragma once
#include <glib.h>

typedef struct {
  int producer, consumer; /* stages, producer < consumer */
  int tensor;             /* the layer whose output travels; 0 where there is no graph */
} PwStageEdge;

/* Stages that hold a copy of one parameter (tied weights); their gradients are summed. */
typedef struct {
  int n_stages;
  int *stages;
  int *layers; /* the using layer in each stage */
} PwSharedParameter;

typedef struct {
  int stages;
  int n_edges;
  PwStageEdge *edges; /* ordered by (consumer, producer, tensor) */
  /* CSR: edges into stage s are in_edges[in_start[s] .. in_start[s+1]), out likewise. */
  int *in_start, *in_edges, *out_start, *out_edges;
  int n_shared;
  PwSharedParameter *shared;
} PwStageEdges;

/* Stage s to s + 1: edge s has producer s. */
PwStageEdges *pw_stage_edges_new_chain (int stages);
/* Copies EDGES, sorts, indexes. */
PwStageEdges *pw_stage_edges_new (int stages, const PwStageEdge *edges, int n_edges);
/* Takes nothing: copies STAGES and LAYERS. */
void pw_stage_edges_add_shared (PwStageEdges *edges, const int *stages, const int *layers,
                                int n_stages);
void pw_stage_edges_free (PwStageEdges *edges);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwStageEdges, pw_stage_edges_free)
