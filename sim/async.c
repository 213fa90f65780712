#include "sim/async_private.h"

/* The k-th NORM of each rank, the k-th REDUCE_GRAD of each stage and direction. */
typedef struct {
  const PwSimLayout *layout;
  int *seen; /* [stages * directions + 1] occurrences on the rank at hand; the last is NORM's */
  GHashTable *groups; /* what is to meet: key + 1 to group + 1 */
  PwSimAsync *out;
  GArray *ids, *of, *first, *size;
} Grouping;

static int
place_of (const PwSimLayout *layout, PwAction action) {
  int directions = layout->schedule->placement->directions;
  return action.kind == PW_ACTION_NORM ? directions * layout->stages
                                       : (int)action.direction * layout->stages + (int)action.stage;
}

static gboolean
meets (const PwSimLayout *layout, PwAction action) {
  return action.kind == PW_ACTION_NORM
         || (action.kind == PW_ACTION_REDUCE_GRADIENT
             && layout->schedule->placement->directions == 2);
}

/* The same for all that meet. */
static gpointer
key_of (const PwSimLayout *layout, PwAction action, int occurrence) {
  gsize kinds = (gsize)layout->stages + 1;
  gsize what = action.kind == PW_ACTION_NORM ? (gsize)layout->stages : (gsize)action.stage;
  return GSIZE_TO_POINTER ((gsize)occurrence * kinds + what + 1);
}

static gpointer
stash_key (const PwSimLayout *layout, PwAction action) {
  gsize place = (gsize)action.direction * (gsize)layout->stages + action.stage;
  return GSIZE_TO_POINTER (place * (gsize)layout->stride + action.microbatch + 1);
}

static void
add_copy (Grouping *grouping, PwAction action, int32_t id) {
  PwSimAsync *out = grouping->out;
  if (out->offloads == NULL) {
    out->offloads = g_hash_table_new (NULL, NULL);
    out->reloads = g_hash_table_new (NULL, NULL);
  }
  g_hash_table_insert (action.kind == PW_ACTION_OFFLOAD ? out->offloads : out->reloads,
                       stash_key (grouping->layout, action), GINT_TO_POINTER (id + 1));
}

static void
add (Grouping *grouping, PwAction action, int32_t id) {
  gpointer key = NULL, known = NULL;
  if (meets (grouping->layout, action)) {
    key = key_of (grouping->layout, action, grouping->seen[place_of (grouping->layout, action)]++);
    known = g_hash_table_lookup (grouping->groups, key);
  }
  int group = known != NULL ? (int)GPOINTER_TO_SIZE (known) - 1 : (int)grouping->first->len;
  if (known == NULL) {
    int none = 0;
    g_array_append_val (grouping->first, id);
    g_array_append_val (grouping->size, none);
    if (key != NULL)
      g_hash_table_insert (grouping->groups, key, GSIZE_TO_POINTER ((gsize)group + 1));
  }
  if (pw__sim_async_queue (action) != PW_SIM_ASYNC_EXCHANGE)
    add_copy (grouping, action, id);
  g_array_index (grouping->size, int, group)++;
  g_array_append_val (grouping->ids, id);
  g_array_append_val (grouping->of, group);
}

static void
add_queue (Grouping *grouping, int rank, PwSimAsyncQueue queue) {
  const PwSimLayout *layout = grouping->layout;
  grouping->out->start[rank * PW_SIM_ASYNC_QUEUES + (int)queue] = (int)grouping->ids->len;
  for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
    PwAction action = pw__sim_action (layout, rank, id);
    if (pw__sim_is_async (action) && pw__sim_async_queue (action) == queue)
      add (grouping, action, (int32_t)id);
  }
}

static gboolean
check_sizes (const PwSimLayout *layout, const PwSimAsync *async, GError **error) {
  for (int g = 0; g < async->n_groups; g++) {
    int rank = pw__sim_rank_of (layout, async->first[g]);
    PwAction action = pw__sim_action (layout, rank, async->first[g]);
    int wanted = action.kind == PW_ACTION_NORM ? layout->ranks : meets (layout, action) ? 2 : 1;
    gboolean is_whole = async->size[g] == wanted;
    if (is_whole
        && (action.kind != PW_ACTION_RELOAD || pw__sim_async_offload (async, layout, action) >= 0))
      continue;
    char text[PW_ACTION_TEXT_MAX];
    g_autofree char *what
        = is_whole ? g_strdup ("has no OFFLOAD")
                   : g_strdup_printf ("is an exchange of %d, but %d have it in their lists", wanted,
                                      async->size[g]);
    g_set_error (error, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE,
                 "rank %d, action %" G_GINT64_FORMAT ": %s %s", rank,
                 async->first[g] - layout->offset[rank], pw_action_format (action, text), what);
    return FALSE;
  }
  return TRUE;
}

