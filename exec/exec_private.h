/* The executor's own structures.
 *
 *   PwExec ── PwWorker [rank] ── stream, memory, sends in flight, trace ring
 *          ├─ PwExecStage [direction][stage] ── parameters, gradients, optimiser state
 *          │                     ├─ PwWalk training, ...: what is allocated, run, freed, in order
 *          │                     ├─ PwMicrobatch [slot]: the buffers that are alive
 *          │                     └─ PwVersion: older weights that micro-batches under way need
 *          └─ PwExecProgram [n] ── steps of each rank
 *
 * A stage, its micro-batches and its rank's memory are touched by the rank's worker only, or by the
 * caller while no task runs. */
#pragma once
#include <stdatomic.h>
#include <string.h>

#include "exec/exec.h"
#include "exec/layers/layers.h"
#include "schedules/lower.h"
#include "exec/memory_private.h"
#include "exec/trace_ring_private.h"
#include "exec/waiting_private.h"

typedef struct PwWorker PwWorker;
typedef struct PwExecStage PwExecStage;
typedef struct PwExecProgram PwExecProgram;
typedef struct PwStreamRun PwStreamRun;
typedef struct PwMarks PwMarks;
typedef struct PwProcesses PwProcesses;

/* ---- What one micro-batch of one stage holds ---- */

/* A receive that was not waited for yet; REQUEST NULL: none. */
typedef struct {
  PwRequest *request;
  PwEvent *event; /* its buffer may be written from then on; NULL: not on a device */
  double posted;  /* when; on a device MARK knows */
  uint64_t mark;
} PwReceive;

/* A buffer of the lifetime table. `holders` keep it alive: the stage's own computation, and each
 * stage edge it travels. */
typedef struct PwSlot PwSlot;
struct PwSlot {
  void *data;
  int64_t bytes;
  PwSlot *owner; /* the data is that of a slot of another stage on this rank; NULL: its own */
  PwReceive receive;
  int holders;
  PwMemoryCategory category;
};

/* A gradient received over one outgoing edge. */
typedef struct {
  void *data;
  int64_t bytes;
  PwReceive receive;
} PwPart;

typedef enum {
  PW_WALK_TRAINING,
  PW_WALK_FIRST, /* F of training before R */
  PW_WALK_PLAIN, /* F of inference */
  PW_WALK_N
} PwWalkKind;
typedef enum {
  PW_MICROBATCH_EMPTY,
  PW_MICROBATCH_FORWARDED,
  PW_MICROBATCH_INPUT_DONE
} PwMicrobatchPhase;

/* A mini-batch in progress. Of a stream several are, in a ring. */
typedef struct {
  int64_t step; /* in the stream; -1: none yet */
  const PwExecBatch *batch;
  double *loss_scales; /* [groups] */
  double *shares;      /* [groups] of the mini-batch's loss */
  PwExecBatch own;     /* of a stream, with memory of its own */
  void *inputs, *targets;
  double *losses;    /* [per_minibatch], on the host */
  int n_losses_left; /* the last stage's */
  atomic_int n_left; /* ends of micro-batches and updates, of all stages */
} PwMiniBatch;

typedef struct {
  int slot;          /* among the stage's */
  int64_t number;    /* in the run; -1: none was here yet */
  int index;         /* in the mini-batch */
  int32_t iteration; /* of the executor */
  int64_t step;      /* of training */
  PwMiniBatch *minibatch;
  int loss_at;     /* in the last stage's losses */
  int64_t version; /* of the weights its forward used */
  int n_sends;     /* in flight */
  PwMicrobatchPhase phase;
  PwWalkKind forward_walk; /* of the last F; FIRST and FORWARDED: to be recomputed */
  int64_t samples;
  PwLayerCall *calls; /* [n_layers], the stage's for this many samples */
  PwSlot *slots[PW_WALK_N];
  PwPart *parts;    /* [n_out] */
  void *targets;    /* where the backend cannot read the caller's */
  double user_loss; /* PwLossFunc's */
} PwMicrobatch;

/* ---- Stages ---- */

typedef enum {
  PW_CODE_ALLOC,   /* index: a buffer */
  PW_CODE_FREE,    /* index: a buffer */
  PW_CODE_RUN,     /* index: a layer of the stage; phase */
  PW_CODE_RUN_TWO, /* index: the first of two layers, linear and gelu, of which one op does both
                      forwards, or gelu's input gradient and the bias's */
  PW_CODE_RESULT   /* index: the buffer the caller wants to see */
} PwCode;
typedef struct {
  PwCode code;
  PwPhase phase;
  int index;
} PwInstruction;

