/* A schedule with one fault in it is refused for that fault, where the fault is; what changes
 * nothing that matters is accepted. The verdict is always that of the slow reference. */
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "tests/schedules/mutations.h"
#include "tests/schedules/reference_schedule.h"

#include <string.h>

/* A schedule of the registry in a random small size, as plain lists; NULL: refused. */
static PwSchedule *
random_schedule (const PwScheduleType *type) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = 1 + g_test_rand_int_range (0, 5);
  params.microbatches = g_test_rand_int_range (1, 3 * params.ranks + 1);
  if ((type->options & PW_OPTION_WAVES) != 0)
    params.waves = g_test_rand_int_range (1, 3);
  if ((type->options & PW_OPTION_PIECES) != 0)
    params.pieces = g_test_rand_int_range (1, 4);
  if ((type->options & PW_OPTION_CHUNKS) != 0 && g_test_rand_int_range (0, 2) == 0)
    params.chunks = g_test_rand_int_range (2, 4);
  g_autoptr (PwSchedule) schedule = pw_schedule_generate (type->name, &params, NULL);
  return schedule != NULL ? pw_schedule_unroll (schedule, 1, NULL) : NULL;
}

static PwSchedule *
random_lowering (const PwSchedule *schedule, const PwStageEdges *edges) {
  PwLowerOptions options = { .policy = (PwPolicy)g_test_rand_int_range (0, PW_POLICY_N),
                             .batched = g_test_rand_int_range (0, 2),
                             .recompute = (PwRecompute)g_test_rand_int_range (0, 3),
                             .updates = TRUE };
  g_autofree gboolean *offloaded = g_new (gboolean, (gsize)schedule->stages);
  for (int s = 0; s < schedule->stages; s++)
    offloaded[s] = g_test_rand_bit ();
  if (g_test_rand_bit ())
    options.offloaded_stages = offloaded;
  return pw_schedule_lower (schedule, edges, &options, NULL);
}

static PwCheckReport *
check (const PwSchedule *schedule, const PwStageEdges *edges, PwPolicy policy) {
  PwCheckOptions options
      = { .policy = policy, .batched = g_test_rand_int_range (0, 2), .max_findings = 1000 };
  return pw_schedule_check (schedule, edges, &options);
}

static gboolean
names (const char *message, PwAction action) {
  char text[PW_ACTION_TEXT_MAX];
  return strstr (message, pw_action_format (action, text)) != NULL;
}

/* The place a finding gives is of the mutated action: itself, or one of its stage and micro-batch.
 */
static gboolean
is_there (const Mutant *m, const PwCheckFinding *finding) {
  if (finding->rank != m->rank && finding->rank != m->new_rank)
    return FALSE;
  if (finding->action < 0)
    return finding->code == PW_SCHEDULE_ERROR_MISSING;
  PwAction at = m->schedule->programs[finding->rank].actions[finding->action];
  return (at.stage == m->action.stage && at.microbatch == m->action.microbatch)
         || (at.stage == m->result.stage && at.microbatch == m->result.microbatch)
         || (finding->rank == m->new_rank && finding->action == m->index);
}

static void
fail (const char *what, const Mutant *m, const PwCheckReport *report) {
  char before[PW_ACTION_TEXT_MAX], after[PW_ACTION_TEXT_MAX];
  g_autofree char *csv = pw_schedule_to_csv (m->schedule, PW_CSV_OURS);
  g_autoptr (GString) text = g_string_new (NULL);
  for (int i = 0; i < report->n_findings && i < 10; i++)
    g_string_append_printf (text, "%s: %s\n", pw_schedule_error_codes[report->findings[i].code],
                            report->findings[i].message);
  g_error ("%s: %s: %s, now %s, on rank %d at %d:\n%s\n%s", m->schedule->name, what,
           pw_action_format (m->action, before), pw_action_format (m->result, after), m->new_rank,
           (int)m->index, csv, text->str);
}

static void
assert_refused (const Mutation *mutation, const Mutant *m, const PwCheckReport *report) {
  unsigned found = 0;
  for (int i = 0; i < report->n_findings; i++) {
    const PwCheckFinding *finding = &report->findings[i];
    if (((mutation->needs | mutation->may) & (1u << finding->code)) == 0)
      fail (mutation->name, m, report);
    if (is_there (m, finding))
      found |= 1u << finding->code;
  }
  if ((mutation->needs & ~found) != 0)
    fail (mutation->name, m, report);
}

/* Of two replicas the reference does not count updates. */
static gboolean
is_about_update (const PwCheckReport *report) {
  for (int i = 0; i < report->n_findings; i++) {
    g_auto (GStrv) words = g_strsplit_set (report->findings[i].message, " :", -1);
    gboolean is_update = FALSE;
    for (char **word = words; *word != NULL; word++)
      is_update |= g_str_has_suffix (*word, "U");
    if (!is_update)
      return FALSE;
  }
  return TRUE;
}

