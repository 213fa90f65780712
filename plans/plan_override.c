/* The one table of overrides: command line, its help, sweeps and pw_plan_override use it. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plans/plan_private.h"
#include "plans/recompute.h"
#include "schedules/action.h"
#include "schedules/schedule.h"

static gboolean fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE, message);
  return FALSE;
}

static gboolean
fail_name (const char *value, const char *const *names, GError **error) {
  const char *nearest = pw_json_nearest (value, names);
  if (nearest != NULL)
    return fail (error, "unknown \"%s\", did you mean \"%s\"?", value, nearest);
  g_autofree char *all = g_strjoinv (", ", (char **)names);
  return fail (error, "unknown \"%s\", expected one of: %s", value, all);
}

gboolean
pw__plan_parse_name (const char *value, const char *const *names, int *out, GError **error) {
  for (int i = 0; names[i] != NULL; i++)
    if (strcmp (names[i], value) == 0) {
      *out = i;
      return TRUE;
    }
  return fail_name (value, names, error);
}

static gboolean
parse_integer (const char *value, double minimum, double maximum, int64_t *out, GError **error) {
  gint64 number = 0;
  g_autoptr (GError) wrong = NULL;
  if (!g_ascii_string_to_signed (value, 10, G_MININT64, G_MAXINT64, &number, &wrong)
      && wrong->code == G_NUMBER_PARSER_ERROR_INVALID)
    return fail (error, "expected an integer, not \"%s\"", value);
  if (wrong != NULL)
    return fail (error, "%s is too large a number", value);
  if ((double)number < minimum)
    return fail (error, "%s is below the minimum %.15g", value, minimum);
  if ((double)number > maximum)
    return fail (error, "%s is above the maximum %.15g", value, maximum);
  *out = number;
  return TRUE;
}

static gboolean
parse_number (const char *value, double minimum, double maximum, double *out, GError **error) {
  char *end;
  double number = g_ascii_strtod (value, &end);
  if (end == value || *end != '\0' || !isfinite (number))
    return fail (error, "expected a number, not \"%s\"", value);
  if (number < minimum || number > maximum)
    return fail (error, "%s is %s %.15g", value,
                 number < minimum ? "below the minimum" : "above the maximum",
                 number < minimum ? minimum : maximum);
  *out = number;
  return TRUE;
}

static const char *const *
schedule_names (void) {
  static const char *names[256];
  static gsize ready;
  if (g_once_init_enter (&ready)) {
    const PwScheduleType *const *types = pw_schedule_list ();
    for (gsize i = 0; types[i] != NULL && i + 1 < G_N_ELEMENTS (names); i++)
      names[i] = types[i]->name;
    g_once_init_leave (&ready, 1);
  }
  return names;
}

gboolean
pw__plan_set_schedule (PwPlan *plan, const char *text, const char *file, GError **error) {
  gboolean is_path = strchr (text, '/') != NULL || g_str_has_suffix (text, ".csv");
  if (!is_path && pw_schedule_get (text) == NULL)
    return fail_name (text, schedule_names (), error);
  g_free (plan->schedule);
  g_free (plan->schedule_csv);
  plan->schedule = is_path ? NULL : g_strdup (text);
  plan->schedule_csv = is_path ? pw__plan_relative (file, text) : NULL;
  return TRUE;
}

gboolean
pw__plan_set_group (PwScheduleParams *params, const char *text) {
  static const char *const rules[] = { "megatron", "pytorch", NULL };
  for (int i = 0; rules[i] != NULL; i++)
    if (strcmp (rules[i], text) == 0) {
      params->group_rule = rules[i];
      params->group = 0;
      return TRUE;
    }
  int64_t group = 0;
  if (!parse_integer (text, 1, PW_MICROBATCHES_MAX, &group, NULL))
    return FALSE;
  params->group = (int)group;
  params->group_rule = NULL;
  return TRUE;
}

/* Drops what the file says and the schedule does not take. */
static void
drop_unused_options (PwPlan *plan) {
  const PwScheduleType *type = plan->schedule != NULL ? pw_schedule_get (plan->schedule) : NULL;
  unsigned taken = type != NULL ? type->options : 0;
  PwScheduleParams *params = &plan->params;
  const struct {
    PwScheduleOption option;
    const char *name;
    int *value;
  } options[] = {
    { PW_OPTION_CHUNKS, "chunks", &params->chunks },
    { PW_OPTION_GROUP, "group", &params->group },
    { PW_OPTION_WAVES, "waves", &params->waves },
    { PW_OPTION_PIECES, "pieces", &params->pieces },
    { PW_OPTION_UPDATE_EVERY, "update-every", &params->update_every },
    { PW_OPTION_REVERSE, "reverse", &params->reverse },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    if ((taken & options[i].option) != 0 || pw__plan_is_overridden (plan, options[i].name))
      continue;
    *options[i].value = 0;
    if (options[i].option == PW_OPTION_GROUP)
      params->group_rule = NULL;
  }
  if (type == NULL && !pw__plan_is_overridden (plan, "microbatches"))
    params->microbatches = 0;
}

