/* Proves a schedule: complete, nothing twice, dependencies kept, placement consistent, memory
 * within the limit, and free of deadlock under a policy. Linear in the number of actions. */
#pragma once
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef struct {
  PwScheduleError code;
  int rank;       /* -1: none in particular */
  int64_t action; /* index in the rank's list, -1: none */
  char *message;  /* a deadlock's names the whole cycle: who waits for whom, at which action */
} PwCheckFinding;

typedef struct {
  gboolean valid;
  int n_findings;
  PwCheckFinding *findings;
  PwAccumulation accumulation;
  double *peak_activations; /* [ranks] */
} PwCheckReport;

typedef struct {
  PwPolicy policy;
  gboolean batched;
  double memory_limit;  /* micro-batches of a rank's activations; 0: none */
  double weight_memory; /* 0: the default 0.5; negative: nothing is left for W */
  int max_findings;     /* stop after this many; 0: 20 */
} PwCheckOptions;

/* A compute schedule is lowered under the policy first. EDGES may be NULL: a chain. */
PwCheckReport *pw_schedule_check (const PwSchedule *schedule, const PwStageEdges *edges,
                                  const PwCheckOptions *options);
void pw_check_report_free (PwCheckReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwCheckReport, pw_check_report_free)

/* Peak of F adds 1/V, B removes 1/V, I (1-w)/V, W w/V, per rank, by list order; a piece of k 1/k of
 * that. */
void pw_schedule_peak_activations (const PwSchedule *schedule, double weight_memory, double *peaks);
