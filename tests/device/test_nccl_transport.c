/* The NCCL transport on the fakes. */
#include "tests/device/nccl_case.h"

#include <string.h>

#include "exec/waiting_private.h"
#include "schedules/check.h"
#include "schedules/csv.h"
#include "schedules/policy.h"

#define DELAY_US 150

/* ---- Random messages ---- */

/* A chain of stages with skips, or two directions, with replicas on other ranks. */
static NcclCase *
random_case (PwPolicy policy, int ranks, gboolean two_directions) {
  int stages = two_directions ? ranks : ranks * g_test_rand_int_range (1, 4);
  PwStageEdge edges[64];
  int n = 0;
  for (int s = 0; s + 1 < stages; s++)
    edges[n++] = (PwStageEdge){ .producer = s, .consumer = s + 1 };
  for (int i = 0; i < 2 && stages > 2; i++) {
    int producer = g_test_rand_int_range (0, stages - 2);
    edges[n++] = (PwStageEdge){ .producer = producer,
                                .consumer = g_test_rand_int_range (producer + 2, stages),
                                .tensor = 1 + i };
  }
  PwPlacementKind kind = two_directions                      ? PW_PLACEMENT_BIDIRECTIONAL
                         : g_test_rand_int_range (0, 2) == 0 ? PW_PLACEMENT_LOOP
                                                             : PW_PLACEMENT_WAVE;
  return nccl_case_new (pw_stage_edges_new (stages, edges, n),
                        pw_placement_new (kind, ranks, stages), policy);
}

typedef struct {
  const char *name;
  int ranks, devices, processes, directions;
} Layout;

static const Layout layouts[] = {
  { .name = "a-device-per-rank", .ranks = 4, .devices = 4, .processes = 1, .directions = 1 },
  { .name = "two-ranks-per-device", .ranks = 4, .devices = 2, .processes = 1, .directions = 1 },
  { .name = "all-on-one-device", .ranks = 3, .devices = 1, .processes = 1, .directions = 1 },
  { .name = "replicas", .ranks = 4, .devices = 4, .processes = 1, .directions = 2 },
  { .name = "replicas-on-two-devices", .ranks = 4, .devices = 2, .processes = 1, .directions = 2 },
  { .name = "a-process-per-rank", .ranks = 4, .devices = 4, .processes = 4, .directions = 1 },
  { .name = "two-ranks-per-process", .ranks = 4, .devices = 4, .processes = 2, .directions = 2 },
};

static void
set_machine (int devices) {
  pw_fake_set_devices (devices);
  pw_fake_set_seed ((uint64_t)g_test_rand_int () + 1);
  pw_fake_set_delay_us (DELAY_US);
  pw_fake_set_hang_s (60);
}

static void
messages_arrive (gconstpointer data) {
  const Layout *layout = data;
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    set_machine (layout->devices);
    g_autoptr (NcclCase) nccl = random_case (policy, layout->ranks, layout->directions == 2);
    nccl->processes = layout->processes;
    nccl_case_fill (nccl, 60);
    nccl_case_check (nccl);
  }
}

/* ---- Opposite sends ---- */

static NcclCase *
pair_case (PwPolicy policy) {
  return nccl_case_new (pw_stage_edges_new_chain (2), pw_placement_new (PW_PLACEMENT_LOOP, 2, 2),
                        policy);
}

/* Each rank sends before it receives what the other one sends. */
typedef struct {
  PwTransportState *state;
  int rank;
  double timeout_s;
  gboolean is_grouped;
  GError *error;
} Opposite;

static gboolean
wait_for_both (Opposite *side, PwRequest *send, PwRequest *receive, PwStream *compute) {
  double deadline_s = pw__now_s () + side->timeout_s;
  if (!pw_transport_nccl.wait (side->state, side->rank, receive, compute, &side->error)
      || !pw_transport_nccl.wait (side->state, side->rank, send, compute, &side->error))
    return FALSE;
  while (cudaStreamQuery (compute->stream) == cudaErrorNotReady) {
    if (!pw_transport_nccl.check (side->state, side->rank, pw__now_s () > deadline_s, &side->error))
      return FALSE;
    g_usleep (500);
  }
  return TRUE;
}

static void
exchange_opposite (Opposite *side, PwStream *compute, void *memory) {
  const PwTransport *nccl = &pw_transport_nccl;
  PwChannel out = { .is_backward = side->rank == 1 }, in = { .is_backward = side->rank == 0 };
  PwEvent *event = pw__cuda_event_new (NULL);
  pw__cuda_event_record (event, compute, NULL);
  if (side->is_grouped)
    nccl->group_begin (side->state, side->rank);
  PwRequest *send = nccl->post_send (side->state, side->rank, out, memory, 64, event, &side->error);
  PwRequest *receive = send ? nccl->post_recv (side->state, side->rank, in, (char *)memory + 64, 64,
                                               event, &side->error)
                            : NULL;
  if (side->is_grouped)
    nccl->group_end (side->state, side->rank, NULL);
  if (!receive || !wait_for_both (side, send, receive, compute))
    nccl->abort (side->state, side->error->message);
  nccl->detach (side->state, side->rank);
  pw__cuda_event_free (event);
}

