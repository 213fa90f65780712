#include "tests/schedules/mutations.h"

#include <string.h>

static int
random_below (int64_t n) {
  return g_test_rand_int_range (0, (gint32)n);
}

static PwProgram *
list_of (const Mutant *m, int rank) {
  return &m->schedule->programs[rank];
}

/* Flags belong to places: nothing that moves takes a pair or group along. */
static void
forget_neighbours (PwProgram *list, int64_t index) {
  for (int64_t i = MAX (index - 1, 0); i <= index && i < list->n_prologue; i++)
    list->actions[i].paired = list->actions[i].grouped = 0;
}

static PwAction
take_out (Mutant *m, int rank, int64_t index) {
  PwProgram *list = list_of (m, rank);
  forget_neighbours (list, index);
  PwAction action = list->actions[index];
  list->n_prologue--;
  memmove (&list->actions[index], &list->actions[index + 1],
           (gsize)(list->n_prologue - index) * sizeof action);
  return action;
}

static void
put_in (Mutant *m, int rank, int64_t index, PwAction action) {
  PwProgram *list = list_of (m, rank);
  PwAction *longer = g_new (PwAction, (gsize)(list->n_prologue + 1));
  if (index > 0)
    list->actions[index - 1].paired = list->actions[index - 1].grouped = 0;
  memcpy (longer, list->actions, (gsize)index * sizeof action);
  longer[index] = action;
  memcpy (longer + index + 1, list->actions + index,
          (gsize)(list->n_prologue - index) * sizeof action);
  pw_schedule_take_list (m->schedule, rank, longer, list->n_prologue + 1);
  m->new_rank = rank;
  m->index = index;
}

/* A random action of the kinds in KINDS (bits). */
static gboolean
pick (Mutant *m, unsigned kinds) {
  for (int attempt = 0; attempt < 200; attempt++) {
    m->rank = m->new_rank = random_below (m->schedule->ranks);
    const PwProgram *list = list_of (m, m->rank);
    if (list->n_prologue == 0)
      continue;
    m->index = random_below (list->n_prologue);
    m->action = list->actions[m->index];
    m->action.paired = m->action.grouped = 0;
    m->result = m->action;
    if ((kinds & (1u << m->action.kind)) != 0)
      return TRUE;
  }
  return FALSE;
}

#define F (1u << PW_ACTION_FORWARD)
#define B (1u << PW_ACTION_BACKWARD | 1u << PW_ACTION_INPUT_GRADIENT)
#define I (1u << PW_ACTION_INPUT_GRADIENT)
#define W (1u << PW_ACTION_WEIGHT_GRADIENT)
#define R (1u << PW_ACTION_RECOMPUTE)
#define COPY (1u << PW_ACTION_OFFLOAD | 1u << PW_ACTION_RELOAD)
#define U (1u << PW_ACTION_UPDATE)
#define SEND (1u << PW_ACTION_SEND_FORWARD | 1u << PW_ACTION_SEND_BACKWARD)
#define RECV (1u << PW_ACTION_RECV_FORWARD | 1u << PW_ACTION_RECV_BACKWARD)

/* Where the first action of KINDS with the stage and micro-batch of the one picked stands. */
static int64_t
partner (const Mutant *m, unsigned kinds) {
  const PwProgram *list = list_of (m, m->rank);
  for (int64_t i = 0; i < list->n_prologue; i++) {
    PwAction a = list->actions[i];
    if ((kinds & (1u << a.kind)) != 0 && a.stage == m->action.stage
        && a.microbatch == m->action.microbatch && a.direction == m->action.direction)
      return i;
  }
  return -1;
}

static gboolean
drop (Mutant *m, unsigned kinds) {
  if (!pick (m, kinds))
    return FALSE;
  take_out (m, m->rank, m->index);
  return TRUE;
}

static gboolean
drop_compute (Mutant *m) {
  return drop (m, F | B | W);
}

static gboolean
drop_message (Mutant *m) {
  return drop (m, SEND | RECV);
}

static gboolean
drop_copy (Mutant *m) {
  return drop (m, COPY);
}

/* Where every update counts; of an asynchronous schedule's many one may go. */
static gboolean
drop_update (Mutant *m) {
  return m->schedule->promise.synchronous && m->schedule->stages > 1 && drop (m, U);
}

static gboolean
insert_copy (Mutant *m, unsigned kinds) {
  if (!pick (m, kinds))
    return FALSE;
  put_in (m, m->rank, random_below (list_of (m, m->rank)->n_prologue + 1), m->action);
  return TRUE;
}

static gboolean
double_compute (Mutant *m) {
  return insert_copy (m, F | B | W | R);
}

static gboolean
double_copy (Mutant *m) {
  return insert_copy (m, COPY);
}

static gboolean
double_message (Mutant *m) {
  return insert_copy (m, SEND | RECV);
}

static gboolean
double_update (Mutant *m) {
  if (!m->schedule->promise.synchronous || m->schedule->placement->directions > 1 || !pick (m, U))
    return FALSE;
  put_in (m, m->rank, m->index + 1, m->action);
  return TRUE;
}

