#include "tests/schedules/reference_schedule.h"

typedef struct {
  const PwSchedule *s;
  const PwStageEdges *edges;
} Question;

typedef struct {
  int n; /* how often it is there */
  int rank;
  int64_t index; /* of the first */
} Found;

/* KIND of (stage, micro-batch) in all lists; EDGE < 0: any. */
static Found
find (const Question *q, PwActionKind kind, int stage, int microbatch, int edge) {
  Found found = { .rank = -1, .index = -1 };
  for (int rank = 0; rank < q->s->ranks; rank++)
    for (int64_t i = 0; i < q->s->programs[rank].n_prologue; i++) {
      PwAction a = q->s->programs[rank].actions[i];
      if (a.kind != kind || (int)a.stage != stage || (int)a.microbatch != microbatch
          || (edge >= 0 && (int)a.edge != edge))
        continue;
      if (found.n++ == 0) {
        found.rank = rank;
        found.index = i;
      }
    }
  return found;
}

static gboolean
is_before (Found a, Found b) {
  return a.rank == b.rank && a.index < b.index;
}

static int
direction_of (const Question *q, int microbatch) {
  return q->s->direction == NULL ? 0 : q->s->direction[microbatch / q->s->pieces];
}

static int
rank_of (const Question *q, int stage, int microbatch) {
  return pw_placement_rank (q->s->placement, direction_of (q, microbatch), stage);
}

static const char *
all_are_placed (const Question *q) {
  int M = q->s->microbatches * q->s->pieces;
  for (int rank = 0; rank < q->s->ranks; rank++)
    for (int64_t i = 0; i < q->s->programs[rank].n_prologue; i++) {
      PwAction a = q->s->programs[rank].actions[i];
      gboolean is_message = pw_action_kinds[a.kind].is_send || pw_action_kinds[a.kind].is_recv;
      if ((int)a.stage >= q->s->stages || (is_message && !q->s->is_lowered))
        return "placement";
      if (!pw_action_kinds[a.kind].has_microbatch) {
        if (a.kind != PW_ACTION_NORM
            && pw_placement_rank (q->s->placement, a.direction, a.stage) != rank)
          return "placement";
        continue;
      }
      if ((int)a.microbatch >= M || rank_of (q, a.stage, (int)a.microbatch) != rank)
        return "placement";
      if (!is_message)
        continue;
      if (a.edge >= q->edges->n_edges)
        return "placement";
      const PwStageEdge *e = &q->edges->edges[a.edge];
      gboolean at_producer = a.kind == PW_ACTION_SEND_FORWARD || a.kind == PW_ACTION_RECV_BACKWARD;
      if ((int)a.stage != (at_producer ? e->producer : e->consumer)
          || rank_of (q, e->producer, (int)a.microbatch)
                 == rank_of (q, e->consumer, (int)a.microbatch))
        return "placement";
    }
  return NULL;
}

/* One F; one B, or one I and one W behind it; in that order. */
static const char *
is_computed (const Question *q, int stage, int m) {
  Found f = find (q, PW_ACTION_FORWARD, stage, m, -1),
        b = find (q, PW_ACTION_BACKWARD, stage, m, -1);
  Found i = find (q, PW_ACTION_INPUT_GRADIENT, stage, m, -1);
  Found w = find (q, PW_ACTION_WEIGHT_GRADIENT, stage, m, -1);
  Found r = find (q, PW_ACTION_RECOMPUTE, stage, m, -1);
  gboolean whole = b.n == 1 && i.n == 0 && w.n == 0, split = b.n == 0 && i.n == 1 && w.n == 1;
  Found first = whole ? b : i;
  if (f.n != 1)
    return "forward";
  if (q->s->mode == PW_MODE_TRAINING ? !whole && !split : b.n + i.n + w.n > 0)
    return "backward";
  if (q->s->mode == PW_MODE_TRAINING && !is_before (f, first))
    return "order of F and B";
  if (split && !is_before (i, w))
    return "order of I and W";
  if (r.n > 1 || (r.n == 1 && (!is_before (f, r) || !is_before (r, first))))
    return "recomputation";
  return NULL;
}

/* A stash that goes comes back, between F and what reads it first. */
static const char *
is_copied (const Question *q, int stage, int m) {
  Found out = find (q, PW_ACTION_OFFLOAD, stage, m, -1);
  Found in = find (q, PW_ACTION_RELOAD, stage, m, -1);
  if (out.n == 0 && in.n == 0)
    return NULL;
  const PwActionKind readers[]
      = { PW_ACTION_RECOMPUTE, PW_ACTION_BACKWARD, PW_ACTION_INPUT_GRADIENT };
  gboolean fine = out.n == 1 && in.n == 1 && is_before (out, in)
                  && is_before (find (q, PW_ACTION_FORWARD, stage, m, -1), out);
  for (gsize k = 0; k < G_N_ELEMENTS (readers); k++) {
    Found reader = find (q, readers[k], stage, m, -1);
    fine = fine && (reader.n == 0 || is_before (in, reader));
  }
  return fine ? NULL : "copies of stashes";
}

