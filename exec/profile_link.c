/* Messages that go to and fro in the order of the ranks' streams, so that a device's clock is read
 * around many of them and the host waits for no device in between:
 *
 *   one way    0: send, receive   1: receive, send     a message takes half of that
 *   both ways  0: send and receive at once, 1: the same
 *
 * If both ways take as long as one, the link is full duplex. */
#include "exec/exec_private.h"
#include "exec/profile_private.h"

#define ROUNDS 4 /* the first is warm-up */
#define TRIPS_SMALL 16
#define TRIPS_LARGE 4
#define LARGE_BYTES (1 << 20)
#define TIMEOUT_S 60

static const gsize sizes[]
    = { 8, 1 << 10, 8 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20 };

typedef struct {
  const PwTransport *transport;
  PwTransportState *state;
  const PwBackend *backend;
  const PwPinning *pinning;
  int rank;
  int n_sizes;
  PwStream *stream;
  char *to, *from;
  PwEvent *sent, *received; /* after these a buffer may be used */
  PwEvent *begin, *end;
  double one_way[G_N_ELEMENTS (sizes)], both_ways[G_N_ELEMENTS (sizes)]; /* s; rank 0's */
  GError *error;
} End;

static gboolean
wait_for (End *end, PwRequest *request) {
  return request && end->transport->wait (end->state, end->rank, request, end->stream, &end->error);
}

static PwRequest *
post_send (End *end, gsize bytes) {
  PwChannel channel = { .is_backward = end->rank == 1 };
  if (!end->backend->event_record (end->sent, end->stream, &end->error))
    return NULL;
  return end->transport->post_send (end->state, end->rank, channel, end->to, bytes, end->sent,
                                    &end->error);
}

static PwRequest *
post_receive (End *end, gsize bytes) {
  PwChannel channel = { .is_backward = end->rank == 0 };
  if (!end->backend->event_record (end->received, end->stream, &end->error))
    return NULL;
  return end->transport->post_recv (end->state, end->rank, channel, end->from, bytes, end->received,
                                    &end->error);
}

static gboolean
to_and_fro (End *end, gsize bytes) {
  if (end->rank == 0)
    return wait_for (end, post_send (end, bytes)) && wait_for (end, post_receive (end, bytes));
  return wait_for (end, post_receive (end, bytes)) && wait_for (end, post_send (end, bytes));
}

static gboolean
cross (End *end, gsize bytes) {
  PwRequest *receive = post_receive (end, bytes);
  PwRequest *send = receive ? post_send (end, bytes) : NULL;
  return wait_for (end, send) && wait_for (end, receive);
}

/* Seconds of one of many; a small message before makes both ends begin together. */
static gboolean
time_round (End *end, gboolean (*trip) (End *, gsize), gsize bytes, double *seconds) {
  const PwBackend *backend = end->backend;
  int trips = bytes >= LARGE_BYTES ? TRIPS_LARGE : TRIPS_SMALL;
  double began, ended;
  if (!to_and_fro (end, sizes[0])
      || !backend->timestamp_record (end->begin, end->stream, &end->error))
    return FALSE;
  for (int i = 0; i < trips; i++)
    if (!trip (end, bytes))
      return FALSE;
  if (!backend->timestamp_record (end->end, end->stream, &end->error)
      || !backend->stream_synchronize (end->stream, &end->error)
      || !backend->timestamp_read (end->begin, &began, &end->error)
      || !backend->timestamp_read (end->end, &ended, &end->error))
    return FALSE;
  *seconds = (ended - began) / trips;
  return TRUE;
}

static gboolean
time_rounds (End *end, gboolean (*trip) (End *, gsize), gsize bytes, double *seconds) {
  double rounds[ROUNDS];
  for (int i = 0; i < ROUNDS; i++)
    if (!time_round (end, trip, bytes, &rounds[i]))
      return FALSE;
  *seconds = pw__median (rounds + 1, ROUNDS - 1);
  return TRUE;
}

static gboolean
exchange (End *end) {
  for (int i = 0; i < end->n_sizes; i++) {
    if (!time_rounds (end, to_and_fro, sizes[i], &end->one_way[i])
        || !time_rounds (end, cross, sizes[i], &end->both_ways[i]))
      return FALSE;
    end->one_way[i] /= 2;
  }
  return TRUE;
}

static char *
take_buffer (End *end) {
  gsize bytes = sizes[end->n_sizes - 1];
  char *buffer = end->backend->alloc (end->stream, bytes, &end->error);
  if (buffer)
    end->backend->zero (end->stream, buffer, bytes, NULL);
  return buffer;
}

