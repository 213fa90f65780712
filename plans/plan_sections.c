/* The keys of a plan that are objects, or that take more than one form. Where FIELD is not said it
 * is the plan itself. */
#include <string.h>

#include "plans/plan_private.h"
#include "schedules/action.h"

#define BELOW_1 0.999999999 /* a decay of 1 divides by 0 */

const char *const pw_partition_method_names[]
    = { "balance", "time", "parameters", "flops", "memory", NULL };
const char *const pw_reduction_names[] = { "overlapped", "at-end", NULL };
const char *const pw_optimizer_names[] = { "sgd", "adam", "adamw", NULL };
const char *const pw__backend_names[] = { "cpu", "cuda", NULL };
const char *const pw__transport_names[] = { "threads", "mpi", "nccl", NULL };

/* VALUE, which stands at PLACE, by one row into TARGET. */
gboolean
pw__plan_read_value (PwJsonPlace place, json_t *value, const PwJsonKey *row, void *target,
                     GError **error) {
  const char *dot = strrchr (place.path, '.');
  g_autofree char *parent
      = dot != NULL ? g_strndup (place.path, (gsize)(dot - place.path)) : g_strdup ("");
  PwJsonKey key = *row;
  key.key = dot != NULL ? dot + 1 : place.path;
  json_t *object = json_pack ("{s:O}", key.key, value);
  gboolean ok
      = pw_json_read_object ((PwJsonPlace){ place.file, parent }, object, &key, 1, target, error);
  json_decref (object);
  return ok;
}

static const PwJsonKey partition_keys[] = {
  {
      .key = "balance",
      .type = PW_JSON_INT_LIST,
      .offset = offsetof (PwPlan, balance),
      .minimum = 1,
      .unit = "units per stage",
  },
  {
      .key = "method",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, fallback),
      .names = pw_partition_method_names,
  },
  {
      .key = "ends",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwPlan, count_ends),
      .names = (const char *const[]){ "kept", "counted", NULL },
  },
};

gboolean
pw__plan_read_partition (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwPlan *plan = field;
  if (!pw_json_read_object (place, value, partition_keys, G_N_ELEMENTS (partition_keys), plan,
                            error))
    return FALSE;
  gboolean listed = plan->balance != NULL;
  if (listed && plan->balance->len == 0)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "balance: the list is empty");
  if (!listed && plan->fallback == PW_METHOD_BALANCE)
    return pw_json_fail (place, PW_JSON_ERROR_MISSING_KEY, error,
                         "method \"balance\" needs the list \"balance\"");
  plan->method = listed ? PW_METHOD_BALANCE : plan->fallback;
  if (plan->fallback == PW_METHOD_BALANCE)
    plan->fallback = PW_METHOD_TIME;
  return TRUE;
}

/* A group is a number of micro-batches or the name of a rule. */
static gboolean
read_group (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwPlan *plan = field;
  g_autofree char *text = json_is_string (value)    ? g_strdup (json_string_value (value))
                          : json_is_integer (value) ? g_strdup_printf ("%" JSON_INTEGER_FORMAT,
                                                                       json_integer_value (value))
                                                    : NULL;
  if (text != NULL && pw__plan_set_group (&plan->params, text))
    return TRUE;
  return pw_json_fail (place, PW_JSON_ERROR_RANGE, error,
                       "expected a number of micro-batches, \"megatron\" or \"pytorch\"");
}

static gboolean
read_schedule_name (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwPlan *plan = field;
  if (!json_is_string (value))
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected the name of a schedule");
  g_autoptr (GError) wrong = NULL;
  if (pw__plan_set_schedule (plan, json_string_value (value), plan->file, &wrong))
    return TRUE;
  return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "%s", wrong->message);
}

static gboolean
read_schedule_csv (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwPlan *plan = field;
  if (!json_is_string (value) || json_string_length (value) == 0)
    return pw_json_fail (place, PW_JSON_ERROR_TYPE, error, "expected the path of a file");
  g_free (plan->schedule_csv);
  plan->schedule_csv = pw__plan_relative (plan->file, json_string_value (value));
  g_clear_pointer (&plan->schedule, g_free);
  return TRUE;
}

static const PwJsonKey schedule_keys[] = {
  { .key = "name", .type = PW_JSON_CUSTOM, .read = read_schedule_name },
  { .key = "csv", .type = PW_JSON_CUSTOM, .read = read_schedule_csv },
  {
      .key = "microbatches",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.microbatches),
      .minimum = 1,
      .maximum = PW_MICROBATCHES_MAX,
  },
  {
      .key = "chunks",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.chunks),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
      .unit = "stages per rank",
  },
  { .key = "group", .type = PW_JSON_CUSTOM, .read = read_group },
  {
      .key = "waves",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.waves),
      .minimum = 1,
      .maximum = PW_STAGES_MAX,
  },
  {
      .key = "pieces",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.pieces),
      .minimum = 1,
      .maximum = PW_MICROBATCHES_MAX,
  },
  {
      .key = "update_every",
      .type = PW_JSON_INT,
      .offset = offsetof (PwPlan, params.update_every),
      .minimum = 1,
      .maximum = PW_MICROBATCHES_MAX,
      .unit = "micro-batches",
  },
  { .key = "reverse", .type = PW_JSON_BOOLEAN, .offset = offsetof (PwPlan, params.reverse) },
};

