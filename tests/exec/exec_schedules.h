/* What holds of every synchronous schedule with one replica, as tests: no bit of what is trained
 * depends on the rank count, the policy, delays, or recomputation. */
#pragma once
#include "exec_case.h"

typedef struct {
  const char *prefix;           /* of the tests' names: "/exec/exact-interleaved" */
  const char *models[2];        /* JSON, deep enough for all stages */
  const char *const *schedules; /* members of the plan's "schedule" */
  int n_schedules;
  int n_ascending; /* of them, from the first: those that accumulate in ascending order */
  int microbatches[3];
  int steps;
} ExecSchedules;
/* SCHEDULES must outlive the tests. */
void exec_schedules_add_tests (const ExecSchedules *schedules);
