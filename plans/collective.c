#include "plans/collective.h"

#include <stddef.h>

const char *const pw_collective_names[]
    = { [PW_COLLECTIVE_RING] = "ring", [PW_COLLECTIVE_TREE] = "tree", NULL };

PwCollective
pw_collective_over (const PwCollective *collective, const PwLink *between) {
  PwCollective over = *collective;
  if (over.latency_s <= 0)
    over.latency_s = between->latency_s;
  if (over.bandwidth <= 0)
    over.bandwidth = between->bandwidth;
  return over;
}

static int
ceil_log2 (int n) {
  int steps = 0;
  while (steps < 31 && (1 << steps) < n)
    steps++;
  return steps;
}

double
pw_collective_all_reduce (const PwCollective *collective, int members, double bytes) {
  if (members <= 1)
    return 0;
  double time = collective->bandwidth > 0 ? bytes / collective->bandwidth : 0;
  if (collective->algorithm == PW_COLLECTIVE_TREE)
    return 2 * ceil_log2 (members) * collective->latency_s + 2 * time;
  return 2 * (members - 1) * collective->latency_s + 2 * time * (members - 1) / members;
}
