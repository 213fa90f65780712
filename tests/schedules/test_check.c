#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "tests/schedules/reference_schedule.h"

#include <string.h>

static PwSchedule *
read (const char *text) {
  g_autoptr (GError) error = NULL;
  PwSchedule *schedule = pw_schedule_from_csv ("test.csv", text, NULL, &error);
  g_assert_no_error (error);
  return schedule;
}

static PwCheckReport *
check (const char *text, PwPolicy policy) {
  g_autoptr (PwSchedule) schedule = read (text);
  PwCheckOptions options = { .policy = policy };
  return pw_schedule_check (schedule, NULL, &options);
}

static void
test_planted_faults_are_found (void) {
  const struct {
    const char *text;
    PwScheduleError code;
    int rank;
    const char *says;
  } rows[] = {
    { "0F0,0F1,0B0\n1F0,1B0,1F1,1B1\n", PW_SCHEDULE_ERROR_MISSING, 0, "0B1" },
    { "0F0,0B0,0B1\n1F0,1B0,1F1,1B1\n", PW_SCHEDULE_ERROR_MISSING, 0, "0F1" },
    { "0F0,0I0,0W0\n1F0,1I0\n", PW_SCHEDULE_ERROR_MISSING, 1, "1W0" },
    { "0F0,0I0,0W0\n1F0,1W0\n", PW_SCHEDULE_ERROR_MISSING, 1, "1I0" },
    { "0F0,0B0\n2F0,2B0\n", PW_SCHEDULE_ERROR_MISSING, -1, "1F0" },
    { "0F60000\n", PW_SCHEDULE_ERROR_MISSING, 0, "0F0" },
    { "0F1,0B1\n1F1,1B1\n", PW_SCHEDULE_ERROR_MISSING, -1, "micro-batch 0 is nowhere" },
    { "1F0,1B0\n2F0,2B0\n", PW_SCHEDULE_ERROR_MISSING, -1, "stage 0 is on no rank" },
    { "0F0,0F1,0B0,0B1\n1F0,1B0\n2F0,2B0\n", PW_SCHEDULE_ERROR_MISSING, 0,
      "0F1 is of a micro-batch" },
    { "65534F16777214,65534B3\n", PW_SCHEDULE_ERROR_MISSING, -1, "65535 stages" },
    { "0F0,0F0,0B0\n1F0,1B0\n", PW_SCHEDULE_ERROR_DUPLICATE, 0, "0F0" },
    { "0F0,0B0\n1F0,1B0,1B0\n", PW_SCHEDULE_ERROR_DUPLICATE, 1, "1B0" },
    { "0F0,0I0,0W0\n1F0,1I0,1B0,1W0\n", PW_SCHEDULE_ERROR_DUPLICATE, 1, "1B0" },
    { "0F0,0I0,0W0,0W0\n1F0,1I0,1W0\n", PW_SCHEDULE_ERROR_DUPLICATE, 0, "0W0" },
    { "0F0,0B0\n1B0,1F0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 1, "1F0" },
    { "0F0,0W0,0I0\n1F0,1I0,1W0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 0, "0I0" },
    { "0F0,0B0,0R0\n1F0,1R0,1B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 0, "0R0" },
    { "0F0,0OFFLOAD0,0B0\n1F0,1B0\n", PW_SCHEDULE_ERROR_MISSING, 0, "0RELOAD0 is missing" },
    { "0F0,0B0,0OFFLOAD0\n1F0,1B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 0, "0OFFLOAD0" },
    { "0F0,0OFFLOAD0,0B0,0RELOAD0\n1F0,1B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 0, "0RELOAD0" },
    { "0F0,0RELOAD0,0B0\n1F0,1B0\n", PW_SCHEDULE_ERROR_MISSING, 0, "0OFFLOAD0 is missing" },
    { "0F0,0RELOAD0,0OFFLOAD0,0B0\n1F0,1B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 0, "0OFFLOAD0" },
    { "0OFFLOAD0,0F0,0RELOAD0,0B0\n1F0,1B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 0, "0F0" },
    { "0F0,0OFFLOAD0,0OFFLOAD0,0RELOAD0,0B0\n1F0,1B0\n", PW_SCHEDULE_ERROR_DUPLICATE, 0,
      "0OFFLOAD0" },
    { "0F0,3F0,0B0,3B0\n1F0,2F0,2B0,1B0\n", PW_SCHEDULE_ERROR_DEADLOCK, 0,
      "rank 0, action 2: 0B0 waits for rank 1's 1B0; rank 1, action 2: 2B0 waits for rank 0's "
      "3B0" },
    { "0F0,3F0,3B0,0B0\n2F0,1F0,2B0,1B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 1, "2F0" },
    { "0F0,0F1,0B0,0B1,1B1\n1F0,1B0,1F1\n", PW_SCHEDULE_ERROR_PLACEMENT, 0, "1B1" },
    { "0F0,0F1,0B0,0B1\n1F0,1B0\n1F1,1B1\n0F2,0B2,1F2,1B2", PW_SCHEDULE_ERROR_PLACEMENT, 2, "1F1" },
    { "0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n", PW_SCHEDULE_ERROR_DEADLOCK, 0, "waits for" },
    /* Lowered: messages. */
    { "0F0,0SEND_F0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0\n", PW_SCHEDULE_ERROR_MISSING, 0, "0RECV_B0" },
    { "0F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0\n", PW_SCHEDULE_ERROR_MISSING, 0, "0SEND_F0" },
    { "0SEND_F0,0F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 0,
      "0SEND_F0" },
    { "0F0,0SEND_F0,0RECV_B0,0B0\n1F0,1RECV_F0,1B0,1SEND_B0\n", PW_SCHEDULE_ERROR_DEPENDENCY, 1,
      "1RECV_F0" },
    { "0F0,0SEND_F0,0SEND_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0\n",
      PW_SCHEDULE_ERROR_DUPLICATE, 0, "0SEND_F0" },
    { "0F0,0SEND_F0,1RECV_F0,1F0,1B0,0B0\n", PW_SCHEDULE_ERROR_PLACEMENT, 0, "0SEND_F0" },
    { "0F0,0SEND_F0,1RECV_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0\n",
      PW_SCHEDULE_ERROR_PLACEMENT, 0, "1RECV_F0" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PwCheckReport) report = check (rows[i].text, PW_POLICY_PER_EDGE);
    g_assert_false (report->valid);
    g_assert_cmpint (report->n_findings, >, 0);
    const PwCheckFinding *finding = &report->findings[0];
    if (finding->code != rows[i].code || finding->rank != rows[i].rank
        || strstr (finding->message, rows[i].says) == NULL)
      g_error ("row %zu: %s, rank %d: %s", i, pw_schedule_error_codes[finding->code], finding->rank,
               finding->message);
  }
}

static void
test_first_finding_names_its_action (void) {
  g_autoptr (PwCheckReport) report = check ("0F0,0B0\n1B0,1F0\n", PW_POLICY_BUFFERED);
  g_assert_cmpint (report->n_findings, ==, 1);
  g_assert_cmpint (report->findings[0].action, ==, 1);
}

static void
test_findings_are_limited (void) {
  g_autoptr (PwSchedule) schedule = read ("0F5000\n");
  PwCheckOptions options = { .policy = PW_POLICY_BUFFERED, .max_findings = 7 };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
  g_assert_cmpint (report->n_findings, ==, 7);
}

static void
test_memory_limit (void) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = 4;
  params.microbatches = 8;
  g_autoptr (PwSchedule) schedule = pw_schedule_generate ("1f1b", &params, NULL);
  for (int limit = 1; limit <= 5; limit++) {
    PwCheckOptions options = { .policy = PW_POLICY_PER_EDGE, .memory_limit = limit };
    g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
    g_assert_cmpint (report->n_findings, ==, MAX (4 - limit, 0));
    for (int i = 0; i < report->n_findings; i++) {
      g_assert_cmpint (report->findings[i].code, ==, PW_SCHEDULE_ERROR_MEMORY);
      g_assert_cmpint (report->findings[i].rank, ==, i);
      g_assert_cmpint (report->findings[i].action, ==, limit);
    }
    for (int rank = 0; rank < 4; rank++)
      g_assert_cmpfloat (report->peak_activations[rank], ==, 4 - rank);
  }
}

static void
test_split_backward_frees_in_two_steps (void) {
  const struct {
    const char *text;
    double weight_memory, peak;
  } rows[] = {
    { "0F0,0I0,0F1,0I1,0W0,0W1\n", 0.5, 1.5 },    { "0F0,0I0,0F1,0I1,0W0,0W1\n", 0.25, 1.25 },
    { "0F0,0I0,0F1,0I1,0W0,0W1\n", 1, 2 },        { "0F0,0I0,0W0,0F1,0I1,0W1\n", 0.5, 1 },
    { "0F0,1F0,1I0,0I0,1W0,0W0\n", 0.5, 1 },      { "0F0,(0F1;0B0)OVERLAP_F_B,0B1\n", 0.5, 2 },
    { "0F0,(0B0;0F1)OVERLAP_F_B,0B1\n", 0.5, 2 }, { "0F0,0F1,0F2\n", 0.5, 1 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    double peak;
    g_autoptr (PwSchedule) schedule = read (rows[i].text);
    pw_schedule_peak_activations (schedule, rows[i].weight_memory, &peak);
    g_assert_cmpfloat (peak, ==, rows[i].peak);
  }
}

/* Reported: an interleaved schedule lowered with each send behind its compute and each receive
 * before its consumer hangs on one stream per rank: both ranks send before they receive. */
static const char interleaved_report[] //
    = "0F0,0SEND_F0,0F1,0SEND_F1,2RECV_F0,2F0,2SEND_F0,2RECV_F1,2F1,2SEND_F1\n"
      "1RECV_F0,1F0,1SEND_F0,1RECV_F1,1F1,1SEND_F1,3RECV_F0,3F0,3RECV_F1,3F1\n";

static void
test_interleaved_report (void) {
  const gboolean hangs[PW_POLICY_N] = {
    [PW_POLICY_RENDEZVOUS] = TRUE, [PW_POLICY_SHARED_STREAM] = TRUE, [PW_POLICY_PER_PEER] = TRUE
  };
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    g_autoptr (PwCheckReport) report = check (interleaved_report, policy);
    g_assert_cmpint (report->valid, ==, !hangs[policy]);
    if (report->valid)
      continue;
    g_assert_cmpint (report->findings[0].code, ==, PW_SCHEDULE_ERROR_DEADLOCK);
    const char *parts[] = { "0SEND_F1 (rank 0, action 3)", "1SEND_F0 (rank 1, action 2)" };
    for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
      g_assert_nonnull (strstr (report->findings[0].message, parts[i]));
  }
  /* Its compute schedule, lowered here, runs everywhere. */
  g_autoptr (PwSchedule) lowered = read (interleaved_report);
  g_autoptr (PwSchedule) compute = pw_schedule_raise (lowered);
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    PwCheckOptions options = { .policy = policy };
    g_autoptr (PwCheckReport) report = pw_schedule_check (compute, NULL, &options);
    g_assert_true (report->valid);
  }
}

/* Reported: 1F1B whose steady state sends F before it receives B hangs on blocking messages and on
 * one stream, unless the two are batched into one group at both ends. */
static void
test_1f1b_report (void) {
  const char alone[] = "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
                       "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1\n";
  const char batched[] = "0F0,0SEND_F0,0F1,(0SEND_F1;0RECV_B0)GROUP,0B0,0RECV_B1,0B1\n"
                         "1RECV_F0,1F0,1B0,(1SEND_B0;1RECV_F1)GROUP,1F1,1B1,1SEND_B1\n";
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    g_autoptr (PwCheckReport) report = check (alone, policy);
    g_assert_cmpint (report->valid, ==,
                     policy == PW_POLICY_BUFFERED || policy == PW_POLICY_PER_EDGE);
    g_autoptr (PwCheckReport) grouped = check (batched, policy);
    g_assert_true (grouped->valid);
  }
}

/* The verdict on random message orders, random groups included, is that of trying it out. */
static void
test_verdict_equals_reference (void) {
  int hung = 0, ran = 0;
  for (int round = 0; round < 1500; round++) {
    int stages = g_test_rand_int_range (2, 6), ranks = g_test_rand_int_range (2, stages + 1);
    g_autoptr (PwStageEdges) edges = reference_random_edges (stages);
    g_autoptr (PwSchedule) schedule
        = reference_random_schedule (edges, ranks, g_test_rand_int_range (1, 4), round % 2);
    PwLowerOptions lower = { .policy = PW_POLICY_PER_EDGE };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, edges, &lower, NULL);
    g_assert_nonnull (lowered);
    reference_shuffle_messages (lowered);
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
      PwCheckOptions options = { .policy = policy };
      g_autoptr (PwCheckReport) report = pw_schedule_check (lowered, edges, &options);
      ReferenceRun run = reference_run_lowered (lowered, edges, policy, 1, 1, 1);
      g_assert_cmpint (report->valid, ==, run.finished);
      if (!report->valid)
        g_assert_cmpint (report->findings[0].code, ==, PW_SCHEDULE_ERROR_DEADLOCK);
      hung += !report->valid;
      ran += report->valid;
    }
  }
  g_assert_cmpint (hung, >, 100);
  g_assert_cmpint (ran, >, 100);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/check/planted-faults-are-found", test_planted_faults_are_found);
  g_test_add_func ("/schedules/check/finding-names-its-action",
                   test_first_finding_names_its_action);
  g_test_add_func ("/schedules/check/findings-are-limited", test_findings_are_limited);
  g_test_add_func ("/schedules/check/memory-limit-is-where-the-peak-is", test_memory_limit);
  g_test_add_func ("/schedules/check/split-backward-frees-in-two-steps",
                   test_split_backward_frees_in_two_steps);
  g_test_add_func ("/schedules/check/bug-interleaved-sends-first-on-one-stream",
                   test_interleaved_report);
  g_test_add_func ("/schedules/check/bug-1f1b-sends-first-when-blocking", test_1f1b_report);
  g_test_add_func ("/schedules/check/verdict-equals-trying-it-out", test_verdict_equals_reference);
  return g_test_run ();
}