static void
assert_verdict (const Mutant *m, const PwStageEdges *edges, const PwCheckReport *report,
                PwPolicy policy) {
  const char *wrong = reference_verdict (m->schedule, edges, policy);
  if (m->schedule->placement->directions > 1 && wrong == NULL && is_about_update (report))
    return;
  if (report->valid != (wrong == NULL))
    fail (wrong != NULL ? wrong : "nothing is wrong", m, report);
}

/* FALSE: nothing in it to change. */
static gboolean
mutate (const Mutation *mutation, const PwSchedule *schedule) {
  Mutant m = { .schedule = pw_schedule_copy (schedule) };
  PwPolicy policy = (PwPolicy)g_test_rand_int_range (0, PW_POLICY_N);
  gboolean applied = mutation->apply (&m);
  if (applied) {
    g_autoptr (PwCheckReport) report = check (m.schedule, NULL, policy);
    assert_verdict (&m, NULL, report, policy);
    assert_refused (mutation, &m, report);
  }
  pw_schedule_free (m.schedule);
  return applied;
}

static void
test_faults (void) {
  int rounds = g_test_slow () ? 200 : 12;
  g_autofree int *applied = g_new0 (int, (gsize)n_mutations);
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int round = 0; round < rounds; round++) {
      g_autoptr (PwSchedule) schedule = random_schedule (*type);
      if (schedule == NULL)
        continue;
      g_autoptr (PwSchedule) lowered = random_lowering (schedule, NULL);
      for (int i = 0; i < n_mutations; i++) {
        applied[i] += mutate (&mutations[i], lowered);
        if (!mutations[i].lowered_only)
          applied[i] += mutate (&mutations[i], schedule);
      }
    }
  for (int i = 0; i < n_mutations; i++)
    g_assert_cmpint (applied[i], >, 20);
}

/* Each step of a deadlock's cycle names actions that are where it says, and ends where the next one
 * starts; the cycle goes through the list that was changed, since without the change there was
 * none. */
static void
assert_cycle (const Mutant *m, const PwCheckReport *report) {
  const PwCheckFinding *finding = &report->findings[0];
  g_autoptr (GRegex) lowered = g_regex_new ("(\\S+) \\(rank (\\d+), action (\\d+)\\)", 0, 0, NULL);
  g_autoptr (GRegex) compute
      = g_regex_new ("rank (?<r>\\d+), action (?<a>\\d+): (?<t>\\S+)", 0, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  gboolean through = FALSE;
  int n = 0;
  g_regex_match (m->schedule->is_lowered ? lowered : compute, finding->message, 0, &match);
  for (; g_match_info_matches (match); g_match_info_next (match, NULL), n++) {
    gboolean is_lowered = m->schedule->is_lowered;
    g_autofree char *text = g_match_info_fetch (match, is_lowered ? 1 : 3);
    g_autofree char *rank = g_match_info_fetch (match, is_lowered ? 2 : 1);
    g_autofree char *action = g_match_info_fetch (match, is_lowered ? 3 : 2);
    char there[PW_ACTION_TEXT_MAX];
    const PwProgram *list = &m->schedule->programs[atoi (rank)];
    g_assert_cmpint (atoi (action), <, list->n_prologue);
    g_assert_cmpstr (text, ==, pw_action_format (list->actions[atoi (action)], there));
    through |= atoi (rank) == m->rank;
  }
  if (n < 2 || !through || finding->rank < 0 || finding->action < 0)
    fail ("the cycle", m, report);
}

static gboolean
is_lost_update (const PwCheckFinding *finding) {
  return finding->code == PW_SCHEDULE_ERROR_DUPLICATE
         && strstr (finding->message, "U has no gradients") != NULL;
}

static int
swap_and_compare (const PwSchedule *schedule, const PwStageEdges *edges,
                  gboolean (*apply) (Mutant *), int *refused) {
  Mutant m = { .schedule = pw_schedule_copy (schedule) };
  int accepted = 0;
  if (apply (&m))
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
      g_autoptr (PwCheckReport) report = check (m.schedule, edges, policy);
      assert_verdict (&m, edges, report, policy);
      accepted += report->valid;
      *refused += !report->valid;
      if (report->valid)
        continue;
      PwScheduleError code = report->findings[0].code;
      if (code == PW_SCHEDULE_ERROR_DEADLOCK)
        assert_cycle (&m, report);
      else if (code != PW_SCHEDULE_ERROR_DEPENDENCY && !is_lost_update (&report->findings[0]))
        fail ("a swap", &m, report);
    }
  pw_schedule_free (m.schedule);
  return accepted;
}

