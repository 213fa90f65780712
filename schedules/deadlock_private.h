/* An untimed run of a lowered schedule under a policy, and the state in which it stops.
 *
 * Actions are numbered through all ranks: rank r's are base[r] .. base[r + 1] - 1. A queue entry is a
 * batched group or a single message; it is known by its first action, the leader. An entry is issued
 * when its rank's program has passed it, active in a queue when issued and at its head, and leaves
 * all its queues when all its members are transferred. */
#pragma once
#include "schedules/check_private.h"

#define PW__NONE G_MAXUINT32

typedef struct {
  const PwSchedule *schedule;
  const PwStageEdges *edges;
  const PwCrossings *crossings;
  const PwPolicyInfo *policy;
  int64_t slots;
  uint32_t *base; /* [ranks + 1] */
  /* Of each action; NULL where nothing queues. */
  uint32_t *next;   /* message of the same queue; PW__NONE: the last */
  uint32_t *leader; /* NULL: no groups, every message leads itself */
  uint32_t *pending; /* members of the leader's entry not yet transferred; NULL like `leader` */
  /* Of each queue. Blocking policies have one per rank that never holds two entries. */
  int n_queues;
  int *queue_of_end;  /* [directions][rows][sender, receiver] */
  int *rank_of_queue;
  uint32_t *head;     /* first message of the first entry not yet done; PW__NONE: empty */
  int *activating;    /* stack of queues whose head was issued before it got there */
  int n_activating;
  /* Of each message. */
  uint32_t *posted; /* 0: at neither end; PW__NONE: transferred; else the active end's action + 1 */
  /* Of each rank. */
  uint32_t *at;            /* next action of the program */
  uint32_t *waits_entry;   /* leader that blocks the program; PW__NONE: none */
  int64_t *waits_message;  /* that the compute at `at` needs; -1: none */
  int *runnable; /* stack of ranks */
  int n_runnable;
} PwRun;

static inline PwAction
pw__run_action (const PwRun *run, int rank, uint32_t number) {
  return run->schedule->programs[rank].actions[number - run->base[rank]];
}
static inline int64_t
pw__run_message (const PwRun *run, PwAction action) {
  int row = run->crossings->row_of_edge[action.edge] + pw__action_is_gradient (action);
  return row * run->slots + action.microbatch;
}
static inline int
pw__run_queue (const PwRun *run, PwAction action) {
  int row = run->crossings->row_of_edge[action.edge] + pw__action_is_gradient (action);
  int end = (int) action.direction * run->crossings->n_rows + row;
  return run->queue_of_end[2 * end + !pw__action_is_send (action)];
}
static inline uint32_t
pw__run_leader (const PwRun *run, uint32_t number) {
  return run->leader == NULL ? number : run->leader[number];
}
/* The rank at the other end of a message. */
static inline int
pw__run_peer (const PwRun *run, PwAction action) {
  const PwStageEdge *edge = &run->edges->edges[action.edge];
  int other = (int) action.stage == edge->producer ? edge->consumer : edge->producer;
  return pw_placement_rank (run->schedule->placement, action.direction, other);
}

/* RUN has stopped with RANK unfinished: the cycle it ends in, as a finding. */
void pw__deadlock_report (const PwRun *run, int rank, PwCheckLog *log);