static gboolean
apply_schedule (PwPlan *plan, const char *value, GError **error) {
  if (!pw__plan_set_schedule (plan, value, "", error))
    return FALSE;
  drop_unused_options (plan);
  return TRUE;
}

static gboolean
apply_group (PwPlan *plan, const char *value, GError **error) {
  return pw__plan_set_group (&plan->params, value)
         || fail (error,
                  "expected a number of micro-batches, \"megatron\" or \"pytorch\", not \"%s\"",
                  value);
}

static gboolean
apply_balance (PwPlan *plan, const char *value, GError **error) {
  if (!g_ascii_isdigit (value[0]) && value[0] != '-') {
    int method = 0;
    if (!pw__plan_parse_name (value, &pw_partition_method_names[PW_METHOD_TIME], &method, error))
      return FALSE;
    plan->method = plan->fallback = (PwPartitionMethod)(PW_METHOD_TIME + method);
    g_clear_pointer (&plan->balance, g_array_unref);
    return TRUE;
  }
  g_auto (GStrv) parts = g_strsplit (value, ",", -1);
  g_autoptr (GArray) balance = g_array_new (FALSE, FALSE, sizeof (int));
  for (int i = 0; parts[i] != NULL; i++) {
    int64_t units = 0;
    if (!parse_integer (g_strstrip (parts[i]), 1, G_MAXINT, &units, error))
      return FALSE;
    int count = (int)units;
    g_array_append_val (balance, count);
  }
  g_clear_pointer (&plan->balance, g_array_unref);
  plan->balance = g_steal_pointer (&balance);
  plan->method = PW_METHOD_BALANCE;
  return TRUE;
}

static gboolean
apply_name (const char *value, const char *const *names, char **out, GError **error) {
  int index = 0;
  if (!pw__plan_parse_name (value, names, &index, error))
    return FALSE;
  g_free (*out);
  *out = g_strdup (names[index]);
  return TRUE;
}

static gboolean
apply_transport (PwPlan *plan, const char *value, GError **error) {
  return apply_name (value, pw__transport_names, &plan->transport, error);
}

static gboolean
apply_backend (PwPlan *plan, const char *value, GError **error) {
  return apply_name (value, pw__backend_names, &plan->backend, error);
}

/* Like every option, a path is seen from here, not from the plan's folder. */
static gboolean
apply_hardware (PwPlan *plan, const char *value, GError **error) {
  json_t *text = json_string (value);
  if (text == NULL)
    return fail (error, "the name is not UTF-8");
  PwHardware *hardware = pw_hardware_read ((PwJsonPlace){ .file = NULL, .path = "" }, text, error);
  json_decref (text);
  if (hardware == NULL)
    return FALSE;
  pw_hardware_free (plan->hardware);
  plan->hardware = hardware;
  return TRUE;
}

