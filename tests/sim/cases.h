/* Schedules, costs and runs for the tests of the simulator. All random numbers are g_test's, so
 * --seed repeats a failure. */
#pragma once
#include "plans/costs.h"
#include "schedules/lower.h"
#include "schedules/schedule.h"
#include "sim/sim.h"

/* A schedule with its edges and costs, freed as one. */
typedef struct {
  PwSchedule *lowered;
  PwStageEdges *edges;
  PwStageCosts *costs;
  PwSimInput input; /* of these three */
} Case;
void case_free (Case *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Case, case_free)

/* COMPUTE, lowered; takes it and EDGES. Costs are zero. */
Case *case_lowered (PwSchedule *compute, PwStageEdges *edges, const PwLowerOptions *options);
/* A generated schedule with equal stages, F and B as given, messages of LATENCY. */
Case *case_named (const char *name, int ranks, int microbatches, double forward, double backward,
                  double latency, PwPolicy policy);
/* A chain and, now and then, skips. */
PwStageEdges *edges_random (int stages);
/* Any placement, edges that skip, split and fused backwards, pairs, any policy, groups, updates,
 * recomputation. Every order is possible, so that it never hangs under any policy. */
Case *case_random (void);
/* The same with messages moved about: may hang. */
Case *case_scrambled (void);
/* Lists written by hand: a rank per line, actions as "0F1 0SEND_F1+ ..."; + groups with the next,
 * & pairs. Costs are 1 for F, I, W, 2 for B, 0 for messages. */
Case *case_written (const char *lists, PwPolicy policy);

/* Positive times, different for each stage; messages with latency and bytes; QUARTERS: multiples of
 * 1/4, so that sums are exact in any order. */
void costs_randomise (PwStageCosts *costs, gboolean quarters);
/* A speed for each of RANKS. */
void costs_randomise_ranks (PwStageCosts *costs, int ranks);
/* Bytes of every kind. */
void costs_randomise_bytes (PwStageCosts *costs);
/* A factor for each micro-batch and stage. */
void costs_randomise_factor (PwStageCosts *costs, int microbatches);

/* Any topology; QUARTERS: of times as above, and a slowdown that keeps sums exact. */
void costs_randomise_topology (PwStageCosts *costs, PwLinkSharing sharing, gboolean quarters);

PwSimResult *run_with (const Case *c, PwSimEngine engine);
void assert_same_bytes (gconstpointer a, gconstpointer b, gsize n);
/* Times of all actions and every figure, to the last bit. */
void assert_same_results (const PwSimResult *a, const PwSimResult *b);
/* What a rank idles is its causes together, and with what it computes all of the time. */
void assert_idle_adds_up (const PwSimResult *result);
