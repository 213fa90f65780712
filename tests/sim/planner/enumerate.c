/* Every word over F, I, W of a rank's stages, every combination of the ranks' words. */
#include <math.h>

#include "exhaustive.h"
#include "rules.h"

typedef struct {
  guint8 k, s;
} Letter;

typedef struct {
  const Rules *rules;
  GArray *words[RULES_RANKS]; /* Letter; words of equal length one after another */
  int length;                 /* of a word */
  const Letter *chosen[RULES_RANKS];
  double best;
} Enumeration;

/* On a V a micro-batch passes the rank's two stages one after the other: every order that has it
 * otherwise hangs. */
static gboolean
hangs (const Rules *rules, const Counts *counts, int k, int s) {
  int other = 2 * rules->ranks - 1 - s;
  if (rules->stages == rules->ranks || k == STEP_WEIGHT || (k == STEP_FORWARD) == (s < other))
    return FALSE;
  return counts->done[k][s] >= counts->done[k][other];
}

static void
find_words (Enumeration *e, int rank, Counts *counts, Letter *word, int n) {
  if (n == e->length) {
    g_array_append_vals (e->words[rank], word, (guint)n);
    return;
  }
  for (int k = 0; k < STEP_N; k++)
    for (int s = 0; s < e->rules->stages; s++) {
      if (e->rules->rank_of[s] != rank || !rules_allow (e->rules, counts, (Step)k, s)
          || hangs (e->rules, counts, k, s))
        continue;
      word[n] = (Letter){ .k = (guint8)k, .s = (guint8)s };
      counts->done[k][s]++;
      find_words (e, rank, counts, word, n + 1);
      counts->done[k][s]--;
    }
}

typedef struct {
  Counts counts;
  int at[RULES_RANKS];
  double clock[RULES_RANKS];
  double end[STEP_N][RULES_STAGES][RULES_MICROBATCHES];
  double carried[2][RULES_STAGES]; /* when the edge to the stage is free again */
} Play;

/* When the message of FROM's M is at stage S; an edge carries one at a time. */
static double
receive (Play *play, Step k, int s, int from, int m, double transfer) {
  return play->carried[k][s] = MAX (play->carried[k][s], play->end[k][from][m]) + transfer;
}

/* Goes on in RANK's word as far as what it needs has been made. */
static int
advance (const Enumeration *e, Play *play, int rank) {
  const Rules *rules = e->rules;
  int first = play->at[rank];
  for (; play->at[rank] < e->length; play->at[rank]++) {
    Step k = e->chosen[rank][play->at[rank]].k;
    int s = e->chosen[rank][play->at[rank]].s, m = play->counts.done[k][s];
    if (!rules_is_fed (rules, &play->counts, k, s))
      break;
    double arrival = 0;
    if (k == STEP_FORWARD && s > 0)
      arrival = receive (play, k, s, s - 1, m, rules->transfer[s - 1]);
    if (k == STEP_INPUT && s + 1 < rules->stages)
      arrival = receive (play, k, s, s + 1, m, rules->transfer[s]);
    play->clock[rank] = MAX (play->clock[rank], arrival) + rules->cost[k][s];
    play->end[k][s][m] = play->clock[rank];
    play->counts.done[k][s]++;
  }
  return play->at[rank] - first;
}

static void
try (Enumeration *e) {
  Play play = { 0 };
  int n = 0, before;
  do {
    before = n;
    for (int rank = 0; rank < e->rules->ranks; rank++)
      n += advance (e, &play, rank);
  } while (n > before);
  if (n == e->length * e->rules->ranks)
    e->best = MIN (e->best, rules_value (e->rules, play.clock));
}

static void
combine (Enumeration *e, int rank) {
  if (rank == e->rules->ranks || rank == RULES_RANKS) {
    try (e);
    return;
  }
  const Letter *letters = (const Letter *)(gpointer)e->words[rank]->data;
  for (guint i = 0; i < e->words[rank]->len; i += (guint)e->length) {
    e->chosen[rank] = letters + i;
    combine (e, rank + 1);
  }
}

double
exhaustive_enumerate (const PwSearchInput *input) {
  Rules rules;
  rules_init (&rules, input);
  Enumeration e = { .rules = &rules,
                    .length = STEP_N * input->chunks * input->microbatches,
                    .best = INFINITY };
  g_autofree Letter *word = g_new (Letter, (gsize)e.length);
  for (int rank = 0; rank < rules.ranks; rank++) {
    Counts counts = { 0 };
    e.words[rank] = g_array_new (FALSE, FALSE, sizeof (Letter));
    find_words (&e, rank, &counts, word, 0);
  }
  combine (&e, 0);
  for (int rank = 0; rank < rules.ranks; rank++)
    g_array_unref (e.words[rank]);
  return e.best;
}
