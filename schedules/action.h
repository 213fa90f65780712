/* One entry of a rank's list, in 64 bits:
 *
 *   stage:16 | edge:16 | microbatch:24 | kind:5 | direction:1 | paired:1 | grouped:1
 *
 * `microbatch` is micro-batch times sequence pieces: piece j of k is m*k + j. `edge` is meant for
 * messages only: the index into the stage edges. `direction` 1 is the second pipe of a bidirectional
 * schedule. `paired`: this action and the next run as one overlapped pair; both outputs are available
 * at its end. `grouped`: this message and the next belong to one batched group. */
#pragma once
#include <glib.h>
#include <stdint.h>
#include <string.h>

typedef enum {
  PW_ACTION_FORWARD,         /* F */
  PW_ACTION_BACKWARD,        /* B: I then W with the same kernels */
  PW_ACTION_INPUT_GRADIENT,  /* I */
  PW_ACTION_WEIGHT_GRADIENT, /* W */
  PW_ACTION_RECOMPUTE,       /* R */
  PW_ACTION_UPDATE,          /* U: optimiser step of a stage; no micro-batch */
  PW_ACTION_NORM,            /* global norm or overflow exchange; no micro-batch */
  PW_ACTION_SEND_FORWARD,
  PW_ACTION_RECV_FORWARD,
  PW_ACTION_SEND_BACKWARD,
  PW_ACTION_RECV_BACKWARD,
  PW_ACTION_REDUCE_GRADIENT, /* no micro-batch */
  PW_ACTION_UNSHARD,         /* no micro-batch */
  PW_ACTION_RESHARD,         /* no micro-batch */
  PW_ACTION_OFFLOAD,
  PW_ACTION_RELOAD,
  PW_ACTION_N
} PwActionKind;

#define PW_STAGES_MAX 65535
#define PW_EDGES_MAX 65535
#define PW_MICROBATCHES_MAX 16777215 /* times pieces */

typedef struct {
  uint32_t stage : 16, edge : 16;
  uint32_t microbatch : 24, kind : 5, direction : 1, paired : 1, grouped : 1;
} PwAction;

/* What the checker, the simulator and the worker ask of a kind; one row each. */
typedef struct {
  const char *name;       /* CSV and traces: "F", "SEND_F", "REDUCE_GRAD" */
  gboolean is_compute;    /* F B I W R U: occupies the rank */
  gboolean is_counted;    /* F B I W: counts as an action in every statistic */
  gboolean is_send, is_recv;
  gboolean has_microbatch;
} PwActionKindInfo;
extern const PwActionKindInfo pw_action_kinds[PW_ACTION_N];

/* Every bit-field is named: gcc builds such a value in a register, and a partial one in memory with
 * a stalled load, six times slower. */
static inline PwAction
pw_action (PwActionKind kind, int stage, int64_t microbatch) {
  return (PwAction){ .stage = (uint16_t) stage,
                     .edge = 0,
                     .microbatch = (uint32_t) microbatch & 0xffffffu,
                     .kind = (uint32_t) kind & 31u,
                     .direction = 0,
                     .paired = 0,
                     .grouped = 0 };
}

/* For loops over millions of actions. Kind, direction, paired and grouped together decide how an
 * action is dealt with: one look into a table of PW_ACTION_KEYS instead of four into the action. */
#define PW_ACTION_KEYS 256
static inline uint8_t
pw_action_key (const PwAction *action) {
  return ((const uint8_t *) action)[7];
}
/* Several fields at once are compared or set under a mask: the bits of an action with ones there. */
static inline uint64_t
pw_action_bits (const PwAction *action) {
  uint64_t bits;
  memcpy (&bits, action, sizeof bits);
  return bits;
}

gboolean pw_action_equal (PwAction a, PwAction b);
/* "2F5", "1SEND_F0", "3U"; a fixed buffer, no allocation. Microbatch numbers as stored. */
#define PW_ACTION_TEXT_MAX 40
const char *pw_action_format (PwAction action, char text[PW_ACTION_TEXT_MAX]);