static Found
gradient (const Question *q, int stage, int m) {
  Found b = find (q, PW_ACTION_BACKWARD, stage, m, -1);
  return b.n > 0 ? b : find (q, PW_ACTION_INPUT_GRADIENT, stage, m, -1);
}

static const char *
is_carried (const Question *q, int edge, int m, gboolean backward) {
  const PwStageEdge *e = &q->edges->edges[edge];
  int from = backward ? e->consumer : e->producer, to = backward ? e->producer : e->consumer;
  if (rank_of (q, from, m) == rank_of (q, to, m))
    return NULL;
  Found send = find (q, backward ? PW_ACTION_SEND_BACKWARD : PW_ACTION_SEND_FORWARD, from, m, edge);
  Found recv = find (q, backward ? PW_ACTION_RECV_BACKWARD : PW_ACTION_RECV_FORWARD, to, m, edge);
  if (send.n != 1 || recv.n != 1)
    return "message";
  Found makes = backward ? gradient (q, from, m) : find (q, PW_ACTION_FORWARD, from, m, -1);
  Found takes = backward ? gradient (q, to, m) : find (q, PW_ACTION_FORWARD, to, m, -1);
  return is_before (makes, send) && is_before (recv, takes) ? NULL : "order of messages";
}

/* Pieces of one micro-batch: forwards in order, backwards in reverse. */
static const char *
pieces_follow (const Question *q, int stage, int m) {
  if (m % q->s->pieces == 0)
    return NULL;
  Found before = find (q, PW_ACTION_FORWARD, stage, m - 1, -1);
  if (!is_before (before, find (q, PW_ACTION_FORWARD, stage, m, -1)))
    return "order of pieces";
  if (q->s->mode == PW_MODE_TRAINING
      && !is_before (gradient (q, stage, m), gradient (q, stage, m - 1)))
    return "order of pieces";
  return NULL;
}

/* Two that overlap start together, so the second may need nothing of the first. Through other ranks
 * it would hang; on one rank it is the same micro-batch of one stage or of two that an edge joins.
 */
static const char *
pairs_are_independent (const Question *q) {
  for (int rank = 0; rank < q->s->ranks; rank++)
    for (int64_t i = 0; i + 1 < q->s->programs[rank].n_prologue; i++) {
      const PwAction *a = &q->s->programs[rank].actions[i];
      if (a->paired && a->stage == a[1].stage
          && (int)a->microbatch / q->s->pieces == (int)a[1].microbatch / q->s->pieces)
        return "pair";
    }
  return NULL;
}

/* Between two updates of a stage there are gradients; in a synchronous schedule nothing is under
 * way at one; and all stages have some, or none has. One direction only. */
static const char *
is_updated (const Question *q, int stage, gboolean *updates) {
  int rank = pw_placement_rank (q->s->placement, 0, stage), forwards = 0, gradients = 0, since = 0;
  *updates = FALSE;
  for (int64_t i = 0; i < q->s->programs[rank].n_prologue; i++) {
    PwAction a = q->s->programs[rank].actions[i];
    if ((int)a.stage != stage)
      continue;
    gboolean makes = a.kind == PW_ACTION_BACKWARD || a.kind == PW_ACTION_WEIGHT_GRADIENT;
    forwards += a.kind == PW_ACTION_FORWARD;
    gradients += makes;
    since += makes;
    if (a.kind != PW_ACTION_UPDATE)
      continue;
    if ((*updates && since == 0) || (q->s->promise.synchronous && forwards != gradients))
      return "update";
    *updates = TRUE;
    since = 0;
  }
  return NULL;
}

const char *
reference_verdict (const PwSchedule *schedule, const PwStageEdges *edges, PwPolicy policy) {
  g_autoptr (PwStageEdges) chain = pw_stage_edges_new_chain (schedule->stages);
  Question q = { .s = schedule, .edges = edges != NULL ? edges : chain };
  int M = schedule->microbatches * schedule->pieces, updated = 0;
  const char *wrong = all_are_placed (&q);
  if (wrong == NULL)
    wrong = pairs_are_independent (&q);
  for (int stage = 0; wrong == NULL && stage < schedule->stages; stage++) {
    gboolean updates = FALSE;
    for (int m = 0; wrong == NULL && m < M; m++) {
      wrong = is_computed (&q, stage, m);
      if (wrong == NULL)
        wrong = pieces_follow (&q, stage, m);
      if (wrong == NULL)
        wrong = is_copied (&q, stage, m);
    }
    if (wrong == NULL && schedule->placement->directions == 1)
      wrong = is_updated (&q, stage, &updates);
    updated += updates;
  }
  if (wrong == NULL && updated != 0 && updated != schedule->stages)
    wrong = "update";
  for (int e = 0; schedule->is_lowered && e < q.edges->n_edges; e++)
    for (int k = 0; wrong == NULL && k < 2 * M; k++)
      if (k % 2 == 0 || schedule->mode == PW_MODE_TRAINING)
        wrong = is_carried (&q, e, k / 2, k % 2 == 1);
  if (wrong != NULL)
    return wrong;
  PwPolicy runs = schedule->is_lowered ? policy : PW_POLICY_BUFFERED;
  return reference_run_lowered (schedule, q.edges, runs, 1, 1, 1).finished ? NULL : "hangs";
}
