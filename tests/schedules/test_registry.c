/* Properties of every schedule in the list. */
#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "tests/schedules/reference_schedule.h"
#include "tests/support/repeats.h"

#include <math.h>
#include <string.h>

typedef void (*Property) (const PwScheduleType *type, const PwScheduleParams *params,
                          const PwSchedule *schedule);

/* Calls PROPERTY for every type, P up to RANKS, M up to FACTOR * P, and each order a type offers;
 * sizes a type refuses are passed over, but not all of them. */
static void
walk (int ranks, int factor, Property property) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    int accepted = 0;
    for (int P = 1; P <= ranks; P++)
      for (int M = 1; M <= factor * P; M++)
        for (int reverse = 0; reverse <= (((*type)->options & PW_OPTION_REVERSE) != 0); reverse++) {
          PwScheduleParams params;
          g_autoptr (GError) error = NULL;
          pw_schedule_params_init (&params);
          params.ranks = P;
          params.microbatches = M;
          params.reverse = reverse;
          g_autoptr (PwSchedule) schedule = pw_schedule_generate ((*type)->name, &params, &error);
          if (schedule == NULL) {
            g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
            continue;
          }
          g_autoptr (PwSchedule) plain = pw_schedule_unroll (schedule, 1, NULL);
          accepted++;
          property (*type, &params, plain);
        }
    g_assert_cmpint (accepted, >, 0);
  }
}

/* What the busiest rank does in an iteration. */
static double
busy_time (const PwSchedule *schedule, double F, double I, double W) {
  double most = 0;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    double busy = 0;
    for (int64_t i = 0; i < schedule->programs[rank].n_prologue; i++)
      switch ((PwActionKind)schedule->programs[rank].actions[i].kind) {
      case PW_ACTION_FORWARD:
        busy += F;
        break;
      case PW_ACTION_BACKWARD:
        busy += I + W;
        break;
      case PW_ACTION_INPUT_GRADIENT:
        busy += I;
        break;
      case PW_ACTION_WEIGHT_GRADIENT:
        busy += W;
        break;
      default:
        break;
      }
    most = MAX (most, busy);
  }
  return most;
}

static void
assert_form (const PwScheduleType *type, const PwScheduleParams *p, const char *what,
             double measured, double expected) {
  if (!isnan (expected) && measured != expected)
    g_error ("%s %d x %d, F %g, I %g, W %g: %s %g instead of %g", type->name, p->ranks,
             p->microbatches, p->F, p->I, p->W, what, measured, expected);
}

static void
bubble_equals_form (const PwScheduleType *type, const PwScheduleParams *params,
                    const PwSchedule *schedule) {
  const double costs[][3] = { { 1, 1, 1 }, { 3, 2, 1 }, { 1, 4, 2 }, { 2, 1, 0 } };
  gboolean is_span = g_str_equal (type->measure, "span");
  for (gsize i = 0; i < G_N_ELEMENTS (costs); i++) {
    PwScheduleParams priced = *params;
    priced.F = costs[i][0];
    priced.I = costs[i][1];
    priced.W = costs[i][2];
    double bubble = type->bubble_time (&priced);
    double span_bubble = type->span_bubble_time != NULL ? type->span_bubble_time (&priced) : NAN;
    if (isnan (bubble) && isnan (span_bubble))
      continue;
    double F = priced.F / schedule->pieces, I = priced.I / schedule->pieces;
    double W = priced.W / schedule->pieces;
    ReferenceRun run = reference_run_compute (schedule, NULL, F, I, W);
    double busy = busy_time (schedule, F, I, W);
    g_assert_true (run.finished);
    assert_form (type, &priced, "bubble", (is_span ? run.span : run.time) - busy, bubble);
    assert_form (type, &priced, "bubble of the span", run.span - busy, span_bubble);
  }
}

