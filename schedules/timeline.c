#include "schedules/timeline_private.h"
#include "schedules/messages_private.h"
#include "schedules/schedule_private.h"

#include <math.h>

typedef struct {
  const PwSchedule *schedule;
  PwTimeline *timeline;
  double duration[PW_ACTION_N];
  int64_t slots;
  double *forward, *gradient; /* [stages][slots]: end of F and of B or I; NAN: not yet */
  int64_t *next;              /* [ranks] */
  double *free_at;            /* [ranks] */
} Play;

/* When the inputs of ACTION are there; NAN: not yet. */
static double
ready_at (const Play *p, PwAction action) {
  int64_t here = (int64_t)action.stage * p->slots + action.microbatch;
  if (action.kind == PW_ACTION_FORWARD)
    return action.stage == 0 ? 0 : p->forward[here - p->slots];
  if (!pw__action_is_backward (action))
    return 0;
  if ((int)action.stage == p->schedule->stages - 1)
    return p->forward[here];
  return p->gradient[here + p->slots];
}

static void
finish (Play *p, PwAction action, double end) {
  int64_t here = (int64_t)action.stage * p->slots + action.microbatch;
  if (action.kind == PW_ACTION_FORWARD)
    p->forward[here] = end;
  else if (pw__action_is_backward (action))
    p->gradient[here] = end;
}

/* Runs one action or pair of RANK if it can. A pair ends with both. */
static gboolean
step (Play *p, int rank) {
  const PwProgram *program = &p->schedule->programs[rank];
  int64_t i = p->next[rank];
  if (i == program->n_prologue)
    return FALSE;
  const PwAction *actions = &program->actions[i];
  int n = actions[0].paired && i + 1 < program->n_prologue ? 2 : 1;
  double start = p->free_at[rank], duration = 0;
  for (int k = 0; k < n; k++) {
    double ready = ready_at (p, actions[k]);
    if (isnan (ready))
      return FALSE;
    start = MAX (start, ready);
    duration += p->duration[actions[k].kind];
  }
  PwTimeline *timeline = p->timeline;
  double at = start, end = start + duration;
  for (int k = 0; k < n; k++) {
    int64_t place = timeline->base[rank] + i + k;
    timeline->start[place] = at;
    timeline->end[place] = at += p->duration[actions[k].kind];
    finish (p, actions[k], end);
  }
  p->free_at[rank] = end;
  p->next[rank] += n;
  timeline->busy += duration;
  timeline->length = MAX (timeline->length, end);
  return TRUE;
}

/* Round after round until nothing moves: each round moves every wave of the pipeline on. */
static void
play (Play *p) {
  gboolean moved = TRUE;
  while (moved) {
    moved = FALSE;
    for (int rank = 0; rank < p->schedule->ranks; rank++)
      while (step (p, rank))
        moved = TRUE;
    for (int rank = p->schedule->ranks - 1; rank >= 0; rank--)
      while (step (p, rank))
        moved = TRUE;
  }
}

static gboolean
is_drawable (const PwSchedule *schedule) {
  int64_t n = 0;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    n += program->n_prologue;
    for (int64_t i = 0; i < program->n_prologue; i++)
      if ((int)program->actions[i].stage >= schedule->stages
          || program->actions[i].microbatch >= pw__schedule_slots (schedule))
        return FALSE;
  }
  return schedule->stages * pw__schedule_slots (schedule) <= 16 * n + (1 << 20);
}

static double *
new_unknown (int64_t n) {
  double *values = g_new (double, (gsize)n);
  for (int64_t i = 0; i < n; i++)
    values[i] = NAN;
  return values;
}

PwTimeline *
pw__timeline_new (const PwSchedule *schedule, double F, double I, double W) {
  if (!is_drawable (schedule))
    return NULL;
  PwTimeline *timeline = g_new0 (PwTimeline, 1);
  timeline->base = g_new0 (int64_t, (gsize)(schedule->ranks + 1));
  for (int rank = 0; rank < schedule->ranks; rank++)
    timeline->base[rank + 1] = timeline->base[rank] + schedule->programs[rank].n_prologue;
  timeline->start = new_unknown (timeline->base[schedule->ranks]);
  timeline->end = new_unknown (timeline->base[schedule->ranks]);
  int64_t slots = pw__schedule_slots (schedule);
  F /= schedule->pieces;
  I /= schedule->pieces;
  W /= schedule->pieces;
  Play p = { .schedule = schedule,
             .timeline = timeline,
             .duration = { [PW_ACTION_FORWARD] = F,
                           [PW_ACTION_BACKWARD] = I + W,
                           [PW_ACTION_INPUT_GRADIENT] = I,
                           [PW_ACTION_WEIGHT_GRADIENT] = W,
                           [PW_ACTION_RECOMPUTE] = F },
             .slots = slots,
             .forward = new_unknown (schedule->stages * slots),
             .gradient = new_unknown (schedule->stages * slots),
             .next = g_new0 (int64_t, (gsize)schedule->ranks),
             .free_at = g_new0 (double, (gsize)schedule->ranks) };
  play (&p);
  g_free (p.forward);
  g_free (p.gradient);
  g_free (p.next);
  g_free (p.free_at);
  return timeline;
}

void
pw__timeline_free (PwTimeline *timeline) {
  if (timeline == NULL)
    return;
  g_free (timeline->start);
  g_free (timeline->end);
  g_free (timeline->base);
  g_free (timeline);
}
