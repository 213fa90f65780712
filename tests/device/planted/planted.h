/* One program with every planted fault: `planted CASE [SEEDS]` runs the case with seeds 1..SEEDS
 * and ends with 0 where all values are right, 1 where some are wrong (saying for how many seeds);
 * sanitizers, hang and fault reports end it otherwise. Plain C: it must be quiet under
 * ThreadSanitizer. */
#pragma once
#include <stdio.h>
#include <stdlib.h>

#include "tests/device/fake/fake.h"

#define CHECK(call)                                                                                \
  do {                                                                                             \
    int code_ = (int)(call);                                                                       \
    if (code_) {                                                                                   \
      fprintf (stderr, "%s:%d: %s gives %d\n", __FILE__, __LINE__, #call, code_);                  \
      exit (5);                                                                                    \
    }                                                                                              \
  } while (0)

typedef struct {
  const char *name;
  int (*run) (const char *name); /* number of wrong values */
} PlantedCase;

extern const PlantedCase planted_kernel_cases[], planted_stream_cases[], planted_product_cases[],
    planted_nccl_cases[], planted_graph_cases[]; /* each ends with a row without a name */