typedef enum {
  PW_SCRIPT_FORWARD,
  PW_SCRIPT_AGAIN, /* R, on what FIRST has left */
  PW_SCRIPT_BACKWARD,
  PW_SCRIPT_INPUT,
  PW_SCRIPT_WEIGHT,
  PW_SCRIPT_N
} PwScriptKind;

/* Which buffers a layer's step touches; -1: none. */
typedef struct {
  int inputs[PW_LAYER_INPUTS_MAX];
  int output;
  int stashes[PW_LAYER_STASHES_MAX];
  int output_gradient;
  int input_gradients[PW_LAYER_INPUTS_MAX];
  gboolean is_first[PW_LAYER_INPUTS_MAX]; /* contribution to that gradient: assigns */
  gboolean bias_is_done;                  /* of a linear layer: by the RUN_TWO before it */
} PwLayerBinding;

typedef struct {
  PwLifetimes *lifetimes;
  int *n_edges; /* [n_buffers] stage edges it travels as a sent buffer */
  int sample;   /* buffer of the graph's input; -1: not read here */
  PwLayerBinding *bindings;
  GArray *scripts[PW_SCRIPT_N]; /* PwInstruction */
} PwWalk;

/* One end of a stage edge, seen from the stage. */
typedef struct {
  int edge;
  PwExecStage *peer;
  gboolean is_local;     /* both stages on this rank: no message */
  int output[PW_WALK_N]; /* buffer */
  int gradient;          /* buffer of the training walk; -1: none */
  int at_peer;           /* index of the same edge among the peer's ends */
} PwEdgeEnd;

typedef struct {
  PwTensor value, gradient;
  PwTensor master;      /* training of a half type: the value in fp32; data NULL: there is none */
  PwTensor state[2];    /* momentum; or Adam's m and v */
  gboolean is_borrowed; /* the value belongs to the layer shared with, or to the replica */
} PwParameter;

typedef struct {
  int64_t samples;
  PwLayerCall *calls;
} PwSizedCalls;

/* Weights that are not the newest, but still needed. */
typedef struct {
  int64_t number;                           /* updates that made them; -1: free */
  int n_users;                              /* micro-batches under way */
  void *(*values)[PW_LAYER_PARAMETERS_MAX]; /* [n_layers] */
} PwVersion;

struct PwExecStage {
  int number, rank, direction;
  PwExecStage *replica; /* the same stage of the other direction; NULL: there is one direction */
  int first_layer, n_layers;
  const PwLayerRunner **runners;                      /* [n_layers] */
  PwParameter (*parameters)[PW_LAYER_PARAMETERS_MAX]; /* [n_layers] */
  int64_t n_updates;
  PwOptimizerStep optimizer_step; /* of the last update, or of what a graph is about to make */
  int64_t updates_before;         /* the capture of the rank's graph */
  int64_t graph_updates;          /* by each launch of it */
  /* Of a run with an asynchronous schedule. */
  GArray *versions; /* PwVersion: the old ones */
  int64_t newest;   /* updates in this run: the number of the values in `parameters` */
  int n_newest_users;
  PwMiniBatch *minibatch; /* of the micro-batch that ended last: an update belongs to it */
  PwWalk walks[PW_WALK_N];
  PwEdgeEnd *in, *out; /* out: by consumer, descending: the order gradients are summed in */
  int n_in, n_out;
  GPtrArray *microbatches; /* PwMicrobatch */
  GArray *sized_calls;     /* PwSizedCalls */
  double *losses;          /* device, one per micro-batch of all mini-batches in progress; NULL
                              without a loss layer */
  double *host_losses;     /* the same, after a run */
  int n_losses;
  int caller_gradient; /* gradient buffer the caller fills (no loss layer); -1: not here */
};

/* ---- Programs ---- */

typedef struct {
  PwAction action; /* in a body: of its first repetition */
  PwExecStage *stage;
  PwMicrobatch *microbatch; /* when it is run */
  int end;                  /* messages: index into the stage's in or out */
  PwWalkKind walk;          /* of the micro-batch's F; RECV_F and F */
  gboolean ends_microbatch;
  int updates_ahead; /* F: updates of the stage between it and the end of its backward */
} PwStep;

