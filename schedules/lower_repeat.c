/* Most of a long schedule is one round again and again, with other micro-batches. Between two ticks
 * the machine's state is what each rank runs and comes to next, in what order those are that end
 * together, and what of which micro-batches is done. Where it is the state of some ticks before
 * with the micro-batches shifted, and the lists go on as they went, the next round is the last one
 * shifted: as long as the lists repeat, what it appended is copied instead of played.
 *
 * Nothing is guessed: the states are compared as far as a round looks. It looks at what is done of
 * the micro-batches of its own actions alone: a window of few, or one of each direction. */
#include "schedules/lower_machine_private.h"
#include "schedules/period.h"

#define LOOKED_AHEAD 2 /* a rank looks at a pair that it cannot start yet */
#define BLOCK 256      /* actions copied at once */

/* Of micro-batches: what of them was done. */
typedef struct {
  int64_t low, width; /* 0: none */
  uint8_t *done;      /* [stages][width] */
} Window;

struct PwLowerRound {
  int64_t begun; /* the tick */
  int64_t shift;
  PwPeriodList *lists;  /* [ranks] */
  PwLowerRank *ranks;   /* as they stood; as does all that follows */
  PwLowerRank **ending; /* tick by tick from the next on */
  int n_ending[PW_LOWER_TICKS];
  Window windows[2];
};

static void
free_round (PwLowerRound *round) {
  g_free (round->lists);
  g_free (round->ranks);
  g_free (round->ending);
  g_free (round->windows[0].done);
  g_free (round->windows[1].done);
  g_free (round);
}

/* The next attempt comes half as many ticks later as there had been. */
static void
end_round (PwLowering *l) {
  l->look_at = l->round->begun + l->round->begun / 2;
  g_clear_pointer (&l->round, free_round);
}

static const PwAction *
first_looked_at (const PwLowerRank *rank) {
  gboolean is_own = rank->state == RUNNING && rank->running != &rank->recompute;
  return is_own ? rank->running : rank->next;
}

static void
widen (Window *window, const PwAction *at) {
  int64_t microbatch = at->microbatch;
  int64_t low = window->width == 0 ? microbatch : MIN (window->low, microbatch);
  int64_t high
      = window->width == 0 ? microbatch : MAX (window->low + window->width - 1, microbatch);
  *window = (Window){ .low = low, .width = high - low + 1 };
}

/* The micro-batches of what is running, and of the next period: those of the second
 * direction may be far from those of the first. From low to high, apart from each other. */
static void
find_windows (const PwLowering *l, PwLowerRound *round) {
  Window *first = &round->windows[0], *second = &round->windows[1];
  for (int r = 0; r < l->schedule->ranks; r++) {
    const PwLowerRank *rank = &l->ranks[r];
    int64_t n = round->lists[r].period + LOOKED_AHEAD;
    const PwAction *stop = rank->next + MIN (n, rank->end - rank->next);
    for (const PwAction *at = first_looked_at (rank); at < stop; at++)
      widen (&round->windows[at->direction], at);
  }
  if (first->width > 0 && second->width > 0 && second->low < first->low) {
    Window lower = *second;
    *second = *first;
    *first = lower;
  }
  int64_t end = second->low + second->width;
  if (first->width > 0 && second->width > 0 && second->low < first->low + first->width) {
    first->width = MAX (first->low + first->width, end) - first->low;
    second->width = 0;
  }
}

static void
copy_window (const PwLowering *l, Window *window) {
  window->done = g_malloc ((gsize)(l->schedule->stages * window->width));
  for (int s = 0; s < l->schedule->stages && window->width > 0; s++)
    memcpy (window->done + s * window->width, l->done + s * l->stride + window->low,
            (gsize)window->width);
}

static void
copy_state (const PwLowering *l, PwLowerRound *round) {
  int ranks = l->schedule->ranks, n = 0;
  round->ranks = g_memdup2 (l->ranks, (gsize)ranks * sizeof *l->ranks);
  round->ending = g_new (PwLowerRank *, (gsize)ranks);
  for (unsigned d = 0; d < PW_LOWER_TICKS; d++) {
    unsigned tick = (l->tick + d) % PW_LOWER_TICKS;
    round->n_ending[d] = l->n_ending[tick];
    for (int i = 0; i < l->n_ending[tick]; i++)
      round->ending[n++] = l->ending[tick][i];
  }
  copy_window (l, &round->windows[0]);
  copy_window (l, &round->windows[1]);
}

