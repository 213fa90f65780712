#include "schedules/placement.h"

static int
standard_rank (PwPlacementKind kind, int ranks, int direction, int stage) {
  int position = stage % ranks;
  gboolean upwards = kind == PW_PLACEMENT_WAVE ? (stage / ranks) % 2 == 1 : direction == 1;
  return upwards ? ranks - 1 - position : position;
}

PwPlacement *
pw_placement_new (PwPlacementKind kind, int ranks, int stages) {
  g_assert (ranks >= 1 && stages >= 1);
  if (kind == PW_PLACEMENT_CUSTOM)
    return pw_placement_new_custom (ranks, stages, 1);
  g_assert (stages % ranks == 0);
  int directions = kind == PW_PLACEMENT_BIDIRECTIONAL ? 2 : 1;
  PwPlacement *placement = pw_placement_new_custom (ranks, stages, directions);
  placement->kind = kind;
  for (int direction = 0; direction < directions; direction++)
    for (int stage = 0; stage < stages; stage++)
      placement->rank_of_stage[direction * stages + stage]
          = standard_rank (kind, ranks, direction, stage);
  return placement;
}

PwPlacement *
pw_placement_new_custom (int ranks, int stages, int directions) {
  g_assert (directions == 1 || directions == 2);
  PwPlacement *placement = g_new (PwPlacement, 1);
  *placement = (PwPlacement){ .kind = PW_PLACEMENT_CUSTOM,
                              .ranks = ranks,
                              .stages = stages,
                              .directions = directions,
                              .rank_of_stage = g_new (int, (gsize)(directions * stages)) };
  for (int i = 0; i < directions * stages; i++)
    placement->rank_of_stage[i] = -1;
  return placement;
}

PwPlacement *
pw_placement_copy (const PwPlacement *placement) {
  PwPlacement *copy = g_memdup2 (placement, sizeof *placement);
  gsize entries = (gsize)placement->directions * (gsize)placement->stages;
  copy->rank_of_stage = g_memdup2 (placement->rank_of_stage, entries * sizeof (int));
  return copy;
}

void
pw_placement_free (PwPlacement *placement) {
  if (placement == NULL)
    return;
  g_free (placement->rank_of_stage);
  g_free (placement);
}

int
pw_placement_chunks (const PwPlacement *placement, int rank) {
  int most = 0;
  for (int direction = 0; direction < placement->directions; direction++) {
    int chunks = 0;
    for (int stage = 0; stage < placement->stages; stage++)
      chunks += pw_placement_rank (placement, direction, stage) == rank;
    most = MAX (most, chunks);
  }
  return most;
}

gboolean
pw_placement_recognise (PwPlacement *placement) {
  int ranks = placement->ranks, stages = placement->stages;
  if (stages % ranks != 0)
    return FALSE;
  for (PwPlacementKind kind = PW_PLACEMENT_LOOP; kind < PW_PLACEMENT_CUSTOM; kind++) {
    int directions = kind == PW_PLACEMENT_BIDIRECTIONAL ? 2 : 1;
    gboolean same = directions == placement->directions;
    for (int i = 0; same && i < directions * stages; i++)
      same = placement->rank_of_stage[i] == standard_rank (kind, ranks, i / stages, i % stages);
    if (same) {
      placement->kind = kind;
      return TRUE;
    }
  }
  return FALSE;
}
