/* What is copied where rounds repeat are the lists that playing every action makes. */
#include "schedules/lower_private.h"
#include "schedules/period.h"
#include "tests/schedules/reference_schedule.h"

static void
assert_same (const char *name, const PwSchedule *schedule, const PwStageEdges *edges,
             const PwLowerOptions *options) {
  g_autoptr (GError) error = NULL, other = NULL;
  g_autoptr (PwSchedule) copied = pw_schedule_lower (schedule, edges, options, &error);
  g_autoptr (PwSchedule) played = pw__schedule_lower_by_playing (schedule, edges, options, &other);
  if (g_strcmp0 (error ? error->message : NULL, other ? other->message : NULL) != 0)
    g_error ("%s, %d ranks: %s, but played: %s", name, schedule->ranks,
             error ? error->message : "lowered", other ? other->message : "lowered");
  if (copied != NULL && !reference_same_lists (copied, played))
    g_error ("%s, %d ranks: lists differ", name, schedule->ranks);
}

/* All that the lowering can be asked for and that has rounds. */
static void
assert_same_lowered (const char *name, const PwSchedule *schedule, const PwStageEdges *edges) {
  g_autofree gboolean *stages = g_new (gboolean, (gsize)schedule->stages);
  for (int s = 0; s < schedule->stages; s++)
    stages[s] = g_test_rand_int_range (0, 2);
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
    for (PwRecompute recompute = PW_RECOMPUTE_NONE; recompute <= PW_RECOMPUTE_EXCEPT_LAST;
         recompute++)
      for (int some = 0; some <= (recompute == PW_RECOMPUTE_STAGE); some++) {
        PwLowerOptions options = { .policy = policy,
                                   .recompute = recompute,
                                   .recomputed_stages = some ? stages : NULL,
                                   .updates = TRUE };
        assert_same (name, schedule, edges, &options);
      }
}

static PwSchedule *
generate (const PwScheduleType *type, int ranks, int microbatches, gboolean reverse) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  params.reverse = reverse;
  g_autoptr (PwSchedule) schedule = pw_schedule_generate (type->name, &params, NULL);
  return schedule != NULL ? pw_schedule_unroll (schedule, 1, NULL) : NULL;
}

static void
test_registry (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    int accepted = 0;
    for (int P = 1; P <= 6; P++)
      for (int M = P; M <= 40 * P; M += M < 5 * P ? 1 : 7 * P + g_test_rand_int_range (0, 2))
        for (int reverse = 0; reverse <= (((*type)->options & PW_OPTION_REVERSE) != 0); reverse++) {
          g_autoptr (PwSchedule) schedule = generate (*type, P, M, reverse);
          if (schedule == NULL)
            continue;
          accepted++;
          assert_same_lowered ((*type)->name, schedule, NULL);
        }
    g_assert_cmpint (accepted, >, 0);
  }
}

/* Skips over stages and several producers. */
static void
test_edges (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int round = 0; round < 6; round++) {
      g_autoptr (PwSchedule) schedule
          = generate (*type, g_test_rand_int_range (2, 6), 120, round % 2);
      if (schedule == NULL)
        continue;
      g_autoptr (PwStageEdges) edges = reference_random_edges (schedule->stages);
      assert_same_lowered ((*type)->name, schedule, edges);
    }
}

static void
change (PwSchedule *schedule) {
  PwProgram *program = &schedule->programs[g_test_rand_int_range (0, schedule->ranks)];
  int64_t i = g_test_rand_int_range (1, (gint32)program->n_prologue);
  PwAction action = program->actions[i];
  program->actions[i] = program->actions[i - 1];
  if (g_test_rand_bit ())
    program->actions[i - 1] = action; /* else it is lost, and the other there twice */
}

/* Rounds that are broken off, and lists that cannot run. */
static void
test_irregular (void) {
  int lowered = 0, refused = 0;
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int round = 0; round < 30; round++) {
      g_autoptr (PwSchedule) schedule = generate (*type, g_test_rand_int_range (1, 6), 120, FALSE);
      if (schedule == NULL)
        continue;
      for (int changes = g_test_rand_int_range (1, 4); changes > 0; changes--)
        change (schedule);
      PwLowerOptions options = { .policy = PW_POLICY_DEFAULT,
                                 .recompute = round % 2 ? PW_RECOMPUTE_STAGE : PW_RECOMPUTE_NONE };
      g_autoptr (PwSchedule) any = pw_schedule_lower (schedule, NULL, &options, NULL);
      lowered += any != NULL;
      refused += any == NULL;
      assert_same ((*type)->name, schedule, NULL, &options);
    }
  g_assert_cmpint (lowered, >, 50);
  g_assert_cmpint (refused, >, 50);
}

static void
test_period (void) {
  for (int round = 0; round < 200; round++) {
    int64_t period = g_test_rand_int_range (1, 40), shift = g_test_rand_int_range (1, 5), lasts = 0;
    int64_t n = 20 * period + g_test_rand_int_range (0, 30), broken = 4 * period + n / 2;
    gboolean descends = g_test_rand_bit ();
    g_autofree PwAction *list = g_new (PwAction, (gsize)n);
    for (int64_t i = 0; i < n; i++) {
      int64_t by = i / period * shift;
      list[i] = pw_action (PW_ACTION_FORWARD, (int)(i % period), descends ? 500 - by : by);
    }
    list[broken].stage = 1000;
    int64_t found = 0, found_shift = 0;
    g_assert_true (pw_period_find (list, n, &found, &found_shift));
    g_assert_cmpint (found, ==, period);
    g_assert_cmpint (found_shift, ==, descends ? -shift : shift);
    lasts = pw_period_lasts (list, 0, n - period, period, found_shift);
    g_assert_cmpint (lasts + period, ==, broken);
  }
}

/* Lists of which one repeats after two micro-batches and one after three do so together after six.
 */
static void
test_periods (void) {
  PwAction lists[2][240];
  PwPeriodList of[2];
  for (int l = 0; l < 2; l++) {
    for (int i = 0; i < 240; i++)
      lists[l][i] = pw_action (PW_ACTION_FORWARD, i % (l + 2) == 0, i);
    of[l] = (PwPeriodList){ .next = lists[l], .n = 240 };
  }
  int64_t shift = 0;
  g_assert_true (pw_periods_find (of, 2, &shift, NULL));
  g_assert_cmpint (shift, ==, 6);
  g_assert_cmpint (of[0].period, ==, 6);
  g_assert_cmpint (of[1].period, ==, 6);
  of[1].n = 20; /* three times and a bit */
  g_assert_false (pw_periods_find (of, 2, &shift, NULL));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/lower-repeat/every-schedule-is-as-played", test_registry);
  g_test_add_func ("/schedules/lower-repeat/with-skips-too", test_edges);
  g_test_add_func ("/schedules/lower-repeat/so-are-irregular-and-broken-ones", test_irregular);
  g_test_add_func ("/schedules/period/is-found-and-how-long-it-lasts", test_period);
  g_test_add_func ("/schedules/period/several-lists-have-one-shift", test_periods);
  return g_test_run ();
}
