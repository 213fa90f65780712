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

/* ---- Sends before receives ---- */

static NcclCase *
pair_case (PwPolicy policy) {
  return nccl_case_new (pw_stage_edges_new_chain (2), pw_placement_new (PW_PLACEMENT_LOOP, 2, 2),
                        policy);
}

/* Rank r sends to the next one, the last to the first, and then receives. */
typedef struct {
  PwTransportState *state;
  int rank;
  PwChannel out, in;
  double timeout_s;
  gboolean is_grouped;
  GError *error;
} Sender;

static gboolean
wait_for_both (Sender *sender, PwRequest *send, PwRequest *receive, PwStream *compute) {
  double deadline_s = pw__now_s () + sender->timeout_s;
  if (!pw_transport_nccl.wait (sender->state, sender->rank, receive, compute, &sender->error)
      || !pw_transport_nccl.wait (sender->state, sender->rank, send, compute, &sender->error))
    return FALSE;
  while (cudaStreamQuery (compute->stream) == cudaErrorNotReady) {
    if (!pw_transport_nccl.check (sender->state, sender->rank, pw__now_s () > deadline_s,
                                  &sender->error))
      return FALSE;
    g_usleep (500);
  }
  /* An abort ends it, too. */
  return pw_transport_nccl.check (sender->state, sender->rank, FALSE, &sender->error);
}

static void
send_then_receive (Sender *sender, PwStream *compute, void *memory) {
  const PwTransport *nccl = &pw_transport_nccl;
  PwTransportState *state = sender->state;
  PwEvent *event = pw__cuda_event_new (NULL);
  pw__cuda_event_record (event, compute, NULL);
  if (sender->is_grouped)
    nccl->group_begin (state, sender->rank);
  PwRequest *send
      = nccl->post_send (state, sender->rank, sender->out, memory, 64, event, &sender->error);
  PwRequest *receive = send ? nccl->post_recv (state, sender->rank, sender->in, (char *)memory + 64,
                                               64, event, &sender->error)
                            : NULL;
  if (sender->is_grouped)
    nccl->group_end (state, sender->rank, NULL);
  if (!receive || !wait_for_both (sender, send, receive, compute))
    nccl->abort (state, sender->error->message);
  nccl->detach (state, sender->rank);
  pw__cuda_event_free (event);
}

static void *
sender_main (void *data) {
  Sender *sender = data;
  PwStream *compute = pw__cuda_stream_new (sender->rank, &sender->error);
  g_assert_no_error (sender->error);
  void *memory = pw__cuda_alloc (compute, 128, NULL);
  pw__cuda_zero (compute, memory, 128, NULL);
  pw_transport_nccl.attach (sender->state, sender->rank, compute, &sender->error);
  g_assert_no_error (sender->error);
  send_then_receive (sender, compute, memory);
  pw__cuda_free (compute, memory);
  pw__cuda_stream_free (compute);
  return NULL;
}

static PwTransportState *
open_ring (const NcclCase *nccl) {
  PwTransportSetup setup = { .edges = nccl->edges,
                             .placement = nccl->placement,
                             .policy = nccl->policy,
                             .timeout_s = nccl->timeout_s,
                             .backend = &nccl_backend };
  g_autoptr (GError) error = NULL;
  PwTransportState *state = pw_transport_nccl.open (&setup, &error);
  g_assert_no_error (error);
  return state;
}

/* CHANNELS[r] leads from rank r to the next. The error is that of who waited too long. */
static GError *
run_ring (const NcclCase *nccl, const PwChannel *channels, gboolean is_grouped) {
  int n = nccl->placement->ranks;
  PwTransportState *state = open_ring (nccl);
  Sender senders[3];
  pthread_t threads[3];
  GError *late = NULL;
  for (int r = 0; r < n; r++) {
    senders[r] = (Sender){ .state = state,
                           .rank = r,
                           .out = channels[r],
                           .in = channels[(r + n - 1) % n],
                           .timeout_s = nccl->timeout_s,
                           .is_grouped = is_grouped };
    pthread_create (&threads[r], NULL, sender_main, &senders[r]);
  }
  for (int r = 0; r < n; r++)
    pthread_join (threads[r], NULL);
  for (int r = 1; r < n; r++)
    g_assert_cmpint (senders[r].error != NULL, ==, senders[0].error != NULL);
  for (int r = 0; r < n; r++) {
    if (!late && senders[r].error && senders[r].error->code == PW_EXEC_ERROR_TIMEOUT)
      late = g_steal_pointer (&senders[r].error);
    g_clear_error (&senders[r].error);
  }
  pw_transport_nccl.close (state);
  return late;
}

static void
check_ring (NcclCase *nccl, const PwChannel *channels, gboolean is_grouped, gboolean hangs) {
  nccl->timeout_s = hangs ? 0.5 : 60;
  g_autoptr (GError) error = run_ring (nccl, channels, is_grouped);
  g_assert_cmpint (error != NULL, ==, hangs);
  if (!hangs)
    return;
  g_assert_nonnull (strstr (error->message, " of edge "));
  g_assert_nonnull (strstr (error->message, " (stage "));
  g_assert_true (g_str_has_suffix (error->message, "no answer within 0.5 s"));
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
  static const PwChannel channels[] = { { .edge = 0 }, { .edge = 0, .is_backward = TRUE } };
  for (int devices = 1; devices <= 2; devices++)
    for (int is_grouped = 0; is_grouped < 2; is_grouped++)
      for (PwPolicy policy = PW_POLICY_SHARED_STREAM; policy < PW_POLICY_N; policy++) {
        set_machine (devices);
        g_autoptr (NcclCase) nccl = pair_case (policy);
        check_ring (nccl, channels, is_grouped, !checker_says (policy, is_grouped));
      }
}

/* 0 to 1, 1 to 2, and 2 to 0 the gradient of a skip: only one queue per rank makes a circle, also
 * where it orders several communicators. */
static void
three_in_a_circle (void) {
  static const PwStageEdge edges[] = { { .producer = 0, .consumer = 1 },
                                       { .producer = 0, .consumer = 2, .tensor = 1 },
                                       { .producer = 1, .consumer = 2 } };
  static const PwChannel channels[]
      = { { .edge = 0 }, { .edge = 2 }, { .edge = 1, .is_backward = TRUE } };
  for (int devices = 1; devices <= 3; devices++)
    for (int is_grouped = 0; is_grouped < 2; is_grouped++)
      for (PwPolicy policy = PW_POLICY_SHARED_STREAM; policy < PW_POLICY_N; policy++) {
        set_machine (devices);
        g_autoptr (NcclCase) nccl = nccl_case_new (
            pw_stage_edges_new (3, edges, 3), pw_placement_new (PW_PLACEMENT_LOOP, 3, 3), policy);
        check_ring (nccl, channels, is_grouped, policy == PW_POLICY_SHARED_STREAM && !is_grouped);
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
  g_test_add_func ("/device/nccl-transport/a-circle-of-sends-hangs-in-one-queue-per-rank",
                   three_in_a_circle);
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
