/* Where the search begins: published orders, building blocks (arXiv 2405.15362) for the costs at
 * hand, and simple priorities. */
#include "sim/planner/dispatch_private.h"
#include "sim/planner/pattern_private.h"
#include "sim/planner/search_private.h"

#include <math.h>
#include <string.h>

/* Shares of the effort after which the next kind of start has its turn. */
#define UNTIL_BLOCKS 0.3
#define UNTIL_PATTERNS 0.5
#define UNTIL_PRIORITIES 0.65
/* Periods are tried in steps of this ratio, until so many fit; so many of the best are tried. */
#define PERIOD_STEP 1.02
#define PERIODS_MAX 200
#define PERIODS_FITTING 3
#define BLOCKS_MAX 8
/* What building one costs, in actions placed per stage, and how many are tried for a period. */
#define PATTERN_VISITS 50
#define DELAYS_MAX 30
#define SPREAD_MAX 60

static void
dispatch (PwOrderSearch *search, const PwDispatchRule *rule) {
  if (pw__order_dispatch (search->problem, rule, search->words, &search->scratch))
    pw__search_consider (search, "dispatch");
}

/* Every kind of rule with the priorities of RULE. */
static void
dispatch_all (PwOrderSearch *search, const PwDispatchRule *rule) {
  static const double patience[] = { 0, 0.3, 1, 3, INFINITY };
  for (gsize i = 0; i < G_N_ELEMENTS (patience); i++)
    for (int kind = 0; kind < 2 * search->problem->chunks; kind++) {
      if (pw__search_is_spent (search, UNTIL_PRIORITIES))
        return;
      PwDispatchRule other = *rule;
      other.patience = patience[i];
      other.is_expectant = kind % 2 == 0;
      other.is_bold = kind >= 2;
      dispatch (search, &other);
    }
}

/* F or I first, the other next, W last; backwards W comes before its I, or when there is time. */
static void
try_priorities (PwOrderSearch *search) {
  const PwOrderProblem *problem = search->problem;
  double far = 2.0 * problem->microbatches;
  g_autofree double *offset = g_new (double, (gsize)problem->rows);
  for (int way = 0; way < 4; way++) {
    int first = 1 - way % 2;
    for (int row = 0; row < problem->rows; row++) {
      int kind = row / problem->stages;
      gboolean is_up = row % problem->stages >= problem->ranks;
      int class = kind == PW_KIND_WEIGHT ? 2 : kind == first ? 0 : 1;
      offset[row] = far * class - (is_up ? 0.5 : 0);
    }
    dispatch_all (search,
                  &(PwDispatchRule){ .offset = offset, .period = 1, .is_backwards = way >= 2 });
  }
}

static double
find_least_period (const PwOrderProblem *problem) {
  double longest = 0;
  for (int r = 0; r < problem->ranks; r++) {
    double work = 0;
    for (int letter = 0; letter < problem->letters; letter++)
      work += problem->forwards.steps[r * problem->letters + letter].duration;
    longest = MAX (longest, work);
  }
  for (int stage = 0; stage < problem->stages; stage++)
    longest = MAX (longest, problem->link[stage]);
  return longest;
}

/* A period and the delays that make its repetition take little memory. */
typedef struct {
  double period, peak;
  double delays[2 * PW_CHUNKS_MAX];
} Block;

/* A repetition that needs more memory than there is can be kept up at a lower rate. */
static double
slowed_period (const Block *block) {
  return block->period * MAX (block->peak, 1);
}

static int
compare_blocks (gconstpointer a, gconstpointer b) {
  double x = slowed_period (a), y = slowed_period (b);
  return (x > y) - (x < y);
}

static double
find_peak (PwOrderSearch *search, PwPattern *pattern, double period, const double *delays) {
  search->scratch.visits += PATTERN_VISITS * search->problem->stages;
  if (!pw__pattern_build (pattern, search->problem, period, delays))
    return INFINITY;
  return pw__pattern_peak (pattern, search->problem);
}

/* Climbs from NEAR, the block of a period close by, until the peak fits or nothing is left of the
 * tries. */
static Block
find_block (PwOrderSearch *search, PwPattern *pattern, double period, const Block *near,
            GRand *random) {
  int passes = 2 * search->problem->chunks;
  Block block = { .period = period };
  block.peak = find_peak (search, pattern, period, block.delays);
  for (int try = 1; try < DELAYS_MAX && block.peak > 1; try++) {
    Block other = try == 1 ? *near : block;
    other.period = period;
    for (int pass = 0; try > 1 && pass < passes; pass++) {
      int change = g_rand_int_range (random, 0, 5);
      if (change == 0)
        other.delays[pass] = 0;
      else if (change == 1)
        other.delays[pass] = g_rand_double (random) * period / 4;
      else if (change == 2)
        other.delays[pass] += g_rand_double_range (random, -1, 1) * period / 32;
      other.delays[pass] = MAX (other.delays[pass], 0);
    }
    other.peak = find_peak (search, pattern, period, other.delays);
    if (other.peak <= block.peak)
      block = other;
  }
  return block;
}

