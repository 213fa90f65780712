/* PipeDream (arXiv 1806.03377): 1F1B without a flush, every backward followed by an update. A
 * forward uses the newest weights its rank has, the backward of that micro-batch the same ones
 * again, which rank r therefore keeps: as many versions as it has micro-batches under way, P-r. The
 * pipeline fills once; after that no rank waits.
 *
 *   F = 1, B = 2, P = 3, M = 5; u: the update
 *   rank 0 | F0 F1 F2 .  .  .  .  B0---uF3 B1---uF4 B2---u.  B3---u.  B4---u     warm-up 2
 *   rank 1 | .  F0 F1 .  .  B0---uF2 B1---uF3 B2---uF4 B3---u.  B4---u.  .       warm-up 1
 *   rank 2 | .  .  F0 B0---uF1 B1---uF2 B2---uF3 B3---uF4 B4---u.  .  .  .       warm-up 0
 */
#include "schedules/pipedream_private.h"

static void
write_program (PwProgram *program, int stage, int M, int warmup, int every) {
  int64_t room = program->n_prologue;
  int repeats = (M - warmup) / every;
  PwAction *out = program->actions;
  for (int m = 0; m < warmup; m++)
    *out++ = pw_action (PW_ACTION_FORWARD, stage, m);
  program->n_prologue = out - program->actions;
  for (int m = 0; m < every; m++) {
    *out++ = pw_action (PW_ACTION_FORWARD, stage, warmup + m);
    *out++ = pw_action (PW_ACTION_BACKWARD, stage, m);
  }
  *out++ = pw_action (PW_ACTION_UPDATE, stage, 0);
  program->n_body = out - program->actions - program->n_prologue;
  program->repeats = repeats;
  program->shift = every;
  for (int m = repeats * every; m < M; m++) {
    if (warmup + m < M)
      *out++ = pw_action (PW_ACTION_FORWARD, stage, warmup + m);
    *out++ = pw_action (PW_ACTION_BACKWARD, stage, m);
    if ((m + 1) % every == 0)
      *out++ = pw_action (PW_ACTION_UPDATE, stage, 0);
  }
  program->n_epilogue = out - program->actions - program->n_prologue - program->n_body;
  g_assert (out - program->actions <= room);
}

PwSchedule *
pw__schedule_new_endless (const char *name, const PwScheduleParams *params, int every) {
  int M = params->microbatches, P = params->ranks;
  g_assert (M % every == 0);
  /* Warm-up, body, and the drain: less than a body and the warm-up's backwards. */
  int64_t longest = MIN (M, P) + 3 * (2 * (int64_t)every + 1) + 2 * (int64_t)MIN (M, P);
  PwSchedule *schedule = pw__schedule_new_straight (name, params, longest);
  for (int rank = 0; rank < P; rank++)
    write_program (&schedule->programs[rank], rank, M, MIN (M, P - 1 - rank), every);
  schedule->promise.synchronous = FALSE;
  return schedule;
}

double
pw__endless_bubble_time (const PwScheduleParams *p) {
  return (p->ranks - 1) * (p->F + p->I + p->W);
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  PwSchedule *schedule = pw__schedule_new_endless ("pipedream", params, 1);
  schedule->promise.weight_versions = MIN (params->microbatches + 1, params->ranks);
  schedule->promise.version_rule = PW_VERSIONS_NEWEST;
  return schedule;
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  return MIN (params->microbatches, params->ranks - rank);
}

const PwScheduleType pw__schedule_pipedream = {
  .name = "pipedream",
  .summary = "1f1b without end: an update behind every backward, P-r weight versions",
  .paper = "PipeDream (Harlap et al., 2018), arXiv 1806.03377",
  .title = "PipeDream: Fast and Efficient Pipeline Parallel DNN Training",
  .about = "No flush: the pipeline fills once, and from then on no rank waits. The price is "
           "exactness. Every backward is followed by an update, and rank r's gradients are of "
           "weights P-1-r updates old, so that training takes another course than sequential "
           "training. For the backward to meet the weights of its forward, rank r keeps P-r "
           "versions of them",
  .follows = "The runtime of msr-fiddle/pipedream: the warm-up, then forward, backward with the "
             "stashed weights, update; one version more than there are warm-up forwards",
  .differs = "PipeDream also runs one stage on several workers, as many as its optimiser finds "
             "best; here each stage stands on one rank",
  .related = "pipedream-2bw 1f1b",
  .bubble = "(P-1)(F+B) once in a run of any length, to fill and drain; any M",
  .peak = "min(M, P-r), and as many weight versions",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = pw__endless_bubble_time,
  .peak_activations = peak_activations,
};
