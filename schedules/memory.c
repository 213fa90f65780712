#include "schedules/check_private.h"
#include "schedules/schedule_private.h"

/* What a rank holds, counted in pieces of chunks so that no rounding builds up: `full` ones, and
 * those whose input gradient is done and which keep only what W needs. */
typedef struct {
  int64_t full, half;
  int parts; /* of a micro-batch's activations on the rank: chunks times pieces */
  double weight_memory;
  gboolean keeps; /* inference frees at the end of F */
  double peak;
} Holdings;

static double
held (const Holdings *h) {
  return ((double)h->full + h->weight_memory * (double)h->half) / h->parts;
}

static void
apply (Holdings *h, PwAction action) {
  switch ((PwActionKind)action.kind) {
  case PW_ACTION_FORWARD:
    h->full++;
    h->peak = MAX (h->peak, held (h));
    h->full -= !h->keeps;
    break;
  case PW_ACTION_BACKWARD:
    h->full--;
    break;
  case PW_ACTION_INPUT_GRADIENT:
    h->full--;
    h->half++;
    break;
  case PW_ACTION_WEIGHT_GRADIENT:
    h->half--;
    break;
  default:
    break;
  }
}

/* The two of a pair start together, so the forward adds before the other frees. Returns the index
 * of the first action that lifts the peak above LIMIT, -1 if none does. */
static int64_t
walk (Holdings *h, const PwAction *actions, int64_t n, double limit) {
  int64_t exceeding = -1;
  for (int64_t i = 0; i < n; i++) {
    if (actions[i].paired && i + 1 < n && actions[i + 1].kind == PW_ACTION_FORWARD) {
      apply (h, actions[i + 1]);
      apply (h, actions[i++]);
    } else {
      apply (h, actions[i]);
    }
    if (exceeding < 0 && h->peak > limit)
      exceeding = i;
  }
  return exceeding;
}

static Holdings
holdings_of (const PwSchedule *schedule, int rank, double weight_memory) {
  return (Holdings){ .parts
                     = MAX (pw_placement_chunks (schedule->placement, rank), 1) * schedule->pieces,
                     .weight_memory = weight_memory,
                     .keeps = schedule->mode == PW_MODE_TRAINING };
}

void
pw__check_memory (const PwSchedule *schedule, double weight_memory, double limit, double *peaks,
                  PwCheckLog *log) {
  double allowed = limit > 0 ? limit * (1 + 1e-12) : G_MAXDOUBLE;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    Holdings h = holdings_of (schedule, rank, weight_memory);
    int64_t exceeding = walk (&h, program->actions, program->n_prologue, allowed);
    peaks[rank] = h.peak;
    if (exceeding >= 0 && !pw__check_log_is_full (log)) {
      char text[PW_ACTION_TEXT_MAX];
      pw__check_log_add (
          log, PW_SCHEDULE_ERROR_MEMORY, rank, exceeding,
          "rank %d, action %" G_GINT64_FORMAT
          ": %s goes above the limit of %g (the peak is %g micro-batches of activations)",
          rank, exceeding, pw_action_format (program->actions[exceeding], text), limit, h.peak);
    }
  }
}

void
pw_schedule_peak_activations (const PwSchedule *schedule, double weight_memory, double *peaks) {
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    const PwAction *body = program->actions + program->n_prologue;
    Holdings h = holdings_of (schedule, rank, weight_memory);
    walk (&h, program->actions, program->n_prologue, G_MAXDOUBLE);
    for (int64_t i = 0; i < program->repeats && program->n_body > 0; i++)
      walk (&h, body, program->n_body, G_MAXDOUBLE);
    if (program->n_epilogue > 0)
      walk (&h, body + program->n_body, program->n_epilogue, G_MAXDOUBLE);
    peaks[rank] = h.peak;
  }
}

PwAccumulation
pw__check_accumulation (const PwSchedule *schedule) {
  int places = schedule->placement->directions * schedule->stages;
  uint32_t pieces = (uint32_t)schedule->pieces;
  g_autofree int *last = g_new (int, (gsize)places);
  gboolean ascending = TRUE, descending = TRUE;
  for (int place = 0; place < places; place++)
    last[place] = -1;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++) {
      PwAction action = program->actions[i];
      if (action.kind != PW_ACTION_BACKWARD && action.kind != PW_ACTION_WEIGHT_GRADIENT)
        continue;
      int place = (int)action.direction * schedule->stages + (int)action.stage;
      if (place >= places)
        continue;
      int microbatch = (int)(pieces == 1 ? action.microbatch : action.microbatch / pieces);
      if (last[place] >= 0) {
        ascending &= microbatch >= last[place];
        descending &= microbatch <= last[place];
      }
      last[place] = microbatch;
    }
  }
  return ascending    ? PW_ACCUMULATION_ASCENDING
         : descending ? PW_ACCUMULATION_DESCENDING
                      : PW_ACCUMULATION_OTHER;
}
