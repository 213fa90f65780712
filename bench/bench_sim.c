/* bench_sim [RANKS [MICROBATCHES [REPEATS]]]: 1f1b (default 256 ranks, 4,096 micro-batches, 5 runs;
 * medians). Prints compute actions per second of
 *
 *   retime  the compiled schedule evaluated for other costs
 *   lanes   the same for many costs side by side (each counts), by instruction set
 *   jitter  random durations of every compute, on all cores
 *   limit   the same longest path by hand: loops that know 1f1b, two flat arrays
 *   events  the event queue, once
 *
 * What a plan costs from nothing: bench_first. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "schedules/lower.h"
#include "sim/lanes_private.h"

static double
now_s (void) {
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int
compare (const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static double
median (double *values, int n) {
  qsort (values, (size_t)n, sizeof *values, compare);
  return values[n / 2];
}

static PwStageCosts *
make_costs (int stages, const PwStageEdges *edges, double forward, double backward,
            double latency) {
  PwStageCosts *costs = pw_stage_costs_new (stages, edges);
  for (int s = 0; s < stages; s++) {
    costs->stage[s].forward = forward;
    costs->stage[s].backward = backward;
  }
  for (int e = 0; e < costs->n_edges; e++)
    costs->link[e].latency_s = latency;
  return costs;
}

static PwSchedule *
make_lowered (int ranks, int microbatches, const PwStageEdges *edges) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  g_autoptr (PwSchedule) schedule = pw_schedule_generate ("1f1b", &params, NULL);
  PwLowerOptions options = { .policy = PW_POLICY_DEFAULT };
  return pw_schedule_lower (schedule, edges, &options, NULL);
}

static double
later (double x, double y) {
  return x > y ? x : y;
}

/* In round k rank r runs F of micro-batch k + P-1-r, which needs what the round before computed
 * only, then B of micro-batch k, from the last rank to the first. The warm-up is rounds below 0.
 * Both arrays have a row of P ranks per round (F's first round is 1 - P), so all goes forward in
 * memory and the forwards of a round fill the lanes. */
static double
by_hand (int P, int M, double forward, double backward, double *restrict F, double *restrict B) {
  for (int k = 1 - P; k < M; k++) {
    int lowest = MAX (0, k + P - M), highest = MIN (P - 1, k + P - 1);
    double *row = F + (gsize)(k + P - 1) * (gsize)P;
    const double *arrived = row - P - 1, *before = k > 0 ? B + (gsize)(k - 1) * (gsize)P : NULL;
    if (before != NULL) {
      if (lowest == 0)
        row[0] = before[0] + forward;
      for (int r = MAX (lowest, 1); r <= highest; r++)
        row[r] = later (arrived[r], before[r]) + forward;
    } else
      for (int r = lowest; r <= highest; r++) {
        gboolean is_first = k + P - 1 - r == 0;
        row[r] = later (r > 0 ? arrived[r] : 0, is_first ? 0 : row[r - P]) + forward;
      }
    if (k < 0)
      continue;
    /* Ranks below `lowest` have had their last forward. */
    double *back = B + (gsize)k * (gsize)P;
    double end = 0;
    for (int r = P - 1; r >= lowest; r--)
      back[r] = end = later (end, row[r]) + backward;
    for (int r = lowest - 1; r >= 0; r--) {
      double last = k > 0 ? before[r] : F[(gsize)(M - 1 + r) * (gsize)P + (gsize)r];
      back[r] = end = later (end, last) + backward;
    }
  }
  return B[(gsize)(M - 1) * (gsize)P];
}

static void
print_rate (const char *what, double actions, double seconds, double limit) {
  printf ("%-22s %9.3f ms  %8.1f M actions/s", what, seconds * 1e3, actions / seconds * 1e-6);
  if (limit > 0)
    printf ("  %.2f of the limit", limit / seconds);
  printf ("\n");
}

#define SCENARIOS 64

