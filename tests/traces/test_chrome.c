#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "tests/traces/example_traces.h"
#include "traces/chrome.h"

static PwTrace *
write_and_read (const PwTrace *trace, const char *path) {
  g_autoptr (GError) error = NULL;
  pw_trace_write (trace, path, &error);
  g_assert_no_error (error);
  PwTrace *read = pw_trace_read (path, &error);
  g_assert_no_error (error);
  return read;
}

static void
assert_equal (const PwTrace *a, const PwTrace *b) {
  g_assert_cmpstr (a->info.source, ==, b->info.source);
  g_assert_cmpstr (a->info.schedule, ==, b->info.schedule);
  g_assert_cmpstr (a->info.model, ==, b->info.model);
  g_assert_cmpstr (a->info.policy, ==, b->info.policy);
  g_assert_cmpstr (a->info.transport, ==, b->info.transport);
  g_assert_cmpstr (a->info.backend, ==, b->info.backend);
  g_assert_cmpstr (a->info.clock, ==, b->info.clock);
  g_assert_cmpint (a->info.unitless, ==, b->info.unitless);
  g_assert_cmpint (a->info.ranks, ==, b->info.ranks);
  g_assert_cmpint (a->info.stages, ==, b->info.stages);
  g_assert_cmpint (a->info.microbatches, ==, b->info.microbatches);
  g_assert_cmpint (a->info.chunks, ==, b->info.chunks);
  g_assert_cmpint (a->info.iterations, ==, b->info.iterations);
  g_assert_cmpuint (a->records->len, ==, b->records->len);
  for (guint i = 0; i < a->records->len; i++) {
    const PwTraceRecord *x = &g_array_index (a->records, PwTraceRecord, i);
    const PwTraceRecord *y = &g_array_index (b->records, PwTraceRecord, i);
    g_assert_true (pw_action_equal (x->action, y->action));
    g_assert_cmpint (x->rank, ==, y->rank);
    g_assert_cmpint (x->iteration, ==, y->iteration);
    g_assert_cmpint (x->bytes, ==, y->bytes);
    g_assert_cmpint (x->is_critical, ==, y->is_critical);
    g_assert_cmpfloat (x->start, ==, y->start);
    g_assert_cmpfloat (x->end, ==, y->end);
  }
  g_assert_cmpuint (a->memory->len, ==, b->memory->len);
  for (guint i = 0; i < a->memory->len; i++) {
    const PwTraceMemory *x = &g_array_index (a->memory, PwTraceMemory, i);
    const PwTraceMemory *y = &g_array_index (b->memory, PwTraceMemory, i);
    g_assert_cmpint (x->rank, ==, y->rank);
    g_assert_cmpfloat (x->time, ==, y->time);
    for (int c = 0; c < PW_MEMORY_N; c++)
      g_assert_cmpint (x->bytes[c], ==, y->bytes[c]);
  }
  g_assert_cmpuint (a->idle->len, ==, b->idle->len);
  for (guint i = 0; i < a->idle->len; i++) {
    const PwTraceIdle *x = &g_array_index (a->idle, PwTraceIdle, i);
    const PwTraceIdle *y = &g_array_index (b->idle, PwTraceIdle, i);
    g_assert_cmpint (x->rank, ==, y->rank);
    g_assert_cmpint (x->cause, ==, y->cause);
    g_assert_cmpfloat (x->start, ==, y->start);
    g_assert_cmpfloat (x->end, ==, y->end);
  }
}

static void
test_round_trip (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  for (int repeat = 0; repeat < 150; repeat++) {
    g_autoptr (PwTrace) trace = example_trace_random ();
    g_autoptr (PwTrace) read = write_and_read (trace, path);
    assert_equal (trace, read);
  }
  example_folder_remove (folder);
}

