/* bench_first [RANKS [MICROBATCHES [REPEATS]]]: one plan from nothing: generate, lower, simulate,
 * the times of every action and the activations kept. Prints for `1f1b` with links (default 256
 * ranks, 4,096 micro-batches, 15 runs), each with the best and the median run and the best
 * processor time (of use where others are on the machine),
 *
 *   the very first run, for which the kernel clears memory, and the later ones, which use it again
 *   the same times by hand: loops that know 1f1b, links and where the result keeps what
 *   the longest path by hand: the same without starts, messages and causes
 *   the time in which this machine fills the memory that a run writes
 *
 * then several sizes, links that are shared, and the memory at its peak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "schedules/block.h"
#include "schedules/lower.h"
#include "sim/sim.h"

#define FORWARD 1.0
#define BACKWARD 2.0
#define LATENCY 0.125

typedef struct {
  double wall, cpu;
} Clock;

static Clock
now (void) {
  struct timespec wall, cpu;
  clock_gettime (CLOCK_MONOTONIC, &wall);
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &cpu);
  return (Clock){ (double)wall.tv_sec + (double)wall.tv_nsec * 1e-9,
                  (double)cpu.tv_sec + (double)cpu.tv_nsec * 1e-9 };
}

/* Of one thing that is done again and again. */
typedef struct {
  GArray *wall;
  double cpu;
} Runs;

static void
runs_add (Runs *runs, Clock from) {
  Clock to = now ();
  double wall = to.wall - from.wall, cpu = to.cpu - from.cpu;
  if (runs->wall == NULL)
    runs->wall = g_array_new (FALSE, FALSE, sizeof (double));
  runs->cpu = runs->wall->len == 0 ? cpu : MIN (runs->cpu, cpu);
  g_array_append_val (runs->wall, wall);
}

static int
compare (gconstpointer a, gconstpointer b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* Returns the processor time of the best run. */
static double
print_runs (const char *what, Runs *runs, double actions) {
  g_array_sort (runs->wall, compare);
  double best = g_array_index (runs->wall, double, 0);
  double middle = g_array_index (runs->wall, double, runs->wall->len / 2);
  printf ("%-34s best %9.3f ms %7.1f M/s  median %9.3f ms  processor %9.3f ms %7.1f M/s\n", what,
          best * 1e3, actions / best * 1e-6, middle * 1e3, runs->cpu * 1e3,
          actions / runs->cpu * 1e-6);
  g_array_unref (runs->wall);
  runs->wall = NULL;
  return runs->cpu;
}

typedef struct {
  const char *schedule;
  int ranks, microbatches, chunks;
  PwLinkSharing sharing;
  PwSimEngine engine;
} Plan;

typedef struct {
  Runs generate, lower, simulate, all;
  double actions, end;
  int64_t bytes; /* written: lists and times */
} First;

static PwStageCosts *
make_costs (const PwSchedule *schedule, const PwStageEdges *edges, PwLinkSharing sharing) {
  PwStageCosts *costs = pw_stage_costs_new (schedule->stages, edges);
  for (int s = 0; s < schedule->stages; s++) {
    costs->stage[s].forward = FORWARD;
    costs->stage[s].backward = BACKWARD;
  }
  for (int e = 0; e < costs->n_edges; e++)
    costs->link[e] = (PwLink){ .latency_s = LATENCY, .sharing = sharing };
  return costs;
}

static void
run_first (const Plan *plan, First *first) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = plan->ranks;
  params.microbatches = plan->microbatches;
  params.chunks = plan->chunks;
  Clock t0 = now ();
  g_autoptr (PwSchedule) schedule = pw_schedule_generate (plan->schedule, &params, NULL);
  runs_add (&first->generate, t0);
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (schedule->stages);
  g_autoptr (PwStageCosts) costs = make_costs (schedule, edges, plan->sharing);
  PwLowerOptions options = { .policy = PW_POLICY_DEFAULT };
  Clock t1 = now ();
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, edges, &options, NULL);
  runs_add (&first->lower, t1);
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = edges;
  input.costs = costs;
  input.engine = plan->engine;
  Clock t2 = now ();
  g_autoptr (PwSimResult) result = pw_sim_run (&input, NULL);
  runs_add (&first->simulate, t2);
  runs_add (&first->all, t0);
  first->actions = (double)result->actions;
  first->end = result->total_time;
  first->bytes = result->actions * (int64_t)sizeof (PwAction)
                 + result->offset[plan->ranks] * (int64_t)(sizeof (PwAction) + 2 * sizeof (double));
}

