/* PyTorch's own schedules, as its own code wrote them: tests/golden/torch-csv/README.md. */
#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "sim/sim.h"
#include "tests/schedules/reference_schedule.h"

#include <stdio.h>
#include <string.h>

typedef struct {
  char *name; /* of the file, without ".csv" */
  PwSchedule *schedule;
} Golden;

static PwSchedule *
read_golden (const char *name) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autofree char *file = g_strconcat (name, ".csv", NULL);
  g_autofree char *path
      = g_build_filename (PW_SOURCE_DIR, "tests", "golden", "torch-csv", file, NULL);
  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  PwSchedule *schedule = pw_schedule_from_csv (file, text, NULL, &error);
  g_assert_no_error (error);
  return schedule;
}

static void
for_each_file (void (*test) (const Golden *golden)) {
  g_autofree char *folder = g_build_filename (PW_SOURCE_DIR, "tests", "golden", "torch-csv", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  int n = 0;
  for (const char *file = g_dir_read_name (dir); file != NULL; file = g_dir_read_name (dir)) {
    if (!g_str_has_suffix (file, ".csv"))
      continue;
    Golden golden = { .name = g_strndup (file, strlen (file) - strlen (".csv")) };
    golden.schedule = read_golden (golden.name);
    g_test_message ("%s", file);
    test (&golden);
    pw_schedule_free (golden.schedule);
    g_free (golden.name);
    n++;
  }
  g_assert_cmpint (n, >, 60);
}

static gboolean
is_lowered (const Golden *golden) {
  return strstr (golden->name, "_comms") != NULL || strstr (golden->name, "_stepped") != NULL;
}

/* Schedule1F1B's own account of itself starts the last rank with micro-batch 1 and ends it with one
 * that does not exist. */
static gboolean
is_wrong (const Golden *golden) {
  return g_str_has_prefix (golden->name, "1f1b") && strstr (golden->name, "_attribute") != NULL;
}

/* defer_pp_recv moves receives behind sends on one side only, so that both ends of a pair of ranks
 * can start with a send: fine where each edge has its queue or sends are buffered, a hang where
 * sends to and receives from a peer keep one order. */
static gboolean
hangs (const Golden *golden, PwPolicy policy) {
  return strstr (golden->name, "_deferred") != NULL && policy != PW_POLICY_BUFFERED
         && policy != PW_POLICY_PER_EDGE;
}

static void
check_sizes (const Golden *golden) {
  char name[64];
  int ranks, chunks, microbatches;
  g_assert_cmpint (sscanf (golden->name, "%63[^_]_%dx%dx%d", name, &ranks, &chunks, &microbatches),
                   ==, 4);
  g_assert_cmpint (golden->schedule->ranks, ==, ranks);
  g_assert_cmpint (golden->schedule->stages, ==, ranks * chunks);
  g_assert_cmpint (golden->schedule->chunks, ==, chunks);
  g_assert_cmpint (golden->schedule->microbatches, ==, microbatches + is_wrong (golden));
  g_assert_cmpint (golden->schedule->is_lowered, ==, is_lowered (golden));
  g_assert_cmpint (golden->schedule->mode, ==, PW_MODE_TRAINING);
  g_assert_cmpint (golden->schedule->placement->directions, ==, 1);
  g_assert_true (golden->schedule->promise.synchronous);
}

static void
test_sizes (void) {
  for_each_file (check_sizes);
}

static void
check_verdicts (const Golden *golden) {
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    PwCheckOptions options = { .policy = policy };
    g_autoptr (PwCheckReport) report = pw_schedule_check (golden->schedule, NULL, &options);
    gboolean right = !is_wrong (golden) && !hangs (golden, policy);
    g_assert_cmpint (report->valid, ==, right);
    g_assert_cmpint (reference_verdict (golden->schedule, NULL, policy) == NULL, ==, right);
    if (!right)
      g_assert_cmpint (report->findings[0].code, ==,
                       is_wrong (golden) ? PW_SCHEDULE_ERROR_MISSING : PW_SCHEDULE_ERROR_DEADLOCK);
  }
}

static void
test_verdicts (void) {
  for_each_file (check_verdicts);
}

/* The slip is named where it is, not by all that the other ranks would lack. */
static void
test_wrong_attribute (void) {
  g_autoptr (PwSchedule) schedule = read_golden ("1f1b_4x1x8_attribute");
  PwCheckOptions options = { .policy = PW_POLICY_PER_EDGE };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
  const PwCheckFinding *finding = &report->findings[0];
  g_assert_cmpint (report->n_findings, ==, 3);
  g_assert_cmpint (finding->rank, ==, 3);
  g_assert_cmpint (finding->action, ==, 14);
  g_assert_nonnull (strstr (finding->message, "3F8 is of a micro-batch that no other stage has"));
  g_assert_nonnull (strstr (report->findings[1].message, "3B0 is there, but 3F0 is missing"));
  g_assert_nonnull (strstr (report->findings[2].message, "3F8 is there, but 3B8 is missing"));
}

/* F, B, I, W with their pairs, or all. */
static void
assert_same (const PwSchedule *a, const PwSchedule *b, gboolean only_compute, const char *what) {
  g_assert_cmpint (a->ranks, ==, b->ranks);
  for (int rank = 0; rank < a->ranks; rank++) {
    const PwProgram *p = &a->programs[rank], *q = &b->programs[rank];
    int64_t i = 0, k = 0;
    for (;; i++, k++) {
      while (only_compute && i < p->n_prologue && !pw_action_kinds[p->actions[i].kind].is_counted)
        i++;
      while (only_compute && k < q->n_prologue && !pw_action_kinds[q->actions[k].kind].is_counted)
        k++;
      if (i == p->n_prologue || k == q->n_prologue)
        break;
      if (!pw_action_equal (p->actions[i], q->actions[k])) {
        char x[PW_ACTION_TEXT_MAX], y[PW_ACTION_TEXT_MAX];
        g_error ("%s: rank %d: action %d is %s, action %d is %s", what, rank, (int)i,
                 pw_action_format (p->actions[i], x), (int)k, pw_action_format (q->actions[k], y));
      }
    }
    g_assert_true (i == p->n_prologue && k == q->n_prologue);
  }
}