/* Orders from BLOCK: the repetition itself where it fits, and dispatching by its times. */
static void
try_block (PwOrderSearch *search, PwPattern *pattern, const Block *block) {
  const PwOrderProblem *problem = search->problem;
  if (!pw__pattern_build (pattern, problem, block->period, block->delays))
    return;
  if (block->peak <= 1) {
    pw__pattern_unroll (pattern, problem, search->words);
    pw__search_consider (search, "pattern");
  }
  for (int kind = 0; kind < 2 * problem->chunks && !pw__search_is_spent (search, UNTIL_PATTERNS);
       kind++)
    dispatch (search, &(PwDispatchRule){ .offset = pattern->offset,
                                         .period = block->period,
                                         .patience = 1,
                                         .is_expectant = kind % 2 == 1,
                                         .is_bold = kind >= 2 });
}

/* More memory than a period needs buys later W and longer ways: other delays that still fit. */
static void
spread_block (PwOrderSearch *search, PwPattern *pattern, double period, GRand *random) {
  const PwOrderProblem *problem = search->problem;
  for (int try = 0; try < SPREAD_MAX && !pw__search_is_spent (search, UNTIL_PATTERNS); try++) {
    double delays[2 * PW_CHUNKS_MAX] = { 0 };
    for (int pass = 0; pass < 2 * problem->chunks; pass++)
      if (g_rand_boolean (random))
        delays[pass] = g_rand_double (random) * period / 2;
    if (find_peak (search, pattern, period, delays) > 1)
      continue;
    pw__pattern_unroll (pattern, problem, search->words);
    pw__search_consider (search, "pattern");
  }
}

/* The best blocks of rising periods, until some have fitted. */
static void
try_patterns (PwOrderSearch *search) {
  const PwOrderProblem *problem = search->problem;
  double period = find_least_period (problem);
  if (!(period > 0))
    return;
  PwPattern pattern;
  pw__pattern_init (&pattern, problem);
  GRand *random = g_rand_new_with_seed (1);
  g_autoptr (GArray) blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  Block block = { 0 };
  int n_fitting = 0;
  for (int i = 0; i < PERIODS_MAX && n_fitting < PERIODS_FITTING
                  && !pw__search_is_spent (search, UNTIL_BLOCKS);
       i++, period *= PERIOD_STEP) {
    block = find_block (search, &pattern, period, &block, random);
    g_array_append_val (blocks, block);
    if (block.peak <= 1) {
      try_block (search, &pattern, &block);
      if (n_fitting++ == 0)
        spread_block (search, &pattern, period, random);
    }
  }
  g_array_sort (blocks, compare_blocks);
  for (guint i = 0;
       i < blocks->len && i < BLOCKS_MAX && !pw__search_is_spent (search, UNTIL_PATTERNS); i++)
    try_block (search, &pattern, &g_array_index (blocks, Block, i));
  g_rand_free (random);
  pw__pattern_clear (&pattern);
}

/* SCHEDULE's lists as words; FALSE where its micro-batches do not ascend or its stages stand
 * elsewhere. A full backward is I and W. */
static gboolean
spell (const PwOrderProblem *problem, const PwSchedule *schedule, uint8_t *words) {
  int chunks = problem->chunks;
  for (int r = 0; r < problem->ranks; r++) {
    const PwProgram *program = &schedule->programs[r];
    int count[PW_LETTERS_MAX] = { 0 }, n = 0;
    for (int64_t i = 0; i < program->n_prologue; i++) {
      PwAction action = program->actions[i];
      int chunk = action.stage == r ? 0 : 1, kind = PW_KIND_FORWARD;
      if (action.kind == PW_ACTION_INPUT_GRADIENT || action.kind == PW_ACTION_BACKWARD)
        kind = PW_KIND_INPUT;
      else if (action.kind == PW_ACTION_WEIGHT_GRADIENT)
        kind = PW_KIND_WEIGHT;
      for (int last = action.kind == PW_ACTION_BACKWARD ? PW_KIND_WEIGHT : kind; kind <= last;
           kind++) {
        int letter = kind * chunks + chunk;
        if (n == problem->length || pw__order_stage (problem, r, letter) != action.stage
            || count[letter]++ != (int)action.microbatch)
          return FALSE;
        words[r * problem->length + n++] = (uint8_t)letter;
      }
    }
    if (n != problem->length)
      return FALSE;
  }
  return TRUE;
}

/* The orders of the registry that are made for one of the two placements. */
static void
try_published (PwOrderSearch *search) {
  static const char *const names[PW_CHUNKS_MAX][3]
      = { { "1f1b", "zb-h1", "zb-h2" }, { "zb-v", "v-half", "v-min" } };
  const PwOrderProblem *problem = search->problem;
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = problem->ranks;
  params.microbatches = problem->microbatches;
  for (gsize i = 0; i < G_N_ELEMENTS (names[0]) && !pw__search_is_finished (search); i++) {
    const char *name = names[problem->chunks - 1][i];
    g_autoptr (PwSchedule) schedule = pw_schedule_generate (name, &params, NULL);
    if (schedule && spell (problem, schedule, search->words))
      pw__search_consider (search, name);
  }
}

void
pw__search_try_starts (PwOrderSearch *search) {
  try_published (search);
  try_patterns (search);
  try_priorities (search);
}
