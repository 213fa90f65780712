#include "sim/links_private.h"
#include "sim/link_private.h"

typedef struct {
  int32_t send;
  int channel;
  double left; /* bytes */
} Flow;

typedef struct {
  PwLinkSharing sharing;
  double capacity;
  double free_at;         /* FCFS: when all that came before are through */
  GArray *flows;          /* FAIR: Flow, in the order they came */
  double *limits, *rates; /* [flows] */
  double updated;         /* the time `left` is as of */
  int64_t version;        /* of the rates; events of an older one are void */
} Link;

struct PwSimLinks {
  const PwSimLayout *layout;
  const PwStageCosts *costs;
  const PwSimDurations *durations;
  PwSimHeap *heap;
  double *start, *end;
  GArray *links;        /* Link */
  int *link_of_channel; /* -1: its own */
};

static int
find_link (PwSimLinks *links, GHashTable *by_ranks, int channel, const PwLink *of_edge) {
  const PwSimLayout *layout = links->layout;
  int64_t pair = (int64_t)layout->sender[channel] * layout->ranks + layout->receiver[channel];
  gpointer known = g_hash_table_lookup (by_ranks, GSIZE_TO_POINTER ((gsize)pair + 1));
  if (known == NULL) {
    Link link = { .sharing = of_edge->sharing, .flows = g_array_new (FALSE, FALSE, sizeof (Flow)) };
    g_array_append_val (links->links, link);
    known = GSIZE_TO_POINTER ((gsize)links->links->len);
    g_hash_table_insert (by_ranks, GSIZE_TO_POINTER ((gsize)pair + 1), known);
  }
  int number = (int)GPOINTER_TO_SIZE (known) - 1;
  Link *link = &g_array_index (links->links, Link, number);
  link->capacity = MAX (link->capacity, of_edge->bandwidth);
  return number;
}

/* Queues let the transfers of one channel through one by one, so who has a link to itself never
 * waits for it. */
static void
free_single_channels (PwSimLinks *links) {
  const PwSimLayout *layout = links->layout;
  const PwSchedule *schedule = layout->schedule;
  if (schedule->batched || pw_policies[schedule->policy].queue == PW_QUEUE_NONE)
    return;
  g_autofree int *users = g_new0 (int, (gsize)links->links->len + 1);
  for (int channel = 0; channel < layout->n_channels; channel++)
    users[links->link_of_channel[channel] + 1]++;
  for (int channel = 0; channel < layout->n_channels; channel++)
    if (users[links->link_of_channel[channel] + 1] == 1)
      links->link_of_channel[channel] = -1;
}

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
                         .links = g_array_new (FALSE, FALSE, sizeof (Link)),
                         .link_of_channel = g_new (int, (gsize)(layout->n_channels + 1)) };
  g_autoptr (GHashTable) by_ranks = g_hash_table_new (NULL, NULL);
  for (int channel = 0; channel < layout->n_channels; channel++) {
    const PwLink *of_edge = &costs->link[channel % layout->n_edges];
    gboolean shared
        = of_edge->sharing != PW_LINK_OWN && layout->sender[channel] != layout->receiver[channel];
    links->link_of_channel[channel] = shared ? find_link (links, by_ranks, channel, of_edge) : -1;
  }
  free_single_channels (links);
  return links;
}

void
pw__sim_links_free (PwSimLinks *links) {
  if (links == NULL)
    return;
  for (guint i = 0; i < links->links->len; i++) {
    Link *link = &g_array_index (links->links, Link, i);
    g_array_unref (link->flows);
    g_free (link->limits);
    g_free (link->rates);
  }
  g_array_unref (links->links);
  g_free (links->link_of_channel);
  g_free (links);
}

gboolean
pw__sim_links_is_shared (const PwSimLinks *links, int channel) {
  return links->link_of_channel[channel] >= 0;
}

static void
start_alone (PwSimLinks *links, int channel, int32_t send, double start) {
  links->start[send] = start;
  links->end[send] = start + links->durations->transfer[channel % links->layout->n_edges];
}

/* Brings all flows up to NOW. */
static void
advance_flows (Link *link, double now) {
  for (guint i = 0; i < link->flows->len; i++)
    g_array_index (link->flows, Flow, i).left -= link->rates[i] * (now - link->updated);
  link->updated = now;
}

