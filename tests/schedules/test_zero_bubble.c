/* Schedules with a split backward: on one stage per rank, on several, and on a V. */
#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "tests/schedules/reference_schedule.h"

#include <math.h>
#include <string.h>

static const char *const names[]
    = { "zb-h1", "zb-h2", "zb-interleaved", "zb-v", "v-half", "v-min" };
static const char *const on_a_v[] = { "zb-v", "v-half", "v-min" };

static PwSchedule *
generate (const char *name, const PwScheduleParams *params) {
  g_autoptr (GError) error = NULL;
  PwSchedule *schedule = pw_schedule_generate (name, params, &error);
  g_assert_no_error (error);
  return schedule;
}

static PwScheduleParams
sizes (int ranks, int microbatches) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  return params;
}

static ReferenceRun
run (const char *name, const PwScheduleParams *p) {
  g_autoptr (PwSchedule) schedule = generate (name, p);
  ReferenceRun result = reference_run_compute (schedule, NULL, p->F, p->I, p->W);
  g_assert_true (result.finished);
  return result;
}

static double
highest_peak (const char *name, const PwScheduleParams *p) {
  double most = 0;
  g_autoptr (PwSchedule) schedule = generate (name, p);
  g_autofree double *peaks = g_new (double, (gsize)p->ranks);
  pw_schedule_peak_activations (schedule, p->weight_memory, peaks);
  for (int rank = 0; rank < p->ranks; rank++)
    most = MAX (most, peaks[rank]);
  return most;
}

static void
check_forms (const PwScheduleType *type, const PwScheduleParams *p) {
  g_autoptr (PwSchedule) schedule = generate (type->name, p);
  ReferenceRun result = reference_run_compute (schedule, NULL, p->F, p->I, p->W);
  double busy = schedule->chunks * p->microbatches * (p->F + p->I + p->W);
  double bubble = type->bubble_time (p);
  double span_bubble = type->span_bubble_time != NULL ? type->span_bubble_time (p) : NAN;
  g_test_message ("%s %d x %d, chunks %d, group %d, F %g, I %g, W %g", type->name, p->ranks,
                  p->microbatches, p->chunks, p->group, p->F, p->I, p->W);
  g_assert_true (result.finished);
  if (!isnan (bubble))
    g_assert_cmpfloat (result.time - busy, ==, bubble);
  if (!isnan (span_bubble))
    g_assert_cmpfloat (result.span - busy, ==, span_bubble);
}

static void
test_random_costs (void) {
  for (int i = 0; i < 400; i++) {
    const PwScheduleType *type = pw_schedule_get (names[i % (int)G_N_ELEMENTS (names)]);
    int P = g_test_rand_int_range (1, 9);
    PwScheduleParams p = sizes (P, g_test_rand_int_range (1, 4 * P + 1));
    p.F = g_test_rand_int_range (0, 7);
    p.I = g_test_rand_int_range (0, 7);
    p.W = g_test_rand_int_range (0, 7);
    if (g_test_rand_bit ())
      p.I = p.W = p.F;
    if ((type->options & PW_OPTION_CHUNKS) != 0)
      p.chunks = g_test_rand_int_range (1, 5);
    if ((type->options & PW_OPTION_GROUP) != 0 && g_test_rand_bit ())
      p.group = P + g_test_rand_int_range (0, P);
    check_forms (type, &p);
  }
}

static void
test_peaks_by_weight_memory (void) {
  for (int i = 0; i < 200; i++) {
    const PwScheduleType *type = pw_schedule_get (names[i % (int)G_N_ELEMENTS (names)]);
    PwScheduleParams p = sizes (g_test_rand_int_range (1, 7), g_test_rand_int_range (1, 20));
    p.weight_memory = g_test_rand_int_range (0, 5) / 4.0;
    g_autoptr (PwSchedule) schedule = generate (type->name, &p);
    g_autofree double *peaks = g_new (double, (gsize)p.ranks);
    pw_schedule_peak_activations (schedule, p.weight_memory, peaks);
    for (int rank = 0; rank < p.ranks; rank++) {
      double expected = type->peak_activations (&p, rank);
      g_test_message ("%s %d x %d, rank %d", type->name, p.ranks, p.microbatches, rank);
      if (!isnan (expected))
        g_assert_cmpfloat (peaks[rank], ==, expected);
    }
  }
}

