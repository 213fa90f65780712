/* The catalogue, and the reader that starts from it. Figures are the vendors' peaks without
 * sparsity; `efficiency` is what turns them into something large matrix products reach. Latencies
 * are not in data sheets: they are the usual time of a small message through the vendor's library.
 * Links are each queue's own; a plan that wants them shared says so: {"like": "h100-80g-ib",
 * "link":
 * {"sharing": "fcfs"}}. */
#include "plans/hardware.h"

#include <string.h>

#include "plans/plan_private.h"

const char *const pw_link_sharing_names[] = { "own", "fcfs", "fair", NULL };

#define NVLINK_LATENCY_S 5e-6
#define NETWORK_LATENCY_S 10e-6

static const PwHardware catalogue[] = {
  {
      .name = "cpu-core-fp32",
      .source = "arithmetic: one core with two 512-bit FMA units at 3 GHz; messages are copies in "
                "memory; profile measures the real ones",
      .flops = 192e9,
      .flops_half = 192e9,
      .efficiency = 0.5,
      .memory_bandwidth = 12e9,
      .link = { .latency_s = 2e-6, .bandwidth = 8e9 },
  },
  {
      .name = "v100-32g-sxm",
      .source = "NVIDIA V100 data sheet (SXM2): fp32 15.7, fp16 125 TFLOP/s, HBM2 900 GB/s; two of "
                "six NVLink 2 links (25 GB/s each way) between neighbours, as in a DGX-1",
      .flops = 15.7e12,
      .flops_half = 125e12,
      .efficiency = 0.5,
      .memory_bandwidth = 900e9,
      .memory_bytes = INT64_C (32000000000),
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 50e9 },
  },
  {
      .name = "v100-32g-ib",
      .source
      = "NVIDIA V100 data sheet (SXM2); one EDR InfiniBand port (100 Gbit/s) per GPU between "
        "neighbours",
      .flops = 15.7e12,
      .flops_half = 125e12,
      .efficiency = 0.5,
      .memory_bandwidth = 900e9,
      .memory_bytes = INT64_C (32000000000),
      .link = { .latency_s = NETWORK_LATENCY_S, .bandwidth = 12.5e9 },
  },
  {
      .name = "a100-40g",
      .source
      = "NVIDIA A100 data sheet (SXM4 40 GB): tf32 156 (plain fp32: 19.5), bf16 312 TFLOP/s, "
        "HBM2 1555 GB/s, NVLink 3 600 GB/s both ways together, through NVSwitch",
      .flops = 156e12,
      .flops_half = 312e12,
      .efficiency = 0.5,
      .memory_bandwidth = 1555e9,
      .memory_bytes = INT64_C (40000000000),
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 300e9 },
  },
  {
      .name = "a100-80g",
      .source
      = "NVIDIA A100 data sheet (SXM4 80 GB): tf32 156 (plain fp32: 19.5), bf16 312 TFLOP/s, "
        "HBM2e 2039 GB/s, NVLink 3 600 GB/s both ways together, through NVSwitch",
      .flops = 156e12,
      .flops_half = 312e12,
      .efficiency = 0.5,
      .memory_bandwidth = 2039e9,
      .memory_bytes = INT64_C (80000000000),
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 300e9 },
  },
  {
      .name = "a100-80g-pcie",
      .source
      = "NVIDIA A100 data sheet (PCIe 80 GB): tf32 156 (plain fp32: 19.5), bf16 312 TFLOP/s, "
        "HBM2e 1935 GB/s, PCIe 4.0 x16 64 GB/s both ways together",
      .flops = 156e12,
      .flops_half = 312e12,
      .efficiency = 0.5,
      .memory_bandwidth = 1935e9,
      .memory_bytes = INT64_C (80000000000),
      .link = { .latency_s = NETWORK_LATENCY_S, .bandwidth = 32e9 },
  },
  {
      .name = "h100-80g-sxm",
      .source
      = "NVIDIA H100 data sheet (SXM5): tf32 494.7 (plain fp32: 67), bf16 989.4 TFLOP/s, both "
        "without sparsity, HBM3 3.35 TB/s, NVLink 4 900 GB/s both ways together",
      .flops = 494.7e12,
      .flops_half = 989.4e12,
      .efficiency = 0.5,
      .memory_bandwidth = 3350e9,
      .memory_bytes = INT64_C (80000000000),
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 450e9 },
  },
  {
      .name = "h100-80g-ib",
      .source
      = "NVIDIA H100 data sheet (SXM5); one NDR InfiniBand port (400 Gbit/s) per GPU between "
        "neighbours, as in a DGX H100",
      .flops = 494.7e12,
      .flops_half = 989.4e12,
      .efficiency = 0.5,
      .memory_bandwidth = 3350e9,
      .memory_bytes = INT64_C (80000000000),
      .link = { .latency_s = NETWORK_LATENCY_S, .bandwidth = 50e9 },
  },
  {
      .name = "h200",
      .source
      = "NVIDIA H200 data sheet (SXM): tf32 494.7 (plain fp32: 67), bf16 989.4 TFLOP/s, both "
        "without sparsity, 141 GB HBM3e 4.8 TB/s, NVLink 4 900 GB/s both ways together",
      .flops = 494.7e12,
      .flops_half = 989.4e12,
      .efficiency = 0.5,
      .memory_bandwidth = 4800e9,
      .memory_bytes = INT64_C (141000000000),
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 450e9 },
  },
  {
      .name = "b200",
      .source
      = "NVIDIA HGX B200 data sheet, an eighth of it: tf32 1.125, bf16 2.25 PFLOP/s, both half of "
        "the figure with sparsity, 180 GB HBM3e 7.7 TB/s, NVLink 5 1.8 TB/s both ways "
        "together",
      .flops = 1.125e15,
      .flops_half = 2.25e15,
      .efficiency = 0.5,
      .memory_bandwidth = 7700e9,
      .memory_bytes = INT64_C (180000000000),
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 900e9 },
  },
};

