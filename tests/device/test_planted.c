/* Each planted fault is found by what is said to find it, and right programs are left in peace.
 * Without these tests a harness that reports nothing would look like a program without faults. */
#include <glib.h>
#include <string.h>

typedef struct {
  const char *name;
  const char *plain;   /* what must be in the output of a build without a sanitizer */
  const char *address; /* of one with the address and undefined-behaviour sanitizers */
  const char *thread;  /* of one with the thread sanitizer; NULL: not run there */
  gboolean hangs;
} Row;

#define RIGHT "wrong for 0 of 10 seeds"
#define WRONG "wrong for 10 of 10 seeds"
#define RACE "WARNING: ThreadSanitizer: data race"
#define UNJOINED "a stream that was pulled into the capture has not been waited for"
#define CAPTURED "the event was last recorded into a capture"
#define DEADLY "cuda-on-cpu: kernel "

static const Row rows[] = {
  { "moments", RIGHT, RIGHT, RIGHT, FALSE },
  { "atomic-add", RIGHT, RIGHT, RIGHT, FALSE },
  { "tree-sum", RIGHT, RIGHT, RIGHT, FALSE },
  { "vectors", RIGHT, RIGHT, RIGHT, FALSE },
  { "pipeline", RIGHT, RIGHT, RIGHT, FALSE },
  { "product", RIGHT, RIGHT, RIGHT, FALSE },
  { "exchange", RIGHT, RIGHT, RIGHT, FALSE },
  { "graph", RIGHT, RIGHT, RIGHT, FALSE },
  /* Inside a block: a seed's order of threads is fixed, so wrong values are certain. */
  { "no-barrier-before-reuse", WRONG, WRONG, RACE, FALSE },
  { "no-barrier-after-write", WRONG, WRONG, RACE, FALSE },
  { "warp-synchronous", WRONG, WRONG, RACE, FALSE },
  { "plain-add", RIGHT, RIGHT, RACE, FALSE },
  { "barrier-after-exit", DEADLY, DEADLY, DEADLY, FALSE },
  { "absent-lanes", DEADLY, DEADLY, DEADLY, FALSE },
  { "past-static-shared", NULL, "out of bounds for type ", NULL, FALSE },
  { "past-dynamic-shared", NULL, "heap-buffer-overflow", NULL, FALSE },
  { "past-global", NULL, "heap-buffer-overflow", NULL, FALSE },
  { "misaligned-vector", NULL, "misaligned address", NULL, FALSE },
  { "product-past-output", NULL, "heap-buffer-overflow", NULL, FALSE },
  /* Between streams: values depend on time, the missing order does not. */
  { "no-wait-before-compute", NULL, NULL, RACE, FALSE },
  { "no-wait-before-copy", NULL, NULL, RACE, FALSE },
  { "reuse-before-read", NULL, NULL, RACE, FALSE },
  { "free-on-another-stream", NULL, NULL, RACE, FALSE },
  { "no-synchronize", NULL, NULL, RACE, FALSE },
  { "product-input-changed", NULL, NULL, RACE, FALSE },
  { "send-before-producer", NULL, NULL, RACE, FALSE },
  { "graph-waits-too-early", NULL, NULL, RACE, FALSE },
  { "graph-not-joined", UNJOINED, UNJOINED, UNJOINED, FALSE },
  { "graph-time-not-external", CAPTURED, CAPTURED, CAPTURED, FALSE },
  { "ungrouped-sends", "waits in send to rank", "waits in send to rank", "waits in send to rank",
    TRUE },
  { "other-order", "waits in all-reduce", "waits in all-reduce", "waits in all-reduce", TRUE },
  { "other-count", "asynchronous error: invalid usage", "asynchronous error: invalid usage",
    "asynchronous error: invalid usage", FALSE },
};

static const char *
expected_text (const Row *row) {
  if (strstr (PW_SANITIZE, "thread"))
    return row->thread;
  return strstr (PW_SANITIZE, "address") ? row->address : row->plain;
}

static char **
environment (const Row *row) {
  char **environ = g_get_environ ();
  environ = g_environ_setenv (environ, "TSAN_OPTIONS", "halt_on_error=1", TRUE);
  environ = g_environ_setenv (environ, "ASAN_OPTIONS", "detect_leaks=1", TRUE);
  environ = g_environ_setenv (environ, "UBSAN_OPTIONS", "halt_on_error=1", TRUE);
  return row->hangs ? g_environ_setenv (environ, "CUDA_ON_CPU_HANG_S", "2", TRUE) : environ;
}

static void
test_row (gconstpointer data) {
  const Row *row = data;
  const char *expected = expected_text (row);
  const char *arguments[] = { PW_PLANTED, row->name, "10", NULL };
  g_auto (GStrv) variables = environment (row);
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  int status;
  g_spawn_sync (NULL, (char **)arguments, variables, G_SPAWN_DEFAULT, NULL, NULL, &out, &err,
                &status, &error);
  g_assert_no_error (error);
  g_autofree char *output = g_strconcat (out, err, NULL);
  g_test_message ("%s", output);
  if (!strstr (output, expected)) {
    g_printerr ("expected: %s\n%s", expected, output);
    g_test_fail ();
  }
  g_assert_cmpint (g_spawn_check_wait_status (status, NULL), ==, strcmp (expected, RIGHT) == 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    if (!expected_text (&rows[i]))
      continue;
    const char *verdict = strcmp (expected_text (&rows[i]), RIGHT) ? "is-found" : "is-quiet";
    g_autofree char *path = g_strdup_printf ("/device/planted/%s/%s", rows[i].name, verdict);
    g_test_add_data_func (path, &rows[i], test_row);
  }
  return g_test_run ();
}
