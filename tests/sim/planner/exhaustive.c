#include "exhaustive.h"

#include <math.h>
#include <string.h>

#include "rules.h"

/* Of micro-batch m of a stage: `ready[FORWARD]` is when its input is there, `ready[INPUT]` when the
 * gradient of its output is; meaningful from when the message is sent until it is used. */
typedef struct {
  Counts counts;
  double clock[RULES_RANKS];
  double ready[2][RULES_STAGES][RULES_MICROBATCHES];
  double carried[2][RULES_STAGES]; /* when the edge to the stage is free again */
} State;

/* Times that none of the others precedes in all components. */
typedef struct {
  double *vectors;
  int length, n, room; /* of a vector, of vectors */
} Front;

typedef struct {
  const Rules *rules;
  double below;                      /* what ends later is of no interest */
  double tail[STEP_N][RULES_STAGES]; /* from the start of a step to the end of all it leads to */
  GHashTable *level, *next;          /* counts -> Front; those of N actions, of N + 1 */
} Exploration;

static guint
hash_counts (gconstpointer key) {
  return (guint)(((guint64)(guintptr)key * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) >> 32);
}

/* The message that step K of stage S waits for comes from this stage; -1: from none. */
static int
giver_of (const Rules *rules, Step k, int s) {
  if (k == STEP_FORWARD)
    return s - 1;
  return k == STEP_INPUT && s + 1 < rules->stages ? s + 1 : -1;
}

static gpointer
key_of (const Rules *rules, const Counts *counts) {
  guint64 key = 0;
  for (int k = 0; k < STEP_N; k++)
    for (int s = 0; s < rules->stages; s++)
      key = key * (RULES_MICROBATCHES + 1) + (guint64)counts->done[k][s];
  return (gpointer)(guintptr)key;
}

static void
counts_of (const Rules *rules, gpointer pointer, Counts *counts) {
  guint64 key = (guint64)(guintptr)pointer;
  for (int k = STEP_N - 1; k >= 0; k--)
    for (int s = rules->stages - 1; s >= 0; s--) {
      counts->done[k][s] = (int)(key % (RULES_MICROBATCHES + 1));
      key /= RULES_MICROBATCHES + 1;
    }
}

/* The components of STATE's times, the same ones for the same counts; to VECTOR, or from it. */
static int
exchange (const Rules *rules, State *state, double *vector, gboolean pack) {
  int n = 0;
  for (int rank = 0; rank < rules->ranks; rank++, n++) {
    if (pack)
      vector[n] = state->clock[rank];
    else
      state->clock[rank] = vector[n];
  }
  for (int k = STEP_FORWARD; k <= STEP_INPUT; k++)
    for (int s = 0; s < rules->stages; s++) {
      int giver = giver_of (rules, (Step)k, s);
      if (giver < 0)
        continue;
      if (pack)
        vector[n++] = state->carried[k][s];
      else
        state->carried[k][s] = vector[n++];
      int sent = state->counts.done[k][giver];
      for (int m = state->counts.done[k][s]; m < sent; m++, n++) {
        if (pack)
          vector[n] = state->ready[k][s][m];
        else
          state->ready[k][s][m] = vector[n];
      }
    }
  return n;
}

/* A message that comes before its receiver has time for it might as well come then: after what the
 * receiver does now and after its own use of the messages before. Makes more times comparable. */
static void
settle (const Rules *rules, State *state) {
  for (int k = STEP_FORWARD; k <= STEP_INPUT; k++)
    for (int s = 0; s < rules->stages; s++) {
      int giver = giver_of (rules, (Step)k, s);
      if (giver < 0)
        continue;
      double free_at = state->clock[rules->rank_of[s]];
      for (int m = state->counts.done[k][s]; m < state->counts.done[k][giver]; m++) {
        state->ready[k][s][m] = MAX (state->ready[k][s][m], free_at);
        free_at = state->ready[k][s][m] + rules->cost[k][s];
      }
    }
}

/* An edge carries one message at a time. */
static void
send (State *state, Step k, int to, int m, double end, double transfer) {
  state->carried[k][to] = MAX (state->carried[k][to], end) + transfer;
  state->ready[k][to][m] = state->carried[k][to];
}

static void
append (const Rules *rules, State *state, Step k, int s) {
  int rank = rules->rank_of[s], m = state->counts.done[k][s]++;
  gboolean waits = giver_of (rules, k, s) >= 0;
  double start = waits ? MAX (state->clock[rank], state->ready[k][s][m]) : state->clock[rank];
  double end = state->clock[rank] = start + rules->cost[k][s];
  if (k == STEP_FORWARD && s + 1 < rules->stages)
    send (state, k, s + 1, m, end, rules->transfer[s]);
  if (k == STEP_INPUT && s > 0)
    send (state, k, s - 1, m, end, rules->transfer[s - 1]);
  settle (rules, state);
}

static void
find_tails (Exploration *x) {
  const Rules *rules = x->rules;
  for (int s = 0; s < rules->stages; s++) {
    double done = -rules->origin[rules->rank_of[s]];
    x->tail[STEP_WEIGHT][s] = rules->cost[STEP_WEIGHT][s] + done;
    double rest = x->tail[STEP_WEIGHT][s];
    if (s > 0)
      rest = MAX (rest, rules->transfer[s - 1] + x->tail[STEP_INPUT][s - 1]);
    x->tail[STEP_INPUT][s] = rules->cost[STEP_INPUT][s] + rest;
  }
  for (int s = rules->stages - 1; s >= 0; s--)
    x->tail[STEP_FORWARD][s]
        = rules->cost[STEP_FORWARD][s]
          + (s + 1 < rules->stages ? rules->transfer[s] + x->tail[STEP_FORWARD][s + 1]
                                   : x->tail[STEP_INPUT][s]);
}