static void
begin (PwLowering *l) {
  int ranks = l->schedule->ranks;
  PwLowerRound *round = l->round = g_new0 (PwLowerRound, 1);
  round->begun = l->n_ticks;
  round->lists = g_new (PwPeriodList, (gsize)ranks);
  for (int r = 0; r < ranks; r++)
    round->lists[r]
        = (PwPeriodList){ .next = l->ranks[r].next, .n = l->ranks[r].end - l->ranks[r].next };
  if (!pw_periods_find (round->lists, ranks, &round->shift, NULL)) {
    end_round (l);
    return;
  }
  find_windows (l, round);
  copy_state (l, round);
  l->look_at = 0; /* at every tick */
}

static gboolean
is_action_shifted (const PwAction *before, const PwAction *now, int64_t shift) {
  return pw_action_bits (now) - pw_action_bits (before) == pw_shift_bits (shift);
}

static gboolean
is_rank_shifted (const PwLowerRank *before, const PwLowerRank *now, int64_t shift) {
  if (now->state != before->state)
    return FALSE;
  if (now->state != RUNNING)
    return TRUE;
  gboolean remakes = now->running == &now->recompute;
  if (now->n_running != before->n_running || remakes != (before->running == &now->recompute))
    return FALSE;
  if (remakes)
    return is_action_shifted (&before->recompute, &now->recompute, shift);
  for (int i = 0; i < now->n_running; i++)
    if (!is_action_shifted (&before->running[i], &now->running[i], shift))
      return FALSE;
  return TRUE;
}

static gboolean
ends_likewise (const PwLowering *l, const PwLowerRound *round) {
  PwLowerRank *const *before = round->ending;
  for (unsigned d = 0; d < PW_LOWER_TICKS; d++) {
    unsigned tick = (l->tick + d) % PW_LOWER_TICKS;
    int n = l->n_ending[tick];
    if (n != round->n_ending[d] || memcmp (before, l->ending[tick], (gsize)n * sizeof *before) != 0)
      return FALSE;
    before += n;
  }
  return TRUE;
}

static gboolean
is_done_shifted (const PwLowering *l, const Window *window, int64_t shift) {
  int64_t low = window->low + shift;
  if (window->width > 0 && (low < 0 || low + window->width > l->slots))
    return FALSE;
  for (int s = 0; s < l->schedule->stages && window->width > 0; s++)
    if (memcmp (l->done + s * l->stride + low, window->done + s * window->width,
                (gsize)window->width)
        != 0)
      return FALSE;
  return TRUE;
}

/* Does all stand as it stood, one period of the lists further on? */
static gboolean
is_round (const PwLowering *l, const PwLowerRound *round) {
  for (int r = 0; r < l->schedule->ranks; r++)
    if (l->ranks[r].next - round->ranks[r].next != round->lists[r].period
        || !is_rank_shifted (&round->ranks[r], &l->ranks[r], round->shift))
      return FALSE;
  return ends_likewise (l, round) && is_done_shifted (l, &round->windows[0], round->shift)
         && is_done_shifted (l, &round->windows[1], round->shift);
}

/* How many of the N micro-batches that come into WINDOW are done as those SHIFT before. */
static int64_t
count_likewise (const uint8_t *row, const Window *window, int64_t n, int64_t shift) {
  int64_t end = window->low + window->width;
  const uint8_t *from = shift > 0 ? row + end : row + window->low - n;
  if (memcmp (from, from + shift, (gsize)n) == 0)
    return n;
  int64_t likewise = 0;
  for (int64_t at = shift > 0 ? end : window->low - 1; row[at] == row[at + shift];
       at += shift > 0 ? 1 : -1)
    likewise++;
  return likewise;
}

/* Of ROUNDS, how many find WINDOW as it was: what comes into it, from as far as FROM and TO, was
 * done before. */
