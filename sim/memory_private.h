/* Bytes over time, from the times of actions and the bytes of stages (plans/costs.h).
 *
 *   start       parameters, gradients, optimizer, versions of the rank's stages; workspace: its
 *               largest
 *               communication: the libraries' own, for each communicator that the rank is in
 *   RECV_F      its share of input_bytes, when the program reaches it: at the end of the compute
 *               before it
 *   F           forward_peak while it runs; then stash; of the input what is kept stays; the output
 *               is held until its last SEND_F has ended
 *   F before R  the same with what is kept for R
 *   R           its own peak while it runs; then what F without R would have left
 *   RECV_B      its share of gradient_in, when the program reaches it
 *   B, I        backward_peak, input_peak while it runs; then stash, kept input and gradient_in go,
 *               gradient_out is held until its last SEND_B has ended; after I kept stays
 *   W           weight_peak while it runs; then kept goes
 *
 *   OFFLOAD     the stash goes when it ends, until RELOAD starts
 *   REDUCE_GRAD what replicas on two ranks exchange at once, while it runs
 *
 * An edge inside a rank needs no message: its share comes when its maker ends. A stage with several
 * edges is given its input_bytes in proportion to their messages. */
#pragma once
#include "sim/layout_private.h"

gboolean pw__sim_memory_is_known (const PwStageCosts *costs);
/* A rank's communicators by the policy (exec/nccl_private.h): one for each end of a channel, for
 * each peer, or for all; one more where whole pipelines exchange gradients. */
int pw__sim_communicators (const PwSimLayout *layout, int rank);
/* Samples and peaks; nothing where no bytes are known. */
void pw__sim_memory_add (const PwSimInput *input, const PwSimLayout *layout,
                         const PwSimIndex *index, PwSimResult *result);
