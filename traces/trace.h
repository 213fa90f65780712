/* What happened, or what would: one record per action, the same for a simulated and a measured run.
 * Times are seconds from the start of the trace, or unitless where costs are synthetic. */
#pragma once
#include "schedules/action.h"
#include "traces/category.h"

typedef struct {
  PwAction action;
  int32_t rank;
  int32_t iteration;    /* from 0 */
  int64_t bytes;        /* of a message, else 0 */
  double start, end;    /* a message: its transfer (simulated), call to completion (measured) */
  gboolean is_critical; /* on the critical path, where a simulation was asked for it */
} PwTraceRecord;

/* Bytes in use on a rank from TIME on. */
typedef struct {
  double time;
  int32_t rank;
  int64_t bytes[PW_MEMORY_N];
} PwTraceMemory;

/* A rank does nothing from START to END, and why; simulations know. */
typedef struct {
  double start, end;
  int32_t rank;
  PwIdleCause cause;
} PwTraceIdle;

typedef struct {
  char *source;                       /* "simulated" or "measured" */
  char *schedule;                     /* "1f1b" */
  char *model;                        /* "gpt", NULL for synthetic costs */
  char *policy, *transport, *backend; /* NULL where there is none */
  gboolean unitless;
  int ranks, stages, microbatches, chunks;
  int iterations;
  char *clock; /* how the ranks' clocks agree: "one clock", ... */
} PwTraceInfo;

typedef struct {
  PwTraceInfo info;
  GArray *records; /* PwTraceRecord, ordered by (rank, start); compute and messages */
  GArray *memory;  /* PwTraceMemory, ordered by (rank, time) */
  GArray *idle;    /* PwTraceIdle, ordered by (rank, start); empty: not known */
} PwTrace;

PwTrace *pw_trace_new (void);
void pw_trace_free (PwTrace *trace);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTrace, pw_trace_free)
/* After the last record was added: sorts (equal starts keep the order they were added in), sets
 * info.iterations to the largest number + 1, and those of ranks, stages, micro-batches and chunks
 * that are 0 to what the records show. */
void pw_trace_finish (PwTrace *trace);
/* Invariants: order, ranks and stages in range, finite times that do not run backwards, no two
 * computes of a rank overlap (pairs excepted). Errors are PW_TRACE_ERROR_FORMAT (traces/chrome.h)
 * and name the record. An empty trace is in order. */
gboolean pw_trace_check (const PwTrace *trace, GError **error);

/* The definitions of the project: see docs. Each per rank, all iterations together. An overlapped
 * pair is one interval. A rank that never computes has only warm-up. */
typedef struct {
  int rank;
  double busy_time; /* compute, R and U included */
  double recompute_time;
  double first_start, last_end;                           /* of compute */
  double idle_time, warmup_idle, steady_idle, drain_idle; /* within [trace start, trace end] */
  int64_t actions;                                        /* F B I W */
  int64_t peak_memory_bytes; /* of the whole trace, iterations left out included */
} PwTraceRank;
typedef struct {
  double start, end;      /* first start, last end; messages do not count */
  double iteration_time;  /* one iteration: end - start; more: median of (end_k - end_(k-1)) */
  double busy_time;       /* sum of the ranks' */
  double ideal_time;      /* busy time of one iteration / ranks; more: mean, without the first */
  double bubble_fraction; /* 1 - ideal_time / iteration_time */
  double bubble_ratio;    /* (iteration_time - ideal_time) / ideal_time */
  int n_ranks;
  PwTraceRank *ranks;
} PwTraceSummary;
/* Iterations below FIRST_ITERATION (warm-up) are left out. Nothing left: all 0. */
PwTraceSummary *pw_trace_summarise (const PwTrace *trace, int first_iteration);
void pw_trace_summary_free (PwTraceSummary *summary);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTraceSummary, pw_trace_summary_free)

/* The iteration that stands for all: of several the one with the (lower) median of
 * end_k - end_(k-1), which leaves out the first; else the only one. */
int pw_trace_median_iteration (const PwTrace *trace);
