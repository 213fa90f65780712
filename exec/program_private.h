/* What is known of a schedule's lists while programs are made of them. */
#pragma once
#include "exec/exec_private.h"

/* Of one micro-batch in one stage. */
typedef struct {
  gboolean has_forward, has_backward, recomputes;
  int updates_before; /* its F */
  int updates_ahead;  /* from its F to the end of its backward */
} PwCell;

/* Of one stage, as its rank's list goes by. */
typedef struct {
  int in_flight; /* forwards whose gradients are not complete */
  int n_updates, n_reductions;
  gboolean is_reduced; /* REDUCE_GRAD stands behind the last gradient */
  int64_t first_open;  /* all micro-batches below have ended */
} PwPlaceState;

typedef struct {
  PwExec *exec;
  PwExecProgram *program;
  const PwSchedule *schedule;
  int64_t extra;          /* repetitions of bodies looked at beyond the schedule's own */
  int64_t n_microbatches; /* with these */
  PwCell *cells;          /* [places][n_microbatches] */
  PwPlaceState *places;
  int rank;
  int64_t window; /* micro-batches, first to last, that a stage has under way at once at most */
  int64_t n_ends; /* ends of micro-batches, and updates, in all lists of this process */
} PwBuilder;

gboolean pw__builder_refuse (const PwBuilder *builder, PwAction action, const char *what,
                             GError **error);
PwCell *pw__builder_cell (const PwBuilder *builder, PwAction action);
/* The last action of a micro-batch in its stage. */
gboolean pw__action_ends (PwAction action, gboolean is_training);

/* program_follow.c: what a list's order demands; fills the cells. Actions were checked one by one.
 */
gboolean pw__builder_follow (PwBuilder *builder, const PwAction *list, int64_t n, GError **error);
/* After the lists of all ranks. */
gboolean pw__builder_finish (PwBuilder *builder, GError **error);
