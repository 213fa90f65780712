/* The hardware file, and a plan's "hardware". */
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "plans/plan_private.h"

static const PwJsonKey link_keys[] = {
  {
      .key = "latency_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwLink, latency_s),
      .minimum = 0,
      .maximum = 1e6,
      .unit = "s",
  },
  {
      .key = "bandwidth",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwLink, bandwidth),
      .minimum = 0,
      .maximum = 1e18,
      .unit = "bytes/s, one direction; 0: infinite",
  },
  {
      .key = "sharing",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwLink, sharing),
      .names = pw_link_sharing_names,
  },
};

gboolean
pw__link_read (PwJsonPlace place, json_t *value, void *link, GError **error) {
  return pw_json_read_object (place, value, link_keys, G_N_ELEMENTS (link_keys), link, error);
}

json_t *
pw__link_to_json (const PwLink *link) {
  return json_pack ("{s:f, s:f, s:s}", "latency_s", link->latency_s, "bandwidth", link->bandwidth,
                    "sharing", pw_link_sharing_names[link->sharing]);
}

static gboolean
fail_unknown (PwJsonPlace place, const char *name, GError **error) {
  g_autofree const char **names = g_new0 (const char *, pw__hardware_catalogue_n + 1);
  for (gsize i = 0; i < pw__hardware_catalogue_n; i++)
    names[i] = pw__hardware_catalogue[i].name;
  const char *nearest = pw_json_nearest (name, names);
  g_autofree char *all = g_strjoinv (", ", (char **)names);
  if (nearest != NULL)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error,
                         "no hardware is named \"%s\", did you mean \"%s\"?", name, nearest);
  return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "no hardware is named \"%s\", known: %s",
                       name, all);
}

/* The reader has started from it before the rows are read: see read_object. */
static gboolean
read_like (PwJsonPlace place, json_t *value, void *field, GError **error) {
  (void)field;
  if (!json_is_string (value))
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected the name of a hardware");
  const char *name = json_string_value (value);
  return pw_hardware_get (name) != NULL || fail_unknown (place, name, error);
}

static const PwJsonKey rate_keys[] = {
  {
      .key = "fp32",
      .type = PW_JSON_CUSTOM,
      .offset = PW_PRECISION_FP32 * sizeof (PwRates),
      .read = pw__rates_read_products,
  },
  {
      .key = "tf32",
      .type = PW_JSON_CUSTOM,
      .offset = PW_PRECISION_TF32 * sizeof (PwRates),
      .read = pw__rates_read_products,
  },
  {
      .key = "bf16",
      .type = PW_JSON_CUSTOM,
      .offset = PW_PRECISION_BF16 * sizeof (PwRates),
      .read = pw__rates_read_products,
  },
  {
      .key = "fp16",
      .type = PW_JSON_CUSTOM,
      .offset = PW_PRECISION_FP16 * sizeof (PwRates),
      .read = pw__rates_read_products,
  },
};

static gboolean
read_rates (PwJsonPlace place, json_t *value, void *field, GError **error) {
  return pw_json_read_object (place, value, rate_keys, G_N_ELEMENTS (rate_keys), field, error);
}

static const PwJsonKey copy_keys[] = {
  {
      .key = "to_device",
      .type = PW_JSON_CUSTOM,
      .offset = PW_COPY_TO_DEVICE * sizeof (PwRates),
      .read = pw__rates_read_bytes,
  },
  {
      .key = "to_host",
      .type = PW_JSON_CUSTOM,
      .offset = PW_COPY_TO_HOST * sizeof (PwRates),
      .read = pw__rates_read_bytes,
  },
  {
      .key = "on_device",
      .type = PW_JSON_CUSTOM,
      .offset = PW_COPY_ON_DEVICE * sizeof (PwRates),
      .read = pw__rates_read_bytes,
  },
};

static gboolean
read_copies (PwJsonPlace place, json_t *value, void *field, GError **error) {
  return pw_json_read_object (place, value, copy_keys, G_N_ELEMENTS (copy_keys), field, error);
}

