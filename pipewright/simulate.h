/* A plan or synthetic costs through the simulator: what simulate, compare and validate share. */
#pragma once
#include "plans/resolve.h"
#include "sim/sim.h"

#define PW_SIMULATE_ERROR (pw_simulate_error_quark ())
GQuark pw_simulate_error_quark (void);
typedef enum {
  PW_SIMULATE_ERROR_VALUE /* synthetic costs that do not fit the schedule */
} PwSimulateError;

/* Synthetic costs as the commands take them. Lists have one entry, or one per stage. */
typedef struct {
  PwScheduleParams params; /* ranks, microbatches, chunks, ... */
  const char *schedule;    /* name, else a file */
  int stages;              /* 0: the schedule's own */
  /* Times of F, B, I and W, each 1 unless given; B alone: I and W are its halves. */
  const double *forward, *backward, *input, *weight;
  int n_forward, n_backward, n_input, n_weight; /* 0: not given */
  double overlapped, latency, message_bytes, bandwidth;
  /* Of U, of a stage's REDUCE_GRAD, of NORM; 0: there is none, but for what replicas have to add.
   */
  double update, reduce, norm;
  const char *offload; /* plans/offload.h; NULL: none */
  double offload_time; /* of a stage's stash to the host, and back */
  PwReduction reduction;
  PwTopology topology;
  PwLinkSharing sharing;
  const char *microbatch_factors; /* plans/microbatch_factors.h; NULL: all 1 */
  const char *rank_factors;       /* plans/rank_factors.h; NULL: all 1 */
  int iterations;
  gboolean per_rank; /* lists have an entry per rank: its share of the model, divided by the
                        schedule's chunks */
  PwPolicy policy;
  gboolean batched;
} PwSynthetic;

/* All that belongs to one simulation, so that it can be freed as one. */
typedef struct {
  PwSchedule *compute, *lowered;
  PwStageEdges *edges;
  PwStageCosts *costs;
  PwResolvedPlan *resolved; /* NULL for synthetic costs; then the four above are its own */
  PwSimInput input;
  PwSimResult *result;
  double wall_seconds; /* generate + lower + simulate */
} PwSimulation;
/* The compute schedule alone (lowered already if the file is); a file is read, not checked. */
PwSchedule *pw_simulate_schedule (const PwSynthetic *synthetic, GError **error);
/* What each of SCHEDULE's stages costs. */
PwStageCosts *pw_simulate_costs (const PwSynthetic *synthetic, const PwSchedule *schedule,
                                 const PwStageEdges *edges, GError **error);
/* A file's schedule is checked before it is simulated. */
PwSimulation *pw_simulate_synthetic (const PwSynthetic *synthetic, GError **error);
PwSimulation *pw_simulate_plan (const PwPlan *plan, int iterations, GError **error);
/* Of an endless schedule RESOLVED's lowered lists become those of ITERATIONS without a flush
 * between them; others stay as they are. */
gboolean pw_simulate_stream (const PwPlan *plan, PwResolvedPlan *resolved, int iterations,
                             GError **error);
/* RESOLVED is taken over. */
PwSimulation *pw_simulate_resolved (PwResolvedPlan *resolved, int iterations, GError **error);
PwTrace *pw_simulation_trace (const PwSimulation *simulation);
/* The same, its critical path marked. */
PwTrace *pw_simulation_trace_critical (const PwSimulation *simulation);
void pw_simulation_free (PwSimulation *simulation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimulation, pw_simulation_free)