static gboolean
move_to_other_rank (Mutant *m) {
  if (m->schedule->ranks < 2 || !pick (m, F | B | W | R | U | SEND | RECV))
    return FALSE;
  int other = (m->rank + 1 + random_below (m->schedule->ranks - 1)) % m->schedule->ranks;
  take_out (m, m->rank, m->index);
  put_in (m, other, random_below (list_of (m, other)->n_prologue + 1), m->action);
  return TRUE;
}

/* Takes an action of KINDS and puts it directly before one of OTHERS of the same micro-batch. */
static gboolean
put_before (Mutant *m, unsigned kinds, unsigned others) {
  if (!pick (m, kinds))
    return FALSE;
  int64_t at = partner (m, others);
  if (at < 0 || at > m->index)
    return FALSE;
  take_out (m, m->rank, m->index);
  put_in (m, m->rank, at, m->action);
  return TRUE;
}

static gboolean
backward_before_forward (Mutant *m) {
  return put_before (m, B, F);
}

static gboolean
weights_before_inputs (Mutant *m) {
  return put_before (m, W, I);
}

static gboolean
send_before_compute (Mutant *m) {
  if (!pick (m, SEND))
    return FALSE;
  int64_t at = partner (m, m->action.kind == PW_ACTION_SEND_FORWARD ? F : B);
  take_out (m, m->rank, m->index);
  put_in (m, m->rank, at, m->action);
  return TRUE;
}

static gboolean
receive_behind_consumer (Mutant *m) {
  if (!pick (m, RECV))
    return FALSE;
  int64_t at = partner (m, m->action.kind == PW_ACTION_RECV_FORWARD ? F : B);
  take_out (m, m->rank, m->index);
  put_in (m, m->rank, at, m->action); /* the consumer has moved up by one */
  return TRUE;
}

static gboolean
recompute_behind_backward (Mutant *m) {
  if (!pick (m, R))
    return FALSE;
  int64_t at = partner (m, B);
  take_out (m, m->rank, m->index);
  put_in (m, m->rank, at, m->action);
  return TRUE;
}

static gboolean
reload_behind_reader (Mutant *m) {
  if (!pick (m, 1u << PW_ACTION_RELOAD))
    return FALSE;
  int64_t at = partner (m, B | R);
  take_out (m, m->rank, m->index);
  put_in (m, m->rank, at, m->action);
  return TRUE;
}

static gboolean
reload_before_offload (Mutant *m) {
  return put_before (m, 1u << PW_ACTION_RELOAD, 1u << PW_ACTION_OFFLOAD);
}

static gboolean
update_before_last_gradient (Mutant *m) {
  if (!m->schedule->promise.synchronous || !pick (m, U))
    return FALSE;
  const PwProgram *list = list_of (m, m->rank);
  int64_t last = m->index;
  gboolean makes = FALSE;
  while (!makes && last-- > 0) {
    PwAction a = list->actions[last];
    makes = a.stage == m->action.stage && a.direction == m->action.direction
            && (a.kind == PW_ACTION_BACKWARD || a.kind == PW_ACTION_WEIGHT_GRADIENT);
  }
  if (!makes)
    return FALSE;
  take_out (m, m->rank, m->index);
  put_in (m, m->rank, last, m->action);
  return TRUE;
}

static gboolean
change (Mutant *m, PwAction result) {
  PwAction *place = &list_of (m, m->rank)->actions[m->index];
  m->result = result;
  result.paired = place->paired;
  result.grouped = place->grouped;
  *place = result;
  return TRUE;
}

static gboolean
other_microbatch (Mutant *m) {
  int slots = m->schedule->microbatches * m->schedule->pieces;
  if (slots < 2 || !pick (m, F | B | W | SEND | RECV))
    return FALSE;
  PwAction result = m->action;
  int now = ((int)result.microbatch + 1 + random_below (slots - 1)) % slots;
  const uint8_t *direction = m->schedule->direction;
  if (direction != NULL && direction[now] != direction[result.microbatch])
    return FALSE;
  result.microbatch = (unsigned)now & 0xffffffu;
  return change (m, result);
}

static gboolean
microbatch_beyond (Mutant *m) {
  if (!pick (m, F | B | W | SEND | RECV))
    return FALSE;
  PwAction result = m->action;
  result.microbatch = (unsigned)(m->schedule->microbatches * m->schedule->pieces) & 0xffffffu;
  return change (m, result);
}

static gboolean
other_ranks_stage (Mutant *m) {
  if (m->schedule->ranks < 2 || !pick (m, F | B | W | U | SEND | RECV))
    return FALSE;
  PwAction result = m->action;
  result.stage = (uint16_t)random_below (m->schedule->stages + 1);
  if ((int)result.stage < m->schedule->stages
      && pw_placement_rank (m->schedule->placement, result.direction, result.stage) == m->rank)
    return FALSE;
  return change (m, result);
}