gboolean
pw__plan_read_schedule (PwJsonPlace place, json_t *value, void *field, GError **error) {
  if (json_is_string (value))
    return read_schedule_name (place, value, field, error);
  if (json_object_get (value, "name") != NULL && json_object_get (value, "csv") != NULL)
    return pw_json_fail (place, PW_JSON_ERROR_RANGE, error, "takes \"name\" or \"csv\", not both");
  return pw_json_read_object (place, value, schedule_keys, G_N_ELEMENTS (schedule_keys), field,
                              error);
}

static const PwJsonKey optimizer_keys[] = {
  {
      .key = "name",
      .type = PW_JSON_ENUM,
      .offset = offsetof (PwOptimizerPlan, kind),
      .names = pw_optimizer_names,
  },
  {
      .key = "learning_rate",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwOptimizerPlan, learning_rate),
      .maximum = 1e6,
  },
  {
      .key = "momentum",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwOptimizerPlan, momentum),
      .maximum = BELOW_1,
  },
  {
      .key = "beta1",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwOptimizerPlan, beta1),
      .maximum = BELOW_1,
  },
  {
      .key = "beta2",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwOptimizerPlan, beta2),
      .maximum = BELOW_1,
  },
  {
      .key = "epsilon",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwOptimizerPlan, epsilon),
      .maximum = BELOW_1,
  },
  {
      .key = "weight_decay",
      .type = PW_JSON_NUMBER,
      .offset = offsetof (PwOptimizerPlan, weight_decay),
      .maximum = 1e6,
  },
};

/* PyTorch's, but for AdamW's rate, which is the usual one for small transformers. */
const PwOptimizerPlan pw__optimizer_defaults[] = {
  [PW_OPTIMIZER_SGD] = { .kind = PW_OPTIMIZER_SGD, .learning_rate = 1e-2 },
  [PW_OPTIMIZER_ADAM] = { .kind = PW_OPTIMIZER_ADAM,
                          .learning_rate = 1e-3,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .epsilon = 1e-8 },
  [PW_OPTIMIZER_ADAMW] = { .kind = PW_OPTIMIZER_ADAMW,
                           .learning_rate = 3e-4,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .epsilon = 1e-8,
                           .weight_decay = 0.01 },
};

/* FIELD is a PwOptimizerPlan. The name first: the other keys' defaults are its own. */
gboolean
pw__plan_read_optimizer (PwJsonPlace place, json_t *value, void *field, GError **error) {
  PwOptimizerPlan *optimizer = field;
  json_t *name = json_is_object (value) ? json_object_get (value, "name") : value;
  if (name != NULL) {
    g_autofree char *path
        = name == value ? g_strdup (place.path) : pw_json_path_key (place.path, "name");
    if (!pw__plan_read_value ((PwJsonPlace){ place.file, path }, name, &optimizer_keys[0],
                              optimizer, error))
      return FALSE;
    *optimizer = pw__optimizer_defaults[optimizer->kind];
  }
  if (!json_is_object (value))
    return TRUE;
  return pw_json_read_object (place, value, optimizer_keys, G_N_ELEMENTS (optimizer_keys),
                              optimizer, error);
}

gboolean
pw__plan_read_data (PwJsonPlace place, json_t *value, void *field, GError **error) {
  static const char *const names[] = { "text", "random", NULL };
  static const PwJsonKey kind_key
      = { .type = PW_JSON_ENUM, .offset = offsetof (PwPlan, data.kind), .names = names };
  static const PwJsonKey keys[]
      = { { .key = "text", .type = PW_JSON_STRING, .offset = offsetof (PwPlan, data.path) } };
  PwPlan *plan = field;
  if (!json_is_object (value))
    return pw__plan_read_value (place, value, &kind_key, plan, error);
  if (!pw_json_read_object (place, value, keys, G_N_ELEMENTS (keys), plan, error))
    return FALSE;
  plan->data.kind = plan->data.path != NULL ? PW_DATA_TEXT : PW_DATA_RANDOM;
  return TRUE;
}

/* FIELD of the two below is a char *. */
static gboolean
read_name (PwJsonPlace place, json_t *value, const char *const *names, char **out, GError **error) {
  int index = 0;
  const PwJsonKey key = { .type = PW_JSON_ENUM, .names = names };
  if (!pw__plan_read_value (place, value, &key, &index, error))
    return FALSE;
  g_free (*out);
  *out = g_strdup (names[index]);
  return TRUE;
}

gboolean
pw__plan_read_backend (PwJsonPlace place, json_t *value, void *field, GError **error) {
  return read_name (place, value, pw__backend_names, field, error);
}

gboolean
pw__plan_read_transport (PwJsonPlace place, json_t *value, void *field, GError **error) {
  return read_name (place, value, pw__transport_names, field, error);
}
