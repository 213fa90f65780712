#include "schedules/check_private.h"
#include "schedules/csv_private.h"

#include <string.h>

typedef struct {
  PwCsvTable *table;
  int ranks, stages, microbatches;
  gboolean trains, is_lowered, is_batched;
} Sizes;

static const GArray *
row_of (const PwCsvTable *table, int rank) {
  return g_ptr_array_index (table->rows, rank);
}

static PwAction *
action_at (const PwCsvTable *table, int rank, guint i) {
  return &g_array_index ((GArray *)g_ptr_array_index (table->rows, rank), PwAction, i);
}

static Sizes
measure (PwCsvTable *table) {
  Sizes sizes = { .table = table, .ranks = (int)table->rows->len };
  for (int rank = 0; rank < sizes.ranks; rank++)
    for (guint i = 0; i < row_of (table, rank)->len; i++) {
      PwAction action = *action_at (table, rank, i);
      sizes.stages = MAX (sizes.stages, (int)action.stage + 1);
      sizes.is_batched |= action.grouped;
      /* Asynchronous schedules have U at the compute level, too. */
      sizes.is_lowered |= pw__action_is_message (action) || action.kind == PW_ACTION_RECOMPUTE
                          || (action.kind == PW_ACTION_UPDATE && sizes.ranks == 1);
      sizes.trains |= pw__action_is_backward (action) || action.kind == PW_ACTION_WEIGHT_GRADIENT;
      if (pw_action_kinds[action.kind].has_microbatch)
        sizes.microbatches = MAX (sizes.microbatches, (int)action.microbatch + 1);
    }
  return sizes;
}

/* A table [stages][micro-batches] of BYTES each, NULL where so sparse that it is not worth having.
 */
static gpointer
new_table (const Sizes *sizes, gsize bytes) {
  int64_t n = 0;
  for (int rank = 0; rank < sizes->ranks; rank++)
    n += row_of (sizes->table, rank)->len;
  int64_t entries = (int64_t)sizes->stages * sizes->microbatches;
  return entries <= 16 * n + (1 << 20) ? g_malloc0 ((gsize)entries * bytes) : NULL;
}

/* Before late 2024 B was the input gradient: given away by BW, or, where there is no I, by a W of
 * the same stage and micro-batch. */
static gboolean
is_old_dialect (const Sizes *sizes) {
  const PwCsvTable *table = sizes->table;
  if (table->has_full_backward)
    return TRUE;
  if (table->has_input_gradient || !table->has_weight_gradient)
    return FALSE;
  g_autofree uint8_t *seen = new_table (sizes, 1);
  for (int rank = 0; rank < sizes->ranks && seen != NULL; rank++)
    for (guint i = 0; i < row_of (table, rank)->len; i++) {
      PwAction action = *action_at (table, rank, i);
      uint8_t bit = action.kind == PW_ACTION_BACKWARD          ? 1
                    : action.kind == PW_ACTION_WEIGHT_GRADIENT ? 2
                                                               : 0;
      uint8_t *entry = &seen[(int64_t)action.stage * sizes->microbatches + action.microbatch];
      if (bit != 0 && (*entry |= bit) == 3)
        return TRUE;
    }
  return FALSE;
}

static void
settle_dialect (const Sizes *sizes) {
  gboolean old = is_old_dialect (sizes);
  for (int rank = 0; rank < sizes->ranks; rank++)
    for (guint i = 0; i < row_of (sizes->table, rank)->len; i++) {
      PwAction *action = action_at (sizes->table, rank, i);
      if (old && action->kind == PW_ACTION_BACKWARD && !action->direction)
        action->kind = PW_ACTION_INPUT_GRADIENT;
      action->direction = 0;
    }
}

/* Where most of each stage's actions are: what is elsewhere is an error that the checker finds. */
static PwPlacement *
place_by_majority (const Sizes *sizes) {
  PwPlacement *placement = pw_placement_new_custom (sizes->ranks, sizes->stages, 1);
  g_autofree int64_t *best = g_new0 (int64_t, (gsize)sizes->stages);
  g_autofree int64_t *count = g_new0 (int64_t, (gsize)sizes->stages);
  for (int rank = 0; rank < sizes->ranks; rank++) {
    guint n = row_of (sizes->table, rank)->len;
    for (guint i = 0; i < n; i++)
      count[action_at (sizes->table, rank, i)->stage]++;
    for (guint i = 0; i < n; i++) {
      int stage = action_at (sizes->table, rank, i)->stage;
      if (count[stage] > best[stage]) {
        best[stage] = count[stage];
        placement->rank_of_stage[stage] = rank;
      }
      count[stage] = 0;
    }
  }
  return placement;
}

