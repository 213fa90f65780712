/* What needs no gnuplot: the timeline in characters, and refusals. */
#include <string.h>

#include "plots/plot.h"
#include "tests/traces/example_traces.h"

static char *
draw (const PwTrace *a, const PwTrace *b, const PwPlotOptions *options) {
  const PwTrace *traces[] = { a, b };
  g_autoptr (GError) error = NULL;
  char *text = NULL;
  pw_plot_timeline (traces, b != NULL ? 2 : 1, options, &text, &error);
  g_assert_no_error (error);
  g_assert_nonnull (text);
  return text;
}

/* 12 units, 4 columns each. */
static void
test_exact (void) {
  g_autoptr (PwTrace) trace = example_trace_1f1b (&(ExampleOneFOneB){
      .ranks = 2, .microbatches = 3, .forward = 1, .backward = 2, .unitless = TRUE });
  g_autofree char *text
      = draw (trace, NULL, &(PwPlotOptions){ .iteration = -1, .width = 12 * 4 + 8 + 7 });
  g_assert_cmpstr (text, ==,
                   "1f1b · 2 ranks × 3 micro-batches\n"
                   "simulated · iteration 12 time units · bubble 25.0 %\n"
                   "rank 0 |F0==F1==........B0######F2==B1######....B2######|  75 %\n"
                   "rank 1 |....F0==B0######F1==B1######F2==B2######........|  75 %\n"
                   "        0                   5                   10 time units\n"
                   "F= forward   B# backward   . idle   % busy\n");
}

/* A line of marks below each row, and an entry in the legend. */
static void
test_critical_path (void) {
  g_autoptr (PwTrace) trace = example_trace_1f1b (&(ExampleOneFOneB){
      .ranks = 2, .microbatches = 3, .forward = 1, .backward = 2, .unitless = TRUE });
  for (guint i = 0; i < trace->records->len; i++) {
    PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    record->is_critical = record->rank == 1 || record->start < 1 || record->end > 11;
  }
  g_autofree char *text
      = draw (trace, NULL, &(PwPlotOptions){ .iteration = -1, .width = 12 * 4 + 8 + 7 });
  g_assert_cmpstr (strstr (text, "rank 0"), ==,
                   "rank 0 |F0==F1==........B0######F2==B1######....B2######|  75 %\n"
                   "        ^^^^                                    ^^^^^^^^\n"
                   "rank 1 |....F0==B0######F1==B1######F2==B2######........|  75 %\n"
                   "            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
                   "        0                   5                   10 time units\n"
                   "F= forward   B# backward   ^ critical path   . idle   % busy\n");
}

static glong
longest_line (const char *text) {
  glong longest = 0;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++)
    longest = MAX (longest, g_utf8_strlen (lines[i], -1));
  return longest;
}

static void
test_width (void) {
  for (int repeat = 0; repeat < 60; repeat++) {
    g_autoptr (PwTrace) trace = example_trace_random ();
    PwPlotOptions options = { .iteration = -2,
                              .title = "random",
                              .width = g_test_rand_int_range (72, 140),
                              .memory = g_test_rand_bit () };
    const PwTrace *traces[] = { trace };
    g_autofree char *text = NULL;
    g_autoptr (GError) error = NULL;
    if (!pw_plot_timeline (traces, 1, &options, &text, &error)) {
      g_assert_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_EMPTY);
      continue;
    }
    g_assert_cmpint (longest_line (text), <=, MAX (options.width, 100));
    for (int r = 0; r < trace->info.ranks; r++) {
      g_autofree char *name = g_strdup_printf ("\nrank %d", r);
      g_assert_nonnull (strstr (text, name));
    }
  }
}

static gsize
count (const char *text, const char *word) {
  gsize n = 0;
  for (const char *at = text; (at = strstr (at, word)) != NULL; at += strlen (word))
    n++;
  return n;
}

/* 3 ranks of 400 forwards and backwards on 60 columns: the letters keep the 1 : 2 of their times.
 */
static void
test_proportion (void) {
  g_autoptr (PwTrace) trace = example_trace_1f1b (
      &(ExampleOneFOneB){ .ranks = 3, .microbatches = 400, .forward = 1e-3, .backward = 2e-3 });
  g_autofree char *text = draw (trace, NULL, &(PwPlotOptions){ .iteration = -1, .title = "" });
  const char *row = strstr (text, "rank 0");
  g_autofree char *line = g_strndup (row, (gsize)(strchr (row, '\n') - row));
  gsize forwards = count (line, "F"), backwards = count (line, "B");
  g_assert_cmpuint (forwards + backwards, >=, 80);
  g_assert_cmpuint (2 * forwards, >=, backwards - 4);
  g_assert_cmpuint (2 * forwards, <=, backwards + 4);
}

