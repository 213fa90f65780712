/* Most of a long schedule is one round again and again, with other micro-batches
 * (schedules/period.h). When every rank's list goes on so, the walk carries out one round of each
 * and notes in what order; what the others do follows from it: the same actions in the same order,
 * all ids higher by their ranks' periods. Nothing is looked up then, so a round is one loop.
 *
 * Nothing is guessed: the lists are compared, back to the earliest action whose times the round
 * took, and each message has one SEND and one RECV. */
#pragma once
#include "schedules/period.h"
#include "sim/walk_state_private.h"

/* An action's id in the noted round, 0; in round n it is higher by n periods of its rank's. */
typedef struct {
  int32_t id, period;
} PwSimWalkRef;

typedef struct {
  PwSimWalkRef what; /* a SEND, or within a rank who makes the input */
  int32_t back;      /* so many places before it the producer stands */
} PwSimWalkInput;

typedef struct {
  PwSimWalkWhat what;
  int rank;
  PwSimWalkRef self;
  /* Computes. */
  int first_input, n_inputs;
  PwAction actions[2];
  double duration;
  /* Messages, and among the busy steps the SEND that stands right behind its producer. */
  PwSimWalkChannel *channel; /* NULL: none */
  double transfer;
  PwSimWalkRef partner; /* whom it gives its times, or a RECV: from whom it takes them; id < 0: the
                           partner does that */
  int32_t back;         /* SEND: so many places before it its producer stands */
} PwSimWalkStep;

typedef struct {
  PwSimWalk *walk;
  PwPeriodList *lists; /* [ranks] from where the noted round begins */
  int64_t shift;
  GArray *visits;    /* of the noted round, in order */
  int64_t *earliest; /* [ranks] what must repeat too: the first action whose times it took, an id */
  PwSimAccount *accounts; /* [ranks] as they were before it */
  GArray *steps;          /* PwSimWalkStep, in order */
  GArray *busy;           /* those of them that have times to find */
  GArray *inputs;         /* PwSimWalkInput */
} PwSimRound;

/* Carries out N rounds after the noted one. FALSE: a message is there twice. */
gboolean pw__sim_walk_do_rounds (const PwSimRound *round, int64_t n);

static inline PwAction
pw__sim_round_action (const PwSimRound *round, const PwSimWalkStep *step) {
  return pw__sim_action (round->walk->layout, step->rank, step->self.id);
}

/* The id of the noted round's first action of RANK. */
static inline int64_t
pw__sim_round_begin (const PwSimRound *round, int rank) {
  const PwSimLayout *layout = round->walk->layout;
  return layout->offset[rank] + (round->lists[rank].next - layout->list[rank]);
}