static void *
opposite_main (void *data) {
  Opposite *side = data;
  PwStream *compute = pw__cuda_stream_new (side->rank, &side->error);
  g_assert_no_error (side->error);
  void *memory = pw__cuda_alloc (compute, 128, NULL);
  pw__cuda_zero (compute, memory, 128, NULL);
  pw_transport_nccl.attach (side->state, side->rank, compute, &side->error);
  g_assert_no_error (side->error);
  exchange_opposite (side, compute, memory);
  pw__cuda_free (compute, memory);
  pw__cuda_stream_free (compute);
  return NULL;
}

static void
run_opposite (PwPolicy policy, gboolean is_grouped, GError **errors) {
  g_autoptr (NcclCase) nccl = pair_case (policy);
  PwTransportSetup setup = { .edges = nccl->edges,
                             .placement = nccl->placement,
                             .policy = policy,
                             .timeout_s = 0.5,
                             .backend = &nccl_backend };
  g_autoptr (GError) error = NULL;
  PwTransportState *state = pw_transport_nccl.open (&setup, &error);
  g_assert_no_error (error);
  Opposite sides[2];
  pthread_t threads[2];
  for (int r = 0; r < 2; r++) {
    sides[r] = (Opposite){ .state = state, .rank = r, .timeout_s = 0.5, .is_grouped = is_grouped };
    pthread_create (&threads[r], NULL, opposite_main, &sides[r]);
  }
  for (int r = 0; r < 2; r++) {
    pthread_join (threads[r], NULL);
    errors[r] = sides[r].error;
  }
  pw_transport_nccl.close (state);
}

static gboolean
checker_says (PwPolicy policy, gboolean is_grouped) {
  static const char *const texts[] = {
    "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
    "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1\n",
    "0F0,0SEND_F0,0F1,(0SEND_F1;0RECV_B0)GROUP,0B0,0RECV_B1,0B1\n"
    "1RECV_F0,1F0,1B0,(1SEND_B0;1RECV_F1)GROUP,1F1,1B1,1SEND_B1\n",
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) schedule
      = pw_schedule_from_csv ("opposite", texts[is_grouped], NULL, &error);
  g_assert_no_error (error);
  PwCheckOptions options = { .policy = policy };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
  return report->valid;
}