static void
test_odd_times (void) {
  static const double times[] = { -0.125,   5e-324, 1e-300,  1e-9,          0.1 + 0.2,
                                  1.0 / 3,  1,      1e5 / 3, 1e9 + 1.0 / 3, 9007199254740993.0,
                                  1e17 / 3, 1e200 };
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  for (int unitless = 0; unitless < 2; unitless++) {
    g_autoptr (PwTrace) trace = pw_trace_new ();
    trace->info.unitless = unitless;
    for (gsize i = 0; i + 1 < G_N_ELEMENTS (times); i++) {
      PwTraceRecord record = { .action = pw_action (PW_ACTION_FORWARD, 0, (int)i),
                               .start = times[i],
                               .end = times[i + 1] };
      g_array_append_val (trace->records, record);
    }
    pw_trace_finish (trace);
    g_autoptr (PwTrace) read = write_and_read (trace, path);
    assert_equal (trace, read);
  }
  example_folder_remove (folder);
}

static json_t *
load_events (const char *path) {
  json_error_t problem;
  json_t *root = json_load_file (path, JSON_REJECT_DUPLICATES, &problem);
  g_assert_nonnull (root);
  json_t *header = json_object_get (root, "otherData");
  g_assert_cmpint (json_integer_value (json_object_get (header, "version")), ==, PW_TRACE_VERSION);
  json_t *events = json_incref (json_object_get (root, "traceEvents"));
  json_decref (root);
  return events;
}

static const char *
text_of (const json_t *event, const char *key) {
  return json_string_value (json_object_get (event, key));
}

static double
number_of (const json_t *event, const char *key) {
  return json_number_value (json_object_get (event, key));
}

/* Every arrow has one start and one end, inside slices of their threads, and runs forward in time.
 */
static void
test_arrows (void) {
  ExampleOneFOneB example = { .ranks = 4,
                              .microbatches = 6,
                              .iterations = 2,
                              .forward = 1e-3,
                              .backward = 2e-3,
                              .latency = 1e-4,
                              .messages = TRUE,
                              .memory = TRUE };
  g_autoptr (PwTrace) trace = example_trace_1f1b (&example);
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  g_autoptr (PwTrace) read = write_and_read (trace, path);
  json_t *events = load_events (path), *event;
  g_autoptr (GHashTable) starts = g_hash_table_new (NULL, NULL);
  gsize index, n_starts = 0, n_ends = 0;
  json_array_foreach (events, index, event) if (strcmp (text_of (event, "ph"), "s") == 0) {
    g_hash_table_insert (starts, GINT_TO_POINTER ((int)number_of (event, "id")), event);
    n_starts++;
  }
  json_array_foreach (events, index, event) if (strcmp (text_of (event, "ph"), "f") == 0) {
    json_t *from = g_hash_table_lookup (starts, GINT_TO_POINTER ((int)number_of (event, "id")));
    g_assert_nonnull (from);
    g_assert_cmpfloat (number_of (from, "ts"), <=, number_of (event, "ts"));
    g_assert_cmpfloat (fabs (number_of (from, "pid") - number_of (event, "pid")), ==, 1);
    g_assert_cmpstr (text_of (event, "bp"), ==, "e");
    n_ends++;
  }
  g_assert_cmpuint (n_starts, ==, 2 * 2 * 3 * 6);
  g_assert_cmpuint (n_ends, ==, n_starts);
  g_assert_cmpuint (g_hash_table_size (starts), ==, n_starts);
  json_decref (events);
  example_folder_remove (folder);
}

static gint
compare_slices (gconstpointer left, gconstpointer right) {
  const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
  double x = number_of (a, "pid") * 1e6 + number_of (a, "tid");
  double y = number_of (b, "pid") * 1e6 + number_of (b, "tid");
  if (x == y) {
    x = number_of (a, "ts");
    y = number_of (b, "ts");
  }
  return (x > y) - (x < y);
}

