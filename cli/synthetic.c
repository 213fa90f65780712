/* Synthetic costs from options: one row per option. */
#include "cli/workload_private.h"
#include <math.h>
#include <string.h>

#define AT(member) G_STRUCT_OFFSET (PwWorkloadSynthetic, member)
#define INT_MAXIMUM 16777215

static const PwSyntheticRow rows[] = {
  { .name = "schedule", .kind = PW_ROW_TEXT, .offset = AT (synthetic.schedule) },
  { .name = "ranks",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.params.ranks),
    .minimum = 1,
    .maximum = 65535 },
  { .name = "microbatches",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.params.microbatches),
    .minimum = 1,
    .maximum = INT_MAXIMUM },
  { .name = "chunks",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.params.chunks),
    .minimum = 1,
    .maximum = 65535 },
  { .name = "group",
    .kind = PW_ROW_GROUP,
    .offset = AT (synthetic.params),
    .minimum = 1,
    .maximum = INT_MAXIMUM },
  { .name = "waves",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.params.waves),
    .minimum = 1,
    .maximum = 65535 },
  { .name = "pieces",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.params.pieces),
    .minimum = 1,
    .maximum = INT_MAXIMUM },
  { .name = "update-every",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.params.update_every),
    .minimum = 1,
    .maximum = INT_MAXIMUM },
  { .name = "reverse", .kind = PW_ROW_FLAG, .offset = AT (synthetic.params.reverse) },
  { .name = "p2p-policy", .kind = PW_ROW_POLICY, .offset = AT (synthetic.policy) },
  { .name = "p2p-batched", .kind = PW_ROW_FLAG, .offset = AT (synthetic.batched) },
  { .name = "memory-limit",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.params.memory_limit),
    .maximum = 1e9,
    .shared_help = "per rank: bytes (40GiB); synthetic: micro-batches of activations" },
  { .name = "stages",
    .argument = "S",
    .help = "number of stages; default: the schedule's own",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.stages),
    .minimum = 1,
    .maximum = 65535 },
  { .name = "forward",
    .argument = "X,...",
    .help = "time of F, one or one per stage; default 1",
    .kind = PW_ROW_NUMBERS,
    .offset = AT (forward) },
  { .name = "backward",
    .argument = "X,...",
    .help = "time of a full B; split backwards take half",
    .kind = PW_ROW_NUMBERS,
    .offset = AT (backward) },
  { .name = "backward-input",
    .argument = "X,...",
    .help = "time of I; default 1",
    .kind = PW_ROW_NUMBERS,
    .offset = AT (input) },
  { .name = "backward-weight",
    .argument = "X,...",
    .help = "time of W; default 1",
    .kind = PW_ROW_NUMBERS,
    .offset = AT (weight) },
  { .name = "overlapped",
    .argument = "X",
    .help = "time of an F and a B as a pair; default: sum",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.overlapped),
    .maximum = INFINITY },
  { .name = "update",
    .argument = "X",
    .help = "time of U, the optimiser's step of a stage; default 0",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.update),
    .maximum = INFINITY },
  { .name = "reduce",
    .argument = "X",
    .help = "time of a stage's REDUCE_GRAD among replicas; default: there are none",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.reduce),
    .maximum = INFINITY },
  { .name = "norm",
    .argument = "X",
    .help = "time of NORM among all ranks; default: there is none",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.norm),
    .maximum = INFINITY },
  { .name = "offload", .kind = PW_ROW_TEXT, .offset = AT (synthetic.offload) },
  { .name = "offload-time",
    .argument = "X",
    .help = "time of a stash to the host, and back; default 0",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.offload_time),
    .maximum = INFINITY },
  { .name = "gradient-reduction",
    .kind = PW_ROW_NAME,
    .offset = AT (synthetic.reduction),
    .names = pw_reduction_names },
  { .name = "p2p-latency",
    .argument = "X",
    .help = "time of a message, whatever its size",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.latency),
    .maximum = INFINITY },
  { .name = "message-bytes",
    .argument = "N",
    .help = "bytes of a message",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.message_bytes),
    .maximum = 1e18 },
  { .name = "bandwidth",
    .argument = "N",
    .help = "bytes per unit of time; default: infinite",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.bandwidth),
    .maximum = INFINITY },
  { .name = "p2p-sharing",
    .kind = PW_ROW_NAME,
    .offset = AT (synthetic.sharing),
    .names = pw_link_sharing_names },
  { .name = "node-fabric",
    .kind = PW_ROW_NAME,
    .offset = AT (synthetic.topology.fabric),
    .names = pw_fabric_names },
  { .name = "link-duplex",
    .kind = PW_ROW_NAME,
    .offset = AT (synthetic.topology.link_duplex),
    .names = pw_duplex_names },
  { .name = "ranks-per-node",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.topology.ranks_per_node),
    .maximum = 65535 },
  { .name = "network-latency",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.topology.network.latency_s),
    .maximum = INFINITY },
  { .name = "network-bandwidth",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.topology.network.bandwidth),
    .maximum = INFINITY },
  { .name = "network-duplex",
    .kind = PW_ROW_NAME,
    .offset = AT (synthetic.topology.network_duplex),
    .names = pw_duplex_names },
  { .name = "network-cards",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.topology.network_cards),
    .maximum = 65535 },
  { .name = "microbatch-factors",
    .kind = PW_ROW_TEXT,
    .offset = AT (synthetic.microbatch_factors) },
  { .name = "rank-factors", .kind = PW_ROW_TEXT, .offset = AT (synthetic.rank_factors) },
  { .name = "compute-slowdown-while-communicating",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.topology.compute_slowdown),
    .minimum = 1,
    .maximum = 1e6 },
  { .name = "iterations",
    .argument = "K",
    .help = "iterations back to back; default 1",
    .kind = PW_ROW_INT,
    .offset = AT (synthetic.iterations),
    .minimum = 1,
    .maximum = INT_MAXIMUM,
    .for_plans = TRUE },
  { .name = "weight-memory",
    .argument = "FRACTION",
    .help = "share of activations that W frees; default 0.5",
    .kind = PW_ROW_NUMBER,
    .offset = AT (synthetic.params.weight_memory),
    .maximum = 1,
    .for_plans = TRUE },
  { .name = "cost-per",
    .argument = "stage|rank",
    .help = "costs are of a stage, or a rank's share for its stages",
    .kind = PW_ROW_SHARE,
    .offset = AT (synthetic.per_rank) },
};