static void
test_two (void) {
  ExampleOneFOneB example = { .ranks = 2,
                              .microbatches = 4,
                              .forward = 1e-3,
                              .backward = 2e-3,
                              .memory = TRUE,
                              .messages = TRUE };
  g_autoptr (PwTrace) simulated = example_trace_1f1b (&example);
  example.jitter = 0.2;
  example.iterations = 5;
  g_autoptr (PwTrace) measured = example_trace_1f1b (&example);
  PwPlotOptions options = { .iteration = -1, .memory = TRUE, .messages = TRUE };
  g_autofree char *text = draw (simulated, measured, &options);
  g_assert_cmpuint (count (text, "\nrank "), ==, 4);
  g_assert_cmpuint (count (text, "GiB"), ==, 4);
  g_assert_true (strstr (text, "simulated") < strstr (text, "measured"));
  g_assert_nonnull (strstr (text, "of 5"));
}

static void
test_one_record (void) {
  g_autoptr (PwTrace) trace = pw_trace_new ();
  PwTraceRecord record = { .action = pw_action (PW_ACTION_FORWARD, 0, 0), .end = 1 };
  g_array_append_val (trace->records, record);
  pw_trace_finish (trace);
  g_autofree char *text = draw (trace, NULL, &(PwPlotOptions){ .iteration = -1 });
  g_assert_nonnull (strstr (text, "|F0===="));
  g_assert_nonnull (strstr (text, "bubble 0.0 %"));
}

static void
expect_error (const PwTrace *trace, const PwPlotOptions *options, PwPlotError code,
              const char *what) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_assert_false (pw_plot_timeline (&trace, 1, options, &text, &error));
  g_assert_null (text);
  g_assert_error (error, PW_PLOT_ERROR, code);
  g_assert_nonnull (strstr (error->message, what));
}

static void
test_refused (void) {
  g_autoptr (PwTrace) empty = pw_trace_new ();
  pw_trace_finish (empty);
  expect_error (empty, &(PwPlotOptions){ .iteration = -1 }, PW_PLOT_ERROR_EMPTY, "no action");
  g_autoptr (PwTrace) trace = example_trace_1f1b (
      &(ExampleOneFOneB){ .ranks = 1, .microbatches = 1, .forward = 1, .backward = 1 });
  expect_error (trace, &(PwPlotOptions){ .iteration = 3 }, PW_PLOT_ERROR_EMPTY,
                "iteration 3 of the trace (0 to 0)");
  expect_error (trace, &(PwPlotOptions){ .output = "a.gif" }, PW_PLOT_ERROR_FORMAT, "a.gif");
  expect_error (trace, &(PwPlotOptions){ .output = "/nowhere/a.svg" }, PW_PLOT_ERROR_GNUPLOT,
                "/nowhere/a.svg: cannot be written");
  PwPlotSeries series = { .label = "empty" };
  g_autoptr (GError) error = NULL;
  g_assert_false (
      pw_plot_series (&series, 1, "x", "y", FALSE, &(PwPlotOptions){ .width = 0 }, NULL, &error));
  g_assert_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_EMPTY);
}

static void
test_missing_gnuplot (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "a.svg", NULL);
  g_autofree char *programs = g_strdup (g_getenv ("PATH"));
  g_autoptr (PwTrace) trace = example_trace_1f1b (
      &(ExampleOneFOneB){ .ranks = 1, .microbatches = 1, .forward = 1, .backward = 1 });
  g_setenv ("PATH", folder, TRUE);
  expect_error (trace, &(PwPlotOptions){ .output = path }, PW_PLOT_ERROR_GNUPLOT,
                "gnuplot is not installed");
  g_setenv ("PATH", programs, TRUE);
  example_folder_remove (folder); /* fails if anything was left in it */
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plots/text/the-critical-path-is-marked-below-the-rows", test_critical_path);
  g_test_add_func ("/plots/text/is-exact-where-columns-divide-time", test_exact);
  g_test_add_func ("/plots/text/keeps-to-its-width", test_width);
  g_test_add_func ("/plots/text/letters-keep-the-proportion-of-times", test_proportion);
  g_test_add_func ("/plots/text/shows-two-traces-on-one-axis", test_two);
  g_test_add_func ("/plots/text/draws-a-single-record", test_one_record);
  g_test_add_func ("/plots/refuses-what-cannot-be-drawn", test_refused);
  g_test_add_func ("/plots/a-missing-gnuplot-is-named", test_missing_gnuplot);
  return g_test_run ();
}
