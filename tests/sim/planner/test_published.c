/* The search at the costs and memory of each published order: never longer. The file's head says
 * what was measured; every 17th row is tried, with -m slow all. */
#include <math.h>
#include <string.h>

#include "problems.h"
#include "tests/support/repeats.h"

#define PUBLISHED PW_SOURCE_DIR "/tests/golden/planner/published.csv"

enum {
  SCHEDULER,
  VARIANT,
  RANKS,
  MICROBATCHES,
  CHUNKS,
  FORWARD,
  INPUT,
  WEIGHT,
  TRANSFER,
  WEIGHT_MEMORY,
  ITERATION,
  SPAN,
  PEAK_MEMORY,
  STATUS,
  COLUMN_N
};
static const char *const column_names[COLUMN_N] = {
  [SCHEDULER] = "scheduler",
  [VARIANT] = "variant",
  [RANKS] = "ranks",
  [MICROBATCHES] = "microbatches",
  [CHUNKS] = "chunks",
  [FORWARD] = "F",
  [INPUT] = "I",
  [WEIGHT] = "W",
  [TRANSFER] = "L",
  [WEIGHT_MEMORY] = "weight_memory",
  [ITERATION] = "iteration",
  [SPAN] = "span",
  [PEAK_MEMORY] = "peak_memory",
  [STATUS] = "status",
};

/* What the search gains on one scheduler's orders, in parts of the published value. */
typedef struct {
  int n, shorter, proven;
  double sum, worst;
} Gain;

typedef struct {
  GHashTable *gains; /* "zb auto, iteration" -> Gain */
  int at[COLUMN_N];  /* where the columns stand */
} Comparison;

static double
number (const Comparison *c, char **cells, int column) {
  return g_ascii_strtod (cells[c->at[column]], NULL);
}

/* One number for all stages, or one for each. */
static double
number_of_stage (const Comparison *c, char **cells, int column, int s) {
  g_auto (GStrv) parts = g_strsplit (cells[c->at[column]], ";", -1);
  guint n = g_strv_length (parts);
  return g_ascii_strtod (parts[n == 1 ? 0 : s], NULL);
}

static Problem *
problem_of_row (const Comparison *c, char **cells) {
  int ranks = (int)number (c, cells, RANKS), chunks = (int)number (c, cells, CHUNKS);
  Problem *problem = problem_new (ranks, chunks, (int)number (c, cells, MICROBATCHES));
  problem_set_costs (problem, 1, 1, 1, number (c, cells, TRANSFER));
  for (int s = 0; s < ranks * chunks; s++) {
    PwStageCost *cost = &problem->costs->stage[s];
    cost->forward = number_of_stage (c, cells, FORWARD, s);
    cost->input = number_of_stage (c, cells, INPUT, s);
    cost->weight = number_of_stage (c, cells, WEIGHT, s);
    cost->backward = cost->input + cost->weight;
  }
  /* No more than the published order really reaches. */
  problem_set_memory (problem, number (c, cells, WEIGHT_MEMORY), number (c, cells, PEAK_MEMORY));
  return problem;
}

static Gain *
gain_of (Comparison *c, char **cells, const char *objective) {
  g_autofree char *key
      = g_strdup_printf ("%s %s, %s", cells[c->at[SCHEDULER]], cells[c->at[VARIANT]], objective);
  Gain *gain = g_hash_table_lookup (c->gains, key);
  if (gain == NULL) {
    gain = g_new0 (Gain, 1);
    gain->worst = INFINITY;
    g_hash_table_insert (c->gains, g_steal_pointer (&key), gain);
  }
  return gain;
}

static void
compare (Comparison *c, char **cells, PwObjective objective) {
  gboolean is_span = objective == PW_OBJECTIVE_SPAN;
  double published = number (c, cells, is_span ? SPAN : ITERATION);
  g_autoptr (Problem) problem = problem_of_row (c, cells);
  problem->input.objective = objective;
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSearchResult) result = pw_search_run (&problem->input, &error);
  g_assert_no_error (error);
  if (!problem_fits (problem, result->schedule) || result->value > published * (1 + 1e-9)
      || result->lower_bound > published * (1 + 1e-9)) {
    g_autofree char *text = problem_describe (problem);
    g_test_message ("FAILED %s %s: published %.12g, found %.12g (%s), bound %.12g: %s",
                    cells[c->at[SCHEDULER]], cells[c->at[VARIANT]], published, result->value,
                    result->method, result->lower_bound, text);
    g_test_fail ();
  }
  Gain *gain = gain_of (c, cells, is_span ? "span" : "iteration");
  double advantage = 1 - result->value / published;
  gain->n++;
  gain->shorter += advantage > 1e-9;
  gain->proven += result->is_optimal;
  gain->sum += advantage;
  gain->worst = MIN (gain->worst, advantage);
}

static void
find_columns (Comparison *c, const char *line) {
  g_auto (GStrv) names = g_strsplit (line, ",", -1);
  for (int column = 0; column < COLUMN_N; column++) {
    c->at[column] = -1;
    for (int i = 0; names[i] != NULL; i++)
      if (strcmp (names[i], column_names[column]) == 0)
        c->at[column] = i;
    g_assert_cmpint (c->at[column], >=, 0);
  }
}

static void
print_gains (const Comparison *c) {
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (c->gains), (GCompareFunc)strcmp);
  for (const GList *key = keys; key != NULL; key = key->next) {
    const Gain *gain = g_hash_table_lookup (c->gains, key->data);
    g_test_message ("%-28s %4d orders: shorter %5.2f%% in the mean, %5.2f%% at worst; %d strictly, "
                    "%d proven",
                    (const char *)key->data, gain->n, 100 * gain->sum / gain->n, 100 * gain->worst,
                    gain->shorter, gain->proven);
  }
}

static void
test_never_longer (void) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_file_get_contents (PUBLISHED, &text, NULL, &error);
  g_assert_no_error (error);
  g_auto (GStrv) lines = g_strsplit (g_strchomp (text), "\n", -1);
  Comparison c = { .gains = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free) };
  find_columns (&c, lines[0]);
  int step = g_test_slow () ? 1 : TEST_REPEATS (17, 17 * 8);
  for (int i = 1; lines[i] != NULL; i += step) {
    g_auto (GStrv) cells = g_strsplit (g_strchomp (lines[i]), ",", -1);
    if (strcmp (cells[c.at[STATUS]], "ok") != 0)
      continue;
    compare (&c, cells, PW_OBJECTIVE_ITERATION);
    compare (&c, cells, PW_OBJECTIVE_SPAN);
  }
  print_gains (&c);
  g_assert_cmpuint (g_hash_table_size (c.gains), >, 0);
  g_hash_table_unref (c.gains);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/planner/published/never-longer-than-a-published-order", test_never_longer);
  return g_test_run ();
}