static void
opposite_sends (void) {
  for (int devices = 1; devices <= 2; devices++)
    for (int is_grouped = 0; is_grouped < 2; is_grouped++)
      for (PwPolicy policy = PW_POLICY_SHARED_STREAM; policy < PW_POLICY_N; policy++) {
        GError *errors[2] = { NULL, NULL };
        set_machine (devices);
        run_opposite (policy, is_grouped, errors);
        g_assert_cmpint (checker_says (policy, is_grouped), ==, !errors[0] && !errors[1]);
        if (errors[0]) {
          g_assert_nonnull (errors[1]);
          GError *first = errors[0]->code == PW_EXEC_ERROR_TIMEOUT ? errors[0] : errors[1];
          g_assert_error (first, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
          g_assert_nonnull (strstr (first->message, "of edge 0 (stage 0 to stage 1)"));
          g_assert_nonnull (strstr (first->message, "no answer within 0.5 s"));
        }
        g_clear_error (&errors[0]);
        g_clear_error (&errors[1]);
      }
}

/* ---- Faults ---- */

/* The peers' error names rank and edge, well before the time limit where NCCL itself is told. */
static void
fault_ends_the_run (PwFakeNcclFault fault, double timeout_s, const char *words) {
  for (PwPolicy policy = PW_POLICY_SHARED_STREAM; policy < PW_POLICY_N; policy++) {
    set_machine (2);
    g_autoptr (NcclCase) nccl = pair_case (policy);
    nccl->timeout_s = timeout_s;
    nccl->fault_rank = 1;
    nccl->fault = fault;
    nccl_case_fill (nccl, 40);
    NcclOutcome outcomes[2];
    nccl_case_run (nccl, outcomes);
    pw_fake_nccl_fault (1, 0, PW_FAKE_NCCL_WELL);
    gboolean is_named = FALSE;
    for (int r = 0; r < 2; r++) {
      g_assert_nonnull (outcomes[r].error);
      g_test_message ("rank %d: %s", r, outcomes[r].error->message);
      is_named |= strstr (outcomes[r].error->message, words)
                  && strstr (outcomes[r].error->message, " of edge 0 (stage 0 to stage 1)")
                  && strstr (outcomes[r].error->message, "rank 0")
                  && strstr (outcomes[r].error->message, "rank 1");
      g_clear_error (&outcomes[r].error);
    }
    g_assert_true (is_named);
  }
}

static void
dead_peer (void) {
  fault_ends_the_run (PW_FAKE_NCCL_DEAD, 30, "remote process exited");
}

static void
hung_peer (void) {
  fault_ends_the_run (PW_FAKE_NCCL_HUNG, 0.5, "no answer within 0.5 s");
}

/* ---- Refusals ---- */

typedef struct {
  PwBootstrap base;
  gint32 other_version; /* that the other process claims; 0: ours */
  gboolean other_plan;
} Claims;

/* The other process says what this one says, with changes. */
static gboolean
claims_gather (PwBootstrap *bootstrap, const void *mine, void *all, gsize bytes, GError **error) {
  Claims *claims = (Claims *)bootstrap;
  (void)error;
  for (int p = 0; p < bootstrap->size; p++)
    memcpy ((char *)all + (gsize)p * bytes, mine, bytes);
  if (claims->other_version)
    memcpy ((char *)all + bytes, &claims->other_version, sizeof claims->other_version);
  if (claims->other_plan)
    ((char *)all)[bytes + 8] ^= 1;
  return TRUE;
}

static void
refused (const PwBackend *backend, Claims *claims, int ranks, const char *words) {
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (ranks);
  g_autoptr (PwPlacement) placement = pw_placement_new (PW_PLACEMENT_LOOP, ranks, ranks);
  g_autoptr (GError) error = NULL;
  PwTransportSetup setup = { .edges = edges,
                             .placement = placement,
                             .policy = PW_POLICY_PER_EDGE,
                             .backend = backend,
                             .bootstrap = claims ? &claims->base : NULL };
  g_assert_null (pw_transport_nccl.open (&setup, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_cmpint (pw_fake_live_allocations () + pw_fake_live_streams (), ==, 0);
}

static void
refusals_before_anything_is_made (void) {
  Claims claims = { .base = { .size = 2, .all_gather = claims_gather } };
  refused (NULL, NULL, 2, "transport \"nccl\" carries memory of devices");
  refused (&nccl_backend, &claims, 3, "3 ranks cannot be shared out evenly between 2 processes");
  claims.other_version = 22703;
  refused (&nccl_backend, &claims, 2, "has NCCL 2.27.3: all need the same version");
  claims.other_version = 0;
  claims.other_plan = TRUE;
  refused (&nccl_backend, &claims, 2, "runs another plan than process 0");
}

static void
a_device_belongs_to_one_process (void) {
  set_machine (1);
  g_autoptr (NcclCase) nccl = pair_case (PW_POLICY_PER_EDGE);
  nccl->processes = 2;
  NcclOutcome outcomes[2];
  nccl_case_run (nccl, outcomes);
  for (int r = 0; r < 2; r++) {
    g_assert_error (outcomes[r].error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
    g_assert_nonnull (
        strstr (outcomes[r].error->message, "ranks 0 and 1 are two processes on one device"));
    g_clear_error (&outcomes[r].error);
  }
}

/* One of two processes never makes its communicators. */
static void
a_peer_that_never_attaches (void) {
  set_machine (2);
  g_autoptr (NcclCase) nccl = pair_case (PW_POLICY_PER_EDGE);
  g_autoptr (GError) error = NULL;
  PwTransportSetup setup = { .edges = nccl->edges,
                             .placement = nccl->placement,
                             .policy = PW_POLICY_PER_EDGE,
                             .timeout_s = 0.3,
                             .backend = &nccl_backend };
  PwTransportState *state = pw_transport_nccl.open (&setup, &error);
  g_assert_no_error (error);
  PwStream *compute = pw__cuda_stream_new (0, &error);
  g_assert_false (pw_transport_nccl.attach (state, 0, compute, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
  pw_transport_nccl.close (state);
  pw__cuda_stream_free (compute);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  /* GLib makes a lock at the first error, in a way that ThreadSanitizer cannot see. */
  g_error_free (g_error_new_literal (PW_EXEC_ERROR, PW_EXEC_ERROR_DATA, ""));
  for (gsize i = 0; i < G_N_ELEMENTS (layouts); i++) {
    g_autofree char *name
        = g_strdup_printf ("/device/nccl-transport/messages-arrive/%s", layouts[i].name);
    g_test_add_data_func (name, &layouts[i], messages_arrive);
  }
  g_test_add_func ("/device/nccl-transport/opposite-sends-hang-where-the-checker-says",
                   opposite_sends);
  g_test_add_func ("/device/nccl-transport/a-dead-peer-ends-the-run-at-once", dead_peer);
  g_test_add_func ("/device/nccl-transport/a-hung-peer-ends-the-run-in-time", hung_peer);
  g_test_add_func ("/device/nccl-transport/refusals-come-before-anything-is-made",
                   refusals_before_anything_is_made);
  g_test_add_func ("/device/nccl-transport/a-device-belongs-to-one-process",
                   a_device_belongs_to_one_process);
  g_test_add_func ("/device/nccl-transport/a-peer-that-never-comes-is-a-timeout",
                   a_peer_that_never_attaches);
  return g_test_run ();
}
