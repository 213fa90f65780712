#include "pipewright/verdict.h"

#include <string.h>

#define OPTIONS_MAX 2

typedef struct {
  int n;
  const char *name[OPTIONS_MAX];
  const char *value[OPTIONS_MAX]; /* of the trial's strings */
} Candidate;

typedef struct {
  const PwPlan *plan;
  const PwSimulation *base;
  PwVerdict *verdict;
  GStringChunk *strings;
  GArray *recomputations, *schedules, *microbatches, *others; /* Candidate, of one option each */
} Trial;

static void
add (const Trial *trial, GArray *list, const char *name, const char *value) {
  Candidate candidate
      = { .n = 1, .name = { name }, .value = { g_string_chunk_insert (trial->strings, value) } };
  g_array_append_val (list, candidate);
}

/* ---- What could be tried ---- */

/* Of blocks: layers of the same name in all of them, chosen by KEEP, as patterns. */
static char *
layer_patterns (const PwGraph *graph, gboolean (*chooses) (const PwLayer *layer)) {
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GString) text = g_string_new ("layers:");
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayer *layer = &graph->layers[l];
    const char *dot = strrchr (layer->name, '.');
    if (dot == NULL || graph->units[layer->unit].is_end || !chooses (layer))
      continue;
    char *pattern = g_strdup_printf ("*%s", dot);
    gboolean is_first = g_hash_table_size (seen) == 0;
    if (g_hash_table_add (seen, pattern))
      g_string_append_printf (text, "%s%s", is_first ? "" : ",", pattern);
  }
  return g_hash_table_size (seen) > 0 ? g_strdup (text->str) : NULL;
}

static gboolean
is_cheap (const PwLayer *layer) {
  return layer->info.flops_forward == 0 && !layer->info.is_loss;
}

static gboolean
is_cheap_or_attention (const PwLayer *layer) {
  return is_cheap (layer) || g_str_equal (layer->type->name, "attention");
}

static void
list_recomputations (const Trial *trial) {
  const PwGraph *graph = trial->base->resolved->graph;
  gboolean makes_stages = trial->plan->recompute != PW_RECOMPUTE_NONE
                          && trial->plan->recompute_layers == NULL; /* whole ones, as it is */
  g_autofree char *cheap = makes_stages ? NULL : layer_patterns (graph, is_cheap);
  g_autofree char *more = makes_stages ? NULL : layer_patterns (graph, is_cheap_or_attention);
  if (cheap != NULL)
    add (trial, trial->recomputations, "recompute", cheap);
  if (more != NULL && g_strcmp0 (cheap, more) != 0)
    add (trial, trial->recomputations, "recompute", more);
  if (trial->plan->recompute == PW_RECOMPUTE_NONE || trial->plan->recompute_layers != NULL)
    add (trial, trial->recomputations, "recompute", "except-last");
  if (trial->plan->recompute != PW_RECOMPUTE_STAGE || trial->plan->recompute_layers != NULL)
    add (trial, trial->recomputations, "recompute", "stage");
}

static void
list_schedules (const Trial *trial) {
  const PwScheduleType *const *types = pw_schedule_list ();
  if (trial->plan->schedule_csv != NULL)
    return;
  for (int i = 0; types[i] != NULL; i++)
    if (!g_str_equal (types[i]->name, trial->base->compute->name))
      add (trial, trial->schedules, "schedule", types[i]->name);
}

static void
list_numbers (const Trial *trial) {
  const PwResolvedPlan *resolved = trial->base->resolved;
  for (int times = 2; times <= 8 && trial->plan->schedule_csv == NULL; times *= 2) {
    if (resolved->batch < (int64_t)resolved->microbatches * times)
      break;
    g_autofree char *number = g_strdup_printf ("%d", resolved->microbatches * times);
    add (trial, trial->microbatches, "microbatches", number);
  }
  if (trial->plan->recompute == PW_RECOMPUTE_NONE && trial->base->resolved->offloaded == NULL)
    add (trial, trial->others, "offload", "stash"); /* where the host's bandwidth is known */
  add (trial, trial->others, "balance", "memory");
  g_autofree char *ranks = g_strdup_printf ("%d", 2 * resolved->compute->ranks);
  add (trial, trial->others, "ranks", ranks);
}

/* ---- Trying ---- */

static char *
options_of (const Candidate *candidate) {
  g_autoptr (GString) text = g_string_new (NULL);
  for (int i = 0; i < candidate->n; i++) {
    gboolean quotes = strpbrk (candidate->value[i], "*?") != NULL;
    g_string_append_printf (text, quotes ? "%s--%s '%s'" : "%s--%s %s", i > 0 ? " " : "",
                            candidate->name[i], candidate->value[i]);
  }
  return g_strdup (text->str);
}

