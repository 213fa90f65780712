#include <string.h>

#include "plans/hardware.h"
#include "plans/topology.h"

static const PwLink link_10 = { .latency_s = 1, .bandwidth = 10, .sharing = PW_LINK_FAIR };

/* Nodes of 4 ranks; network cards of bandwidth 5. NAMES: what a message takes, in order. */
static const struct {
  PwTopology topology;
  int from, to;
  double latency, bandwidth;
  const char *names;
} rows[] = {
  { { 0 }, 0, 1, 1, 10, "link 0 to 1" },
  { { 0 }, 9, 1, 1, 10, "link 9 to 1" },
  { { .link_duplex = PW_DUPLEX_HALF }, 9, 1, 1, 10, "link 1-9" },
  { { .fabric = PW_FABRIC_SWITCH }, 2, 3, 1, 10, "port 2 out,port 3 in" },
  { { .fabric = PW_FABRIC_SWITCH, .link_duplex = PW_DUPLEX_HALF }, 2, 3, 1, 10, "port 2,port 3" },
  { { .fabric = PW_FABRIC_BUS }, 2, 7, 1, 10, "bus 0" },
  { { .ranks_per_node = 4, .network = { 2, 5, PW_LINK_FAIR } }, 1, 3, 1, 10, "link 1 to 3" },
  { { .ranks_per_node = 4, .network = { 2, 5, PW_LINK_FAIR } },
    3,
    4,
    2,
    5,
    "card 0.3 out,card 1.0 in" },
  { { .ranks_per_node = 4, .network = { 2, 5, PW_LINK_FAIR }, .network_cards = 2 },
    6,
    1,
    2,
    5,
    "card 1.1 out,card 0.0 in" },
  { { .ranks_per_node = 4,
      .network = { 2, 5, PW_LINK_FAIR },
      .network_cards = 1,
      .network_duplex = PW_DUPLEX_HALF },
    6,
    1,
    2,
    5,
    "card 1.0,card 0.0" },
  { { .fabric = PW_FABRIC_SWITCH, .ranks_per_node = 4, .network = { 2, 50, PW_LINK_FAIR } },
    0,
    5,
    2,
    50,
    "card 0.0 out,card 1.1 in" },
  { { .fabric = PW_FABRIC_BUS, .ranks_per_node = 4, .network = { 2, 50, PW_LINK_FAIR } },
    0,
    5,
    2,
    10,
    "bus 0,card 0.0 out,card 1.1 in,bus 1" },
  { { .fabric = PW_FABRIC_BUS, .ranks_per_node = 4, .network = { 2, 5, PW_LINK_FAIR } },
    8,
    11,
    1,
    10,
    "bus 2" },
};

static void
test_paths (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwPath path;
    pw_topology_path (&rows[i].topology, &link_10, rows[i].from, rows[i].to, &path);
    g_autoptr (GString) names = g_string_new (NULL);
    for (int r = 0; r < path.n; r++) {
      char name[PW_RESOURCE_TEXT_MAX];
      g_string_append_printf (names, "%s%s", r > 0 ? "," : "",
                              pw_resource_name (&path.resources[r], name));
      g_assert_cmpfloat (path.resources[r].capacity, >=, path.bandwidth);
    }
    g_assert_cmpstr (names->str, ==, rows[i].names);
    g_assert_cmpfloat (path.latency_s, ==, rows[i].latency);
    g_assert_cmpfloat (path.bandwidth, ==, rows[i].bandwidth);
    g_assert_cmpfloat (pw_path_time (&path, 20), ==, rows[i].latency + 20 / rows[i].bandwidth);
  }
}

/* The way back takes the same, in the other direction. */
static void
test_way_back (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwPath there, back;
    pw_topology_path (&rows[i].topology, &link_10, rows[i].from, rows[i].to, &there);
    pw_topology_path (&rows[i].topology, &link_10, rows[i].to, rows[i].from, &back);
    g_assert_cmpint (there.n, ==, back.n);
    for (int r = 0; r < there.n; r++) {
      const PwResource *a = &there.resources[r], *b = &back.resources[there.n - 1 - r];
      g_assert_cmpint (a->kind, ==, b->kind);
      g_assert_cmpint (pw_resource_is_same (a, b), ==, a->way == PW_WAY_BOTH);
    }
  }
}

static PwHardware *
read_hardware (const char *keys, GError **error) {
  g_autofree char *text
      = g_strdup_printf ("{\"hardware\": {\"like\": \"h100-80g-sxm\", %s}}", keys);
  g_autoptr (PwJsonFile) json = pw_json_file_parse ("machine.json", text, error);
  g_assert_nonnull (json);
  return pw_hardware_read ((PwJsonPlace){ json, "hardware" },
                           json_object_get (json->root, "hardware"), error);
}

