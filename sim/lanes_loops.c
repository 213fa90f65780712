/* Compiled once per instruction set, which names the table it fills (PW_SIM_LOOPS). */
#include "sim/lanes_loops_private.h"
#include "sim/lanes_vector_private.h"

extern const PwSimLanesLoops PW_SIM_LOOPS;

/* WIDTH and HAS_ROWS are constants where this is called. */
static inline __attribute__ ((always_inline)) void
evaluate (const PwSimStep *steps, int64_t n, const double *durations, double *places, int width,
          int has_rows) {
  for (int64_t i = 0; i < n; i++) {
    const double *a = places + (int64_t)steps[i].a * width;
    const double *b = places + (int64_t)steps[i].b * width;
    const double *duration = durations + (has_rows ? (int64_t)steps[i].row : i) * width;
    double *out = places + (int64_t)steps[i].out * width;
#pragma GCC unroll 16
    for (int l = 0; l < width; l += PW_WIDE) {
      PwWide later = wide_max (wide_load (a + l), wide_load (b + l));
      wide_store (out + l, later + wide_load (duration + l));
    }
  }
}

static void
rows (const PwSimStep *steps, int64_t n, const double *table, double *places) {
  evaluate (steps, n, table, places, PW_SIM_LANES, 1);
}

static void
durations (const PwSimStep *steps, int64_t n, const double *of_steps, double *places) {
  evaluate (steps, n, of_steps, places, PW_SIM_LANES, 0);
}

static void
samples (const PwSimStep *steps, int64_t n, const double *of_steps, double *places) {
  evaluate (steps, n, of_steps, places, PW_SIM_SAMPLES, 0);
}

static void
fill (const PwSimDraw *fixed, int64_t n, double *of_steps) {
  for (int64_t i = 0; i < n; i++) {
    double *out = of_steps + (int64_t)fixed[i].place * PW_SIM_SAMPLES;
    PwWide all = wide_all (fixed[i].duration);
    for (int l = 0; l < PW_SIM_SAMPLES; l += PW_WIDE)
      wide_store (out + l, all);
  }
}

const PwSimLanesLoops PW_SIM_LOOPS = {
  .name = PW_WIDE_NAME,
  .rows = rows,
  .durations = durations,
  .samples = samples,
  .fill = fill,
  .draw = PW_SIM_JITTER,
};
