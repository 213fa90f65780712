/* Initial values by counter: element i of a tensor depends on (seed, tensor name, i) alone, so it
 * is the same on any rank, in any order. The generator is SplitMix64 (Steele, Lea, Flood 2014). */
#include <math.h>

#include "exec/exec_private.h"
#include "exec/random_private.h"

static uint64_t
stream_of (int64_t seed, const char *name) {
  uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
  for (const char *c = name; *c; c++)
    hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
  return pw__random_mix (pw__random_mix ((uint64_t)seed) ^ hash);
}

void
pw__initial_fill (int64_t seed, const char *name, PwInit init, double scale, int64_t n,
                  float *values) {
  uint64_t stream = stream_of (seed, name);
  switch (init) {
  case PW_INIT_ZEROS:
  case PW_INIT_ONES:
    for (int64_t i = 0; i < n; i++)
      values[i] = init == PW_INIT_ONES ? 1.0f : 0.0f;
    break;
  case PW_INIT_UNIFORM:
    for (int64_t i = 0; i < n; i++)
      values[i] = (float)(scale * (2 * pw__random_uniform (stream, (uint64_t)i) - 1));
    break;
  case PW_INIT_NORMAL:
    for (int64_t i = 0; i < n; i += 2) {
      double pair[2];
      pw__random_normal_pair (stream, (uint64_t)i, pair);
      values[i] = (float)(scale * pair[0]);
      if (i + 1 < n)
        values[i + 1] = (float)(scale * pair[1]);
    }
    break;
  }
}
