/* Whether pictures are beautiful only eyes can say; here they are whole, well formed and small. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plots/plot.h"
#include "tests/traces/example_traces.h"

#define TITLE "a_b^c {x} 'q' \"r\" <&> ~@ \\n"

static char *
read_file (const char *path, gsize *bytes) {
  g_autoptr (GError) error = NULL;
  char *text = NULL;
  g_file_get_contents (path, &text, bytes, &error);
  g_assert_no_error (error);
  return text;
}

typedef struct {
  GString *text; /* of all text elements, a line each */
  gsize n_polygons, n_images;
} Svg;

static void
on_start (GMarkupParseContext *context, const char *name, const char **keys, const char **values,
          gpointer data, GError **error) {
  (void)context;
  (void)keys;
  (void)values;
  (void)error;
  Svg *svg = data;
  svg->n_polygons += strcmp (name, "polygon") == 0;
  svg->n_images += strcmp (name, "image") == 0;
}

static void
on_end (GMarkupParseContext *context, const char *name, gpointer data, GError **error) {
  (void)context;
  (void)error;
  Svg *svg = data;
  if (strcmp (name, "text") == 0)
    g_string_append_c (svg->text, '\n');
}

static void
on_text (GMarkupParseContext *context, const char *text, gsize length, gpointer data,
         GError **error) {
  (void)error;
  Svg *svg = data;
  const char *element = g_markup_parse_context_get_element (context);
  if (g_strcmp0 (element, "text") == 0 || g_strcmp0 (element, "tspan") == 0)
    g_string_append_len (svg->text, text, (gssize)length);
}

static Svg
parse_svg (const char *path) {
  static const GMarkupParser parser
      = { .start_element = on_start, .end_element = on_end, .text = on_text };
  gsize bytes;
  g_autofree char *text = read_file (path, &bytes);
  Svg svg = { .text = g_string_new (NULL) };
  g_autoptr (GError) error = NULL;
  GMarkupParseContext *context = g_markup_parse_context_new (&parser, 0, &svg, NULL);
  g_markup_parse_context_parse (context, text, (gssize)bytes, &error);
  g_assert_no_error (error);
  g_markup_parse_context_end_parse (context, &error);
  g_assert_no_error (error);
  g_markup_parse_context_free (context);
  return svg;
}

static void
assert_whole (const char *path) {
  static const struct {
    const char *ending, *start;
  } formats[] = { { ".png", "\x89PNG\r\n\x1a\n" }, { ".pdf", "%PDF-" }, { ".svg", "<?xml" } };
  gsize bytes;
  g_autofree char *text = read_file (path, &bytes);
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    if (g_str_has_suffix (path, formats[i].ending)) {
      g_assert_cmpuint (bytes, >, 1000);
      g_assert_cmpint (memcmp (text, formats[i].start, strlen (formats[i].start)), ==, 0);
    }
}

static void
draw (const PwTrace *a, const PwTrace *b, const PwPlotOptions *options) {
  const PwTrace *traces[] = { a, b };
  g_autoptr (GError) error = NULL;
  pw_plot_timeline (traces, b != NULL ? 2 : 1, options, NULL, &error);
  g_assert_no_error (error);
  assert_whole (options->output);
}

static PwTrace *
make_trace (int ranks, int microbatches, double jitter) {
  return example_trace_1f1b (&(ExampleOneFOneB){ .ranks = ranks,
                                                 .microbatches = microbatches,
                                                 .iterations = jitter > 0 ? 3 : 1,
                                                 .forward = 1e-3,
                                                 .backward = 2e-3,
                                                 .latency = 1e-4,
                                                 .jitter = jitter,
                                                 .memory = TRUE,
                                                 .messages = TRUE });
}