/* rank + 1 of each (micro-batch, stage) by its compute actions; 0: none, -1: on several. */
static int *
rank_of_work (const Sizes *sizes) {
  int *ranks = new_table (sizes, sizeof (int));
  for (int rank = 0; rank < sizes->ranks && ranks != NULL; rank++)
    for (guint i = 0; i < row_of (sizes->table, rank)->len; i++) {
      PwAction action = *action_at (sizes->table, rank, i);
      if (!pw_action_kinds[action.kind].is_counted)
        continue;
      int *entry = &ranks[(int64_t)action.microbatch * sizes->stages + action.stage];
      *entry = *entry == 0 || *entry == rank + 1 ? rank + 1 : -1;
    }
  return ranks;
}

static gboolean
is_whole (const int *ranks, int stages) {
  for (int stage = 0; stage < stages; stage++)
    if (ranks[stage] <= 0)
      return FALSE;
  return TRUE;
}

/* Two directions are two ways micro-batches take through the ranks, each complete. A third way, or
 * only one, is no bidirectional schedule: NULL. */
static PwPlacement *
place_two_ways (const Sizes *sizes, const int *work, uint8_t **direction) {
  int stages = sizes->stages;
  gsize bytes = (gsize)stages * sizeof (int);
  const int *ways[2] = { NULL, NULL };
  for (int m = 0; m < sizes->microbatches; m++) {
    const int *way = work + (int64_t)m * stages;
    if (!is_whole (way, stages))
      continue;
    if (ways[0] == NULL)
      ways[0] = way;
    else if (memcmp (way, ways[0], bytes) == 0)
      continue;
    else if (ways[1] == NULL)
      ways[1] = way;
    else if (memcmp (way, ways[1], bytes) != 0)
      return NULL;
  }
  if (ways[1] == NULL)
    return NULL;
  PwPlacement *placement = pw_placement_new_custom (sizes->ranks, stages, 2);
  *direction = g_new0 (uint8_t, (gsize)sizes->microbatches);
  for (int i = 0; i < 2 * stages; i++)
    placement->rank_of_stage[i] = ways[i / stages][i % stages] - 1;
  for (int m = 0; m < sizes->microbatches; m++) {
    int agree[2] = { 0, 0 };
    for (int i = 0; i < 2 * stages; i++)
      agree[i / stages] += work[(int64_t)m * stages + i % stages] == ways[i / stages][i % stages];
    (*direction)[m] = agree[1] > agree[0];
  }
  return placement;
}

static PwPlacement *
infer_placement (const Sizes *sizes, uint8_t **direction) {
  *direction = NULL;
  g_autofree int *work = rank_of_work (sizes);
  PwPlacement *placement = work != NULL ? place_two_ways (sizes, work, direction) : NULL;
  if (placement == NULL)
    placement = place_by_majority (sizes);
  pw_placement_recognise (placement);
  return placement;
}

/* The edge of a message without "@edge": the chain's if it fits, else the only one on that side. */
static int
default_edge (const PwStageEdges *edges, PwAction action) {
  gboolean below = action.kind == PW_ACTION_SEND_FORWARD || action.kind == PW_ACTION_RECV_BACKWARD;
  int stage = action.stage, chain = below ? stage : stage - 1;
  const int *start = below ? edges->out_start : edges->in_start;
  const int *list = below ? edges->out_edges : edges->in_edges;
  for (int k = start[stage]; k < start[stage + 1]; k++)
    if (list[k] == chain)
      return chain;
  return start[stage + 1] - start[stage] == 1 ? list[start[stage]] : -1;
}