const Mutation mutations[] = {
  /* An update may have lost its only gradients: DUPLICATE. */
  { .name = "drop a compute",
    .needs = CODE (MISSING),
    .may = CODE (DUPLICATE),
    .apply = drop_compute },
  { .name = "drop a message", TRUE, .needs = CODE (MISSING), .apply = drop_message },
  { .name = "drop a copy of a stash", TRUE, .needs = CODE (MISSING), .apply = drop_copy },
  { .name = "double a copy of a stash",
    TRUE,
    .needs = CODE (DUPLICATE),
    .may = CODE (DEPENDENCY),
    .apply = double_copy },
  { .name = "put a reload behind what reads the stash",
    TRUE,
    .needs = CODE (DEPENDENCY),
    .apply = reload_behind_reader },
  { .name = "put a reload before its offload",
    TRUE,
    .needs = CODE (DEPENDENCY),
    .apply = reload_before_offload },
  { .name = "drop an update", TRUE, .needs = CODE (MISSING), .apply = drop_update },
  { .name = "double a compute",
    .needs = CODE (DUPLICATE),
    .may = CODE (DEPENDENCY),
    .apply = double_compute },
  { .name = "double a message",
    TRUE,
    .needs = CODE (DUPLICATE),
    .may = CODE (DEPENDENCY),
    .apply = double_message },
  { .name = "double an update", TRUE, .needs = CODE (DUPLICATE), .apply = double_update },
  { .name = "move to another rank",
    .needs = CODE (PLACEMENT),
    .may = CODE (MISSING) | CODE (DUPLICATE),
    .apply = move_to_other_rank },
  { .name = "put a backward before its forward",
    .needs = CODE (DEPENDENCY),
    .may = CODE (DUPLICATE),
    .apply = backward_before_forward },
  { .name = "put a weight gradient before its input gradient",
    .needs = CODE (DEPENDENCY),
    .may = CODE (DUPLICATE),
    .apply = weights_before_inputs },
  { .name = "put a send before its compute",
    TRUE,
    .needs = CODE (DEPENDENCY),
    .apply = send_before_compute },
  { .name = "put a receive behind its consumer",
    TRUE,
    .needs = CODE (DEPENDENCY),
    .apply = receive_behind_consumer },
  { .name = "put a recomputation behind its backward",
    TRUE,
    .needs = CODE (DEPENDENCY),
    .apply = recompute_behind_backward },
  { .name = "put an update before the last gradient",
    TRUE,
    .needs = CODE (DEPENDENCY),
    .apply = update_before_last_gradient },
  { .name = "name another micro-batch",
    .needs = CODE (MISSING) | CODE (DUPLICATE),
    .may = CODE (DEPENDENCY),
    .apply = other_microbatch },
  { .name = "name a micro-batch beyond the last",
    .needs = CODE (PLACEMENT),
    .may = CODE (MISSING) | CODE (DUPLICATE),
    .apply = microbatch_beyond },
  { .name = "name another rank's stage",
    .needs = CODE (PLACEMENT),
    .may = CODE (MISSING) | CODE (DUPLICATE),
    .apply = other_ranks_stage },
};
const int n_mutations = G_N_ELEMENTS (mutations);

static gboolean
is_message (PwAction a) {
  return pw_action_kinds[a.kind].is_send || pw_action_kinds[a.kind].is_recv;
}

/* Flags as a file could have them: pairs of F, B, I, W; groups of messages. */
static void
mend_flags (PwProgram *list, int64_t index) {
  for (int64_t i = MAX (index - 1, 0); i <= index; i++) {
    PwAction *a = &list->actions[i];
    PwAction next = i + 1 < list->n_prologue ? a[1] : pw_action (PW_ACTION_NORM, 0, 0);
    if (!pw_action_kinds[a->kind].is_counted || !pw_action_kinds[next.kind].is_counted)
      a->paired = 0;
    if (!is_message (*a) || !is_message (next))
      a->grouped = 0;
  }
}

static gboolean
swap (Mutant *m, int64_t i, int64_t k) {
  PwProgram *list = list_of (m, m->rank);
  PwAction first = list->actions[i], second = list->actions[k];
  list->actions[i] = second;
  list->actions[k] = first;
  list->actions[i].paired = first.paired;
  list->actions[i].grouped = first.grouped;
  list->actions[k].paired = second.paired;
  list->actions[k].grouped = second.grouped;
  mend_flags (list, i);
  mend_flags (list, k);
  return TRUE;
}

gboolean
mutation_swap (Mutant *m) {
  if (!pick (m, ~0u))
    return FALSE;
  return swap (m, m->index, random_below (list_of (m, m->rank)->n_prologue));
}

gboolean
mutation_swap_messages (Mutant *m) {
  if (!pick (m, SEND | RECV) || m->index + 1 >= list_of (m, m->rank)->n_prologue)
    return FALSE;
  const PwAction *next = &list_of (m, m->rank)->actions[m->index + 1];
  return ((SEND | RECV) & (1u << next->kind)) != 0 && swap (m, m->index, m->index + 1);
}
