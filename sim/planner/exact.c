/* All orders of a small problem, action by action. Partial orders of the same actions differ only
 * in times: when each rank is free and when the messages under way arrive. One whose times are all
 * at least as late as another's cannot end before it and is dropped; so is one that provably cannot
 * end before the best order known.
 *
 *   after 3 actions     F0 F1 | F0    rank 0 free at 2, rank 1 at 3, F1 of rank 1 can start at 3
 *                       F0    | F0 I0 ... */
#include "sim/planner/exact_private.h"

#include <math.h>
#include <string.h>

#define COUNT_BITS 3
#define ROWS_MAX (64 / COUNT_BITS)
#define MICROBATCHES_MAX ((1 << COUNT_BITS) - 1)
#define RANKS_MAX ROWS_MAX

typedef struct {
  uint64_t counts; /* COUNT_BITS for each row */
  gsize times;     /* where its times start */
  int parent, next_alike;
  uint8_t rank, letter; /* what was appended to the parent */
  gboolean is_dropped;
} Node;

/* A partial order, spread out. */
typedef struct {
  int count[ROWS_MAX];
  double clock[RANKS_MAX];
  double arrival[ROWS_MAX][MICROBATCHES_MAX]; /* for the row that waits for it */
  double carried[ROWS_MAX]; /* when the edge to that row is free; only where messages queue */
} State;

typedef struct {
  const PwOrderProblem *problem;
  double below;
  GArray *nodes;            /* Node */
  GArray *times;            /* double */
  GHashTable *alike;        /* counts -> first node of the level under way, plus 1 */
  double *tail;             /* [rows] from the start of an action to the end of what it leads to */
  const PwOrderStep **step; /* [rows] */
  int *rank;                /* [rows] */
  int *receiver;            /* [rows] row that waits for its message; -1: none */
} Exact;

static int
count_of (uint64_t counts, int row) {
  return (int)(counts >> (row * COUNT_BITS)) & MICROBATCHES_MAX;
}

/* Times in the order of rows and micro-batches, into TIMES or out of it; returns how many. */
static int
exchange (const Exact *x, State *state, double *times, gboolean store) {
  int n = 0;
  for (int r = 0; r < x->problem->ranks; r++, n++) {
    if (store)
      times[n] = state->clock[r];
    else
      state->clock[r] = times[n];
  }
  for (int row = 0; row < x->problem->rows; row++) {
    int sender = x->step[row]->sender;
    if (sender < 0)
      continue;
    if (x->step[row]->is_queued) {
      if (store)
        times[n++] = state->carried[row];
      else
        state->carried[row] = times[n++];
    }
    for (int m = state->count[row]; m < state->count[sender]; m++, n++) {
      if (store)
        times[n] = state->arrival[row][m];
      else
        state->arrival[row][m] = times[n];
    }
  }
  return n;
}

static void
load (const Exact *x, const Node *node, State *state) {
  for (int row = 0; row < x->problem->rows; row++)
    state->count[row] = count_of (node->counts, row);
  exchange (x, state, &g_array_index (x->times, double, node->times), FALSE);
}

static double
find_ready (const Exact *x, const State *state, int row) {
  const PwOrderStep *step = x->step[row];
  double clock = state->clock[x->rank[row]];
  return step->sender < 0 ? clock : MAX (clock, state->arrival[row][state->count[row]]);
}

/* The message and what the rank did before are there, or will be at a time that is known. */
static gboolean
is_possible (const Exact *x, const State *state, int row) {
  const PwOrderStep *step = x->step[row];
  int m = state->count[row];
  return m < x->problem->microbatches && (step->sender < 0 || state->count[step->sender] > m)
         && (step->local < 0 || state->count[step->local] > m);
}

static gboolean
has_memory (const Exact *x, const State *state, int row) {
  const PwOrderProblem *problem = x->problem;
  int rank = x->rank[row];
  if (x->step[row]->memory <= 0)
    return TRUE;
  double usage = x->step[row]->memory;
  const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
  for (int letter = 0; letter < problem->letters; letter++)
    usage += state->count[steps[letter].row] * steps[letter].memory;
  return usage <= problem->limit[rank];
}

/* Something that takes no memory another action could need fits in before START. */
static gboolean
wastes_time (const Exact *x, const State *state, int rank, double start) {
  const PwOrderProblem *problem = x->problem;
  const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
  for (int letter = 0; letter < problem->letters; letter++) {
    int row = steps[letter].row;
    if (problem->chunks > 1 && steps[letter].memory > 0)
      continue;
    if (is_possible (x, state, row) && find_ready (x, state, row) + steps[letter].duration <= start
        && steps[letter].duration > 0 && has_memory (x, state, row))
      return TRUE;
  }
  return FALSE;
}

