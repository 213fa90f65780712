#include "sim/lanes_private.h"

#include "schedules/block.h"
#include "sim/summary_private.h"

#include <string.h>

#define NO_PLACE UINT32_MAX

extern const PwSimLanesLoops pw__sim_loops_baseline;
#ifdef PW_SIM_X86
extern const PwSimLanesLoops pw__sim_loops_avx2, pw__sim_loops_avx512;
#endif

/* Which loops this processor can run is asked at run time, so that one binary travels. A plain
 * list: function multiversioning needs ifuncs, which sanitizers do not survive. */
const PwSimLanesLoops *
pw__sim_lanes_loops (int index) {
  const PwSimLanesLoops *runs[4] = { NULL };
  int n = 0;
#ifdef PW_SIM_X86
  gboolean has_avx2 = __builtin_cpu_supports ("avx2") != 0;
  if (has_avx2 && __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512dq")
      && __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512vl"))
    runs[n++] = &pw__sim_loops_avx512;
  if (has_avx2)
    runs[n++] = &pw__sim_loops_avx2;
#endif
  runs[n++] = &pw__sim_loops_baseline;
  return index < n ? runs[index] : NULL;
}

/* Hands out places and takes them back; the one freed last goes first, as it is in the cache. */
typedef struct {
  uint32_t *place;    /* [n_nodes] */
  int32_t *last_read; /* [n_nodes] the last node that waits for it; 0: kept to the end */
  uint32_t *open;
  uint32_t n_open, n_places;
} Places;

static void
leave (Places *places, int32_t node, int32_t reader) {
  if (node == 0 || places->last_read[node] != reader)
    return;
  places->last_read[node] = 0; /* where both waits are the same */
  places->open[places->n_open++] = places->place[node];
}

static void
make_steps (PwSimLanes *lanes, const PwSimTimed *timed, Places *places) {
  const PwSimGraph *graph = timed->graph;
  for (int32_t i = 1; i < graph->n_nodes; i++) {
    int32_t a = graph->a[i], b = graph->b[i];
    PwSimStep *step = &lanes->steps[i - 1];
    step->a = places->place[a];
    step->b = places->place[b];
    step->row = timed->row16 != NULL ? timed->row16[i] : timed->row32[i];
    leave (places, a, i);
    leave (places, b, i);
    step->out = places->n_open > 0 ? places->open[--places->n_open] : places->n_places++;
    places->place[i] = step->out;
  }
}

/* The node of RANK's last compute in ITERATION, or 0. */
static int32_t
last_compute (const PwSimGraph *graph, const PwSimLayout *layout, int rank, int64_t iteration) {
  int64_t now = 0, last = -1;
  for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
    PwAction action = pw__sim_action (layout, rank, id);
    if (action.kind < PW_ACTION_UPDATE && layout->iterations > 1)
      now = pw__sim_iteration (layout, action);
    if (now == iteration && pw_action_kinds[action.kind].is_compute)
      last = id;
  }
  return last < 0 ? 0 : graph->node[last];
}

/* Nodes whose times are asked for at the end: LIST gets one per rank. */
static int32_t *
keep_ends (Places *places, const PwSimGraph *graph, const PwSimLayout *layout, int64_t iteration,
           int32_t *n) {
  int32_t *list = g_new (int32_t, (gsize)layout->ranks);
  for (int rank = 0; rank < layout->ranks; rank++) {
    int32_t node = last_compute (graph, layout, rank, iteration);
    places->last_read[node] = 0;
    if (node > 0)
      list[(*n)++] = node;
  }
  return list;
}

static void
nodes_to_places (int32_t *list, int32_t n, const Places *places) {
  for (int32_t i = 0; i < n; i++)
    list[i] = (int32_t)places->place[list[i]];
}

