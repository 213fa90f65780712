/* The machine that lowers (lower.c): its state, and what its files share. */
#pragma once
#include "schedules/block.h"
#include "schedules/lower_private.h"
#include "schedules/messages_private.h"
#include "schedules/schedule_private.h"

#define PW_LOWER_TICKS 8 /* more than the longest block of actions takes */

/* How far ahead of use the lists are fetched: hundreds of ranks side by side are more streams than
 * the processor follows by itself. */
#define AHEAD 16

/* What is done of a (stage, micro-batch). */
enum { PW_LOWER_FORWARD = 1, PW_LOWER_GRADIENT = 2, PW_LOWER_RECOMPUTE = 4 };

/* Forwards and backwards mirror each other: F waits for producers and tells consumers, B the other
 * way round. One code for both, led by tables: F and B come in no order a branch could learn. */
typedef enum { PW_FLOW_FORWARD, PW_FLOW_BACKWARD, PW_FLOW_N, PW_FLOW_NONE = PW_FLOW_N } PwFlow;

typedef struct {
  const PwAction *next, *end; /* of the compute list */
  PwAction *out;              /* of the lowered one: the next to be written */
  PwAction *list;
  const PwAction *running; /* an action, a pair, or `recompute` */
  PwAction recompute;
  int n_running;
  enum { RESTING, QUEUED /* stands in `idle` */, RUNNING } state;
} PwLowerRank;

/* A message ready to be written but for its micro-batch, and the rank that gets it. */
typedef struct {
  uint64_t send, recv; /* bits of actions */
  PwLowerRank *to;
} PwLowerPort;

/* Of one flow and (direction, stage): whom it waits for and where it sends to. */
typedef struct {
  uint8_t *done;                /* [slots] of this stage */
  uint8_t **needs, **needs_end; /* `done` of those it waits for */
  const PwLowerPort *ports, *ports_end;
} PwLowerRow;

/* How actions of one key are played. */
typedef struct {
  const PwLowerRow *rows; /* [stages] */
  uint8_t ticks, done;
} PwLowerWay;

typedef struct PwLowerRound PwLowerRound; /* of lower_repeat.c */

typedef struct {
  const PwSchedule *schedule;
  const PwStageEdges *edges;
  const PwLowerOptions *options;
  PwCrossings *crossings;
  PwLowerRow *rows[PW_FLOW_N + 1]; /* [directions * stages], of each flow and of none */
  PwLowerPort *ports[PW_FLOW_N];
  uint8_t **needs[PW_FLOW_N];
  PwLowerWay ways[PW_ACTION_KEYS];
  PwSchedule *lowered;       /* being written */
  gboolean appends_at_start; /* a compute, else at its end */
  gboolean batched, recomputes;
  gboolean adds_updates;
  int64_t slots;
  int64_t stride; /* of a row of `done`: some more, or all rows would share a few cache sets */
  uint8_t *done;  /* [stages][stride] */
  PwLowerRank *ranks;
  int n_running;
  PwLowerRank **idle; /* those that may be able to start something */
  int n_idle;
  PwLowerRank *
      *ending[PW_LOWER_TICKS]; /* those whose action ends at a tick modulo PW_LOWER_TICKS */
  int n_ending[PW_LOWER_TICKS];
  unsigned tick; /* modulo PW_LOWER_TICKS */
  /* Where rounds repeat. */
  int64_t n_ticks, look_at; /* so many; as of how many rounds are looked for */
  PwLowerRound *round;      /* as it began; NULL: none has */
  /* Of each (direction, stage). */
  int64_t *n_forward, *n_gradient, *n_update, *n_other;
  int *last_forward; /* micro-batch times pieces */
  /* Where it failed. */
  int stuck_rank;
  int64_t stuck_action;
} PwLowering;

static inline int
pw__lower_place_of (const PwLowering *l, const PwAction *at) {
  return (int)at->direction * l->schedule->stages + (int)at->stage;
}

static inline const PwLowerRow *
pw__lower_row_of (const PwLowerWay *way, const PwAction *at) {
  return &way->rows[at->stage];
}

/* Where in its row's needs stands what the compute AT still waits for; NULL: nothing. */
static inline uint8_t **
pw__lower_awaited_need (const PwLowering *l, const PwAction *at) {
  const PwLowerWay *way = &l->ways[pw_action_key (at)];
  const PwLowerRow *row = pw__lower_row_of (way, at);
  for (uint8_t **need = row->needs; need < row->needs_end; need++)
    if (((*need)[at->microbatch] & way->done) == 0)
      return need;
  return NULL;
}

/* lower_counts.c: counts, so that everything is sized before it is written, and refuses what the
 * machine could not carry out. */
gboolean pw__lower_count_actions (PwLowering *l, GError **error);
void pw__lower_allocate_lists (PwLowering *l);

/* lower_ways.c: the tables by which actions are played; freed by clear. */
void pw__lower_make_ways (PwLowering *l);
void pw__lower_clear_ways (PwLowering *l);

/* lower_repeat.c: between two ticks; plays many at once where rounds repeat. */
void pw__lower_look_for_round (PwLowering *l);
void pw__lower_forget_round (PwLowering *l);

/* lower_stuck.c: FALSE where some list did not come to its end, with whom it waits for. */
gboolean pw__lower_check_finished (PwLowering *l, GError **error);
