/* Traces made without simulator or executor. */
#pragma once
#include "traces/trace.h"

typedef struct {
  int ranks, microbatches, iterations;
  double forward, backward, latency;
  double jitter;   /* each duration times 1 + up to JITTER, from g_test_rand_double */
  gboolean memory; /* one sample at each start and end of an action */
  gboolean messages;
  gboolean unitless;
} ExampleOneFOneB;
/* 1F1B, each iteration after the last one's barrier. */
PwTrace *example_trace_1f1b (const ExampleOneFOneB *example);

/* Anything legal: every kind, odd times, gaps, idle ranks. */
PwTrace *example_trace_random (void);

/* A folder for the test's files, and its removal with all in it. */
char *example_folder_new (void);
void example_folder_remove (char *folder);
