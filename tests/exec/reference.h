/* Training by hand: one micro-batch after another on one rank, weights and gradients copied in and
 * out, every version ever made kept. Slow and plain; only the kernels are those of the executor. */
#pragma once
#include "exec_case.h"

/* MODEL is C's, as JSON; optimiser and seed are C's. Both return the parameters' SHA-256 and fill
 * LOSSES[STEPS].
 *
 * Two directions: the gradients of direction 0's micro-batches, those of direction 1's, their sum.
 */
char *reference_train_replicas (ExecCase *c, const char *model, int steps, double *losses);
/* An asynchronous schedule: the delays are counted in the compute lists, as PwVersionRule says. */
char *reference_train_delayed (ExecCase *c, const char *model, int steps, double *losses);
/* Losses and parameters of C, whose schedule may be asynchronous, are those of its reference. */
void reference_compare (ExecCase *c, const char *model, const PwTransport *transport, int steps);
