#include "schedules/action.h"

#include <stdio.h>
#include <string.h>

G_STATIC_ASSERT (sizeof (PwAction) == 8);

const PwActionKindInfo pw_action_kinds[PW_ACTION_N] = {
  [PW_ACTION_FORWARD]
  = { .name = "F", .is_compute = TRUE, .is_counted = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_BACKWARD]
  = { .name = "B", .is_compute = TRUE, .is_counted = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_INPUT_GRADIENT]
  = { .name = "I", .is_compute = TRUE, .is_counted = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_WEIGHT_GRADIENT]
  = { .name = "W", .is_compute = TRUE, .is_counted = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_RECOMPUTE] = { .name = "R", .is_compute = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_UPDATE] = { .name = "U", .is_compute = TRUE },
  [PW_ACTION_NORM] = { .name = "NORM" },
  [PW_ACTION_SEND_FORWARD] = { .name = "SEND_F", .is_send = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_RECV_FORWARD] = { .name = "RECV_F", .is_recv = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_SEND_BACKWARD] = { .name = "SEND_B", .is_send = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_RECV_BACKWARD] = { .name = "RECV_B", .is_recv = TRUE, .has_microbatch = TRUE },
  [PW_ACTION_REDUCE_GRADIENT] = { .name = "REDUCE_GRAD" },
  [PW_ACTION_UNSHARD] = { .name = "UNSHARD" },
  [PW_ACTION_RESHARD] = { .name = "RESHARD" },
  [PW_ACTION_OFFLOAD] = { .name = "OFFLOAD", .has_microbatch = TRUE },
  [PW_ACTION_RELOAD] = { .name = "RELOAD", .has_microbatch = TRUE },
};

gboolean
pw_action_equal (PwAction a, PwAction b) {
  return memcmp (&a, &b, sizeof a) == 0;
}

const char *
pw_action_format (PwAction action, char text[PW_ACTION_TEXT_MAX]) {
  g_assert (action.kind < PW_ACTION_N);
  const PwActionKindInfo *kind = &pw_action_kinds[action.kind];
  if (kind->has_microbatch)
    snprintf (text, PW_ACTION_TEXT_MAX, "%u%s%u", action.stage, kind->name, action.microbatch);
  else
    snprintf (text, PW_ACTION_TEXT_MAX, "%u%s", action.stage, kind->name);
  return text;
}
