/* A compiled schedule: the graph, and for each node the row of the duration table it takes. */
#pragma once
#include "sim/graph_private.h"
#include "sim/sim.h"

/* Rows: 0 is no time; then one per (kind, stage), one per channel, one per kind of pair that occurs.
 * Small enough to stay in the cache, so a node costs two bytes instead of eight. */
typedef struct {
  PwSimGraph *graph;
  int64_t n_rows, first_pair_row;
  GArray *pairs;          /* PwAction, two per row */
  uint16_t *row16;        /* [n_nodes], or */
  uint32_t *row32;        /* where there are more than 65,536 rows */
  const PwAction **first; /* [n_nodes] where costs differ by micro-batch: the node's action, NULL */
} PwSimTimed;

struct PwSimProgram {
  PwSimInput input;
  PwSimLayout *layout;
  PwSimIndex *index;
  gboolean allows_instant;
  PwSimTimed *timed[2]; /* messages as nodes; messages that take no time. NULL: not needed yet */
  /* Of the last retime. */
  const PwSimTimed *last;
  const PwStageCosts *costs;
  PwSimDurations durations;
  double *table;               /* [rows] */
  double *time[2];             /* [n_nodes] ends */
  struct PwSimLanes *lanes[2]; /* as timed */
};

PwSimTimed *pw__sim_timed_new (PwSimGraph *graph, const PwSimLayout *layout);
void pw__sim_timed_free (PwSimTimed *timed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimTimed, pw__sim_timed_free)

/* The graph for costs whose messages take time, or none; made when first needed. A schedule that
 * compiled one way compiles the other way. */
PwSimTimed *pw__sim_program_timed (PwSimProgram *program, gboolean has_transfers, GError **error);
/* The same for scenarios side by side. */
const struct PwSimLanes *pw__sim_program_lanes (PwSimProgram *program, const PwSimTimed *timed);

/* Ends of all nodes; returns the last. */
double pw__sim_evaluate (const PwSimTimed *timed, const PwSimDurations *durations,
                         const double *table, double *time);
void pw__sim_fill_table (const PwSimTimed *timed, const PwSimLayout *layout,
                         const PwSimDurations *durations, double *table);
/* What NODE takes, its micro-batch's factor included; the nodes' actions must be known. */
double pw__sim_node_duration (const PwSimTimed *timed, const PwSimDurations *durations,
                              int32_t node);
/* The nodes' actions, for costs that differ by micro-batch. */
void pw__sim_timed_find_actions (PwSimTimed *timed, const PwSimLayout *layout);
