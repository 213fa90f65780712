#include "sim/what_if_private.h"

static gboolean fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_WHAT_IF_ERROR, PW_WHAT_IF_ERROR_VALUE, message);
  return FALSE;
}

gboolean
pw_what_if_changes_plan (const GArray *changes) {
  for (guint i = 0; i < changes->len; i++)
    if (g_array_index (changes, PwWhatIfChange, i).kind >= PW_WHAT_IF_MICROBATCHES)
      return TRUE;
  return FALSE;
}

static void
change_link (const PwWhatIfChange *change, PwLink *link) {
  gboolean both = change->kind == PW_WHAT_IF_LINK;
  if (both || change->kind == PW_WHAT_IF_LATENCY)
    link->latency_s = change->is_absolute ? change->value : link->latency_s / change->value;
  if (both || change->kind == PW_WHAT_IF_BANDWIDTH)
    link->bandwidth = change->is_absolute ? change->value : link->bandwidth * change->value;
}

/* Whether EDGE's messages go between the two ranks in DIRECTION. */
static gboolean
is_between (const PwWhatIfChange *change, const PwPlacement *placement, const PwStageEdge *edge,
            int direction) {
  int a = pw_placement_rank (placement, direction, edge->producer);
  int b = pw_placement_rank (placement, direction, edge->consumer);
  return (a == change->from && b == change->to) || (a == change->to && b == change->from);
}

static gboolean
change_links (const PwWhatIfChange *change, const PwPlacement *placement, const PwStageEdges *edges,
              PwStageCosts *costs, GError **error) {
  gboolean found = change->from < 0;
  if (!found && pw_topology_crosses (costs->topology, change->from, change->to))
    return fail (error,
                 "link %d-%d: these ranks are joined by the network, which others use as well; "
                 "\"link: 2x\" changes all links and the network",
                 change->from, change->to);
  if (found && costs->topology != NULL && !change->is_absolute)
    change_link (change, &costs->topology->network);
  for (int e = 0; e < costs->n_edges; e++) {
    int matches = 0;
    for (int d = 0; d < placement->directions; d++)
      matches += is_between (change, placement, &edges->edges[e], d);
    if (change->from >= 0 && matches > 0 && matches < placement->directions)
      return fail (error,
                   "link %d-%d: in two directions a message of the same stages goes between other "
                   "ranks as well; \"link: 2x\" changes all of them",
                   change->from, change->to);
    if (change->from >= 0 && matches == 0)
      continue;
    found = TRUE;
    change_link (change, &costs->link[e]);
  }
  return found
         || fail (error, "link %d-%d: no message goes between these ranks", change->from,
                  change->to);
}

static gboolean
change_ranks (const PwWhatIfChange *change, int ranks, PwStageCosts *costs, GError **error) {
  if (change->from >= ranks)
    return fail (error, "rank %d: the last one is %d", change->from, ranks - 1);
  if (costs->rank_factor == NULL) {
    costs->ranks = ranks;
    costs->rank_factor = g_new (double, (gsize)ranks);
    for (int rank = 0; rank < ranks; rank++)
      costs->rank_factor[rank] = 1;
  }
  for (int rank = 0; rank < ranks; rank++)
    if (change->from < 0 || change->from == rank)
      costs->rank_factor[rank] /= change->value;
  return TRUE;
}

static gboolean
change_stages (const PwWhatIfChange *change, PwStageCosts *costs, GError **error) {
  if (change->from >= costs->stages)
    return fail (error, "stage %d: the last one is %d", change->from, costs->stages - 1);
  for (int s = 0; s < costs->stages; s++) {
    if (change->from >= 0 && change->from != s)
      continue;
    PwStageCost *cost = &costs->stage[s];
    double *times[] = { &cost->forward,   &cost->backward, &cost->input,     &cost->weight,
                        &cost->recompute, &cost->update,   &cost->overlapped };
    for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
      *times[i] /= change->value;
  }
  return TRUE;
}

static gboolean
change_reductions (const PwWhatIfChange *change, PwStageCosts *costs, GError **error) {
  if (change->from >= costs->stages)
    return fail (error, "stage %d: the last one is %d", change->from, costs->stages - 1);
  for (int s = 0; s < costs->stages; s++)
    if (change->from < 0 || change->from == s)
      costs->stage[s].reduce /= change->value;
  return TRUE;
}

gboolean
pw__what_if_apply_one (const PwWhatIfChange *change, const PwPlacement *placement,
                       const PwStageEdges *edges, PwStageCosts *costs, GError **error) {
  if (change->kind <= PW_WHAT_IF_BANDWIDTH)
    return change_links (change, placement, edges, costs, error);
  if (change->kind == PW_WHAT_IF_RANK)
    return change_ranks (change, placement->ranks, costs, error);
  if (change->kind == PW_WHAT_IF_STAGE)
    return change_stages (change, costs, error);
  if (change->kind == PW_WHAT_IF_REDUCE)
    return change_reductions (change, costs, error);
  return TRUE;
}

gboolean
pw_what_if_apply (const GArray *changes, const PwPlacement *placement, const PwStageEdges *edges,
                  PwStageCosts *costs, GError **error) {
  for (guint i = 0; i < changes->len; i++)
    if (!pw__what_if_apply_one (&g_array_index (changes, PwWhatIfChange, i), placement, edges,
                                costs, error))
      return FALSE;
  return TRUE;
}
