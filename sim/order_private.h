/* Puts a graph into levels. */
#pragma once
#include <glib.h>
#include <stdint.h>

/* Node i of N waits for A[i] and B[i] (-1: none; A -2: no node). PLACE[i] becomes its number, from
 * 1 on, level by level and in the given order within a level, a level being one more than the
 * highest it waits for. Returns one more than the highest number, or -1 with the nodes of a cycle
 * in CYCLE (int32_t), each waiting for the next. */
int32_t pw__sim_order (int32_t n, const int32_t *a, const int32_t *b, int32_t *place,
                       GArray *cycle);
