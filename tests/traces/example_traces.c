#include "tests/traces/example_traces.h"

#include <glib/gstdio.h>
#include <math.h>

typedef struct {
  const ExampleOneFOneB *example;
  PwTrace *trace;
  int iteration;
  double begin;     /* of the iteration */
  double *forward;  /* [ranks][microbatches]: end, NAN before */
  double *backward; /* the same */
  double *time;     /* [ranks]: end of the last action */
  double end;
} Run;

static double
duration (const ExampleOneFOneB *example, double nominal) {
  return example->jitter > 0 ? nominal * (1 + example->jitter * g_test_rand_double ()) : nominal;
}

static void
add_record (Run *run, PwActionKind kind, int rank, int stage, int microbatch, int edge,
            double start, double end) {
  PwTraceRecord record = { .action = pw_action (kind, stage, microbatch),
                           .rank = rank,
                           .iteration = run->iteration,
                           .start = start,
                           .end = end };
  if (pw_action_kinds[kind].is_send || pw_action_kinds[kind].is_recv) {
    record.action.edge = (uint16_t)edge;
    record.bytes = 1 << 20;
  }
  g_array_append_val (run->trace->records, record);
}

static void
add_message (Run *run, gboolean forward, int from, int microbatch, double start) {
  int to = forward ? from + 1 : from - 1;
  double end = start + run->example->latency;
  int edge = MIN (from, to);
  add_record (run, forward ? PW_ACTION_SEND_FORWARD : PW_ACTION_SEND_BACKWARD, from, from,
              microbatch, edge, start, end);
  add_record (run, forward ? PW_ACTION_RECV_FORWARD : PW_ACTION_RECV_BACKWARD, to, to, microbatch,
              edge, start, end);
}

static void
add_memory (Run *run, int rank, double time, int alive) {
  PwTraceMemory sample = { .time = time, .rank = rank };
  sample.bytes[PW_MEMORY_PARAMETERS] = 3LL << 30;
  sample.bytes[PW_MEMORY_GRADIENTS] = 3LL << 30;
  sample.bytes[PW_MEMORY_STASH] = (int64_t)alive * (700LL << 20);
  g_array_append_val (run->trace->memory, sample);
}

/* Runs one action if its inputs exist. */
static gboolean
run_action (Run *run, int rank, gboolean is_forward, int microbatch, int *alive) {
  const ExampleOneFOneB *example = run->example;
  int m = example->microbatches, last = example->ranks - 1;
  double start = run->time[rank];
  int from = is_forward ? rank - 1 : rank + 1;
  if (is_forward ? rank > 0 : rank < last) {
    double ready = (is_forward ? run->forward : run->backward)[from * m + microbatch];
    if (isnan (ready))
      return FALSE;
    start = MAX (start, ready + example->latency);
  }
  double end = start + duration (example, is_forward ? example->forward : example->backward);
  add_record (run, is_forward ? PW_ACTION_FORWARD : PW_ACTION_BACKWARD, rank, rank, microbatch, 0,
              start, end);
  (is_forward ? run->forward : run->backward)[rank * m + microbatch] = end;
  run->time[rank] = end;
  run->end = MAX (run->end, end);
  if (example->messages && (is_forward ? rank < last : rank > 0))
    add_message (run, is_forward, rank, microbatch, end);
  *alive += is_forward ? 1 : -1;
  if (example->memory)
    add_memory (run, rank, is_forward ? start : end, *alive);
  return TRUE;
}

/* The rank's N-th action: warm-up of P - 1 - r forwards, one F and one B in turn, the rest. */
static gboolean
is_forward_at (const ExampleOneFOneB *example, int rank, int n, int *microbatch) {
  int m = example->microbatches, warmup = MIN (m, example->ranks - 1 - rank);
  gboolean is_forward = n < warmup || (n < 2 * m - warmup && (n - warmup) % 2 == 0);
  if (n < warmup)
    *microbatch = n;
  else if (n < 2 * m - warmup)
    *microbatch = (n - warmup) / 2 + (is_forward ? warmup : 0);
  else
    *microbatch = n - m;
  return is_forward;
}

static void
run_iteration (Run *run) {
  const ExampleOneFOneB *example = run->example;
  int p = example->ranks, m = example->microbatches;
  g_autofree int *next = g_new0 (int, (gsize)p);
  g_autofree int *alive = g_new0 (int, (gsize)p);
  for (int i = 0; i < p * m; i++)
    run->forward[i] = run->backward[i] = NAN;
  for (int r = 0; r < p; r++)
    run->time[r] = run->begin;
  for (int done = 0; done < 2 * p * m;)
    for (int r = 0; r < p; r++) {
      int microbatch = 0;
      while (next[r] < 2 * m) {
        gboolean is_forward = is_forward_at (example, r, next[r], &microbatch);
        if (!run_action (run, r, is_forward, microbatch, &alive[r]))
          break;
        next[r]++;
        done++;
      }
    }
}

