/* ZB-V (arXiv 2405.15362): two stages per rank in a V, stage r and stage 2P-1-r, so that the first
 * rank also ends the forward and every rank holds P micro-batches. The order is PyTorch's
 * ScheduleZBVZeroBubble, which does not depend on costs; the authors' own generator searches.
 *
 *   F = I = W = 1, P = 2, M = 3; a and b are the two stages of a rank
 *   rank 0 | F0a F1a F2a F0b I0b W0b F1b I1b W1b I0a W0a F2b I2b W2b I1a W1a I2a W2a .
 *   rank 1 | .   F0a F0b F1a F1b I0b W0b F2a I0a W0a F2b I1b W1b I1a I2b I2a W1a W2b W2a
 */
#include "schedules/registry_private.h"
#include "schedules/v_private.h"

#include <math.h>

enum { DOWN, UP, CHUNKS };

/* One rank's list while it is written. The order is laid out for at least 2P-1 micro-batches; those
 * that do not exist are counted and left out. */
typedef struct {
  PwAction *out;
  int stage[CHUNKS];
  int microbatches;
  int next[PW_ACTION_N][CHUNKS];
} List;

static void
add (List *list, PwActionKind kind, int chunk) {
  int m = list->next[kind][chunk]++;
  if (m < list->microbatches)
    *list->out++ = pw_action (kind, list->stage[chunk], m);
}

static void
add_backward (List *list, int chunk) {
  add (list, PW_ACTION_INPUT_GRADIENT, chunk);
  add (list, PW_ACTION_WEIGHT_GRADIENT, chunk);
}

static void
fill (List *list, int ranks, int rank) {
  int n = MAX (2 * ranks - 1, list->microbatches);
  for (int i = 0; i < 2 * (ranks - rank) - 1; i++)
    add (list, PW_ACTION_FORWARD, DOWN);
  for (int i = 0; i < rank; i++) {
    add (list, PW_ACTION_FORWARD, UP);
    add (list, PW_ACTION_FORWARD, DOWN);
  }
  for (int i = 0; i < ranks - rank; i++) {
    add (list, PW_ACTION_FORWARD, UP);
    add_backward (list, UP);
  }
  while (list->next[PW_ACTION_FORWARD][UP] < n) {
    if (list->next[PW_ACTION_FORWARD][DOWN] < n)
      add (list, PW_ACTION_FORWARD, DOWN);
    add_backward (list, DOWN);
    add (list, PW_ACTION_FORWARD, UP);
    add_backward (list, UP);
  }
  for (int i = 0; i < rank; i++) {
    add (list, PW_ACTION_INPUT_GRADIENT, DOWN);
    add (list, PW_ACTION_INPUT_GRADIENT, UP);
  }
  for (int i = 0; i < ranks - rank; i++)
    add_backward (list, DOWN);
  while (list->next[PW_ACTION_WEIGHT_GRADIENT][UP] < n)
    add (list, PW_ACTION_WEIGHT_GRADIENT, UP);
  while (list->next[PW_ACTION_WEIGHT_GRADIENT][DOWN] < n)
    add (list, PW_ACTION_WEIGHT_GRADIENT, DOWN);
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int P = params->ranks;
  PwSchedule *schedule = pw__schedule_new_v ("zb-v", params, error);
  for (int rank = 0; schedule != NULL && rank < P; rank++) {
    PwProgram *program = &schedule->programs[rank];
    List list = { .out = program->actions,
                  .stage = { [DOWN] = rank, [UP] = 2 * P - 1 - rank },
                  .microbatches = params->microbatches };
    fill (&list, P, rank);
    g_assert (list.out - program->actions == program->n_prologue);
  }
  return schedule;
}

/* Where F takes longer than I the forwards of the warm-up decide, in no simple way. */
static gboolean
has_form (const PwScheduleParams *p) {
  return p->microbatches >= 2 * p->ranks - 1 && p->W <= p->F && p->F <= p->I;
}

static double
bubble_time (const PwScheduleParams *p) {
  return has_form (p) ? (p->ranks - 1) * MAX (p->I, 2 * (p->I - p->W)) : NAN;
}

static double
span_bubble_time (const PwScheduleParams *p) {
  return has_form (p) ? 2 * (p->ranks - 1) * (p->I - p->W) : NAN;
}

/* No W waits while forwards are left, so what W needs does not count. */
static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)rank;
  return params->microbatches >= 2 * params->ranks - 1 ? (double)params->ranks : (double)NAN;
}

const PwScheduleType pw__schedule_zb_v = {
  .name = "zb-v",
  .summary = "two stages per rank in a V: zb-h2's bubble within 1f1b's memory, equal on all ranks",
  .paper = "ZB-V (Qi et al., 2024), arXiv 2401.10241",
  .title = "Zero Bubble Pipeline Parallelism",
  .about = "Two stages per rank in a V, so that a backward begins on the rank where its forward "
           "did. With F = I = W no rank waits between its first and last action, as in zb-h2, "
           "while every rank holds P micro-batches, as many as 1f1b's first. It costs about twice "
           "the messages, and the first rank has both ends of the model; M >= 2P-1 and times of W "
           "<= F <= I are needed for the forms",
  .follows = "PyTorch's ScheduleZBVZeroBubble: the same lists (compared with PyTorch 2.15, P to "
             "6, M to 16). Primus' zbv_formatted.py has this order too from M = 2P-1 on",
  .differs = "The authors' own zbv.py decides by times and memory what comes next, so its order "
             "changes with them, where this one is fixed. PyTorch says as much: no bubble only if "
             "the three times are equal",
  .related = "zb-h2 v-half v-min dualpipe-v",
  .bubble = "(P-1)max(I, 2(I-W)), M >= 2P-1, W <= F <= I",
  .peak = "P, M >= 2P-1",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
  .span_bubble = "2(P-1)(I-W), M >= 2P-1, W <= F <= I",
  .span_bubble_time = span_bubble_time,
};
