#include "schedules/params.h"

void
pw_schedule_params_init (PwScheduleParams *params) {
  *params = (PwScheduleParams){
    .ranks = 1, .microbatches = 1, .F = 1, .I = 1, .W = 1, .comm = 0, .weight_memory = 0.5
  };
}