/* Receives posted ahead overlap; a viewer cannot draw that on one thread. */
static void
test_lanes (void) {
  g_autoptr (PwTrace) trace = pw_trace_new ();
  for (int i = 0; i < 200; i++) {
    double start = g_test_rand_int_range (0, 100);
    PwTraceRecord record = { .action = pw_action (PW_ACTION_RECV_FORWARD, 0, i),
                             .rank = g_test_rand_int_range (0, 3),
                             .start = start,
                             .end = start + g_test_rand_int_range (0, 20) };
    g_array_append_val (trace->records, record);
  }
  pw_trace_finish (trace);
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  g_autoptr (PwTrace) read = write_and_read (trace, path);
  json_t *events = load_events (path), *event;
  gsize index;
  g_autoptr (GPtrArray) slices = g_ptr_array_new ();
  json_array_foreach (events, index, event) if (strcmp (text_of (event, "ph"), "X") == 0)
      g_ptr_array_add (slices, event);
  g_assert_cmpuint (slices->len, ==, 200);
  g_ptr_array_sort (slices, compare_slices);
  for (guint i = 1; i < slices->len; i++) {
    const json_t *a = slices->pdata[i - 1], *b = slices->pdata[i];
    if (number_of (a, "pid") == number_of (b, "pid")
        && number_of (a, "tid") == number_of (b, "tid"))
      g_assert_cmpfloat (number_of (a, "ts") + number_of (a, "dur"), <=,
                         number_of (b, "ts") + 1e-6);
  }
  json_decref (events);
  example_folder_remove (folder);
}

#define HEADER                                                                                     \
  "{\"otherData\":{\"format\":\"pipewright trace\",\"version\":1,\"ranks\":2,\"stages\":2,"        \
  "\"unitless\":true},\n\"traceEvents\":[\n"
#define GOOD                                                                                       \
  "{\"ph\":\"X\",\"pid\":0,\"ts\":1,\"dur\":2,\"args\":{\"action\":\"0F0\",\"iteration\":0}}"
#define EVENT(rest) HEADER GOOD ",\n" rest "\n]}"

typedef struct {
  const char *text;
  GQuark (*domain) (void);
  int code;
  const char *message; /* after the file's name */
} BadFile;

