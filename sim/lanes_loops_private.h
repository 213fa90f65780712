/* The loops over scenarios side by side, compiled once per instruction set. Tables differ in speed
 * alone: each lane has the same bits in all of them. */
#pragma once
#include <stdint.h>

#define PW_SIM_LANES 8 /* scenarios of one pass where costs differ */

/* place[out] = max (place[a], place[b]) + what `row` or the step itself takes, in every lane. */
typedef struct {
  uint32_t a, b, out, row;
} PwSimStep;

typedef struct {
  const char *name; /* of the instruction set */
  /* PW_SIM_LANES wide. TABLE has a row of lanes per row. */
  void (*rows) (const PwSimStep *steps, int64_t n, const double *table, double *places);
  /* The same with DURATIONS of their own for N steps. */
  void (*durations) (const PwSimStep *steps, int64_t n, const double *durations, double *places);
} PwSimLanesLoops;

/* Tables this processor can run, the fastest first; NULL after the last. */
const PwSimLanesLoops *pw__sim_lanes_loops (int index);
