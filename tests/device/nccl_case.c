#include "tests/device/nccl_case.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "exec/bootstrap_socket_private.h"
#include "exec/waiting_private.h"

#define IN_FLIGHT_MAX 8
#define BYTES_MAX 2000

const PwBackend nccl_backend = {
  .name = "cuda",
  .stream_new = pw__cuda_stream_new,
  .stream_free = pw__cuda_stream_free,
};

typedef struct {
  const NcclMessage *message;
  PwRequest *request;
  void *buffer, *host;
  PwEvent *event;
  PwEvent *begin, *end; /* when it was transferred, of some */
  gboolean is_send;
} Flight;

/* A process, or the part of one that a test takes for it. */
typedef struct {
  NcclCase *nccl;
  int number, port;
  PwBootstrap *bootstrap;
  PwTransportState *state;
} Process;

typedef struct {
  NcclCase *nccl;
  Process *process;
  int rank;
  PwStream *compute;
  GRand *random;
  GArray *flights; /* Flight */
  guint n_waited;
  gboolean is_attached;
  GError *error;
} Rank;

/* ---- A case ---- */

NcclCase *
nccl_case_new (PwStageEdges *edges, PwPlacement *placement, PwPolicy policy) {
  NcclCase *nccl = g_new0 (NcclCase, 1);
  nccl->edges = edges;
  nccl->placement = placement;
  nccl->policy = policy;
  nccl->timeout_s = 60;
  nccl->messages = g_array_new (FALSE, FALSE, sizeof (NcclMessage));
  nccl->seed = (guint32)g_test_rand_int ();
  nccl->processes = 1;
  nccl->fault_rank = -1;
  return nccl;
}

void
nccl_case_free (NcclCase *nccl) {
  pw_stage_edges_free (nccl->edges);
  pw_placement_free (nccl->placement);
  g_array_free (nccl->messages, TRUE);
  g_free (nccl);
}

void
nccl_case_fill (NcclCase *nccl, int n) {
  PwChannels *channels = pw__channels_new (nccl->edges, nccl->placement);
  for (int i = 0, group = 0; i < n;) {
    const PwChannelEnds *ends = &channels->ends[g_test_rand_int_range (0, channels->n)];
    if (ends->sender == ends->receiver)
      continue;
    NcclMessage message = { .channel = ends->channel,
                            .sender = ends->sender,
                            .receiver = ends->receiver,
                            .bytes = (gsize)g_test_rand_int_range (1, BYTES_MAX),
                            .seed = (guint32)g_test_rand_int (),
                            .group = group };
    g_array_append_val (nccl->messages, message);
    group += g_test_rand_int_range (0, 3) > 0;
    i++;
  }
  pw__channels_free (channels);
}

/* ---- A rank ---- */

static guint8
byte_at (const NcclMessage *message, gsize i) {
  return (guint8)((message->seed + (guint32)i * 2654435761u) >> 24);
}

static gboolean
start_send (Rank *rank, Flight *flight, GError **error) {
  const NcclMessage *message = flight->message;
  g_autofree guint8 *bytes = g_malloc (message->bytes);
  for (gsize i = 0; i < message->bytes; i++)
    bytes[i] = byte_at (message, i);
  if (!pw__cuda_copy_from_host (rank->compute, flight->buffer, bytes, message->bytes, error)
      || !pw__cuda_event_record (flight->event, rank->compute, error))
    return FALSE;
  flight->request
      = pw_transport_nccl.post_send (rank->process->state, rank->rank, message->channel,
                                     flight->buffer, message->bytes, flight->event, error);
  return flight->request != NULL;
}

static gboolean
start_receive (Rank *rank, Flight *flight, GError **error) {
  const NcclMessage *message = flight->message;
  if (!pw__cuda_zero (rank->compute, flight->buffer, message->bytes, error)
      || !pw__cuda_event_record (flight->event, rank->compute, error))
    return FALSE;
  flight->host = g_malloc0 (message->bytes);
  flight->request
      = pw_transport_nccl.post_recv (rank->process->state, rank->rank, message->channel,
                                     flight->buffer, message->bytes, flight->event, error);
  return flight->request != NULL;
}

static gboolean
start (Rank *rank, const NcclMessage *message, GError **error) {
  Flight flight = { .message = message, .is_send = message->sender == rank->rank };
  flight.buffer = pw__cuda_alloc (rank->compute, message->bytes, error);
  flight.event = pw__cuda_event_new (error);
  if (g_rand_int_range (rank->random, 0, 3) == 0) {
    flight.begin = pw__cuda_event_new (error);
    flight.end = pw__cuda_event_new (error);
    pw_transport_nccl.stamp (rank->process->state, rank->rank, flight.begin, flight.end);
  }
  gboolean good = flight.buffer
                  && (flight.is_send ? start_send (rank, &flight, error)
                                     : start_receive (rank, &flight, error));
  g_array_append_val (rank->flights, flight);
  return good;
}

