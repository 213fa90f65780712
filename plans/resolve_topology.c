/* How a plan's ranks are joined: what its hardware says, and overrides of that. */
#include <string.h>

#include "plans/plan_private.h"

#define FIELD(member) offsetof (PwTopology, member), sizeof (((PwTopology *)NULL)->member)

static const struct {
  const char *option;
  gsize offset, size;
} fields[] = {
  { "node-fabric", FIELD (fabric) },
  { "link-duplex", FIELD (link_duplex) },
  { "ranks-per-node", FIELD (ranks_per_node) },
  { "network-latency", FIELD (network.latency_s) },
  { "network-bandwidth", FIELD (network.bandwidth) },
  { "network-duplex", FIELD (network_duplex) },
  { "network-cards", FIELD (network_cards) },
  { "compute-slowdown-while-communicating", FIELD (compute_slowdown) },
};

/* Of links and network; what neither costs nor hardware nor options say is as with hardware files:
 * what is one by nature is shared. */
static void
choose_sharing (const PwPlan *plan, PwTopology *topology, PwStageCosts *costs) {
  PwLinkSharing link = plan->hardware->link.sharing;
  gboolean is_said = pw__plan_is_overridden (plan, "p2p-sharing");
  if (link == PW_LINK_OWN && pw_topology_shares_links (topology)
      && !pw_topology_shares_links (&plan->hardware->topology))
    link = PW_LINK_FAIR;
  if (plan->hardware->topology.ranks_per_node == 0)
    topology->network.sharing = PW_LINK_FAIR;
  if (is_said)
    topology->network.sharing = link = plan->sharing;
  for (int e = 0; e < costs->n_edges; e++)
    if (is_said || costs->link[e].sharing == PW_LINK_OWN)
      costs->link[e].sharing = link;
}

gboolean
pw__resolve_topology (const PwPlan *plan, PwStageCosts *costs, GError **error) {
  PwTopology topology = plan->hardware->topology;
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    if (pw__plan_is_overridden (plan, fields[i].option))
      memcpy ((char *)&topology + fields[i].offset,
              (const char *)&plan->topology + fields[i].offset, fields[i].size);
  choose_sharing (plan, &topology, costs);
  if (topology.ranks_per_node > 0 && topology.network.bandwidth <= 0)
    return pw__plan_fail (plan, "hardware", "ranks-per-node", PW_PLAN_ERROR_VALUE, error,
                          "nodes need the bandwidth of their network: --network-bandwidth");
  for (int e = 0; e < costs->n_edges; e++)
    if (pw_topology_mixes_sharing (&topology, costs->link[e].sharing))
      return pw__plan_fail (plan, "hardware", "node-fabric", PW_PLAN_ERROR_VALUE, error,
                            "messages to other nodes take the bus and a card, which are shared in "
                            "different ways: %s and %s; --p2p-sharing says one for both",
                            pw_link_sharing_names[costs->link[e].sharing],
                            pw_link_sharing_names[topology.network.sharing]);
  if (!pw_topology_is_plain (&topology))
    costs->topology = g_memdup2 (&topology, sizeof topology);
  return TRUE;
}