static const PwJsonKey keys[] = {
  { .key = "like", .type = PW_JSON_CUSTOM, .read = read_like },
  { .key = "name", .type = PW_JSON_STRING, .offset = offsetof (PwHardware, name) },
  { .key = "source", .type = PW_JSON_STRING, .offset = offsetof (PwHardware, source) },
  {
      .key = "flops",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, flops),
      .minimum = 1,
      .maximum = 1e24,
      .unit = "FLOP/s, fp32",
  },
  {
      .key = "flops_tf32",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, flops_tf32),
      .minimum = 1,
      .maximum = 1e24,
      .unit = "FLOP/s, tf32",
  },
  {
      .key = "flops_half",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, flops_half),
      .minimum = 1,
      .maximum = 1e24,
      .unit = "FLOP/s, bf16 or fp16",
  },
  {
      .key = "efficiency",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, efficiency),
      .minimum = 1e-6,
      .maximum = 1,
  },
  {
      .key = "memory_bandwidth",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, memory_bandwidth),
      .minimum = 1,
      .maximum = 1e18,
      .unit = "bytes/s",
  },
  {
      .key = "memory_bytes",
      .type = PW_JSON_BYTES,
      .offset = offsetof (PwHardware, memory_bytes),
      .unit = "bytes; 0: unknown",
  },
  {
      .key = "link",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwHardware, link),
      .read = pw__link_read,
  },
  {
      .key = "node_fabric",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwHardware, topology.fabric),
      .names = pw_fabric_names,
  },
  {
      .key = "link_duplex",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwHardware, topology.link_duplex),
      .names = pw_duplex_names,
  },
  {
      .key = "ranks_per_node",
      .type = PW_JSON_INT,
      .offset = offsetof (PwHardware, topology.ranks_per_node),
      .maximum = PW_STAGES_MAX,
      .unit = "0: one node",
  },
  {
      .key = "network_latency_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, topology.network.latency_s),
      .maximum = 1e6,
      .unit = "s",
  },
  {
      .key = "network_bandwidth",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, topology.network.bandwidth),
      .maximum = 1e18,
      .unit = "bytes/s of a card, one direction; 0: infinite",
  },
  {
      .key = "network_sharing",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwHardware, topology.network.sharing),
      .names = pw_link_sharing_names,
  },
  {
      .key = "network_duplex",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwHardware, topology.network_duplex),
      .names = pw_duplex_names,
  },
  {
      .key = "network_cards",
      .type = PW_JSON_INT,
      .offset = offsetof (PwHardware, topology.network_cards),
      .maximum = PW_STAGES_MAX,
      .unit = "per node; 0: one per rank",
  },
  {
      .key = "compute_slowdown",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, topology.compute_slowdown),
      .minimum = 1,
      .maximum = 1e6,
      .unit = "times as long while a message is on its way",
  },
  {
      .key = "host_latency_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, host.latency_s),
      .maximum = 1e6,
      .unit = "s",
  },
  {
      .key = "host_bandwidth",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, host.bandwidth),
      .maximum = 1e18,
      .unit = "bytes/s between a rank and its host's memory, one direction; 0: unknown",
  },
  {
      .key = "communication_bytes",
      .type = PW_JSON_BYTES,
      .offset = offsetof (PwHardware, communication_bytes),
      .unit = "bytes of a communicator on each of its ranks",
  },
  {
      .key = "collective_algorithm",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwHardware, collective.algorithm),
      .names = pw_collective_names,
  },
  {
      .key = "collective_latency_s",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, collective.latency_s),
      .maximum = 1e6,
      .unit = "s of one step; 0: a message's",
  },
  {
      .key = "collective_bandwidth",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwHardware, collective.bandwidth),
      .maximum = 1e18,
      .unit = "bytes/s of a member, one direction; 0: a message's",
  },
  {
      .key = "rates",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwHardware, rates),
      .read = read_rates,
  },
  {
      .key = "memory_rates",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwHardware, memory_rates),
      .read = pw__rates_read_bytes,
  },
  {
      .key = "messages",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwHardware, messages),
      .read = pw__messages_read,
  },
  {
      .key = "copies",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwHardware, copies),
      .read = read_copies,
  },
};