static const PwPlanOverride overrides[] = {
  {
      .name = "schedule",
      .argument = "NAME|FILE.csv",
      .help = "order of the micro-batches: a name of \"schedule list\" or a file",
      .type = PW_JSON_CUSTOM,
      .apply = apply_schedule,
  },
  {
      .name = "ranks",
      .argument = "P",
      .help = "workers in the pipeline",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, ranks),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
  },
  {
      .name = "microbatches",
      .argument = "M",
      .help = "parts of the mini-batch",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.microbatches),
      .minimum = 1,
      .maximum = PW_MICROBATCHES_MAX,
  },
  {
      .name = "chunks",
      .argument = "V",
      .help = "stages per rank",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.chunks),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
  },
  {
      .name = "group",
      .argument = "G",
      .help
      = "interleaved-1f1b: micro-batches per group, or the rule of \"megatron\" or \"pytorch\"",
      .type = PW_JSON_CUSTOM,
      .apply = apply_group,
  },
  {
      .name = "waves",
      .argument = "N",
      .help = "hanayo: waves",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.waves),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
  },
  {
      .name = "pieces",
      .argument = "K",
      .help = "seq1f1b: pieces of a sequence",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.pieces),
      .minimum = 1,
      .maximum = PW_MICROBATCHES_MAX,
  },
  {
      .name = "update-every",
      .argument = "K",
      .help = "asynchronous schedules: micro-batches between two updates",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.update_every),
      .minimum = 1,
      .maximum = PW_MICROBATCHES_MAX,
  },
  {
      .name = "reverse",
      .help = "backwards of a group in descending order",
      .type = PW_JSON_BOOLEAN,
      .offset = offsetof (PwPlan, params.reverse),
  },
  {
      .name = "balance",
      .argument = "N,N,...|METHOD",
      .help = "units of each stage, or balance by time, parameters, flops or memory",
      .type = PW_JSON_CUSTOM,
      .apply = apply_balance,
  },
  {
      .name = "batch",
      .argument = "N",
      .help = "samples of a mini-batch",
      .type = PW_JSON_INTEGER,
      .offset = offsetof (PwPlan, batch),
      .minimum = 1,
      .maximum = PW_PLAN_BATCH_MAX,
  },
  {
      .name = "recompute",
      .argument = "MODE",
      .help = "activations made again before the backward: none, stage, "
              "except-last, or layers:NAME,...",
      .type = PW_JSON_CUSTOM,
      .apply = pw__plan_parse_recompute,
  },
  {
      .name = "offload",
      .argument = "none|stash|stages:N",
      .help = "copy stashes to the host's memory until their gradients are near",
      .type = PW_JSON_STRING,
      .offset = offsetof (PwPlan, offload),
  },
  {
      .name = "host-latency",
      .argument = "X",
      .help = "of such a copy, whatever its size",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, host.latency_s),
      .maximum = 1e6,
  },
  {
      .name = "host-bandwidth",
      .argument = "N",
      .help = "bytes per second between a rank and its host's memory, one direction",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, host.bandwidth),
      .maximum = 1e18,
  },
  {
      .name = "precision",
      .argument = "TYPE",
      .help = "fp32, tf32, bf16 or fp16",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, precision),
      .names = pw_precision_names,
  },
  {
      .name = "transport",
      .argument = "NAME",
      .help = "how tensors travel: threads, or nccl between devices",
      .type = PW_JSON_CUSTOM,
      .apply = apply_transport,
  },
  {
      .name = "p2p-policy",
      .argument = "POLICY",
      .help = "who waits for whom when messages are sent",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, policy),
      .names = pw_policy_names,
  },
  {
      .name = "p2p-batched",
      .help = "join a send and a receive between two ranks into one group",
      .type = PW_JSON_BOOLEAN,
      .offset = offsetof (PwPlan, batched),
  },
  {
      .name = "backend",
      .argument = "NAME",
      .help = "what computes: cpu or cuda",
      .type = PW_JSON_CUSTOM,
      .apply = apply_backend,
  },
  {
      .name = "share-devices",
      .help = "let ranks share a device where there are fewer devices than ranks",
      .type = PW_JSON_BOOLEAN,
      .offset = offsetof (PwPlan, share_devices),
  },
  {
      .name = "cuda-graphs",
      .help = "capture a step that repeats as CUDA graphs and launch these",
      .type = PW_JSON_BOOLEAN,
      .offset = offsetof (PwPlan, cuda_graphs),
  },
  {
      .name = "steps",
      .argument = "N",
      .help = "mini-batches to train on",
      .type = PW_JSON_INTEGER,
      .offset = offsetof (PwPlan, steps),
      .minimum = 1,
      .maximum = PW_PLAN_STEPS_MAX,
  },
  {
      .name = "seed",
      .argument = "N",
      .help = "of initial parameters and data",
      .type = PW_JSON_INTEGER,
      .offset = offsetof (PwPlan, seed),
      .maximum = PW_PLAN_SEED_MAX,
  },
  {
      .name = "data-parallel",
      .argument = "N",
      .help = "replicas of the pipeline",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, data_parallel),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
  },
  {
      .name = "hardware",
      .argument = "NAME|FILE.json",
      .help = "the machine: a name of \"hardware list\", or a file as \"profile\" writes it",
      .type = PW_JSON_CUSTOM,
      .apply = apply_hardware,
  },
  {
      .name = "p2p-sharing",
      .argument = "own|fcfs|fair",
      .help = "how messages share links, ports, buses and cards",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, sharing),
      .names = pw_link_sharing_names,
  },
  {
      .name = "node-fabric",
      .argument = "pair|switch|bus",
      .help = "within a node: a link per pair of ranks, a port per rank, or one bus",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, topology.fabric),
      .names = pw_fabric_names,
  },
  {
      .name = "link-duplex",
      .argument = "full|half",
      .help = "half: both directions of a link or port share its bandwidth",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, topology.link_duplex),
      .names = pw_duplex_names,
  },
  {
      .name = "ranks-per-node",
      .argument = "N",
      .help = "a network joins nodes of so many ranks; 0: one node",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, topology.ranks_per_node),
      .maximum = PW_STAGES_MAX,
  },
  {
      .name = "network-latency",
      .argument = "X",
      .help = "of a message between nodes, whatever its size",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, topology.network.latency_s),
      .maximum = 1e6,
  },
  {
      .name = "network-bandwidth",
      .argument = "N",
      .help = "of a network card, in bytes per unit of time and direction",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, topology.network.bandwidth),
      .maximum = 1e18,
  },
  {
      .name = "network-duplex",
      .argument = "full|half",
      .help = "half: both directions of a card share its bandwidth",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, topology.network_duplex),
      .names = pw_duplex_names,
  },
  {
      .name = "network-cards",
      .argument = "N",
      .help = "network cards of a node; default: one per rank",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, topology.network_cards),
      .maximum = PW_STAGES_MAX,
  },
  {
      .name = "compute-slowdown-while-communicating",
      .argument = "F",
      .help = "a rank's compute takes F times as long while it sends or receives",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, topology.compute_slowdown),
      .minimum = 1,
      .maximum = 1e6,
  },
  {
      .name = "rank-factors",
      .argument = "R:X,...",
      .help = "computes of rank R take X times as long; or a factor for each rank",
      .type = PW_JSON_STRING,
      .offset = offsetof (PwPlan, rank_factors),
  },
  {
      .name = "microbatch-factors",
      .argument = "FILE|lognormal:S|...",
      .help = "computes of a micro-batch take so many times as long: a file with a line for each, "
              "lognormal:SIGMA[:SEED], uniform:LOW:HIGH[:SEED], or a list",
      .type = PW_JSON_STRING,
      .offset = offsetof (PwPlan, microbatch_factors),
  },
  {
      .name = "gradient-reduction",
      .argument = "overlapped|at-end",
      .help = "when replicas exchange gradients: after a stage's last, or after all else",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, reduction),
      .names = pw_reduction_names,
  },
  {
      .name = "clip-norm",
      .argument = "X",
      .help = "all ranks exchange the norm of all gradients before they update; 0: no",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, clip_norm),
      .maximum = 1e30,
  },
  {
      .name = "collective-algorithm",
      .argument = "ring|tree",
      .help = "how replicas exchange gradients; default: the hardware's, ring",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, collective.algorithm),
      .names = pw_collective_names,
  },
  {
      .name = "collective-latency",
      .argument = "X",
      .help = "of one step of such an exchange; 0: that of a message",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, collective.latency_s),
      .maximum = 1e6,
  },
  {
      .name = "collective-bandwidth",
      .argument = "N",
      .help = "bytes per second of each member of it; 0: that of a message",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, collective.bandwidth),
      .maximum = 1e18,
  },
  {
      .name = "costs",
      .argument = "FILE",
      .help = "layer costs, as \"profile\" writes them",
      .type = PW_JSON_STRING,
      .offset = offsetof (PwPlan, costs),
  },
  {
      .name = "memory-limit",
      .argument = "BYTES",
      .help = "per rank, e.g. 40GiB",
      .type = PW_JSON_BYTES,
      .offset = offsetof (PwPlan, memory_limit),
  },
};
G_STATIC_ASSERT (G_N_ELEMENTS (overrides) <= 64); /* bits of PwPlan.overridden */

