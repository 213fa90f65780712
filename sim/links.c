#include "sim/links_private.h"
#include "sim/link_private.h"
#include "sim/paths_private.h"

/* Flows that share a resource, or share one with such a flow, and so on, depend on each other: a
 * component. When a flow begins or ends the rates of its component change, and no others. Each
 * component has one event, the end of the flow that is through first; it counts while that flow has
 * the stamp of the event. */

typedef struct {
  int32_t send;
  int channel;
  double left; /* bytes, as of `updated` */
  double rate, updated;
  int64_t stamp;
  uint32_t seen; /* the search that came by last */
} Flow;

typedef struct {
  double capacity;
  double free_at; /* FCFS: when all that came before are through */
  GArray *flows;  /* FAIR: places of those on it */
  uint32_t seen;
  int number; /* in its component */
} Resource;

struct PwSimLinks {
  const PwSimLayout *layout;
  const PwStageCosts *costs;
  const PwSimDurations *durations;
  PwSimHeap *heap;
  double *start, *end;
  PwSimPaths *paths;
  Resource *resources; /* [paths->n_resources] */
  GArray *flows;       /* Flow; those whose send is -1 are free */
  GArray *free_flows;  /* their places */
  int64_t stamp;
  uint32_t search;
  /* The component at hand. */
  int *found_resources;          /* [paths->n_resources] */
  PwLinkResource *component;     /* likewise */
  GArray *found_flows, *sharing; /* places; PwLinkFlow */
};

PwSimLinks *
pw__sim_links_new (const PwSimLayout *layout, const PwStageCosts *costs,
                   const PwSimDurations *durations, PwSimHeap *heap, double *start, double *end) {
  PwSimLinks *links = g_new0 (PwSimLinks, 1);
  *links = (PwSimLinks){ .layout = layout,
                         .costs = costs,
                         .durations = durations,
                         .heap = heap,
                         .start = start,
                         .end = end,
                         .paths = pw__sim_paths_new (layout, costs),
                         .flows = g_array_new (FALSE, FALSE, sizeof (Flow)),
                         .free_flows = g_array_new (FALSE, FALSE, sizeof (int32_t)),
                         .found_flows = g_array_new (FALSE, FALSE, sizeof (int32_t)),
                         .sharing = g_array_new (FALSE, FALSE, sizeof (PwLinkFlow)) };
  pw__sim_paths_keep_shared (links->paths, layout);
  gsize n = (gsize)links->paths->n_resources + 1;
  links->resources = g_new0 (Resource, n);
  links->found_resources = g_new (int, n);
  links->component = g_new (PwLinkResource, n);
  for (int r = 0; r < links->paths->n_resources; r++) {
    links->resources[r].capacity = links->paths->resources[r].capacity;
    links->resources[r].flows = g_array_new (FALSE, FALSE, sizeof (int32_t));
  }
  return links;
}

void
pw__sim_links_free (PwSimLinks *links) {
  if (links == NULL)
    return;
  for (int r = 0; r < links->paths->n_resources; r++)
    g_array_unref (links->resources[r].flows);
  g_free (links->resources);
  g_free (links->found_resources);
  g_free (links->component);
  g_array_unref (links->flows);
  g_array_unref (links->free_flows);
  g_array_unref (links->found_flows);
  g_array_unref (links->sharing);
  pw__sim_paths_free (links->paths);
  g_free (links);
}

gboolean
pw__sim_links_is_shared (const PwSimLinks *links, int channel) {
  return links->paths->paths[channel].n > 0;
}

static void
start_alone (PwSimLinks *links, int channel, int32_t send, double start) {
  links->start[send] = start;
  links->end[send] = start + links->durations->transfer[channel];
}

static Flow *
flow_at (const PwSimLinks *links, int32_t place) {
  return &g_array_index (links->flows, Flow, place);
}

static const PwSimPath *
path_of (const PwSimLinks *links, const Flow *flow) {
  return &links->paths->paths[flow->channel];
}

static double
bytes_of (const PwSimLinks *links, int channel) {
  return (double)links->costs->message_bytes[channel % links->layout->n_edges]
         / links->durations->pieces;
}

static void
reach (PwSimLinks *links, int resource, int *n) {
  if (links->resources[resource].seen == links->search)
    return;
  links->resources[resource].seen = links->search;
  links->resources[resource].number = *n;
  links->found_resources[(*n)++] = resource;
}

/* The flows of the component that RESOURCE is in; returns the number of its resources. */
static int
find_component (PwSimLinks *links, int resource) {
  int n = 0;
  g_array_set_size (links->found_flows, 0);
  reach (links, resource, &n);
  for (int i = 0; i < n; i++) {
    const GArray *on_it = links->resources[links->found_resources[i]].flows;
    for (guint k = 0; k < on_it->len; k++) {
      int32_t place = g_array_index (on_it, int32_t, k);
      Flow *flow = flow_at (links, place);
      if (flow->seen == links->search)
        continue;
      flow->seen = links->search;
      g_array_append_val (links->found_flows, place);
      const PwSimPath *path = path_of (links, flow);
      for (int r = 0; r < path->n; r++)
        reach (links, path->resources[r], &n);
    }
  }
  return n;
}

