/* Which rank runs which stage, per direction. Any number of stages per rank.
 *
 *   loop: stage s on rank s mod P          V: 0 1 2 3 3 2 1 0        wave: V, V, ...
 *   bidirectional: direction 1 runs stage s on rank P-1-s. */
#pragma once
#include <glib.h>

typedef enum {
  PW_PLACEMENT_LOOP,
  PW_PLACEMENT_WAVE, /* even passes downwards, odd ones upwards; V is 2 passes */
  PW_PLACEMENT_BIDIRECTIONAL,
  PW_PLACEMENT_CUSTOM /* from a file */
} PwPlacementKind;

typedef struct {
  PwPlacementKind kind;
  int ranks, stages;
  int directions;     /* 1, or 2 for bidirectional pipes */
  int *rank_of_stage; /* [directions][stages] */
} PwPlacement;

/* STAGES must be a multiple of RANKS except for CUSTOM, whose entries start at -1. */
PwPlacement *pw_placement_new (PwPlacementKind kind, int ranks, int stages);
/* Every entry -1, DIRECTIONS 1 or 2. */
PwPlacement *pw_placement_new_custom (int ranks, int stages, int directions);
PwPlacement *pw_placement_copy (const PwPlacement *placement);
void pw_placement_free (PwPlacement *placement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwPlacement, pw_placement_free)
static inline int
pw_placement_rank (const PwPlacement *placement, int direction, int stage) {
  return placement->rank_of_stage[direction * placement->stages + stage];
}
/* Stages of one direction on RANK (the larger count of two); V of the papers. */
int pw_placement_chunks (const PwPlacement *placement, int rank);
/* Sets `kind` if the entries are those of a loop, wave or bidirectional placement; else FALSE. */
gboolean pw_placement_recognise (PwPlacement *placement);
