/* Schedules whose micro-batches go other ways than once down the ranks: in waves, from both ends,
 * in pieces. What the walk through the registry leaves out: their options, and what is theirs
 * alone. */
#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/show.h"
#include "tests/schedules/reference_schedule.h"

#include <math.h>
#include <string.h>

static PwSchedule *
generate (const char *name, const PwScheduleParams *params) {
  g_autoptr (GError) error = NULL;
  PwSchedule *schedule = pw_schedule_generate (name, params, &error);
  if (schedule == NULL)
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
  return schedule;
}

static PwScheduleParams
params_of (int ranks, int microbatches) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  return params;
}

/* The busiest rank's work, of the whole iteration. */
static double
busy_time (const PwSchedule *schedule, double F, double I, double W) {
  const double duration[PW_ACTION_N] = { [PW_ACTION_FORWARD] = F,
                                         [PW_ACTION_BACKWARD] = I + W,
                                         [PW_ACTION_INPUT_GRADIENT] = I,
                                         [PW_ACTION_WEIGHT_GRADIENT] = W };
  double most = 0;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    double busy = 0;
    for (int64_t i = 0; i < schedule->programs[rank].n_prologue; i++)
      busy += duration[schedule->programs[rank].actions[i].kind];
    most = MAX (most, busy);
  }
  return most;
}

/* Returns whether the closed form holds there at all. */
static gboolean
assert_bubble (const PwScheduleType *type, PwScheduleParams params, const PwSchedule *schedule,
               double F, double I, double W) {
  params.F = F;
  params.I = I;
  params.W = W;
  double expected = type->bubble_time (&params);
  if (isnan (expected))
    return FALSE;
  F /= schedule->pieces;
  I /= schedule->pieces;
  W /= schedule->pieces;
  ReferenceRun run = reference_run_compute (schedule, NULL, F, I, W);
  g_assert_true (run.finished);
  double bubble = run.time - busy_time (schedule, F, I, W);
  if (fabs (bubble - expected) > 1e-9 * run.time)
    g_error ("%s, %d x %d, costs %g %g %g: %g, not %g", type->name, params.ranks,
             params.microbatches, F, I, W, bubble, expected);
  return TRUE;
}

static void
assert_peaks (const PwScheduleType *type, const PwScheduleParams *params,
              const PwSchedule *schedule) {
  g_autofree double *peaks = g_new (double, (gsize)schedule->ranks);
  pw_schedule_peak_activations (schedule, 0.5, peaks);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    double expected = type->peak_activations (params, rank);
    if (!isnan (expected))
      g_assert_cmpfloat (peaks[rank], ==, expected);
  }
}

static void
assert_passes (const PwSchedule *schedule) {
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
    for (int batched = 0; batched <= 1; batched++) {
      PwCheckOptions options = { .policy = policy, .batched = batched };
      g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
      if (!report->valid)
        g_error ("%s: %s", schedule->name, report->findings[0].message);
      g_assert_cmpint (report->accumulation, ==, PW_ACCUMULATION_ASCENDING);
    }
}

static void
assert_is_sound (const char *name, const PwScheduleParams *params, const PwSchedule *schedule) {
  static const double costs[][3]
      = { { 1, 1, 1 }, { 1, 1, 0.5 }, { 3, 2, 1 }, { 1, 4, 2 }, { 2, 1, 0 }, { 7, 0.5, 0.25 } };
  const PwScheduleType *type = pw_schedule_get (name);
  for (gsize i = 0; i < G_N_ELEMENTS (costs); i++)
    assert_bubble (type, *params, schedule, costs[i][0], costs[i][1], costs[i][2]);
  assert_peaks (type, params, schedule);
  assert_passes (schedule);
}

static void
test_hanayo_waves (void) {
  for (int waves = 1; waves <= 3; waves++)
    for (int P = 1; P <= 5; P++)
      for (int M = 1; M <= 3 * P; M++) {
        PwScheduleParams params = params_of (P, M);
        params.waves = waves;
        g_autoptr (PwSchedule) schedule = generate ("hanayo", &params);
        g_assert_cmpint (schedule->stages, ==, 2 * waves * P);
        g_assert_cmpint (schedule->chunks, ==, 2 * waves);
        assert_is_sound ("hanayo", &params, schedule);
      }
}

/* The bubble of the first P micro-batches is that of one wave whatever w is: with stages 1/w as
 * long, w waves have 1/w of it. */
