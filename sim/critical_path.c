/* Back from the last compute, each time to what ended last of all the action waited for. Messages
 * that took no time are passed over. */
#include "sim/graph_private.h"
#include "sim/paths_private.h"

typedef struct {
  const PwSimLayout *layout;
  const PwSimGraph *graph;
  const PwStageCosts *costs;
  const PwSimResult *result;
  /* Made when first asked for: what messages take, and of what is taken in turn, "resource, end" to
   * the SEND. */
  PwSimPaths *paths;
  GHashTable *left;
} Search;

typedef struct {
  int resource;
  double end;
} LeftKey;

static guint
hash_key (gconstpointer key) {
  const LeftKey *k = key;
  return g_double_hash (&k->end) ^ (guint)k->resource;
}

static gboolean
same_key (gconstpointer x, gconstpointer y) {
  const LeftKey *a = x, *b = y;
  return a->resource == b->resource && !(a->end < b->end) && !(a->end > b->end);
}

/* Of MESSAGE, where it waits its turn; else nothing. */
static const PwSimPath *
path_in_turn (const Search *search, PwAction message) {
  const PwSimPath *path = &search->paths->paths[pw__sim_channel (search->layout, message)];
  return path->sharing == PW_LINK_FCFS ? path : NULL;
}

static void
list_messages (Search *search) {
  const PwSimLayout *layout = search->layout;
  search->paths = pw__sim_paths_new (layout, search->costs);
  search->left = g_hash_table_new_full (hash_key, same_key, g_free, NULL);
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      if (!pw__sim_is_send (action) || search->result->end[id] <= search->result->start[id])
        continue;
      const PwSimPath *path = path_in_turn (search, action);
      for (int i = 0; path != NULL && i < path->n; i++) {
        LeftKey key = { .resource = path->resources[i], .end = search->result->end[id] };
        g_hash_table_insert (search->left, g_memdup2 (&key, sizeof key),
                             GSIZE_TO_POINTER ((gsize)id + 1));
      }
    }
}

/* The transfer that left something that MESSAGE takes when it, at ID, began; or -1. */
static int32_t
ahead_in_turn (Search *search, PwAction message, int64_t id) {
  if (search->left == NULL)
    list_messages (search);
  const PwSimPath *path = path_in_turn (search, message);
  for (int i = 0; path != NULL && i < path->n; i++) {
    LeftKey key = { .resource = path->resources[i], .end = search->result->start[id] };
    gpointer send = g_hash_table_lookup (search->left, &key);
    if (send != NULL)
      return (int32_t)GPOINTER_TO_SIZE (send) - 1;
  }
  return -1;
}

/* Of NODE's predecessors, joins looked through, the action that ends last; *LAST or better. */
static void
latest_before (const Search *search, int32_t node, int32_t *last) {
  int32_t waits[2] = { search->graph->a[node], search->graph->b[node] };
  for (int i = 0; i < 2; i++) {
    if (waits[i] == 0)
      continue;
    int32_t id = search->graph->action[waits[i]];
    if (id < 0)
      latest_before (search, waits[i], last);
    else if (*last < 0 || search->result->end[id] > search->result->end[*last])
      *last = id;
  }
}

static int32_t
step_back (Search *search, int32_t id) {
  int32_t last = -1;
  latest_before (search, search->graph->node[id], &last);
  int rank = pw__sim_rank_of (search->layout, id);
  PwAction action = pw__sim_action (search->layout, rank, id);
  if (pw__sim_is_message (action)
      && (last < 0 || search->result->end[last] < search->result->start[id])) {
    int32_t ahead = ahead_in_turn (search, action, id);
    if (ahead >= 0)
      return ahead;
  }
  return last;
}

static int32_t
last_compute (const Search *search) {
  const PwSimLayout *layout = search->layout;
  int32_t last = -1;
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++)
      if (pw_action_kinds[pw__sim_action (layout, rank, id).kind].is_compute
          && (last < 0 || search->result->end[id] > search->result->end[last]))
        last = (int32_t)id;
  return last < 0 ? -1 : search->graph->action[search->graph->node[last]];
}

static void
reverse (GArray *path) {
  for (guint i = 0, j = path->len; i + 1 < j; i++) {
    j--;
    PwSimCritical kept = g_array_index (path, PwSimCritical, i);
    g_array_index (path, PwSimCritical, i) = g_array_index (path, PwSimCritical, j);
    g_array_index (path, PwSimCritical, j) = kept;
  }
}

GArray *
pw_sim_critical_path (const PwSimInput *input, const PwSimResult *result) {
  g_autoptr (PwSimLayout) layout = pw__sim_layout_new (input, NULL);
  g_assert (layout != NULL && layout->n_actions == result->offset[result->ranks]);
  g_autoptr (PwSimIndex) index = pw__sim_index_new (layout, NULL);
  g_assert (index != NULL);
  g_autoptr (PwSimGraph) graph = pw__sim_graph_new (layout, index, FALSE, NULL);
  g_assert (graph != NULL);
  Search search = { .layout = layout, .graph = graph, .costs = input->costs, .result = result };
  GArray *path = g_array_new (FALSE, FALSE, sizeof (PwSimCritical));
  for (int32_t id = last_compute (&search); id >= 0; id = step_back (&search, id)) {
    int rank = pw__sim_rank_of (layout, id);
    PwSimCritical step = { .rank = rank,
                           .index = id - layout->offset[rank],
                           .action = pw__sim_action (layout, rank, id),
                           .start = result->start[id],
                           .end = result->end[id] };
    if (!pw__sim_is_message (step.action) || step.end > step.start)
      g_array_append_val (path, step);
  }
  reverse (path);
  g_clear_pointer (&search.left, g_hash_table_unref);
  pw__sim_paths_free (search.paths);
  return path;
}