/* New rates, and the event at which the first of the flows will be through. */
static void
share_again (PwSimLinks *links, int number, double now) {
  Link *link = &g_array_index (links->links, Link, number);
  int n = (int)link->flows->len;
  link->version++;
  if (n == 0)
    return;
  link->limits = g_renew (double, link->limits, (gsize)n);
  link->rates = g_renew (double, link->rates, (gsize)n);
  for (int i = 0; i < n; i++) {
    int channel = g_array_index (link->flows, Flow, i).channel;
    link->limits[i] = links->costs->link[channel % links->layout->n_edges].bandwidth;
  }
  pw__link_share (n, link->limits, link->capacity, link->rates);
  double first = G_MAXDOUBLE;
  for (int i = 0; i < n; i++) {
    double left = MAX (g_array_index (link->flows, Flow, i).left, 0);
    first = MIN (first, left / link->rates[i]);
  }
  pw__sim_heap_push (links->heap,
                     pw__sim_event (now + first, PW_SIM_EVENT_LINK, number, link->version));
}

/* The bytes begin to flow. */
static void
add_flow (PwSimLinks *links, Flow flow, double now) {
  int number = links->link_of_channel[flow.channel];
  Link *link = &g_array_index (links->links, Link, number);
  advance_flows (link, now);
  g_array_append_val (link->flows, flow);
  share_again (links, number, now);
}

static gboolean
begin_fair (PwSimLinks *links, int channel, int32_t send, double now) {
  int edge = channel % links->layout->n_edges;
  const PwLink *link = &links->costs->link[edge];
  double bytes = (double)links->costs->message_bytes[edge] / links->durations->pieces;
  if (link->bandwidth <= 0 || bytes <= 0) {
    start_alone (links, channel, send, now);
    return TRUE;
  }
  links->start[send] = now;
  Flow flow = { .send = send, .channel = channel, .left = bytes };
  if (link->latency_s <= 0)
    add_flow (links, flow, now);
  else
    pw__sim_heap_push (links->heap,
                       pw__sim_event (now + link->latency_s, PW_SIM_EVENT_FLOW, send, channel));
  return FALSE;
}

gboolean
pw__sim_links_begin (PwSimLinks *links, int channel, int32_t send, double now) {
  int number = links->link_of_channel[channel];
  if (number < 0) {
    start_alone (links, channel, send, now);
    return TRUE;
  }
  Link *link = &g_array_index (links->links, Link, number);
  if (link->sharing != PW_LINK_FCFS)
    return begin_fair (links, channel, send, now);
  start_alone (links, channel, send, MAX (now, link->free_at));
  link->free_at = links->end[send];
  return TRUE;
}

/* The flow with the least left to go is through; the others go on. */
static void
end_first_flow (PwSimLinks *links, int number, double now) {
  Link *link = &g_array_index (links->links, Link, number);
  advance_flows (link, now);
  guint first = 0;
  for (guint i = 1; i < link->flows->len; i++)
    if (g_array_index (link->flows, Flow, i).left / link->rates[i]
        < g_array_index (link->flows, Flow, first).left / link->rates[first])
      first = i;
  Flow flow = g_array_index (link->flows, Flow, first);
  g_array_remove_index (link->flows, first);
  links->end[flow.send] = now;
  pw__sim_heap_push (links->heap,
                     pw__sim_event (now, PW_SIM_EVENT_TRANSFER, flow.send, flow.channel));
  share_again (links, number, now);
}

void
pw__sim_links_event (PwSimLinks *links, const PwSimEvent *event) {
  int32_t what = pw__sim_event_what (event);
  if (pw__sim_event_kind (event) == PW_SIM_EVENT_LINK) {
    if (event->more == g_array_index (links->links, Link, what).version)
      end_first_flow (links, what, event->time);
    return;
  }
  int channel = (int)event->more, edge = channel % links->layout->n_edges;
  Flow flow = { .send = what,
                .channel = channel,
                .left = (double)links->costs->message_bytes[edge] / links->durations->pieces };
  add_flow (links, flow, event->time);
}