static void
test_hanayo_more_waves_less_bubble (void) {
  for (int waves = 1; waves <= 4; waves++) {
    PwScheduleParams params = params_of (4, 4);
    params.waves = waves;
    params.F = 12.0 / waves;
    params.I = params.W = 12.0 / waves;
    g_autoptr (PwSchedule) schedule = generate ("hanayo", &params);
    double time = reference_run_compute (schedule, NULL, params.F, params.I, params.W).time;
    g_assert_cmpfloat (time, ==, 4 * 2 * 36 + 2 * 3 * 24.0 / waves);
  }
}

static void
test_seq1f1b_pieces (void) {
  for (int pieces = 1; pieces <= 5; pieces++)
    for (int P = 1; P <= 6; P++)
      for (int M = 1; M <= 3 * P; M++) {
        PwScheduleParams params = params_of (P, M);
        params.pieces = pieces;
        g_autoptr (PwSchedule) schedule = generate ("seq1f1b", &params);
        g_assert_cmpint (schedule->pieces, ==, pieces);
        g_assert_cmpint (schedule->microbatches, ==, M);
        assert_is_sound ("seq1f1b", &params, schedule);
      }
}

static void
test_seq1f1b_of_one_piece_is_1f1b (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 3 * P; M++) {
      PwScheduleParams params = params_of (P, M), plain = params;
      params.pieces = 1;
      g_autoptr (PwSchedule) schedule = generate ("seq1f1b", &params);
      g_autoptr (PwSchedule) expected = generate ("1f1b", &plain);
      g_assert_true (reference_same_lists (schedule, expected));
    }
}

