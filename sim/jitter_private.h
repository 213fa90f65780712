#pragma once
#include "sim/lanes_loops_private.h"
#include "sim/sim.h"

/* LOOPS: which instruction set. */
PwSimJitterResult *pw__sim_jitter (PwSimProgram *program, const PwSimLanesLoops *loops,
                                   const PwStageCosts *costs, const PwSimJitter *jitter);
