/* A machine's rates. What is called is a list of points, smallest first within each table; on the
 * CPU all ranks' cores do the same at once, as in training. Calls are enqueued between two
 * timestamps of the stream, enough of them for the clock, in several rounds of which the fastest
 * counts: the others were disturbed. A point that would not end within its table's share of the
 * time is left out, and so are all larger ones. */
#include "exec/exec_private.h"
#include "exec/profile_machine_private.h"
#include "exec/profile_private.h"

#define ROUNDS 5
#define ROUNDS_LONG 3 /* of calls that take LONG_S */
#define LONG_S 0.1
#define ROUND_S 2e-3
#define CALLS_MAX 100
#define SECONDS 20
#define LARGEST_MESSAGE (64 << 20)
#define SHORT_S 2 /* a budget in which large messages have no time */
#define MEMORY_SHARE 0.1
#define COPY_SHARE 0.05

typedef struct {
  const PwMachineOptions *options;
  const PwBackend *backend;
  PwPinning *pinning;
  PwHardware *hardware;
  GArray *points; /* PwMachinePoint */
  int n_ranks;    /* that are busy */
  double began, budget, deadlines[PW_TABLE_N];
  pthread_barrier_t barrier;
  pthread_mutex_t start; /* held until all threads are there */
  /* Rank 0 writes these between two barriers. */
  gboolean is_left_out;
  int calls, rounds;
  double per_size[PW_TABLE_N]; /* seconds per unit of the last point's size; 0: none yet */
  gboolean is_full[PW_TABLE_N];
  /* Any rank sets these to TRUE between two barriers. */
  atomic_int is_unable; /* no memory for the point */
  atomic_int is_broken;
} Machine;

typedef struct {
  Machine *machine;
  PwMachineBench bench;
  PwEvent *begin, *end;
  GError *error;
} Runner;

static double
now_in (const Machine *machine) {
  return pw__now_s () - machine->began;
}

static void
meet (Machine *machine) {
  pthread_barrier_wait (&machine->barrier);
}

/* Seconds of one of N calls. */
static gboolean
time_calls (Runner *runner, const PwMachinePoint *point, int n, double *seconds) {
  const PwBackend *backend = runner->machine->backend;
  PwStream *stream = runner->bench.context.stream;
  double began, ended;
  if (!backend->timestamp_record (runner->begin, stream, &runner->error))
    return FALSE;
  for (int i = 0; i < n; i++)
    if (!pw__machine_call (&runner->bench, point, &runner->error))
      return FALSE;
  if (!backend->timestamp_record (runner->end, stream, &runner->error)
      || !backend->stream_synchronize (stream, &runner->error)
      || !backend->timestamp_read (runner->begin, &began, &runner->error)
      || !backend->timestamp_read (runner->end, &ended, &runner->error))
    return FALSE;
  *seconds = MAX (ended - began, 1e-9) / n;
  return TRUE;
}

/* A point that the machine has no memory or no kernel for is left out, all else ends it. */
static void
note_failure (Runner *runner) {
  Machine *machine = runner->machine;
  if (g_error_matches (runner->error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY)
      || g_error_matches (runner->error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED)) {
    g_clear_error (&runner->error);
    atomic_store (&machine->is_unable, TRUE);
  } else {
    atomic_store (&machine->is_broken, TRUE);
  }
}

/* From the point before: one call to warm up, and the rounds. */
static void
decide (Machine *machine, const PwMachinePoint *point) {
  double expected = machine->per_size[point->table] * point->size;
  double calls = 1 + (expected < LONG_S ? ROUNDS : ROUNDS_LONG) * MAX (1, ROUND_S / expected);
  gboolean fits = expected == 0
                  || now_in (machine) + MIN (calls, ROUNDS * CALLS_MAX) * expected
                         <= machine->deadlines[point->table];
  machine->is_left_out = machine->is_full[point->table] || !fits;
  machine->is_full[point->table] = machine->is_left_out;
  atomic_store (&machine->is_unable, FALSE);
}

static void
set_calls (Machine *machine, const PwMachinePoint *point, double first_s) {
  double calls = CLAMP (ROUND_S / first_s, 1, CALLS_MAX);
  if (point->calls_max > 0)
    calls = MIN (calls, point->calls_max);
  machine->calls = (int)calls;
  machine->rounds = first_s < LONG_S ? ROUNDS : ROUNDS_LONG;
}

