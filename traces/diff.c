#include "traces/diff.h"

#include <math.h>
#include <string.h>

#include "traces/chrome.h"
#include "traces/trace_private.h"

#define WORST_MAX 10

/* One compute action of the chosen iteration. */
typedef struct {
  uint64_t key;        /* kind:5 | stage:16 | direction:1 */
  uint32_t microbatch; /* from the iteration's lowest: unrolled lists count on */
  int rank;
  const PwTraceRecord *record;
} Entry;

typedef struct {
  GArray *entries; /* Entry, ordered by (rank, key, micro-batch), equal ones by time */
  double start;    /* of the iteration */
  PwTraceSummary *whole, *one;
} Side;

static int
compare_actions (const Entry *a, const Entry *b) {
  if (a->rank != b->rank)
    return a->rank < b->rank ? -1 : 1;
  if (a->key != b->key)
    return a->key < b->key ? -1 : 1;
  return (a->microbatch > b->microbatch) - (a->microbatch < b->microbatch);
}

static gint
compare_entries (gconstpointer left, gconstpointer right) {
  const Entry *a = left, *b = right;
  int order = compare_actions (a, b);
  return order != 0 ? order : (a->record > b->record) - (a->record < b->record);
}

static void
side_init (Side *side, const PwTrace *trace) {
  int iteration = pw_trace_median_iteration (trace);
  uint32_t lowest = UINT32_MAX;
  side->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    const PwAction action = record->action;
    if (record->iteration != iteration || !pw_action_kinds[action.kind].is_compute)
      continue;
    Entry entry = {
      .key = (uint64_t)action.kind << 17 | (uint64_t)action.stage << 1 | action.direction,
      .microbatch = action.microbatch,
      .rank = record->rank,
      .record = record,
    };
    if (pw_action_kinds[action.kind].has_microbatch)
      lowest = MIN (lowest, action.microbatch);
    g_array_append_val (side->entries, entry);
  }
  for (guint i = 0; i < side->entries->len; i++) {
    Entry *entry = &g_array_index (side->entries, Entry, i);
    if (pw_action_kinds[entry->record->action.kind].has_microbatch)
      entry->microbatch -= lowest;
  }
  if (side->entries->len > 1)
    qsort (side->entries->data, side->entries->len, sizeof (Entry), compare_entries);
  side->whole = pw_trace_summarise (trace, 0);
  side->one = pw__trace_summarise_range (trace, iteration, iteration);
  side->start = side->one->start;
}

static void
side_clear (Side *side) {
  g_array_unref (side->entries);
  pw_trace_summary_free (side->whole);
  pw_trace_summary_free (side->one);
}

typedef struct {
  PwTraceDiffAction action;
  double start_error; /* absolute value, relative to B's iteration time */
} Match;

static gint
compare_matches (gconstpointer left, gconstpointer right) {
  const Match *a = left, *b = right;
  return (a->start_error < b->start_error) - (a->start_error > b->start_error);
}

/* Merges the two sorted lists. */
static GArray *
match_actions (const Side *a, const Side *b, double scale, PwTraceDiff *diff) {
  GArray *matches = g_array_new (FALSE, FALSE, sizeof (Match));
  guint i = 0, j = 0;
  while (i < a->entries->len && j < b->entries->len) {
    const Entry *left = &g_array_index (a->entries, Entry, i);
    const Entry *right = &g_array_index (b->entries, Entry, j);
    int order = compare_actions (left, right);
    if (order == 0) {
      Match match = { .action = { .action = right->record->action,
                                  .rank = right->rank,
                                  .a_start = left->record->start - a->start,
                                  .a_end = left->record->end - a->start,
                                  .b_start = right->record->start - b->start,
                                  .b_end = right->record->end - b->start } };
      match.start_error = fabs (match.action.a_start - match.action.b_start) / scale;
      g_array_append_val (matches, match);
    }
    diff->only_in_a += order < 0;
    diff->only_in_b += order > 0;
    i += order <= 0;
    j += order >= 0;
  }
  diff->matched = matches->len;
  diff->only_in_a += a->entries->len - i;
  diff->only_in_b += b->entries->len - j;
  return matches;
}