/* A rank's list: prologue, body, epilogue. */
typedef struct {
  PwStep *steps;
  int64_t n_prologue, n_body, n_epilogue;
  int64_t repeats; /* of the body, if no more are asked for */
  int64_t shift;   /* of micro-batch numbers from one to the next */
} PwStepList;

struct PwExecProgram {
  const PwSchedule *schedule;
  PwSchedule *owned; /* of a sequential executor, or lowered here */
  gboolean is_training, is_synchronous;
  gboolean is_stream;
  int n_microbatches; /* with the body's own repeats */
  int per_minibatch;  /* micro-batches */
  int n_slots;        /* for the micro-batches a stage has under way */
  int n_minibatches;  /* in progress at once at most */
  int64_t n_ends;     /* of a stream: ends of micro-batches and updates in a mini-batch */
  int n_groups;       /* of micro-batches whose gradients are summed into one update */
  int *group;         /* [per_minibatch] */
  int n_ranks;
  PwStepList *lists; /* [ranks] */
  gboolean has_forward, has_backward;
};

/* ---- Workers ---- */

typedef struct {
  PwRequest *request;
  PwMicrobatch *microbatch;
  PwSlot *slot;
  PwAction action;
  PwEvent *event; /* its buffer is written by then; NULL: not on a device */
  double start;   /* on a device MARK knows */
  uint64_t mark;
} PwSendInFlight;

/* Where the time of layers is wanted; see profile.c. */
typedef struct {
  void (*add) (gpointer data, int layer, PwPhase phase, double seconds);
  void (*add_update) (gpointer data, int layer, double seconds);
  gpointer data;
} PwLayerTimer;

typedef gboolean (*PwTask) (PwWorker *worker, gpointer data, GError **error);

struct PwWorker {
  PwExec *exec;
  int rank;
  int place; /* among the ranks on this machine */
  pthread_t thread;
  gboolean is_started;
  gboolean is_attached; /* to the transport */
  PwOpContext context;
  PwMemory *memory;
  PwWorkspace workspace;
  PwTraceRing *ring; /* NULL: no trace */
  PwMarks *marks;    /* NULL: work is done when it is called */
  uint64_t mark;     /* of the action being enqueued */
  GArray *sends;     /* PwSendInFlight */
  gboolean in_group;
  GArray *group;             /* PwStep: receives of the group that block the program when it ends */
  const PwLayerTimer *timer; /* NULL: off */
  PwExecRank figures;
  double first_start, last_end; /* of the last run's compute */
  gboolean is_capturing;        /* nothing may be tested or waited for on the host */
  PwStreamGraph *graph;         /* NULL: none */
  gboolean graph_is_new;        /* it was captured, and not launched yet */
  int64_t graph_actions;        /* lowered actions in it */
};

/* Ascending. */
typedef enum {
  PW_RUN_PLAIN,
  PW_RUN_CAPTURE, /* of a step about to be: then it is launched, or run plainly */
  PW_RUN_LAUNCH   /* of graphs */
} PwRunWay;

/* The caller's thread writes it, between runs. */
typedef struct {
  atomic_int is_void; /* graphs are to be dropped; set by any thread */
  gboolean are_made;  /* every rank has one */
  int n_plain;        /* runs of the step below so far */
  char *reason;       /* why the last capture failed; NULL: it did not */
  /* The step, NULL: none. What a graph has in it, or reads from. */
  const PwExecProgram *program;
  int64_t *samples;
  double *loss_scales;
  const void *inputs, *targets, *outputs, *output_gradients;
} PwGraphs;

/* One run, the same for all ranks; written before it starts. */
typedef struct {
  const PwExecProgram *program;
  PwRunWay way;
  const int64_t *samples; /* [per_minibatch] */
  int64_t *first_sample;  /* [per_minibatch + 1] */
  int32_t iteration;      /* of the first mini-batch */
  int64_t step;           /* the same, of training */
  PwMiniBatch single;     /* where there is no stream */
  PwStreamRun *stream;    /* NULL: none */
  int64_t more_repeats;   /* of bodies */
} PwRun;

