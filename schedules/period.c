#include "schedules/period.h"

#define CANDIDATES_MAX 64 /* periods tried for one list */
#define PERIOD_MAX 8192
#define EVIDENCE                                                                                   \
  1024 /* so many actions that repeat, or a quarter of them, show that they go on                  \
        */
#define BLOCK 64

int64_t
pw_period_lasts (const PwAction *list, int64_t from, int64_t to, int64_t period, int64_t shift) {
  uint64_t difference = pw_shift_bits (shift);
  if (from < to
      && pw_action_bits (&list[from + period]) - pw_action_bits (&list[from]) != difference)
    return from;
  for (; from + BLOCK <= to; from += BLOCK) {
    uint64_t wrong = 0;
    for (int64_t i = from; i < from + BLOCK; i++)
      wrong |= (pw_action_bits (&list[i + period]) - pw_action_bits (&list[i])) ^ difference;
    if (wrong != 0)
      break;
  }
  while (from < to
         && pw_action_bits (&list[from + period]) - pw_action_bits (&list[from]) == difference)
    from++;
  return from;
}

/* The same but for another micro-batch. */
static gboolean
is_shifted (const PwAction *action, const PwAction *other) {
  static const PwAction microbatch = { .microbatch = 0xffffff };
  uint64_t rest = ~pw_action_bits (&microbatch);
  return ((pw_action_bits (action) ^ pw_action_bits (other)) & rest) == 0
         && other->microbatch != action->microbatch;
}

gboolean
pw_period_find (const PwAction *list, int64_t n, int64_t *period, int64_t *shift) {
  int64_t longest = 0, last = MIN (PERIOD_MAX, n / PW_PERIODS_MIN);
  int candidates = 0;
  for (int64_t p = 1; p <= last && candidates < CANDIDATES_MAX; p++) {
    if (!is_shifted (list, list + p))
      continue;
    int64_t by = (int64_t)list[p].microbatch - (int64_t)list->microbatch;
    int64_t enough = MAX (MIN (EVIDENCE, (n - p) / 4), (PW_PERIODS_MIN - 1) * p);
    int64_t lasts = pw_period_lasts (list, 0, enough, p, by);
    candidates++;
    if (lasts <= longest)
      continue;
    longest = lasts;
    *period = p;
    *shift = by;
    if (lasts == enough)
      return TRUE;
  }
  return longest > 0;
}

static int64_t
least_common_multiple (int64_t a, int64_t b) {
  int64_t product = ABS (a * b), rest;
  for (; b != 0; a = b, b = rest)
    rest = a % b;
  return product / ABS (a);
}

/* The common multiple of the lists' own shifts; 0: there is none. L is the list at hand. */
static int64_t
find_shifts (PwPeriodList *lists, int n_lists, int64_t *shifts, int *l) {
  int64_t common = 1;
  for (*l = 0; *l < n_lists; ++*l) {
    PwPeriodList *list = &lists[*l];
    if (!pw_period_find (list->next, list->n, &list->period, &shifts[*l])
        || (shifts[*l] > 0) != (shifts[0] > 0))
      return 0;
    common = least_common_multiple (common, shifts[*l]);
    if (common > PW_MICROBATCHES_MAX / PW_PERIODS_MIN)
      return 0;
  }
  return shifts[0] > 0 ? common : -common;
}

gboolean
pw_periods_find (PwPeriodList *lists, int n_lists, int64_t *shift, int *irregular) {
  g_autofree int64_t *shifts = g_new (int64_t, (gsize)n_lists);
  int none = 0, *l = irregular != NULL ? irregular : &none;
  *shift = find_shifts (lists, n_lists, shifts, l);
  if (*shift == 0)
    return FALSE;
  for (*l = 0; *l < n_lists; ++*l) {
    PwPeriodList *list = &lists[*l];
    list->period *= *shift / shifts[*l];
    int64_t enough = (PW_PERIODS_MIN - 1) * list->period;
    if (list->period > PERIOD_MAX || list->n < enough + list->period
        || pw_period_lasts (list->next, 0, enough, list->period, *shift) < enough)
      return FALSE;
  }
  return TRUE;
}
