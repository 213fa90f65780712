/* Which of the compiled loops this processor can run, asked at run time so that one binary
 * travels. A plain table: function multiversioning needs ifuncs, which sanitizers do not survive.
 */
#include "kernels/cpu/vector.h"
#include <stdbool.h>
#include <stddef.h>

extern const PwMapLoops pw__cpu_maps_baseline;
extern const PwRowLoops pw__cpu_rows_baseline;

static bool
always (void) {
  return true;
}

#ifdef PW_CPU_X86
extern const PwMapLoops pw__cpu_maps_avx2, pw__cpu_maps_avx512;
extern const PwRowLoops pw__cpu_rows_avx2, pw__cpu_rows_avx512;

static bool
has_avx2 (void) {
  return __builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma");
}

static bool
has_avx512 (void) {
  return has_avx2 () && __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512dq")
         && __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512vl");
}
#endif

static const struct {
  bool (*runs) (void);
  PwVectorLoops loops;
} tables[] = {
#ifdef PW_CPU_X86
  { .runs = has_avx512,
    .loops = { .name = "avx512", .maps = &pw__cpu_maps_avx512, .rows = &pw__cpu_rows_avx512 } },
  { .runs = has_avx2,
    .loops = { .name = "avx2", .maps = &pw__cpu_maps_avx2, .rows = &pw__cpu_rows_avx2 } },
#endif
  { .runs = always,
    .loops
    = { .name = "baseline", .maps = &pw__cpu_maps_baseline, .rows = &pw__cpu_rows_baseline } },
};

const PwVectorLoops *
pw__cpu_vector_loops (int index) {
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    if (tables[i].runs () && index-- == 0)
      return &tables[i].loops;
  return NULL;
}