PwSimLanes *
pw__sim_lanes_new (const PwSimTimed *timed, const PwSimLayout *layout) {
  const PwSimGraph *graph = timed->graph;
  gsize n = (gsize)graph->n_nodes;
  g_autofree uint32_t *place = g_new0 (uint32_t, n), *open = g_new (uint32_t, n);
  g_autofree int32_t *last_read = g_new0 (int32_t, n);
  Places places = { .place = place, .last_read = last_read, .open = open, .n_places = 1 };
  for (int32_t i = 1; i < graph->n_nodes; i++)
    last_read[graph->a[i]] = last_read[graph->b[i]] = i;
  PwSimLanes *lanes = g_new0 (PwSimLanes, 1);
  lanes->iterations = layout->iterations;
  lanes->final = keep_ends (&places, graph, layout, layout->iterations - 1, &lanes->n_final);
  if (layout->iterations > 1)
    lanes->first = keep_ends (&places, graph, layout, 0, &lanes->n_first);
  lanes->n_steps = graph->n_nodes - 1;
  lanes->steps = pw_block_new ((gsize)lanes->n_steps * sizeof *lanes->steps);
  make_steps (lanes, timed, &places);
  lanes->n_places = (int32_t)places.n_places;
  lanes->n_last = graph->n_last;
  lanes->last = g_memdup2 (graph->last, (gsize)graph->n_last * sizeof *graph->last);
  nodes_to_places (lanes->last, lanes->n_last, &places);
  nodes_to_places (lanes->first, lanes->n_first, &places);
  nodes_to_places (lanes->final, lanes->n_final, &places);
  return lanes;
}

void
pw__sim_lanes_free (PwSimLanes *lanes) {
  if (lanes == NULL)
    return;
  pw_block_free (lanes->steps);
  g_free (lanes->last);
  g_free (lanes->first);
  g_free (lanes->final);
  g_free (lanes);
}

double *
pw__sim_lanes_rows_new (int64_t rows, int width) {
  return g_aligned_alloc0 ((gsize)rows * (gsize)width, sizeof (double), 64);
}

static double
latest (const int32_t *list, int32_t n, const double *places, int width, int lane) {
  double end = 0;
  for (int32_t i = 0; i < n; i++) {
    double time = places[(int64_t)list[i] * width + lane];
    end = time > end ? time : end;
  }
  return end;
}

void
pw__sim_lanes_read (const PwSimLanes *lanes, const double *places, int width, double *totals,
                    double *iteration_times) {
  for (int lane = 0; lane < width; lane++) {
    if (totals != NULL)
      totals[lane] = latest (lanes->last, lanes->n_last, places, width, lane);
    if (iteration_times == NULL)
      continue;
    double time = latest (lanes->final, lanes->n_final, places, width, lane);
    if (lanes->iterations > 1)
      time = (time - latest (lanes->first, lanes->n_first, places, width, lane))
             / (lanes->iterations - 1);
    iteration_times[lane] = time;
  }
}

#define BLOCK 128 /* steps whose durations are made at once: 8 KiB */

typedef struct {
  const PwSimLayout *layout;
  const PwSimTimed *timed;
  const PwSimLanesLoops *loops;
  double *table; /* [rows][PW_SIM_LANES] */
  double *one;   /* [rows] of one lane */
  double *block; /* [BLOCK][PW_SIM_LANES] */
  double *places;
} Pass;

static void
run_rows (const Pass *pass, const PwSimLanes *lanes, const PwSimDurations *durations) {
  for (int lane = 0; lane < PW_SIM_LANES; lane++) {
    pw__sim_fill_table (pass->timed, pass->layout, &durations[lane], pass->one);
    for (int64_t row = 0; row < pass->timed->n_rows; row++)
      pass->table[row * PW_SIM_LANES + lane] = pass->one[row];
  }
  pass->loops->rows (lanes->steps, lanes->n_steps, pass->table, pass->places);
}

