/* What a generator is told. Costs steer only the generators that depend on them. */
#pragma once
#include <glib.h>

typedef struct {
  int ranks, microbatches;
  int chunks;       /* stages per rank and direction (V); 0: the schedule's own default */
  int group;        /* interleaved: micro-batches per group; 0: default */
  const char *group_rule; /* NULL (ours), "megatron", "pytorch" */
  int waves, pieces, update_every; /* 0: default */
  gboolean reverse; /* backward of a group in descending order */
  double F, I, W, comm; /* of one stage, default 1, 1, 1, 0 */
  double memory_limit;  /* micro-batches of a rank's activations; 0: none */
  double weight_memory; /* share of activations freed by W; default 0.5 */
} PwScheduleParams;
void pw_schedule_params_init (PwScheduleParams *params);