static gboolean
settle_edges (const Sizes *sizes, const PwStageEdges *edges, GError **error) {
  const PwCsvTable *table = sizes->table;
  for (int rank = 0; rank < sizes->ranks; rank++)
    for (guint i = 0; i < row_of (table, rank)->len; i++) {
      PwAction *action = action_at (table, rank, i);
      if (!pw__action_is_message (*action))
        continue;
      int edge = action->edge == PW__CSV_NO_EDGE ? default_edge (edges, *action) : action->edge;
      if (edge < 0 || edge >= edges->n_edges) {
        char text[PW_ACTION_TEXT_MAX];
        guint cell = g_array_index ((GArray *)g_ptr_array_index (table->cells, rank), guint32, i);
        return pw__csv_fail (table, PW_SCHEDULE_ERROR_SYNTAX, rank, cell, error,
                             "no stage edge goes with %s", pw_action_format (*action, text));
      }
      action->edge = (uint16_t)edge;
    }
  return TRUE;
}

/* U in the midst of a stage's backwards: the mini-batch is not one step. */
static gboolean
is_synchronous (const PwSchedule *schedule) {
  int places = schedule->placement->directions * schedule->stages;
  g_autofree uint8_t *updated = g_new0 (uint8_t, (gsize)places);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++) {
      PwAction action = program->actions[i];
      int place = (int)action.direction * schedule->stages + (int)action.stage;
      if (action.kind == PW_ACTION_UPDATE)
        updated[place] = 1;
      else if (pw_action_kinds[action.kind].is_counted && updated[place])
        return FALSE;
    }
  }
  return TRUE;
}

static int
most_weight_versions (const PwSchedule *schedule) {
  int places = schedule->placement->directions * schedule->stages, most = 1;
  g_autofree int *versions = g_new (int, (gsize)places);
  pw_schedule_weight_versions (schedule, versions);
  for (int place = 0; place < places; place++)
    most = MAX (most, versions[place]);
  return most;
}

/* An update has no micro-batch to tell its direction: the one whose replica is on its rank. */
static int
direction_of (const PwSchedule *schedule, PwAction action, int rank) {
  if (schedule->direction == NULL)
    return 0;
  if (pw_action_kinds[action.kind].has_microbatch)
    return schedule->direction[action.microbatch];
  return pw_placement_rank (schedule->placement, 0, action.stage) != rank
         && pw_placement_rank (schedule->placement, 1, action.stage) == rank;
}

static PwSchedule *
make_schedule (const Sizes *sizes) {
  uint8_t *direction;
  g_autofree char *name = g_path_get_basename (sizes->table->file);
  PwPlacement *placement = infer_placement (sizes, &direction);
  PwSchedule *schedule = pw_schedule_new (name, placement, sizes->microbatches);
  schedule->direction = direction;
  schedule->chunks = 1;
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)sizes->ranks);
  for (int rank = 0; rank < sizes->ranks; rank++)
    lengths[rank] = row_of (sizes->table, rank)->len;
  pw_schedule_new_lists (schedule, lengths);
  for (int rank = 0; rank < sizes->ranks; rank++) {
    schedule->chunks = MAX (schedule->chunks, pw_placement_chunks (placement, rank));
    for (guint i = 0; i < lengths[rank]; i++) {
      PwAction action = *action_at (sizes->table, rank, i);
      action.direction = direction_of (schedule, action, rank) != 0;
      schedule->programs[rank].actions[i] = action;
    }
  }
  schedule->mode = sizes->trains ? PW_MODE_TRAINING : PW_MODE_INFERENCE;
  schedule->is_lowered = sizes->is_lowered;
  schedule->batched = sizes->is_batched;
  schedule->promise.synchronous = is_synchronous (schedule);
  schedule->promise.weight_versions = most_weight_versions (schedule);
  schedule->promise.accumulation = pw__check_accumulation (schedule);
  return schedule;
}

PwSchedule *
pw__csv_infer (PwCsvTable *table, const PwStageEdges *edges, GError **error) {
  Sizes sizes = measure (table);
  if (sizes.microbatches == 0) {
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_SYNTAX,
                 "%s: no cell holds an action of a micro-batch", table->file);
    return NULL;
  }
  if (edges != NULL && sizes.stages > edges->stages) {
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PLACEMENT,
                 "%s: has %d stages, the model is cut into %d", table->file, sizes.stages,
                 edges->stages);
    return NULL;
  }
  if (edges != NULL)
    sizes.stages = edges->stages;
  settle_dialect (&sizes);
  g_autoptr (PwStageEdges) chain = edges == NULL ? pw_stage_edges_new_chain (sizes.stages) : NULL;
  if (!settle_edges (&sizes, edges != NULL ? edges : chain, error))
    return NULL;
  return make_schedule (&sizes);
}
