/* What layers and stages cost. Layer costs are a file: measured by `profile` or by a trace, or
 * estimated from hardware; stage costs are their sums for one partition and micro-batch size, and
 * what the simulator is given. */
#pragma once
#include "models/graph.h"
#include "models/lifetime.h"
#include "plans/hardware.h"
#include "schedules/partition.h"
#include "schedules/stages.h"

#define PW_COSTS_VERSION 1 /* raised when a reader of the old one would misread the new one */
#define PW_COSTS_ERROR (pw_costs_error_quark ())
GQuark pw_costs_error_quark (void);
typedef enum { PW_COSTS_ERROR_MISMATCH /* for another model or precision */ } PwCostsError;

/* Seconds for one micro-batch of `samples`, one row per layer of the graph. */
typedef struct {
  char *layer; /* its name; must match the graph's */
  double forward_s, input_s, weight_s;
  double update_s;         /* optimiser step of its parameters */
  int64_t workspace_bytes; /* largest of its ops */
} PwLayerCost;
typedef struct {
  int64_t samples;
  PwLayerCost *layers; /* [n_layers] */
} PwLayerCostTable;
typedef struct {
  char *source;  /* "measured", "analytic" */
  char *machine; /* processor and library versions, for the reader */
  char *model;
  int n_layers;
  int n_tables; /* ordered by samples */
  PwLayerCostTable *tables;
  int precision;            /* PwPrecision they hold for; -1: not said */
  PwLink link;              /* the transport's, measured */
  PwMessageRates messages;  /* by size, where known */
  double action_overhead_s; /* what the worker adds to each compute action */
} PwLayerCosts;

/* N_TABLES tables of zeros with the layers' names. */
PwLayerCosts *pw_layer_costs_new (const PwGraph *graph, const char *source, int n_tables);
/* Roofline: max(FLOPs / rate of products, bytes / rate of memory), the rates being those of
 * PRECISION and of the size (of fp32 for layers in fp32 of a half-precision model). The update is
 * Adam's. */
PwLayerCosts *pw_layer_costs_new_analytic (const PwGraph *graph, const PwHardware *hardware,
                                           PwPrecision precision, int64_t samples);
/* GRAPH NULL: names are not compared. */
PwLayerCosts *pw_layer_costs_load (const char *path, const PwGraph *graph, GError **error);
gboolean pw_layer_costs_save (const PwLayerCosts *costs, const char *path, GError **error);
/* Linear between the measured sizes, proportional beyond the largest (and below the smallest); the
 * update costs the same whatever the size. OUT borrows the layer's name. */
void pw_layer_costs_at (const PwLayerCosts *costs, int layer, double samples, PwLayerCost *out);
PwLayerCosts *pw_layer_costs_copy (const PwLayerCosts *costs);
void pw_layer_costs_free (PwLayerCosts *costs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwLayerCosts, pw_layer_costs_free)

/* One stage, one micro-batch of the nominal size. Times in seconds, or unitless (synthetic). */
typedef struct {
  double forward, backward; /* backward: fused, timed apart where it was; else input + weight */
  double input, weight;
  double recompute, update;
  double overlapped; /* an F and a B as a pair; 0: their sum */
  double offload;    /* of a stash to the host, or back; where there is R, of what R leaves */
  double reduce;     /* the exchange of its gradients among its replicas (plans/collective.h) */
  /* Bytes, by models/lifetime.h's rule; all 0 for synthetic costs. */
  int64_t parameter_bytes, gradient_bytes;
  int64_t exchange_bytes; /* that REDUCE_GRAD between two ranks holds */
  int64_t optimizer_bytes; /* with the fp32 masters of parameters of a half type */
  int64_t workspace_bytes;
  int64_t stash_bytes;       /* alive from F's end to the backward's, received inputs excluded */
  int64_t input_bytes;       /* received inputs of one micro-batch */
  int64_t input_kept_bytes;  /* of these, kept from F's end to the backward */
  int64_t kept_bytes;        /* alive from I's end to W's end */
  int64_t output_held_bytes; /* sent outputs that are not stashed: alive until the send is done */
  int64_t
      gradient_in_bytes; /* received output gradients: alive from their receive to the backward */
  int64_t gradient_out_bytes; /* sent input gradients: alive until the send is done */
  int64_t forward_peak_bytes, backward_peak_bytes, input_peak_bytes, weight_peak_bytes;
  PwAgainFootprint again; /* of a micro-batch whose F is followed by an R */
} PwStageCost;

typedef struct {
  int stages, n_edges;
  PwStageCost *stage;     /* [stages] */
  int64_t *message_bytes; /* [n_edges], of one micro-batch */
  PwLink *link;           /* [n_edges], within a node */
  PwTopology *topology;   /* NULL: plain */
  int microbatches;
  double *factor; /* [microbatches][stages], times every compute time; NULL: all 1 */
  int ranks;
  double *rank_factor; /* [ranks], times every compute time on that rank; NULL: all 1 */
  int64_t communication_bytes; /* that a communicator holds on each of its ranks */
  double norm;         /* the exchange of the gradients' norm among all ranks */
  gboolean unitless;
} PwStageCosts;
/* The way of EDGE's messages from one rank to another one. */
void pw_stage_costs_path (const PwStageCosts *costs, int edge, int from, int to, PwPath *path);
/* All zero. */
PwStageCosts *pw_stage_costs_new (int stages, const PwStageEdges *edges);
PwStageCosts *pw_stage_costs_copy (const PwStageCosts *costs);
void pw_stage_costs_free (PwStageCosts *costs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwStageCosts, pw_stage_costs_free)

/* Sums layers over each stage. SAMPLES[microbatches] are the micro-batch sizes (equal sizes give no
 * factor); OPTIMIZER_SLOTS: tensors the optimiser keeps per parameter (0 SGD, 1 momentum, 2 Adam).
 * PARTITION bounds are layers. AGAIN[layers]: those that an R runs; NULL: all. */
PwStageCosts *pw_stage_costs_sum (const PwLayerCosts *costs, const PwGraph *graph,
                                  const PwPartition *partition, const PwStageEdges *edges,
                                  const int64_t *samples, int microbatches, int optimizer_slots,
                                  gboolean training, const gboolean *again);

/* Synthetic: per-stage times given by hand, a message of LATENCY + BYTES / BANDWIDTH (0: infinite).
 */
typedef struct {
  int stages;
  const double *forward, *backward, *input, *weight; /* [stages]; backward NULL: input + weight;
                                                        input and weight NULL: half of backward */
  double overlapped;                                 /* 0: forward + backward */
  double latency, message_bytes, bandwidth;
  PwLinkSharing sharing;
  const PwTopology *topology; /* NULL: plain */
} PwSyntheticCosts;
PwStageCosts *pw_stage_costs_new_synthetic (const PwSyntheticCosts *synthetic,
                                            const PwStageEdges *edges);