struct PwExec {
  const PwResolvedPlan *resolved;
  PwExecOptions options;
  const PwBackend *backend;
  const PwTransport *transport;
  PwTransportState *transport_state;
  gboolean is_sequential;
  gboolean has_shared;     /* parameters used by several layers */
  gboolean *again;         /* [layers] that an R runs: the plan's, or all */
  gboolean is_training;    /* there are gradients and optimiser states */
  gboolean is_host_memory; /* the backend computes where the caller's data is */
  PwPlacement *placement;
  int n_ranks, n_stages;
  int n_places; /* directions times stages */
  /* Of several processes each has equal shares of the ranks, in order. */
  PwProcesses *processes; /* NULL: this one has all */
  int first_rank, n_local;
  int first_place;     /* of the ranks here among those on this machine */
  PwWorker *workers;   /* [n_ranks]; of other processes' ranks only the last run's figures */
  PwExecStage *stages; /* [n_places], those of direction 0 first */
  GPtrArray *programs;
  PwRun run;
  PwGraphs graphs;
  int32_t n_runs;
  int64_t n_steps;  /* of training: mini-batches with a backward, those before a checkpoint too */
  int last_program; /* -1: none */
  GError *failure;  /* of a run: the executor is of no more use but for reading */

  pthread_mutex_t loss_mutex; /* two replicas of the last stage may be at the caller's loss */

  /* The task in progress. */
  pthread_mutex_t mutex;
  pthread_cond_t start, finished;
  uint64_t generation;
  PwTask task;
  gpointer task_data;
  int task_rank;        /* -1: all */
  gboolean task_aborts; /* a failing rank stops the others */
  gboolean is_closing;
  int n_unfinished;
  GError *task_error; /* the first */
  double task_failed_s;

  atomic_int is_interrupted;   /* by the user */
  atomic_int is_stopping;      /* workers leave at their next action */
  const volatile int *watched; /* a flag of the caller's; NULL: none */
};

/* Where the caller's data is; else work is enqueued, and done later. */
static inline gboolean
pw__is_host_memory (const PwBackend *backend) {
  return backend->copy_from_host == backend->copy;
}

static inline gboolean
pw__exec_has_rank (const PwExec *exec, int rank) {
  return rank >= exec->first_rank && rank < exec->first_rank + exec->n_local;
}

/* exec.c */
gboolean pw__exec_is_interrupted (const PwExec *exec);
/* Workers leave the task in progress; those that wait for a message fail with REASON. */
void pw__exec_stop_task (PwExec *exec, const char *reason);
/* Every process calls these two; the task is done where the ranks are, and all get what came of it.
 * RANK -1: on all. */
gboolean pw__exec_on_all (PwExec *exec, PwTask task, gpointer data, GError **error);
/* The ranks wait for each other's messages in it; of several processes, too, so that a failure ends
 * it, and the executor, in all. */
gboolean pw__exec_on_all_together (PwExec *exec, PwTask task, gpointer data, GError **error);
gboolean pw__exec_on (PwExec *exec, int rank, PwTask task, gpointer data, GError **error);
/* Of a run: not after a failed one, nor when interrupted. */
gboolean pw__exec_is_ready (PwExec *exec, GError **error);
/* SAMPLES[per_minibatch], kept as they are; the run in exec->run is of PROGRAM. */
void pw__exec_set_samples (PwExec *exec, const PwExecProgram *program, const int64_t *samples);
/* The run in exec->run; a failure stays in exec->failure. */
gboolean pw__exec_run_task (PwExec *exec);
PwExec *pw__exec_new (const PwResolvedPlan *resolved, const PwPlacement *placement,
                      gboolean is_sequential, const PwExecOptions *options, GError **error);
/* Interrupts as soon as *FLAG is not 0, within 50 ms. */
void pw__exec_watch (PwExec *exec, const volatile int *flag);

/* stage.c */
/* The stage at PLACE: direction times stages plus number. */
gboolean pw__stage_init (PwExecStage *stage, PwExec *exec, int place, GError **error);
/* After all stages are there: the peers of edges, and shared parameters. */
gboolean pw__stage_connect (PwExecStage *stage, PwExec *exec, GError **error);
gboolean pw__stage_reserve_losses (PwWorker *worker, PwExecStage *stage, int n, GError **error);
void pw__stage_clear (PwExecStage *stage);
void pw__stage_match_ends (PwExecStage *stage);
PwMicrobatch *pw__stage_microbatch (PwExecStage *stage, int number);