/* A rank's times, where the result has them. */
typedef struct {
  double *start, *end;
  int64_t n;
} Times;

static inline double
keep (Times *times, double start, double duration) {
  times->start[times->n] = start;
  times->end[times->n] = start + duration;
  return times->end[times->n++];
}

static inline double
later (double x, double y) {
  return x > y ? x : y;
}

/* A message is written at both ends; the queue of its edge is in order. */
static inline double
transfer (Times *from, Times *to, double ready, double *queue) {
  *queue = keep (from, later (ready, *queue), LATENCY);
  to->start[to->n] = from->start[from->n - 1];
  to->end[to->n++] = *queue;
  return *queue;
}

/* In round k rank r runs F of micro-batch k + P-1-r, then B of micro-batch k, from the last rank to
 * the first. Returns the last end. The two arrays are the working set of one round. */
static double
by_hand_kept (int P, int M, Times *times, double *clock, double *arrived, double *queues) {
  memset (clock, 0, (gsize)P * sizeof (double));
  memset (queues, 0, 2 * (gsize)P * sizeof (double));
  for (int r = 0; r < P; r++)
    times[r].n = 0;
  arrived[0] = 0;
  for (int k = 1 - P; k < M; k++) {
    double gradient = 0;
    for (int r = P - 1; r >= 0; r--) {
      int m = k + P - 1 - r;
      if (m >= 0 && m < M) {
        double end = keep (&times[r], later (clock[r], arrived[r]), FORWARD);
        clock[r] = end;
        if (r < P - 1)
          arrived[r + 1] = transfer (&times[r], &times[r + 1], end, &queues[2 * r]);
      }
      if (k < 0)
        continue;
      double end = keep (&times[r], later (clock[r], gradient), BACKWARD);
      clock[r] = end;
      if (r > 0)
        gradient = transfer (&times[r], &times[r - 1], end, &queues[2 * r + 1]);
    }
  }
  double last = 0;
  for (int r = 0; r < P; r++)
    last = later (last, clock[r]);
  return last;
}

/* The ends alone, in two rows. */
static double
by_hand (int P, int M, double *clock, double *arrived) {
  memset (clock, 0, (gsize)P * sizeof (double));
  arrived[0] = 0;
  for (int k = 1 - P; k < M; k++) {
    double gradient = 0;
    int lowest = MAX (0, k + P - M), highest = MIN (P - 1, k + P - 1);
    if (k < 0)
      lowest = MAX (lowest, 0);
    for (int r = P - 1; r >= 0; r--) {
      if (r >= lowest && r <= highest) {
        clock[r] = later (clock[r], arrived[r]) + FORWARD;
        if (r < P - 1)
          arrived[r + 1] = clock[r] + LATENCY;
      }
      if (k >= 0) {
        clock[r] = later (clock[r], gradient) + BACKWARD;
        gradient = clock[r] + LATENCY;
      }
    }
  }
  double last = 0;
  for (int r = 0; r < P; r++)
    last = later (last, clock[r]);
  return last;
}

