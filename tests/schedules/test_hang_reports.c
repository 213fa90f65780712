/* Two ways in which a correct order of computes is lost by the order of its messages on one
 * in-order queue per rank, as users of pipelines have reported them; simulated. */
#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "sim/sim.h"

#include <string.h>

/* Both ranks issue a send before the receive that the other's send needs. */
static const char crossing[]
    = "0F0,0SEND_F0,0F1,0SEND_F1,2RECV_F0,2F0,2SEND_F0,2RECV_F1,2F1,2SEND_F1\n"
      "1RECV_F0,1F0,1SEND_F0,1RECV_F1,1F1,1SEND_F1,3RECV_F0,3F0,3RECV_F1,3F1\n";

/* A warm-up that posts each receive directly behind a send, long before its data can come. */
static const char two_early[]
    = "0F0,0SEND_F0,3RECV_F0,0F1,0SEND_F1,3RECV_F1,3F0,3SEND_F0,3F1,3SEND_F1\n"
      "1RECV_F0,1F0,1SEND_F0,1RECV_F1,1F1,1SEND_F1,"
      "4RECV_F0,4F0,4SEND_F0,4RECV_F1,4F1,4SEND_F1\n"
      "2RECV_F0,2F0,2SEND_F0,2RECV_F1,2F1,2SEND_F1,"
      "5RECV_F0,5F0,5RECV_F1,5F1\n";
static const char three_early[]
    = "0F0,0SEND_F0,3RECV_F0,0F1,0SEND_F1,3RECV_F1,0F2,0SEND_F2,3RECV_F2,"
      "3F0,3SEND_F0,3F1,3SEND_F1,3F2,3SEND_F2\n"
      "1RECV_F0,1F0,1SEND_F0,1RECV_F1,1F1,1SEND_F1,1RECV_F2,1F2,1SEND_F2,"
      "4RECV_F0,4F0,4SEND_F0,4RECV_F1,4F1,4SEND_F1,4RECV_F2,4F2,4SEND_F2\n"
      "2RECV_F0,2F0,2SEND_F0,2RECV_F1,2F1,2SEND_F1,2RECV_F2,2F2,2SEND_F2,"
      "5RECV_F0,5F0,5RECV_F1,5F1,5RECV_F2,5F2\n";

static PwSchedule *
read (const char *text) {
  g_autoptr (GError) error = NULL;
  PwSchedule *schedule = pw_schedule_from_csv ("report.csv", text, NULL, &error);
  g_assert_no_error (error);
  return schedule;
}

/* Puts every receive directly before the forward that uses it. */
static void
post_late (PwSchedule *lowered) {
  for (int rank = 0; rank < lowered->ranks; rank++) {
    PwProgram *program = &lowered->programs[rank];
    for (int64_t i = program->n_prologue - 2; i >= 0; i--)
      for (int64_t k = i; k + 1 < program->n_prologue; k++) {
        PwAction *pair = &program->actions[k];
        gboolean moves = pair[0].kind == PW_ACTION_RECV_FORWARD
                         && !(pair[1].kind == PW_ACTION_FORWARD && pair[1].stage == pair[0].stage
                              && pair[1].microbatch == pair[0].microbatch);
        if (!moves)
          break;
        PwAction receive = pair[0];
        pair[0] = pair[1];
        pair[1] = receive;
      }
  }
}

static PwSimResult *
simulate (PwSchedule *lowered, PwPolicy policy, GError **error) {
  lowered->policy = policy;
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (lowered->stages);
  g_autoptr (PwStageCosts) costs = pw_stage_costs_new (lowered->stages, edges);
  for (int s = 0; s < lowered->stages; s++)
    costs->stage[s].forward = 1;
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = lowered;
  input.edges = edges;
  input.costs = costs;
  return pw_sim_run (&input, error);
}

static double
queue_head (const PwSimResult *result) {
  double sum = 0;
  for (int rank = 0; rank < result->ranks; rank++)
    sum += result->rank[rank].idle_by_cause[PW_IDLE_QUEUE_HEAD];
  return sum;
}

static void
test_crossing_sends (void) {
  const gboolean hangs[PW_POLICY_N] = {
    [PW_POLICY_RENDEZVOUS] = TRUE, [PW_POLICY_SHARED_STREAM] = TRUE, [PW_POLICY_PER_PEER] = TRUE
  };
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSchedule) lowered = read (crossing);
    PwCheckOptions options = { .policy = policy };
    g_autoptr (PwCheckReport) report = pw_schedule_check (lowered, NULL, &options);
    g_autoptr (PwSimResult) result = simulate (lowered, policy, &error);
    g_assert_cmpint (report->valid, ==, !hangs[policy]);
    if (!hangs[policy]) {
      g_assert_no_error (error);
      g_assert_cmpfloat (result->iteration_time, ==, 5); /* the last stage's second, F after F */
      continue;
    }
    g_assert_null (result);
    g_assert_error (error, PW_SIM_ERROR, PW_SIM_ERROR_DEADLOCK);
    g_assert_cmpint (report->findings[0].code, ==, PW_SCHEDULE_ERROR_DEADLOCK);
    const char *const messages[] = { report->findings[0].message, error->message };
    for (gsize i = 0; i < G_N_ELEMENTS (messages); i++) {
      g_assert_nonnull (strstr (messages[i], "0SEND_F1 (rank 0, action 3)"));
      g_assert_nonnull (strstr (messages[i], "1SEND_F0 (rank 1, action 2)"));
    }
  }
}

/* Posted early they delay what is sent behind them; posted just before use they do not, unless,
 * with as many micro-batches as ranks, each send around the ring waits for the next. Ours do
 * neither. */
static void
test_early_receives (void) {
  const struct {
    const char *text;
    gboolean late_hangs;
  } rows[] = { { two_early, FALSE }, { three_early, TRUE } };
  PwPolicy policy = PW_POLICY_SHARED_STREAM;
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSchedule) posted_early = read (rows[i].text);
    g_autoptr (PwSchedule) posted_late = read (rows[i].text);
    g_autoptr (PwSchedule) compute = pw_schedule_raise (posted_early);
    PwLowerOptions options = { .policy = policy };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, NULL, &options, NULL);
    post_late (posted_late);
    g_autoptr (PwSimResult) free_ways = simulate (posted_early, PW_POLICY_PER_EDGE, NULL);
    g_autoptr (PwSimResult) early = simulate (posted_early, policy, NULL);
    g_autoptr (PwSimResult) ours = simulate (lowered, policy, NULL);
    g_autoptr (PwSimResult) late = simulate (posted_late, policy, &error);
    g_assert_cmpfloat (queue_head (early), >, 0);
    g_assert_cmpfloat (early->iteration_time, >, free_ways->iteration_time);
    g_assert_cmpfloat (ours->iteration_time, ==, free_ways->iteration_time);
    g_assert_cmpfloat (queue_head (ours), ==, 0);
    if (rows[i].late_hangs) {
      g_assert_error (error, PW_SIM_ERROR, PW_SIM_ERROR_DEADLOCK);
      continue;
    }
    g_assert_no_error (error);
    g_assert_cmpfloat (late->iteration_time, ==, free_ways->iteration_time);
    g_assert_cmpfloat (queue_head (late), ==, 0);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/hang-reports/crossing-sends-hang-on-one-queue", test_crossing_sends);
  g_test_add_func ("/schedules/hang-reports/early-receives-hold-up-sends", test_early_receives);
  return g_test_run ();
}
