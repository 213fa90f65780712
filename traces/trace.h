/* What happened, or what would: one record per action, the same for a simulated and a measured run.
 * Times are seconds from the start of the trace, or unitless where costs are synthetic. */
#pragma once
#include "schedules/action.h"
#include "traces/category.h"

typedef struct {
  PwAction action;
  int32_t rank;
  int32_t iteration;  /* from 0 */
  int64_t bytes;      /* of a message, else 0 */
  double start, end;  /* a message: transfer start to end (simulated), call to completion (measured) */
} PwTraceRecord;

/* Bytes in use on a rank from TIME on. */
typedef struct {
  double time;
  int32_t rank;
  int64_t bytes[PW_MEMORY_N];
} PwTraceMemory;

typedef struct {
  char *source;   /* "simulated" or "measured" */
  char *schedule; /* "1f1b" */
  char *model;    /* "gpt", NULL for synthetic costs */
  char *policy, *transport, *backend; /* NULL where there is none */
  gboolean unitless;
  int ranks, stages, microbatches, chunks;
  int iterations;
  char *clock;    /* how the ranks' clocks agree: "one clock", ... */
} PwTraceInfo;

typedef struct {
  PwTraceInfo info;
  GArray *records; /* PwTraceRecord, ordered by (rank, start); compute and messages */
  GArray *memory;  /* PwTraceMemory, ordered by (rank, time) */
} PwTrace;

PwTrace *pw_trace_new (void);
void pw_trace_free (PwTrace *trace);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTrace, pw_trace_free)
/* Sorts and counts; after the last record was added. */
void pw_trace_finish (PwTrace *trace);
/* Invariants: order, ranks in range, no two computes of a rank overlap (pairs excepted). */
gboolean pw_trace_check (const PwTrace *trace, GError **error);

/* The definitions of the project: see docs. Each per rank, all iterations together. */
typedef struct {
  int rank;
  double busy_time;      /* compute, R and U included */
  double recompute_time;
  double first_start, last_end; /* of compute */
  double idle_time, warmup_idle, steady_idle, drain_idle; /* within [trace start, trace end] */
  int64_t actions;       /* F B I W */
  int64_t peak_memory_bytes;
} PwTraceRank;
typedef struct {
  double start, end;      /* first start, last end */
  double iteration_time;  /* one iteration: end - start; more: median of (end_k - end_(k-1)) */
  double busy_time, ideal_time;
  double bubble_fraction; /* 1 - busy / (ranks * (end - start)); more iterations: of the last ones */
  double bubble_ratio;
  int n_ranks;
  PwTraceRank *ranks;
} PwTraceSummary;
/* Iterations below FIRST_ITERATION (warm-up) are left out. */
PwTraceSummary *pw_trace_summarise (const PwTrace *trace, int first_iteration);
void pw_trace_summary_free (PwTraceSummary *summary);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTraceSummary, pw_trace_summary_free)