/* Reads TEXT with micro-batch numbers that are pieces. */
static PwSchedule *
read_pieces (const char *text, int pieces) {
  g_autoptr (GError) error = NULL;
  PwSchedule *schedule = pw_schedule_from_csv ("pieces.csv", text, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (schedule->microbatches % pieces, ==, 0);
  schedule->microbatches /= pieces;
  schedule->pieces = pieces;
  return schedule;
}

static void
test_pieces_out_of_order (void) {
  const struct {
    const char *text, *says; /* NULL: valid */
  } rows[] = {
    { "0F0,0F1,0B1,0B0,0F2,0F3,0B3,0B2", NULL },
    { "0F0,0F1,0I1,0I0,0W0,0W1,0F2,0F3,0I3,0I2,0W2,0W3", NULL },
    { "0F2,0F3,0B3,0B2,0F0,0F1,0B1,0B0", NULL },
    { "0F1,0F0,0B1,0B0,0F2,0F3,0B3,0B2", "0F1 stands before the piece it follows" },
    { "0F0,0F1,0B1,0B0,0F3,0F2,0B3,0B2", "0F3 stands before the piece it follows" },
    { "0F0,0F1,0B0,0B1,0F2,0F3,0B3,0B2", "0B0 stands before the backward of the piece after it" },
    { "0F0,0F1,0B1,0B0,0F2,0F3,0I2,0I3,0W2,0W3",
      "0I2 stands before the backward of the piece after it" },
    { "0F0,0F1,0B1,0B0,0F2,0B2,0F3", "0B3 is missing" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwCheckOptions options = { .policy = PW_POLICY_PER_EDGE };
    g_autoptr (PwSchedule) schedule = read_pieces (rows[i].text, 2);
    g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
    g_assert_cmpint (report->valid, ==, rows[i].says == NULL);
    if (rows[i].says != NULL)
      g_assert_nonnull (strstr (report->findings[0].message, rows[i].says));
  }
}

/* Pieces of one micro-batch count as one in the order of sums. */
static void
test_accumulation_of_pieces (void) {
  const struct {
    const char *text;
    PwAccumulation accumulation;
  } rows[] = {
    { "0F0,0F1,0B1,0B0,0F2,0F3,0B3,0B2", PW_ACCUMULATION_ASCENDING },
    { "0F0,0F1,0F2,0F3,0B3,0B2,0B1,0B0", PW_ACCUMULATION_DESCENDING },
    { "0F0,0F1,0F2,0F3,0B3,0B1,0B0,0B2", PW_ACCUMULATION_OTHER },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwCheckOptions options = { .policy = PW_POLICY_PER_EDGE };
    g_autoptr (PwSchedule) schedule = read_pieces (rows[i].text, 2);
    g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
    g_assert_cmpint (report->accumulation, ==, rows[i].accumulation);
  }
}

static void
test_pieces_are_drawn_short (void) {
  PwScheduleParams params = params_of (2, 2);
  PwShowOptions options = { .F = 2, .I = 2, .W = 2 };
  g_autoptr (PwSchedule) schedule = generate ("seq1f1b", &params);
  g_autofree char *text = pw_schedule_show (schedule, &options);
  g_assert_nonnull (strstr (text, "rank 0 | F0 F1 F2 .  .  B1--- F3 B0--- .  B3--- B2---\n"));
  g_assert_nonnull (strstr (text, "\n15 time units"));
  g_assert_nonnull (strstr (text, "the number is the micro-batch times 2 plus the piece\n"));
}

static void
assert_both_directions (const PwSchedule *schedule) {
  int n[2] = { 0, 0 };
  g_assert_cmpint (schedule->placement->directions, ==, 2);
  g_assert_cmpint (schedule->chunks, ==, 1);
  for (int m = 0; m < schedule->microbatches; m++)
    n[schedule->direction[m]]++;
  g_assert_cmpint (n[0], ==, n[1]);
}

static void
test_two_pipes (void) {
  static const char *const names[] = { "chimera", "dualpipe" };
  for (int i = 0; i < 2; i++)
    for (int P = 1; P <= 8; P++)
      for (int M = 1; M <= 5 * P; M++) {
        PwScheduleParams params = params_of (P, M);
        g_autoptr (PwSchedule) schedule = generate (names[i], &params);
        gboolean fits = i == 0 ? M % P == 0 : M % 2 == 0 && M >= 2 * P;
        g_assert_cmpint (schedule != NULL, ==, P % 2 == 0 && fits);
        if (schedule == NULL)
          continue;
        assert_both_directions (schedule);
        assert_is_sound (names[i], &params, schedule);
      }
}

/* Seen from the other end, each rank does the same. */
static void
test_dualpipe_is_symmetric (void) {
  for (int P = 2; P <= 8; P += 2)
    for (int M = 2 * P; M <= 4 * P; M += 2) {
      PwScheduleParams params = params_of (P, M);
      g_autoptr (PwSchedule) schedule = generate ("dualpipe", &params);
      for (int rank = 0; rank < P; rank++) {
        const PwProgram *here = &schedule->programs[rank];
        const PwProgram *there = &schedule->programs[P - 1 - rank];
        g_assert_cmpint (here->n_prologue, ==, there->n_prologue);
        for (int64_t i = 0; i < here->n_prologue; i++) {
          PwAction turned = there->actions[i];
          turned.microbatch = (turned.microbatch + (unsigned)M / 2) % (unsigned)M & 0xffffffu;
          turned.direction ^= 1u;
          g_assert_true (pw_action_equal (here->actions[i], turned));
        }
      }
    }
}

static void
test_dualpipe_v_is_half_of_dualpipe (void) {
  for (int P = 1; P <= 5; P++)
    for (int M = 2 * P; M <= 4 * P; M++) {
      PwScheduleParams params = params_of (P, M), doubled = params_of (2 * P, 2 * M);
      g_autoptr (PwSchedule) half = generate ("dualpipe-v", &params);
      g_autoptr (PwSchedule) whole = generate ("dualpipe", &doubled);
      for (int rank = 0; rank < P; rank++) {
        const PwProgram *a = &half->programs[rank], *b = &whole->programs[rank];
        g_assert_cmpint (a->n_prologue, ==, b->n_prologue);
        for (int64_t i = 0; i < a->n_prologue; i++) {
          PwAction action = b->actions[i];
          action.microbatch = action.microbatch % (unsigned)M & 0xffffffu;
          action.direction = 0;
          g_assert_true (pw_action_equal (a->actions[i], action));
        }
      }
    }
}

static void
test_dualpipe_v (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 5 * P; M++) {
      PwScheduleParams params = params_of (P, M);
      g_autoptr (PwSchedule) schedule = generate ("dualpipe-v", &params);
      g_assert_cmpint (schedule != NULL, ==, M >= 2 * P);
      if (schedule == NULL)
        continue;
      g_assert_cmpint (schedule->chunks, ==, 2);
      assert_is_sound ("dualpipe-v", &params, schedule);
    }
}

/* Pairs are of a forward and a backward of the rank's two stages; the fold has one less. */
static void
test_dualpipe_pairs (void) {
  const int P = 4, M = 10;
  PwScheduleParams params = params_of (P, M);
  g_autoptr (PwSchedule) schedule = generate ("dualpipe-v", &params);
  for (int rank = 0; rank < P; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    int n = 0;
    for (int64_t i = 0; i < program->n_prologue; i++) {
      if (!program->actions[i].paired)
        continue;
      g_assert_cmpint (program->actions[i].kind, ==, PW_ACTION_FORWARD);
      g_assert_cmpint (program->actions[i + 1].kind, ==, PW_ACTION_BACKWARD);
      g_assert_cmpint (program->actions[i].stage + program->actions[i + 1].stage, ==, 2 * P - 1);
      n++;
    }
    g_assert_cmpint (n, ==, 2 * (M - 2 * P + rank + 1) + P - 1 - rank - (rank == P - 1));
  }
}

static void
test_refusals (void) {
  const struct {
    const char *name;
    PwScheduleParams params;
    const char *says;
  } rows[] = {
    { "hanayo", { .ranks = 40000, .microbatches = 1 }, "80000 stages" },
    { "hanayo", { .ranks = 4, .microbatches = 4, .waves = -1 }, "waves: -1" },
    { "hanayo", { .ranks = 4, .microbatches = 4, .waves = 16777215 }, "stages" },
    { "hanayo", { .ranks = 4, .microbatches = 4, .chunks = 2 }, "chunks cannot be 2" },
    { "chimera", { .ranks = 3, .microbatches = 6 }, "ranks cannot be odd (3)" },
    { "chimera", { .ranks = 1, .microbatches = 6 }, "ranks cannot be odd (1)" },
    { "chimera", { .ranks = 4, .microbatches = 6 }, "6 is no multiple of 4" },
    { "dualpipe", { .ranks = 3, .microbatches = 6 }, "ranks cannot be odd (3)" },
    { "dualpipe", { .ranks = 4, .microbatches = 6 }, "at least 8, not 6" },
    { "dualpipe", { .ranks = 4, .microbatches = 9 }, "even and at least 8, not 9" },
    { "dualpipe-v", { .ranks = 4, .microbatches = 7 }, "at least 8, not 7" },
    { "dualpipe-v", { .ranks = 5000, .microbatches = 80000 }, "too large to be listed" },
    { "seq1f1b", { .ranks = 1, .microbatches = 16777215 }, "33554430 pieces" },
    { "seq1f1b", { .ranks = 4, .microbatches = 4, .pieces = -1 }, "pieces: -1" },
    { "seq1f1b", { .ranks = 4, .microbatches = 4, .waves = 2 }, "does not take waves" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_schedule_generate (rows[i].name, &rows[i].params, &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
    g_assert_nonnull (strstr (error->message, rows[i].says));
    g_assert_null (strchr (error->message, '\n'));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/hanayo/any-number-of-waves-is-sound", test_hanayo_waves);
  g_test_add_func ("/schedules/hanayo/more-waves-have-less-bubble",
                   test_hanayo_more_waves_less_bubble);
  g_test_add_func ("/schedules/seq1f1b/any-number-of-pieces-is-sound", test_seq1f1b_pieces);
  g_test_add_func ("/schedules/seq1f1b/one-piece-is-1f1b", test_seq1f1b_of_one_piece_is_1f1b);
  g_test_add_func ("/schedules/seq1f1b/pieces-out-of-order-are-found", test_pieces_out_of_order);
  g_test_add_func ("/schedules/seq1f1b/pieces-sum-as-their-micro-batch",
                   test_accumulation_of_pieces);
  g_test_add_func ("/schedules/seq1f1b/pieces-are-drawn-short", test_pieces_are_drawn_short);
  g_test_add_func ("/schedules/ways/two-pipes-are-sound", test_two_pipes);
  g_test_add_func ("/schedules/dualpipe/both-halves-are-alike", test_dualpipe_is_symmetric);
  g_test_add_func ("/schedules/dualpipe-v/is-half-of-dualpipe",
                   test_dualpipe_v_is_half_of_dualpipe);
  g_test_add_func ("/schedules/dualpipe-v/any-ranks-with-two-micro-batches-each-are-sound",
                   test_dualpipe_v);
  g_test_add_func ("/schedules/dualpipe-v/pairs-are-of-both-stages", test_dualpipe_pairs);
  g_test_add_func ("/schedules/ways/what-cannot-be-is-refused-in-one-line", test_refusals);
  return g_test_run ();
}