const PwHardware *const *
pw_hardware_list (void) {
  static const PwHardware *list[G_N_ELEMENTS (catalogue) + 1];
  static gsize ready;
  if (g_once_init_enter (&ready)) {
    for (gsize i = 0; i < G_N_ELEMENTS (catalogue); i++)
      list[i] = &catalogue[i];
    g_once_init_leave (&ready, 1);
  }
  return list;
}

const PwHardware *
pw_hardware_get (const char *name) {
  for (gsize i = 0; i < G_N_ELEMENTS (catalogue); i++)
    if (strcmp (catalogue[i].name, name) == 0)
      return &catalogue[i];
  return NULL;
}

PwHardware *
pw_hardware_copy (const PwHardware *hardware) {
  PwHardware *copy = g_memdup2 (hardware, sizeof *hardware);
  copy->name = g_strdup (hardware->name);
  copy->source = g_strdup (hardware->source);
  return copy;
}

void
pw_hardware_free (PwHardware *hardware) {
  if (hardware == NULL)
    return;
  g_free (hardware->name);
  g_free (hardware->source);
  g_free (hardware);
}

double
pw_link_time (const PwLink *link, int64_t bytes) {
  return link->latency_s + (link->bandwidth > 0 ? (double)bytes / link->bandwidth : 0);
}

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
  const char *names[G_N_ELEMENTS (catalogue) + 1] = { NULL };
  for (gsize i = 0; i < G_N_ELEMENTS (catalogue); i++)
    names[i] = catalogue[i].name;
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
};

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

json_t *
pw_hardware_to_json (const PwHardware *hardware) {
  return json_pack ("{s:s, s:s*, s:f, s:f, s:f, s:f, s:I, s:o}", "name", hardware->name, "source",
                    hardware->source, "flops", hardware->flops, "flops_half", hardware->flops_half,
                    "efficiency", hardware->efficiency, "memory_bandwidth",
                    hardware->memory_bandwidth, "memory_bytes", (json_int_t)hardware->memory_bytes,
                    "link", pw__link_to_json (&hardware->link));
}