/* NULL: such a plan cannot be, or trains something else. */
static PwSimulation *
simulate (const Trial *trial, const Candidate *candidate) {
  g_autoptr (PwPlan) plan = pw_plan_copy (trial->plan);
  for (int i = 0; i < candidate->n; i++)
    if (!pw_plan_override (plan, candidate->name[i], candidate->value[i], NULL))
      return NULL;
  /* The same work, however it is cut. */
  const PwResolvedPlan *base = trial->base->resolved;
  g_autofree char *batch = g_strdup_printf ("%" G_GINT64_FORMAT, base->batch * base->replicas);
  g_autofree char *microbatches = g_strdup_printf ("%d", base->microbatches);
  gboolean cuts = candidate->n > 0
                  && (g_str_equal (candidate->name[0], "microbatches")
                      || (candidate->n > 1 && g_str_equal (candidate->name[1], "microbatches")));
  if (!pw_plan_override (plan, "batch", batch, NULL)
      || (!cuts && plan->schedule_csv == NULL
          && !pw_plan_override (plan, "microbatches", microbatches, NULL)))
    return NULL;
  g_autoptr (PwSimulation) simulation = pw_simulate_plan (plan, 1, NULL);
  if (simulation == NULL
      || simulation->compute->promise.synchronous != trial->base->compute->promise.synchronous
      || simulation->compute->mode != trial->base->compute->mode
      || simulation->compute->pieces != trial->base->compute->pieces)
    return NULL;
  return g_steal_pointer (&simulation);
}

static void
try_one (const Trial *trial, const Candidate *candidate) {
  PwVerdict *verdict = trial->verdict;
  g_autoptr (PwSimulation) simulation = simulate (trial, candidate);
  if (simulation == NULL)
    return;
  const PwSimResult *result = simulation->result;
  double before = trial->base->result->iteration_time;
  PwVerdictChange change = {
    .n_options = candidate->n,
    .needs_ranks = simulation->compute->ranks > trial->base->compute->ranks,
    .iteration_time = result->iteration_time,
    .slower = before > 0 ? result->iteration_time / before - 1 : 0,
    .peak_memory_bytes = result->peak_memory_bytes,
  };
  verdict->n_tried++;
  if (change.peak_memory_bytes <= verdict->limit) {
    change.options = options_of (candidate);
    g_array_append_val (verdict->changes, change);
  } else if (change.peak_memory_bytes < verdict->nearest.peak_memory_bytes) {
    g_free (verdict->nearest.options);
    verdict->nearest = change;
    verdict->nearest.options = options_of (candidate);
  }
}

static void
try_all (const Trial *trial, const GArray *list) {
  for (guint i = 0; i < list->len; i++)
    try_one (trial, &g_array_index (list, Candidate, i));
}

static void
try_pairs (const Trial *trial, const GArray *first, const GArray *second) {
  for (guint i = 0; i < first->len; i++)
    for (guint k = 0; k < second->len; k++) {
      Candidate pair = g_array_index (first, Candidate, i);
      const Candidate *more = &g_array_index (second, Candidate, k);
      pair.name[1] = more->name[0];
      pair.value[1] = more->value[0];
      pair.n = 2;
      try_one (trial, &pair);
    }
}

static int
compare_changes (const void *x, const void *y) {
  const PwVerdictChange *a = x, *b = y;
  if (a->needs_ranks != b->needs_ranks)
    return a->needs_ranks - b->needs_ranks;
  if (a->n_options != b->n_options)
    return a->n_options - b->n_options;
  if (a->slower > b->slower || a->slower < b->slower)
    return a->slower < b->slower ? -1 : 1;
  return strcmp (a->options, b->options);
}

static void
try_changes (const Trial *trial) {
  list_recomputations (trial);
  list_schedules (trial);
  list_numbers (trial);
  try_all (trial, trial->recomputations);
  try_all (trial, trial->schedules);
  try_all (trial, trial->microbatches);
  try_all (trial, trial->others);
  if (trial->verdict->changes->len > 0)
    return;
  try_pairs (trial, trial->recomputations, trial->microbatches);
  try_pairs (trial, trial->recomputations, trial->others);
  try_pairs (trial, trial->recomputations, trial->schedules);
  try_pairs (trial, trial->microbatches, trial->others);
}

static void
clear_change (gpointer data) {
  g_free (((PwVerdictChange *)data)->options);
}

PwVerdict *
pw_verdict_new (const PwPlan *plan, const PwSimulation *simulation, int64_t limit) {
  const PwSimResult *result = simulation->result;
  if (limit <= 0 || result->peak_memory_bytes <= limit || simulation->costs->unitless)
    return NULL;
  PwVerdict *verdict = g_new0 (PwVerdict, 1);
  verdict->limit = limit;
  verdict->needs = verdict->nearest.peak_memory_bytes = result->peak_memory_bytes;
  while (result->rank[verdict->rank].peak_memory_bytes < verdict->needs)
    verdict->rank++;
  memcpy (verdict->by_category, result->rank[verdict->rank].peak_by_category,
          sizeof verdict->by_category);
  verdict->changes = g_array_new (FALSE, FALSE, sizeof (PwVerdictChange));
  g_array_set_clear_func (verdict->changes, clear_change);
  Trial trial = { .plan = plan,
                  .base = simulation,
                  .verdict = verdict,
                  .strings = g_string_chunk_new (256),
                  .recomputations = g_array_new (FALSE, FALSE, sizeof (Candidate)),
                  .schedules = g_array_new (FALSE, FALSE, sizeof (Candidate)),
                  .microbatches = g_array_new (FALSE, FALSE, sizeof (Candidate)),
                  .others = g_array_new (FALSE, FALSE, sizeof (Candidate)) };
  try_changes (&trial);
  g_array_sort (verdict->changes, compare_changes);
  g_array_unref (trial.recomputations);
  g_array_unref (trial.schedules);
  g_array_unref (trial.microbatches);
  g_array_unref (trial.others);
  g_string_chunk_free (trial.strings);
  return verdict;
}

void
pw_verdict_free (PwVerdict *verdict) {
  if (verdict == NULL)
    return;
  g_array_unref (verdict->changes);
  g_free (verdict->nearest.options);
  g_free (verdict);
}
