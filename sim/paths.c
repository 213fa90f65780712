#include "sim/paths_private.h"

#include <string.h>

static guint
hash_resource (gconstpointer key) {
  const PwResource *resource = key;
  guint hash = (guint)resource->kind * 4 + (guint)resource->way;
  return ((hash * 4 + (guint)resource->sharing) * 0x9e3779b1u ^ (guint)resource->a) * 0x85ebca6bu
         ^ (guint)resource->b;
}

static gboolean
same_resource (gconstpointer a, gconstpointer b) {
  return pw_resource_is_same (a, b);
}

typedef struct {
  GArray *resources;   /* PwResource */
  GHashTable *numbers; /* PwResource to its number + 1 */
} Found;

static int
number_of (Found *found, const PwResource *resource) {
  gpointer known = g_hash_table_lookup (found->numbers, resource);
  if (known == NULL) {
    g_array_append_val (found->resources, *resource);
    known = GSIZE_TO_POINTER ((gsize)found->resources->len);
    g_hash_table_insert (found->numbers, g_memdup2 (resource, sizeof *resource), known);
  }
  int number = (int)GPOINTER_TO_SIZE (known) - 1;
  PwResource *kept = &g_array_index (found->resources, PwResource, number);
  kept->capacity = MAX (kept->capacity, resource->capacity);
  return number;
}

PwSimPaths *
pw__sim_paths_new (const PwSimLayout *layout, const PwStageCosts *costs) {
  PwSimPaths *paths = g_new0 (PwSimPaths, 1);
  paths->paths = g_new0 (PwSimPath, (gsize)layout->n_channels + 1);
  Found found = { .resources = g_array_new (FALSE, FALSE, sizeof (PwResource)),
                  .numbers = g_hash_table_new_full (hash_resource, same_resource, g_free, NULL) };
  for (int channel = 0; channel < layout->n_channels; channel++) {
    if (layout->sender[channel] == layout->receiver[channel])
      continue;
    PwSimPath *path = &paths->paths[channel];
    PwPath way;
    pw_stage_costs_path (costs, channel % layout->n_edges, layout->sender[channel],
                         layout->receiver[channel], &way);
    path->latency = way.latency_s;
    path->limit = way.bandwidth;
    for (int i = 0; i < way.n; i++) {
      path->resources[path->n++] = number_of (&found, &way.resources[i]);
      path->sharing = MAX (path->sharing, way.resources[i].sharing);
    }
  }
  g_hash_table_unref (found.numbers);
  paths->n_resources = (int)found.resources->len;
  paths->resources = (PwResource *)(gpointer)g_array_free (found.resources, FALSE);
  return paths;
}

void
pw__sim_paths_free (PwSimPaths *paths) {
  if (paths == NULL)
    return;
  g_free (paths->resources);
  g_free (paths->paths);
  g_free (paths);
}

void
pw__sim_paths_keep_shared (PwSimPaths *paths, const PwSimLayout *layout) {
  const PwSchedule *schedule = layout->schedule;
  gboolean one_by_one = !schedule->batched && pw_policies[schedule->policy].queue != PW_QUEUE_NONE;
  g_autofree int *users = g_new0 (int, (gsize)paths->n_resources + 1);
  for (int channel = 0; channel < layout->n_channels; channel++)
    for (int i = 0; i < paths->paths[channel].n; i++)
      users[paths->paths[channel].resources[i]]++;
  for (int channel = 0; channel < layout->n_channels; channel++) {
    PwSimPath *path = &paths->paths[channel];
    int n = 0;
    for (int i = 0; i < path->n; i++) {
      int resource = path->resources[i];
      if (paths->resources[resource].sharing != PW_LINK_OWN && (!one_by_one || users[resource] > 1))
        path->resources[n++] = resource;
    }
    path->n = n;
    if (n == 0)
      path->sharing = PW_LINK_OWN;
  }
}

gboolean
pw__sim_paths_are_shared (const PwSimLayout *layout, const PwStageCosts *costs) {
  gboolean shares = costs->topology != NULL && costs->topology->network.sharing != PW_LINK_OWN;
  for (int e = 0; e < layout->n_edges && !shares; e++)
    shares = costs->link[e].sharing != PW_LINK_OWN;
  if (!shares)
    return FALSE;
  g_autoptr (PwSimPaths) paths = pw__sim_paths_new (layout, costs);
  pw__sim_paths_keep_shared (paths, layout);
  for (int channel = 0; channel < layout->n_channels; channel++)
    if (paths->paths[channel].n > 0)
      return TRUE;
  return FALSE;
}