static void
check_round_trip (const Golden *golden) {
  for (PwCsvDialect dialect = PW_CSV_OURS; dialect <= PW_CSV_TORCH; dialect++) {
    if (dialect == PW_CSV_TORCH && golden->schedule->batched)
      continue; /* PyTorch has no word for a group */
    g_autofree char *text = pw_schedule_to_csv (golden->schedule, dialect);
    g_autoptr (PwSchedule) read = pw_schedule_from_csv ("x", text, NULL, NULL);
    assert_same (golden->schedule, read, FALSE, golden->name);
    g_assert_cmpint (golden->schedule->is_lowered, ==, read->is_lowered);
  }
}

static void
test_round_trip (void) {
  for_each_file (check_round_trip);
}

static void
check_old_words (const Golden *golden) {
  if (!g_str_has_suffix (golden->name, "_old"))
    return;
  g_autofree char *name = g_strndup (golden->name, strlen (golden->name) - strlen ("_old"));
  g_autoptr (PwSchedule) today = read_golden (name);
  assert_same (golden->schedule, today, FALSE, name);
}

static void
test_old_words (void) {
  for_each_file (check_old_words);
}

/* Lowering changes no order, neither PyTorch's nor ours. */
static void
check_levels (const Golden *golden) {
  g_auto (GStrv) parts = g_strsplit (golden->name, "_", 3);
  g_autofree char *name = g_strconcat (parts[0], "_", parts[1], NULL);
  if (is_wrong (golden))
    return;
  g_autoptr (PwSchedule) compute = read_golden (name);
  PwLowerOptions options = { .policy = PW_POLICY_SHARED_STREAM };
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, NULL, &options, NULL);
  assert_same (golden->schedule, compute, TRUE, golden->name);
  assert_same (golden->schedule, lowered, TRUE, golden->name);
}

static void
test_levels (void) {
  for_each_file (check_levels);
}

static void
check_generated (const Golden *golden) {
  char name[64];
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  if (strchr (strchr (golden->name, '_') + 1, '_') != NULL)
    return;
  sscanf (golden->name, "%63[^_]_%dx%dx%d", name, &params.ranks, &params.chunks,
          &params.microbatches);
  const PwScheduleType *type = pw_schedule_get (name);
  g_assert_nonnull (type);
  if ((type->options & PW_OPTION_CHUNKS) == 0)
    params.chunks = 0;
  if ((type->options & PW_OPTION_GROUP) != 0)
    params.group_rule = "pytorch";
  params.reverse = g_str_equal (name, "looped-bfs"); /* PyTorch's goes backwards in its backwards */
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) ours = pw_schedule_generate (name, &params, &error);
  g_assert_no_error (error);
  g_autoptr (PwSchedule) plain = pw_schedule_unroll (ours, 1, NULL);
  assert_same (plain, golden->schedule, FALSE, golden->name);
}

static void
test_generated (void) {
  for_each_file (check_generated);
}

/* Without costs of messages an order takes its time whatever brings the data, unless a queue holds
 * them up; simulated and tried out alike. */
static void
check_time (const Golden *golden) {
  if (is_wrong (golden))
    return;
  int stages = golden->schedule->stages;
  g_autoptr (GError) error = NULL;
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (stages);
  g_autoptr (PwStageCosts) costs = pw_stage_costs_new (stages, edges);
  for (int s = 0; s < stages; s++) {
    costs->stage[s].forward = 1;
    costs->stage[s].input = costs->stage[s].weight = 1;
    costs->stage[s].backward = 2;
  }
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    if (hangs (golden, policy))
      continue;
    PwLowerOptions options = { .policy = policy };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (golden->schedule, edges, &options, &error);
    g_assert_no_error (error);
    lowered->policy = policy; /* one from a file does not know its own */
    PwSimInput input;
    pw_sim_input_init (&input);
    input.schedule = lowered;
    input.edges = edges;
    input.costs = costs;
    g_autoptr (PwSimResult) result = pw_sim_run (&input, &error);
    g_assert_no_error (error);
    g_assert_cmpfloat (result->iteration_time, ==,
                       reference_run_lowered (lowered, edges, policy, 1, 1, 1).time);
  }
}

static void
test_time (void) {
  for_each_file (check_time);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/torch-csv/sizes-and-level-are-inferred", test_sizes);
  g_test_add_func ("/schedules/torch-csv/verdicts-are-right-under-every-policy", test_verdicts);
  g_test_add_func ("/schedules/torch-csv/one-slip-is-named-once", test_wrong_attribute);
  g_test_add_func ("/schedules/torch-csv/orders-round-trip", test_round_trip);
  g_test_add_func ("/schedules/torch-csv/old-words-read-as-todays", test_old_words);
  g_test_add_func ("/schedules/torch-csv/levels-have-one-order", test_levels);
  g_test_add_func ("/schedules/torch-csv/our-generators-give-pytorchs-orders", test_generated);
  g_test_add_func ("/schedules/torch-csv/simulated-time-is-that-of-trying-it-out", test_time);
  return g_test_run ();
}
