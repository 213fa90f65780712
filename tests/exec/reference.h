/* Training by hand: one micro-batch after another on one rank, weights and gradients copied in and
 * out, every version ever made kept. Slow and plain; only the kernels are those of the executor. */
#pragma once
#include "exec_case.h"

typedef struct Reference Reference;
/* MODEL as C's (JSON); optimiser and seed are C's. */
Reference *reference_new (ExecCase *c, const char *model);
void reference_free (Reference *reference);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reference, reference_free)

/* Forward and backward of micro-batch M of C's current mini-batch; STAGE_VERSION[stage] updates
 * made the weights it uses. Gradients add up. Returns the loss times SCALE. */
double reference_microbatch (Reference *reference, int m, const int *stage_version, double scale);
/* The gradients since the last call are moved to the running sum: sum + gradients. */
void reference_add (Reference *reference);
/* The optimiser makes the next version from the newest with the running sum, which is then zero. */
void reference_update (Reference *reference);
int reference_versions (const Reference *reference); /* updates so far */
/* Targets in micro-batches FIRST .. END - 1. */
int64_t reference_targets (const Reference *reference, int first, int end);
char *reference_sha256 (Reference *reference);
