#include "sim/collectives_private.h"

/* The k-th NORM of each rank, the k-th REDUCE_GRAD of each stage and direction. */
typedef struct {
  const PwSimLayout *layout;
  int *seen; /* [stages * directions + 1] occurrences on the rank at hand; the last is NORM's */
  GHashTable *groups; /* what is to meet: key + 1 to group + 1 */
  PwSimCollectives *out;
  GArray *ids, *of, *first, *size;
} Grouping;

static int
place_of (const PwSimLayout *layout, PwAction action) {
  int directions = layout->schedule->placement->directions;
  return action.kind == PW_ACTION_NORM ? directions * layout->stages
                                       : (int)action.direction * layout->stages + (int)action.stage;
}

/* The same for all that meet. */
static gpointer
key_of (const PwSimLayout *layout, PwAction action, int occurrence) {
  gsize kinds = (gsize)layout->stages + 1;
  gsize what = action.kind == PW_ACTION_NORM ? (gsize)layout->stages : (gsize)action.stage;
  return GSIZE_TO_POINTER ((gsize)occurrence * kinds + what + 1);
}

static void
add (Grouping *grouping, PwAction action, int32_t id) {
  int occurrence = grouping->seen[place_of (grouping->layout, action)]++;
  gboolean meets
      = action.kind == PW_ACTION_NORM || grouping->layout->schedule->placement->directions == 2;
  gpointer key = key_of (grouping->layout, action, occurrence);
  gpointer known = meets ? g_hash_table_lookup (grouping->groups, key) : NULL;
  int group = known != NULL ? (int)GPOINTER_TO_SIZE (known) - 1 : (int)grouping->first->len;
  if (known == NULL) {
    int none = 0;
    g_array_append_val (grouping->first, id);
    g_array_append_val (grouping->size, none);
    if (meets)
      g_hash_table_insert (grouping->groups, key, GSIZE_TO_POINTER ((gsize)group + 1));
  }
  g_array_index (grouping->size, int, group)++;
  g_array_append_val (grouping->ids, id);
  g_array_append_val (grouping->of, group);
}

static gboolean
check_sizes (const PwSimLayout *layout, const PwSimCollectives *collectives, GError **error) {
  int directions = layout->schedule->placement->directions;
  for (int g = 0; g < collectives->n_groups; g++) {
    int rank = pw__sim_rank_of (layout, collectives->first[g]);
    PwAction action = pw__sim_action (layout, rank, collectives->first[g]);
    int wanted = action.kind == PW_ACTION_NORM ? layout->ranks : directions;
    if (collectives->size[g] == wanted)
      continue;
    char text[PW_ACTION_TEXT_MAX];
    g_set_error (error, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE,
                 "rank %d, action %" G_GINT64_FORMAT
                 ": %s is an exchange of %d, but %d have it in their lists",
                 rank, collectives->first[g] - layout->offset[rank],
                 pw_action_format (action, text), wanted, collectives->size[g]);
    return FALSE;
  }
  return TRUE;
}

PwSimCollectives *
pw__sim_collectives_new (const PwSimLayout *layout, GError **error) {
  int places = layout->schedule->placement->directions * layout->stages + 1;
  Grouping grouping = { .layout = layout,
                        .seen = g_new0 (int, (gsize)places),
                        .groups = g_hash_table_new (NULL, NULL),
                        .ids = g_array_new (FALSE, FALSE, sizeof (int32_t)),
                        .of = g_array_new (FALSE, FALSE, sizeof (int)),
                        .first = g_array_new (FALSE, FALSE, sizeof (int32_t)),
                        .size = g_array_new (FALSE, FALSE, sizeof (int)) };
  for (int rank = 0; rank < layout->ranks; rank++) {
    grouping.seen[places - 1] = 0;
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      if (pw__sim_is_collective (action))
        add (&grouping, action, (int32_t)id);
    }
  }
  PwSimCollectives *collectives = g_new0 (PwSimCollectives, 1);
  collectives->n = (int)grouping.ids->len;
  collectives->n_groups = (int)grouping.first->len;
  collectives->id = (int32_t *)(gpointer)g_array_free (grouping.ids, FALSE);
  collectives->group = (int *)(gpointer)g_array_free (grouping.of, FALSE);
  collectives->first = (int32_t *)(gpointer)g_array_free (grouping.first, FALSE);
  collectives->size = (int *)(gpointer)g_array_free (grouping.size, FALSE);
  g_hash_table_unref (grouping.groups);
  g_free (grouping.seen);
  if (!check_sizes (layout, collectives, error))
    g_clear_pointer (&collectives, pw__sim_collectives_free);
  return collectives;
}

void
pw__sim_collectives_free (PwSimCollectives *collectives) {
  if (collectives == NULL)
    return;
  g_free (collectives->id);
  g_free (collectives->group);
  g_free (collectives->first);
  g_free (collectives->size);
  g_free (collectives);
}

int
pw__sim_collectives_find (const PwSimCollectives *collectives, int64_t id) {
  int low = 0, high = collectives->n;
  while (low < high) {
    int middle = (low + high) / 2;
    if (collectives->id[middle] < id)
      low = middle + 1;
    else
      high = middle;
  }
  return low < collectives->n && collectives->id[low] == id ? low : -1;
}

gboolean
pw__sim_collectives_at_end (const PwSimLayout *layout) {
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t i = pw__sim_length (layout, rank) - 1; i >= 0; i--) {
      PwAction action = layout->list[rank][i];
      if (pw__sim_is_collective (action))
        return TRUE;
      if (action.kind == PW_ACTION_FORWARD)
        break;
    }
  return FALSE;
}