static void
find_tails (Exact *x) {
  const PwOrderProblem *problem = x->problem;
  int stages = problem->stages;
  for (int s = 0; s < stages; s++) {
    int input = stages + s, weight = 2 * stages + s;
    double own = x->step[weight]->duration - problem->due[x->rank[weight]];
    double way = s > 0 ? problem->link[s - 1] + x->tail[input - 1] : -INFINITY;
    x->tail[weight] = own;
    x->tail[input] = x->step[input]->duration + MAX (own, way);
  }
  for (int s = stages - 1; s >= 0; s--) {
    double way = s + 1 < stages ? problem->link[s] + x->tail[s + 1] : x->tail[2 * stages - 1];
    x->tail[s] = x->step[s]->duration + way;
  }
}

/* Nothing that STATE leads to ends before this. */
static double
find_bound (const Exact *x, const State *state) {
  const PwOrderProblem *problem = x->problem;
  double bound = -INFINITY;
  for (int r = 0; r < problem->ranks; r++) {
    const PwOrderStep *steps = problem->forwards.steps + r * problem->letters;
    double all = state->clock[r], critical = state->clock[r];
    for (int letter = 0; letter < problem->letters; letter++) {
      int row = steps[letter].row, left = problem->microbatches - state->count[row];
      if (left == 0)
        continue;
      double first = state->clock[r];
      if (x->step[row]->sender >= 0 && state->count[x->step[row]->sender] > state->count[row])
        first = MAX (first, state->arrival[row][state->count[row]]);
      bound = MAX (bound, first + (left - 1) * steps[letter].duration + x->tail[row]);
      all += left * steps[letter].duration;
      if (letter < 2 * problem->chunks)
        critical += left * steps[letter].duration;
    }
    bound = MAX (bound, all - problem->due[r]);
    int last = steps[problem->chunks].row; /* I of the rank's first stage comes after all F and I */
    if (state->count[last] < problem->microbatches)
      bound = MAX (bound, critical - x->step[last]->duration + x->tail[last]);
  }
  return bound;
}

static void
append (const Exact *x, State *state, int row, double start) {
  int m = state->count[row]++, receiver = x->receiver[row], rank = x->rank[row];
  double end = state->clock[rank] = start + x->step[row]->duration;
  if (receiver >= 0) {
    const PwOrderStep *step = x->step[receiver];
    double sent = step->is_queued ? MAX (end, state->carried[receiver]) : end;
    state->arrival[receiver][m] = state->carried[receiver] = sent + step->delay;
  }
  /* What arrives before its rank can use it might as well arrive then: more becomes comparable. */
  for (int to = 0; to < x->problem->rows; to++) {
    int sender = x->step[to]->sender;
    double free_at = state->clock[x->rank[to]];
    for (int i = state->count[to]; sender >= 0 && i < state->count[sender]; i++) {
      state->arrival[to][i] = MAX (state->arrival[to][i], free_at);
      free_at = state->arrival[to][i] + x->step[to]->duration;
    }
  }
}

static gboolean
is_earlier (const double *a, const double *b, int n) {
  for (int i = 0; i < n; i++)
    if (a[i] > b[i])
      return FALSE;
  return TRUE;
}

/* Keeps NODE unless one alike is as early, and drops those alike that are not earlier. */
static void
keep (Exact *x, Node *node, const double *times, int n_times) {
  gpointer key = &node->counts;
  int first = GPOINTER_TO_INT (g_hash_table_lookup (x->alike, key)) - 1;
  for (int i = first; i >= 0; i = g_array_index (x->nodes, Node, i).next_alike) {
    Node *other = &g_array_index (x->nodes, Node, i);
    if (other->is_dropped)
      continue;
    const double *others = &g_array_index (x->times, double, other->times);
    if (is_earlier (others, times, n_times))
      return;
    other->is_dropped = is_earlier (times, others, n_times);
  }
  node->times = x->times->len;
  node->next_alike = first;
  g_array_append_vals (x->times, times, (guint)n_times);
  g_array_append_val (x->nodes, *node);
  gint64 *copy = g_new (gint64, 1);
  *copy = (gint64)node->counts;
  g_hash_table_insert (x->alike, copy, GINT_TO_POINTER ((int)x->nodes->len));
}

