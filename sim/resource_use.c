/* What goes over each link, port, bus and card. */
#include "sim/paths_private.h"

typedef struct {
  int resource;
  double start, end;
} Interval;

static int
compare_intervals (const void *x, const void *y) {
  const Interval *a = x, *b = y;
  if (a->resource != b->resource)
    return a->resource < b->resource ? -1 : 1;
  return (a->start > b->start) - (a->start < b->start);
}

/* Time with a message on it, however many. */
static void
add_busy_time (PwSimResourceUse *uses, GArray *intervals) {
  g_array_sort (intervals, compare_intervals);
  double until = 0;
  for (guint i = 0; i < intervals->len; i++) {
    const Interval *interval = &g_array_index (intervals, Interval, i);
    if (i == 0 || interval[-1].resource != interval->resource || interval->start > until)
      until = interval->start;
    if (interval->end > until) {
      uses[interval->resource].busy_time += interval->end - until;
      until = interval->end;
    }
  }
}

/* Equally busy ones in the order of their names. */
static int
busier (const void *x, const void *y) {
  const PwSimResourceUse *a = x, *b = y;
  const PwResource *p = &a->resource, *q = &b->resource;
  if (a->busy_time > b->busy_time || a->busy_time < b->busy_time)
    return a->busy_time > b->busy_time ? -1 : 1;
  const int orders[]
      = { (int)p->kind - (int)q->kind, p->a - q->a, p->b - q->b, (int)p->way - (int)q->way };
  for (gsize i = 0; i < G_N_ELEMENTS (orders); i++)
    if (orders[i] != 0)
      return orders[i];
  return 0;
}

GArray *
pw_sim_resource_use (const PwSimInput *input, const PwSimResult *result) {
  g_autoptr (PwSimLayout) layout = pw__sim_layout_new (input, NULL);
  g_assert (layout != NULL && layout->n_actions == result->offset[result->ranks]);
  g_autoptr (PwSimPaths) paths = pw__sim_paths_new (layout, input->costs);
  GArray *uses = g_array_sized_new (FALSE, TRUE, sizeof (PwSimResourceUse), 0);
  g_array_set_size (uses, (guint)paths->n_resources);
  PwSimResourceUse *use = (PwSimResourceUse *)(gpointer)uses->data;
  for (int r = 0; r < paths->n_resources; r++)
    use[r].resource = paths->resources[r];
  g_autoptr (GArray) intervals = g_array_new (FALSE, FALSE, sizeof (Interval));
  double pieces = MAX (layout->schedule->pieces, 1);
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      if (!pw__sim_is_send (action))
        continue;
      const PwSimPath *path = &paths->paths[pw__sim_channel (layout, action)];
      double bytes = (double)input->costs->message_bytes[action.edge] / pieces;
      for (int i = 0; i < path->n; i++) {
        Interval interval = { path->resources[i], result->start[id], result->end[id] };
        use[interval.resource].messages++;
        use[interval.resource].bytes += bytes;
        g_array_append_val (intervals, interval);
      }
    }
  add_busy_time (use, intervals);
  g_array_sort (uses, busier);
  return uses;
}
