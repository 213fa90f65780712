#include <math.h>

#include "tests/traces/example_traces.h"
#include "traces/chrome.h"

/* Between equal stages 1F1B idles (P - 1)(F + B), whatever M. */
static void
test_bubble (void) {
  for (int repeat = 0; repeat < 30; repeat++) {
    ExampleOneFOneB example = { .ranks = g_test_rand_int_range (1, 9),
                                .microbatches = g_test_rand_int_range (1, 20),
                                .forward = g_test_rand_int_range (1, 5),
                                .backward = g_test_rand_int_range (1, 9) };
    g_autoptr (PwTrace) trace = example_trace_1f1b (&example);
    g_autoptr (GError) error = NULL;
    pw_trace_check (trace, &error);
    g_assert_no_error (error);
    g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, 0);
    double work = example.microbatches * (example.forward + example.backward);
    double idle = (example.ranks - 1) * (example.forward + example.backward);
    g_assert_cmpfloat (summary->iteration_time, ==, work + idle);
    g_assert_cmpfloat (summary->ideal_time, ==, work);
    g_assert_cmpfloat_with_epsilon (summary->bubble_ratio, idle / work, 1e-12);
    g_assert_cmpfloat_with_epsilon (summary->bubble_fraction, idle / (work + idle), 1e-12);
    for (int r = 0; r < example.ranks; r++) {
      g_assert_cmpfloat (summary->ranks[r].idle_time, ==, idle);
      g_assert_cmpfloat (summary->ranks[r].warmup_idle, ==, r * example.forward);
      g_assert_cmpfloat (summary->ranks[r].drain_idle, ==, r * example.backward);
      g_assert_cmpint (summary->ranks[r].actions, ==, 2 * example.microbatches);
    }
  }
}

static gboolean
is_in_window (const PwTraceRecord *record, int first) {
  const PwActionKindInfo *kind = &pw_action_kinds[record->action.kind];
  return record->iteration >= first && !kind->is_send && !kind->is_recv;
}

/* The measure of a union of intervals, the slow way: every piece between two neighbouring ends. */
static double
naive_busy (const PwTrace *trace, int rank, int first) {
  double busy = 0, from = -INFINITY;
  for (;;) {
    double to = INFINITY;
    gboolean is_busy = FALSE;
    for (guint i = 0; i < trace->records->len; i++) {
      const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
      if (record->rank != rank || !is_in_window (record, first)
          || !pw_action_kinds[record->action.kind].is_compute)
        continue;
      if (record->start > from)
        to = MIN (to, record->start);
      if (record->end > from)
        to = MIN (to, record->end);
      is_busy |= record->start <= from && record->end > from;
    }
    if (is_busy)
      busy += to - from;
    if (isinf (to))
      return busy;
    from = to;
  }
}

static void
test_naive (void) {
  for (int repeat = 0; repeat < 40; repeat++) {
    g_autoptr (PwTrace) trace = example_trace_random ();
    int first = g_test_rand_int_range (0, 2);
    g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, first);
    double start = INFINITY, end = -INFINITY, total = 0;
    for (guint i = 0; i < trace->records->len; i++) {
      const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
      if (is_in_window (record, first)) {
        start = MIN (start, record->start);
        end = MAX (end, record->end);
      }
    }
    if (isinf (start))
      continue;
    g_assert_cmpfloat (summary->start, ==, start);
    g_assert_cmpfloat (summary->end, ==, end);
    for (int r = 0; r < trace->info.ranks; r++) {
      const PwTraceRank *rank = &summary->ranks[r];
      double busy = naive_busy (trace, r, first), epsilon = 1e-9 * (1 + fabs (end));
      total += busy;
      g_assert_cmpfloat_with_epsilon (rank->busy_time, busy, epsilon);
      g_assert_cmpfloat_with_epsilon (rank->busy_time + rank->idle_time, end - start, epsilon);
      g_assert_cmpfloat (rank->warmup_idle + rank->steady_idle + rank->drain_idle, ==,
                         rank->idle_time);
    }
    g_assert_cmpfloat_with_epsilon (summary->busy_time, total, 1e-9 * (1 + total));
  }
}

static void
test_iterations (void) {
  ExampleOneFOneB example = {
    .ranks = 3, .microbatches = 4, .iterations = 5, .forward = 1, .backward = 2, .unitless = TRUE
  };
  g_autoptr (PwTrace) trace = example_trace_1f1b (&example);
  g_assert_cmpint (trace->info.iterations, ==, 5);
  for (int first = 0; first < 5; first++) {
    g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, first);
    g_assert_cmpfloat (summary->iteration_time, ==, 18);
    g_assert_cmpfloat (summary->ideal_time, ==, 12);
    g_assert_cmpfloat (summary->busy_time, ==, 3 * 12 * (5 - first));
  }
}

