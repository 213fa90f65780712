/* Asynchronous schedules: programs with bodies, updates in between, weight versions. */
#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "schedules/show.h"
#include "tests/schedules/reference_schedule.h"

#include <string.h>

static const char *const names[] = { "pipedream", "pipedream-2bw" };

static PwSchedule *
generate (const char *name, int ranks, int microbatches, int update_every) {
  PwScheduleParams params;
  g_autoptr (GError) error = NULL;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  params.update_every = update_every;
  PwSchedule *schedule = pw_schedule_generate (name, &params, &error);
  if (schedule == NULL)
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
  return schedule;
}

/* N micro-batches, at most WARMUP forwards ahead, U behind each EVERY-th backward. */
static PwSchedule *
defined_schedule (int P, int N, int most_ahead, int every) {
  PwPlacement *placement = pw_placement_new (PW_PLACEMENT_LOOP, P, P);
  PwSchedule *schedule = pw_schedule_new ("defined", placement, N);
  for (int rank = 0; rank < P; rank++) {
    int ahead = MIN (most_ahead, P - 1 - rank), forwards = 0;
    PwAction *list = g_new (PwAction, (gsize)(3 * N)), *out = list;
    for (int m = 0; m < N; m++) {
      while (forwards < N && forwards <= m + ahead)
        *out++ = pw_action (PW_ACTION_FORWARD, rank, forwards++);
      *out++ = pw_action (PW_ACTION_BACKWARD, rank, m);
      if (m % every == every - 1)
        *out++ = pw_action (PW_ACTION_UPDATE, rank, 0);
    }
    pw_schedule_take_list (schedule, rank, list, out - list);
  }
  return schedule;
}

static void
test_definition (void) {
  for (int P = 1; P <= 7; P++)
    for (int M = 1; M <= 4 * P; M++)
      for (int every = 1; every <= M; every++) {
        g_autoptr (PwSchedule) endless = every == 1 ? generate ("pipedream", P, M, 0)
                                                    : generate ("pipedream-2bw", P, M, every);
        if (every > 1)
          g_assert_true ((endless != NULL) == (every >= P && M % every == 0));
        if (endless == NULL)
          continue;
        g_assert_true (pw_schedule_is_endless (endless));
        g_assert_false (endless->promise.synchronous);
        for (int iterations = 1; iterations <= 4; iterations++) {
          g_autoptr (PwSchedule) plain = pw_schedule_unroll (endless, iterations, NULL);
          g_autoptr (PwSchedule) defined = defined_schedule (P, iterations * M, M, every);
          g_assert_true (reference_same_lists (plain, defined));
        }
      }
}

/* 2BW without `update_every` divides M by what is next to P. */
static void
test_default_interval (void) {
  const struct {
    int P, M, every;
  } rows[] = { { 4, 8, 4 }, { 4, 10, 5 }, { 4, 11, 11 }, { 3, 16, 4 }, { 1, 6, 1 } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PwSchedule) endless = generate ("pipedream-2bw", rows[i].P, rows[i].M, 0);
    g_assert_cmpint (endless->programs[0].shift, ==, rows[i].every);
  }
}

/* The longer the run, the same program. */
static void
test_stored_length (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (PwSchedule) shorter = generate (names[i], 6, 30, i == 0 ? 0 : 6);
    g_autoptr (PwSchedule) longer = generate (names[i], 6, 3000000, i == 0 ? 0 : 6);
    for (int rank = 0; rank < 6; rank++) {
      const PwProgram *a = &shorter->programs[rank], *b = &longer->programs[rank];
      g_assert_cmpint (a->n_prologue, ==, b->n_prologue);
      g_assert_cmpint (a->n_body, ==, b->n_body);
      g_assert_cmpint (a->n_epilogue, ==, b->n_epilogue);
      g_assert_cmpint (b->n_prologue + b->n_body + b->n_epilogue, <, 64);
    }
    g_assert_cmpint (pw_schedule_count_actions (longer), ==, (int64_t)2 * 6 * 3000000);
  }
}

