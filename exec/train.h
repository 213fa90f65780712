/* The training loop of `run`: batches, steps, losses, figures. A step is one mini-batch; those of
 * an endless schedule are one stream, without a flush between them. */
#pragma once
#include "exec/data.h"
#include "exec/exec.h"

typedef struct {
  const PwResolvedPlan *resolved;
  const PwPlan *plan;
  PwExecOptions exec; /* its bootstrap's processes all train, and get the same result */
  int64_t steps;
  int64_t warmup_steps; /* left out of the figures; default min(2, steps / 4) when negative */
  /* After each step; NULL: none. On the caller's thread. */
  void (*progress) (int64_t step, double loss, double iteration_s, gpointer data);
  gpointer progress_data;
  /* Set from a signal handler: the run stops within an action and returns INTERRUPTED, RESULT holds
   * what there is. NULL: never. */
  const volatile int *interrupted;
} PwTrainOptions;

typedef struct {
  int64_t steps;       /* completed */
  int64_t graph_steps; /* of these, launched as CUDA graphs */
  char *graphs_reason; /* why the last ones were not; NULL: nothing went wrong */
  double *losses;
  double *iteration_s;
  double iteration_time;   /* median after warm-up of end_k - end_(k-1) */
  double items_per_second; /* tokens (sequence models) or samples */
  gboolean items_are_tokens;
  char *parameters_sha256;
  int n_ranks;
  PwExecRank *rank; /* figures of the last step; of an endless schedule the means of all */
  PwTrace *trace;   /* NULL if none was asked for */
} PwTrainResult;
/* On failure *RESULT may still be set (what was done so far, trace included). */
gboolean pw_train_run (const PwTrainOptions *options, PwTrainResult **result, GError **error);
void pw_train_result_free (PwTrainResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTrainResult, pw_train_result_free)
