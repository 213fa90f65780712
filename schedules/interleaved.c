#include "schedules/interleaved_private.h"

#include <string.h>

static gboolean
refuse (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER, message);
  return FALSE;
}

static void
group_evenly (const PwScheduleParams *params, PwGroups *groups) {
  int M = params->microbatches, G = params->group != 0 ? params->group : params->ranks;
  int n = MAX (M / G, 1);
  *groups = (PwGroups){ .n = n, .size = M / n, .larger = M % n };
}

/* microbatch_group_size_per_vp_stage. */
static gboolean
group_by_megatron (const PwScheduleParams *params, PwGroups *groups, GError **error) {
  int M = params->microbatches, P = params->ranks;
  int G = params->group != 0 ? params->group : P;
  if (G < P || G > M)
    return refuse (error,
                   "group: Megatron-LM takes groups from the %d ranks to the %d "
                   "micro-batches, not %d",
                   P, M, G);
  if (M % G != 0 && M % G < P)
    return refuse (error,
                   "group: Megatron-LM refuses a last group of %d micro-batches, fewer than the %d "
                   "ranks (%d in groups of %d)",
                   M % G, P, M, G);
  *groups = (PwGroups){ .n = M / G + (M % G != 0), .size = G, .last = M % G };
  return TRUE;
}

/* ScheduleInterleaved1F1B: rounds of equal size. */
static gboolean
group_by_pytorch (const PwScheduleParams *params, PwGroups *groups, GError **error) {
  int M = params->microbatches, P = params->ranks, rounds = MAX (M / P, 1);
  if (params->group != 0)
    return refuse (error, "group: PyTorch's rule computes the group, %d cannot be asked for",
                   params->group);
  if (M % rounds != 0)
    return refuse (error,
                   "group: PyTorch refuses %d micro-batches on %d ranks, which %d rounds do not "
                   "divide",
                   M, P, rounds);
  *groups = (PwGroups){ .n = rounds, .size = M / rounds };
  return TRUE;
}

gboolean
pw__interleaved_groups (const PwScheduleParams *params, PwGroups *groups, GError **error) {
  if (params->group_rule == NULL) {
    group_evenly (params, groups);
    return TRUE;
  }
  if (strcmp (params->group_rule, "megatron") == 0)
    return group_by_megatron (params, groups, error);
  if (strcmp (params->group_rule, "pytorch") == 0)
    return group_by_pytorch (params, groups, error);
  return refuse (error, "group: there is no rule \"%s\", only \"megatron\" and \"pytorch\"",
                 params->group_rule);
}

int
pw__groups_size (const PwGroups *groups, int group) {
  if (groups->last != 0 && group == groups->n - 1)
    return groups->last;
  return groups->size + (group < groups->larger);
}

PwVisit *
pw__interleaved_visits (const PwGroups *groups, int microbatches, int chunks) {
  PwVisit *visits = g_new (PwVisit, (gsize)microbatches * (gsize)chunks);
  PwVisit *out = visits;
  int first = 0;
  for (int group = 0; group < groups->n; group++) {
    int size = pw__groups_size (groups, group);
    for (int chunk = 0; chunk < chunks; chunk++)
      for (int m = 0; m < size; m++)
        *out++ = (PwVisit){ .chunk = chunk, .microbatch = first + m };
    first += size;
  }
  g_assert (first == microbatches);
  return visits;
}
