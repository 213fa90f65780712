/* What the files of the library's pipeline share. */
#pragma once
#include "exec/exec.h"
#include "pipewright/pipewright.h"
#include "plans/resolve.h"

struct PwSequential {
  json_t *layers; /* as in a plan's "model": {"layers": [...]} */
  GError *error;  /* the first one */
};

/* The lists for one number of micro-batches: under the schedule, and as all F, then all B. */
typedef struct {
  int microbatches;
  PwSchedule *whole, *forward, *backward;
  int whole_program, forward_program, backward_program; /* the executor's numbers */
} PwPipelineLists;

struct PwPipeline {
  PwPlan *plan;
  PwResolvedPlan *resolved;
  PwExec *exec;
  GPtrArray *lists; /* PwPipelineLists */
  int chunks;
  gboolean is_cross_entropy;
  PwStream *loss_stream; /* for the built-in losses, which run on the last rank's worker */
  int64_t forward_samples; /* of a forward whose backward is to come, else 0 */
  double iteration_s;      /* of the last forward_backward */
  PwLayerCosts *costs;     /* measured by predict, kept */
};

/* Micro-batch sizes of a mini-batch: at most `chunks`, as torch.chunk cuts. */
int64_t *pw__pipeline_cut (const PwPipeline *pipeline, int64_t samples, int *microbatches);
/* The lists for that many micro-batches, made on first use. */
PwPipelineLists *pw__pipeline_lists (PwPipeline *pipeline, int microbatches, GError **error);
const PwShape *pw__pipeline_output (const PwPipeline *pipeline);
