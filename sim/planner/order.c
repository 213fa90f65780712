#include "sim/planner/order_private.h"

#include <string.h>

/* Relative to all the work of the problem. */
#define TOLERANCE 1e-12

static void
fill_costs (PwOrderProblem *problem, const PwSearchInput *input) {
  for (int s = 0; s < problem->stages; s++) {
    const PwStageCost *cost = &input->costs->stage[s];
    problem->duration[PW_KIND_FORWARD][s] = cost->forward;
    problem->duration[PW_KIND_INPUT][s] = cost->input;
    problem->duration[PW_KIND_WEIGHT][s] = cost->weight;
    problem->held[s] = input->held[s];
    problem->kept[s] = input->kept[s];
    gboolean is_message
        = s + 1 < problem->stages && pw__order_rank (problem, s) != pw__order_rank (problem, s + 1);
    problem->link[s]
        = is_message ? pw_link_time (&input->costs->link[s], input->costs->message_bytes[s]) : 0;
    problem->tolerance
        += (cost->forward + cost->input + cost->weight + problem->link[s]) * problem->microbatches;
  }
  problem->tolerance *= TOLERANCE;
  double upstream = 0;
  for (int r = 0; r < problem->ranks; r++) {
    problem->limit[r] = input->limit[r] * (1 + 1e-12);
    problem->due[r] = input->objective == PW_OBJECTIVE_SPAN ? upstream : 0;
    upstream += problem->duration[PW_KIND_FORWARD][r] + problem->link[r];
  }
}

static int
row_of (const PwOrderProblem *problem, PwKind kind, int stage) {
  return (int)kind * problem->stages + stage;
}

/* The message STEP of STAGE waits for comes from KIND of stage FROM. */
static void
set_sender (const PwOrderProblem *problem, PwOrderStep *step, int stage, PwKind kind, int from) {
  step->sender = row_of (problem, kind, from);
  step->delay = from == stage ? 0 : problem->link[MIN (stage, from)];
  step->is_queued = step->delay > problem->duration[kind][from];
}

static void
fill_forwards (const PwOrderProblem *problem, PwOrderStep *step, PwKind kind, int stage) {
  double held = problem->held[stage], kept = problem->kept[stage];
  if (kind == PW_KIND_FORWARD) {
    step->memory = held;
    if (stage > 0)
      set_sender (problem, step, stage, PW_KIND_FORWARD, stage - 1);
  } else if (kind == PW_KIND_INPUT) {
    step->memory = kept - held;
    if (stage + 1 < problem->stages)
      set_sender (problem, step, stage, PW_KIND_INPUT, stage + 1);
    step->local = row_of (problem, PW_KIND_FORWARD, stage);
  } else {
    step->memory = -kept;
    step->local = row_of (problem, PW_KIND_INPUT, stage);
  }
}

static void
fill_backwards (const PwOrderProblem *problem, PwOrderStep *step, PwKind kind, int stage) {
  double held = problem->held[stage], kept = problem->kept[stage];
  if (kind == PW_KIND_WEIGHT) {
    step->memory = kept;
  } else if (kind == PW_KIND_INPUT) {
    step->memory = held - kept;
    if (stage > 0)
      set_sender (problem, step, stage, PW_KIND_INPUT, stage - 1);
    step->local = row_of (problem, PW_KIND_WEIGHT, stage);
  } else {
    step->memory = -held;
    if (stage + 1 < problem->stages)
      set_sender (problem, step, stage, PW_KIND_FORWARD, stage + 1);
    step->local = row_of (problem, PW_KIND_INPUT, stage);
  }
}

static void
fill_steps (PwOrderProblem *problem) {
  for (int r = 0; r < problem->ranks; r++)
    for (int letter = 0; letter < problem->letters; letter++) {
      PwKind kind = (PwKind)(letter / problem->chunks);
      int stage = pw__order_stage (problem, r, letter);
      int i = r * problem->letters + letter;
      PwOrderStep step = { .duration = problem->duration[kind][stage],
                           .row = row_of (problem, kind, stage),
                           .sender = -1,
                           .local = -1 };
      problem->forwards.steps[i] = problem->backwards.steps[i] = step;
      fill_forwards (problem, &problem->forwards.steps[i], kind, stage);
      fill_backwards (problem, &problem->backwards.steps[i], kind, stage);
    }
}

