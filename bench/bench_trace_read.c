/* bench_trace_read [EVENTS]: writes a trace of that many events (default 1 million) and reads it
 * back. Half are messages with arrows, times have all their digits, as a measured run's have. The
 * writing is done by a child, so the peak resident memory shown is the reading's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "traces/chrome.h"

#define RANKS 8
#define EVENTS_PER_STEP 10 /* a forward, a backward, two messages of two ends, two events each */

static void
add (PwTrace *trace, PwActionKind kind, int rank, gint64 step, int edge, double start, double end) {
  PwTraceRecord record = { .action = pw_action (kind, rank, step % 64),
                           .rank = rank,
                           .iteration = (int32_t)(step / 64),
                           .start = start,
                           .end = end };
  if (!pw_action_kinds[kind].is_compute) {
    record.action.edge = (uint16_t)edge;
    record.bytes = 1 << 20;
  }
  g_array_append_val (trace->records, record);
}

static PwTrace *
make_trace (gint64 n_events) {
  PwTrace *trace = pw_trace_new ();
  trace->info.ranks = trace->info.stages = RANKS;
  gint64 steps = MAX (1, n_events / EVENTS_PER_STEP / RANKS);
  for (int rank = 0; rank < RANKS; rank++) {
    int next = (rank + 1) % RANKS, previous = (rank + RANKS - 1) % RANKS;
    double time = rank / 3.0;
    for (gint64 step = 0; step < steps; step++) {
      add (trace, PW_ACTION_RECV_FORWARD, rank, step, previous, time, time + 0.1 / 3);
      add (trace, PW_ACTION_FORWARD, rank, step, 0, time, time + 1.0 / 3);
      add (trace, PW_ACTION_SEND_FORWARD, rank, step, rank, time + 1.0 / 3, time + 1.1 / 3);
      time += 1.0 / 3;
      add (trace, PW_ACTION_RECV_BACKWARD, rank, step, next, time, time + 0.1 / 3);
      add (trace, PW_ACTION_BACKWARD, rank, step, 0, time, time + 2.0 / 3);
      add (trace, PW_ACTION_SEND_BACKWARD, rank, step, rank, time + 2.0 / 3, time + 2.1 / 3);
      time += 2.0 / 3;
    }
  }
  pw_trace_finish (trace);
  return trace;
}

/* In a child; returns whether it succeeded. */
static gboolean
write_trace (gint64 n_events, const char *path) {
  pid_t child = fork ();
  if (child == 0) {
    g_autoptr (PwTrace) trace = make_trace (n_events);
    g_autoptr (GError) error = NULL;
    gint64 start = g_get_monotonic_time ();
    if (!pw_trace_write (trace, path, &error)) {
      fprintf (stderr, "%s\n", error->message);
      _exit (EXIT_FAILURE);
    }
    printf ("write_seconds %.3f\n", (double)(g_get_monotonic_time () - start) / 1e6);
    fflush (stdout);
    _exit (EXIT_SUCCESS);
  }
  int status = 0;
  return child > 0 && waitpid (child, &status, 0) == child && status == 0;
}

static gboolean
read_trace (gint64 n_events, const char *path) {
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();
  g_autoptr (PwTrace) trace = pw_trace_read (path, &error);
  double seconds = (double)(g_get_monotonic_time () - start) / 1e6;
  if (trace == NULL) {
    fprintf (stderr, "%s\n", error->message);
    return FALSE;
  }
  struct rusage usage;
  getrusage (RUSAGE_SELF, &usage);
  GStatBuf info = { 0 };
  g_stat (path, &info);
  printf ("events %" G_GINT64_FORMAT "\nrecords %u\nfile_mb %.1f\nread_seconds %.3f\n"
          "events_per_second %.0f\npeak_resident_mib %.1f\n",
          n_events, trace->records->len, (double)info.st_size / 1e6, seconds,
          (double)n_events / seconds, (double)usage.ru_maxrss / 1024);
  return TRUE;
}

int
main (int argc, char **argv) {
  gint64 n_events = argc > 1 ? g_ascii_strtoll (argv[1], NULL, 10) : 1000000;
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp ("pipewright-bench-XXXXXX.json", &path, NULL);
  if (fd < 0 || n_events < 1)
    return EXIT_FAILURE;
  close (fd);
  gboolean ok = write_trace (n_events, path) && read_trace (n_events, path);
  g_unlink (path);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