/* script.c */
/* The layer whose output the caller may see: the last one, or what the loss reads. */
int pw__result_layer (const PwGraph *graph);
void pw__walk_init (PwWalk *walk, const PwExecStage *stage, const PwExec *exec,
                    PwLifetimesKind kind);
void pw__walk_clear (PwWalk *walk);

/* calls.c */
/* SAMPLES 0: no sample dimension. */
PwTensor pw__tensor (const PwShape *shape, int64_t samples, void *data);
/* NULL: no memory for the workspace this size needs. */
PwLayerCall *pw__stage_calls (PwWorker *worker, PwExecStage *stage, int64_t samples,
                              GError **error);

/* parameters.c */
PwExecStage *pw__exec_stage_of_layer (PwExec *exec, int direction, int layer);
/* Shared parameters must be on one rank. */
/* Optimiser state SLOT (below pw__optimizer_slots) of a parameter that is not borrowed; of several
 * processes, process 0 gets it. */
gboolean pw__exec_get_state (PwExec *exec, int layer, int index, int slot, float *to,
                             GError **error);
gboolean pw__exec_set_state (PwExec *exec, int layer, int index, int slot, const float *from,
                             GError **error);
/* The same of a parameter: pw_exec_get_parameter for process 0. */
gboolean pw__exec_get_first (PwExec *exec, int layer, int index, float *to, GError **error);
gboolean pw__check_shared (PwExec *exec, GError **error);
/* Stages of a rank in ascending order: sharers find their owners. */
gboolean pw__stage_allocate (PwWorker *worker, PwExecStage *stage, GError **error);
/* Adds the accumulators of the layers that share parameter P of layer I, in layer order. */
gboolean pw__sum_shared (PwWorker *worker, PwExecStage *stage, int i, int p, GError **error);
/* The sharers' too. */
gboolean pw__zero_gradient (PwWorker *worker, PwExecStage *stage, int i, int p, GError **error);
/* replicas.c: two replicas of a stage, on one rank or on two. */
/* Both replicas sit on one rank and have one set of values: direction 0's. */
gboolean pw__stage_is_folded (const PwExecStage *stage);
/* Direction 0's gradients plus direction 1's become the gradients of both. Blocks until the other
 * rank does the same. */
gboolean pw__stage_reduce (PwWorker *worker, PwExecStage *stage, GError **error);
/* All of the worker's stages, in the order in which no two ranks wait for each other. */
gboolean pw__reduce_all (PwWorker *worker, GError **error);

/* optimizer.c */
int pw__optimizer_slots (const PwOptimizerPlan *plan);
gboolean pw__stage_update (PwWorker *worker, PwExecStage *stage, GError **error);
/* precision.c: whether the backend computes in the plan's. */
gboolean pw__check_precision (const PwExec *exec, GError **error);
gboolean pw__computes_in (const PwBackend *backend, PwPrecision precision);
/* initial.c: element I of the tensor NAME depends on (SEED, NAME, I) only. */
void pw__initial_fill (int64_t seed, const char *name, PwInit init, double scale, int64_t n,
                       float *values);

/* program.c. PER_MINIBATCH: micro-batches in each mini-batch of a stream; 0: the schedule is one
 * mini-batch. */
PwExecProgram *pw__program_new (PwExec *exec, const PwSchedule *schedule, int per_minibatch,
                                GError **error);
void pw__program_free (PwExecProgram *program);
/* graphs.c */
gboolean pw__graphs_check (const PwExec *exec, GError **error);
void pw__graphs_init (PwGraphs *graphs);
void pw__graphs_clear (PwGraphs *graphs);
/* Something has changed: the next run is plain. */
void pw__graphs_void (PwGraphs *graphs);
/* The way of the run in exec->run, its graphs made. */
PwRunWay pw__graphs_prepare (PwExec *exec, const PwExecBatch *batch);
/* PwTask: what the run in exec->run enqueues becomes the worker's graph. Failed, or dropped before
 * a launch, nothing has happened. */
gboolean pw__graph_capture (PwWorker *worker, gpointer data, GError **error);
gboolean pw__graph_launch (PwWorker *worker, GError **error);
void pw__graph_drop (PwWorker *worker);

/* sequential.c: the same micro-batches on one rank, in the order LOWERED accumulates. */
PwSchedule *pw__sequential_schedule (const PwSchedule *lowered, const PwStageEdges *edges,
                                     GError **error);