/* What was sent may be overwritten from here on, what was received be read. */
static gboolean
finish (Rank *rank, Flight *flight, GError **error) {
  PwRequest *request = g_steal_pointer (&flight->request);
  gsize bytes = flight->message->bytes;
  if (!request)
    return TRUE;
  rank->n_waited++;
  if (!pw_transport_nccl.wait (rank->process->state, rank->rank, request, rank->compute, error))
    return FALSE;
  if (flight->is_send)
    return pw__cuda_zero (rank->compute, flight->buffer, bytes, error);
  return pw__cuda_copy_to_host (rank->compute, flight->host, flight->buffer, bytes, error)
         && pw__cuda_zero (rank->compute, flight->buffer, bytes, error);
}

static gboolean
finish_some (Rank *rank, GError **error) {
  guint n = rank->flights->len;
  while (n - rank->n_waited > IN_FLIGHT_MAX)
    for (guint i = 0; i < n; i++)
      if (g_rand_boolean (rank->random)
          && !finish (rank, &g_array_index (rank->flights, Flight, i), error))
        return FALSE;
  return TRUE;
}

static guint
members_of_group (const Rank *rank, guint at) {
  const NcclMessage *messages = (const NcclMessage *)(void *)rank->nccl->messages->data;
  guint n = 0;
  for (guint i = at; i < rank->nccl->messages->len && messages[i].group == messages[at].group; i++)
    n += messages[i].sender == rank->rank || messages[i].receiver == rank->rank;
  return n;
}

static gboolean
start_group (Rank *rank, guint *at, GError **error) {
  const NcclMessage *messages = (const NcclMessage *)(void *)rank->nccl->messages->data;
  PwTransportState *state = rank->process->state;
  gboolean is_group = members_of_group (rank, *at) > 1, good = TRUE;
  int group = messages[*at].group;
  if (is_group)
    pw_transport_nccl.group_begin (state, rank->rank);
  for (; *at < rank->nccl->messages->len && messages[*at].group == group; (*at)++)
    if (good && (messages[*at].sender == rank->rank || messages[*at].receiver == rank->rank))
      good = start (rank, &messages[*at], error);
  if (!is_group)
    return good;
  return pw_transport_nccl.group_end (state, rank->rank, good ? error : NULL) && good;
}

/* Like the executor: looks for errors while the device is busy, and has a limit of its own. */
static gboolean
wait_for_device (Rank *rank, GError **error) {
  double deadline_s = pw__now_s () + rank->nccl->timeout_s;
  while (cudaStreamQuery (rank->compute->stream) == cudaErrorNotReady) {
    gboolean late = pw__now_s () > deadline_s;
    if (!pw_transport_nccl.check (rank->process->state, rank->rank, late, error))
      return FALSE;
    g_assert_false (late);
    g_usleep (200);
  }
  return pw_transport_nccl.check (rank->process->state, rank->rank, FALSE, error);
}

static gboolean
exchange (Rank *rank, GError **error) {
  PwTransportState *state = rank->process->state;
  for (guint i = 0; i < rank->nccl->messages->len;) {
    pw_transport_nccl.progress (state, rank->rank);
    if (!start_group (rank, &i, error) || !finish_some (rank, error))
      return FALSE;
  }
  for (guint i = 0; i < rank->flights->len; i++)
    if (!finish (rank, &g_array_index (rank->flights, Flight, i), error))
      return FALSE;
  return wait_for_device (rank, error) && pw__cuda_stream_synchronize (rank->compute, error);
}

static gboolean
has_arrived (const Flight *flight) {
  for (gsize i = 0; !flight->is_send && i < flight->message->bytes; i++)
    if (((guint8 *)flight->host)[i] != byte_at (flight->message, i))
      return FALSE;
  return TRUE;
}

/* Both stamps, in their order. */
static gboolean
is_stamped (const Flight *flight) {
  double begin_s, end_s;
  return !flight->begin
         || (pw__cuda_timestamp_read (flight->begin, &begin_s, NULL)
             && pw__cuda_timestamp_read (flight->end, &end_s, NULL) && begin_s <= end_s);
}

static gboolean
look_at_all (Rank *rank, GError **error) {
  for (guint i = 0; i < rank->flights->len; i++)
    if (!is_stamped (&g_array_index (rank->flights, Flight, i))
        || !has_arrived (&g_array_index (rank->flights, Flight, i))) {
      g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA, "rank %d, message %u is wrong",
                   rank->rank, i);
      return FALSE;
    }
  return TRUE;
}

static void
run_rank (Rank *rank) {
  rank->compute = pw__cuda_stream_new (rank->rank, &rank->error);
  g_assert_no_error (rank->error);
  PwTransportState *state = rank->process->state;
  rank->is_attached = pw_transport_nccl.attach (state, rank->rank, rank->compute, &rank->error);
  if (!rank->is_attached)
    return;
  if (rank->rank == rank->nccl->fault_rank)
    pw_fake_nccl_fault (rank->compute->device, 3, rank->nccl->fault);
  if (!exchange (rank, &rank->error) || !look_at_all (rank, &rank->error))
    pw_transport_nccl.abort (state, rank->error->message);
  pw_transport_nccl.detach (state, rank->rank);
}

