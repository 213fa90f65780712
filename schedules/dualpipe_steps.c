#include "schedules/dualpipe_private.h"

typedef struct {
  const PwDualLane *lane;
  PwAction *out;
  const PwAction *owing; /* weight gradients of the I from here on are still to come, in order */
  int forward[2], backward[2]; /* next of each flow */
} Writer;

static PwAction
action_of (const Writer *w, PwActionKind kind, int flow, int number) {
  const PwDualLane *lane = w->lane;
  PwAction action = pw_action (kind, lane->flow[flow].stage, lane->flow[flow].first + number);
  action.direction = lane->flow[flow].direction != 0;
  return action;
}

static void
forward (Writer *w, int flow) {
  *w->out++ = action_of (w, PW_ACTION_FORWARD, flow, w->forward[flow]++);
}

static void
backward (Writer *w, int flow) {
  *w->out++ = action_of (w, PW_ACTION_BACKWARD, flow, w->backward[flow]++);
}

static void
input_gradient (Writer *w, int flow) {
  *w->out++ = action_of (w, PW_ACTION_INPUT_GRADIENT, flow, w->backward[flow]++);
}

/* Of the earliest I that still lacks it. */
static void
weight_gradient (Writer *w) {
  while (w->owing->kind != PW_ACTION_INPUT_GRADIENT)
    w->owing++;
  g_assert (w->owing < w->out);
  PwAction action = *w->owing++;
  action.kind = PW_ACTION_WEIGHT_GRADIENT;
  *w->out++ = action;
}

/* F of FLOW with B of the other, at the same time. */
static void
pair (Writer *w, int flow) {
  forward (w, flow);
  w->out[-1].paired = 1;
  backward (w, 1 - flow);
}

/* Forwards until the first backward comes, which fills the wait with its weight gradient. */
static void
warm_up (Writer *w, int below) {
  for (int i = 0; i < 2 * below; i++)
    forward (w, 0);
  for (int i = 0; i <= w->lane->position; i++) {
    forward (w, 0);
    forward (w, 1);
  }
  for (int i = 0; i < below; i++) {
    input_gradient (w, 1);
    weight_gradient (w);
    forward (w, 1);
  }
}

/* All pairs. At the fold the first two are one after the other: the backward there waits for
 * nothing but its own forward, and others wait for both. */
static void
run_steadily (Writer *w, int below) {
  const PwDualLane *lane = w->lane;
  int n = lane->microbatches - 2 * lane->positions + lane->position + 1;
  for (int i = 0; i < n; i++) {
    if (i == 0 && below == 0) {
      forward (w, 0);
      backward (w, 1);
    } else {
      pair (w, 0);
    }
    pair (w, 1);
  }
  for (int i = 0; i < below; i++) {
    backward (w, 1);
    pair (w, 1);
  }
}

/* The second half of the last backwards leaves its weight gradients for the gaps at the end. */
static void
cool_down (Writer *w, int below) {
  int n = w->lane->position + 1;
  for (int i = 0; i < 2 * n; i++) {
    if (i >= n)
      input_gradient (w, 1 - i % 2);
    else
      backward (w, 1 - i % 2);
  }
  for (int i = 0; i < below; i++) {
    weight_gradient (w);
    input_gradient (w, 0);
  }
  for (int i = 0; i < n; i++)
    weight_gradient (w);
}

int64_t
pw__dual_length (int positions, int microbatches) {
  return 4 * (int64_t)microbatches + 2 * (int64_t)positions;
}

int64_t
pw__dual_write (const PwDualLane *lane, PwAction *out) {
  Writer w = { .lane = lane, .out = out, .owing = out };
  int below = lane->positions - 1 - lane->position;
  warm_up (&w, below);
  run_steadily (&w, below);
  cool_down (&w, below);
  return w.out - out;
}
