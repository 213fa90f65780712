/* The plan file: every key is one row of `keys`, with its default; plan_sections.c reads those that
 * have keys of their own. */
#include "plans/plan.h"

#include <string.h>

#include "plans/plan_private.h"
#include "plans/microbatch_factors.h"
#include "plans/offload.h"
#include "plans/rank_factors.h"
#include "plans/recompute.h"
#include "schedules/action.h"

const char *const pw_precision_names[] = { "fp32", "bf16", "fp16", "tf32", NULL };

static gboolean
read_hardware (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwHardware **hardware = field;
  g_clear_pointer (hardware, pw_hardware_free);
  *hardware = pw_hardware_read (place, value, error);
  return *hardware != NULL;
}

static gboolean
read_model (PwJsonPlace place, json_t *value, void *field, GError **error) {
  json_t **model = field;
  if (!json_is_object (value) && !json_is_string (value))
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected a name, a file or an object");
  *model = value;
  return TRUE;
}

static const PwJsonKey keys[] = {
  {
      .key = "model",
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, model),
      .required = TRUE,
      .read = read_model,
  },
  {
      .key = "hardware", /* default cpu-core-fp32 */
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, hardware),
      .read = read_hardware,
  },
  {
      .key = "costs", /* default: estimated from the hardware */
      .type = PW_JSON_STRING,
      .offset = offsetof (PwPlan, costs),
  },
  {
      .key = "ranks", /* default: the length of balance, or what the CSV has */
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, ranks),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
  },
  { .key = "partition",
    .type = PW_JSON_CUSTOM,
    .read = pw__plan_read_partition }, /* default: by time */
  { .key = "schedule", .type = PW_JSON_CUSTOM, .read = pw__plan_read_schedule }, /* default 1f1b */
  {
      .key = "batch", /* default: one sample per micro-batch */
      .type = PW_JSON_INTEGER,
      .offset = offsetof (PwPlan, batch),
      .minimum = 1,
      .maximum = PW_PLAN_BATCH_MAX,
      .unit = "samples",
  },
  {
      .key = "steps", /* default 10 */
      .type = PW_JSON_INTEGER,
      .offset = offsetof (PwPlan, steps),
      .minimum = 1,
      .maximum = PW_PLAN_STEPS_MAX,
  },
  {
      .key = "seed", /* default 1 */
      .type = PW_JSON_INTEGER,
      .offset = offsetof (PwPlan, seed),
      .maximum = PW_PLAN_SEED_MAX,
  },
  {
      .key = "backend", /* default cpu */
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, backend),
      .read = pw__plan_read_backend,
  },
  {
      .key = "transport", /* default threads */
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, transport),
      .read = pw__plan_read_transport,
  },
  {
      .key = "p2p_policy", /* default per-edge */
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, policy),
      .names = pw_policy_names,
  },
  { .key = "p2p_batched", .type = PW_JSON_BOOLEAN, .offset = offsetof (PwPlan, batched) },
  {
      .key = "rank_factors", /* default: all 1 */
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, rank_factors),
      .read = pw_rank_factors_read,
  },
  {
      .key = "microbatch_factors", /* default: all 1 */
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, microbatch_factors),
      .read = pw_microbatch_factors_read,
  },
  { .key = "cuda_graphs", .type = PW_JSON_BOOLEAN, .offset = offsetof (PwPlan, cuda_graphs) },
  { .key = "share_devices", .type = PW_JSON_BOOLEAN, .offset = offsetof (PwPlan, share_devices) },
  {
      .key = "precision", /* default fp32 */
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, precision),
      .names = pw_precision_names,
  },
  { .key = "recompute",
    .type = PW_JSON_CUSTOM,
    .read = pw__plan_read_recompute }, /* default none */
  {
      .key = "offload", /* default none */
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, offload),
      .read = pw__plan_read_offload,
  },
  {
      .key = "optimizer", /* default adamw */
      .type = PW_JSON_CUSTOM,
      .offset = offsetof (PwPlan, optimizer),
      .read = pw__plan_read_optimizer,
  },
  { .key = "data", .type = PW_JSON_CUSTOM, .read = pw__plan_read_data }, /* default random */
  {
      .key = "data_parallel", /* default 1 */
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, data_parallel),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
      .unit = "replicas",
  },
  {
      .key = "gradient_reduction", /* default overlapped */
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, reduction),
      .names = pw_reduction_names,
  },
  {
      .key = "clip_norm", /* default 0: not clipped */
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwPlan, clip_norm),
      .maximum = 1e30,
  },
  {
      .key = "memory_limit", /* default 0: none */
      .type = PW_JSON_BYTES,
      .offset = offsetof (PwPlan, memory_limit),
      .unit = "bytes per rank",
  },
  {
      .key = "checkpoint", /* default: none are written */
      .type = PW_JSON_STRING,
      .offset = offsetof (PwPlan, checkpoint),
  },
};