static gboolean
open_end (End *end) {
  const PwBackend *backend = end->backend;
  return (end->stream = backend->stream_new (end->rank, &end->error))
         && (end->to = take_buffer (end)) && (end->from = take_buffer (end))
         && (end->sent = backend->event_new (&end->error))
         && (end->received = backend->event_new (&end->error))
         && (end->begin = backend->event_new (&end->error))
         && (end->end = backend->event_new (&end->error))
         && backend->stream_synchronize (end->stream, &end->error);
}

static void *
run_end (void *data) {
  End *end = data;
  pw__pinning_apply (end->pinning, end->rank);
  gboolean is_attached
      = open_end (end)
        && (!end->transport->attach
            || end->transport->attach (end->state, end->rank, end->stream, &end->error));
  if (!is_attached || !exchange (end))
    end->transport->abort (end->state, "the other end failed");
  if (is_attached && end->transport->detach)
    end->transport->detach (end->state, end->rank);
  return NULL;
}

/* After both ends are detached: the other one read from here. */
static void
clear_end (End *end) {
  PwEvent *events[] = { end->sent, end->received, end->begin, end->end };
  for (gsize i = 0; i < G_N_ELEMENTS (events); i++)
    if (events[i])
      end->backend->event_free (events[i]);
  if (end->to)
    end->backend->free (end->stream, end->to);
  if (end->from)
    end->backend->free (end->stream, end->from);
  if (end->stream)
    end->backend->stream_free (end->stream);
}

static gboolean
run_both (End ends[2], GError **error) {
  pthread_t threads[2];
  int n = 0;
  int code = 0;
  for (; n < 2 && code == 0; n++)
    code = pthread_create (&threads[n], NULL, run_end, &ends[n]);
  if (code != 0) {
    n--;
    ends[0].transport->abort (ends[0].state, "no thread");
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY, "no thread: %s", g_strerror (code));
  }
  for (int i = 0; i < n; i++)
    pthread_join (threads[i], NULL);
  for (int i = 0; i < 2; i++)
    if (ends[i].error && code == 0) {
      g_propagate_error (error, g_steal_pointer (&ends[i].error));
      code = -1;
    } else {
      g_clear_error (&ends[i].error);
    }
  return code == 0;
}

/* Clocks are coarser than the shortest messages may be. */
static double
bandwidth_of (gsize bytes, double seconds) {
  return (double)bytes / MAX (seconds, 1e-9);
}

static void
fill_in (const End *end, PwLink *link, PwMessageRates *messages) {
  pw_message_rates_clear (messages);
  for (int i = 0; i < end->n_sizes; i++) {
    double bytes = (double)sizes[i];
    pw_rates_append (&messages->one_way, bytes, bandwidth_of (sizes[i], end->one_way[i]));
    pw_rates_append (&messages->both_ways, bytes, bandwidth_of (sizes[i], end->both_ways[i]));
  }
  double small = end->one_way[0], large = end->one_way[end->n_sizes - 1];
  link->latency_s = small;
  link->bandwidth = large > small ? (double)sizes[end->n_sizes - 1] / (large - small) : 0;
}

gboolean
pw__profile_link (const PwBackend *backend, const PwTransport *transport, gsize largest_bytes,
                  PwLink *link, PwMessageRates *messages, GError **error) {
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (2);
  g_autoptr (PwPlacement) placement = pw_placement_new (PW_PLACEMENT_LOOP, 2, 2);
  PwTransportSetup setup = { .edges = edges,
                             .placement = placement,
                             .policy = PW_POLICY_DEFAULT,
                             .timeout_s = TIMEOUT_S,
                             .backend = backend };
  if (!pw__is_host_memory (backend) && transport == &pw_transport_threads)
    transport = &pw_transport_copies;
  PwTransportState *state = transport->open (&setup, error);
  if (!state)
    return FALSE;
  PwPinning *pinning = pw__pinning_new ();
  End *ends = g_new0 (End, 2);
  int n_sizes = 1;
  while (n_sizes < (int)G_N_ELEMENTS (sizes) && sizes[n_sizes] <= largest_bytes)
    n_sizes++;
  for (int r = 0; r < 2; r++) {
    ends[r] = (End){ .transport = transport,
                     .state = state,
                     .backend = backend,
                     .pinning = pinning,
                     .rank = r,
                     .n_sizes = n_sizes };
  }
  gboolean good = run_both (ends, error);
  if (good)
    fill_in (&ends[0], link, messages);
  for (int r = 0; r < 2; r++)
    clear_end (&ends[r]);
  g_free (ends);
  pw__pinning_free (pinning);
  transport->close (state);
  return good;
}
