/* The order 1F1B and its relatives give one stage: WARMUP forwards (at most M), one forward and one
 * backward in turn, the remaining backwards. */
#pragma once
#include "schedules/registry_private.h"

/* Writes 2 * MICROBATCHES actions to OUT; returns its end. */
PwAction *pw__write_one_f_one_b (PwAction *out, int stage, int microbatches, int warmup);