/* The pipeline fills and drains once, however long the run. */
static void
test_start_up_only (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (int P = 1; P <= 5; P++)
      for (int iterations = 1; iterations <= 3; iterations++) {
        double F = g_test_rand_int_range (1, 6), I = g_test_rand_int_range (0, 6), W = 2;
        int M = P * g_test_rand_int_range (1, 4);
        g_autoptr (PwSchedule) endless = generate (names[i], P, M, 0);
        g_autoptr (PwSchedule) plain = pw_schedule_unroll (endless, iterations, NULL);
        ReferenceRun run = reference_run_compute (plain, NULL, F, I, W);
        g_assert_true (run.finished);
        g_assert_cmpfloat (run.time, ==, (iterations * M + P - 1) * (F + I + W));
      }
}

/* Checked as they stand, and unrolled; a rank's stashes stay as many. */
static void
test_check (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (int P = 1; P <= 6; P++)
      for (int M = P; M <= 3 * P; M++)
        for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
          PwCheckOptions options = { .policy = policy, .batched = g_test_rand_bit () };
          g_autoptr (PwSchedule) endless = generate (names[i], P, M, 0);
          g_autoptr (PwSchedule) plain = pw_schedule_unroll (endless, 3, NULL);
          g_autoptr (PwCheckReport) a = pw_schedule_check (endless, NULL, &options);
          g_autoptr (PwCheckReport) b = pw_schedule_check (plain, NULL, &options);
          g_assert_true (a->valid);
          g_assert_true (b->valid);
          g_autofree double *peaks = g_new (double, (gsize)P);
          pw_schedule_peak_activations (endless, 0.5, peaks);
          for (int rank = 0; rank < P; rank++) {
            g_assert_cmpfloat (a->peak_activations[rank], ==, P - rank);
            g_assert_cmpfloat (b->peak_activations[rank], ==, P - rank);
            g_assert_cmpfloat (peaks[rank], ==, P - rank);
          }
        }
}

static void
test_versions (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 3 * P; M++) {
      g_autofree int *versions = g_new (int, (gsize)P);
      g_autoptr (PwSchedule) pipedream = generate ("pipedream", P, M, 0);
      pw_schedule_weight_versions (pipedream, versions);
      for (int rank = 0; rank < P; rank++) {
        g_assert_cmpint (versions[rank], <=, MIN (M, P - rank));
        if (M >= 2 * P - 1)
          g_assert_cmpint (versions[rank], ==, P - rank);
      }
      g_autoptr (PwSchedule) long_run = pw_schedule_unroll (pipedream, 20, NULL);
      pw_schedule_weight_versions (long_run, versions);
      g_assert_cmpint (pipedream->promise.weight_versions, ==, versions[0]);
      g_autoptr (PwSchedule) two = generate ("pipedream-2bw", P, M, 0);
      if (two == NULL)
        continue;
      pw_schedule_weight_versions (two, versions);
      for (int rank = 0; rank < P; rank++)
        g_assert_cmpint (versions[rank], ==, 2);
      g_autoptr (PwSchedule) flush = generate ("1f1b", P, M, 0);
      pw_schedule_weight_versions (flush, versions);
      for (int rank = 0; rank < P; rank++)
        g_assert_cmpint (versions[rank], ==, 1);
    }
}

/* 2BW: version max(0, b-1) is there when a micro-batch of batch b goes forward, and is the newest
 * or the one before it until its backward. */
static void
test_two_are_enough (void) {
  for (int P = 1; P <= 6; P++)
    for (int every = P; every <= 2 * P; every++) {
      g_autoptr (PwSchedule) endless = generate ("pipedream-2bw", P, 4 * every, every);
      g_autoptr (PwSchedule) plain = pw_schedule_unroll (endless, 1, NULL);
      for (int rank = 0; rank < P; rank++) {
        int updates = 0;
        for (int64_t i = 0; i < plain->programs[rank].n_prologue; i++) {
          PwAction action = plain->programs[rank].actions[i];
          int batch = (int)action.microbatch / every, version = MAX (0, batch - 1);
          if (action.kind == PW_ACTION_UPDATE) {
            updates++;
            continue;
          }
          g_assert_cmpint (version, <=, updates);
          g_assert_cmpint (version, >=, updates - 1);
        }
        g_assert_cmpint (updates, ==, 4);
      }
    }
}