static void
test_formats (void) {
  static const char *const names[] = { "a.svg", "a.png", "a.pdf" };
  char *folder = example_folder_new ();
  g_autoptr (PwTrace) simulated = make_trace (3, 5, 0), measured = make_trace (3, 5, 0.3);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (int variant = 0; variant < 8; variant++) {
      g_autofree char *path = g_build_filename (folder, names[i], NULL);
      PwPlotOptions options = { .output = path,
                                .title = variant > 0 ? TITLE : NULL,
                                .iteration = variant % 2 == 0 ? -1 : -2,
                                .memory = (variant & 2) != 0,
                                .messages = (variant & 4) != 0 };
      draw (simulated, variant % 3 == 0 ? measured : NULL, &options);
    }
  example_folder_remove (folder); /* fails if a temporary file was left */
}

static void
test_svg (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "it's a.svg", NULL);
  g_autoptr (PwTrace) trace = make_trace (4, 8, 0);
  draw (trace, NULL, &(PwPlotOptions){ .output = path, .title = TITLE, .iteration = -1 });
  Svg svg = parse_svg (path);
  g_assert_nonnull (strstr (svg.text->str, TITLE));
  g_assert_nonnull (strstr (svg.text->str, "simulated · iteration 34.6 ms · bubble "));
  g_assert_nonnull (strstr (svg.text->str, "time (ms)"));
  g_assert_nonnull (strstr (svg.text->str, "forward\n"));
  g_assert_nonnull (strstr (svg.text->str, "rank 3\n"));
  g_assert_cmpuint (svg.n_polygons, >=, 2 * 4 * 8 + 4);
  g_assert_cmpuint (svg.n_images, ==, 0);
  g_string_free (svg.text, TRUE);
  example_folder_remove (folder);
}

static void
test_large (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "a.svg", NULL);
  g_autoptr (PwTrace) trace = example_trace_1f1b (
      &(ExampleOneFOneB){ .ranks = 64, .microbatches = 512, .forward = 1, .backward = 2 });
  draw (trace, NULL, &(PwPlotOptions){ .output = path, .iteration = -1 });
  gsize bytes;
  g_autofree char *text = read_file (path, &bytes);
  g_assert_cmpuint (bytes, <, 1000 * 1000);
  Svg svg = parse_svg (path);
  g_assert_cmpuint (svg.n_images, ==, 1);
  g_string_free (svg.text, TRUE);
  example_folder_remove (folder);
}

/* Any legal trace: all kinds, idle ranks, no messages' partners. */
static void
test_random (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "a.svg", NULL);
  for (int repeat = 0; repeat < 15; repeat++) {
    g_autoptr (PwTrace) trace = example_trace_random ();
    PwPlotOptions options
        = { .output = path, .iteration = -2, .memory = TRUE, .messages = g_test_rand_bit () };
    const PwTrace *traces[] = { trace };
    g_autoptr (GError) error = NULL;
    if (!pw_plot_timeline (traces, 1, &options, NULL, &error)) {
      g_assert_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_EMPTY);
      continue;
    }
    Svg svg = parse_svg (path);
    g_assert_cmpuint (svg.n_polygons, >=, (gsize)trace->info.ranks);
    g_string_free (svg.text, TRUE);
  }
  example_folder_remove (folder);
}

static void
test_one_record (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "a.png", NULL);
  g_autoptr (PwTrace) trace = pw_trace_new ();
  PwTraceRecord record = { .action = pw_action (PW_ACTION_FORWARD, 0, 0), .end = 1 };
  g_array_append_val (trace->records, record);
  pw_trace_finish (trace);
  draw (trace, NULL, &(PwPlotOptions){ .output = path, .iteration = -1, .memory = TRUE });
  example_folder_remove (folder);
}