static void
bench_lanes (PwSimProgram *program, const PwStageCosts *costs, int repeats, double actions,
             double limit) {
  PwStageCosts *scenarios[SCENARIOS];
  double totals[SCENARIOS];
  g_autofree double *seconds = g_new (double, (gsize)repeats);
  for (int k = 0; k < SCENARIOS; k++) {
    scenarios[k] = pw_stage_costs_copy (costs);
    for (int s = 0; s < costs->stages; s++)
      scenarios[k]->stage[s].forward += 0.01 * k;
  }
  const PwSimLanesLoops *loops;
  for (int set = 0; (loops = pw__sim_lanes_loops (set)); set++) {
    for (int i = 0; i < repeats; i++) {
      double t0 = now_s ();
      pw__sim_lanes_times (program, loops, (const PwStageCosts *const *)scenarios, SCENARIOS,
                           totals, NULL);
      seconds[i] = now_s () - t0;
    }
    g_autofree char *name = g_strdup_printf (
        "lanes%s, %s", costs->link[0].latency_s > 0 ? ", links" : "", loops->name);
    print_rate (name, SCENARIOS * actions, median (seconds, repeats), SCENARIOS * limit);
  }
  for (int k = 0; k < SCENARIOS; k++)
    pw_stage_costs_free (scenarios[k]);
}

static void
bench_jitter (PwSimProgram *program, const PwStageCosts *costs, double actions, double limit) {
  int64_t samples = MAX ((int64_t)(4e7 / actions), PW_SIM_SAMPLES);
  PwSimJitter jitter = { .compute = 0.05, .samples = MIN (samples, 1000), .seed = 1 };
  double t0 = now_s ();
  g_autoptr (PwSimJitterResult) result = pw_sim_jitter (program, costs, &jitter);
  double seconds = now_s () - t0;
  print_rate (costs->link[0].latency_s > 0 ? "jitter, links" : "jitter",
              (double)jitter.samples * actions, seconds, (double)jitter.samples * limit);
}

/* Retimings and hand-written loops in turn, with costs that change. */
static void
bench_retime (PwSimInput *input, int repeats, double latency, double actions) {
  int P = input->schedule->ranks, M = input->schedule->microbatches;
  g_autofree double *F = g_new0 (double, (gsize)P *(gsize)(M + P));
  g_autofree double *B = g_new0 (double, (gsize)P *(gsize)M);
  g_autofree double *retime = g_new (double, (gsize)repeats),
                    *hand = g_new (double, (gsize)repeats);
  g_autoptr (PwStageCosts) costs = make_costs (P, input->edges, 1, 2, latency);
  input->costs = costs;
  double t0 = now_s ();
  g_autoptr (PwSimProgram) program = pw_sim_compile (input, NULL);
  print_rate (latency > 0 ? "compile, links" : "compile", actions, now_s () - t0, 0);
  for (int i = 0; i < repeats; i++) {
    for (int s = 0; s < P; s++)
      costs->stage[s].forward = 1 + 0.25 * i;
    double t1 = now_s ();
    double end = pw_sim_retime (program, costs);
    double t2 = now_s ();
    double end_by_hand = by_hand (P, M, 1 + 0.25 * i, 2, F, B);
    double t3 = now_s ();
    g_assert (latency > 0 || (end >= end_by_hand && end <= end_by_hand));
    retime[i] = t2 - t1;
    hand[i] = t3 - t2;
  }
  double limit = median (hand, repeats);
  print_rate (latency > 0 ? "retime, links" : "retime", actions, median (retime, repeats), limit);
  bench_lanes (program, costs, repeats, actions, limit);
  bench_jitter (program, costs, actions, limit);
  if (latency <= 0)
    print_rate ("limit: by hand", actions, limit, 0);
}

int
main (int argc, char **argv) {
  int ranks = argc > 1 ? atoi (argv[1]) : 256;
  int microbatches = argc > 2 ? atoi (argv[2]) : 4096;
  int repeats = argc > 3 ? atoi (argv[3]) : 5;
  if (ranks < 1 || microbatches < 1 || repeats < 1) {
    fprintf (stderr, "usage: bench_sim [RANKS [MICROBATCHES [REPEATS]]]\n");
    return 2;
  }
  double actions = 2.0 * ranks * microbatches;
  printf ("1f1b, %d ranks, %d micro-batches: %.0f compute actions\n", ranks, microbatches, actions);
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (ranks);
  g_autoptr (PwStageCosts) costs = make_costs (ranks, edges, 1, 2, 0);
  g_autoptr (PwSchedule) lowered = make_lowered (ranks, microbatches, edges);
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = edges;
  bench_retime (&input, repeats, 0, actions);
  bench_retime (&input, repeats, 0.125, actions);
  input.costs = costs;
  input.engine = PW_SIM_ENGINE_EVENTS;
  double t0 = now_s ();
  g_autoptr (PwSimResult) result = pw_sim_run (&input, NULL);
  print_rate ("events", actions, now_s () - t0, 0);
  return 0;
}