const PwSyntheticRow *
pw__synthetic_rows (gsize *n) {
  *n = G_N_ELEMENTS (rows);
  return rows;
}

const PwSyntheticRow *
pw__synthetic_row (const char *name) {
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    if (g_str_equal (rows[i].name, name))
      return &rows[i];
  return NULL;
}

gboolean
pw_number_parse (const char *name, const char *text, double minimum, double maximum, double *number,
                 GError **error) {
  char *end;
  double value = g_ascii_strtod (text, &end);
  if (end == text || *end != '\0' || !isfinite (value))
    return pw_input_fail (error, "--%s: \"%s\" is not a number", name, text);
  if (value < minimum)
    return pw_input_fail (error, "--%s: %s is below the minimum %g", name, text, minimum);
  if (value > maximum)
    return pw_input_fail (error, "--%s: %s is above the maximum %g", name, text, maximum);
  *number = value;
  return TRUE;
}

gboolean
pw_fraction_parse (const char *name, const char *text, double maximum, double *fraction,
                   GError **error) {
  gboolean is_percent = g_str_has_suffix (text, "%");
  double scale = is_percent ? 100 : 1;
  g_autofree char *number = g_strndup (text, strlen (text) - (is_percent ? 1 : 0));
  if (!pw_number_parse (name, number, 0, maximum * scale, fraction, error))
    return FALSE;
  *fraction /= scale;
  return TRUE;
}

