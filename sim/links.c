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
  gboolean is_busy;       /* FCFS */
  GQueue waiting;         /* FCFS: Flow */
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
  GArray *latent;       /* Flow, those whose latency has not passed; by number */
};

static int
find_link (PwSimLinks *links, GHashTable *by_ranks, int channel, const PwLink *of_edge) {
  const PwSimLayout *layout = links->layout;
  int64_t pair = (int64_t)layout->sender[channel] * layout->ranks + layout->receiver[channel];
  gpointer known = g_hash_table_lookup (by_ranks, GSIZE_TO_POINTER ((gsize)pair + 1));
  if (known == NULL) {
    Link link = { .sharing = of_edge->sharing, .flows = g_array_new (FALSE, FALSE, sizeof (Flow)) };
    g_queue_init (&link.waiting);
    g_array_append_val (links->links, link);
    known = GSIZE_TO_POINTER ((gsize)links->links->len);
    g_hash_table_insert (by_ranks, GSIZE_TO_POINTER ((gsize)pair + 1), known);
  }
  int number = (int)GPOINTER_TO_SIZE (known) - 1;
  Link *link = &g_array_index (links->links, Link, number);
  link->capacity = MAX (link->capacity, of_edge->bandwidth);
  return number;
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
                         .latent = g_array_new (FALSE, FALSE, sizeof (Flow)),
                         .link_of_channel = g_new (int, (gsize)(layout->n_channels + 1)) };
  g_autoptr (GHashTable) by_ranks = g_hash_table_new (NULL, NULL);
  for (int channel = 0; channel < layout->n_channels; channel++) {
    const PwLink *of_edge = &costs->link[channel % layout->n_edges];
    gboolean shared
        = of_edge->sharing != PW_LINK_OWN && layout->sender[channel] != layout->receiver[channel];
    links->link_of_channel[channel] = shared ? find_link (links, by_ranks, channel, of_edge) : -1;
  }
  return links;
}

void
pw__sim_links_free (PwSimLinks *links) {
  for (guint i = 0; i < links->links->len; i++) {
    Link *link = &g_array_index (links->links, Link, i);
    g_queue_clear_full (&link->waiting, g_free);
    g_array_unref (link->flows);
    g_free (link->limits);
    g_free (link->rates);
  }
  g_array_unref (links->links);
  g_array_unref (links->latent);
  g_free (links->link_of_channel);
  g_free (links);
}

static void
start_alone (PwSimLinks *links, int channel, int32_t send, double now) {
  links->start[send] = now;
  links->end[send] = now + links->durations->transfer[channel % links->layout->n_edges];
  pw__sim_heap_push (links->heap, links->end[send], PW_SIM_EVENT_TRANSFER, send, 0);
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
  pw__sim_heap_push (links->heap, now + first, PW_SIM_EVENT_LINK, number, link->version);
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

static void
begin_fair (PwSimLinks *links, int channel, int32_t send, double now) {
  int edge = channel % links->layout->n_edges;
  const PwLink *link = &links->costs->link[edge];
  double bytes = (double)links->costs->message_bytes[edge] / links->durations->pieces;
  if (link->bandwidth <= 0 || bytes <= 0) {
    start_alone (links, channel, send, now);
    return;
  }
  links->start[send] = now;
  Flow flow = { .send = send, .channel = channel, .left = bytes };
  if (link->latency_s <= 0) {
    add_flow (links, flow, now);
    return;
  }
  g_array_append_val (links->latent, flow);
  pw__sim_heap_push (links->heap, now + link->latency_s, PW_SIM_EVENT_FLOW,
                     (int32_t)links->latent->len - 1, 0);
}

static void
begin_in_turn (PwSimLinks *links, Link *link, int channel, int32_t send, double now) {
  if (link->is_busy) {
    Flow flow = { .send = send, .channel = channel };
    g_queue_push_tail (&link->waiting, g_memdup2 (&flow, sizeof flow));
    return;
  }
  link->is_busy = TRUE;
  start_alone (links, channel, send, now);
}

void
pw__sim_links_begin (PwSimLinks *links, int channel, int32_t send, double now) {
  int number = links->link_of_channel[channel];
  if (number < 0) {
    start_alone (links, channel, send, now);
    return;
  }
  Link *link = &g_array_index (links->links, Link, number);
  if (link->sharing == PW_LINK_FCFS)
    begin_in_turn (links, link, channel, send, now);
  else
    begin_fair (links, channel, send, now);
}

void
pw__sim_links_end (PwSimLinks *links, int channel, double now) {
  int number = links->link_of_channel[channel];
  if (number < 0)
    return;
  Link *link = &g_array_index (links->links, Link, number);
  if (link->sharing != PW_LINK_FCFS)
    return;
  g_autofree Flow *next = g_queue_pop_head (&link->waiting);
  link->is_busy = next != NULL;
  if (next != NULL)
    start_alone (links, next->channel, next->send, now);
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
  pw__sim_heap_push (links->heap, now, PW_SIM_EVENT_TRANSFER, flow.send, 0);
  share_again (links, number, now);
}

void
pw__sim_links_event (PwSimLinks *links, const PwSimEvent *event) {
  if (event->kind == PW_SIM_EVENT_FLOW)
    add_flow (links, g_array_index (links->latent, Flow, event->what), event->time);
  else if (event->version == g_array_index (links->links, Link, event->what).version)
    end_first_flow (links, event->what, event->time);
}