/* Rank 0's, when all have left the point. */
static void
keep (Machine *machine, const PwMachinePoint *point, const double *rounds) {
  double seconds = rounds[0];
  for (int i = 1; i < machine->rounds; i++)
    seconds = MIN (seconds, rounds[i]);
  machine->per_size[point->table] = seconds / point->size;
  pw_rates_append (point->into, point->size, point->amount / seconds);
  if (machine->options->progress)
    machine->options->progress (MIN (1, now_in (machine) / machine->budget),
                                machine->options->progress_data);
}

/* Between two meetings all ranks do the same; a rank that fails goes on meeting the others. */
static void
run_point (Runner *runner, const PwMachinePoint *point) {
  Machine *machine = runner->machine;
  gboolean leads = runner->bench.context.rank == 0;
  double first = 0, rounds[ROUNDS] = { 0 };
  if (leads)
    decide (machine, point);
  meet (machine);
  if (machine->is_left_out)
    return;
  if (!pw__machine_prepare (&runner->bench, point, &runner->error)
      || !time_calls (runner, point, 1, &first) || !time_calls (runner, point, 1, &first))
    note_failure (runner);
  meet (machine);
  gboolean goes_on = !atomic_load (&machine->is_unable) && !atomic_load (&machine->is_broken);
  if (leads && goes_on)
    set_calls (machine, point, first);
  if (leads && !goes_on)
    machine->is_full[point->table] = TRUE;
  meet (machine);
  for (int i = 0; goes_on && i < machine->rounds; i++) {
    if (!runner->error && !time_calls (runner, point, machine->calls, &rounds[i]))
      atomic_store (&machine->is_broken, TRUE);
    meet (machine);
  }
  pw__machine_clear (&runner->bench);
  if (leads && goes_on && !atomic_load (&machine->is_broken))
    keep (machine, point, rounds);
}

static gboolean
open_runner (Runner *runner) {
  const PwBackend *backend = runner->machine->backend;
  PwOpContext *context = &runner->bench.context;
  return (context->stream = backend->stream_new (context->rank, &runner->error))
         && (runner->begin = backend->event_new (&runner->error))
         && (runner->end = backend->event_new (&runner->error));
}

static void
close_runner (Runner *runner) {
  const PwBackend *backend = runner->machine->backend;
  if (runner->end)
    backend->event_free (runner->end);
  if (runner->begin)
    backend->event_free (runner->begin);
  if (runner->bench.context.stream)
    backend->stream_free (runner->bench.context.stream);
}

static void *
run_points (void *data) {
  Runner *runner = data;
  Machine *machine = runner->machine;
  pthread_mutex_lock (&machine->start);
  pthread_mutex_unlock (&machine->start);
  if (atomic_load (&machine->is_broken))
    return NULL;
  pw__pinning_apply (machine->pinning, runner->bench.context.rank);
  if (!open_runner (runner))
    atomic_store (&machine->is_broken, TRUE);
  meet (machine);
  for (guint i = 0; i < machine->points->len && !atomic_load (&machine->is_broken); i++) {
    run_point (runner, &g_array_index (machine->points, PwMachinePoint, i));
    meet (machine);
  }
  close_runner (runner);
  return NULL;
}

static gboolean
run_threads (Machine *machine, Runner *runners, GError **error) {
  g_autofree pthread_t *threads = g_new0 (pthread_t, (gsize)machine->n_ranks);
  int n = 0, code = 0;
  pthread_mutex_lock (&machine->start);
  while (n < machine->n_ranks && code == 0) {
    code = pthread_create (&threads[n], NULL, run_points, &runners[n]);
    n += code == 0;
  }
  atomic_store (&machine->is_broken, code != 0);
  pthread_mutex_unlock (&machine->start);
  for (int r = 0; r < n; r++)
    pthread_join (threads[r], NULL);
  if (code != 0)
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY, "no thread: %s", g_strerror (code));
  return code == 0;
}

static gboolean
run_all (Machine *machine, GError **error) {
  g_autofree Runner *runners = g_new0 (Runner, (gsize)machine->n_ranks);
  for (int r = 0; r < machine->n_ranks; r++)
    runners[r] = (Runner){ .machine = machine,
                           .bench.context = { .backend = machine->backend, .rank = r } };
  pthread_barrier_init (&machine->barrier, NULL, (unsigned)machine->n_ranks);
  pthread_mutex_init (&machine->start, NULL);
  gboolean good = run_threads (machine, runners, error) && !atomic_load (&machine->is_broken);
  pthread_mutex_destroy (&machine->start);
  pthread_barrier_destroy (&machine->barrier);
  for (int r = 0; r < machine->n_ranks; r++) {
    if (runners[r].error && error && !*error)
      g_propagate_error (error, g_steal_pointer (&runners[r].error));
    g_clear_error (&runners[r].error);
  }
  return good;
}

