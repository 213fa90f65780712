/* Monte Carlo: 32 samples go through the compiled schedule at once, block of steps by block, so
 * that drawn durations are used while they are in the first cache. */
#include "sim/jitter_private.h"
#include "sim/lanes_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 64 /* steps: 16 KiB of durations */

typedef struct {
  const PwSimLanes *lanes;
  const PwSimLanesLoops *loops;
  uint64_t seed;
  int32_t n_blocks;
  PwSimDraw *draws, *fixed;          /* of all blocks; fixed: what does not scatter */
  int64_t *first_draw, *first_fixed; /* [n_blocks + 1] */
  int64_t samples;
  double *time; /* [samples], in whole groups */
  gint next_group;
  void (*progress) (int64_t done, int64_t samples);
} Run;

/* The standard deviation of a normal number whose exponential has DEVIATION times its mean. */
static double
deviation_of_log (double deviation) {
  return sqrt (log1p (deviation * deviation));
}

static void
split_steps (Run *run, const PwSimTimed *timed, const PwSimDurations *durations,
             const PwSimJitter *jitter) {
  const PwSimGraph *graph = timed->graph;
  double compute = deviation_of_log (jitter->compute), link = deviation_of_log (jitter->link);
  int64_t n_draws = 0, n_fixed = 0;
  for (int32_t i = 0; i < run->lanes->n_steps; i++) {
    if (i % BLOCK == 0) {
      run->first_draw[i / BLOCK] = n_draws;
      run->first_fixed[i / BLOCK] = n_fixed;
    }
    int32_t id = graph->action[i + 1];
    PwSimDraw draw = { .id = (uint32_t)MAX (id, 0),
                       .place = (uint32_t)(i % BLOCK),
                       .duration = pw__sim_node_duration (timed, durations, i + 1) };
    if (id >= 0)
      draw.deviation = pw__sim_is_message (*timed->first[i + 1]) ? link : compute;
    if (draw.deviation > 0 && draw.duration > 0)
      run->draws[n_draws++] = draw;
    else
      run->fixed[n_fixed++] = draw;
  }
  run->first_draw[run->n_blocks] = n_draws;
  run->first_fixed[run->n_blocks] = n_fixed;
}

static void
run_group (const Run *run, int64_t group, double *durations, double *places) {
  const PwSimLanes *lanes = run->lanes;
  for (int32_t block = 0; block < run->n_blocks; block++) {
    int64_t draw = run->first_draw[block], fixed = run->first_fixed[block];
    int64_t first = (int64_t)block * BLOCK;
    run->loops->fill (run->fixed + fixed, run->first_fixed[block + 1] - fixed, durations);
    run->loops->draw (run->draws + draw, run->first_draw[block + 1] - draw, run->seed,
                      (uint64_t)group, durations);
    run->loops->samples (lanes->steps + first, MIN (lanes->n_steps - first, BLOCK), durations,
                         places);
  }
  pw__sim_lanes_read (lanes, places, PW_SIM_SAMPLES, NULL, run->time + group * PW_SIM_SAMPLES);
}

/* Takes groups until none is left. */
static void
sample (Run *run, gboolean shows_progress) {
  double *durations = pw__sim_lanes_rows_new (BLOCK, PW_SIM_SAMPLES);
  double *places = pw__sim_lanes_rows_new (run->lanes->n_places, PW_SIM_SAMPLES);
  for (;;) {
    int64_t group = g_atomic_int_add (&run->next_group, 1);
    if (group * PW_SIM_SAMPLES >= run->samples)
      break;
    run_group (run, group, durations, places);
    if (shows_progress && run->progress != NULL)
      run->progress (MIN ((group + 1) * PW_SIM_SAMPLES, run->samples), run->samples);
  }
  g_aligned_free (durations);
  g_aligned_free (places);
}

static gpointer
work (gpointer data) {
  sample (data, FALSE);
  return NULL;
}

