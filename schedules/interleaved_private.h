/* The order in which interleaved schedules walk the chunks of a rank: group after group, within a
 * group chunk after chunk, within a chunk the group's micro-batches ascending. Backwards walk the
 * same table with the chunks in reverse.
 *
 *   V = 2, groups of 2:   chunk 0 0 1 1 0 0 1 1 ...
 *                    micro-batch 0 1 0 1 2 3 2 3 ... */
#pragma once
#include "schedules/registry_private.h"

/* How M micro-batches are cut into groups: N of them, the first `larger` one micro-batch larger
 * than `size`, and the last, if `last` is not 0, of that many instead. */
typedef struct {
  int n, size, larger, last;
} PwGroups;

typedef struct {
  int chunk, microbatch;
} PwVisit;

static inline int
pw__interleaved_chunks (const PwScheduleParams *params) {
  return params->chunks != 0 ? params->chunks : 2;
}
/* By PARAMS' `group` and `group_rule`; FALSE where the rule refuses. */
gboolean pw__interleaved_groups (const PwScheduleParams *params, PwGroups *groups, GError **error);
int pw__groups_size (const PwGroups *groups, int group);
/* The table's M * CHUNKS rows. */
PwVisit *pw__interleaved_visits (const PwGroups *groups, int microbatches, int chunks);
