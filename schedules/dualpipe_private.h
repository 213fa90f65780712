/* The eight steps of DualPipe and of its half, DualPipe-V. Both have two flows of micro-batches in
 * opposite directions along a line of positions; a position is a rank, or for DualPipe also the
 * rank opposite. Flow 0 enters at position 0 and runs towards the fold, the last position; flow 1
 * comes back from there:
 *
 *   DualPipe, 4 ranks         position 0 1 | 1 0     flow 0 of the one half is flow 1 of the other
 *   DualPipe-V, 4 ranks       position 0 1 2 3 |     flow 0 turns round and is flow 1 */
#pragma once
#include "schedules/schedule.h"

typedef struct {
  int position, positions;
  int microbatches; /* of each flow */
  struct {
    int stage, direction;
    int first; /* micro-batch */
  } flow[2];
} PwDualLane;

/* No list is longer. MICROBATCHES of each flow are at least two per position. */
int64_t pw__dual_length (int positions, int microbatches);
/* Writes the list to OUT; returns its length. */
int64_t pw__dual_write (const PwDualLane *lane, PwAction *out);
