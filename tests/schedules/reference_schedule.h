/* Slow and obviously right: what a schedule does when it is run, by trying again and again whether
 * anything can go on. Shares no code with the library beyond its structures. */
#pragma once
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef struct {
  gboolean finished; /* else it hangs */
  double time;       /* the last end */
  double span;       /* the longest from a rank's first start to its last end */
} ReferenceRun;

/* A compute schedule: order and dependencies, messages take no time. */
ReferenceRun reference_run_compute (const PwSchedule *schedule, const PwStageEdges *edges, double F,
                                    double I, double W);
/* A lowered one under POLICY; messages take no time beyond waiting for each other. */
ReferenceRun reference_run_lowered (const PwSchedule *schedule, const PwStageEdges *edges,
                                    PwPolicy policy, double F, double I, double W);

/* Is it what a schedule has to be, and does it run to its end under POLICY? Of a compute schedule the
 * messages are left to the lowering, so no policy matters. Everything is counted by walking all
 * lists again for every question. NULL, or the first thing wrong, in a word. */
const char *reference_verdict (const PwSchedule *schedule, const PwStageEdges *edges,
                               PwPolicy policy);

/* Random valid things, by g_test_rand_int. */
PwStageEdges *reference_random_edges (int stages);
/* Any order of F and B (or I and W) that respects EDGES, on a random placement. */
PwSchedule *reference_random_schedule (const PwStageEdges *edges, int ranks, int microbatches,
                                       gboolean split);
/* Moves messages to random legal places: sends later, receives earlier. */
void reference_shuffle_messages (PwSchedule *lowered);
gboolean reference_same_lists (const PwSchedule *a, const PwSchedule *b);