static PwPlan *
defaults_new (PwJsonFile *json) {
  PwPlan *plan = g_new0 (PwPlan, 1);
  plan->json = json;
  plan->file = g_strdup (json->file);
  plan->hardware = pw_hardware_copy (pw_hardware_get ("cpu-core-fp32"));
  plan->method = plan->fallback = PW_METHOD_TIME;
  plan->schedule = g_strdup ("1f1b");
  pw_schedule_params_init (&plan->params);
  plan->params.microbatches = 0;
  plan->steps = 10;
  plan->seed = 1;
  plan->backend = g_strdup ("cpu");
  plan->transport = g_strdup ("threads");
  plan->policy = PW_POLICY_DEFAULT;
  plan->optimizer = pw__optimizer_defaults[PW_OPTIMIZER_ADAMW];
  plan->data.kind = PW_DATA_RANDOM;
  plan->data_parallel = 1;
  return plan;
}

static void
make_relative (const PwPlan *plan, char **path) {
  if (*path == NULL)
    return;
  char *relative = pw__plan_relative (plan->file, *path);
  g_free (*path);
  *path = relative;
}

/* Takes JSON. */
static PwPlan *
read_plan (PwJsonFile *json, GError **error) {
  if (json == NULL)
    return NULL;
  g_autoptr (PwPlan) plan = defaults_new (json);
  PwJsonPlace place = { .file = json, .path = "" };
  if (!pw_json_read_object (place, json->root, keys, G_N_ELEMENTS (keys), plan, error))
    return NULL;
  make_relative (plan, &plan->costs);
  make_relative (plan, &plan->data.path);
  make_relative (plan, &plan->checkpoint);
  return g_steal_pointer (&plan);
}

PwPlan *
pw_plan_load (const char *path, GError **error) {
  return read_plan (pw_json_file_load (path, error), error);
}

PwPlan *
pw_plan_parse (const char *file, const char *text, GError **error) {
  return read_plan (pw_json_file_parse (file, text, error), error);
}

PwPlan *
pw_plan_copy (const PwPlan *plan) {
  PwPlan *copy = g_memdup2 (plan, sizeof *plan);
  copy->file = g_strdup (plan->file);
  copy->json = pw_json_file_parse (plan->json->file, plan->json->text, NULL);
  g_assert (copy->json != NULL);
  copy->model = json_object_get (copy->json->root, "model");
  copy->hardware = pw_hardware_copy (plan->hardware);
  copy->costs = g_strdup (plan->costs);
  copy->balance = plan->balance != NULL ? g_array_copy (plan->balance) : NULL;
  copy->schedule = g_strdup (plan->schedule);
  copy->schedule_csv = g_strdup (plan->schedule_csv);
  copy->backend = g_strdup (plan->backend);
  copy->transport = g_strdup (plan->transport);
  copy->data.path = g_strdup (plan->data.path);
  copy->checkpoint = g_strdup (plan->checkpoint);
  copy->offload = g_strdup (plan->offload);
  copy->rank_factors = g_strdup (plan->rank_factors);
  copy->microbatch_factors = g_strdup (plan->microbatch_factors);
  copy->recompute_layers = g_strdupv (plan->recompute_layers);
  return copy;
}

void
pw_plan_free (PwPlan *plan) {
  if (plan == NULL)
    return;
  pw_json_file_free (plan->json);
  pw_hardware_free (plan->hardware);
  g_clear_pointer (&plan->balance, g_array_unref);
  g_free (plan->file);
  g_free (plan->costs);
  g_free (plan->schedule);
  g_free (plan->schedule_csv);
  g_free (plan->backend);
  g_free (plan->transport);
  g_free (plan->data.path);
  g_free (plan->checkpoint);
  g_free (plan->offload);
  g_free (plan->rank_factors);
  g_free (plan->microbatch_factors);
  g_strfreev (plan->recompute_layers);
  g_free (plan);
}
