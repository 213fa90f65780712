#include <math.h>

#include "tests/traces/example_traces.h"
#include "traces/chrome.h"
#include "traces/diff.h"

static PwTrace *
make_trace (int ranks, int iterations) {
  return example_trace_1f1b (&(ExampleOneFOneB){ .ranks = ranks,
                                                 .microbatches = 6,
                                                 .iterations = iterations,
                                                 .forward = 1,
                                                 .backward = 2,
                                                 .memory = TRUE,
                                                 .messages = TRUE });
}

static PwTraceDiff *
compare (const PwTrace *a, const PwTrace *b) {
  g_autoptr (GError) error = NULL;
  PwTraceDiff *diff = pw_trace_diff (a, b, &error);
  g_assert_no_error (error);
  g_assert_nonnull (diff);
  return diff;
}

static void
test_itself (void) {
  for (int iterations = 1; iterations < 5; iterations++) {
    g_autoptr (PwTrace) trace = make_trace (3, iterations);
    g_autoptr (PwTraceDiff) diff = compare (trace, trace);
    g_assert_cmpint (diff->matched, ==, 2 * 3 * 6);
    g_assert_cmpint (diff->only_in_a, ==, 0);
    g_assert_cmpint (diff->only_in_b, ==, 0);
    g_assert_cmpfloat (diff->relative_error, ==, 0);
    g_assert_cmpfloat (diff->p95_start_error, ==, 0);
    g_assert_cmpfloat (diff->median_duration_error, ==, 0);
    g_assert_cmpfloat (diff->a_iteration_time, ==, 24);
    g_assert_cmpint (diff->n_worst, ==, 10);
    for (int r = 0; r < diff->n_ranks; r++) {
      g_assert_cmpfloat (diff->ranks[r].a_busy, ==, 18);
      g_assert_cmpfloat (diff->ranks[r].a_idle, ==, diff->ranks[r].b_idle);
      g_assert_cmpint (diff->ranks[r].a_peak_memory_bytes, >, 0);
    }
  }
}

static void
transform (PwTrace *trace, double factor, double shift) {
  for (guint i = 0; i < trace->records->len; i++) {
    PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    record->start = record->start * factor + shift;
    record->end = record->end * factor + shift;
  }
}

static void
test_shifted (void) {
  g_autoptr (PwTrace) a = make_trace (4, 1), b = make_trace (4, 1);
  transform (b, 1, 100);
  g_autoptr (PwTraceDiff) diff = compare (a, b);
  g_assert_cmpfloat (diff->relative_error, ==, 0);
  g_assert_cmpfloat (diff->p95_start_error, ==, 0);
}

/* B twice as long: A's iteration is half, an action at t starts t too early. */
static void
test_stretched (void) {
  g_autoptr (PwTrace) a = make_trace (4, 3), b = make_trace (4, 3);
  transform (b, 2, 0);
  g_autoptr (PwTraceDiff) diff = compare (a, b);
  g_assert_cmpfloat_with_epsilon (diff->relative_error, -0.5, 1e-12);
  g_assert_cmpfloat_with_epsilon (diff->a_bubble_fraction, diff->b_bubble_fraction, 1e-12);
  g_assert_cmpfloat (diff->p95_start_error, >, diff->median_start_error);
  g_assert_cmpfloat (diff->p95_start_error, <, 0.5);
  const PwTraceDiffAction *worst = &diff->worst[0];
  g_assert_cmpint (worst->rank, ==, 0);
  g_assert_cmpint (worst->action.kind, ==, PW_ACTION_BACKWARD);
  g_assert_cmpint (worst->action.microbatch % 6, ==, 5);
  g_assert_cmpfloat (worst->b_start, ==, 2 * worst->a_start);
  for (int i = 1; i < diff->n_worst; i++)
    g_assert_cmpfloat (fabs (diff->worst[i - 1].a_start - diff->worst[i - 1].b_start), >=,
                       fabs (diff->worst[i].a_start - diff->worst[i].b_start));
}

static void
test_missing (void) {
  g_autoptr (PwTrace) a = make_trace (2, 1), b = make_trace (2, 1);
  g_array_remove_index (a->records, 0);
  guint last = b->records->len - 1;
  while (!pw_action_kinds[g_array_index (b->records, PwTraceRecord, last).action.kind].is_compute)
    last--;
  g_array_remove_index (b->records, last);
  g_assert_true (pw_trace_check (a, NULL));
  g_autoptr (PwTraceDiff) diff = compare (a, b);
  g_assert_cmpint (diff->matched, ==, 2 * 2 * 6 - 2);
  g_assert_cmpint (diff->only_in_a, ==, 1);
  g_assert_cmpint (diff->only_in_b, ==, 1);
}

/* An unrolled list counts its micro-batches on, a run starts again from 0. */
static void
test_unrolled (void) {
  g_autoptr (PwTrace) a = make_trace (2, 3), b = make_trace (2, 3);
  for (guint i = 0; i < a->records->len; i++) {
    PwTraceRecord *record = &g_array_index (a->records, PwTraceRecord, i);
    record->action.microbatch
        = (record->action.microbatch + 6u * (guint)record->iteration) & 0xffffff;
  }
  g_autoptr (PwTraceDiff) diff = compare (a, b);
  g_assert_cmpint (diff->matched, ==, 24);
  g_assert_cmpfloat (diff->p95_start_error, ==, 0);
}

static void
expect_mismatch (const PwTrace *a, const PwTrace *b, const char *what) {
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_trace_diff (a, b, &error));
  g_assert_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, what));
}

static void
test_mismatch (void) {
  g_autoptr (PwTrace) a = make_trace (2, 1), b = make_trace (3, 1), c = make_trace (2, 1);
  expect_mismatch (a, b, "2 ranks, the second 3");
  c->info.stages = 4;
  expect_mismatch (a, c, "2 stages, the second 4");
  c->info.stages = 2;
  c->info.unitless = TRUE;
  expect_mismatch (a, c, "the second trace counts in time units");
  c->info.unitless = FALSE;
  for (guint i = 0; i < c->records->len; i++) {
    PwTraceRecord *record = &g_array_index (c->records, PwTraceRecord, i);
    record->action.direction = 1;
  }
  expect_mismatch (a, c, "in common");
  g_array_set_size (c->records, 0);
  expect_mismatch (a, c, "in common");
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/traces/diff/of-a-trace-with-itself-is-zero", test_itself);
  g_test_add_func ("/traces/diff/a-shift-makes-no-difference", test_shifted);
  g_test_add_func ("/traces/diff/a-stretch-is-found-in-every-figure", test_stretched);
  g_test_add_func ("/traces/diff/counts-what-only-one-has", test_missing);
  g_test_add_func ("/traces/diff/counts-microbatches-within-the-iteration", test_unrolled);
  g_test_add_func ("/traces/diff/refuses-what-cannot-be-compared", test_mismatch);
  return g_test_run ();
}