static void
test_better_than_1f1b (void) {
  for (int P = 2; P <= 8; P++)
    for (int M = 1; M <= 3 * P; M++) {
      PwScheduleParams p = sizes (P, M);
      double time = run ("1f1b", &p).time;
      g_assert_cmpfloat (run ("zb-h1", &p).time, <=, time - (MIN (M, P) - 1));
      if (M >= 2 * P - 1)
        g_assert_cmpfloat (run ("zb-h2", &p).time, <=, run ("zb-h1", &p).time);
      g_assert_cmpfloat (highest_peak ("zb-h1", &p), <=, highest_peak ("1f1b", &p));
      g_assert_cmpfloat (highest_peak ("zb-v", &p), <=, MIN (M, P));
    }
}

static void
test_no_idle_within (void) {
  for (int P = 1; P <= 8; P++)
    for (int M = 2 * P - 1; M <= 4 * P; M++) {
      PwScheduleParams p = sizes (P, M);
      g_assert_cmpfloat (run ("zb-h2", &p).span, ==, 3 * M);
      g_assert_cmpfloat (run ("zb-v", &p).span, ==, 6 * M);
    }
}

static void
test_v_memory (void) {
  for (int P = 1; P <= 12; P++)
    for (int M = 1; M <= 3 * P; M++) {
      PwScheduleParams p = sizes (P, M);
      g_assert_cmpfloat (highest_peak ("v-half", &p), <=, MIN (M, P / 2 + 1));
      g_assert_cmpfloat (highest_peak ("v-min", &p), <=, MIN (M, (P + 4) / 3));
    }
}

/* With nothing to fill the pipeline, a micro-batch still goes through without a stop. */
static void
test_few_microbatches (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (on_a_v); i++)
    for (int P = 1; P <= 8; P++) {
      PwScheduleParams p = sizes (P, 1);
      g_assert_cmpfloat (run (on_a_v[i], &p).time, <=, 4 * P + 2);
      for (int M = 2; M <= 2 * P; M++) {
        p.microbatches = M;
        g_assert_cmpfloat (run (on_a_v[i], &p).time, <=, 6 * M + 4 * P);
      }
    }
}

/* Groups too small for interleaved 1f1b's longer warm-up; half the ranks are enough. */
static void
test_any_group (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 3 * P; M++)
      for (int G = 1; G <= P + 1; G++) {
        PwScheduleParams p = sizes (P, M);
        p.group = G;
        p.chunks = g_test_rand_int_range (1, 5);
        g_autoptr (GError) error = NULL;
        g_autoptr (PwSchedule) schedule = pw_schedule_generate ("zb-interleaved", &p, &error);
        if (schedule != NULL || G >= P / 2)
          check_forms (pw_schedule_get ("zb-interleaved"), &p);
        else
          g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
      }
}

static void
test_one_chunk (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 2 * P; M++) {
      PwScheduleParams p = sizes (P, M);
      g_autoptr (PwSchedule) straight = generate ("zb-h1", &p);
      p.chunks = 1;
      g_autoptr (PwSchedule) loop = generate ("zb-interleaved", &p);
      g_assert_true (reference_same_lists (straight, loop));
    }
}

/* The turn of the V is on the last rank, which sends itself nothing. */
static void
test_turn_needs_no_message (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (on_a_v); i++)
    for (int P = 1; P <= 5; P++) {
      PwScheduleParams p = sizes (P, 2 * P + 1);
      g_autoptr (PwSchedule) schedule = generate (on_a_v[i], &p);
      PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
      g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
      int messages = 0;
      for (int rank = 0; rank < P; rank++)
        for (int64_t k = 0; k < lowered->programs[rank].n_prologue; k++) {
          PwAction action = lowered->programs[rank].actions[k];
          if (!pw_action_kinds[action.kind].is_send && !pw_action_kinds[action.kind].is_recv)
            continue;
          g_assert_cmpint (action.edge, !=, P - 1);
          messages++;
        }
      g_assert_cmpint (messages, ==, 2 * 2 * (2 * P - 2) * p.microbatches);
    }
}