/* Rows that wait come after those they wait for: again and again until nothing changes. */
static void
find_earliest (const PwOrderProblem *problem, PwOrderDirection *direction) {
  direction->earliest = g_new0 (double, (gsize)problem->rows);
  g_autofree double *end = g_new0 (double, (gsize)problem->rows);
  for (gboolean changed = TRUE; changed;) {
    changed = FALSE;
    for (int i = 0; i < problem->ranks * problem->letters; i++) {
      const PwOrderStep *step = &direction->steps[i];
      double start = direction->release[i / problem->letters];
      if (step->sender >= 0)
        start = MAX (start, end[step->sender] + step->delay);
      if (step->local >= 0)
        start = MAX (start, end[step->local]);
      changed = changed || start > direction->earliest[step->row] || end[step->row] < start;
      direction->earliest[step->row] = start;
      end[step->row] = start + step->duration;
    }
  }
}

void
pw__order_problem_init (PwOrderProblem *problem, const PwSearchInput *input) {
  int ranks = input->ranks, chunks = input->chunks;
  *problem = (PwOrderProblem){ .ranks = ranks,
                               .microbatches = input->microbatches,
                               .chunks = chunks,
                               .stages = ranks * chunks,
                               .letters = PW_KIND_N * chunks,
                               .length = PW_KIND_N * chunks * input->microbatches,
                               .rows = PW_KIND_N * ranks * chunks };
  for (int kind = 0; kind < PW_KIND_N; kind++)
    problem->duration[kind] = g_new0 (double, (gsize)problem->stages);
  problem->link = g_new0 (double, (gsize)problem->stages);
  problem->held = g_new0 (double, (gsize)problem->stages);
  problem->kept = g_new0 (double, (gsize)problem->stages);
  problem->limit = g_new0 (double, (gsize)ranks);
  problem->due = g_new0 (double, (gsize)ranks);
  gsize n_steps = (gsize)ranks * (gsize)problem->letters;
  problem->forwards.steps = g_new0 (PwOrderStep, n_steps);
  problem->backwards.steps = g_new0 (PwOrderStep, n_steps);
  problem->forwards.release = g_new0 (double, (gsize)ranks);
  problem->backwards.release = g_new0 (double, (gsize)ranks);
  fill_costs (problem, input);
  fill_steps (problem);
  for (int r = 0; r < ranks; r++)
    problem->backwards.release[r] = problem->due[ranks - 1] - problem->due[r];
  find_earliest (problem, &problem->forwards);
  find_earliest (problem, &problem->backwards);
}

void
pw__order_problem_clear (PwOrderProblem *problem) {
  for (int kind = 0; kind < PW_KIND_N; kind++)
    g_free (problem->duration[kind]);
  g_free (problem->link);
  g_free (problem->held);
  g_free (problem->kept);
  g_free (problem->limit);
  g_free (problem->due);
  g_free (problem->forwards.steps);
  g_free (problem->backwards.steps);
  g_free (problem->forwards.release);
  g_free (problem->backwards.release);
  g_free (problem->forwards.earliest);
  g_free (problem->backwards.earliest);
  memset (problem, 0, sizeof *problem);
}

void
pw__order_reverse (const PwOrderProblem *problem, uint8_t *words) {
  for (int r = 0; r < problem->ranks; r++) {
    uint8_t *word = words + (gsize)r * (gsize)problem->length;
    for (int i = 0, j = problem->length - 1; i < j; i++, j--) {
      uint8_t letter = word[i];
      word[i] = word[j];
      word[j] = letter;
    }
  }
}

void
pw__order_scratch_init (PwOrderScratch *scratch, const PwOrderProblem *problem) {
  gsize size = pw__order_size (problem), ranks = (gsize)problem->ranks;
  gsize length = (gsize)problem->length;
  *scratch = (PwOrderScratch){ .end = g_new0 (double, size),
                               .count = g_new0 (int, (gsize)problem->rows),
                               .position = g_new0 (int, ranks),
                               .clock = g_new0 (double, ranks),
                               .arrival = g_new0 (double, (gsize)problem->rows),
                               .ranks = g_new0 (PwOrderRank, ranks),
                               .words = { g_new0 (uint8_t, size), g_new0 (uint8_t, size) } };
  for (gsize r = 0; r < ranks; r++)
    scratch->ranks[r] = (PwOrderRank){ .start = g_new0 (double, length),
                                       .end = g_new0 (double, length),
                                       .usage = g_new0 (double, length) };
}

void
pw__order_scratch_clear (PwOrderScratch *scratch, const PwOrderProblem *problem) {
  for (int r = 0; r < problem->ranks; r++) {
    g_free (scratch->ranks[r].start);
    g_free (scratch->ranks[r].end);
    g_free (scratch->ranks[r].usage);
  }
  g_free (scratch->end);
  g_free (scratch->count);
  g_free (scratch->position);
  g_free (scratch->clock);
  g_free (scratch->arrival);
  g_free (scratch->ranks);
  g_free (scratch->words[0]);
  g_free (scratch->words[1]);
  memset (scratch, 0, sizeof *scratch);
}