static int64_t
count_done (const PwLowering *l, const Window *window, int64_t from, int64_t to, int64_t rounds,
            int64_t shift) {
  int64_t step = ABS (shift), apart = window->low - from;
  if (shift > 0)
    apart = to - window->low - window->width;
  if (window->width == 0)
    return rounds;
  for (int s = 0; s < l->schedule->stages && rounds > 1; s++) {
    int64_t n = CLAMP (apart - step, 0, (rounds - 1) * step);
    rounds = 1 + count_likewise (l->done + s * l->stride, window, n, shift) / step;
  }
  return rounds;
}

/* How many more rounds there are. */
static int64_t
count_rounds (const PwLowering *l, const PwLowerRound *round) {
  int64_t rounds = G_MAXINT64, shift = round->shift;
  for (int r = 0; r < l->schedule->ranks && rounds > 0; r++) {
    const PwPeriodList *list = &round->lists[r];
    int64_t lasts = pw_period_lasts (list->next, 0, list->n - list->period, list->period, shift);
    rounds = MIN (rounds, (lasts - LOOKED_AHEAD) / list->period);
  }
  const Window *first = &round->windows[0], *second = &round->windows[1];
  int64_t end = first->low + first->width, begin = second->width > 0 ? second->low : l->slots;
  rounds = count_done (l, first, 0, begin, MAX (rounds, 0), shift);
  return count_done (l, second, end, l->slots, rounds, shift);
}

/* Appends the last N actions before OUT another ROUNDS times, each time shifted by SHIFT more; as
 * soon as there are enough, several rounds at once. */
static PwAction *
append_shifted (PwAction *out, int64_t n, int64_t rounds, int64_t shift) {
  for (int64_t left = rounds * n; left > 0;) {
    const PwAction *restrict from = out - n;
    PwAction *restrict to = out;
    int64_t m = MIN (left, n);
    uint64_t add = pw_shift_bits (shift);
    for (int64_t i = 0; i < m; i++) {
      uint64_t bits = pw_action_bits (&from[i]) + add;
      memcpy (&to[i], &bits, sizeof bits);
    }
    out += m;
    left -= m;
    if (n < BLOCK) {
      n *= 2;
      shift *= 2;
    }
  }
  return out;
}

/* What ended in the round ends again. Against the shift, so that it is not taken for what ended. */
static void
set_done (PwLowering *l, const Window *window, int64_t rounds, int64_t shift) {
  for (int s = 0; s < l->schedule->stages; s++) {
    uint8_t *row = l->done + s * l->stride + window->low;
    const uint8_t *before = window->done + s * window->width;
    for (int64_t i = 0; i < window->width; i++) {
      int64_t m = shift > 0 ? window->width - 1 - i : i;
      uint8_t ended = row[m] & (uint8_t)~before[m];
      for (int64_t j = 1; j <= rounds && ended != 0; j++)
        row[m + j * shift] |= ended;
    }
  }
}

static void
repeat (PwLowering *l, const PwLowerRound *round) {
  int64_t rounds = count_rounds (l, round), shift = round->shift;
  set_done (l, &round->windows[shift > 0], rounds, shift);
  set_done (l, &round->windows[shift <= 0], rounds, shift);
  for (int r = 0; r < l->schedule->ranks; r++) {
    PwLowerRank *rank = &l->ranks[r];
    int64_t n = rounds * round->lists[r].period;
    rank->out = append_shifted (rank->out, rank->out - round->ranks[r].out, rounds, shift);
    rank->next += n;
    if (rank->running == &rank->recompute)
      rank->recompute.microbatch += (uint32_t)(rounds * shift) & 0xffffffu;
    else
      rank->running += n;
  }
}

void
pw__lower_look_for_round (PwLowering *l) {
  const PwLowerRound *round = l->round;
  if (round == NULL) {
    begin (l);
    return;
  }
  int64_t left = round->lists[0].period - (l->ranks[0].next - round->ranks[0].next);
  if (left == 0 && is_round (l, round)) {
    repeat (l, round);
    end_round (l);
  } else if (left < 0)
    end_round (l);
}

void
pw__lower_forget_round (PwLowering *l) {
  g_clear_pointer (&l->round, free_round);
}
