#include "plans/topology.h"

const char *const pw_link_sharing_names[] = { "own", "fcfs", "fair", NULL };
const char *const pw_fabric_names[] = { "pair", "switch", "bus", NULL };
const char *const pw_duplex_names[] = { "full", "half", NULL };

double
pw_link_time (const PwLink *link, int64_t bytes) {
  return link->latency_s + (link->bandwidth > 0 ? (double)bytes / link->bandwidth : 0);
}

static int
node_of (const PwTopology *topology, int rank) {
  return topology->ranks_per_node > 0 ? rank / topology->ranks_per_node : 0;
}

static void
add (PwPath *path, PwResource resource) {
  path->resources[path->n++] = resource;
}

static void
take_fabric (const PwTopology *topology, const PwLink *link, int from, int to, PwPath *path) {
  gboolean half = topology->link_duplex == PW_DUPLEX_HALF;
  PwResource resource = { .sharing = link->sharing, .capacity = link->bandwidth };
  path->latency_s = link->latency_s;
  path->bandwidth = link->bandwidth;
  switch (topology->fabric) {
  case PW_FABRIC_PAIR:
    resource.kind = PW_RESOURCE_LINK;
    resource.way = half ? PW_WAY_BOTH : PW_WAY_OUT;
    resource.a = half ? MIN (from, to) : from;
    resource.b = half ? MAX (from, to) : to;
    add (path, resource);
    return;
  case PW_FABRIC_SWITCH:
    resource.kind = PW_RESOURCE_PORT;
    resource.a = from;
    resource.way = half ? PW_WAY_BOTH : PW_WAY_OUT;
    add (path, resource);
    resource.a = to;
    resource.way = half ? PW_WAY_BOTH : PW_WAY_IN;
    add (path, resource);
    return;
  default:
    resource.kind = PW_RESOURCE_BUS;
    resource.a = node_of (topology, from);
    add (path, resource);
  }
}

static PwResource
card_of (const PwTopology *topology, int rank, PwResourceWay way) {
  int ranks = topology->ranks_per_node;
  int cards = topology->network_cards > 0 ? topology->network_cards : ranks;
  int number = (int)((int64_t)(rank % ranks) * cards / ranks);
  return (PwResource){ .kind = PW_RESOURCE_CARD,
                       .way = topology->network_duplex == PW_DUPLEX_HALF ? PW_WAY_BOTH : way,
                       .a = rank / ranks,
                       .b = number,
                       .sharing = topology->network.sharing,
                       .capacity = topology->network.bandwidth };
}

static PwResource
bus_of (const PwTopology *topology, const PwLink *link, int rank) {
  return (PwResource){ .kind = PW_RESOURCE_BUS,
                       .a = node_of (topology, rank),
                       .sharing = link->sharing,
                       .capacity = link->bandwidth };
}

static void
take_network (const PwTopology *topology, const PwLink *link, int from, int to, PwPath *path) {
  gboolean bus = topology->fabric == PW_FABRIC_BUS;
  path->latency_s = topology->network.latency_s;
  path->bandwidth = topology->network.bandwidth;
  if (bus && link->bandwidth > 0)
    path->bandwidth
        = path->bandwidth > 0 ? MIN (path->bandwidth, link->bandwidth) : link->bandwidth;
  if (bus)
    add (path, bus_of (topology, link, from));
  add (path, card_of (topology, from, PW_WAY_OUT));
  add (path, card_of (topology, to, PW_WAY_IN));
  if (bus)
    add (path, bus_of (topology, link, to));
}

gboolean
pw_topology_crosses (const PwTopology *topology, int from, int to) {
  return topology != NULL && node_of (topology, from) != node_of (topology, to);
}

void
pw_topology_path (const PwTopology *topology, const PwLink *link, int from, int to, PwPath *path) {
  static const PwTopology plain = { 0 };
  if (topology == NULL)
    topology = &plain;
  *path = (PwPath){ 0 };
  if (pw_topology_crosses (topology, from, to))
    take_network (topology, link, from, to, path);
  else
    take_fabric (topology, link, from, to, path);
}

double
pw_path_time (const PwPath *path, int64_t bytes) {
  PwLink alone = { .latency_s = path->latency_s, .bandwidth = path->bandwidth };
  return pw_link_time (&alone, bytes);
}

const char *
pw_resource_name (const PwResource *resource, char text[PW_RESOURCE_TEXT_MAX]) {
  static const char *const ways[]
      = { [PW_WAY_BOTH] = "", [PW_WAY_OUT] = " out", [PW_WAY_IN] = " in" };
  int a = resource->a, b = resource->b;
  switch (resource->kind) {
  case PW_RESOURCE_LINK:
    g_snprintf (text, PW_RESOURCE_TEXT_MAX,
                resource->way == PW_WAY_BOTH ? "link %d-%d" : "link %d to %d", a, b);
    break;
  case PW_RESOURCE_PORT:
    g_snprintf (text, PW_RESOURCE_TEXT_MAX, "port %d%s", a, ways[resource->way]);
    break;
  case PW_RESOURCE_BUS:
    g_snprintf (text, PW_RESOURCE_TEXT_MAX, "bus %d", a);
    break;
  default:
    g_snprintf (text, PW_RESOURCE_TEXT_MAX, "card %d.%d%s", a, b, ways[resource->way]);
  }
  return text;
}

gboolean
pw_resource_is_same (const PwResource *a, const PwResource *b) {
  return a->kind == b->kind && a->way == b->way && a->a == b->a && a->b == b->b
         && a->sharing == b->sharing;
}

gboolean
pw_topology_shares_links (const PwTopology *topology) {
  return topology->fabric != PW_FABRIC_PAIR || topology->link_duplex == PW_DUPLEX_HALF;
}

gboolean
pw_topology_mixes_sharing (const PwTopology *topology, PwLinkSharing link) {
  PwLinkSharing network = topology->network.sharing;
  return topology->ranks_per_node > 0 && topology->fabric == PW_FABRIC_BUS && link != network
         && link != PW_LINK_OWN && network != PW_LINK_OWN;
}

gboolean
pw_topology_is_plain (const PwTopology *topology) {
  return topology->ranks_per_node == 0 && !pw_topology_shares_links (topology)
         && !(topology->compute_slowdown > 1);
}
