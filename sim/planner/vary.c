/* Search over the priorities of dispatching: a row, all micro-batches of a kind and stage, is moved
 * earlier or later as a whole, so that an order changes in every period at once, which no sequence
 * of small moves does. */
#include "sim/planner/dispatch_private.h"
#include "sim/planner/local_private.h"

#include <math.h>
#include <string.h>

#define ROUNDS_MAX 10
/* Orders this much longer than the best are not packed to the end. */
#define HOPELESS 1.01
#define LINES 4

typedef struct {
  double *offset; /* [rows] */
  double patience;
  gboolean is_backwards, is_expectant, is_bold;
} Rule;

/* When the rows of WORDS end, less PERIOD for each micro-batch. */
static void
measure (const PwOrderProblem *problem, const uint8_t *words, double period, double *offset,
         PwOrderScratch *scratch) {
  gsize n = (gsize)problem->microbatches;
  pw__order_evaluate (problem, words, scratch);
  for (int row = 0; row < problem->rows; row++) {
    double sum = 0;
    for (gsize m = 0; m < n; m++)
      sum += scratch->end[(gsize)row * n + m] - (double)m * period;
    offset[row] = sum / (double)n;
  }
}

/* One kind of all stages, some rows, or all of them; a little or a lot. */
static void
shake (const PwOrderProblem *problem, const Rule *from, double period, GRand *random, Rule *to) {
  double noise = period * pow (10, g_rand_double_range (random, -2, 0.3));
  int kind = g_rand_int_range (random, 0, PW_KIND_N + 1);
  for (int row = 0; row < problem->rows; row++) {
    gboolean is_shaken = kind == PW_KIND_N || row / problem->stages == kind
                         || g_rand_int_range (random, 0, problem->rows) < 4;
    double shift = is_shaken ? noise * g_rand_double_range (random, -1, 1) : 0;
    to->offset[row] = from->offset[row] + shift;
  }
  to->is_backwards = from->is_backwards;
  to->is_bold = from->is_bold ^ (g_rand_int_range (random, 0, 4) == 0);
  to->is_expectant = from->is_expectant ^ (g_rand_int_range (random, 0, 4) == 0);
  to->patience = from->patience * pow (2, g_rand_double_range (random, -2, 2));
}

/* INFINITY: stuck. */
static double
dispatch (const PwOrderProblem *problem, const Rule *rule, double period, double best,
          uint8_t *words, PwOrderScratch *scratch) {
  PwDispatchRule dispatch = { rule->offset,       period,       rule->patience, rule->is_backwards,
                              rule->is_expectant, rule->is_bold };
  if (!pw__order_dispatch (problem, &dispatch, words, scratch))
    return INFINITY;
  double value = pw__order_justify (problem, words, 1, scratch);
  return value <= best * HOPELESS ? pw__order_justify (problem, words, ROUNDS_MAX, scratch) : value;
}

typedef struct {
  Rule rule;
  double value; /* of what it leads to */
} Line;

/* From the times of WORDS; or I as soon as it can be, W when nothing else can. */
static Line
start_line (const PwOrderProblem *problem, const uint8_t *words, double period, gboolean is_eager,
            gboolean is_backwards, PwOrderScratch *scratch) {
  static const double lag[PW_KIND_N] = { [PW_KIND_FORWARD] = 0.5, [PW_KIND_WEIGHT] = 1 };
  Rule rule = { g_new (double, (gsize)problem->rows), 1, is_backwards, FALSE, FALSE };
  measure (problem, words, period, rule.offset, scratch);
  for (int row = 0; row < problem->rows; row++) {
    int kind = row / problem->stages, stage = row % problem->stages;
    if (is_eager)
      rule.offset[row] = lag[kind] * problem->microbatches * period;
    else if (is_backwards)
      rule.offset[row] = problem->duration[kind][stage] - rule.offset[row];
  }
  return (Line){ rule, INFINITY };
}

double
pw__order_vary (const PwOrderProblem *problem, uint8_t *words, int64_t visits_max, double target,
                PwOrderScratch *scratch) {
  gsize size = pw__order_size (problem);
  GRand *random = g_rand_new_with_seed (1);
  uint8_t *trial = g_new (uint8_t, size);
  double best = pw__order_evaluate (problem, words, scratch);
  double period = best / problem->microbatches;
  Line lines[LINES];
  for (int i = 0; i < LINES; i++)
    lines[i] = start_line (problem, words, period, i >= 2, i % 2 == 1, scratch);
  Rule other = { .offset = g_new (double, (gsize)problem->rows) };
  for (int i = 0; scratch->visits < visits_max && best > target + problem->tolerance; i++) {
    Line *line = &lines[i % LINES];
    shake (problem, &line->rule, period, random, &other);
    double value = dispatch (problem, &other, period, best, trial, scratch);
    if (value <= line->value) {
      Rule swap = line->rule;
      *line = (Line){ other, value };
      other = swap;
    }
    if (value < best - problem->tolerance) {
      best = value;
      memcpy (words, trial, size);
    }
  }
  for (int i = 0; i < LINES; i++)
    g_free (lines[i].rule.offset);
  g_free (other.offset);
  g_free (trial);
  g_rand_free (random);
  return best;
}
