/* How many versions of its weights a stage needs at once. With the newest version for every
 * forward, the k-th is needed from the update that made it to the next one, and on until the last
 * backward of a micro-batch that went forward in between. */
#include "schedules/schedule_private.h"

#include <string.h>

/* Lists of all ranks, stage by stage: list[start[place] .. start[place + 1]), in order. */
typedef struct {
  int64_t *start;
  PwAction *list;
} ByStage;

static int
place_of (const PwSchedule *schedule, PwAction action) {
  return (int)action.direction * schedule->stages + (int)action.stage;
}

static gboolean
matters (const PwSchedule *schedule, PwAction action) {
  gboolean kind = action.kind == PW_ACTION_FORWARD || action.kind == PW_ACTION_BACKWARD
                  || action.kind == PW_ACTION_WEIGHT_GRADIENT || action.kind == PW_ACTION_UPDATE;
  return kind && (int)action.stage < schedule->stages
         && (int)action.direction < schedule->placement->directions
         && action.microbatch < pw__schedule_slots (schedule);
}

static ByStage
sort_by_stage (const PwSchedule *plain) {
  int places = plain->placement->directions * plain->stages;
  ByStage by = { .start = g_new0 (int64_t, (gsize)places + 2) };
  for (int rank = 0; rank < plain->ranks; rank++)
    for (int64_t i = 0; i < plain->programs[rank].n_prologue; i++) {
      PwAction action = plain->programs[rank].actions[i];
      if (matters (plain, action))
        by.start[place_of (plain, action) + 2]++;
    }
  for (int place = 0; place < places; place++)
    by.start[place + 2] += by.start[place + 1];
  by.list = g_new (PwAction, (gsize)by.start[places + 1] + 1);
  for (int rank = 0; rank < plain->ranks; rank++)
    for (int64_t i = 0; i < plain->programs[rank].n_prologue; i++) {
      PwAction action = plain->programs[rank].actions[i];
      if (matters (plain, action))
        by.list[by.start[place_of (plain, action) + 1]++] = action;
    }
  return by;
}

/* Of one stage. VERSION_OF[slots] holds -1 for micro-batches not under way, and does so again in
 * the end; USERS has room for N + 1. */
static int
count_versions (const PwAction *actions, int64_t n, int *version_of, int *users) {
  int newest = 0, needed = 1, most = 1;
  users[0] = 0;
  for (int64_t i = 0; i < n; i++) {
    int *version = &version_of[actions[i].microbatch];
    if (actions[i].kind == PW_ACTION_UPDATE) {
      needed += users[newest] > 0;
      users[++newest] = 0;
    } else if (actions[i].kind == PW_ACTION_FORWARD && *version < 0) {
      *version = newest;
      users[newest]++;
    } else if (actions[i].kind != PW_ACTION_FORWARD && *version >= 0) {
      needed -= --users[*version] == 0 && *version != newest;
      *version = -1;
    }
    most = MAX (most, needed);
  }
  for (int64_t i = 0; i < n; i++)
    version_of[actions[i].microbatch] = -1;
  return most;
}

void
pw_schedule_weight_versions (const PwSchedule *schedule, int *versions) {
  int places = schedule->placement->directions * schedule->stages;
  for (int place = 0; place < places; place++)
    versions[place] = MAX (schedule->promise.weight_versions, 1);
  if (schedule->promise.synchronous || schedule->promise.version_rule != PW_VERSIONS_NEWEST)
    return;
  g_autoptr (PwSchedule) owned = NULL;
  const PwSchedule *plain = pw__schedule_plain (schedule, &owned, NULL);
  g_assert (plain != NULL); /* one iteration always unrolls */
  ByStage by = sort_by_stage (plain);
  gsize slots = (gsize)pw__schedule_slots (plain);
  g_autofree int *version_of = g_new (int, slots);
  g_autofree int *users = g_new (int, (gsize)by.start[places] + 1);
  memset (version_of, 0xff, slots * sizeof (int));
  for (int place = 0; place < places; place++)
    versions[place] = count_versions (by.list + by.start[place],
                                      by.start[place + 1] - by.start[place], version_of, users);
  g_free (by.start);
  g_free (by.list);
}
