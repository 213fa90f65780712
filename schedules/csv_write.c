#include "schedules/csv.h"
#include "schedules/messages_private.h"
#include "schedules/schedule_private.h"

/* Grows by doubling and without a call per digit: files have millions of cells. */
typedef struct {
  char *text;
  gsize used, size;
} Buffer;

static void
reserve (Buffer *b, gsize more) {
  if (b->size - b->used > more)
    return;
  b->size = 2 * b->size + more;
  b->text = g_realloc (b->text, b->size);
}

static void
put_number (Buffer *b, uint32_t number) {
  char digits[10];
  int n = 0;
  do
    digits[n++] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  while (n > 0)
    b->text[b->used++] = digits[--n];
}

static void
put_text (Buffer *b, const char *text) {
  while (*text != '\0')
    b->text[b->used++] = *text++;
}

/* The edge a message has in a chain: what a cell without "@edge" means. */
static uint32_t
chain_edge (PwAction action) {
  gboolean below = action.kind == PW_ACTION_SEND_FORWARD || action.kind == PW_ACTION_RECV_BACKWARD;
  return below ? action.stage : action.stage - 1u;
}

static void
put_action (Buffer *b, PwAction action) {
  const PwActionKindInfo *kind = &pw_action_kinds[action.kind];
  put_number (b, action.stage);
  put_text (b, kind->name);
  if (kind->has_microbatch)
    put_number (b, action.microbatch);
  if (pw__action_is_message (action) && action.edge != chain_edge (action)) {
    b->text[b->used++] = '@';
    put_number (b, action.edge);
  }
}

static gboolean
torch_knows (PwAction action) {
  switch ((PwActionKind)action.kind) {
  case PW_ACTION_RECOMPUTE:
  case PW_ACTION_UPDATE:
  case PW_ACTION_NORM:
  case PW_ACTION_OFFLOAD:
  case PW_ACTION_RELOAD:
    return FALSE;
  default:
    return TRUE;
  }
}

/* How many actions share the cell that starts at ACTIONS[0]; what closes it. */
static int64_t
cell_length (const PwAction *actions, int64_t n, PwCsvDialect dialect, const char **suffix) {
  int64_t length = 1;
  *suffix = NULL;
  if (actions[0].paired && n > 1) {
    *suffix = "OVERLAP_F_B";
    return 2;
  }
  if (dialect == PW_CSV_TORCH || !pw__action_is_message (actions[0]))
    return 1;
  while (length < n && actions[length - 1].grouped && pw__action_is_message (actions[length]))
    length++;
  if (length > 1)
    *suffix = "GROUP";
  return length;
}

static void
put_cell (Buffer *b, gsize start, const PwAction *actions, int64_t n, const char *suffix) {
  reserve (b, (gsize)(n + 1) * 64);
  if (b->used > start)
    b->text[b->used++] = ',';
  if (suffix != NULL)
    b->text[b->used++] = '(';
  for (int64_t k = 0; k < n; k++) {
    if (k > 0)
      b->text[b->used++] = ';';
    put_action (b, actions[k]);
  }
  if (suffix != NULL) {
    b->text[b->used++] = ')';
    put_text (b, suffix);
  }
}

/* The cell that waits for ACTION; only PyTorch has it. */
static void
put_wait (Buffer *b, PwAction action) {
  reserve (b, 64);
  b->text[b->used++] = ',';
  put_number (b, action.stage);
  put_text (b, "WAIT_");
  put_text (b, pw_action_kinds[action.kind].name);
  if (pw_action_kinds[action.kind].has_microbatch)
    put_number (b, action.microbatch);
}

/* PyTorch's _load_csv refuses a lowered file where a send is not waited for exactly once, or a
 * REDUCE_GRAD not behind itself. Sends are waited for where its own _add_wait_send does: a
 * forward's behind the backward of the same micro-batch, which proves its arrival, all others at
 * the end. */
typedef struct {
  const PwProgram *program;
  GHashTable *forward_sends; /* not yet waited for, by key_of */
} Waits;

static gpointer
key_of (PwAction action) {
  return (gpointer)(((guintptr)action.stage << 24 | action.microbatch) + 1);
}

/* Behind the cell that holds ACTION. */
static void
put_waits (Buffer *b, const Waits *waits, PwAction action) {
  if (action.kind == PW_ACTION_SEND_FORWARD)
    g_hash_table_add (waits->forward_sends, key_of (action));
  else if (action.kind == PW_ACTION_REDUCE_GRADIENT)
    put_wait (b, action);
  else if (pw__action_is_backward (action)
           && g_hash_table_remove (waits->forward_sends, key_of (action))) {
    action.kind = PW_ACTION_SEND_FORWARD;
    put_wait (b, action);
  }
}

static void
put_final_waits (Buffer *b, const Waits *waits) {
  for (int64_t i = 0; i < waits->program->n_prologue; i++) {
    PwAction action = waits->program->actions[i];
    if (action.kind == PW_ACTION_SEND_BACKWARD
        || (action.kind == PW_ACTION_SEND_FORWARD
            && g_hash_table_contains (waits->forward_sends, key_of (action))))
      put_wait (b, action);
  }
}

/* WAITS NULL: none. */
static void
put_program (Buffer *b, const PwProgram *program, PwCsvDialect dialect, const Waits *waits) {
  const char *suffix;
  gsize start = b->used;
  for (int64_t i = 0, n; i < program->n_prologue; i += n) {
    n = cell_length (program->actions + i, program->n_prologue - i, dialect, &suffix);
    if (dialect == PW_CSV_TORCH && !torch_knows (program->actions[i]))
      continue;
    put_cell (b, start, program->actions + i, n, suffix);
    for (int64_t k = 0; waits != NULL && k < n; k++)
      put_waits (b, waits, program->actions[i + k]);
  }
  if (waits != NULL)
    put_final_waits (b, waits);
  reserve (b, 3);
  if (b->used == start)
    b->text[b->used++] = ','; /* a blank line at the end would be no rank */
  b->text[b->used++] = '\n';
}

static void
put_torch_lowered (Buffer *b, const PwSchedule *schedule) {
  g_autoptr (GHashTable) sends = g_hash_table_new (NULL, NULL);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    Waits waits = { .program = &schedule->programs[rank], .forward_sends = sends };
    put_program (b, waits.program, PW_CSV_TORCH, &waits);
    g_hash_table_remove_all (sends);
  }
}

char *
pw_schedule_to_csv (const PwSchedule *schedule, PwCsvDialect dialect) {
  g_autoptr (PwSchedule) owned = NULL;
  const PwSchedule *plain = pw__schedule_plain (schedule, &owned, NULL);
  g_assert (plain != NULL); /* one iteration always unrolls */
  Buffer b = { 0 };
  reserve (&b, 1024);
  if (dialect == PW_CSV_TORCH && plain->is_lowered)
    put_torch_lowered (&b, plain);
  else
    for (int rank = 0; rank < plain->ranks; rank++)
      put_program (&b, &plain->programs[rank], dialect, NULL);
  b.text[b.used] = '\0';
  return b.text;
}