/* Costs that differ by micro-batch: every node has a duration of its own. */
static void
run_factors (const Pass *pass, const PwSimLanes *lanes, const PwSimDurations *durations) {
  for (int32_t first = 0; first < lanes->n_steps; first += BLOCK) {
    int32_t n = lanes->n_steps - first < BLOCK ? lanes->n_steps - first : BLOCK;
    for (int lane = 0; lane < PW_SIM_LANES; lane++)
      for (int32_t i = 0; i < n; i++)
        pass->block[i * PW_SIM_LANES + lane]
            = pw__sim_node_duration (pass->timed, &durations[lane], first + i + 1);
    pass->loops->durations (lanes->steps + first, n, pass->block, pass->places);
  }
}

/* The scenarios COSTS[0 .. PW_SIM_LANES). */
static void
run_pass (const Pass *pass, const PwSimLanes *lanes, const PwStageCosts *const *costs) {
  PwSimDurations durations[PW_SIM_LANES];
  gboolean has_factors = FALSE;
  for (int lane = 0; lane < PW_SIM_LANES; lane++) {
    pw__sim_durations_init (&durations[lane], pass->layout, costs[lane]);
    has_factors |= costs[lane]->factor != NULL;
  }
  if (has_factors)
    run_factors (pass, lanes, durations);
  else
    run_rows (pass, lanes, durations);
  for (int lane = 0; lane < PW_SIM_LANES; lane++)
    pw__sim_durations_clear (&durations[lane]);
}

static gboolean
some_message_takes_time (const PwSimLayout *layout, const PwStageCosts *const *costs, int n,
                         gboolean *has_factors) {
  gboolean found = FALSE;
  *has_factors = FALSE;
  for (int i = 0; i < n; i++) {
    PwSimDurations durations;
    pw__sim_durations_init (&durations, layout, costs[i]);
    found |= durations.has_transfers;
    *has_factors |= costs[i]->factor != NULL;
    pw__sim_durations_clear (&durations);
  }
  return found;
}

void
pw__sim_lanes_times (PwSimProgram *program, const PwSimLanesLoops *loops,
                     const PwStageCosts *const *costs, int n, double *totals,
                     double *iteration_times) {
  const PwSimLayout *layout = program->layout;
  gboolean has_factors;
  gboolean has_transfers = some_message_takes_time (layout, costs, n, &has_factors);
  PwSimTimed *timed = pw__sim_program_timed (program, has_transfers, NULL);
  g_assert (timed != NULL);
  if (has_factors && timed->first == NULL)
    pw__sim_timed_find_actions (timed, layout);
  const PwSimLanes *lanes = pw__sim_program_lanes (program, timed);
  Pass pass = { .layout = layout, .timed = timed, .loops = loops };
  pass.table = pw__sim_lanes_rows_new (timed->n_rows, PW_SIM_LANES);
  pass.one = g_new (double, (gsize)timed->n_rows);
  pass.block = pw__sim_lanes_rows_new (BLOCK, PW_SIM_LANES);
  pass.places = pw__sim_lanes_rows_new (lanes->n_places, PW_SIM_LANES);
  for (int first = 0; first < n; first += PW_SIM_LANES) {
    const PwStageCosts *of_lane[PW_SIM_LANES];
    double total[PW_SIM_LANES], iteration[PW_SIM_LANES];
    int used = n - first < PW_SIM_LANES ? n - first : PW_SIM_LANES;
    for (int lane = 0; lane < PW_SIM_LANES; lane++)
      of_lane[lane] = costs[first + (lane < used ? lane : used - 1)];
    run_pass (&pass, lanes, of_lane);
    pw__sim_lanes_read (lanes, pass.places, PW_SIM_LANES, total, iteration);
    if (totals != NULL)
      memcpy (totals + first, total, (gsize)used * sizeof *total);
    if (iteration_times != NULL)
      memcpy (iteration_times + first, iteration, (gsize)used * sizeof *iteration);
  }
  g_aligned_free (pass.table);
  g_free (pass.one);
  g_aligned_free (pass.block);
  g_aligned_free (pass.places);
}

void
pw_sim_retime_many (PwSimProgram *program, const PwStageCosts *const *costs, int n,
                    double *totals) {
  pw__sim_lanes_times (program, pw__sim_lanes_loops (0), costs, n, totals, NULL);
}
