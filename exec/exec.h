/* The executor: one pinned worker per rank runs its lowered list, reinterpreting nothing. What it
 * computes is bit-identical to sequential training for every synchronous schedule, rank count and
 * transport (docs/definitions.md).
 *
 *   exec = pw_exec_new (plan)           allocates parameters, starts the workers
 *   program = pw_exec_add (lowered)     any number of lists over the same stages
 *   pw_exec_run (program, batch)        one iteration of it; returns when all ranks are done
 *
 * The ranks may be in several processes (PwExecOptions.bootstrap), on one host or many. All of them
 * then make the same calls in the same order with the same arguments, each runs its own ranks, and
 * all get the same results and the same error, whichever process it came from. Only
 * pw_exec_interrupt and what just reads (pw_exec_rank, pw_exec_ranks, pw_exec_output_shape) may be
 * called in one alone. */
#pragma once
#include "kernels/kernels.h"
#include "plans/resolve.h"
#include "exec/bootstrap.h"
#include "exec/transport.h"
#include "schedules/lower.h"
#include "traces/trace.h"

#define PW_EXEC_ERROR (pw_exec_error_quark ())
GQuark pw_exec_error_quark (void);
typedef enum {
  PW_EXEC_ERROR_KERNEL,      /* an op failed: op, layer, rank are named */
  PW_EXEC_ERROR_MEMORY,      /* out of memory or over the plan's limit: category named */
  PW_EXEC_ERROR_TIMEOUT,     /* a peer did not answer: rank, action and edge named */
  PW_EXEC_ERROR_INTERRUPTED, /* pw_exec_interrupt */
  PW_EXEC_ERROR_UNSUPPORTED,
  PW_EXEC_ERROR_DATA
} PwExecError;

typedef struct {
  const PwBackend *backend;     /* NULL: CPU */
  const PwTransport *transport; /* NULL: threads */
  gboolean no_pinning;
  int trace_iterations; /* the last K iterations are kept in the trace; 0: no trace */
  double timeout_s;     /* a wait for a message longer than this fails; 0: never */
  int64_t memory_limit; /* bytes per rank; 0: none. Refused, not overrun. */
  /* Ranks may compute on one device where there are more ranks than devices; else refused. */
  gboolean share_devices;
  /* Steps of the same program, samples and buffers are captured once and then launched: the same
   * bits at less cost for the host. Refused where that cannot be; a run with a loss function, or
   * with a list that is not a whole synchronous step, goes plainly. */
  gboolean cuda_graphs;
  /* [ranks] what the plan predicted at each rank's peak, kept by the caller; named when memory runs
   * out. NULL: not known. */
  const int64_t (*predicted_bytes)[PW_MEMORY_N];
  /* The processes of the run: process p of n has ranks p R/n .. (p + 1) R/n - 1. Must outlive the
   * executor. NULL: this one has all ranks. */
  PwBootstrap *bootstrap;
} PwExecOptions;

typedef struct PwExec PwExec;
/* RESOLVED must outlive the executor. Initial parameters follow (seed, tensor name). */
PwExec *pw_exec_new (const PwResolvedPlan *resolved, const PwExecOptions *options, GError **error);
void pw_exec_free (PwExec *exec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwExec, pw_exec_free)

/* Prepares LOWERED (same stages and placement as the resolved plan's), which must outlive the
 * executor; returns its number, or -1. Refused with UNSUPPORTED: kinds of actions beyond F, B, I,
 * W, R, U, REDUCE_GRAD and messages, and sequence pieces. A list may hold only forwards (of
 * training): their stashes wait for a list with the backwards, or for the next forward.
 *
 * Two directions: each replica of a stage accumulates its own direction's micro-batches;
 * REDUCE_GRAD, needed before U, gives both the sum. An asynchronous schedule's forward uses the
 * weights its version rule says, counting the updates from the start of the run, and its backward
 * the same. */
int pw_exec_add (PwExec *exec, const PwSchedule *lowered, GError **error);
/* Prepares COMPUTE, an endless schedule, for streams of STEPS mini-batches of the resolved plan's
 * micro-batches each: lowers it, but leaves the part that repeats written once, so that neither
 * lists nor memory grow with STEPS. */
int pw_exec_add_endless (PwExec *exec, const PwSchedule *compute, const PwLowerOptions *options,
                         int64_t steps, GError **error);

/* Called on a worker of the last stage, in the process that has it, one call at a time, for a model
 * without a loss layer: reads OUTPUT, writes GRADIENT (same shape), adds to *LOSS. */
typedef void (*PwLossFunc) (int microbatch, const PwTensor *output, PwTensor *gradient,
                            double *loss, gpointer data);