static void
peak_equals_form (const PwScheduleType *type, const PwScheduleParams *params,
                  const PwSchedule *schedule) {
  g_autofree double *peaks = g_new (double, (gsize)schedule->ranks);
  pw_schedule_peak_activations (schedule, 0.5, peaks);
  for (int rank = 0; rank < schedule->ranks; rank++)
    assert_form (type, params, "peak", peaks[rank], type->peak_activations (params, rank));
}

static void
passes_every_policy (const PwScheduleType *type, const PwScheduleParams *params,
                     const PwSchedule *schedule) {
  (void)type;
  (void)params;
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
    for (int batched = 0; batched <= 1; batched++) {
      PwCheckOptions options = { .policy = policy, .batched = batched };
      g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
      if (!report->valid)
        g_error ("%s %s: %s", type->name, pw_policies[policy].name, report->findings[0].message);
      g_assert_cmpint (report->accumulation, ==, schedule->promise.accumulation);
    }
}

static void
accumulates_ascending (const PwScheduleType *type, const PwScheduleParams *params,
                       const PwSchedule *schedule) {
  PwCheckOptions options = { .policy = PW_POLICY_BUFFERED };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
  (void)type;
  if (!params->reverse)
    g_assert_cmpint (report->accumulation, ==, PW_ACCUMULATION_ASCENDING);
  else if (schedule->microbatches > 1)
    g_assert_cmpint (report->accumulation, ==, PW_ACCUMULATION_DESCENDING);
}

/* An asynchronous schedule so short that its iteration looks like one with a flush. */
static gboolean
ends_with_its_only_update (const PwSchedule *schedule) {
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    for (int64_t i = 0; i < program->n_prologue - 1; i++)
      if (program->actions[i].kind == PW_ACTION_UPDATE)
        return FALSE;
  }
  return TRUE;
}

/* All but the name and what a text cannot say, such as that micro-batches are pieces of others. */
static void
assert_round_trips (const PwSchedule *schedule) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = pw_schedule_to_csv (schedule, PW_CSV_OURS);
  g_autoptr (PwSchedule) read = pw_schedule_from_csv ("x.csv", text, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (reference_same_lists (schedule, read));
  g_assert_cmpint (read->stages, ==, schedule->stages);
  g_assert_cmpint (read->microbatches, ==, schedule->microbatches * schedule->pieces);
  g_assert_cmpint (read->mode, ==, schedule->mode);
  g_assert_cmpint (read->chunks, ==, schedule->chunks);
  g_assert_cmpint (read->placement->directions, ==, schedule->placement->directions);
  if (schedule->pieces == 1)
    g_assert_cmpint (read->promise.accumulation, ==, schedule->promise.accumulation);
  if (!schedule->promise.synchronous && ends_with_its_only_update (schedule))
    g_assert_true (read->promise.synchronous);
  else
    g_assert_cmpint (read->promise.synchronous, ==, schedule->promise.synchronous);
  for (int s = 0; s < schedule->placement->directions * schedule->stages; s++)
    g_assert_cmpint (read->placement->rank_of_stage[s], ==, schedule->placement->rank_of_stage[s]);
}

static void
round_trips_through_csv (const PwScheduleType *type, const PwScheduleParams *params,
                         const PwSchedule *schedule) {
  (void)type;
  (void)params;
  assert_round_trips (schedule);
  for (int batched = 0; batched <= 1; batched++) {
    PwLowerOptions options = { .policy = PW_POLICY_SHARED_STREAM,
                               .batched = batched,
                               .recompute = PW_RECOMPUTE_STAGE,
                               .updates = TRUE };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
    assert_round_trips (lowered);
  }
}

