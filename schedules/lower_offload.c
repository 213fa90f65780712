#include "schedules/lower_offload_private.h"
#include "schedules/messages_private.h"
#include "schedules/schedule_private.h"

#include <string.h>

#define COMPUTES_BETWEEN 2 /* fewer, and the stash would come back at once */

/* Of a micro-batch on a stage of the rank at hand. */
typedef struct {
  int64_t forward, reader;     /* places in the list; -1: none */
  int64_t n_forward, n_reader; /* computes before these; a pair is one */
  gboolean is_made_again;      /* in part, by the reader */
} Stash;

typedef struct {
  const PwSchedule *schedule;
  int64_t slots;
  GHashTable *stashes; /* key_of to Stash */
} Finder;

static gpointer
key_of (const Finder *finder, PwAction action) {
  gsize place = (gsize)action.direction * (gsize)finder->schedule->stages + action.stage;
  return GSIZE_TO_POINTER (place * (gsize)finder->slots + action.microbatch + 1);
}

static Stash *
stash_of (Finder *finder, PwAction action) {
  Stash *stash = g_hash_table_lookup (finder->stashes, key_of (finder, action));
  if (stash == NULL) {
    stash = g_new (Stash, 1);
    *stash = (Stash){ .forward = -1, .reader = -1 };
    g_hash_table_insert (finder->stashes, key_of (finder, action), stash);
  }
  return stash;
}

static void
find_stashes (Finder *finder, const PwProgram *program) {
  int64_t computes = 0;
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if (!pw_action_kinds[action.kind].is_compute)
      continue;
    gboolean is_second = i > 0 && program->actions[i - 1].paired;
    computes += !is_second;
    if (action.kind == PW_ACTION_FORWARD) {
      Stash *stash = stash_of (finder, action);
      stash->forward = i;
      stash->n_forward = computes;
    } else if (action.kind == PW_ACTION_RECOMPUTE || pw__action_is_backward (action)) {
      Stash *stash = stash_of (finder, action);
      if (stash->is_made_again)
        continue;
      stash->reader = i;
      stash->n_reader = computes;
      stash->is_made_again = action.kind == PW_ACTION_RECOMPUTE;
    }
  }
}

static gboolean
makes_again (const PwLowerOptions *options, int stage) {
  return options->recompute != PW_RECOMPUTE_NONE
         && (options->recomputed_stages == NULL || options->recomputed_stages[stage]);
}

/* Where a stage makes its stashes again those go that are what is left of one: all take the time of
 * one copy, and the others are of micro-batches whose backward follows at once. */
static gboolean
chooses (const PwLowerOptions *options, const Stash *stash, PwAction forward) {
  return options->offloaded_stages[forward.stage] && stash->forward >= 0 && stash->reader >= 0
         && stash->is_made_again == makes_again (options, forward.stage)
         && stash->n_reader - stash->n_forward > COMPUTES_BETWEEN;
}

/* The place before which a RELOAD stands: before the compute that goes before its reader. */
static int64_t
reload_place (const PwProgram *program, int64_t reader) {
  int64_t i = reader;
  if (i > 0 && program->actions[i - 1].paired)
    i--;
  do
    i--;
  while (i > 0 && !pw_action_kinds[program->actions[i].kind].is_compute);
  return i > 0 && program->actions[i - 1].paired ? i - 1 : i;
}

typedef struct {
  int64_t place; /* before which it goes */
  PwAction action;
} Insertion;

static int
compare_places (const void *x, const void *y, gpointer data G_GNUC_UNUSED) {
  const Insertion *a = x, *b = y;
  return (a->place > b->place) - (a->place < b->place);
}

static void
add_insertion (GArray *insertions, int64_t place, PwActionKind kind, PwAction like) {
  Insertion insertion = { .place = place, .action = pw_action (kind, like.stage, like.microbatch) };
  insertion.action.direction = like.direction;
  g_array_append_val (insertions, insertion);
}

/* Behind the forward, its pair and their messages; before the compute that goes before the reader.
 */
static void
list_insertions (Finder *finder, const PwProgram *program, const PwLowerOptions *options,
                 GArray *insertions) {
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if (action.kind != PW_ACTION_FORWARD)
      continue;
    const Stash *stash = stash_of (finder, action);
    if (!chooses (options, stash, action))
      continue;
    int64_t behind = i + 1 + (program->actions[i].paired != 0);
    while (behind < program->n_prologue && pw__action_is_message (program->actions[behind]))
      behind++;
    add_insertion (insertions, behind, PW_ACTION_OFFLOAD, action);
    add_insertion (insertions, MAX (reload_place (program, stash->reader), behind),
                   PW_ACTION_RELOAD, action);
  }
  g_array_sort_with_data (insertions, compare_places, NULL); /* keeps the order of equals */
}

static void
add_to_rank (PwSchedule *lowered, int rank, const PwLowerOptions *options) {
  PwProgram *program = &lowered->programs[rank];
  g_autoptr (GArray) insertions = g_array_new (FALSE, FALSE, sizeof (Insertion));
  Finder finder = { .schedule = lowered,
                    .slots = pw__schedule_slots (lowered),
                    .stashes = g_hash_table_new_full (NULL, NULL, NULL, g_free) };
  find_stashes (&finder, program);
  list_insertions (&finder, program, options, insertions);
  PwAction *list = g_new (PwAction, (gsize)program->n_prologue + insertions->len);
  int64_t n = 0;
  guint next = 0;
  for (int64_t i = 0; i <= program->n_prologue; i++) {
    for (; next < insertions->len && g_array_index (insertions, Insertion, next).place == i; next++)
      list[n++] = g_array_index (insertions, Insertion, next).action;
    if (i < program->n_prologue)
      list[n++] = program->actions[i];
  }
  pw_schedule_take_list (lowered, rank, list, n);
  g_hash_table_unref (finder.stashes);
}

void
pw__lower_add_offloads (PwSchedule *lowered, const PwLowerOptions *options) {
  for (int rank = 0; rank < lowered->ranks; rank++)
    add_to_rank (lowered, rank, options);
}