/* Who is not told that what is one by nature is everybody's own shares it. */
static void
choose_sharing (json_t *object, PwHardware *hardware) {
  PwTopology *topology = &hardware->topology;
  gboolean says_link = json_object_get (json_object_get (object, "link"), "sharing") != NULL;
  if (!says_link && hardware->link.sharing == PW_LINK_OWN && pw_topology_shares_links (topology))
    hardware->link.sharing = PW_LINK_FAIR;
  if (json_object_get (object, "network_sharing") == NULL && topology->ranks_per_node > 0)
    topology->network.sharing = PW_LINK_FAIR;
}

static gboolean
check_topology (PwJsonPlace place, const PwHardware *hardware, GError **error) {
  const PwTopology *topology = &hardware->topology;
  PwLinkSharing link = hardware->link.sharing, network = topology->network.sharing;
  if (topology->ranks_per_node > 0 && topology->network.bandwidth <= 0)
    return pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error,
                         "missing key \"network_bandwidth\": there are nodes");
  if (pw_topology_mixes_sharing (topology, link))
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error,
                         "messages to other nodes take the bus and a card, which are shared in "
                         "different ways: %s and %s",
                         pw_link_sharing_names[link], pw_link_sharing_names[network]);
  return TRUE;
}

static PwHardware *
read_object (PwJsonPlace place, json_t *object, GError **error) {
  const char *like = json_string_value (json_object_get (object, "like"));
  const PwHardware *base = like != NULL ? pw_hardware_get (like) : NULL;
  g_autoptr (PwHardware) hardware = base != NULL ? pw_hardware_copy (base) : g_new0 (PwHardware, 1);
  if (base == NULL)
    hardware->efficiency = 0.5;
  if (!pw_json_read_object (place, object, keys, G_N_ELEMENTS (keys), hardware, error))
    return NULL;
  if (hardware->flops == 0 || hardware->memory_bandwidth == 0) {
    pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error,
                  "missing key \"%s\"; \"like\" takes what is not given from the catalogue",
                  hardware->flops == 0 ? "flops" : "memory_bandwidth");
    return NULL;
  }
  choose_sharing (object, hardware);
  if (!check_topology (place, hardware, error))
    return NULL;
  if (hardware->flops_tf32 == 0)
    hardware->flops_tf32 = hardware->flops;
  if (hardware->flops_half == 0)
    hardware->flops_half = hardware->flops;
  if (hardware->name == NULL)
    hardware->name = g_strdup ("custom");
  return g_steal_pointer (&hardware);
}

static PwHardware *
read_file (PwJsonPlace place, const char *name, GError **error) {
  g_autofree char *path = pw__plan_relative (place.file != NULL ? place.file->file : "", name);
  g_autoptr (PwJsonFile) json = pw_json_file_load (path, error);
  if (json == NULL) {
    pw_json_prefix_error (place, error);
    return NULL;
  }
  return read_object ((PwJsonPlace){ .file = json, .path = "" }, json->root, error);
}

PwHardware *
pw_hardware_read (PwJsonPlace place, json_t *value, GError **error) {
  if (json_is_object (value))
    return read_object (place, value, error);
  if (!json_is_string (value)) {
    pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected a name, a file or an object");
    return NULL;
  }
  const char *name = json_string_value (value);
  const PwHardware *known = pw_hardware_get (name);
  if (known != NULL)
    return pw_hardware_copy (known);
  if (g_str_has_suffix (name, ".json"))
    return read_file (place, name, error);
  fail_unknown (place, name, error);
  return NULL;
}