static void
run_threads (Run *run, int threads) {
  int64_t groups = (run->samples + PW_SIM_SAMPLES - 1) / PW_SIM_SAMPLES;
  if (threads <= 0)
    threads = (int)g_get_num_processors ();
  threads = (int)MIN (threads, groups);
  g_autofree GThread **others = g_new (GThread *, (gsize)threads);
  for (int i = 1; i < threads; i++)
    others[i] = g_thread_new ("jitter", work, run);
  sample (run, TRUE);
  for (int i = 1; i < threads; i++)
    g_thread_join (others[i]);
}

static int
compare (const void *x, const void *y) {
  const double *a = x, *b = y;
  return (*a > *b) - (*a < *b);
}

/* Between the two samples next to it. */
static double
quantile (const double *sorted, int64_t n, double share) {
  double place = share * (double)(n - 1);
  int64_t below = (int64_t)place;
  if (below + 1 >= n)
    return sorted[n - 1];
  return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

const int pw_sim_percentiles[PW_SIM_PERCENTILE_N] = { 5, 25, 50, 75, 95, 99 };

static PwSimJitterResult *
summarise (double *time, int64_t samples, double undisturbed) {
  PwSimJitterResult *result = g_new0 (PwSimJitterResult, 1);
  result->samples = samples;
  result->undisturbed = undisturbed;
  result->time = time;
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < samples; i++)
    sum += time[i] - undisturbed;
  double excess = sum / (double)samples;
  for (int64_t i = 0; i < samples; i++)
    squares += (time[i] - undisturbed - excess) * (time[i] - undisturbed - excess);
  result->mean = undisturbed + excess;
  if (samples > 1)
    result->standard_deviation = sqrt (squares / (double)(samples - 1));
  g_autofree double *sorted = g_memdup2 (time, (gsize)samples * sizeof *time);
  qsort (sorted, (size_t)samples, sizeof *sorted, compare);
  result->minimum = sorted[0];
  result->maximum = sorted[samples - 1];
  for (int i = 0; i < PW_SIM_PERCENTILE_N; i++)
    result->percentile[i] = quantile (sorted, samples, pw_sim_percentiles[i] / 100.0);
  return result;
}

PwSimJitterResult *
pw__sim_jitter (PwSimProgram *program, const PwSimLanesLoops *loops, const PwStageCosts *costs,
                const PwSimJitter *jitter) {
  g_assert (jitter->samples > 0);
  const PwSimLayout *layout = program->layout;
  PwSimDurations durations;
  pw__sim_durations_init (&durations, layout, costs);
  PwSimTimed *timed = pw__sim_program_timed (program, durations.has_transfers, NULL);
  g_assert (timed != NULL);
  if (timed->first == NULL)
    pw__sim_timed_find_actions (timed, layout);
  Run run = { .lanes = pw__sim_program_lanes (program, timed),
              .loops = loops,
              .seed = jitter->seed,
              .samples = jitter->samples,
              .progress = jitter->progress };
  gsize steps = (gsize)run.lanes->n_steps;
  run.n_blocks = (int32_t)((steps + BLOCK - 1) / BLOCK);
  run.draws = g_new (PwSimDraw, steps + 1);
  run.fixed = g_new (PwSimDraw, steps + 1);
  run.first_draw = g_new (int64_t, (gsize)run.n_blocks + 1);
  run.first_fixed = g_new (int64_t, (gsize)run.n_blocks + 1);
  run.time = g_new (double, (gsize)jitter->samples + PW_SIM_SAMPLES);
  split_steps (&run, timed, &durations, jitter);
  pw__sim_durations_clear (&durations);
  run_threads (&run, jitter->threads);
  g_free (run.draws);
  g_free (run.fixed);
  g_free (run.first_draw);
  g_free (run.first_fixed);
  double undisturbed;
  pw__sim_lanes_times (program, loops, &costs, 1, NULL, &undisturbed);
  return summarise (run.time, jitter->samples, undisturbed);
}

PwSimJitterResult *
pw_sim_jitter (PwSimProgram *program, const PwStageCosts *costs, const PwSimJitter *jitter) {
  return pw__sim_jitter (program, pw__sim_lanes_loops (0), costs, jitter);
}

void
pw_sim_jitter_result_free (PwSimJitterResult *result) {
  if (result == NULL)
    return;
  g_free (result->time);
  g_free (result);
}
