/* Sequential training as a list of one rank: the same stages, one micro-batch after another,
 *
 *   F0(0) F1(0) .. Fn(0)  Bn(0) .. B0(0)   F0(1) .. B0(1)   ...   U0 .. Un
 *
 * so that what it computes is what every schedule of the plan must compute, to the bit. Of two
 * directions each has its own accumulators, direction 0's micro-batches come first, and the two are
 * added before U. Micro-batches come in the order in which the plan's lists accumulate. Lists whose
 * stages accumulate in different orders have no such program; theirs are merged into one list that
 * keeps each of them. */
#include "exec/exec_private.h"

typedef struct {
  GArray *input;  /* int: micro-batches in the order of I (or B) */
  GArray *weight; /* of W (or B) */
  gboolean has_update;
} StageOrder;

static void
read_orders (const PwSchedule *lowered, StageOrder *orders) {
  for (int rank = 0; rank < lowered->ranks; rank++) {
    const PwProgram *program = &lowered->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++) {
      PwAction action = program->actions[i];
      int microbatch = (int)action.microbatch;
      StageOrder *order = &orders[action.direction * lowered->stages + (int)action.stage];
      gboolean is_forward_only
          = lowered->mode == PW_MODE_INFERENCE && action.kind == PW_ACTION_FORWARD;
      if (action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT
          || is_forward_only)
        g_array_append_val (order->input, microbatch);
      if (action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_WEIGHT_GRADIENT
          || is_forward_only)
        g_array_append_val (order->weight, microbatch);
      order->has_update |= action.kind == PW_ACTION_UPDATE;
    }
  }
}

static gboolean
is_same_order (const GArray *a, const GArray *b) {
  return a->len == b->len && (a->len == 0 || memcmp (a->data, b->data, a->len * sizeof (int)) == 0);
}

static void
append (GArray *list, PwActionKind kind, int direction, int stage, int microbatch) {
  PwAction action = pw_action (kind, stage, microbatch);
  action.direction = direction != 0;
  g_array_append_val (list, action);
}

static void
one_after_another (const PwSchedule *lowered, int direction, const GArray *order, GArray *list) {
  for (guint i = 0; i < order->len; i++) {
    int m = g_array_index (order, int, i);
    for (int s = 0; s < lowered->stages; s++)
      append (list, PW_ACTION_FORWARD, direction, s, m);
    for (int s = lowered->stages - 1; s >= 0 && lowered->mode == PW_MODE_TRAINING; s--)
      append (list, PW_ACTION_BACKWARD, direction, s, m);
  }
}

static gboolean
have_one_order (const PwSchedule *lowered, const StageOrder *orders) {
  int n = 0;
  for (int direction = 0; direction < lowered->placement->directions; direction++) {
    const StageOrder *first = &orders[direction * lowered->stages];
    n += (int)first->input->len;
    for (int s = 0; s < lowered->stages; s++)
      if (!is_same_order (first[s].input, first->input)
          || !is_same_order (first[s].weight, first->input))
        return FALSE;
  }
  return n == lowered->microbatches;
}

/* REDUCE_GRAD in the order of the stages, then U. */
static void
append_updates (const PwSchedule *lowered, const StageOrder *orders, GArray *list) {
  int directions = lowered->placement->directions, stages = lowered->stages;
  for (int s = 0; s < stages; s++)
    for (int d = 0; d < directions && directions == 2; d++)
      if (orders[d * stages + s].has_update)
        append (list, PW_ACTION_REDUCE_GRADIENT, d, s, 0);
  for (int place = 0; place < directions * stages; place++)
    if (orders[place].has_update)
      append (list, PW_ACTION_UPDATE, place / stages, place % stages, 0);
}

/* ---- Merging ---- */

enum { FORWARD_DONE = 1, INPUT_DONE = 2 };

typedef struct {
  const PwSchedule *lowered;
  const PwStageEdges *edges;
  uint8_t *done; /* [stages][microbatches] */
} Merge;

static gboolean
is_done (const Merge *merge, int stage, PwAction action, uint8_t what) {
  return merge->done[(gsize)stage * (gsize)merge->lowered->microbatches + action.microbatch] & what;
}

static gboolean
is_ready (const Merge *merge, PwAction action) {
  const PwStageEdges *edges = merge->edges;
  int stage = action.stage;
  if (action.kind == PW_ACTION_FORWARD) {
    for (int i = edges->in_start[stage]; i < edges->in_start[stage + 1]; i++)
      if (!is_done (merge, edges->edges[edges->in_edges[i]].producer, action, FORWARD_DONE))
        return FALSE;
  } else if (action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT) {
    for (int i = edges->out_start[stage]; i < edges->out_start[stage + 1]; i++)
      if (!is_done (merge, edges->edges[edges->out_edges[i]].consumer, action, INPUT_DONE))
        return FALSE;
  }
  return TRUE;
}