static void
bench_by_hand (const Plan *plan, int repeats, const First *first) {
  int P = plan->ranks, M = plan->microbatches;
  gsize n = 6 * (gsize)P * (gsize)M;
  g_autofree double *clock = g_new (double, (gsize)P), *arrived = g_new (double, (gsize)P),
                    *queues = g_new (double, 2 * (gsize)P);
  g_autofree Times *times = g_new (Times, (gsize)P);
  Runs kept = { 0 }, bare = { 0 }, fill = { 0 };
  for (int i = 0; i < repeats; i++) {
    Clock t0 = now ();
    double *start = pw_block_new (n * sizeof (double)), *end = pw_block_new (n * sizeof (double));
    for (int r = 0; r < P; r++)
      times[r] = (Times){ .start = start + 6 * (gsize)r * (gsize)M,
                          .end = end + 6 * (gsize)r * (gsize)M };
    double last = by_hand_kept (P, M, times, clock, arrived, queues);
    pw_block_free (start);
    pw_block_free (end);
    runs_add (&kept, t0);
    Clock t1 = now ();
    double last_bare = by_hand (P, M, clock, arrived);
    runs_add (&bare, t1);
    g_assert (last <= first->end && last >= first->end);
    g_assert (last_bare <= first->end && last_bare >= first->end);
    Clock t2 = now ();
    char *memory = pw_block_new ((gsize)first->bytes);
    memset (memory, i, (gsize)first->bytes);
    pw_block_free (memory);
    runs_add (&fill, t2);
  }
  double all = first->all.cpu;
  double hand = print_runs ("the same times by hand", &kept, first->actions);
  double path = print_runs ("the longest path by hand", &bare, first->actions);
  double memory = print_runs ("filling the memory it writes", &fill, first->actions);
  printf ("  %.1f MB at %.1f GB/s; all three reach %.2f of the times by hand, %.3f of the longest "
          "path, %.2f of filling\n",
          (double)first->bytes * 1e-6, (double)first->bytes / memory * 1e-9, hand / all, path / all,
          memory / all);
}

static void
bench_plan (const Plan *plan, int repeats, const char *name, gboolean in_parts, First *first) {
  *first = (First){ 0 };
  for (int i = 0; i < repeats; i++)
    run_first (plan, first);
  Runs *parts[] = { &first->generate, &first->lower, &first->simulate };
  static const char *const names[] = { "generate", "lower", "simulate" };
  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    if (in_parts)
      print_runs (names[i], parts[i], first->actions);
    else
      g_array_unref (parts[i]->wall);
  print_runs (name, &first->all, first->actions);
}

static void
bench_sizes (int repeats) {
  static const struct {
    int ranks, microbatches;
  } sizes[] = { { 16, 320 }, { 64, 512 }, { 64, 800 }, { 256, 2048 }, { 256, 20480 } };
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
    Plan plan
        = { .schedule = "1f1b", .ranks = sizes[i].ranks, .microbatches = sizes[i].microbatches };
    g_autofree char *name = g_strdup_printf ("%d x %d", plan.ranks, plan.microbatches);
    First first;
    bench_plan (&plan, repeats, name, FALSE, &first);
  }
}

int
main (int argc, char **argv) {
  Plan plan = { .schedule = "1f1b",
                .ranks = argc > 1 ? atoi (argv[1]) : 256,
                .microbatches = argc > 2 ? atoi (argv[2]) : 4096 };
  int repeats = argc > 3 ? atoi (argv[3]) : 15;
  if (plan.ranks < 1 || plan.microbatches < 1 || repeats < 1) {
    fprintf (stderr, "usage: bench_first [RANKS [MICROBATCHES [REPEATS]]]\n");
    return 2;
  }
  printf ("1f1b with links, %d ranks, %d micro-batches\n", plan.ranks, plan.microbatches);
  First first;
  bench_plan (&plan, 1, "the very first run", FALSE, &first);
  if (repeats > 1) {
    bench_plan (&plan, repeats, "all three", TRUE, &first);
    bench_by_hand (&plan, repeats, &first);
    bench_sizes (repeats);
  }
  Plan shared = { .schedule = "interleaved-1f1b",
                  .ranks = 64,
                  .microbatches = 512,
                  .chunks = 2,
                  .sharing = PW_LINK_FCFS };
  if (argc < 2) {
    bench_plan (&shared, repeats, "interleaved, links shared, 64 x 512", FALSE, &first);
    shared.engine = PW_SIM_ENGINE_EVENTS;
    bench_plan (&shared, repeats, "the same by the event queue", FALSE, &first);
  }
  struct rusage usage;
  getrusage (RUSAGE_SELF, &usage);
  printf ("peak memory %.2f GiB\n", (double)usage.ru_maxrss / (1 << 20));
  return 0;
}
