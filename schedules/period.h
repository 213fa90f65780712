/* Most of a long list is one period again and again, each time with the micro-batches higher (or
 * lower) by the same number, its shift:
 *
 *   F5 B1 F6 B2 F7 B3 ...      period 2, shift 1 */
#pragma once
#include "schedules/action.h"

/* So many periods a list must go on for to be said to have one. */
#define PW_PERIODS_MIN 4

/* What is added to an action's bits so that its micro-batch is higher by SHIFT. */
static inline uint64_t
pw_shift_bits (int64_t shift) {
  static const PwAction one = { .microbatch = 1 };
  return (uint64_t)shift * pw_action_bits (&one);
}

/* The first I from FROM on for which LIST[I + PERIOD] is not LIST[I] shifted by SHIFT; TO: none is
 * before it. */
int64_t pw_period_lasts (const PwAction *list, int64_t from, int64_t to, int64_t period,
                         int64_t shift);
/* Of what the N actions from LIST on could have as their period, that which lasts longest. FALSE:
 * there is none. */
gboolean pw_period_find (const PwAction *list, int64_t n, int64_t *period, int64_t *shift);

/* Of several lists at once. */
typedef struct {
  const PwAction *next;
  int64_t n;      /* actions from there on */
  int64_t period; /* filled in */
} PwPeriodList;

/* Fills in the periods, multiples of those of pw_period_find, after which all lists have the same
 * shift. FALSE: there are none, or they would not last; IRREGULAR, or NULL, is then the list that
 * showed it. */
gboolean pw_periods_find (PwPeriodList *lists, int n_lists, int64_t *shift, int *irregular);