/* endless.c: COMPUTE lowered for a stream of ITERATIONS. Its bodies are kept where that many
 * iterations have one that repeats: then the list is of as few as show it. */
PwSchedule *pw__lower_endless (const PwSchedule *compute, const PwStageEdges *edges,
                               const PwLowerOptions *options, int64_t iterations, GError **error);

/* minibatch.c: which micro-batches are summed into one update decides what scales their loss. */
void pw__minibatch_init (PwMiniBatch *minibatch, const PwExecProgram *program);
void pw__minibatch_clear (PwMiniBatch *minibatch);
void pw__minibatch_scale (PwMiniBatch *minibatch, const PwExec *exec);
/* LOSSES[per_minibatch], scaled, to the mean over the mini-batch. */
double pw__minibatch_loss (const PwMiniBatch *minibatch, const PwExecProgram *program,
                           const double *losses);

/* stream.c */
/* Micro-batch NUMBER moves into SLOT of the stage, once all of the one before has left. */
gboolean pw__stream_claim (PwWorker *worker, PwExecStage *stage, PwMicrobatch *slot, int64_t number,
                           GError **error);
/* The micro-batch has ended in the stage; or MICROBATCH NULL: the stage was updated. */
gboolean pw__stream_note_end (PwWorker *worker, PwExecStage *stage, const PwMicrobatch *microbatch,
                              GError **error);
/* With the executor's mutex held, by the caller of the run: hands out what is done. */
void pw__stream_report (PwStreamRun *stream, PwExec *exec);

/* versions.c: weights of asynchronous schedules. Old values are copied away before an update that
 * they outlive; the newest stay where they are. */
void pw__versions_begin (PwWorker *worker, PwExecStage *stage);
/* F: notes which weights the micro-batch is to use. */
void pw__versions_use (PwExecStage *stage, const PwStep *step, PwVersionRule rule);
/* NULL: the newest. */
const PwVersion *pw__versions_find (const PwExecStage *stage, const PwMicrobatch *microbatch);
/* The micro-batch needs its weights no more. */
void pw__versions_drop (PwWorker *worker, PwExecStage *stage, const PwMicrobatch *microbatch,
                        PwVersionRule rule);
/* Before an update. */
gboolean pw__versions_keep (PwWorker *worker, PwExecStage *stage, PwVersionRule rule,
                            GError **error);

/* marks.c: a device's time. Only where worker->marks is not NULL. */
typedef enum {
  PW_MARK_COMPUTE,
  PW_MARK_REDUCTION,
  PW_MARK_MESSAGE,
  PW_MARK_LAYER, /* these two: for a PwLayerTimer */
  PW_MARK_LAYER_UPDATE
} PwMarkKind;
#define PW_NO_MARK G_MAXUINT64
PwMarks *pw__marks_new (const PwBackend *backend);
void pw__marks_free (PwMarks *marks);
/* An event after all that was enqueued so far. */
gboolean pw__marks_record (PwWorker *worker, PwEvent **event, GError **error);
void pw__marks_give_event (PwWorker *worker, PwEvent *event);
gboolean pw__mark_begin (PwWorker *worker, PwMarkKind kind, uint64_t *number, GError **error);
gboolean pw__mark_end (PwWorker *worker, uint64_t number, const PwStep *step, int64_t bytes,
                       GError **error);
gboolean pw__mark_end_layer (PwWorker *worker, uint64_t number, int layer, PwPhase phase,
                             GError **error);
/* Before it is posted; PW_NO_MARK where nothing is traced. */
gboolean pw__mark_message (PwWorker *worker, PwAction action, const PwMicrobatch *microbatch,
                           int64_t bytes, uint64_t *number, GError **error);
/* After it was waited for. */
void pw__mark_message_done (PwWorker *worker, uint64_t number);
/* Figures and trace of what the device has done so far; never blocks. */
gboolean pw__marks_collect (PwWorker *worker, GError **error);
gboolean pw__marks_collect_many (PwWorker *worker, GError **error); /* if it is worth while */
/* Of a step that became a graph: its marks are kept, for each launch to be read. */
void pw__marks_keep (PwMarks *marks);
void pw__marks_drop_kept (PwMarks *marks);
gboolean pw__marks_launch (PwWorker *worker, GError **error); /* after the graph was launched */
/* Of a step that was not enqueued after all. */
void pw__marks_abandon (PwMarks *marks);
/* Waits for the device, but not beyond the timeout, and collects. */
gboolean pw__marks_finish (PwWorker *worker, GError **error);

