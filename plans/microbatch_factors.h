/* Micro-batches that take different times, as sequences of different length do: a factor on every
 * compute time, one per micro-batch, or one per micro-batch and stage. As text
 *
 *   FILE                       a line per micro-batch: one factor, or one per stage, with commas;
 *                              empty lines and those that begin with "#" are passed over
 *   1,0.5,2                    one per micro-batch
 *   1,1;0.5,0.75;2,2           one per micro-batch and stage
 *   lognormal:SIGMA[:SEED]     drawn; SIGMA: deviation of the logarithm
 *   uniform:LOW:HIGH[:SEED]    drawn between the two
 *
 * and in a plan file also [1, 0.5, 2] or [[1, 1], [0.5, 0.75], [2, 2]]. What is drawn is scaled so
 * that the factors' mean is 1, and is the same for the same seed (default 1). */
#pragma once
#include "io/json.h"
#include "plans/costs.h"

/* Into COSTS of MICROBATCHES, times what they have already. FOLDER: where relative names start;
 * NULL: here. Errors: of PW_PLAN_ERROR_VALUE, and the file's. */
gboolean pw_microbatch_factors_apply (const char *text, const char *folder, PwStageCosts *costs,
                                      int microbatches, GError **error);
/* A PwJsonKey's `read`: FIELD is a char *, which becomes the text. */
gboolean pw_microbatch_factors_read (PwJsonPlace place, json_t *value, void *field, GError **error);
