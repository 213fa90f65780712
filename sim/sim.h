/* The simulator: a lowered schedule, its edges and its costs become times, bubbles, memory and
 * causes of idleness, by the definitions of the project (docs/definitions.md).
 *
 * Two engines, one meaning. What the schedule orders itself (ranks, queues, groups) is a system of
 * max and +: walk.c evaluates it once; compile.c makes flat arrays in topological order, retime.c
 * evaluates them again and again. What time decides (transfers that share a link; of several that
 * could start at one time the SEND with the lowest id is first) walk.c and, for queues over several
 * edges, the event queue of engine.c know. Where several apply they agree to the last bit.
 *
 * When things start:
 *   compute    after the compute before it in its rank's list and all it takes from other stages
 *   pair       as one compute, both inputs there, both outputs at its end
 *   transfer   after its producer and, at both ends, what stands before it in its queue (under
 *              rendezvous: in the program); a RECV waits for nothing and has the transfer's times
 *   group      each member by itself; what stands behind it waits for all members
 * Sequence pieces cost their share of the micro-batch. NORM, REDUCE_GRAD and the like take no time.
 *
 * Why a rank idles before a compute, looking at the message that came last: `dependency` until its
 * producer had ended, `queue_head` until the transfer began, `transfer` until it had ended. This
 * holds for the warm-up, too. Under rendezvous each message the program stops at is such a cause.
 * Idle time after a rank's last compute is `barrier`. */
#pragma once
#include "plans/costs.h"
#include "schedules/schedule.h"
#include "traces/trace.h"

#define PW_SIM_ERROR (pw_sim_error_quark ())
GQuark pw_sim_error_quark (void);
typedef enum {
  PW_SIM_ERROR_DEADLOCK, /* the message names the cycle, as schedule check does */
  PW_SIM_ERROR_SIZE,     /* more events than 2^31 */
  PW_SIM_ERROR_SCHEDULE  /* a message without its other end or its maker; the checker reports such
                            things in full, the simulator only what it comes across */
} PwSimError;

typedef enum { PW_SIM_ENGINE_AUTO, PW_SIM_ENGINE_COMPILED, PW_SIM_ENGINE_EVENTS } PwSimEngine;

typedef struct {
  const PwSchedule *schedule; /* lowered; one iteration unless is_unrolled */
  const PwStageEdges *edges; /* NULL: a chain */
  const PwStageCosts *costs;
  int iterations;         /* run back to back without a barrier; 0: 1 */
  gboolean is_unrolled;   /* `schedule` has the lists of all iterations already; an endless schedule
                             does not repeat its start and end */
  double weight_memory;   /* share of activations that W frees; default 0.5 */
  PwSimEngine engine;     /* EVENTS: the event queue, whatever AUTO takes; COMPILED: no
                             link is taken as shared */
} PwSimInput;
void pw_sim_input_init (PwSimInput *input);

/* Of all iterations together: busy_time + idle_time is the result's total_time. */
typedef struct {
  int rank;
  double busy_time, recompute_time, idle_time;
  double warmup_idle, steady_idle, drain_idle;
  double idle_by_cause[PW_IDLE_N];
  double first_start, last_end, span; /* of compute; span = last_end - first_start */
  double peak_activations;            /* micro-batches of a rank's activations */
  int64_t peak_memory_bytes;
  int64_t peak_by_category[PW_MEMORY_N]; /* at the moment of the peak */
  double peak_time;
} PwSimRank;

typedef struct {
  int ranks;
  double iteration_time, ideal_time; /* of one iteration, as are the bubbles */
  double total_time; /* first start to last end of all iterations */
  double bubble_fraction, bubble_ratio;
  double longest_rank_span;
  double peak_activations; /* the largest rank's */
  int64_t peak_memory_bytes;
  int64_t actions, events;
  PwSimRank *rank; /* [ranks] */
  /* Times of every lowered action, rank after rank in list order (all iterations):
   * action i of rank r is at offset[r] + i. A message's two actions both carry the transfer's. */
  int64_t *offset; /* [ranks + 1] */
  double *start, *end;
  GArray *memory; /* PwTraceMemory; empty for synthetic costs */
} PwSimResult;
/* Whether links are shared, so that time decides who is first: costs cannot be evaluated many at once
 * then. */
