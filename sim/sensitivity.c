/* Everything 1% faster in turn, all side by side. */
#include "sim/lanes_private.h"
#include "sim/what_if_private.h"

#include <stdlib.h>

#define FASTER 1.01

static void
add (GArray *list, PwWhatIfKind kind, int from, int to) {
  PwSimSensitivity row = { .kind = kind, .from = from, .to = to };
  g_array_append_val (list, row);
}

/* Pairs of ranks that send each other something, each once; in two directions a stage's messages go
 * between two pairs, so only all links together have an answer, as with the network. */
static void
add_links (GArray *list, const PwPlacement *placement, const PwStageEdges *edges,
           const PwTopology *topology) {
  if (edges->n_edges > 0)
    add (list, PW_WHAT_IF_LINK, -1, -1);
  int ranks = placement->ranks;
  g_autofree gboolean *known = g_new0 (gboolean, (gsize)ranks * (gsize)ranks);
  for (int e = 0; placement->directions == 1 && e < edges->n_edges; e++) {
    int a = pw_placement_rank (placement, 0, edges->edges[e].producer);
    int b = pw_placement_rank (placement, 0, edges->edges[e].consumer);
    int low = MIN (a, b), high = MAX (a, b);
    if (low != high && !known[low * ranks + high] && !pw_topology_crosses (topology, low, high))
      add (list, PW_WHAT_IF_LINK, low, high);
    known[low * ranks + high] = TRUE;
  }
}

static void
add_reductions (GArray *list, const PwStageCosts *costs) {
  for (int s = 0; s < costs->stages; s++)
    if (costs->stage[s].reduce > 0) {
      add (list, PW_WHAT_IF_REDUCE, -1, -1);
      return;
    }
}

static int
compare (const void *x, const void *y) {
  const PwSimSensitivity *a = x, *b = y;
  if (a->gain > b->gain || a->gain < b->gain)
    return a->gain < b->gain ? 1 : -1;
  if (a->kind != b->kind)
    return (int)a->kind - (int)b->kind;
  return a->from != b->from ? a->from - b->from : a->to - b->to;
}

#define AT_ONCE 64 /* costs are copied whole: thousands of them would be gigabytes */

typedef struct {
  const PwSimInput *input;
  const PwStageEdges *edges;
  PwSimProgram *program; /* NULL: time decides, one after another */
} Runner;

/* The iteration with each of N rows FASTER. */
static gboolean
run_rows (const Runner *runner, const PwSimSensitivity *rows, int n, double *times,
          GError **error) {
  const PwSimInput *input = runner->input;
  PwStageCosts *costs[AT_ONCE];
  gboolean done = TRUE;
  for (int i = 0; i < n; i++) {
    PwWhatIfChange change
        = { .kind = rows[i].kind, .from = rows[i].from, .to = rows[i].to, .value = FASTER };
    costs[i] = pw_stage_costs_copy (input->costs);
    done = pw__what_if_apply_one (&change, input->schedule->placement, runner->edges, costs[i],
                                  NULL);
    g_assert (done);
  }
  if (runner->program != NULL)
    pw__sim_lanes_times (runner->program, pw__sim_lanes_loops (0),
                         (const PwStageCosts *const *)costs, n, NULL, times);
  for (int i = 0; runner->program == NULL && done && i < n; i++) {
    PwSimInput changed = *input;
    changed.costs = costs[i];
    g_autoptr (PwSimResult) result = pw_sim_run (&changed, error);
    done = result != NULL;
    times[i] = done ? result->iteration_time : 0;
  }
  for (int i = 0; i < n; i++)
    pw_stage_costs_free (costs[i]);
  return done;
}

static gboolean
run_all (const Runner *runner, GArray *list, double undisturbed, GError **error) {
  PwSimSensitivity *rows = (PwSimSensitivity *)(void *)list->data;
  for (guint first = 0; first < list->len; first += AT_ONCE) {
    double times[AT_ONCE];
    int n = (int)MIN (list->len - first, AT_ONCE);
    if (!run_rows (runner, rows + first, n, times, error))
      return FALSE;
    for (int i = 0; i < n; i++) {
      rows[first + (guint)i].iteration_time = times[i];
      if (undisturbed > 0)
        rows[first + (guint)i].gain = (undisturbed - times[i]) / undisturbed;
    }
  }
  return TRUE;
}

GArray *
pw_sim_sensitivities (const PwSimInput *input, double iteration_time, GError **error) {
  const PwPlacement *placement = input->schedule->placement;
  g_autoptr (PwStageEdges) chain
      = input->edges == NULL ? pw_stage_edges_new_chain (placement->stages) : NULL;
  g_autoptr (PwSimProgram) program = NULL;
  if (!pw_sim_needs_events (input)) {
    program = pw_sim_compile (input, error);
    if (program == NULL)
      return NULL;
  }
  Runner runner
      = { .input = input, .edges = chain != NULL ? chain : input->edges, .program = program };
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (PwSimSensitivity));
  for (int rank = 0; rank < placement->ranks; rank++)
    add (list, PW_WHAT_IF_RANK, rank, -1);
  for (int stage = 0; stage < placement->stages; stage++)
    add (list, PW_WHAT_IF_STAGE, stage, -1);
  add_links (list, placement, runner.edges, input->costs->topology);
  add_reductions (list, input->costs);
  if (!run_all (&runner, list, iteration_time, error))
    return NULL;
  qsort (list->data, list->len, sizeof (PwSimSensitivity), compare);
  return g_steal_pointer (&list);
}