static void
test_swaps (void) {
  int rounds = g_test_slow () ? 400 : 12, accepted = 0, refused = 0;
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int round = 0; round < rounds; round++) {
      g_autoptr (PwSchedule) schedule = random_schedule (*type);
      if (schedule == NULL)
        continue;
      g_autoptr (PwSchedule) lowered = random_lowering (schedule, NULL);
      accepted += swap_and_compare (schedule, NULL, mutation_swap, &refused);
      accepted += swap_and_compare (lowered, NULL, mutation_swap, &refused);
      for (int i = 0; i < 3; i++)
        accepted += swap_and_compare (lowered, NULL, mutation_swap_messages, &refused);
    }
  g_assert_cmpint (accepted, >, 200);
  g_assert_cmpint (refused, >, 200);
}

/* The same where stages are joined by more than a chain and placed anyhow. */
static void
test_swaps_on_graphs (void) {
  int rounds = g_test_slow () ? 5000 : 300, accepted = 0, refused = 0;
  for (int round = 0; round < rounds; round++) {
    int stages = g_test_rand_int_range (2, 7), ranks = g_test_rand_int_range (1, stages + 1);
    g_autoptr (PwStageEdges) edges = reference_random_edges (stages);
    g_autoptr (PwSchedule) schedule
        = reference_random_schedule (edges, ranks, g_test_rand_int_range (1, 4), round % 2);
    g_autoptr (PwSchedule) lowered = random_lowering (schedule, edges);
    accepted += swap_and_compare (schedule, edges, mutation_swap, &refused);
    accepted += swap_and_compare (lowered, edges, mutation_swap, &refused);
    accepted += swap_and_compare (lowered, edges, mutation_swap_messages, &refused);
  }
  g_assert_cmpint (accepted, >, 200);
  g_assert_cmpint (refused, >, 200);
}

/* A limit just below a rank's peak is exceeded there, at the first forward that goes above it. */
static void
test_memory (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int round = 0; round < 10; round++) {
      g_autoptr (PwSchedule) compute = random_schedule (*type);
      if (compute == NULL)
        continue;
      g_autoptr (PwSchedule) lowered = random_lowering (compute, NULL);
      const PwSchedule *schedule = round % 2 ? lowered : compute;
      g_autofree double *peaks = g_new (double, (gsize)schedule->ranks);
      double highest = 0;
      pw_schedule_peak_activations (schedule, 0.5, peaks);
      for (int rank = 0; rank < schedule->ranks; rank++)
        highest = MAX (highest, peaks[rank]);
      PwCheckOptions options = { .policy = PW_POLICY_PER_EDGE, .memory_limit = highest };
      g_autoptr (PwCheckReport) enough = pw_schedule_check (schedule, NULL, &options);
      g_assert_true (enough->valid);
      options.memory_limit = highest * (1 - 1e-6);
      g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
      g_assert_false (report->valid);
      for (int i = 0; i < report->n_findings; i++) {
        const PwCheckFinding *finding = &report->findings[i];
        g_assert_cmpint (finding->code, ==, PW_SCHEDULE_ERROR_MEMORY);
        g_assert_cmpfloat (peaks[finding->rank], >, options.memory_limit);
        PwAction at = schedule->programs[finding->rank].actions[finding->action];
        g_assert_true (at.kind == PW_ACTION_FORWARD || at.paired
                       || schedule->programs[finding->rank].actions[finding->action - 1].paired);
        g_assert_true (names (finding->message, at));
      }
    }
}

/* The same faults as a file would have them: placement and level are then inferred. An F that moves
 * to another rank in inference makes its micro-batch one of a second direction, which is legal. */
static void
test_faults_in_files (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++)
    for (int round = 0; round < 6; round++) {
      g_autoptr (PwSchedule) schedule = random_schedule (*type);
      if (schedule == NULL || schedule->stages < 3 || schedule->microbatches < 2)
        continue;
      for (int i = 0; i < n_mutations; i++) {
        Mutant m = { .schedule = pw_schedule_copy (schedule) };
        if (!mutations[i].lowered_only && mutations[i].apply (&m)) {
          g_autoptr (GError) error = NULL;
          g_autofree char *text = pw_schedule_to_csv (m.schedule, PW_CSV_OURS);
          g_autoptr (PwSchedule) read = pw_schedule_from_csv ("x", text, NULL, &error);
          g_assert_no_error (error);
          g_autoptr (PwCheckReport) report = check (read, NULL, PW_POLICY_PER_EDGE);
          if (report->valid && read->placement->directions == 1)
            fail (mutations[i].name, &m, report);
        }
        pw_schedule_free (m.schedule);
      }
    }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/mutations/a-fault-is-found-where-it-is", test_faults);
  g_test_add_func ("/schedules/mutations/a-fault-in-a-file-is-found", test_faults_in_files);
  g_test_add_func ("/schedules/mutations/a-swap-is-judged-as-by-trying-it-out", test_swaps);
  g_test_add_func ("/schedules/mutations/a-swap-on-a-graph-is-judged-as-by-trying-it-out",
                   test_swaps_on_graphs);
  g_test_add_func ("/schedules/mutations/a-limit-below-the-peak-is-exceeded-there", test_memory);
  return g_test_run ();
}