/* Iteration 2 is slow and 0 fast: neither stands for all. */
static void
test_median_iteration (void) {
  static const double ends[] = { 1, 11, 51, 60, 71.5 };
  g_autoptr (PwTrace) trace = pw_trace_new ();
  double start = 0;
  for (int k = 0; k < 5; k++) {
    PwTraceRecord record = {
      .action = pw_action (PW_ACTION_FORWARD, 0, 0), .iteration = k, .start = start, .end = ends[k]
    };
    g_array_append_val (trace->records, record);
    start = ends[k];
  }
  pw_trace_finish (trace);
  g_assert_cmpint (pw_trace_median_iteration (trace), ==, 1);
  g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, 0);
  g_assert_cmpfloat (summary->iteration_time, ==, (10 + 11.5) / 2);
}

static void
test_pair (void) {
  g_autoptr (PwTrace) trace = pw_trace_new ();
  PwTraceRecord record = { .action = pw_action (PW_ACTION_FORWARD, 0, 1), .start = 1, .end = 4 };
  record.action.paired = 1;
  g_array_append_val (trace->records, record);
  record.action = pw_action (PW_ACTION_BACKWARD, 0, 0);
  g_array_append_val (trace->records, record);
  pw_trace_finish (trace);
  g_assert_true (pw_trace_check (trace, NULL));
  g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, 0);
  g_assert_cmpfloat (summary->ranks[0].busy_time, ==, 3);
  g_assert_cmpint (summary->ranks[0].actions, ==, 2);
  g_array_index (trace->records, PwTraceRecord, 0).action.paired = 0;
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_trace_check (trace, &error));
  g_assert_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "0B0"));
}

static void
test_empty (void) {
  g_autoptr (PwTrace) trace = pw_trace_new ();
  pw_trace_finish (trace);
  g_assert_true (pw_trace_check (trace, NULL));
  g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, 0);
  g_assert_cmpfloat (summary->iteration_time, ==, 0);
  g_assert_cmpfloat (summary->bubble_fraction, ==, 0);
  g_assert_cmpint (pw_trace_median_iteration (trace), ==, 0);
}

typedef struct {
  const char *what;
  PwTraceRecord record;
} BadRecord;

static void
test_check (void) {
  static const BadRecord cases[] = {
    { .what = "rank", .record = { .rank = 2, .end = 1 } },
    { .what = "rank", .record = { .rank = -1, .end = 1 } },
    { .what = "stage", .record = { .action = { .stage = 2 }, .end = 1 } },
    { .what = "iteration", .record = { .iteration = -1, .end = 1 } },
    { .what = "number", .record = { .end = INFINITY } },
    { .what = "number", .record = { .start = NAN, .end = 1 } },
    { .what = "before it starts", .record = { .start = 1 } },
    { .what = "bytes", .record = { .bytes = -1, .end = 1 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (PwTrace) trace = pw_trace_new ();
    trace->info.ranks = trace->info.stages = 2;
    g_array_append_val (trace->records, cases[i].record);
    g_autoptr (GError) error = NULL;
    g_assert_false (pw_trace_check (trace, &error));
    g_assert_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT);
    g_assert_nonnull (strstr (error->message, cases[i].what));
  }
}

static void
test_peak (void) {
  ExampleOneFOneB example
      = { .ranks = 4, .microbatches = 8, .forward = 1, .backward = 2, .memory = TRUE };
  g_autoptr (PwTrace) trace = example_trace_1f1b (&example);
  g_autoptr (PwTraceSummary) summary = pw_trace_summarise (trace, 0);
  for (int r = 0; r < 4; r++)
    g_assert_cmpint (summary->ranks[r].peak_memory_bytes, ==,
                     (6LL << 30) + (4 - r) * (700LL << 20));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/traces/summary/1f1b-bubble-equals-closed-form", test_bubble);
  g_test_add_func ("/traces/summary/equals-a-naive-computation", test_naive);
  g_test_add_func ("/traces/summary/iteration-time-is-that-of-one-of-many", test_iterations);
  g_test_add_func ("/traces/summary/median-iteration-stands-for-all", test_median_iteration);
  g_test_add_func ("/traces/summary/a-pair-is-one-interval", test_pair);
  g_test_add_func ("/traces/summary/nothing-of-an-empty-trace", test_empty);
  g_test_add_func ("/traces/summary/peak-memory-is-the-largest-sum", test_peak);
  g_test_add_func ("/traces/check/names-the-bad-record", test_check);
  return g_test_run ();
}