static void
expand (Exact *x, int index) {
  const PwOrderProblem *problem = x->problem;
  Node from = g_array_index (x->nodes, Node, index);
  State state = { 0 }, after;
  double times[RANKS_MAX + ROWS_MAX * (MICROBATCHES_MAX + 1)];
  load (x, &from, &state);
  for (int r = 0; r < problem->ranks; r++)
    for (int letter = 0; letter < problem->letters; letter++) {
      int row = problem->forwards.steps[r * problem->letters + letter].row;
      if (!is_possible (x, &state, row) || !has_memory (x, &state, row))
        continue;
      double start = find_ready (x, &state, row);
      if (wastes_time (x, &state, r, start))
        continue;
      after = state;
      append (x, &after, row, start);
      if (find_bound (x, &after) >= x->below - problem->tolerance)
        continue;
      Node node = { .counts = from.counts + (UINT64_C (1) << (row * COUNT_BITS)),
                    .parent = index,
                    .rank = (uint8_t)r,
                    .letter = (uint8_t)letter };
      keep (x, &node, times, exchange (x, &after, times, TRUE));
    }
}

static void
init_rows (Exact *x) {
  const PwOrderProblem *problem = x->problem;
  gsize rows = (gsize)problem->rows;
  x->tail = g_new (double, rows);
  x->step = g_new (const PwOrderStep *, rows);
  x->rank = g_new (int, rows);
  x->receiver = g_new (int, rows);
  for (int r = 0; r < problem->ranks; r++)
    for (int letter = 0; letter < problem->letters; letter++) {
      const PwOrderStep *step = &problem->forwards.steps[r * problem->letters + letter];
      x->step[step->row] = step;
      x->rank[step->row] = r;
      x->receiver[step->row] = -1;
    }
  for (int row = 0; row < problem->rows; row++)
    if (x->step[row]->sender >= 0)
      x->receiver[x->step[row]->sender] = row;
  find_tails (x);
}

static void
clear (Exact *x) {
  g_array_unref (x->nodes);
  g_array_unref (x->times);
  g_hash_table_unref (x->alike);
  g_free (x->tail);
  g_free (x->step);
  g_free (x->rank);
  g_free (x->receiver);
}

/* The node of the last level that ends first; -1: there is none. */
static int
find_best (const Exact *x, guint first) {
  const PwOrderProblem *problem = x->problem;
  int best = -1;
  double best_value = INFINITY;
  for (guint i = first; i < x->nodes->len; i++) {
    const Node *node = &g_array_index (x->nodes, Node, i);
    const double *clock = &g_array_index (x->times, double, node->times);
    double value = 0;
    for (int r = 0; r < problem->ranks; r++)
      value = MAX (value, clock[r] - problem->due[r]);
    if (!node->is_dropped && value < best_value) {
      best = (int)i;
      best_value = value;
    }
  }
  return best;
}

static void
spell (const Exact *x, int index, uint8_t *words) {
  int left[RANKS_MAX];
  for (int r = 0; r < x->problem->ranks; r++)
    left[r] = x->problem->length;
  while (index > 0) {
    const Node *node = &g_array_index (x->nodes, Node, index);
    words[node->rank * x->problem->length + --left[node->rank]] = node->letter;
    index = node->parent;
  }
}

PwExactResult
pw__order_exact (const PwOrderProblem *problem, double value, int nodes_max, uint8_t *words) {
  if (problem->rows > ROWS_MAX || problem->microbatches > MICROBATCHES_MAX)
    return PW_EXACT_GAVE_UP;
  Exact x = { .problem = problem,
              .below = value,
              .nodes = g_array_new (FALSE, FALSE, sizeof (Node)),
              .times = g_array_new (FALSE, FALSE, sizeof (double)),
              .alike = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL) };
  init_rows (&x);
  State empty = { 0 };
  double times[RANKS_MAX + ROWS_MAX];
  keep (&x, &(Node){ .parent = -1 }, times, exchange (&x, &empty, times, TRUE));
  guint from = 0, to = 1;
  gsize n_actions = pw__order_size (problem);
  for (gsize n = 0; n < n_actions && x.nodes->len <= (guint)nodes_max; n++) {
    g_hash_table_remove_all (x.alike);
    for (guint i = from; i < to; i++)
      if (!g_array_index (x.nodes, Node, i).is_dropped && x.nodes->len <= (guint)nodes_max)
        expand (&x, (int)i);
    from = to;
    to = x.nodes->len;
  }
  PwExactResult result = PW_EXACT_GAVE_UP;
  if (x.nodes->len <= (guint)nodes_max) {
    int best = find_best (&x, from);
    result = best >= 0 ? PW_EXACT_FOUND : PW_EXACT_NONE;
    if (best >= 0)
      spell (&x, best, words);
  }
  clear (&x);
  return result;
}