static void
fill_ranks (PwTraceDiff *diff, const Side *a, const Side *b, const GArray *matches,
            double *errors) {
  guint next = 0;
  for (int r = 0; r < diff->n_ranks; r++) {
    const PwTraceRank *left = &a->one->ranks[r], *right = &b->one->ranks[r];
    gsize n = 0;
    for (; next < matches->len && g_array_index (matches, Match, next).action.rank == r; next++)
      errors[n++] = g_array_index (matches, Match, next).start_error;
    diff->ranks[r] = (PwTraceDiffRank){
      .rank = r,
      .a_busy = left->busy_time,
      .b_busy = right->busy_time,
      .a_idle = left->idle_time,
      .b_idle = right->idle_time,
      .a_peak_memory_bytes = left->peak_memory_bytes,
      .b_peak_memory_bytes = right->peak_memory_bytes,
      .median_start_error = pw__trace_median (errors, n),
    };
  }
}

static void
fill_errors (PwTraceDiff *diff, const GArray *matches, double scale, double *errors) {
  gsize n = matches->len;
  for (gsize i = 0; i < n; i++) {
    const PwTraceDiffAction *action = &g_array_index (matches, Match, i).action;
    errors[i]
        = fabs ((action->a_end - action->a_start) - (action->b_end - action->b_start)) / scale;
  }
  diff->median_duration_error = pw__trace_median (errors, n);
  for (gsize i = 0; i < n; i++)
    errors[i] = g_array_index (matches, Match, i).start_error;
  diff->median_start_error = pw__trace_median (errors, n); /* leaves them sorted */
  diff->p95_start_error = errors[(n * 95 + 99) / 100 - 1];
}

static void
fill_worst (PwTraceDiff *diff, GArray *matches) {
  g_array_sort (matches, compare_matches);
  diff->n_worst = (int)MIN (matches->len, WORST_MAX);
  diff->worst = g_new (PwTraceDiffAction, (gsize)diff->n_worst);
  for (int i = 0; i < diff->n_worst; i++)
    diff->worst[i] = g_array_index (matches, Match, i).action;
}

static gboolean
check_same_shape (const PwTraceInfo *a, const PwTraceInfo *b, GError **error) {
  const char *what = NULL;
  int left = 0, right = 0;
  if (a->ranks != b->ranks) {
    what = "ranks";
    left = a->ranks;
    right = b->ranks;
  } else if (a->stages != b->stages) {
    what = "stages";
    left = a->stages;
    right = b->stages;
  }
  if (what != NULL)
    g_set_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_MISMATCH,
                 "the first trace has %d %s, the second %d", left, what, right);
  else if (!a->unitless != !b->unitless)
    g_set_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_MISMATCH,
                 "the %s trace counts in time units, the other in seconds",
                 a->unitless ? "first" : "second");
  else
    return TRUE;
  return FALSE;
}

static gboolean
compare_sides (PwTraceDiff *diff, const Side *a, const Side *b, GError **error) {
  double iteration_time = b->whole->iteration_time;
  double scale = iteration_time > 0 ? iteration_time : 1;
  g_autoptr (GArray) matches = match_actions (a, b, scale, diff);
  if (matches->len == 0) {
    g_set_error_literal (error, PW_TRACE_ERROR, PW_TRACE_ERROR_MISMATCH,
                         "the traces have no action in common");
    return FALSE;
  }
  g_autofree double *errors = g_new (double, matches->len);
  diff->a_iteration_time = a->whole->iteration_time;
  diff->b_iteration_time = iteration_time;
  diff->relative_error = (diff->a_iteration_time - iteration_time) / scale;
  diff->a_bubble_fraction = a->whole->bubble_fraction;
  diff->b_bubble_fraction = b->whole->bubble_fraction;
  fill_ranks (diff, a, b, matches, errors);
  fill_errors (diff, matches, scale, errors);
  fill_worst (diff, matches);
  return TRUE;
}

PwTraceDiff *
pw_trace_diff (const PwTrace *a, const PwTrace *b, GError **error) {
  if (!check_same_shape (&a->info, &b->info, error))
    return NULL;
  g_autoptr (PwTraceDiff) diff = g_new0 (PwTraceDiff, 1);
  diff->n_ranks = b->info.ranks;
  diff->ranks = g_new0 (PwTraceDiffRank, (gsize)MAX (diff->n_ranks, 1));
  Side left, right;
  side_init (&left, a);
  side_init (&right, b);
  gboolean ok = compare_sides (diff, &left, &right, error);
  side_clear (&left);
  side_clear (&right);
  return ok ? g_steal_pointer (&diff) : NULL;
}

void
pw_trace_diff_free (PwTraceDiff *diff) {
  if (diff == NULL)
    return;
  g_free (diff->ranks);
  g_free (diff->worst);
  g_free (diff);
}
