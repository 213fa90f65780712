#include "sim/program_private.h"

#include <string.h>

/* The lowest row of each part of the table. */
static int64_t
channel_row (const PwSimLayout *layout) {
  int directions = layout->schedule->placement->directions;
  return 1 + directions * PW_ACTION_N * (int64_t)layout->stages;
}
static int64_t
pair_row (const PwSimLayout *layout) {
  return channel_row (layout) + layout->n_channels;
}

typedef struct {
  uint64_t a, b;
} PairKey;

static guint
hash_pair (gconstpointer key) {
  const PairKey *pair = key;
  return (guint)((pair->a * 0x9e3779b97f4a7c15u ^ pair->b * 0xc2b2ae3d27d4eb4fu) >> 32);
}

static gboolean
same_pair (gconstpointer x, gconstpointer y) {
  const PairKey *a = x, *b = y;
  return a->a == b->a && a->b == b->b;
}

/* The row of the pair AT[0], AT[1]; a new one for kinds and stages not met before. */
static int64_t
find_pair_row (PwSimTimed *timed, GHashTable *rows, const PwSimLayout *layout, const PwAction *at) {
  PairKey key = { .a = ((uint64_t)at[0].direction << 8 | at[0].kind) << 16 | at[0].stage,
                  .b = ((uint64_t)at[1].direction << 8 | at[1].kind) << 16 | at[1].stage };
  gpointer known = g_hash_table_lookup (rows, &key);
  if (known == NULL) {
    g_array_append_vals (timed->pairs, at, 2);
    known = GSIZE_TO_POINTER (timed->pairs->len / 2);
    g_hash_table_insert (rows, g_memdup2 (&key, sizeof key), known);
  }
  return pair_row (layout) + (int64_t)GPOINTER_TO_SIZE (known) - 1;
}

static int64_t
row_of (PwSimTimed *timed, GHashTable *pairs, const PwSimLayout *layout, int rank, int64_t id) {
  const PwAction *at = layout->list[rank] + (id - layout->offset[rank]);
  if (pw__sim_is_message (*at))
    return channel_row (layout) + pw__sim_channel (layout, *at);
  if (pw__sim_is_pair (layout, rank, id))
    return find_pair_row (timed, pairs, layout, at);
  return 1 + (int64_t)(at->direction * PW_ACTION_N + at->kind) * layout->stages + at->stage;
}

PwSimTimed *
pw__sim_timed_new (PwSimGraph *graph, const PwSimLayout *layout) {
  PwSimTimed *timed = g_new0 (PwSimTimed, 1);
  timed->graph = graph;
  timed->pairs = g_array_new (FALSE, FALSE, sizeof (PwAction));
  g_autoptr (GHashTable) pairs = g_hash_table_new_full (hash_pair, same_pair, g_free, NULL);
  timed->row32 = g_new0 (uint32_t, (gsize)graph->n_nodes);
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++)
      if (graph->action[graph->node[id]] == (int32_t)id)
        timed->row32[graph->node[id]] = (uint32_t)row_of (timed, pairs, layout, rank, id);
  timed->first_pair_row = pair_row (layout);
  timed->n_rows = timed->first_pair_row + timed->pairs->len / 2;
  if (timed->n_rows <= G_MAXUINT16) {
    timed->row16 = g_new (uint16_t, (gsize)graph->n_nodes);
    for (int32_t i = 0; i < graph->n_nodes; i++)
      timed->row16[i] = (uint16_t)timed->row32[i];
    g_clear_pointer (&timed->row32, g_free);
  }
  return timed;
}

void
pw__sim_timed_free (PwSimTimed *timed) {
  if (timed == NULL)
    return;
  pw__sim_graph_free (timed->graph);
  g_array_unref (timed->pairs);
  g_free (timed->row16);
  g_free (timed->row32);
  g_free (timed->first);
  g_free (timed);
}

void
pw__sim_fill_table (const PwSimTimed *timed, const PwSimLayout *layout,
                    const PwSimDurations *durations, double *table) {
  table[0] = 0;
  int directions = layout->schedule->placement->directions;
  memcpy (table + 1, durations->compute,
          (gsize)(directions * PW_ACTION_N * layout->stages) * sizeof *table);
  for (int channel = 0; channel < layout->n_channels; channel++)
    table[channel_row (layout) + channel] = durations->transfer[channel];
  for (guint i = 0; durations->factor == NULL && i < timed->pairs->len / 2; i++) {
    const PwAction *pair = &g_array_index (timed->pairs, PwAction, 2 * i);
    table[pair_row (layout) + i] = pw__sim_pair_duration (durations, pair[0], pair[1]);
  }
}

void
pw__sim_timed_find_actions (PwSimTimed *timed, const PwSimLayout *layout) {
  const PwSimGraph *graph = timed->graph;
  timed->first = g_new0 (const PwAction *, (gsize)graph->n_nodes);
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++)
      if (graph->action[graph->node[id]] == (int32_t)id)
        timed->first[graph->node[id]] = layout->list[rank] + (id - layout->offset[rank]);
}

static double
later (double x, double y) {
  return x > y ? x : y;
}

static void
evaluate_16 (int32_t n, const int32_t *restrict a, const int32_t *restrict b,
             const uint16_t *restrict row, const double *restrict table, double *time) {
  for (int32_t i = 1; i < n; i++)
    time[i] = later (time[a[i]], time[b[i]]) + table[row[i]];
}

static void
evaluate_32 (int32_t n, const int32_t *restrict a, const int32_t *restrict b,
             const uint32_t *restrict row, const double *restrict table, double *time) {
  for (int32_t i = 1; i < n; i++)
    time[i] = later (time[a[i]], time[b[i]]) + table[row[i]];
}

/* Costs that differ by micro-batch: a pair is told by its row. */
double
pw__sim_node_duration (const PwSimTimed *timed, const PwSimDurations *durations, int32_t node) {
  const PwAction *at = timed->first[node];
  if (at == NULL)
    return 0;
  if (pw__sim_is_message (*at))
    return pw__sim_transfer (durations, *at);
  uint32_t row = timed->row16 != NULL ? timed->row16[node] : timed->row32[node];
  return row >= timed->first_pair_row ? pw__sim_pair_duration (durations, at[0], at[1])
                                      : pw__sim_duration (durations, *at);
}

double
pw__sim_evaluate (const PwSimTimed *timed, const PwSimDurations *durations, const double *table,
                  double *time) {
  const PwSimGraph *graph = timed->graph;
  time[0] = 0;
  if (durations->factor != NULL)
    for (int32_t i = 1; i < graph->n_nodes; i++)
      time[i] = later (time[graph->a[i]], time[graph->b[i]])
                + pw__sim_node_duration (timed, durations, i);
  else if (timed->row16 != NULL)
    evaluate_16 (graph->n_nodes, graph->a, graph->b, timed->row16, table, time);
  else
    evaluate_32 (graph->n_nodes, graph->a, graph->b, timed->row32, table, time);
  double last = 0;
  for (int32_t i = 0; i < graph->n_last; i++)
    last = later (last, time[graph->last[i]]);
  return last;
}