/* The same where there may be no marks: then there are no events. */
static inline gboolean
pw__event_record (PwWorker *worker, PwEvent **event, GError **error) {
  *event = NULL;
  return !worker->marks || pw__marks_record (worker, event, error);
}
static inline void
pw__event_give (PwWorker *worker, PwEvent *event) {
  if (event)
    pw__marks_give_event (worker, event);
}
/* The time, or a mark, from which the action is busy. */
static inline gboolean
pw__note_start (PwWorker *worker, double *start, GError **error) {
  if (worker->marks)
    return pw__mark_begin (worker, PW_MARK_COMPUTE, &worker->mark, error);
  *start = pw__now_s ();
  return TRUE;
}

/* buffers.c */
gboolean pw__slot_take (PwWorker *worker, PwSlot *slot, PwMemoryCategory category, int64_t bytes,
                        int holders, GError **error);
/* The stage's own computation lets go; what edges still hold becomes a boundary tensor. */
void pw__slot_release (PwWorker *worker, PwSlot *slot);
/* An edge lets go. */
void pw__slot_drop (PwWorker *worker, PwSlot *slot);
void *pw__buffer_take (PwWorker *worker, PwMemoryCategory category, int64_t bytes, GError **error);
void pw__microbatch_drop_targets (PwWorker *worker, PwMicrobatch *microbatch);
/* Frees whatever the micro-batch still holds; of local edges, the consumer's first. */
void pw__microbatch_reset (PwWorker *worker, PwExecStage *stage, PwMicrobatch *microbatch);

/* messages.c */
gboolean pw__post_send (PwWorker *worker, const PwStep *step, GError **error);
gboolean pw__post_recv (PwWorker *worker, const PwStep *step, GError **error);
/* Until what the step, alone or the last of a group, has posted is done: where the policy says so.
 */
gboolean pw__block_program (PwWorker *worker, const PwStep *step, GError **error);
/* Everything F, or the backward, reads from outside is there when they return; the time waited is
 * added to the worker's figures. */
gboolean pw__gather_inputs (PwWorker *worker, const PwStep *step, GError **error);
gboolean pw__gather_gradients (PwWorker *worker, const PwStep *step, GError **error);
/* Lets go of what has been sent. */
void pw__poll_sends (PwWorker *worker);
/* On a device: memory that waits for the send that is under way longest comes back, in the order of
 * the stream. FALSE without an error: there is none. */
gboolean pw__finish_oldest_send (PwWorker *worker, GError **error);
gboolean pw__finish_sends (PwWorker *worker, GError **error);
/* Those of one micro-batch. */
gboolean pw__finish_sends_of (PwWorker *worker, PwMicrobatch *microbatch, GError **error);

/* The mini-batch an action belongs to, counted from the executor's first. */
static inline int32_t
pw__step_iteration (const PwWorker *worker, const PwStep *step) {
  const PwRun *run = &worker->exec->run;
  if (step->microbatch)
    return step->microbatch->iteration;
  return run->stream && step->stage->minibatch
             ? run->iteration + (int32_t)step->stage->minibatch->step
             : run->iteration;
}

/* compute.c: F, B, I, W, R, U. *START: when the inputs were there. */
gboolean pw__compute (PwWorker *worker, const PwStep *step, double *start, GError **error);

/* worker.c */
gboolean pw__worker_start (PwWorker *worker, GError **error);
/* All of the run in exec->run; on a device nothing is waited for. */
gboolean pw__worker_enqueue (PwWorker *worker, GError **error);
/* PwTask: the run in exec->run. */
gboolean pw__worker_run (PwWorker *worker, gpointer data, GError **error);

/* train.c: sorts VALUES; 0 of none. */
double pw__median (double *values, gsize n);

/* pin.c */
typedef struct PwPinning PwPinning;
/* NULL where the cores cannot be found out; then nothing is pinned. */
PwPinning *pw__pinning_new (void);
void pw__pinning_free (PwPinning *pinning);
/* Ties the calling thread to the core of RANK, one after another, again from the first when there
 * are more ranks than cores. */
void pw__pinning_apply (const PwPinning *pinning, int rank);
