#include "schedules/registry_private.h"

#include <math.h>

static const PwScheduleType *const types[] = {
#define ROW(name) &pw__schedule_##name,
  PW_SCHEDULE_TYPES (ROW)
#undef ROW
      NULL,
};

/* Above this many pairs of stage and micro-batch the lists alone take gigabytes. */
#define SLOTS_MAX ((int64_t)1 << 29)

const PwScheduleType *const *
pw_schedule_list (void) {
  return types;
}

const PwScheduleType *
pw_schedule_get (const char *name) {
  for (int i = 0; types[i] != NULL; i++)
    if (g_str_equal (types[i]->name, name))
      return types[i];
  return NULL;
}

static gboolean
refuse (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER, message);
  return FALSE;
}

static gboolean
check_costs (const PwScheduleParams *p, GError **error) {
  const struct {
    const char *name;
    double value, maximum;
  } numbers[] = {
    { "F", p->F, INFINITY },
    { "I", p->I, INFINITY },
    { "W", p->W, INFINITY },
    { "comm", p->comm, INFINITY },
    { "memory_limit", p->memory_limit, INFINITY },
    { "weight_memory", p->weight_memory, 1 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (!isfinite (numbers[i].value) || numbers[i].value < 0
        || numbers[i].value > numbers[i].maximum)
      return refuse (error, "%s: %g is not within 0 and %g", numbers[i].name, numbers[i].value,
                     numbers[i].maximum);
  return TRUE;
}

gboolean
pw__schedule_fits (int64_t stages, int64_t slots, GError **error) {
  if (slots > PW_MICROBATCHES_MAX)
    return refuse (error, "%" G_GINT64_FORMAT " pieces of micro-batches: more than %d", slots,
                   PW_MICROBATCHES_MAX);
  if (stages > PW_STAGES_MAX)
    return refuse (error, "%" G_GINT64_FORMAT " stages: more than %d", stages, PW_STAGES_MAX);
  if (stages * slots > SLOTS_MAX)
    return refuse (error,
                   "%" G_GINT64_FORMAT " stages times %" G_GINT64_FORMAT
                   " micro-batches: too large to be listed",
                   stages, slots);
  return TRUE;
}

static gboolean
check_sizes (const PwScheduleParams *p, GError **error) {
  if (p->ranks < 1 || p->ranks > PW_STAGES_MAX)
    return refuse (error, "ranks: %d is not within 1 and %d", p->ranks, PW_STAGES_MAX);
  if (p->microbatches < 1 || p->microbatches > PW_MICROBATCHES_MAX)
    return refuse (error, "microbatches: %d is not within 1 and %d", p->microbatches,
                   PW_MICROBATCHES_MAX);
  const struct {
    const char *name;
    int value;
  } counts[] = { { "chunks", p->chunks },
                 { "group", p->group },
                 { "waves", p->waves },
                 { "pieces", p->pieces },
                 { "update_every", p->update_every } };
  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    if (counts[i].value < 0 || counts[i].value > PW_MICROBATCHES_MAX)
      return refuse (error, "%s: %d is not within 1 and %d", counts[i].name, counts[i].value,
                     PW_MICROBATCHES_MAX);
  int64_t slots = (int64_t)p->microbatches * MAX (p->pieces, 1);
  int64_t stages = (int64_t)p->ranks * MAX (p->chunks, 1) * MAX (2 * p->waves, 1);
  return pw__schedule_fits (stages, slots, error);
}

static gboolean
check_options (const PwScheduleType *type, const PwScheduleParams *p, GError **error) {
  const struct {
    PwScheduleOption option;
    const char *name;
    gboolean is_set;
  } options[] = {
    { PW_OPTION_CHUNKS, "chunks", p->chunks > 1 },
    { PW_OPTION_GROUP, "group", p->group != 0 || p->group_rule != NULL },
    { PW_OPTION_WAVES, "waves", p->waves != 0 },
    { PW_OPTION_PIECES, "pieces", p->pieces > 1 },
    { PW_OPTION_UPDATE_EVERY, "update_every", p->update_every != 0 },
    { PW_OPTION_REVERSE, "reverse", p->reverse },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    if (!options[i].is_set || (type->options & options[i].option) != 0)
      continue;
    if (options[i].option == PW_OPTION_CHUNKS)
      return refuse (error, "%s sets its own number of stages per rank: chunks cannot be %d",
                     type->name, p->chunks);
    return refuse (error, "%s does not take %s", type->name, options[i].name);
  }
  return TRUE;
}

PwSchedule *
pw_schedule_generate (const char *name, const PwScheduleParams *params, GError **error) {
  const PwScheduleType *type = pw_schedule_get (name);
  if (type == NULL) {
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_UNKNOWN, "there is no schedule \"%s\"",
                 name);
    return NULL;
  }
  if (!check_sizes (params, error) || !check_costs (params, error)
      || !check_options (type, params, error))
    return NULL;
  return type->generate (params, error);
}

PwSchedule *
pw__schedule_new_straight (const char *name, const PwScheduleParams *params, int64_t length) {
  return pw__schedule_new_loop (name, params, 1, length);
}

PwSchedule *
pw__schedule_new_loop (const char *name, const PwScheduleParams *params, int chunks,
                       int64_t length) {
  PwPlacement *placement
      = pw_placement_new (PW_PLACEMENT_LOOP, params->ranks, params->ranks * chunks);
  PwSchedule *schedule = pw_schedule_new (name, placement, params->microbatches);
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)params->ranks);
  for (int rank = 0; rank < params->ranks; rank++)
    lengths[rank] = length;
  pw_schedule_new_lists (schedule, lengths);
  return schedule;
}