gboolean
pw_integer_parse (const char *name, const char *text, int64_t minimum, int64_t maximum,
                  int64_t *number, GError **error) {
  g_autoptr (GError) found = NULL;
  if (g_ascii_string_to_signed (text, 10, minimum, maximum, number, &found))
    return TRUE;
  if (g_error_matches (found, G_NUMBER_PARSER_ERROR, G_NUMBER_PARSER_ERROR_OUT_OF_BOUNDS))
    return pw_input_fail (error,
                          "--%s: %s is not within %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT, name,
                          text, minimum, maximum);
  return pw_input_fail (error, "--%s: \"%s\" is not a whole number", name, text);
}

static gboolean
read_numbers (const PwSyntheticRow *row, const char *text, GArray **numbers, GError **error) {
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  g_clear_pointer (numbers, g_array_unref);
  *numbers = g_array_new (FALSE, FALSE, sizeof (double));
  for (int i = 0; parts[i]; i++) {
    double number;
    if (!pw_number_parse (row->name, parts[i], 0, 1e300, &number, error))
      return FALSE;
    g_array_append_val (*numbers, number);
  }
  if ((*numbers)->len == 0)
    return pw_input_fail (error, "--%s: \"\" is not a number", row->name);
  return TRUE;
}

static gboolean
read_group (const PwSyntheticRow *row, const char *text, PwScheduleParams *params, GError **error) {
  static const char *const rules[] = { "megatron", "pytorch", NULL };
  for (int i = 0; rules[i]; i++)
    if (g_str_equal (text, rules[i])) {
      params->group_rule = rules[i];
      return TRUE;
    }
  int64_t number;
  if (!pw_integer_parse (row->name, text, (int64_t)row->minimum, (int64_t)row->maximum, &number,
                         error))
    return FALSE;
  params->group = (int)number;
  return TRUE;
}

static gboolean
read_name (const PwSyntheticRow *row, const char *text, void *field, GError **error) {
  if (row->kind == PW_ROW_SHARE) {
    gboolean per_rank = g_str_equal (text, "rank");
    if (!per_rank && !g_str_equal (text, "stage"))
      return pw_input_fail (error, "--%s: \"%s\" is neither stage nor rank", row->name, text);
    *(gboolean *)field = per_rank;
    return TRUE;
  }
  if (pw_policy_parse (text, field))
    return TRUE;
  g_autofree char *names = g_strjoinv (", ", (char **)pw_policy_names);
  return pw_input_fail (error, "--%s: \"%s\" is none of %s", row->name, text, names);
}

static gboolean
read_number_of_name (const PwSyntheticRow *row, const char *text, int *number, GError **error) {
  for (int i = 0; row->names[i]; i++)
    if (g_str_equal (row->names[i], text)) {
      *number = i;
      return TRUE;
    }
  g_autofree char *names = g_strjoinv (", ", (char **)row->names);
  return pw_input_fail (error, "--%s: \"%s\" is none of %s", row->name, text, names);
}

/* A sweep varies flags, too. */
static gboolean
read_flag (const PwSyntheticRow *row, const char *text, gboolean *flag, GError **error) {
  *flag = g_str_equal (text, "true");
  return *flag || g_str_equal (text, "false")
         || pw_input_fail (error, "--%s: expected true or false, not \"%s\"", row->name, text);
}

