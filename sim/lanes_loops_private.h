/* The loops over scenarios side by side, compiled once per instruction set. Tables differ in speed
 * alone: each lane has the same bits in all of them. */
#pragma once
#include <stdint.h>

#define PW_SIM_LANES 8 /* scenarios of one pass where costs differ */

/* place[out] = max (place[a], place[b]) + what `row` or the step itself takes, in every lane. */
typedef struct {
  uint32_t a, b, out, row;
} PwSimStep;

#define PW_SIM_SAMPLES 32 /* scenarios of one pass where durations are drawn */

/* One random duration in the block of steps under way. */
typedef struct {
  uint32_t id;    /* of the action, which the numbers hang on */
  uint32_t place; /* of the step, within its block */
  double duration;
  double deviation; /* standard deviation of the factor's logarithm */
} PwSimDraw;

typedef struct {
  const char *name; /* of the instruction set */
  /* PW_SIM_LANES wide. TABLE has a row of lanes per row. */
  void (*rows) (const PwSimStep *steps, int64_t n, const double *table, double *places);
  /* The same with DURATIONS of their own for N steps. */
  void (*durations) (const PwSimStep *steps, int64_t n, const double *durations, double *places);
  /* And PW_SIM_SAMPLES wide. */
  void (*samples) (const PwSimStep *steps, int64_t n, const double *durations, double *places);
  /* DURATIONS[place] of N steps that take the same in all samples. */
  void (*fill) (const PwSimDraw *fixed, int64_t n, double *durations);
  /* DURATIONS[place] of N draws, in samples GROUP * PW_SIM_SAMPLES and on: each `duration` times a
   * log-normal factor of mean 1. */
  void (*draw) (const PwSimDraw *draws, int64_t n, uint64_t seed, uint64_t group,
                double *durations);
} PwSimLanesLoops;

#ifdef PW_SIM_JITTER
void PW_SIM_JITTER (const PwSimDraw *draws, int64_t n, uint64_t seed, uint64_t group,
                    double *durations);
#endif

/* Tables this processor can run, the fastest first; NULL after the last. */
const PwSimLanesLoops *pw__sim_lanes_loops (int index);