/* Products share what is left evenly. */
static void
set_deadlines (Machine *machine) {
  int n_products = 0, so_far = 0;
  for (int p = 0; p < PW_PRECISION_N; p++)
    n_products += pw__computes_in (machine->backend, (PwPrecision)p);
  double copies = now_in (machine) + MEMORY_SHARE * machine->budget;
  machine->deadlines[PW_TABLE_MEMORY] = copies;
  for (int k = 0; k < PW_COPY_N; k++)
    machine->deadlines[PW_TABLE_COPY + k] = copies += COPY_SHARE * machine->budget;
  for (int p = 0; p < PW_PRECISION_N; p++) {
    so_far += pw__computes_in (machine->backend, (PwPrecision)p);
    machine->deadlines[PW_TABLE_PRODUCTS + p]
        = copies + (machine->budget - copies) * so_far / n_products;
  }
}

/* The figures that stand for all sizes: of the best products, of memory beyond the caches. */
static void
summarise (PwHardware *hardware) {
  double bf16 = pw_rates_largest (&hardware->rates[PW_PRECISION_BF16]);
  double fp16 = pw_rates_largest (&hardware->rates[PW_PRECISION_FP16]);
  double tf32 = pw_rates_largest (&hardware->rates[PW_PRECISION_TF32]);
  hardware->flops = pw_rates_largest (&hardware->rates[PW_PRECISION_FP32]);
  hardware->flops_tf32 = tf32 > 0 ? tf32 : hardware->flops;
  hardware->flops_half = bf16 > 0 ? bf16 : fp16 > 0 ? fp16 : hardware->flops;
  hardware->efficiency = 1; /* it was reached */
  hardware->memory_bandwidth = hardware->memory_rates.rows[hardware->memory_rates.n - 1].rate;
}

static gboolean
measure (Machine *machine, GError **error) {
  const PwMachineOptions *options = machine->options;
  PwHardware *hardware = machine->hardware;
  const PwTransport *transport = options->transport ? options->transport : &pw_transport_threads;
  gsize largest = machine->budget < SHORT_S ? 1 << 20 : LARGEST_MESSAGE;
  if (options->ranks > 1
      && !pw__profile_link (machine->backend, transport, largest, &hardware->link,
                            &hardware->messages, error))
    return FALSE;
  set_deadlines (machine);
  pw__machine_points (machine->backend, hardware, machine->points);
  if (!run_all (machine, error))
    return FALSE;
  if (hardware->rates[PW_PRECISION_FP32].n == 0 || hardware->memory_rates.n == 0) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY,
                 "the machine has no memory for the smallest products");
    return FALSE;
  }
  summarise (hardware);
  return TRUE;
}

PwHardware *
pw_profile_machine (const PwMachineOptions *options, GError **error) {
  const PwBackend *backend = options->backend ? options->backend : &pw_backend_cpu;
  g_autoptr (PwHardware) hardware = g_new0 (PwHardware, 1);
  g_autoptr (GArray) points = g_array_new (FALSE, FALSE, sizeof (PwMachinePoint));
  Machine machine = { .options = options,
                      .backend = backend,
                      .hardware = hardware,
                      .points = points,
                      .n_ranks = pw__is_host_memory (backend) ? MAX (1, options->ranks) : 1,
                      .budget = options->seconds > 0 ? options->seconds : SECONDS,
                      .began = pw__now_s () };
  hardware->name = g_strdup ("measured");
  hardware->source = pw__profile_machine_name (backend, options->ranks);
  machine.pinning = pw__pinning_new ();
  gboolean good = measure (&machine, error);
  pw__pinning_free (machine.pinning);
  return good ? g_steal_pointer (&hardware) : NULL;
}

char *
pw__profile_machine_name (const PwBackend *backend, int ranks) {
  g_autofree char *cpuinfo = NULL;
  g_autofree char *processor = NULL;
  if (g_file_get_contents ("/proc/cpuinfo", &cpuinfo, NULL, NULL)) {
    const char *line = strstr (cpuinfo, "model name");
    const char *value = line ? strchr (line, ':') : NULL;
    if (value)
      processor = g_strndup (value + 2, strcspn (value + 2, "\n"));
  }
  const char *busy = pw__is_host_memory (backend) ? "core" : "rank";
  return g_strdup_printf ("%s, backend %s, %d %s%s busy", processor ? processor : "unknown",
                          backend->name, MAX (1, ranks), busy, ranks > 1 ? "s" : "");
}