static void
test_keys (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwHardware) hardware
      = read_hardware ("\"node_fabric\": \"switch\", \"link_duplex\": \"half\", "
                       "\"ranks_per_node\": 8, \"network_latency_s\": 1e-5, "
                       "\"network_bandwidth\": 50e9, \"network_sharing\": \"fcfs\", "
                       "\"network_duplex\": \"half\", \"network_cards\": 2, "
                       "\"compute_slowdown\": 1.25",
                       &error);
  g_assert_no_error (error);
  json_t *written = pw_hardware_to_json (hardware);
  g_autoptr (PwHardware) back
      = pw_hardware_read ((PwJsonPlace){ NULL, "hardware" }, written, &error);
  g_assert_no_error (error);
  json_decref (written);
  const PwHardware *both[] = { hardware, back };
  for (int i = 0; i < 2; i++) {
    const PwTopology *topology = &both[i]->topology;
    g_assert_cmpint (topology->fabric, ==, PW_FABRIC_SWITCH);
    g_assert_cmpint (topology->link_duplex, ==, PW_DUPLEX_HALF);
    g_assert_cmpint (both[i]->link.sharing, ==, PW_LINK_FAIR); /* a port is one by nature */
    g_assert_cmpint (topology->ranks_per_node, ==, 8);
    g_assert_cmpfloat (topology->network.latency_s, ==, 1e-5);
    g_assert_cmpfloat (topology->network.bandwidth, ==, 50e9);
    g_assert_cmpint (topology->network.sharing, ==, PW_LINK_FCFS);
    g_assert_cmpint (topology->network_duplex, ==, PW_DUPLEX_HALF);
    g_assert_cmpint (topology->network_cards, ==, 2);
    g_assert_cmpfloat (topology->compute_slowdown, ==, 1.25);
  }
}

static void
test_sharing_by_nature (void) {
  static const struct {
    const char *keys;
    PwLinkSharing link, network;
  } said[] = {
    { "\"node_fabric\": \"pair\"", PW_LINK_OWN, PW_LINK_OWN },
    { "\"node_fabric\": \"bus\"", PW_LINK_FAIR, PW_LINK_OWN },
    { "\"node_fabric\": \"bus\", \"link\": {\"sharing\": \"own\"}", PW_LINK_OWN, PW_LINK_OWN },
    { "\"link_duplex\": \"half\", \"link\": {\"sharing\": \"fcfs\"}", PW_LINK_FCFS, PW_LINK_OWN },
    { "\"ranks_per_node\": 2, \"network_bandwidth\": 1", PW_LINK_OWN, PW_LINK_FAIR },
    { "\"ranks_per_node\": 2, \"network_bandwidth\": 1, \"network_sharing\": \"own\"", PW_LINK_OWN,
      PW_LINK_OWN },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (said); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwHardware) hardware = read_hardware (said[i].keys, &error);
    g_assert_no_error (error);
    g_assert_cmpint (hardware->link.sharing, ==, said[i].link);
    g_assert_cmpint (hardware->topology.network.sharing, ==, said[i].network);
  }
}

static void
test_bad (void) {
  static const struct {
    const char *keys, *message;
  } bad[] = {
    { "\"node_fabric\": \"swich\"", "hardware.node_fabric: unknown \"swich\"" },
    { "\"ranks_per_node\": -1", "hardware.ranks_per_node: -1 is below the minimum 0" },
    { "\"ranks_per_node\": 8", "hardware: missing key \"network_bandwidth\"" },
    { "\"network_duplex\": \"none\"", "hardware.network_duplex: unknown \"none\"" },
    { "\"compute_slowdown\": 0.5", "hardware.compute_slowdown: 0.5 is below the minimum 1" },
    { "\"node_fabric\": \"bus\", \"ranks_per_node\": 8, \"network_bandwidth\": 1, "
      "\"network_sharing\": \"fcfs\"",
      "shared in different ways: fair and fcfs" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwHardware) hardware = read_hardware (bad[i].keys, &error);
    g_assert_null (hardware);
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, bad[i].message));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/topology/paths-by-hand", test_paths);
  g_test_add_func ("/plans/topology/the-way-back-takes-the-same", test_way_back);
  g_test_add_func ("/plans/topology/keys-are-read-and-written", test_keys);
  g_test_add_func ("/plans/topology/what-is-one-by-nature-is-shared", test_sharing_by_nature);
  g_test_add_func ("/plans/topology/bad-ones-name-the-cause", test_bad);
  return g_test_run ();
}