static void
raising_undoes_lowering (const PwScheduleType *type, const PwScheduleParams *params,
                         const PwSchedule *schedule) {
  (void)type;
  (void)params;
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
    for (int batched = 0; batched <= 1; batched++) {
      PwLowerOptions options = {
        .policy = policy, .batched = batched, .recompute = PW_RECOMPUTE_EXCEPT_LAST, .updates = TRUE
      };
      g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
      g_autoptr (PwSchedule) raised = pw_schedule_raise (lowered);
      g_assert_true (reference_same_lists (schedule, raised));
      g_assert_false (raised->is_lowered);
    }
}

/* One in-order queue costs nothing where the times are as lowering assumed them: F = 1, B = 2. */
static void
queues_add_no_bubble (const PwScheduleType *type, const PwScheduleParams *params,
                      const PwSchedule *schedule) {
  double ideal = reference_run_compute (schedule, NULL, 1, 1, 1).time;
  (void)params;
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
    for (int batched = 0; batched <= 1; batched++) {
      PwLowerOptions options = { .policy = policy, .batched = batched };
      g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
      ReferenceRun run = reference_run_lowered (lowered, NULL, policy, 1, 1, 1);
      g_assert_true (run.finished);
      if (!pw_policies[policy].blocks_program && run.time != ideal)
        g_error ("%s %d x %d, %s%s: %g instead of %g", type->name, schedule->ranks,
                 schedule->microbatches, pw_policies[policy].name, batched ? " batched" : "",
                 run.time, ideal);
    }
}

static void
test_bubble (void) {
  walk (TEST_REPEATS (8, 5), 5, bubble_equals_form);
}
static void
test_peak (void) {
  walk (TEST_REPEATS (8, 5), 5, peak_equals_form);
}
static void
test_policies (void) {
  walk (TEST_REPEATS (8, 5), 5, passes_every_policy);
}
static void
test_accumulation (void) {
  walk (TEST_REPEATS (8, 5), 5, accumulates_ascending);
}
static void
test_csv (void) {
  walk (TEST_REPEATS (8, 5), 3, round_trips_through_csv);
}
static void
test_raise (void) {
  walk (TEST_REPEATS (8, 5), 3, raising_undoes_lowering);
}
static void
test_no_bubble (void) {
  walk (5, 3, queues_add_no_bubble);
}

static void
test_rows_are_complete (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    g_assert_true (pw_schedule_get ((*type)->name) == *type);
    g_assert_nonnull ((*type)->summary);
    g_assert_nonnull ((*type)->paper);
    g_assert_nonnull ((*type)->bubble);
    g_assert_nonnull ((*type)->peak);
    g_assert_true (g_str_equal ((*type)->measure, "iteration")
                   || g_str_equal ((*type)->measure, "span"));
    g_assert_nonnull ((*type)->generate);
    g_assert_nonnull ((*type)->bubble_time);
    g_assert_true (((*type)->span_bubble == NULL) == ((*type)->span_bubble_time == NULL));
    g_assert_nonnull ((*type)->peak_activations);
  }
}

/* Texts are joined to others and printed in tables: one line, no full stop at the end, nothing that
 * would have to be quoted. */
static void
assert_is_text (const PwScheduleType *type, const char *field, const char *text, gsize longest) {
  gsize length = text != NULL ? strlen (text) : 0;
  if (length < 1 || length > longest)
    g_error ("%s: %s has %d characters", type->name, field, (int)length);
  if (strpbrk (text, "\n\t\"\\") != NULL || g_str_has_suffix (text, ".")
      || g_ascii_isspace (text[0]) || g_ascii_isspace (text[length - 1])
      || strstr (text, "  ") != NULL || !g_str_is_ascii (text))
    g_error ("%s: %s is not plain text: %s", type->name, field, text);
}