PwSimAsync *
pw__sim_async_new (const PwSimLayout *layout, GError **error) {
  int places = layout->schedule->placement->directions * layout->stages + 1;
  g_autoptr (PwSimAsync) async = g_new0 (PwSimAsync, 1);
  async->start = g_new (int, (gsize)(layout->ranks * PW_SIM_ASYNC_QUEUES + 1));
  Grouping grouping = { .layout = layout,
                        .out = async,
                        .seen = g_new0 (int, (gsize)places),
                        .groups = g_hash_table_new (NULL, NULL),
                        .ids = g_array_new (FALSE, FALSE, sizeof (int32_t)),
                        .of = g_array_new (FALSE, FALSE, sizeof (int)),
                        .first = g_array_new (FALSE, FALSE, sizeof (int32_t)),
                        .size = g_array_new (FALSE, FALSE, sizeof (int)) };
  for (int rank = 0; rank < layout->ranks; rank++) {
    grouping.seen[places - 1] = 0;
    for (int queue = 0; queue < PW_SIM_ASYNC_QUEUES; queue++)
      add_queue (&grouping, rank, (PwSimAsyncQueue)queue);
  }
  async->n = async->start[layout->ranks * PW_SIM_ASYNC_QUEUES] = (int)grouping.ids->len;
  async->n_groups = (int)grouping.first->len;
  async->id = (int32_t *)(gpointer)g_array_free (grouping.ids, FALSE);
  async->group = (int *)(gpointer)g_array_free (grouping.of, FALSE);
  async->first = (int32_t *)(gpointer)g_array_free (grouping.first, FALSE);
  async->size = (int *)(gpointer)g_array_free (grouping.size, FALSE);
  g_hash_table_unref (grouping.groups);
  g_free (grouping.seen);
  return check_sizes (layout, async, error) ? g_steal_pointer (&async) : NULL;
}

void
pw__sim_async_free (PwSimAsync *async) {
  if (async == NULL)
    return;
  g_free (async->id);
  g_free (async->group);
  g_free (async->start);
  g_free (async->first);
  g_free (async->size);
  g_clear_pointer (&async->offloads, g_hash_table_unref);
  g_clear_pointer (&async->reloads, g_hash_table_unref);
  g_free (async);
}

int
pw__sim_async_find (const PwSimAsync *async, int rank, PwAction action, int64_t id) {
  int queue = rank * PW_SIM_ASYNC_QUEUES + (int)pw__sim_async_queue (action);
  int low = async->start[queue], high = async->start[queue + 1] - 1;
  while (low < high) {
    int middle = (low + high) / 2;
    if (async->id[middle] < id)
      low = middle + 1;
    else
      high = middle;
  }
  g_assert (async->id[low] == id);
  return low;
}

static int32_t
find_stash (GHashTable *table, const PwSimLayout *layout, PwAction action) {
  return table == NULL
             ? -1
             : GPOINTER_TO_INT (g_hash_table_lookup (table, stash_key (layout, action))) - 1;
}

int32_t
pw__sim_async_offload (const PwSimAsync *async, const PwSimLayout *layout, PwAction action) {
  return find_stash (async->offloads, layout, action);
}

int32_t
pw__sim_async_reload (const PwSimAsync *async, const PwSimLayout *layout, PwAction action) {
  return find_stash (async->reloads, layout, action);
}

/* From FROM on by STEP, until a forward or the list's end says no. */
static gboolean
finds_any (const PwSimLayout *layout, int rank, int64_t from, int step, PwActionKind until) {
  int64_t n = pw__sim_length (layout, rank);
  for (int64_t i = from; i >= 0 && i < n; i += step) {
    PwAction action = layout->list[rank][i];
    if (pw__sim_is_async (action))
      return TRUE;
    if (action.kind == until)
      return FALSE;
  }
  return FALSE;
}

gboolean
pw__sim_async_is_used (const PwSimLayout *layout) {
  for (int rank = 0; rank < layout->ranks; rank++)
    if (finds_any (layout, rank, pw__sim_length (layout, rank) - 1, -1, PW_ACTION_FORWARD)
        || finds_any (layout, rank, 0, 1, PW_ACTION_BACKWARD))
      return TRUE;
  return FALSE;
}