PwTrace *
example_trace_1f1b (const ExampleOneFOneB *example) {
  PwTrace *trace = pw_trace_new ();
  trace->info.source = g_strdup (example->jitter > 0 ? "measured" : "simulated");
  trace->info.schedule = g_strdup ("1f1b");
  trace->info.unitless = example->unitless;
  trace->info.ranks = trace->info.stages = example->ranks;
  trace->info.microbatches = example->microbatches;
  trace->info.chunks = 1;
  gsize n = (gsize)(example->ranks * example->microbatches);
  g_autofree double *forward = g_new (double, n), *backward = g_new (double, n);
  g_autofree double *time = g_new (double, (gsize)example->ranks);
  Run run = {
    .example = example, .trace = trace, .forward = forward, .backward = backward, .time = time
  };
  for (; run.iteration < MAX (1, example->iterations); run.iteration++) {
    run.begin = run.end;
    run_iteration (&run);
  }
  pw_trace_finish (trace);
  return trace;
}

static double
random_step (int style) {
  switch (style) {
  case 0: /* whole units */
    return g_test_rand_int_range (0, 5);
  case 1: /* a clock of nanoseconds */
    return g_test_rand_int_range (0, 5000000) / 1e9;
  case 2: /* all bits */
    return g_test_rand_double ();
  default: /* far apart */
    return g_test_rand_double () * pow (10, g_test_rand_int_range (-20, 6));
  }
}

static char *
random_text (void) {
  static const char *const texts[]
      = { NULL, "", "1f1b", "a \"quote\" and a \\", "tab\tand\nline", "größer → ✓", "{$x}" };
  return g_strdup (texts[g_test_rand_int_range (0, G_N_ELEMENTS (texts))]);
}

static void
add_random_record (PwTrace *trace, int rank, int style, double *time) {
  int kind = g_test_rand_int_range (0, PW_ACTION_N);
  gboolean is_compute = pw_action_kinds[kind].is_compute;
  PwTraceRecord record = { .rank = rank,
                           .iteration = g_test_rand_int_range (0, 3),
                           .bytes = is_compute ? 0 : g_test_rand_int () & G_MAXINT,
                           .start = *time + random_step (style) };
  record.end = record.start + random_step (style);
  record.action = pw_action ((PwActionKind)kind, g_test_rand_int_range (0, trace->info.stages), 0);
  if (pw_action_kinds[kind].has_microbatch)
    record.action.microbatch = (uint32_t)g_test_rand_int_range (0, PW_MICROBATCHES_MAX) & 0xffffffu;
  if (!is_compute)
    record.action.edge = (uint16_t)g_test_rand_int_range (0, PW_EDGES_MAX);
  record.action.direction = g_test_rand_bit () & 1u;
  record.is_critical = g_test_rand_bit ();
  record.action.grouped = !is_compute && (g_test_rand_bit () & 1u);
  if (is_compute)
    *time = record.end;
  gboolean is_pair = is_compute && g_test_rand_int_range (0, 4) == 0;
  record.action.paired = is_pair ? 1u : 0u;
  g_array_append_val (trace->records, record);
  if (!is_pair)
    return;
  record.action.paired = 0;
  record.action.kind = PW_ACTION_INPUT_GRADIENT;
  g_array_append_val (trace->records, record);
}

PwTrace *
example_trace_random (void) {
  PwTrace *trace = pw_trace_new ();
  PwTraceInfo *info = &trace->info;
  info->source = random_text ();
  info->schedule = random_text ();
  info->model = random_text ();
  info->policy = random_text ();
  info->transport = random_text ();
  info->backend = random_text ();
  info->clock = random_text ();
  info->unitless = g_test_rand_bit ();
  info->ranks = g_test_rand_int_range (1, 6);
  info->stages = g_test_rand_int_range (1, 100);
  info->microbatches = PW_MICROBATCHES_MAX;
  info->chunks = g_test_rand_int_range (1, 9);
  int style = g_test_rand_int_range (0, 4);
  for (int rank = 0; rank < info->ranks; rank++) {
    int n = g_test_rand_int_range (rank == 0, 60);
    double time = 0, memory_time = 0;
    for (int i = 0; i < n; i++)
      add_random_record (trace, rank, style, &time);
    for (int i = g_test_rand_int_range (0, 20); i > 0; i--) {
      PwTraceMemory sample = { .rank = rank, .time = memory_time += random_step (style) };
      for (int c = 0; c < PW_MEMORY_N; c++)
        sample.bytes[c] = (int64_t)g_test_rand_int_range (0, 1000) << g_test_rand_int_range (0, 40);
      g_array_append_val (trace->memory, sample);
    }
    double idle_time = 0;
    for (int i = g_test_rand_int_range (0, 20); i > 0; i--) {
      PwTraceIdle idle = { .rank = rank, .cause = g_test_rand_int_range (0, PW_IDLE_N) };
      idle.start = idle_time + random_step (style);
      idle.end = idle_time = idle.start + random_step (style);
      g_array_append_val (trace->idle, idle);
    }
  }
  pw_trace_finish (trace);
  return trace;
}

char *
example_folder_new (void) {
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("pipewright-test-XXXXXX", &error);
  g_assert_no_error (error);
  return folder;
}

void
example_folder_remove (char *folder) {
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_assert_nonnull (dir);
  const char *name;
  while ((name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_assert_cmpint (g_unlink (path), ==, 0);
  }
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  g_free (folder);
}
