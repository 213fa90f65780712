/* A plan and costs become what both halves are given: nobody downstream looks at JSON again. */
#pragma once
#include "plans/costs.h"
#include "plans/plan.h"
#include "schedules/schedule.h"

typedef struct {
  PwGraph *graph;
  PwPartition *units;       /* stage bounds in units */
  PwPartition *partition;   /* the same in layers */
  PwPartitionMethod method; /* that made them: not the plan's where its balance was dropped */
  PwStageEdges *edges;
  gboolean *again;       /* [layers] that are run again before the backward; NULL: none */
  gboolean *again_stage; /* [stages] that have such a layer; NULL: none */
  PwLayerCosts *layer_costs;
  PwStageCosts *costs;
  PwSchedule *compute, *lowered; /* lowered: one iteration, with U where training */
  gboolean *offloaded;           /* [stages] whose stashes go to the host; NULL: none */
  int microbatches;
  int64_t *samples; /* [microbatches], as torch.chunk cuts the batch */
  int64_t batch;    /* of one pipeline */
  int replicas;     /* pipelines, each with a batch of its own */
  PwMode mode;
  int optimizer_slots;
  PwOptimizerPlan optimizer;
  PwPrecision precision; /* of half types the graph's shapes tell, too */
  int64_t seed;
} PwResolvedPlan;

typedef struct {
  PwMode mode;
  gboolean updates;          /* U in the lowered lists; the library's own loops step apart */
  PwLayerCosts *layer_costs; /* instead of the plan's file; borrowed, copied */
  PwGraph *graph; /* instead of building the plan's model; taken over, and given the plan's
                     type where that is a half one */
} PwResolveOptions;
/* OPTIONS NULL: training with U. */
PwResolvedPlan *pw_plan_resolve (const PwPlan *plan, const PwResolveOptions *options,
                                 GError **error);
/* How PLAN has its compute schedule lowered, but for U. Borrows from RESOLVED. */
PwLowerOptions pw_resolved_plan_lower_options (const PwResolvedPlan *resolved, const PwPlan *plan);
void pw_resolved_plan_free (PwResolvedPlan *resolved);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwResolvedPlan, pw_resolved_plan_free)

/* The plan's model in the plan's precision. */
PwGraph *pw_plan_read_model (const PwPlan *plan, GError **error);
/* Micro-batch sizes as torch.chunk cuts: ceil(batch / m) each, the last ones smaller; an error when
 * that makes fewer than m. */
int64_t *pw_plan_cut_batch (int64_t batch, int microbatches, GError **error);
