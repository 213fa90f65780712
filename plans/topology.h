/* How ranks are joined. Rank r is in node r / ranks_per_node. Within a node a message takes the
 * fabric; between nodes the network: the card of the sender's node, that of the receiver's, and on
 * a bus the buses to them. What it takes at once are resources, each with a capacity and a rule for
 * sharing it. */
#pragma once
#include <glib.h>

#include "plans/link.h"

typedef enum {
  PW_FABRIC_PAIR,   /* each pair of ranks has a link */
  PW_FABRIC_SWITCH, /* each rank has a port, as NVLink behind a switch */
  PW_FABRIC_BUS     /* all ranks of a node share one, as PCIe behind one root */
} PwFabric;
extern const char *const pw_fabric_names[]; /* "pair", "switch", "bus", NULL */

typedef enum {
  PW_DUPLEX_FULL, /* each direction has the whole bandwidth */
  PW_DUPLEX_HALF  /* both directions together */
} PwDuplex;
extern const char *const pw_duplex_names[]; /* "full", "half", NULL */

/* All 0: one node, a link per pair of ranks and direction, compute that pays nothing. */
typedef struct {
  int ranks_per_node; /* 0: all in one node */
  PwFabric fabric;
  PwDuplex link_duplex; /* of links and ports; a bus has one message's way for both */
  PwLink network;
  PwDuplex network_duplex;
  int network_cards;       /* per node; rank i of it uses i * cards / ranks; 0: one per rank */
  double compute_slowdown; /* of a rank's compute while it sends or receives; 0: 1 */
} PwTopology;

typedef enum {
  PW_RESOURCE_LINK,
  PW_RESOURCE_PORT,
  PW_RESOURCE_BUS,
  PW_RESOURCE_CARD
} PwResourceKind;
typedef enum { PW_WAY_BOTH, PW_WAY_OUT, PW_WAY_IN } PwResourceWay;
typedef struct {
  PwResourceKind kind;
  PwResourceWay way;
  int a, b; /* a link's ranks, from and to; a port's rank; a bus's node; a card's node and number */
  PwLinkSharing sharing;
  double capacity; /* bytes per second; 0: infinite */
} PwResource;
#define PW_RESOURCE_TEXT_MAX 64
/* "link 0-1", "link 0 to 1", "port 3 out", "bus 0", "card 1.0 in": written to TEXT. */
const char *pw_resource_name (const PwResource *resource, char text[PW_RESOURCE_TEXT_MAX]);
gboolean pw_resource_is_same (const PwResource *a, const PwResource *b);

#define PW_PATH_RESOURCES_MAX 4
typedef struct {
  double latency_s;
  double bandwidth; /* what a message reaches alone; 0: infinite */
  int n;
  PwResource resources[PW_PATH_RESOURCES_MAX];
} PwPath;
/* From rank FROM to another one. LINK: within a node, as the message finds it. TOPOLOGY NULL:
 * plain. */
void pw_topology_path (const PwTopology *topology, const PwLink *link, int from, int to,
                       PwPath *path);
/* The two ranks are in different nodes. */
gboolean pw_topology_crosses (const PwTopology *topology, int from, int to);
/* Seconds of one message alone. */
double pw_path_time (const PwPath *path, int64_t bytes);

/* Whether links or ports are shared by their nature, so that `own` would leave nothing of them. */
gboolean pw_topology_shares_links (const PwTopology *topology);
/* Whether messages to other nodes take a bus and a card that are shared in different ways, which
 * have no common order; LINK is how the bus is shared. */
gboolean pw_topology_mixes_sharing (const PwTopology *topology, PwLinkSharing link);
/* Whether nothing differs from all 0. */
gboolean pw_topology_is_plain (const PwTopology *topology);
