#include "exec/exec_private.h"
#include "exec/profile_private.h"

#define SMALL_BYTES 8
#define LARGE_BYTES (1 << 20)
#define SMALL_TRIPS 200
#define LARGE_TRIPS 40
#define TIMEOUT_S 60

typedef struct {
  const PwTransport *transport;
  PwTransportState *state;
  const PwBackend *backend;
  const PwPinning *pinning;
  int rank;
  PwStream *stream;
  char *to, *from;
  double trips[SMALL_TRIPS + LARGE_TRIPS]; /* seconds there and back, rank 0's */
  GError *error;
} End;

/* The other end is answered when the data is there, which on a device is later than `wait`. */
static gboolean
finish (End *end, PwRequest *request) {
  return request && end->transport->wait (end->state, end->rank, request, end->stream, &end->error)
         && end->backend->stream_synchronize (end->stream, &end->error);
}

static gboolean
send (End *end, gsize bytes) {
  PwChannel channel = { .is_backward = end->rank == 1 };
  return finish (end, end->transport->post_send (end->state, end->rank, channel, end->to, bytes,
                                                 NULL, &end->error));
}

static gboolean
receive (End *end, gsize bytes) {
  PwChannel channel = { .is_backward = end->rank == 0 };
  return finish (end, end->transport->post_recv (end->state, end->rank, channel, end->from, bytes,
                                                 NULL, &end->error));
}

static gboolean
exchange (End *end) {
  for (int i = 0; i < SMALL_TRIPS + LARGE_TRIPS; i++) {
    gsize bytes = i < SMALL_TRIPS ? SMALL_BYTES : LARGE_BYTES;
    double start = pw__now_s ();
    if (!(end->rank == 0 ? send (end, bytes) && receive (end, bytes)
                         : receive (end, bytes) && send (end, bytes)))
      return FALSE;
    end->trips[i] = pw__now_s () - start;
  }
  return TRUE;
}

static char *
take_buffer (End *end) {
  char *buffer = end->backend->alloc (end->stream, LARGE_BYTES, &end->error);
  if (buffer)
    end->backend->zero (end->stream, buffer, LARGE_BYTES, NULL);
  return buffer;
}

static void *
to_and_fro (void *data) {
  End *end = data;
  pw__pinning_apply (end->pinning, end->rank);
  end->stream = end->backend->stream_new (end->rank, &end->error);
  end->to = end->stream ? take_buffer (end) : NULL;
  end->from = end->to ? take_buffer (end) : NULL;
  gboolean is_attached
      = end->from && end->backend->stream_synchronize (end->stream, &end->error)
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
    code = pthread_create (&threads[n], NULL, to_and_fro, &ends[n]);
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

gboolean
pw__profile_link (const PwBackend *backend, const PwTransport *transport, PwLink *link,
                  GError **error) {
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
  for (int r = 0; r < 2; r++) {
    ends[r] = (End){
      .transport = transport, .state = state, .backend = backend, .pinning = pinning, .rank = r
    };
  }
  gboolean good = run_both (ends, error);
  if (good) {
    double small = pw__median (ends[0].trips, SMALL_TRIPS) / 2;
    double large = pw__median (ends[0].trips + SMALL_TRIPS, LARGE_TRIPS) / 2;
    link->latency_s = small;
    link->bandwidth = large > small ? LARGE_BYTES / (large - small) : 0;
  }
  for (int r = 0; r < 2; r++)
    clear_end (&ends[r]);
  g_free (ends);
  pw__pinning_free (pinning);
  transport->close (state);
  return good;
}