static void *
rank_main (void *data) {
  Rank *rank = data;
  run_rank (rank);
  for (guint i = 0; i < rank->flights->len; i++) {
    Flight *flight = &g_array_index (rank->flights, Flight, i);
    if (flight->buffer)
      pw__cuda_free (rank->compute, flight->buffer);
    pw__cuda_event_free (flight->event);
    pw__cuda_event_free (flight->begin);
    pw__cuda_event_free (flight->end);
  }
  pw__cuda_stream_free (rank->compute);
  for (guint i = 0; i < rank->flights->len; i++)
    g_free (g_array_index (rank->flights, Flight, i).host);
  return NULL;
}

/* ---- Processes ---- */

static int
free_port (void) {
  g_autoptr (GError) error = NULL;
  int fd = pw__socket_listen (0, &error);
  g_assert_no_error (error);
  int port = pw__socket_port (fd);
  close (fd);
  return port;
}

static void
open_process (Process *process) {
  g_autoptr (GError) error = NULL;
  NcclCase *nccl = process->nccl;
  PwBootstrapPlace place = { .rank = process->number,
                             .size = nccl->processes,
                             .address = (char *)"127.0.0.1",
                             .port = process->port };
  if (nccl->processes > 1) {
    process->bootstrap = pw_bootstrap_new_tcp (&place, nccl->timeout_s, &error);
    g_assert_no_error (error);
  }
  PwTransportSetup setup = { .edges = nccl->edges,
                             .placement = nccl->placement,
                             .policy = nccl->policy,
                             .timeout_s = nccl->timeout_s,
                             .backend = &nccl_backend,
                             .bootstrap = process->bootstrap };
  process->state = pw_transport_nccl.open (&setup, &error);
  g_assert_no_error (error);
}

static void
run_ranks (Process *process, Rank *ranks, int n) {
  g_autofree pthread_t *threads = g_new (pthread_t, (gsize)n);
  for (int i = 0; i < n; i++)
    pthread_create (&threads[i], NULL, rank_main, &ranks[i]);
  for (int i = 0; i < n; i++)
    pthread_join (threads[i], NULL);
  pw_transport_nccl.close (process->state);
  if (process->bootstrap)
    pw_bootstrap_free (process->bootstrap);
}

typedef struct {
  Process process;
  Rank *ranks;
  int n;
} Part;

static void *
process_main (void *data) {
  Part *part = data;
  open_process (&part->process);
  run_ranks (&part->process, part->ranks, part->n);
  return NULL;
}

static void
rank_init (Rank *rank, NcclCase *nccl, Process *process, int number) {
  *rank = (Rank){ .nccl = nccl, .process = process, .rank = number };
  rank->random = g_rand_new_with_seed (nccl->seed + (guint32)number);
  rank->flights = g_array_new (FALSE, FALSE, sizeof (Flight));
}

static void
rank_clear (Rank *rank, NcclOutcome *outcome) {
  outcome->error = g_steal_pointer (&rank->error);
  g_rand_free (rank->random);
  g_array_free (rank->flights, TRUE);
}

void
nccl_case_run (NcclCase *nccl, NcclOutcome *outcomes) {
  int n = nccl->placement->ranks, per = n / nccl->processes;
  int port = nccl->processes > 1 ? free_port () : 0;
  g_autofree Rank *ranks = g_new0 (Rank, (gsize)n);
  g_autofree Part *parts = g_new0 (Part, (gsize)nccl->processes);
  g_autofree pthread_t *threads = g_new (pthread_t, (gsize)nccl->processes);
  for (int p = 0; p < nccl->processes; p++) {
    parts[p] = (Part){ .process = { .nccl = nccl, .number = p, .port = port },
                       .ranks = &ranks[p * per],
                       .n = per };
    for (int i = 0; i < per; i++)
      rank_init (&ranks[p * per + i], nccl, &parts[p].process, p * per + i);
    pthread_create (&threads[p], NULL, process_main, &parts[p]);
  }
  for (int p = 0; p < nccl->processes; p++)
    pthread_join (threads[p], NULL);
  for (int r = 0; r < n; r++)
    rank_clear (&ranks[r], &outcomes[r]);
  g_assert_cmpint (pw_fake_live_streams (), ==, 0);
  g_assert_cmpint (pw_fake_live_events (), ==, 0);
  g_assert_cmpint (pw_fake_live_allocations (), ==, 0);
}

void
nccl_case_check (NcclCase *nccl) {
  g_autofree NcclOutcome *outcomes = g_new0 (NcclOutcome, (gsize)nccl->placement->ranks);
  nccl_case_run (nccl, outcomes);
  for (int r = 0; r < nccl->placement->ranks; r++)
    g_assert_no_error (outcomes[r].error);
}