/* As text they are known again by the updates in between, at both levels. */
static void
test_csv (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (int lowered = 0; lowered <= 1; lowered++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (PwSchedule) endless = generate (names[i], 3, 9, 0);
      PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE, .updates = TRUE };
      g_autoptr (PwSchedule) schedule = lowered ? pw_schedule_lower (endless, NULL, &options, NULL)
                                                : pw_schedule_unroll (endless, 1, NULL);
      g_autofree char *text = pw_schedule_to_csv (schedule, PW_CSV_OURS);
      g_autoptr (PwSchedule) read = pw_schedule_from_csv ("x.csv", text, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (reference_same_lists (read, schedule));
      g_assert_cmpint (read->is_lowered, ==, lowered);
      g_assert_false (read->promise.synchronous);
      if (i == 0)
        g_assert_cmpint (read->promise.weight_versions, ==, 3);
      g_autoptr (PwSchedule) raised = pw_schedule_raise (schedule);
      g_autoptr (PwSchedule) plain = pw_schedule_unroll (endless, 1, NULL);
      g_assert_true (reference_same_lists (raised, plain));
    }
}

static void
test_show (void) {
  g_autoptr (PwSchedule) endless = generate ("pipedream", 2, 3, 0);
  PwShowOptions options = { .F = 1, .I = 1, .W = 1, .width = 100 };
  g_autofree char *text = pw_schedule_show (endless, &options);
  g_assert_nonnull (strstr (text, "B2"));
  g_assert_nonnull (strstr (text, "12 time units"));
}

static void
test_refusals (void) {
  const struct {
    const char *name;
    int ranks, microbatches, update_every;
    const char *says;
  } rows[] = {
    { "pipedream", 4, 8, 4, "does not take update_every" },
    { "pipedream-2bw", 4, 3, 0, "there are 3" },
    { "pipedream-2bw", 4, 8, 2, "2 micro-batches are fewer than the 4 ranks" },
    { "pipedream-2bw", 4, 9, 4, "4 does not divide the 9 micro-batches" },
    { "pipedream-2bw", 4, 8, 16, "16 does not divide the 8 micro-batches" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    PwScheduleParams params;
    pw_schedule_params_init (&params);
    params.ranks = rows[i].ranks;
    params.microbatches = rows[i].microbatches;
    params.update_every = rows[i].update_every;
    g_assert_null (pw_schedule_generate (rows[i].name, &params, &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
    g_assert_nonnull (strstr (error->message, rows[i].says));
    g_assert_null (strchr (error->message, '\n'));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/pipedream/unrolled-it-is-1f1b-without-end", test_definition);
  g_test_add_func ("/schedules/pipedream/2bw-updates-as-often-as-two-versions-allow",
                   test_default_interval);
  g_test_add_func ("/schedules/pipedream/a-longer-run-is-stored-as-short", test_stored_length);
  g_test_add_func ("/schedules/pipedream/bubble-is-paid-once", test_start_up_only);
  g_test_add_func ("/schedules/pipedream/passes-every-policy-with-its-body", test_check);
  g_test_add_func ("/schedules/pipedream/keeps-as-many-versions-as-said", test_versions);
  g_test_add_func ("/schedules/pipedream/2bw-finds-its-version-among-two", test_two_are_enough);
  g_test_add_func ("/schedules/pipedream/is-known-again-from-text", test_csv);
  g_test_add_func ("/schedules/pipedream/is-drawn-unrolled", test_show);
  g_test_add_func ("/schedules/pipedream/bad-intervals-are-refused-in-one-line", test_refusals);
  return g_test_run ();
}