/* The rates of the flows found, on N_RESOURCES. */
static void
set_rates (PwSimLinks *links, int n_resources) {
  guint n = links->found_flows->len;
  if (n == 1) {
    Flow *flow = flow_at (links, g_array_index (links->found_flows, int32_t, 0));
    flow->rate = path_of (links, flow)->limit;
    return;
  }
  g_array_set_size (links->sharing, n);
  for (int r = 0; r < n_resources; r++)
    links->component[r].capacity = links->resources[links->found_resources[r]].capacity;
  for (guint i = 0; i < n; i++) {
    const Flow *flow = flow_at (links, g_array_index (links->found_flows, int32_t, i));
    const PwSimPath *path = path_of (links, flow);
    PwLinkFlow *one = &g_array_index (links->sharing, PwLinkFlow, i);
    *one = (PwLinkFlow){ .limit = path->limit, .n = path->n };
    for (int r = 0; r < path->n; r++)
      one->resources[r] = links->resources[path->resources[r]].number;
  }
  pw__link_share ((PwLinkFlow *)(gpointer)links->sharing->data, (int)n, links->component,
                  n_resources);
  for (guint i = 0; i < n; i++)
    flow_at (links, g_array_index (links->found_flows, int32_t, i))->rate
        = g_array_index (links->sharing, PwLinkFlow, i).rate;
}

/* New rates around RESOURCE, and the event at which the first of the flows will be through: of
 * several that with the lowest SEND. */
static void
share_again (PwSimLinks *links, int resource, double now) {
  int n_resources = find_component (links, resource);
  guint n = links->found_flows->len;
  if (n == 0)
    return;
  for (guint i = 0; i < n; i++) {
    Flow *flow = flow_at (links, g_array_index (links->found_flows, int32_t, i));
    flow->left = MAX (flow->left - flow->rate * (now - flow->updated), 0);
    flow->updated = now;
  }
  set_rates (links, n_resources);
  int32_t first = -1;
  double soonest = 0;
  links->stamp++;
  for (guint i = 0; i < n; i++) {
    int32_t place = g_array_index (links->found_flows, int32_t, i);
    Flow *flow = flow_at (links, place);
    double time = flow->left / flow->rate;
    flow->stamp = links->stamp;
    if (first >= 0
        && (time > soonest || (time >= soonest && flow->send > flow_at (links, first)->send)))
      continue;
    first = place;
    soonest = time;
  }
  pw__sim_heap_push (links->heap,
                     pw__sim_event (now + soonest, PW_SIM_EVENT_LINK, first, links->stamp));
}

/* The bytes begin to flow. */
static void
add_flow (PwSimLinks *links, int channel, int32_t send, double now) {
  int32_t place = (int32_t)links->flows->len;
  if (links->free_flows->len > 0) {
    place = g_array_index (links->free_flows, int32_t, links->free_flows->len - 1);
    g_array_set_size (links->free_flows, links->free_flows->len - 1);
  } else
    g_array_set_size (links->flows, links->flows->len + 1);
  *flow_at (links, place) = (Flow){
    .send = send, .channel = channel, .left = bytes_of (links, channel), .updated = now
  };
  const PwSimPath *path = &links->paths->paths[channel];
  for (int i = 0; i < path->n; i++)
    g_array_append_val (links->resources[path->resources[i]].flows, place);
  links->search++;
  share_again (links, path->resources[0], now);
}

/* The flow at PLACE is through; those around it go on. */
static void
end_flow (PwSimLinks *links, int32_t place, double now) {
  Flow flow = *flow_at (links, place);
  const PwSimPath *path = path_of (links, &flow);
  for (int i = 0; i < path->n; i++) {
    GArray *on_it = links->resources[path->resources[i]].flows;
    guint k = 0;
    while (g_array_index (on_it, int32_t, k) != place)
      k++;
    g_array_remove_index (on_it, k);
  }
  flow_at (links, place)->stamp = -1;
  g_array_append_val (links->free_flows, place);
  links->end[flow.send] = now;
  pw__sim_heap_push (links->heap,
                     pw__sim_event (now, PW_SIM_EVENT_TRANSFER, flow.send, flow.channel));
  links->search++;
  for (int i = 0; i < path->n; i++)
    if (links->resources[path->resources[i]].seen != links->search)
      share_again (links, path->resources[i], now);
}

static gboolean
begin_fair (PwSimLinks *links, int channel, int32_t send, double now) {
  const PwSimPath *path = &links->paths->paths[channel];
  if (path->limit <= 0 || bytes_of (links, channel) <= 0) {
    start_alone (links, channel, send, now);
    return TRUE;
  }
  links->start[send] = now;
  if (path->latency <= 0)
    add_flow (links, channel, send, now);
  else
    pw__sim_heap_push (links->heap,
                       pw__sim_event (now + path->latency, PW_SIM_EVENT_FLOW, send, channel));
  return FALSE;
}

/* In the order in which they come each is behind those before it at all it takes, and so starts
 * when these have ended: it cannot be overtaken, and none waits for one that came later. */
static void
begin_in_turn (PwSimLinks *links, int channel, int32_t send, double now) {
  const PwSimPath *path = &links->paths->paths[channel];
  double start = now;
  for (int i = 0; i < path->n; i++)
    start = MAX (start, links->resources[path->resources[i]].free_at);
  start_alone (links, channel, send, start);
  for (int i = 0; i < path->n; i++)
    links->resources[path->resources[i]].free_at = links->end[send];
}

gboolean
pw__sim_links_begin (PwSimLinks *links, int channel, int32_t send, double now) {
  const PwSimPath *path = &links->paths->paths[channel];
  if (path->sharing == PW_LINK_FAIR)
    return begin_fair (links, channel, send, now);
  if (path->sharing == PW_LINK_FCFS)
    begin_in_turn (links, channel, send, now);
  else
    start_alone (links, channel, send, now);
  return TRUE;
}

void
pw__sim_links_event (PwSimLinks *links, const PwSimEvent *event) {
  int32_t what = pw__sim_event_what (event);
  if (pw__sim_event_kind (event) == PW_SIM_EVENT_FLOW)
    add_flow (links, (int)event->more, what, event->time);
  else if (flow_at (links, what)->stamp == event->more)
    end_flow (links, what, event->time);
}