static gboolean
read_row (const PwSyntheticRow *row, const char *text, PwWorkloadSynthetic *out, GError **error) {
  void *field = G_STRUCT_MEMBER_P (out, row->offset);
  int64_t integer;
  switch (row->kind) {
  case PW_ROW_TEXT:
    *(const char **)field = text;
    return TRUE;
  case PW_ROW_FLAG:
    return read_flag (row, text, field, error);
  case PW_ROW_INT:
    if (!pw_integer_parse (row->name, text, (int64_t)row->minimum, (int64_t)row->maximum, &integer,
                           error))
      return FALSE;
    *(int *)field = (int)integer;
    return TRUE;
  case PW_ROW_NUMBER:
    return pw_number_parse (row->name, text, row->minimum, row->maximum, field, error);
  case PW_ROW_NUMBERS:
    return read_numbers (row, text, field, error);
  case PW_ROW_NAME:
    return read_number_of_name (row, text, field, error);
  case PW_ROW_GROUP:
    return read_group (row, text, field, error);
  case PW_ROW_POLICY:
  case PW_ROW_SHARE:
    return read_name (row, text, field, error);
  default:
    g_assert_not_reached ();
  }
}

static void
point_to_numbers (PwWorkloadSynthetic *out) {
  PwSynthetic *synthetic = &out->synthetic;
  const struct {
    const GArray *numbers;
    const double **pointer;
    int *n;
  } lists[] = {
    { out->forward, &synthetic->forward, &synthetic->n_forward },
    { out->backward, &synthetic->backward, &synthetic->n_backward },
    { out->input, &synthetic->input, &synthetic->n_input },
    { out->weight, &synthetic->weight, &synthetic->n_weight },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    if (lists[i].numbers) {
      *lists[i].pointer = (const double *)(gconstpointer)lists[i].numbers->data;
      *lists[i].n = (int)lists[i].numbers->len;
    }
}

/* What must be said of a schedule by name, and defaults where it need not. */
static gboolean
complete (const PwSettings *settings, gboolean required, PwWorkloadSynthetic *out, GError **error) {
  PwScheduleParams *params = &out->synthetic.params;
  static const char *const needed[] = { "schedule", "ranks", "microbatches" };
  const char *schedule = out->synthetic.schedule;
  if (schedule && !pw_workload_check_schedule ("schedule", schedule, error))
    return FALSE;
  if (schedule && !pw_schedule_get (schedule))
    return TRUE;
  for (gsize i = 0; required && i < G_N_ELEMENTS (needed); i++)
    if (!pw_settings_get (settings, needed[i]))
      return pw_usage_fail (error, "without a plan --%s is needed", needed[i]);
  if (params->ranks == 0)
    params->ranks = 4;
  if (params->microbatches == 0)
    params->microbatches = 2 * params->ranks;
  return TRUE;
}

/* What is one by nature is shared unless the call says otherwise. */
static void
choose_sharing (const PwSettings *settings, PwSynthetic *synthetic) {
  if (pw_settings_get (settings, "p2p-sharing")) {
    synthetic->topology.network.sharing = synthetic->sharing;
    return;
  }
  synthetic->topology.network.sharing = PW_LINK_FAIR;
  if (pw_topology_shares_links (&synthetic->topology))
    synthetic->sharing = PW_LINK_FAIR;
}

gboolean
pw_workload_synthetic (const PwSettings *settings, gboolean required, PwWorkloadSynthetic *out,
                       GError **error) {
  pw_schedule_params_init (&out->synthetic.params);
  out->synthetic.params.ranks = out->synthetic.params.microbatches = 0;
  out->synthetic.policy = PW_POLICY_DEFAULT;
  const char *name;
  for (guint i = 0; (name = pw__settings_name (settings, i)); i++) {
    const PwSyntheticRow *row = pw__synthetic_row (name);
    if (!row)
      return pw_usage_fail (error, "--%s needs a plan", name);
    if (!read_row (row, pw_settings_get (settings, name), out, error))
      return FALSE;
  }
  point_to_numbers (out);
  choose_sharing (settings, &out->synthetic);
  return complete (settings, required, out, error);
}

void
pw_workload_synthetic_clear (PwWorkloadSynthetic *synthetic) {
  g_clear_pointer (&synthetic->forward, g_array_unref);
  g_clear_pointer (&synthetic->backward, g_array_unref);
  g_clear_pointer (&synthetic->input, g_array_unref);
  g_clear_pointer (&synthetic->weight, g_array_unref);
}
