/* The definitions of the project. Messages neither start nor end anything: a receive is posted long
 * before its data exist. */
#include "traces/trace_private.h"

typedef struct {
  gboolean present;
  double start, end, busy;
} Iteration;

static gint
compare_doubles (gconstpointer left, gconstpointer right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

double
pw__trace_median (double *values, gsize n) {
  if (n == 0)
    return 0;
  qsort (values, n, sizeof *values, compare_doubles);
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void
widen (Iteration *iteration, const PwTraceRecord *record) {
  if (!iteration->present) {
    *iteration = (Iteration){ .present = TRUE, .start = record->start, .end = record->end };
    return;
  }
  iteration->start = MIN (iteration->start, record->start);
  iteration->end = MAX (iteration->end, record->end);
}

/* Adds one compute record; the two of an overlapped pair are one interval. COVERED is the end of
 * what the rank has computed so far. */
static void
add_compute (PwTraceRank *rank, Iteration *iteration, const PwTraceRecord *record,
             double *covered) {
  gboolean is_first = rank->first_start > rank->last_end;
  if (is_first) {
    rank->first_start = record->start;
    rank->last_end = record->end;
    *covered = record->start;
  }
  double from = MAX (record->start, *covered);
  double busy = MAX (0, record->end - from);
  rank->busy_time += busy;
  iteration->busy += busy;
  if (!is_first)
    rank->steady_idle += MAX (0, record->start - *covered);
  *covered = MAX (*covered, record->end);
  rank->last_end = *covered;
  const PwActionKindInfo *kind = &pw_action_kinds[record->action.kind];
  if (record->action.kind == PW_ACTION_RECOMPUTE)
    rank->recompute_time += record->end - record->start;
  rank->actions += kind->is_counted;
}

static void
add_memory (PwTraceSummary *summary, const PwTrace *trace) {
  for (guint i = 0; i < trace->memory->len; i++) {
    const PwTraceMemory *sample = &g_array_index (trace->memory, PwTraceMemory, i);
    g_assert (sample->rank >= 0 && sample->rank < summary->n_ranks);
    int64_t bytes = 0;
    for (int c = 0; c < PW_MEMORY_N; c++)
      bytes += sample->bytes[c];
    PwTraceRank *rank = &summary->ranks[sample->rank];
    rank->peak_memory_bytes = MAX (rank->peak_memory_bytes, bytes);
  }
}

/* The first iteration also fills the pipeline: of several it is only the mark from which the next
 * one's end is measured. */
static void
close_iterations (PwTraceSummary *summary, const Iteration *iterations, int n) {
  g_autofree double *intervals = g_new (double, (gsize)MAX (n, 1));
  gsize n_intervals = 0, n_present = 0;
  double first_busy = 0, later_busy = 0, previous_end = 0;
  for (int k = 0; k < n; k++) {
    const Iteration *iteration = &iterations[k];
    if (!iteration->present)
      continue;
    if (n_present == 0) {
      summary->start = iteration->start;
      summary->end = iteration->end;
      first_busy = iteration->busy;
    } else {
      intervals[n_intervals++] = iteration->end - previous_end;
      later_busy += iteration->busy;
    }
    summary->start = MIN (summary->start, iteration->start);
    summary->end = MAX (summary->end, iteration->end);
    summary->busy_time += iteration->busy;
    previous_end = iteration->end;
    n_present++;
  }
  double busy = n_present > 1 ? later_busy / (double)(n_present - 1) : first_busy;
  summary->iteration_time
      = n_present > 1 ? pw__trace_median (intervals, n_intervals) : summary->end - summary->start;
  summary->ideal_time = summary->n_ranks > 0 ? busy / summary->n_ranks : 0;
  if (summary->iteration_time > 0)
    summary->bubble_fraction = 1 - summary->ideal_time / summary->iteration_time;
  if (summary->ideal_time > 0)
    summary->bubble_ratio = (summary->iteration_time - summary->ideal_time) / summary->ideal_time;
}

static void
close_ranks (PwTraceSummary *summary) {
  for (int r = 0; r < summary->n_ranks; r++) {
    PwTraceRank *rank = &summary->ranks[r];
    if (rank->first_start > rank->last_end)
      rank->first_start = rank->last_end = summary->end; /* never computed: all warm-up */
    rank->warmup_idle = rank->first_start - summary->start;
    rank->drain_idle = summary->end - rank->last_end;
    rank->idle_time = rank->warmup_idle + rank->steady_idle + rank->drain_idle;
  }
}

PwTraceSummary *
pw__trace_summarise_range (const PwTrace *trace, int first, int last) {
  last = MIN (last, trace->info.iterations - 1);
  first = MAX (first, 0);
  int n = MAX (0, last - first + 1);
  PwTraceSummary *summary = g_new0 (PwTraceSummary, 1);
  summary->n_ranks = trace->info.ranks;
  summary->ranks = g_new0 (PwTraceRank, (gsize)MAX (summary->n_ranks, 1));
  g_autofree double *covered = g_new0 (double, (gsize)MAX (summary->n_ranks, 1));
  for (int r = 0; r < summary->n_ranks; r++)
    summary->ranks[r] = (PwTraceRank){ .rank = r, .first_start = 1, .last_end = 0 };
  g_autofree Iteration *iterations = g_new0 (Iteration, (gsize)MAX (n, 1));
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    if (record->iteration < first || record->iteration > last || pw__trace_is_message (record))
      continue;
    g_assert (record->rank >= 0 && record->rank < summary->n_ranks);
    Iteration *iteration = &iterations[record->iteration - first];
    widen (iteration, record);
    if (pw_action_kinds[record->action.kind].is_compute)
      add_compute (&summary->ranks[record->rank], iteration, record, &covered[record->rank]);
  }
  close_iterations (summary, iterations, n);
  close_ranks (summary);
  add_memory (summary, trace);
  return summary;
}

PwTraceSummary *
pw_trace_summarise (const PwTrace *trace, int first_iteration) {
  return pw__trace_summarise_range (trace, first_iteration, G_MAXINT);
}

void
pw_trace_summary_free (PwTraceSummary *summary) {
  if (summary == NULL)
    return;
  g_free (summary->ranks);
  g_free (summary);
}

typedef struct {
  int iteration;
  double time;
} Timed;

static gint
compare_timed (gconstpointer left, gconstpointer right) {
  const Timed *a = left, *b = right;
  if (a->time != b->time)
    return a->time < b->time ? -1 : 1;
  return (a->iteration > b->iteration) - (a->iteration < b->iteration);
}

int
pw_trace_median_iteration (const PwTrace *trace) {
  int n = trace->info.iterations;
  g_autofree Iteration *iterations = g_new0 (Iteration, (gsize)MAX (n, 1));
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    if (!pw__trace_is_message (record))
      widen (&iterations[record->iteration], record);
  }
  g_autofree Timed *timed = g_new (Timed, (gsize)MAX (n, 1));
  gsize n_timed = 0;
  int previous = -1, first = 0;
  for (int k = 0; k < n; k++) {
    if (!iterations[k].present)
      continue;
    if (previous < 0)
      first = k;
    else
      timed[n_timed++]
          = (Timed){ .iteration = k, .time = iterations[k].end - iterations[previous].end };
    previous = k;
  }
  if (n_timed == 0)
    return first;
  qsort (timed, n_timed, sizeof *timed, compare_timed);
  return timed[(n_timed - 1) / 2].iteration;
}
