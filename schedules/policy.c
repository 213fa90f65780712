#include "schedules/policy.h"

const PwPolicyInfo pw_policies[PW_POLICY_N] = {
  [PW_POLICY_BUFFERED] = { .name = "buffered",
                           .summary = "sends are copied away at once, nothing waits for a receiver",
                           .queue = PW_QUEUE_NONE,
                           .blocks_program = FALSE,
                           .needs_receiver = FALSE },
  [PW_POLICY_RENDEZVOUS]
  = { .name = "rendezvous",
      .summary = "a send stops its rank until the receive has taken the data",
      .queue = PW_QUEUE_NONE,
      .blocks_program = TRUE,
      .needs_receiver = TRUE },
  [PW_POLICY_SHARED_STREAM] = { .name = "shared-stream",
                                .summary = "one communicator, one in-order queue per rank",
                                .queue = PW_QUEUE_RANK,
                                .blocks_program = FALSE,
                                .needs_receiver = TRUE },
  [PW_POLICY_PER_PEER] = { .name = "per-peer",
                           .summary = "one in-order queue per rank and peer",
                           .queue = PW_QUEUE_PEER,
                           .blocks_program = FALSE,
                           .needs_receiver = TRUE },
  [PW_POLICY_PER_EDGE] = { .name = "per-edge",
                           .summary = "one in-order queue per stage edge, F or B, and direction",
                           .queue = PW_QUEUE_EDGE,
                           .blocks_program = FALSE,
                           .needs_receiver = TRUE },
};

const char *const pw_policy_names[PW_POLICY_N + 1] = {
  [PW_POLICY_BUFFERED] = "buffered",           [PW_POLICY_RENDEZVOUS] = "rendezvous",
  [PW_POLICY_SHARED_STREAM] = "shared-stream", [PW_POLICY_PER_PEER] = "per-peer",
  [PW_POLICY_PER_EDGE] = "per-edge",           [PW_POLICY_N] = NULL,
};

gboolean
pw_policy_parse (const char *name, PwPolicy *policy) {
  for (PwPolicy p = 0; p < PW_POLICY_N; p++)
    if (g_str_equal (name, pw_policies[p].name)) {
      *policy = p;
      return TRUE;
    }
  return FALSE;
}