gboolean pw_sim_needs_events (const PwSimInput *input);
PwSimResult *pw_sim_run (const PwSimInput *input, GError **error);
void pw_sim_result_free (PwSimResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimResult, pw_sim_result_free)

/* The result as a trace; MODEL may be NULL. */
PwTrace *pw_sim_trace (const PwSimInput *input, const PwSimResult *result, const char *model);
/* The same, its critical path marked. */
PwTrace *pw_sim_trace_critical (const PwSimInput *input, const PwSimResult *result,
                                const char *model);

/* Compiled once, evaluated often. Schedule, edges and the costs of the last evaluation must outlive
 * the program; links are taken as unshared. */
typedef struct PwSimProgram PwSimProgram;
PwSimProgram *pw_sim_compile (const PwSimInput *input, GError **error);
/* Evaluates with COSTS (same stages and edges as compiled for) and returns the end of the last
 * action; times stay in PROGRAM until the next call. */
double pw_sim_retime (PwSimProgram *program, const PwStageCosts *costs);
/* The same for N costs side by side in SIMD lanes, many times faster: TOTALS[i] has the bits that
 * COSTS[i] alone would give. The times of the last retime stay. */
void pw_sim_retime_many (PwSimProgram *program, const PwStageCosts *const *costs, int n,
                         double *totals);
/* Everything else from the times of the last retime. */
PwSimResult *pw_sim_program_result (const PwSimProgram *program);
int64_t pw_sim_program_events (const PwSimProgram *program);
/* The action at INDEX of RANK's list, of all iterations, its micro-batch counted within its iteration.
 * Where it has a micro-batch that says which ITERATION it is. */
PwAction pw_sim_program_action (const PwSimProgram *program, int rank, int64_t index,
                                int *iteration);
/* By the times of the last retime: how much later each action may end, all others taking what they
 * take, without the last one ending later. 0 on the critical path. SLACK has a place for every
 * action, as results have; a message's two actions share it. */
void pw_sim_slack (PwSimProgram *program, double *slack);
void pw_sim_program_free (PwSimProgram *program);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimProgram, pw_sim_program_free)

/* Durations that scatter: each compute's time and each message's is multiplied by a random factor
 * of mean 1, independent of all others and log-normal, as measured times of kernels are (skewed:
 * late more often than early). Factors hang on the seed, the sample and the action alone: not on
 * the number of threads, nor on the instruction set. */
typedef struct {
  double compute, link; /* standard deviations of the factors; 0: none */
  int64_t samples;
  uint64_t seed;
  int threads; /* 0: one per processor */
  /* Called by the caller's own thread every few milliseconds or so; NULL: never. */
  void (*progress) (int64_t done, int64_t samples);
} PwSimJitter;
#define PW_SIM_PERCENTILE_N 6
extern const int pw_sim_percentiles[PW_SIM_PERCENTILE_N]; /* 5 25 50 75 95 99 */
/* Of iteration_time over the samples. */
typedef struct {
  int64_t samples;
  double undisturbed; /* without jitter */
  double mean, standard_deviation, minimum, maximum;
  double percentile[PW_SIM_PERCENTILE_N];
  double *time; /* [samples] */
} PwSimJitterResult;
PwSimJitterResult *pw_sim_jitter (PwSimProgram *program, const PwStageCosts *costs,
                                  const PwSimJitter *jitter);
void pw_sim_jitter_result_free (PwSimJitterResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimJitterResult, pw_sim_jitter_result_free)

/* The longest chain of actions that decides the iteration time, first to last. */
typedef struct {
  int rank;
  int64_t index; /* in the rank's list */
  PwAction action;
  double start, end;
} PwSimCritical;
/* Of the actions where nothing shortens the total unless one of them is shortened. Array of
 * PwSimCritical. */
GArray *pw_sim_critical_path (const PwSimInput *input, const PwSimResult *result);

/* What went over a link, port, bus or card (plans/topology.h) in all iterations. */
typedef struct {
  PwResource resource;
  int64_t messages;
  double bytes;
  double busy_time; /* with at least one message on its way, latency included */
} PwSimResourceUse;
/* Of all that a message takes, the busiest first. Array of PwSimResourceUse. */
GArray *pw_sim_resource_use (const PwSimInput *input, const PwSimResult *result);
