/* The plan file: what to train, how it is cut and ordered, on what. DESIGN: every key of the file
 * is one row of the table in plan.c; every command that reads a plan takes the overrides. */
#pragma once
#include "io/json.h"
#include "schedules/params.h"
#include "schedules/policy.h"
#include "schedules/lower.h"
#include "plans/hardware.h"
#include "plans/precision.h"

#define PW_PLAN_ERROR (pw_plan_error_quark ())
GQuark pw_plan_error_quark (void);
typedef enum {
  PW_PLAN_ERROR_VALUE,      /* a value that does not fit the others */
  PW_PLAN_ERROR_PARTITION,  /* a balance that does not add up, more stages than units */
  PW_PLAN_ERROR_UNSUPPORTED /* known, but this version or build cannot do it */
} PwPlanError;

typedef enum {
  PW_METHOD_BALANCE,
  PW_METHOD_TIME,
  PW_METHOD_PARAMETERS,
  PW_METHOD_FLOPS,
  PW_METHOD_MEMORY
} PwPartitionMethod;
extern const char *const pw_partition_method_names[]; /* "balance", "time", ..., NULL */

typedef enum { PW_OPTIMIZER_SGD, PW_OPTIMIZER_ADAM, PW_OPTIMIZER_ADAMW } PwOptimizerKind;
extern const char *const pw_optimizer_names[]; /* "sgd", "adam", "adamw", NULL */
typedef struct {
  PwOptimizerKind kind;
  double learning_rate, momentum, beta1, beta2, epsilon, weight_decay;
} PwOptimizerPlan;

/* When replicas of a stage exchange its gradients. */
typedef enum {
  PW_REDUCTION_OVERLAPPED, /* as soon as it has its last one, beside what else its rank does */
  PW_REDUCTION_AT_END      /* when its rank has nothing else to do */
} PwReduction;
extern const char *const pw_reduction_names[]; /* "overlapped", "at-end", NULL */

typedef enum { PW_DATA_TEXT, PW_DATA_RANDOM } PwDataKind;
typedef struct {
  PwDataKind kind; /* text: bytes of a file are the tokens; random: seeded inputs and targets */
  char *path;      /* text; NULL: the licence texts of base-files */
} PwDataPlan;

typedef struct {
  char *file; /* the plan's own path; for messages and relative paths */
  PwJsonFile *json;
  json_t *model; /* borrowed from json */
  PwHardware *hardware;
  char *costs; /* file; NULL: analytic */
  int ranks;   /* 0: not given; then the length of balance, or what the CSV has */
  PwPartitionMethod method;
  GArray *balance;            /* int; units per stage */
  PwPartitionMethod fallback; /* instead of a balance of the file that overrides have made unfit */
  gboolean count_ends;        /* "ends": "counted" */
  char *schedule;             /* name */
  char *schedule_csv;         /* path, instead of a name */
  PwScheduleParams params;    /* ranks, F, I, W, comm are filled in by resolve; microbatches 0: not
                                 given, twice the ranks */
  int64_t batch;              /* 0: not given, one sample per micro-batch */
  int64_t steps;
  int64_t seed;
  char *backend;   /* "cpu" */
  char *transport; /* "threads" */
  PwPolicy policy;
  gboolean batched;
  gboolean cuda_graphs;     /* steps are captured once and launched from then on */
  char *offload;            /* plans/offload.h; NULL: none */
  PwLink host;              /* what overrides say of it */
  char *microbatch_factors; /* plans/microbatch_factors.h; NULL: all 1 */
  char *rank_factors;       /* plans/rank_factors.h; NULL: all 1 */
  gboolean share_devices;   /* ranks may compute on the same device where there are too few */
  PwPrecision precision;
  PwRecompute recompute;
  char **recompute_layers; /* STAGE: of these alone (plans/recompute.h); NULL: of all */
  PwOptimizerPlan optimizer;
  PwDataPlan data;
  int data_parallel;       /* pipelines; the batch is shared by them */
  PwReduction reduction;   /* of gradients among replicas */
  PwCollective collective; /* what overrides say of it */
  double clip_norm;        /* of all gradients together; 0: not clipped */
  int64_t memory_limit;    /* bytes per rank; 0: none */
  char *checkpoint;        /* folder; NULL: none */
  PwTopology topology;     /* what overrides say of it */
  PwLinkSharing sharing;   /* likewise, of links and the network */
  guint64 overridden;      /* bit i: row i of pw_plan_overrides was applied */
} PwPlan;

PwPlan *pw_plan_load (const char *path, GError **error);
/* FILE names the text in messages; "-" style plans and tests. */
PwPlan *pw_plan_parse (const char *file, const char *text, GError **error);
/* Independent of PLAN, which may be in use by another thread. */
PwPlan *pw_plan_copy (const PwPlan *plan);
void pw_plan_free (PwPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwPlan, pw_plan_free)

/* Whether this version can train it: PW_PLAN_ERROR_UNSUPPORTED names the first key it cannot do.
 * Simulation takes more (any backend, any transport), and resolve itself refuses what it cannot. */
gboolean pw_plan_check_runnable (const PwPlan *plan, GError **error);
/* Tensors the optimiser keeps per parameter: 0, 1 (momentum) or 2. */
int pw_optimizer_slots (const PwOptimizerPlan *optimizer);

/* Overrides: the option's long name without dashes ("microbatches") and its text. One table serves
 * the command line, its help and this. Errors name the option: "--ranks: 0 is below the minimum 1".
 *
 * The order in which they are applied does not matter. What the file says and another schedule does
 * not take (chunks, group, ...) is dropped with --schedule, what an option says is not: the
 * generator refuses it. A balance of the file gives way to "method" (default time) when --ranks,
 * --schedule,
 * --chunks or --waves change the number of stages; one given with --balance must fit. */
typedef struct PwPlanOverride {
  const char *name;     /* "microbatches" */
  const char *argument; /* "M"; NULL for a flag, whose value may be NULL */
  const char *help;
  /* The rest is plan_override.c's. */
  PwJsonType type;
  gsize offset; /* in PwPlan */
  double minimum, maximum;
  const char *const *names;
  gboolean (*apply) (PwPlan *plan, const char *value, GError **error); /* CUSTOM */
} PwPlanOverride;
const PwPlanOverride *pw_plan_overrides (gsize *n);
gboolean pw_plan_override (PwPlan *plan, const char *name, const char *value, GError **error);