static void
test_texts (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    const PwScheduleType *t = *type;
    assert_is_text (t, "name", t->name, 16);
    assert_is_text (t, "summary", t->summary, 90);
    assert_is_text (t, "bubble", t->bubble, 90);
    assert_is_text (t, "peak", t->peak, 70);
    assert_is_text (t, "paper", t->paper, 150);
    assert_is_text (t, "about", t->about, 520);
    assert_is_text (t, "follows", t->follows, 520);
    assert_is_text (t, "differs", t->differs, 520);
    g_assert_true ((t->title != NULL) == (strstr (t->paper, "arXiv ") != NULL));
    if (t->title != NULL)
      assert_is_text (t, "title", t->title, 150);
    g_assert_true ((t->limits != NULL) == (t->refused != NULL));
    if (t->limits != NULL)
      assert_is_text (t, "limits", t->limits, 100);
  }
}

static void
test_related (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    g_assert_nonnull ((*type)->related);
    g_auto (GStrv) names = g_strsplit ((*type)->related, " ", -1);
    for (int i = 0; names[i] != NULL; i++) {
      g_assert_nonnull (pw_schedule_get (names[i]));
      g_assert_cmpstr (names[i], !=, (*type)->name);
    }
  }
}

static void
test_limits (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int P = 1; P <= 6 && (*type)->limits == NULL; P++)
      for (int M = 1; M <= 13; M++) {
        PwScheduleParams params;
        g_autoptr (GError) error = NULL;
        pw_schedule_params_init (&params);
        params.ranks = P;
        params.microbatches = M;
        g_autoptr (PwSchedule) schedule = pw_schedule_generate ((*type)->name, &params, &error);
        g_assert_no_error (error);
      }
}

static void
test_refusals (void) {
  const struct {
    const char *name;
    PwScheduleParams change; /* fields other than 0 are set */
    PwScheduleError code;
  } rows[] = {
    { "2f2b", { .ranks = 2 }, PW_SCHEDULE_ERROR_UNKNOWN },
    { "1f1b", { .ranks = -1 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .ranks = 70000 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .microbatches = -3 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .microbatches = G_MAXINT }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .ranks = 65535, .microbatches = 16777215 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .chunks = 2 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "gpipe", { .chunks = 2 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "naive", { .chunks = -1 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .reverse = TRUE }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .group = 4 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "1f1b", { .group_rule = "megatron" }, PW_SCHEDULE_ERROR_PARAMETER },
    { "gpipe", { .waves = 1 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "gpipe", { .F = -1 }, PW_SCHEDULE_ERROR_PARAMETER },
    { "gpipe", { .W = NAN }, PW_SCHEDULE_ERROR_PARAMETER },
    { "gpipe", { .weight_memory = 1.5 }, PW_SCHEDULE_ERROR_PARAMETER },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    PwScheduleParams params = rows[i].change;
    params.ranks = params.ranks != 0 ? params.ranks : 2;
    params.microbatches = params.microbatches != 0 ? params.microbatches : 2;
    g_assert_null (pw_schedule_generate (rows[i].name, &params, &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, rows[i].code);
    g_assert_null (strchr (error->message, '\n'));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/registry/rows-are-complete", test_rows_are_complete);
  g_test_add_func ("/schedules/registry/texts-are-plain-and-short", test_texts);
  g_test_add_func ("/schedules/registry/related-schedules-exist", test_related);
  g_test_add_func ("/schedules/registry/without-limits-every-size-is-taken", test_limits);
  g_test_add_func ("/schedules/registry/bad-parameters-are-refused-in-one-line", test_refusals);
  g_test_add_func ("/schedules/registry/bubble-equals-closed-form", test_bubble);
  g_test_add_func ("/schedules/registry/peak-equals-closed-form", test_peak);
  g_test_add_func ("/schedules/registry/passes-every-policy", test_policies);
  g_test_add_func ("/schedules/registry/accumulates-ascending-unless-reversed", test_accumulation);
  g_test_add_func ("/schedules/registry/round-trips-through-csv", test_csv);
  g_test_add_func ("/schedules/registry/raising-undoes-lowering", test_raise);
  g_test_add_func ("/schedules/registry/queues-add-no-bubble", test_no_bubble);
  return g_test_run ();
}
