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
   * the SEND; and those that took no time, but had their turn. */
  PwSimPaths *paths;
  GHashTable *left;
  GArray *instant; /* int32_t */
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

static PwAction
action_of (const Search *search, int32_t id) {
  return pw__sim_action (search->layout, pw__sim_rank_of (search->layout, id), id);
}

/* Of MESSAGE, where it waits its turn; else nothing. */
static const PwSimPath *
path_in_turn (const Search *search, PwAction message) {
  const PwSimPath *path = &search->paths->paths[pw__sim_channel (search->layout, message)];
  return path->sharing == PW_LINK_FCFS ? path : NULL;
}

static void
list_message (Search *search, int32_t id, PwAction message) {
  const PwSimResult *result = search->result;
  const PwSimPath *path = path_in_turn (search, message);
  if (path == NULL)
    return;
  if (result->end[id] <= result->start[id])
    g_array_append_val (search->instant, id);
  for (int i = 0; result->end[id] > result->start[id] && i < path->n; i++) {
    LeftKey key = { .resource = path->resources[i], .end = result->end[id] };
    g_hash_table_insert (search->left, g_memdup2 (&key, sizeof key),
                         GSIZE_TO_POINTER ((gsize)id + 1));
  }
}

static void
list_messages (Search *search) {
  const PwSimLayout *layout = search->layout;
  search->paths = pw__sim_paths_new (layout, search->costs);
  search->left = g_hash_table_new_full (hash_key, same_key, g_free, NULL);
  search->instant = g_array_new (FALSE, FALSE, sizeof (int32_t));
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      if (pw__sim_is_send (action))
        list_message (search, (int32_t)id, action);
    }
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

static gboolean
take_the_same (const PwSimPath *a, const PwSimPath *b) {
  for (int i = 0; i < a->n; i++)
    for (int k = 0; k < b->n; k++)
      if (a->resources[i] == b->resources[k])
        return TRUE;
  return FALSE;
}

/* The action that ends last of those that ID waited for; -1: none ended when it began. */
static int32_t
waited_for (const Search *search, int32_t id) {
  int32_t last = -1;
  latest_before (search, search->graph->node[id], &last);
  return last >= 0 && search->result->end[last] >= search->result->start[id] ? last : -1;
}

/* The transfer that left something that the message ID takes in turn when it began; or -1. Before
 * it in line may have stood some that took no time themselves, but had to wait; SEEN: those. */
static int32_t
ahead_in_turn (const Search *search, int32_t id, GHashTable *seen) {
  double time = search->result->start[id];
  const PwSimPath *path = path_in_turn (search, action_of (search, id));
  for (int i = 0; path != NULL && i < path->n; i++) {
    LeftKey key = { .resource = path->resources[i], .end = time };
    gpointer send = g_hash_table_lookup (search->left, &key);
    if (send != NULL)
      return (int32_t)GPOINTER_TO_SIZE (send) - 1;
  }
  for (guint i = 0; path != NULL && i < search->instant->len; i++) {
    int32_t other = g_array_index (search->instant, int32_t, i);
    if (search->result->start[other] < time || search->result->start[other] > time
        || !take_the_same (path, path_in_turn (search, action_of (search, other)))
        || !g_hash_table_add (seen, GINT_TO_POINTER (other)))
      continue;
    int32_t ahead = waited_for (search, other);
    if (ahead < 0)
      ahead = ahead_in_turn (search, other, seen);
    if (ahead >= 0)
      return ahead;
  }
  return -1;
}

static int32_t
step_back (Search *search, int32_t id) {
  int32_t ahead = waited_for (search, id), last = -1;
  if (ahead < 0 && pw__sim_is_message (action_of (search, id))) {
    if (search->left == NULL)
      list_messages (search);
    g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
    g_hash_table_add (seen, GINT_TO_POINTER (id));
    ahead = ahead_in_turn (search, id, seen);
  }
  if (ahead >= 0)
    return ahead;
  latest_before (search, search->graph->node[id], &last);
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
  g_clear_pointer (&search.instant, g_array_unref);
  pw__sim_paths_free (search.paths);
  return path;
}