static void
mark (Merge *merge, PwAction action) {
  uint8_t *done
      = &merge->done[(gsize)action.stage * (gsize)merge->lowered->microbatches + action.microbatch];
  if (action.kind == PW_ACTION_FORWARD)
    *done |= FORWARD_DONE;
  else if (action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT)
    *done |= INPUT_DONE;
}

static gboolean
merge_lists (const PwSchedule *lowered, const PwStageEdges *edges, GArray *list, GError **error) {
  g_autofree uint8_t *done
      = g_new0 (uint8_t, (gsize)lowered->stages * (gsize)lowered->microbatches + 1);
  g_autofree int64_t *at = g_new0 (int64_t, (gsize)lowered->ranks);
  Merge merge = { .lowered = lowered, .edges = edges, .done = done };
  gboolean is_moving = TRUE;
  gboolean is_complete = FALSE;
  while (is_moving && !is_complete) {
    is_moving = FALSE;
    is_complete = TRUE;
    for (int rank = 0; rank < lowered->ranks; rank++) {
      const PwProgram *program = &lowered->programs[rank];
      for (; at[rank] < program->n_prologue; at[rank]++) {
        PwAction action = program->actions[at[rank]];
        if (!is_ready (&merge, action))
          break;
        is_moving = TRUE;
        if (!pw_action_kinds[action.kind].is_counted)
          continue;
        mark (&merge, action);
        append (list, action.kind, (int)action.direction, action.stage, (int)action.microbatch);
      }
      is_complete = is_complete && at[rank] == program->n_prologue;
    }
  }
  if (!is_complete)
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "schedule %s has no sequential order: it waits for itself", lowered->name);
  return is_complete;
}

/* ---- */

static PwPlacement *
one_rank (int stages, int directions) {
  PwPlacement *placement = pw_placement_new_custom (1, stages, directions);
  for (int place = 0; place < directions * stages; place++)
    placement->rank_of_stage[place] = 0;
  return placement;
}

static PwSchedule *
schedule_of (const PwSchedule *lowered, const GArray *list) {
  PwPlacement *placement = one_rank (lowered->stages, lowered->placement->directions);
  PwSchedule *schedule = pw_schedule_new ("sequential", placement, lowered->microbatches);
  if (lowered->direction)
    schedule->direction = g_memdup2 (lowered->direction, (gsize)lowered->microbatches);
  schedule->mode = lowered->mode;
  schedule->promise = lowered->promise;
  schedule->is_lowered = TRUE;
  schedule->policy = lowered->policy;
  pw_schedule_take_list (schedule, 0, g_memdup2 (list->data, list->len * sizeof (PwAction)),
                         list->len);
  return schedule;
}

static gboolean
check_schedule (const PwSchedule *lowered, const PwStageEdges *edges, GError **error) {
  const char *what = NULL;
  if (lowered->pieces > 1)
    what = "sequence pieces have no sequential program";
  else if (!lowered->promise.synchronous)
    what = "asynchronous updates have no sequential program: their delays are the schedule's own";
  else if (lowered->stages != edges->stages)
    what = "its stages are not those of the model";
  if (!what)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "schedule %s: %s", lowered->name,
               what);
  return FALSE;
}

PwSchedule *
pw__sequential_schedule (const PwSchedule *lowered, const PwStageEdges *edges, GError **error) {
  if (!check_schedule (lowered, edges, error))
    return NULL;
  g_autoptr (PwSchedule) flat = pw_schedule_unroll (lowered, 1, error);
  if (!flat)
    return NULL;
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (PwAction));
  int directions = flat->placement->directions, places = directions * flat->stages;
  StageOrder *orders = g_new0 (StageOrder, (gsize)places);
  for (int place = 0; place < places; place++) {
    orders[place].input = g_array_new (FALSE, FALSE, sizeof (int));
    orders[place].weight = g_array_new (FALSE, FALSE, sizeof (int));
  }
  read_orders (flat, orders);
  gboolean good = TRUE;
  if (have_one_order (flat, orders))
    for (int d = 0; d < directions; d++)
      one_after_another (flat, d, orders[d * flat->stages].input, list);
  else
    good = merge_lists (flat, edges, list, error);
  append_updates (flat, orders, list);
  for (int place = 0; place < places; place++) {
    g_array_free (orders[place].input, TRUE);
    g_array_free (orders[place].weight, TRUE);
  }
  g_free (orders);
  return good ? schedule_of (flat, list) : NULL;
}

PwExec *
pw_exec_new_sequential (const PwResolvedPlan *resolved, const PwExecOptions *options,
                        GError **error) {
  g_autoptr (PwPlacement) placement
      = one_rank (resolved->partition->stages, resolved->lowered->placement->directions);
  return pw__exec_new (resolved, placement, TRUE, options, error);
}