static void
add_topology (json_t *object, const PwTopology *topology) {
  if (pw_topology_is_plain (topology))
    return;
  json_t *keys = json_pack ("{s:s, s:s, s:i}", "node_fabric", pw_fabric_names[topology->fabric],
                            "link_duplex", pw_duplex_names[topology->link_duplex], "ranks_per_node",
                            topology->ranks_per_node);
  if (topology->ranks_per_node > 0) {
    const PwLink *network = &topology->network;
    json_object_set_new (keys, "network_latency_s", json_real (network->latency_s));
    json_object_set_new (keys, "network_bandwidth", json_real (network->bandwidth));
    json_object_set_new (keys, "network_sharing",
                         json_string (pw_link_sharing_names[network->sharing]));
    json_object_set_new (keys, "network_duplex",
                         json_string (pw_duplex_names[topology->network_duplex]));
    json_object_set_new (keys, "network_cards", json_integer (topology->network_cards));
  }
  if (topology->compute_slowdown > 1)
    json_object_set_new (keys, "compute_slowdown", json_real (topology->compute_slowdown));
  json_object_update (object, keys);
  json_decref (keys);
}

static void
add_host (json_t *object, const PwLink *host) {
  if (host->latency_s > 0)
    json_object_set_new (object, "host_latency_s", json_real (host->latency_s));
  if (host->bandwidth > 0)
    json_object_set_new (object, "host_bandwidth", json_real (host->bandwidth));
}

static void
add_collective (json_t *object, const PwCollective *collective) {
  if (collective->algorithm != PW_COLLECTIVE_RING)
    json_object_set_new (object, "collective_algorithm",
                         json_string (pw_collective_names[collective->algorithm]));
  if (collective->latency_s > 0)
    json_object_set_new (object, "collective_latency_s", json_real (collective->latency_s));
  if (collective->bandwidth > 0)
    json_object_set_new (object, "collective_bandwidth", json_real (collective->bandwidth));
}

json_t *
pw_hardware_to_json (const PwHardware *hardware) {
  json_t *object = json_pack (
      "{s:s, s:s*, s:f, s:f, s:f, s:f, s:f, s:I, s:o}", "name", hardware->name, "source",
      hardware->source, "flops", hardware->flops, "flops_tf32", hardware->flops_tf32, "flops_half",
      hardware->flops_half, "efficiency", hardware->efficiency, "memory_bandwidth",
      hardware->memory_bandwidth, "memory_bytes", (json_int_t)hardware->memory_bytes, "link",
      pw__link_to_json (&hardware->link));
  add_topology (object, &hardware->topology);
  add_host (object, &hardware->host);
  add_collective (object, &hardware->collective);
  if (hardware->communication_bytes > 0)
    json_object_set_new (object, "communication_bytes",
                         json_integer ((json_int_t)hardware->communication_bytes));
  json_t *rates = json_object (), *copies = json_object ();
  for (gsize i = 0; i < G_N_ELEMENTS (rate_keys); i++)
    pw__rates_add_products (rates, rate_keys[i].key,
                            &hardware->rates[rate_keys[i].offset / sizeof (PwRates)]);
  if (json_object_size (rates) > 0)
    json_object_set (object, "rates", rates);
  pw__rates_add_bytes (object, "memory_rates", &hardware->memory_rates);
  pw__messages_add (object, &hardware->messages);
  for (int i = 0; i < PW_COPY_N; i++)
    pw__rates_add_bytes (copies, pw_copy_names[i], &hardware->copies[i]);
  if (json_object_size (copies) > 0)
    json_object_set (object, "copies", copies);
  json_decref (rates);
  json_decref (copies);
  return object;
}

gboolean
pw__json_save (json_t *root, const char *path, GError **error) {
  char *text = json_dumps (root, JSON_INDENT (1) | JSON_REAL_PRECISION (17));
  json_decref (root);
  g_assert (text != NULL);
  g_autofree char *line = g_strconcat (text, "\n", NULL);
  free (text);
  return pw_file_write (path, line, strlen (line), error);
}

gboolean
pw_hardware_save (const PwHardware *hardware, const char *path, GError **error) {
  return pw__json_save (pw_hardware_to_json (hardware), path, error);
}