static void
test_lists (void) {
  static const struct {
    const char *name;
    int ranks, microbatches;
    const char *text;
  } rows[] = {
    { "zb-h1", 2, 3,
      "0F0,0F1,0I0,0W0,0F2,0I1,0W1,0I2,0W2\n"
      "1F0,1I0,1F1,1I1,1W0,1F2,1I2,1W1,1W2\n" },
    { "zb-h2", 2, 3,
      "0F0,0F1,0F2,0I0,0W0,0I1,0W1,0I2,0W2\n"
      "1F0,1I0,1F1,1I1,1F2,1I2,1W0,1W1,1W2\n" },
    { "zb-interleaved", 2, 2,
      "0F0,0F1,2F0,2F1,2I0,2W0,2I1,2W1,0I0,0W0,0I1,0W1\n"
      "1F0,1F1,3F0,3I0,3F1,3I1,3W0,1I0,3W1,1I1,1W0,1W1\n" },
    { "zb-v", 2, 3,
      "0F0,0F1,0F2,3F0,3I0,3W0,3F1,3I1,3W1,0I0,0W0,3F2,3I2,3W2,0I1,0W1,0I2,0W2\n"
      "1F0,2F0,1F1,2F1,2I0,2W0,1F2,1I0,1W0,2F2,2I1,2W1,1I1,2I2,1I2,1W1,2W2,1W2\n" },
    { "v-half", 2, 1, "0F0,3F0,3I0,3W0,0I0,0W0\n1F0,2F0,2I0,2W0,1I0,1W0\n" },
    { "v-min", 2, 2,
      "0F0,0F1,3F0,3I0,3W0,3F1,0I0,3I1,3W1,0W0,0I1,0W1\n"
      "1F0,2F0,1F1,2F1,2I0,1I0,2W0,1W0,2I1,1I1,2W1,1W1\n" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwScheduleParams p = sizes (rows[i].ranks, rows[i].microbatches);
    g_autoptr (PwSchedule) schedule = generate (rows[i].name, &p);
    g_autofree char *text = pw_schedule_to_csv (schedule, PW_CSV_OURS);
    g_assert_cmpstr (text, ==, rows[i].text);
  }
}

static void
test_large_ones (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    PwScheduleParams p = sizes (48, 500);
    g_autoptr (PwSchedule) schedule = generate (names[i], &p);
    PwCheckOptions options = { .policy = PW_POLICY_RENDEZVOUS };
    g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
    g_assert_true (report->valid);
    g_assert_cmpint (report->accumulation, ==, PW_ACCUMULATION_ASCENDING);
  }
}

static void
test_refusals (void) {
  const struct {
    const char *name;
    PwScheduleParams change;
  } rows[] = {
    { "zb-h1", { .chunks = 2 } },
    { "zb-h2", { .group = 4 } },
    { "zb-v", { .chunks = 3 } },
    { "v-half", { .waves = 1 } },
    { "v-min", { .reverse = TRUE } },
    { "v-min", { .ranks = 40000 } },
    { "zb-v", { .ranks = 2000, .microbatches = 200000 } },
    { "zb-interleaved", { .ranks = 40000 } },
    { "zb-interleaved", { .group_rule = "torch" } },
    { "zb-interleaved", { .ranks = 4, .microbatches = 8, .chunks = 3, .group = 1 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    PwScheduleParams params = rows[i].change;
    params.ranks = params.ranks != 0 ? params.ranks : 2;
    params.microbatches = params.microbatches != 0 ? params.microbatches : 2;
    g_assert_null (pw_schedule_generate (rows[i].name, &params, &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
    g_assert_null (strchr (error->message, '\n'));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func ("/schedules/zero-bubble/" name, function)
  ADD ("closed-forms-hold-for-any-costs", test_random_costs);
  ADD ("peaks-hold-for-any-share-of-weights", test_peaks_by_weight_memory);
  ADD ("beats-1f1b-within-its-memory", test_better_than_1f1b);
  ADD ("no-rank-waits-between-its-first-and-last-action", test_no_idle_within);
  ADD ("half-and-a-third-of-the-memory", test_v_memory);
  ADD ("few-micro-batches-do-not-wait", test_few_microbatches);
  ADD ("interleaved-groups-below-half-the-ranks-may-be-refused", test_any_group);
  ADD ("one-chunk-interleaved-is-zb-h1", test_one_chunk);
  ADD ("the-turn-of-a-v-needs-no-message", test_turn_needs_no_message);
  ADD ("small-lists-are-these", test_lists);
  ADD ("large-schedules-are-valid", test_large_ones);
  ADD ("bad-parameters-are-refused-in-one-line", test_refusals);
#undef ADD
  return g_test_run ();
}