const PwPlanOverride *
pw_plan_overrides (gsize *n) {
  *n = G_N_ELEMENTS (overrides);
  return overrides;
}

static gboolean
apply_boolean (const char *value, gboolean *out, GError **error) {
  gboolean on = value == NULL || value[0] == '\0' || strcmp (value, "true") == 0;
  if (!on && strcmp (value, "false") != 0)
    return fail (error, "expected true or false, not \"%s\"", value);
  *out = on;
  return TRUE;
}

static gboolean
apply_row (PwPlan *plan, const PwPlanOverride *row, const char *value, GError **error) {
  void *field = (char *)plan + row->offset;
  int64_t number = 0;
  switch (row->type) {
  case PW_JSON_CUSTOM:
    return row->apply (plan, value, error);
  case PW_JSON_BOOLEAN:
    return apply_boolean (value, field, error);
  case PW_JSON_ENUM:
    return pw__plan_parse_name (value, row->names, field, error);
  case PW_JSON_INTEGER:
    return parse_integer (value, row->minimum, row->maximum, field, error);
  case PW_JSON_INT:
    if (!parse_integer (value, row->minimum, row->maximum, &number, error))
      return FALSE;
    *(int *)field = (int)number;
    return TRUE;
  case PW_JSON_NUMBER:
    return parse_number (value, row->minimum, row->maximum, field, error);
  case PW_JSON_BYTES:
    return pw_json_parse_bytes (value, field)
           || fail (error, "expected a number of bytes like \"40GiB\", not \"%s\"", value);
  case PW_JSON_STRING:
    g_free (*(char **)field);
    *(char **)field = g_strdup (value);
    return TRUE;
  default:
    g_assert_not_reached ();
  }
}

static gboolean
fail_unknown (const char *name, GError **error) {
  const char *names[G_N_ELEMENTS (overrides) + 1] = { NULL };
  for (gsize i = 0; i < G_N_ELEMENTS (overrides); i++)
    names[i] = overrides[i].name;
  const char *nearest = pw_json_nearest (name, names);
  if (nearest != NULL)
    return fail (error, "unknown option, did you mean \"--%s\"?", nearest);
  return fail (error, "unknown option");
}

gboolean
pw_plan_override (PwPlan *plan, const char *name, const char *value, GError **error) {
  gsize i = 0;
  while (i < G_N_ELEMENTS (overrides) && strcmp (overrides[i].name, name) != 0)
    i++;
  gboolean ok;
  if (i == G_N_ELEMENTS (overrides))
    ok = fail_unknown (name, error);
  else if (value == NULL && overrides[i].argument != NULL)
    ok = fail (error, "expected %s", overrides[i].argument);
  else
    ok = apply_row (plan, &overrides[i], value, error);
  if (!ok) {
    g_prefix_error (error, "--%s: ", name);
    return FALSE;
  }
  plan->overridden |= G_GUINT64_CONSTANT (1) << i;
  return TRUE;
}