static const BadFile bad_files[] = {
  { "", pw_json_error_quark, PW_JSON_ERROR_SYNTAX, ":1: " },
  { HEADER GOOD, pw_json_error_quark, PW_JSON_ERROR_SYNTAX, ":3: " },
  { HEADER GOOD "]", pw_json_error_quark, PW_JSON_ERROR_SYNTAX, ":3: " },
  { EVENT ("{\"ph\":}"), pw_json_error_quark, PW_JSON_ERROR_SYNTAX, ":4: " },
  { "{\"traceEvents\":[]}", pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ": otherData: no format \"pipewright trace\"" },
  { "[" GOOD "]", pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":1: otherData: a header" },
  { "{\"traceEvents\":[" GOOD "],\n\"otherData\":{\"format\":\"pipewright trace\",\"version\":1}}",
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":1: otherData: a header" },
  { "{\"otherData\":{\"format\":\"other\",\"version\":1},\"traceEvents\":[]}", pw_trace_error_quark,
    PW_TRACE_ERROR_FORMAT, ": otherData: no format" },
  { "{\"otherData\":\n{\"format\":\"pipewright trace\",\n\"version\":2},\"traceEvents\":[]}",
    pw_trace_error_quark, PW_TRACE_ERROR_VERSION,
    ":3: otherData.version: the file has version 2, this program reads up to 1" },
  { "{\"otherData\":{\"version\":\"new\"}}", pw_trace_error_quark, PW_TRACE_ERROR_VERSION,
    ":1: otherData.version: expected" },
  { "{\"otherData\":{\"ranks\":-1}}", pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ":1: otherData.ranks: -1 is not a whole number from 0" },
  { "{\"otherData\":{\"ranks\":1e9}}", pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ":1: otherData.ranks: 1e+09 is not" },
  { "{\"otherData\":{\"ranks\":\"two\"}}", pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ":1: otherData.ranks: expected a number, not \"two\"" },
  { "{\"otherData\":{\"schedule\":7}}", pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ":1: otherData.schedule: expected a text" },
  { HEADER "]}", pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ": traceEvents: holds no action" },
  { EVENT ("{\"ph\":\"X\",\"pid\":0,\"ts\":1,\"dur\":2,\"args\":{\"action\":\"0Q0\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ":4: traceEvents[1].args.action: \"0Q0\" is not an action" },
  { EVENT ("{\"ph\":\"X\",\"pid\":0,\"ts\":1,\"dur\":2,\"args\":{\"action\":\"0F\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args.action: \"0F\"" },
  { EVENT ("{\"ph\":\"X\",\"pid\":0,\"ts\":1,\"dur\":2,\"args\":{\"action\":\"0U7\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args.action: \"0U7\"" },
  { EVENT (
        "{\"ph\":\"X\",\"pid\":0,\"ts\":1,\"dur\":2,\"args\":{\"action\":\"99999999999999F0\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args.action: " },
  { EVENT ("{\"ph\":\"X\",\"ts\":1,\"dur\":2,\"args\":{\"action\":\"0F1\",\"iteration\":0}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].pid: missing" },
  { EVENT ("{\"ph\":\"X\",\"pid\":2,\"ts\":1,\"dur\":2,\"args\":{\"action\":\"0F1\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ":4: traceEvents[1].pid: 2 is not a whole number from 0 to 1" },
  { EVENT ("{\"ph\":\"X\",\"pid\":1,\"dur\":2,\"args\":{\"action\":\"0F1\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].ts: missing" },
  { EVENT ("{\"ph\":\"X\",\"pid\":1,\"ts\":1,\"dur\":-2,\"args\":{\"action\":\"0F1\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].dur: negative" },
  { EVENT ("{\"ph\":\"X\",\"pid\":1,\"ts\":1,\"dur\":2,\"args\":{\"action\":\"0F1\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args.iteration: missing" },
  { EVENT ("{\"ph\":\"X\",\"pid\":1,\"ts\":1,\"dur\":2,"
           "\"args\":{\"action\":\"0F1\",\"iteration\":0.5}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args.iteration: 0.5 is not" },
  { EVENT ("{\"ph\":\"X\",\"pid\":1,\"ts\":1,\"dur\":2,"
           "\"args\":{\"action\":\"0F1\",\"iteration\":0,\"direction\":2}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args.direction: 2 is not" },
  { EVENT ("{\"ph\":\"X\",\"pid\":1,\"ts\":1,\"dur\":2,"
           "\"args\":{\"action\":\"0F1\",\"iteration\":0,\"end\":0}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args.end: before" },
  { EVENT ("{\"ph\":\"X\",\"pid\":0,\"ts\":2,\"dur\":2,"
           "\"args\":{\"action\":\"0B0\",\"iteration\":0}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ": rank 0, iteration 0, 0B0: it starts before the rank's previous action has ended" },
  { EVENT ("{\"ph\":\"X\",\"pid\":0,\"ts\":3,\"dur\":2,"
           "\"args\":{\"action\":\"2B0\",\"iteration\":0}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ": rank 0, iteration 0, 2B0: the stage" },
  { EVENT ("{\"ph\":\"C\",\"name\":\"memory\",\"pid\":0,\"ts\":2,\"args\":{\"stash\":-1}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].args: -1 is not" },
  { EVENT ("{\"ph\":\"X\",\"pid\":0,\"ts\":2,\"dur\":1,\"args\":{\"idle\":\"lunch\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT,
    ":4: traceEvents[1].args.idle: \"lunch\" is no cause of idleness" },
  { EVENT ("{\"ph\":\"X\",\"pid\":2,\"ts\":2,\"dur\":1,\"args\":{\"idle\":\"transfer\"}}"),
    pw_trace_error_quark, PW_TRACE_ERROR_FORMAT, ":4: traceEvents[1].pid: 2 is not" },
};

static void
test_bad_files (void) {
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (bad_files); i++) {
    const BadFile *bad = &bad_files[i];
    g_autoptr (GError) error = NULL;
    pw_file_write (path, bad->text, strlen (bad->text), &error);
    g_assert_no_error (error);
    PwTrace *trace = pw_trace_read (path, &error);
    g_autofree char *expected = g_strconcat (path, bad->message, NULL);
    if (trace != NULL || error == NULL || !g_str_has_prefix (error->message, expected))
      g_error ("bad file %zu: expected \"%s\", got \"%s\"", i, expected,
               error != NULL ? error->message : "no error");
    g_assert_error (error, bad->domain (), bad->code);
  }
  example_folder_remove (folder);
}

static void
test_truncated (void) {
  g_autoptr (PwTrace) trace = example_trace_1f1b (
      &(ExampleOneFOneB){ .ranks = 2, .microbatches = 2, .forward = 1, .backward = 2 });
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  g_autofree char *text = NULL;
  gsize bytes;
  g_assert_true (pw_trace_write (trace, path, NULL));
  g_assert_true (pw_file_read (path, &text, &bytes, NULL));
  for (gsize cut = 0; cut + 1 < bytes; cut += cut < 400 ? 1 : 7) {
    g_assert_true (g_file_set_contents (path, text, (gssize)cut, NULL));
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_trace_read (path, &error));
    g_assert_error (error, PW_JSON_ERROR, PW_JSON_ERROR_SYNTAX);
  }
  example_folder_remove (folder);
}

static void
test_foreign (void) {
  static const char text[]
      = "{\"displayTimeUnit\":\"ms\",\"unknown\":[{\"a\":null}],\"otherData\":"
        "{\"format\":\"pipewright trace\",\"version\":1,\"later\":\"ignored\"},\"traceEvents\":["
        "null,7,\"text\",{},{\"ph\":\"X\"},{\"ph\":\"X\",\"name\":\"cuda\",\"pid\":\"gpu\","
        "\"ts\":-1},{\"ph\":\"C\",\"name\":\"memory\",\"args\":{\"free\":1}},"
        "{\"ph\":\"B\",\"args\":{\"action\":\"click\"}}," GOOD "]}";
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_autoptr (GError) error = NULL;
  g_autoptr (PwTrace) trace = pw_trace_read (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (trace->records->len, ==, 1);
  g_assert_cmpuint (trace->memory->len, ==, 0);
  g_assert_cmpint (trace->info.ranks, ==, 1);
  g_assert_cmpint (trace->info.iterations, ==, 1);
  example_folder_remove (folder);
}

static int
open_file (const char *path, int flags, int mode) {
  return open (path, flags, mode);
}

static ssize_t
write_full_disk (int fd, const void *buffer, size_t bytes) {
  (void)fd;
  (void)buffer;
  (void)bytes;
  errno = ENOSPC;
  return -1;
}

static void
test_full_disk (void) {
  static const PwFileCalls full_disk = { .open = open_file,
                                         .read = read,
                                         .write = write_full_disk,
                                         .fsync = fsync,
                                         .close = close,
                                         .rename = rename };
  g_autoptr (PwTrace) trace = example_trace_1f1b (
      &(ExampleOneFOneB){ .ranks = 8, .microbatches = 200, .forward = 1, .backward = 2 });
  char *folder = example_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.json", NULL);
  g_assert_true (g_file_set_contents (path, "old", -1, NULL));
  pw_file_set_calls (&full_disk);
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_trace_write (trace, path, &error));
  pw_file_set_calls (NULL);
  g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_WRITE);
  g_autofree char *text = NULL;
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "old");
  example_folder_remove (folder);
}

static void
test_refused (void) {
  g_autoptr (PwTrace) trace = pw_trace_new ();
  PwTraceRecord record = { .start = 1, .end = 0 };
  g_array_append_val (trace->records, record);
  pw_trace_finish (trace);
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_trace_write (trace, "/nowhere/t.json", &error));
  g_assert_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/traces/chrome/random-traces-come-back-to-the-last-bit", test_round_trip);
  g_test_add_func ("/traces/chrome/odd-times-come-back-to-the-last-bit", test_odd_times);
  g_test_add_func ("/traces/chrome/every-arrow-has-both-ends", test_arrows);
  g_test_add_func ("/traces/chrome/slices-of-a-lane-do-not-overlap", test_lanes);
  g_test_add_func ("/traces/chrome/bad-files-are-refused-with-their-place", test_bad_files);
  g_test_add_func ("/traces/chrome/no-part-of-a-file-is-taken-for-the-whole", test_truncated);
  g_test_add_func ("/traces/chrome/foreign-events-are-passed-over", test_foreign);
  g_test_add_func ("/traces/chrome/a-full-disk-leaves-the-old-file", test_full_disk);
  g_test_add_func ("/traces/chrome/what-could-not-be-read-is-not-written", test_refused);
  return g_test_run ();
}
