/* Exchanges beside compute: REDUCE_GRAD and NORM. A rank has them done one after another, in the
 * order of its list, by a communication queue of their own; those that several ranks take part in
 * start when all have come to it:
 *
 *   REDUCE_GRAD   the two replicas of a stage, where there are two directions; else the rank alone
 *                 (its peers are the same rank of other pipelines, which do the same)
 *   NORM          all ranks
 *
 * A rank comes to one when all computes before it in its list have ended. Computes behind it go on,
 * but U waits for the REDUCE_GRAD of its stage, and everything behind a NORM for the NORM. */
#pragma once
#include "sim/layout_private.h"

typedef struct {
  int n, n_groups;
  int32_t *id;    /* [n] ascending, so rank after rank in list order */
  int *group;     /* [n] */
  int32_t *first; /* [n_groups] id of a member: the group's name */
  int *size;      /* [n_groups] */
} PwSimCollectives;

static inline gboolean
pw__sim_is_collective (PwAction action) {
  return action.kind == PW_ACTION_REDUCE_GRADIENT || action.kind == PW_ACTION_NORM;
}
/* Fails with SCHEDULE where one rank has one of which another rank has none. */
PwSimCollectives *pw__sim_collectives_new (const PwSimLayout *layout, GError **error);
void pw__sim_collectives_free (PwSimCollectives *collectives);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimCollectives, pw__sim_collectives_free)
/* Its place in `id`, or -1. */
int pw__sim_collectives_find (const PwSimCollectives *collectives, int64_t id);
/* Whether there are any among what the ranks do last, which is where lowering puts them. */
gboolean pw__sim_collectives_at_end (const PwSimLayout *layout);
