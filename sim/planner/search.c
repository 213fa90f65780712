/* From many simple starts to one good order: each start is packed from both sides (insert.c), the
 * best are then improved action by action (local.c). The effort is counted in actions placed, so
 * that equal inputs give equal orders on every machine. */
#include "sim/planner/search_private.h"

#include "sim/planner/bound_private.h"
#include "sim/planner/exact_private.h"
#include "sim/planner/local_private.h"

#include <math.h>
#include <string.h>

#define ACTIONS_MAX ((int64_t)1 << 26)
#define UNTIL_VARIED 0.85 /* of the effort, then local search */
#define ROUNDS_MAX 10
/* Partial orders kept before a problem is not small (exact.c): at first, and with the best order
 * known to exclude more. */
#define FEW_NODES 20000
#define MANY_NODES 300000
/* A start that is this much longer after one round than the best is not packed further. */
#define PROMISING 1.02

GQuark
pw_search_error_quark (void) {
  return g_quark_from_static_string ("pw-search-error-quark");
}

/* In actions placed; about 30 ns each. */
static double
find_effort (const PwOrderProblem *problem) {
  return 1.6e6 + 150 * (double)pw__order_size (problem);
}

gboolean
pw__search_is_finished (const PwOrderSearch *search) {
  return search->value <= search->bound + search->problem->tolerance;
}

gboolean
pw__search_is_spent (const PwOrderSearch *search, double share) {
  return pw__search_is_finished (search) || (double)search->scratch.visits > share * search->effort;
}

/* Starts are often the same. */
static gboolean
is_new (PwOrderSearch *search) {
  gsize size = pw__order_size (search->problem);
  uint64_t hash = UINT64_C (14695981039346656037); /* FNV-1a */
  for (gsize i = 0; i < size; i++)
    hash = (hash ^ search->words[i]) * UINT64_C (1099511628211);
  for (guint i = 0; i < search->seen->len; i++)
    if (g_array_index (search->seen, uint64_t, i) == hash)
      return FALSE;
  g_array_append_val (search->seen, hash);
  return TRUE;
}

void
pw__search_consider (PwOrderSearch *search, const char *method) {
  const PwOrderProblem *problem = search->problem;
  for (int r = 0; r < problem->ranks; r++)
    if (!pw__order_word_fits (problem, r, search->words + r * problem->length))
      return;
  if (!is_new (search))
    return;
  double value = pw__order_justify (problem, search->words, 1, &search->scratch);
  if (value < search->value * PROMISING)
    value = pw__order_justify (problem, search->words, ROUNDS_MAX, &search->scratch);
  if (value >= search->value - problem->tolerance)
    return;
  search->value = value;
  search->method = method;
  memcpy (search->best, search->words, pw__order_size (problem));
}

typedef double (*Improver) (const PwOrderProblem *problem, uint8_t *words, int64_t visits_max,
                            double target, PwOrderScratch *scratch);

static void
improve (PwOrderSearch *search, Improver improver, const char *method, double share) {
  if (pw__search_is_finished (search))
    return;
  memcpy (search->words, search->best, pw__order_size (search->problem));
  int64_t visits_max = (int64_t)(share * search->effort);
  improver (search->problem, search->words, visits_max, search->bound, &search->scratch);
  pw__search_consider (search, method);
}

/* Small problems are decided. */
static void
exclude_others (PwOrderSearch *search, int nodes_max) {
  if (pw__search_is_finished (search))
    return;
  PwExactResult result = pw__order_exact (search->problem, search->value, nodes_max, search->words);
  if (result == PW_EXACT_FOUND)
    pw__search_consider (search, "exact");
  if (result != PW_EXACT_GAVE_UP)
    search->bound = search->value;
}

/* ---- Results ---- */

static PwSchedule *
make_schedule (const PwOrderProblem *problem, const uint8_t *words) {
  PwPlacementKind kind = problem->chunks == 1 ? PW_PLACEMENT_LOOP : PW_PLACEMENT_WAVE;
  PwPlacement *placement = pw_placement_new (kind, problem->ranks, problem->stages);
  PwSchedule *schedule = pw_schedule_new ("searched", placement, problem->microbatches);
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)problem->ranks);
  for (int r = 0; r < problem->ranks; r++)
    lengths[r] = problem->length;
  pw_schedule_new_lists (schedule, lengths);
  static const PwActionKind kinds[] = { [PW_KIND_FORWARD] = PW_ACTION_FORWARD,
                                        [PW_KIND_INPUT] = PW_ACTION_INPUT_GRADIENT,
                                        [PW_KIND_WEIGHT] = PW_ACTION_WEIGHT_GRADIENT };
  for (int r = 0; r < problem->ranks; r++) {
    const uint8_t *word = words + (gsize)r * (gsize)problem->length;
    int count[PW_LETTERS_MAX] = { 0 };
    for (int i = 0; i < problem->length; i++)
      schedule->programs[r].actions[i]
          = pw_action (kinds[word[i] / problem->chunks], pw__order_stage (problem, r, word[i]),
                       count[word[i]]++);
  }
  return schedule;
}

static gboolean
check_input (const PwSearchInput *input, GError **error) {
  int64_t actions = (int64_t)input->ranks * input->chunks * input->microbatches * PW_KIND_N;
  if (actions > ACTIONS_MAX) {
    g_set_error (error, PW_SEARCH_ERROR, PW_SEARCH_ERROR_SIZE,
                 "%" G_GINT64_FORMAT " actions are too many to search for their order", actions);
    return FALSE;
  }
  for (int r = 0; r < input->ranks; r++) {
    double least = input->held[r];
    if (input->chunks == 2)
      least += input->held[2 * input->ranks - 1 - r];
    if (least <= input->limit[r] * (1 + 1e-12))
      continue;
    g_set_error (error, PW_SEARCH_ERROR, PW_SEARCH_ERROR_MEMORY,
                 "rank %d: one micro-batch takes %g, the limit is %g", r, least, input->limit[r]);
    return FALSE;
  }
  return TRUE;
}

PwSearchResult *
pw_search_run (const PwSearchInput *input, GError **error) {
  if (!check_input (input, error))
    return NULL;
  PwOrderProblem problem;
  pw__order_problem_init (&problem, input);
  gsize size = pw__order_size (&problem);
  PwOrderSearch search = { .problem = &problem,
                           .words = g_new0 (uint8_t, size),
                           .best = g_new0 (uint8_t, size),
                           .value = INFINITY,
                           .bound = pw__order_bound (&problem),
                           .effort = find_effort (&problem),
                           .seen = g_array_new (FALSE, FALSE, sizeof (uint64_t)) };
  pw__order_scratch_init (&search.scratch, &problem);
  pw__search_try_starts (&search);
  exclude_others (&search, FEW_NODES);
  improve (&search, pw__order_vary, "varied", UNTIL_VARIED);
  improve (&search, pw__order_improve, "local", 1);
  exclude_others (&search, MANY_NODES);
  PwSearchResult *result = g_new0 (PwSearchResult, 1);
  *result = (PwSearchResult){ .schedule = make_schedule (&problem, search.best),
                              .value = search.value,
                              .lower_bound = MIN (search.bound, search.value),
                              .is_optimal = pw__search_is_finished (&search),
                              .method = search.method };
  pw__order_scratch_clear (&search.scratch, &problem);
  g_array_unref (search.seen);
  g_free (search.words);
  g_free (search.best);
  pw__order_problem_clear (&problem);
  return result;
}

void
pw_search_result_free (PwSearchResult *result) {
  if (!result)
    return;
  pw_schedule_free (result->schedule);
  g_free (result);
}