static void
test_series (void) {
  static const char *const names[] = { "a.svg", "a.png", "a.pdf", NULL };
  const double x[] = { 4, 8, 16, 32 }, y[] = { 0.4, NAN, 0.2, 0.1 }, flat[] = { 1, 1, 1, INFINITY };
  const PwPlotSeries series[] = { { .label = TITLE, .n = 4, .x = x, .y = y },
                                  { .label = "flat", .n = 4, .x = x, .y = flat } };
  char *folder = example_folder_new ();
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (int variant = 0; variant < 4; variant++) {
      g_autofree char *path = names[i] != NULL ? g_build_filename (folder, names[i], NULL) : NULL;
      PwPlotOptions options = { .output = path, .title = variant % 2 == 0 ? NULL : TITLE };
      g_autoptr (GError) error = NULL;
      g_autofree char *text = NULL;
      pw_plot_series (series, variant < 2 ? 2 : 1, "micro-batches", TITLE, variant % 2 == 0,
                      &options, &text, &error);
      g_assert_no_error (error);
      g_assert_true ((text != NULL) == (path == NULL));
      if (path == NULL)
        g_assert_nonnull (strstr (text, "micro-batches"));
      else
        assert_whole (path);
      if (path != NULL && i == 0) {
        Svg svg = parse_svg (path);
        g_assert_nonnull (strstr (svg.text->str, TITLE));
        g_string_free (svg.text, TRUE);
      }
    }
  example_folder_remove (folder);
}

/* The same curve twice: one lies in the other and both can be seen. */
static void
test_coinciding (void) {
  const double x[] = { 4, 8, 16 }, y[] = { 0.4, 0.2, 0.1 }, other[] = { 0.4, 0.2, 0.3 };
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "a.svg", NULL);
  for (int same = 0; same < 2; same++) {
    const PwPlotSeries series[] = { { .label = "one", .n = 3, .x = x, .y = y },
                                    { .label = "two", .n = 3, .x = x, .y = same ? y : other } };
    g_autoptr (GError) error = NULL;
    pw_plot_series (series, 2, "x", "y", FALSE, &(PwPlotOptions){ .output = path }, NULL, &error);
    g_assert_no_error (error);
    g_autofree char *svg = read_file (path, NULL);
    g_assert_nonnull (strstr (svg, "stroke-width=\"2.00\""));
    g_assert_true ((strstr (svg, "stroke-width=\"5.00\"") != NULL) == same);
  }
  example_folder_remove (folder);
}

/* An output that cannot be replaced keeps what it had. */
static void
test_old_file (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "a.svg", NULL);
  g_assert_true (g_file_set_contents (path, "old", -1, NULL));
  g_autofree char *fake = g_build_filename (folder, "gnuplot", NULL);
  g_assert_true (g_file_set_contents_full (fake, "#!/bin/sh\necho no such colour >&2\nexit 1\n", -1,
                                           G_FILE_SET_CONTENTS_NONE, 0755, NULL));
  g_autofree char *programs = g_strdup (g_getenv ("PATH"));
  g_autofree char *with_fake = g_strconcat (folder, ":", programs, NULL);
  g_setenv ("PATH", with_fake, TRUE);
  g_autoptr (PwTrace) trace = make_trace (2, 2, 0);
  const PwTrace *traces[] = { trace };
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_plot_timeline (traces, 1, &(PwPlotOptions){ .output = path }, NULL, &error));
  g_setenv ("PATH", programs, TRUE);
  g_assert_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_GNUPLOT);
  g_assert_cmpstr (error->message, ==, "gnuplot failed: no such colour");
  g_autofree char *text = read_file (path, NULL);
  g_assert_cmpstr (text, ==, "old");
  example_folder_remove (folder);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_autofree char *gnuplot = g_find_program_in_path ("gnuplot");
  if (gnuplot == NULL) {
    printf ("1..0 # SKIP gnuplot is not installed\n");
    return 77;
  }
  g_test_add_func ("/plots/timeline/every-format-is-whole", test_formats);
  g_test_add_func ("/plots/timeline/svg-says-what-it-was-told", test_svg);
  g_test_add_func ("/plots/timeline/large-svg-stays-small", test_large);
  g_test_add_func ("/plots/timeline/random-traces-are-well-formed", test_random);
  g_test_add_func ("/plots/timeline/draws-a-single-record", test_one_record);
  g_test_add_func ("/plots/timeline/a-failure-keeps-the-old-file", test_old_file);
  g_test_add_func ("/plots/series/every-format-is-whole", test_series);
  g_test_add_func ("/plots/series/of-curves-that-coincide-all-are-seen", test_coinciding);
  return g_test_run ();
}