/* Nothing that follows STATE ends before this. */
static double
bound (const Exploration *x, const State *state) {
  const Rules *rules = x->rules;
  double left[RULES_RANKS] = { 0 }, weights[RULES_RANKS] = { 0 }, latest = -INFINITY;
  for (int s = 0; s < rules->stages; s++)
    for (int k = 0; k < STEP_N; k++) {
      int rank = rules->rank_of[s], n = rules->microbatches - state->counts.done[k][s];
      left[rank] += n * rules->cost[k][s];
      weights[rank] += k == STEP_WEIGHT ? n * rules->cost[k][s] : 0;
      if (n > 0)
        latest = MAX (latest, state->clock[rank] + (n - 1) * rules->cost[k][s] + x->tail[k][s]);
    }
  for (int rank = 0; rank < rules->ranks; rank++) {
    latest = MAX (latest, state->clock[rank] + left[rank] - rules->origin[rank]);
    /* Stage RANK is its rank's first: its last I comes after all the rank's F and I. */
    if (state->counts.done[STEP_INPUT][rank] < rules->microbatches)
      latest = MAX (latest, state->clock[rank] + left[rank] - weights[rank]
                                - rules->cost[STEP_INPUT][rank] + x->tail[STEP_INPUT][rank]);
  }
  return latest;
}

static gboolean
precedes (const double *a, const double *b, int length) {
  for (int i = 0; i < length; i++)
    if (a[i] > b[i])
      return FALSE;
  return TRUE;
}

static void
front_add (Front *front, const double *vector, int length) {
  g_assert_true (front->n == 0 || front->length == length);
  front->length = length;
  for (int i = 0; i < front->n; i++) {
    double *other = front->vectors + (gsize)i * (gsize)length;
    if (precedes (other, vector, length))
      return;
    if (precedes (vector, other, length)) {
      const double *last = front->vectors + (gsize)--front->n * (gsize)length;
      memmove (other, last, (gsize)length * sizeof *last);
      i--;
    }
  }
  if (front->n == front->room) {
    front->room = MAX (2 * front->room, 2);
    front->vectors = g_renew (double, front->vectors, (gsize)front->room *(gsize)length);
  }
  memcpy (front->vectors + (gsize)front->n++ * (gsize)length, vector,
          (gsize)length * sizeof *vector);
}

static void
front_free (gpointer pointer) {
  Front *front = pointer;
  g_free (front->vectors);
  g_free (front);
}

static GHashTable *
level_new (void) {
  return g_hash_table_new_full (hash_counts, g_direct_equal, NULL, front_free);
}

static void
reach (Exploration *x, State *state) {
  if (!(bound (x, state) < x->below))
    return;
  double vector[RULES_RANKS + 2 * RULES_STAGES * (RULES_MICROBATCHES + 1)];
  int length = exchange (x->rules, state, vector, TRUE);
  gpointer key = key_of (x->rules, &state->counts);
  Front *front = g_hash_table_lookup (x->next, key);
  if (front == NULL) {
    front = g_new0 (Front, 1);
    g_hash_table_insert (x->next, key, front);
  }
  front_add (front, vector, length);
}

static void
expand (Exploration *x, gpointer key, const Front *front) {
  State state;
  counts_of (x->rules, key, &state.counts);
  for (int k = 0; k < STEP_N; k++)
    for (int s = 0; s < x->rules->stages; s++) {
      if (!rules_allow (x->rules, &state.counts, (Step)k, s)
          || !rules_is_fed (x->rules, &state.counts, (Step)k, s))
        continue;
      for (int i = 0; i < front->n; i++) {
        State after = { .counts = state.counts };
        exchange (x->rules, &after, front->vectors + (gsize)i * (gsize)front->length, FALSE);
        append (x->rules, &after, (Step)k, s);
        reach (x, &after);
      }
    }
}

double
exhaustive_beats (const PwSearchInput *input, double value) {
  Rules rules;
  rules_init (&rules, input);
  Exploration x = { .rules = &rules, .below = value, .next = level_new () };
  find_tails (&x);
  State state = { 0 };
  settle (&rules, &state);
  reach (&x, &state);
  for (int n = 0; n < STEP_N * rules.stages * rules.microbatches; n++) {
    x.level = x.next;
    x.next = level_new ();
    GHashTableIter iter;
    gpointer key, front;
    g_hash_table_iter_init (&iter, x.level);
    while (g_hash_table_iter_next (&iter, &key, &front))
      expand (&x, key, front);
    g_hash_table_unref (x.level);
  }
  double best = INFINITY;
  GHashTableIter iter;
  gpointer last;
  g_hash_table_iter_init (&iter, x.next);
  while (g_hash_table_iter_next (&iter, NULL, &last)) {
    const Front *front = last;
    for (int i = 0; i < front->n; i++)
      best = MIN (best, rules_value (&rules, front->vectors + i * front->length));
  }
  g_hash_table_unref (x.next);
  return best < value ? best : INFINITY;
}

double
exhaustive_optimum (const PwSearchInput *input) {
  return exhaustive_beats (input, INFINITY);
}
