/* The timed event graph: end[i] = max (end[a[i]], end[b[i]]) + duration of i, every action and
 * message a node with two predecessors at most (further ones go through joins of no duration).
 *
 * Nodes are numbered level by level: a level depends on earlier ones only, so its nodes, which are
 * on different ranks, are evaluated without waiting for each other. Node 0 is the origin at time 0.
 */
#pragma once
#include "sim/layout_private.h"

typedef struct {
  int32_t n_nodes;
  int32_t *a, *b;        /* [n_nodes]; 0: none */
  int32_t *action;       /* [n_nodes] id of the (first) action, -1: origin or join */
  int32_t *node;         /* [n_actions] of an action; a RECV has its SEND's, a pair one for both */
  int32_t n_last, *last; /* nodes nothing waits for */
  gboolean is_instant;   /* messages are no nodes: node of a SEND and RECV is the producer's */
} PwSimGraph;

/* INSTANT: no message takes time (only where pw__sim_graph_allows_instant). A cycle is the deadlock
 * that the error names. */
PwSimGraph *pw__sim_graph_new (const PwSimLayout *layout, const PwSimIndex *index, gboolean instant,
                               GError **error);
void pw__sim_graph_free (PwSimGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimGraph, pw__sim_graph_free)

/* Whether messages that take no time never wait in a queue either: there are no queues, or each
 * holds one channel whose messages are made, sent and received in one order. */
gboolean pw__sim_graph_allows_instant (const PwSimLayout *layout, const PwSimIndex *index);