/* One mini-batch in host memory, sample after sample, in the types that the graph's shapes say (a
 * plan's bf16 makes float inputs and outputs so, targets stay fp32). NULL where the program does
 * not need it. */
typedef struct {
  const int64_t *samples;       /* [the program's micro-batches]; NULL: the resolved plan's */
  const void *inputs;           /* [batch, graph input shape] */
  const void *targets;          /* [batch, graph target shape] */
  void *outputs;                /* filled with pw_exec_output_shape per sample, in sample order */
  const void *output_gradients; /* instead of a loss function */
  PwLossFunc loss_func;
  gpointer loss_data;
  double loss_scale; /* 0: 1 / number of targets of what is summed into one update: of the
                        mini-batch, or of an asynchronous schedule's micro-batches between two U
                        of its last stage */
} PwExecBatch;
typedef struct {
  double loss;        /* the mean over the mini-batch (times what loss_scale made of it) */
  gboolean is_graph;  /* it was launched as graphs */
  double iteration_s; /* first start to last end over the ranks; in a stream from the end of the
                         mini-batch before */
} PwExecStep;
gboolean pw_exec_run (PwExec *exec, int program, const PwExecBatch *batch, PwExecStep *step,
                      GError **error);

/* Mini-batches without a flush between them: the first micro-batches of one are forwarded while the
 * last of the one before are under way. A step is one mini-batch; its data come in the same order
 * as in synchronous training. */
typedef struct {
  int64_t steps; /* those that the program was made for */
  /* Writes mini-batch STEP; called in ascending order, one call at a time, on any worker. */
  void (*fill) (int64_t step, void *inputs, void *targets, gpointer data);
  /* After each step, on the caller's thread; of several processes in all of them, after the run.
   * NULL: none. */
  void (*progress) (int64_t step, const PwExecStep *result, gpointer data);
  gpointer data;
  PwExecStep *results; /* [steps] */
} PwExecStream;
/* *DONE: steps that are complete, also on failure. */
gboolean pw_exec_run_stream (PwExec *exec, int program, const PwExecStream *stream, int64_t *done,
                             GError **error);

/* Between runs. */
gboolean pw_exec_zero_gradients (PwExec *exec, GError **error);
gboolean pw_exec_update (PwExec *exec, GError **error); /* the optimiser, where lists have no U */
/* Parameters and gradients in the order of the graph: (layer, parameter). Host copies. */
gboolean pw_exec_get_parameter (PwExec *exec, int layer, int index, float *to, GError **error);
/* Of two replicas of a stage, equal after each U, that of DIRECTION; the others read direction 0's
 * and write both. A gradient is the sum of both. */
gboolean pw_exec_get_replica (PwExec *exec, int direction, int layer, int index, float *to,
                              GError **error);
gboolean pw_exec_set_parameter (PwExec *exec, int layer, int index, const float *from,
                                GError **error);
gboolean pw_exec_get_gradient (PwExec *exec, int layer, int index, float *to, GError **error);
/* SHA-256 over all parameters in graph order, hexadecimal. */
char *pw_exec_parameters_sha256 (PwExec *exec, GError **error);

/* Why the step that is run now has not become graphs; NULL: it has, or was not tried. */
const char *pw_exec_graphs_reason (const PwExec *exec);
int pw_exec_ranks (const PwExec *exec); /* 1 for a sequential one */
/* What `outputs` holds of one sample: the last layer's output, or what the loss layer reads. */
const PwShape *pw_exec_output_shape (const PwExec *exec);

/* Stops the workers at the next action from any thread or a signal handler; the run in progress
 * fails with INTERRUPTED. After a failed run nothing can be run any more, but parameters, figures
 * and the trace can be read. */
void pw_exec_interrupt (PwExec *exec);

typedef struct {
  int rank;
  double busy_time; /* of the last run (a stream is one): compute, R, U */
  double wait_time; /* waiting for messages */
  double wall_time; /* of the worker's loop, first action to last */
  int64_t actions;  /* lowered actions executed in the last run */
  int64_t peak_memory_bytes;
  int64_t peak_by_category[PW_MEMORY_N]; /* at the moment of the peak */
} PwExecRank;
void pw_exec_rank (const PwExec *exec, int rank, PwExecRank *out);
/* The last K iterations, from rings of fixed size. Owned by the caller. Of several processes all
 * ranks' records, on process 0's clock (exec/processes_clock.c), or those of this process's ranks
 * where the others cannot be reached any more. */
PwTrace *pw_exec_trace (PwExec *exec);

/* The reference: the same micro-batches, kernels and seeds, one thread, one stage after another.
 * pw_exec_add makes of each list its sequential program, which accumulates gradients in the same
 * order. */
PwExec *pw_exec_new_sequential (const PwResolvedPlan *resolved, const PwExecOptions *options,
                                GError **error);
