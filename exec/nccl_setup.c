/* A rank's communicators: made, tried and ended.
 *
 * Each rank goes through its communicators in ascending order, WINDOW of them at a time: of all
 * that are not ready the lowest is within the window of each of its members, so no two ranks wait
 * for each other. NCCL connects two ranks at their first message; so that this happens now, each
 * channel carries a first message here. */
#include <string.h>

#include "exec/nccl_private.h"

#define WINDOW 32
#define SLOWER 10 /* than a message may be: libraries are started, connections made */

static double
deadline (const PwTransportState *state) {
  double timeout_s = state->setup.timeout_s;
  return timeout_s > 0 ? pw__now_s () + SLOWER * timeout_s : G_MAXDOUBLE;
}

/* ---- Meeting ---- */

static gboolean
wait_to_meet (PwTransportState *state, int meeting, GError **error) {
  double deadline_s = deadline (state);
  struct timespec until = pw__timespec (MIN (deadline_s, 1e9));
  while (state->n_meetings == meeting && !atomic_load (&state->is_stopped)) {
    if (pthread_cond_timedwait (&state->met, &state->mutex, &until) == 0
        || state->n_meetings != meeting)
      continue;
    pw__nccl_set_error (state, NULL, PW_EXEC_ERROR_TIMEOUT,
                        "nccl: the other ranks did not come to make communicators", error);
    return FALSE;
  }
  return state->n_meetings != meeting || pw__nccl_is_running (state, NULL, error);
}

/* All ranks of the process come here; the last one acts for all. */
static gboolean
meet (PwTransportState *state, gboolean (*act) (PwTransportState *, GError **), GError **error) {
  g_autoptr (GError) own = NULL;
  pthread_mutex_lock (&state->mutex);
  int meeting = state->n_meetings;
  gboolean is_last = ++state->n_met == state->n_here, good = TRUE;
  if (is_last) {
    good = !act || act (state, &own);
    state->n_met = 0;
    state->n_meetings += good;
    pthread_cond_broadcast (&state->met);
  } else {
    good = wait_to_meet (state, meeting, error);
  }
  pthread_mutex_unlock (&state->mutex);
  if (own) {
    pw__nccl_stop (state, (PwExecError)own->code, TRUE, own->message);
    g_propagate_error (error, g_steal_pointer (&own));
  }
  return good;
}

/* ---- Making ---- */

static gboolean
makes (const PwTransportState *state, int r, const PwNcclPort *port) {
  const PwNcclCommunicator *communicator = &state->communicators[port->communicator];
  return !communicator->is_local || communicator->ranks[0] == r;
}

static gboolean
make_stream (cudaStream_t *stream, GError **error) {
  int least, greatest;
  /* A transfer that is ready goes before more compute, which other ranks do not wait for. */
  return pw__nccl_check_cuda ("stream priorities",
                              cudaDeviceGetStreamPriorityRange (&least, &greatest), error)
         && pw__nccl_check_cuda (
             "new stream", cudaStreamCreateWithPriority (stream, cudaStreamNonBlocking, greatest),
             error);
}

static gboolean
make_event (cudaEvent_t *event, GError **error) {
  return pw__nccl_check_cuda ("new event", cudaEventCreateWithFlags (event, cudaEventDisableTiming),
                              error);
}

/* A communicator of one rank has nobody to wait for, so it may block: its calls are cheaper. */
static gboolean
start_port (PwTransportState *state, int r, PwNcclPort *port, GError **error) {
  const PwNcclCommunicator *communicator = &state->communicators[port->communicator];
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = communicator->is_local ? 1 : 0;
  int n = communicator->is_all ? state->n_ranks : communicator->is_local ? 1 : 2;
  int number = communicator->is_all                                    ? r
               : communicator->is_local || communicator->ranks[0] == r ? 0
                                                                       : 1;
  return make_stream (&port->stream, error)
         && pw__nccl_check (
             "new communicator", NULL,
             ncclCommInitRankConfig (&port->comm, n, communicator->id, number, &config), error);
}

/* Of each channel that uses the port, to this rank's own memory. */
static ncclResult_t
post_first (PwTransportState *state, int r, const PwNcclPort *port) {
  gint32 *scratch = state->ranks[r].scratch; /* the first is sent, each other one received */
  ncclResult_t result = ncclSuccess;
  for (int i = 0; i < 2 * state->channels->n; i++) {
    const PwNcclEnd *end = &state->ends[i];
    if (end->port != port || (end->rank != r && !end->mate))
      continue;
    ncclResult_t code = end->is_send ? ncclSend (scratch, 1, ncclInt32, end->peer_in_port,
                                                 port->comm, port->stream)
                                     : ncclRecv (scratch + 1 + i, 1, ncclInt32, end->peer_in_port,
                                                 port->comm, port->stream);
    if (code != ncclSuccess && code != ncclInProgress)
      result = code;
  }
  return result;
}

static gboolean
try_port (PwTransportState *state, int r, const PwNcclPort *port, GError **error) {
  ncclGroupStart ();
  ncclResult_t code = post_first (state, r, port);
  ncclResult_t end = ncclGroupEnd ();
  return pw__nccl_check ("a first message", port->comm, code, error)
         && pw__nccl_check ("first messages", port->comm, end, error);
}

typedef enum { START, STARTED, TRY, TRIED, DRAINED, STEP_N } Step;

static gboolean
do_step (PwTransportState *state, int r, PwNcclPort *port, Step step, double deadline_s,
         GError **error) {
  switch (step) {
  case START:
    return start_port (state, r, port, error);
  case TRY:
    return try_port (state, r, port, error);
  case STARTED:
    return pw__nccl_settle (state, "new communicator", port->comm, deadline_s, error);
  case TRIED:
    return pw__nccl_settle (state, "first messages", port->comm, deadline_s, error);
  default:
    return pw__nccl_drain (state, "first messages", port->stream, deadline_s, error);
  }
}

static gboolean
make_window (PwTransportState *state, int r, int from, int to, GError **error) {
  double deadline_s = deadline (state);
  for (Step step = START; step < STEP_N; step++)
    for (int i = from; i < to; i++) {
      PwNcclPort *port = state->ranks[r].ports[i];
      if (makes (state, r, port) && !do_step (state, r, port, step, deadline_s, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
make_lanes (PwTransportState *state, PwNcclRank *rank, GError **error) {
  for (int i = 0; i < rank->n_lanes; i++)
    if (state->is_forked
        && (!make_stream (&rank->lanes[i].stream, error)
            || !make_event (&rank->lanes[i].order, error)))
      return FALSE;
  return TRUE;
}

static gboolean
make_ports (PwTransportState *state, int r, GError **error) {
  PwNcclRank *rank = &state->ranks[r];
  gsize bytes = sizeof (gint32) * (gsize)(2 * state->channels->n + 1);
  if (!make_lanes (state, rank, error)
      || !pw__nccl_check_cuda ("memory for first messages", cudaMalloc (&rank->scratch, bytes),
                               error))
    return FALSE;
  for (int i = 0; i < rank->n_ports; i += WINDOW)
    if (!make_window (state, r, i, MIN (i + WINDOW, rank->n_ports), error))
      return FALSE;
  /* Nobody aborts communicators that are still being made, but their maker, who looks at
   * is_stopped. */
  pthread_mutex_lock (&rank->device->mutex);
  for (int i = 0; i < rank->n_ports; i++)
    if (makes (state, r, rank->ports[i]))
      rank->ports[i]->is_open = TRUE;
  pthread_mutex_unlock (&rank->device->mutex);
  return TRUE;
}

/* After the second meeting: streams of ports are known to both their ranks. */
static void
take_streams (const PwTransportState *state, PwNcclRank *rank) {
  for (int i = 0; i < rank->n_lanes && !state->is_forked; i++)
    rank->lanes[i].stream = rank->ports[i]->stream;
}

/* ---- Ending ---- */

static void
free_requests (PwNcclRank *rank) {
  for (guint i = 0; i < rank->requests->len; i++) {
    PwRequest *request = g_ptr_array_index (rank->requests, i);
    cudaEventDestroy (request->started);
    cudaEventDestroy (request->done);
  }
  g_ptr_array_set_size (rank->requests, 0);
  rank->free = rank->first = rank->last = NULL;
}

/* Unless something has gone wrong, all members of a communicator end it together. */
static void
end_communicator (PwTransportState *state, PwNcclPort *port, double deadline_s) {
  if (port->comm && pw__nccl_settle (state, "end", port->comm, deadline_s, NULL))
    ncclCommDestroy (port->comm);
  else if (port->comm)
    ncclCommAbort (port->comm);
  port->comm = NULL;
}

static gboolean
is_local (const PwTransportState *state, const PwNcclPort *port) {
  return state->communicators[port->communicator].is_local;
}

/* Memory is freed next. What was aborted ends soon, but not at once. */
static void
drain_ports (PwTransportState *state, const PwNcclRank *rank, double deadline_s) {
  for (int i = 0; i < rank->n_ports; i++) {
    const PwNcclPort *port = rank->ports[i];
    pthread_mutex_lock (&rank->device->mutex); /* a local one may still be in the making */
    gboolean is_made = port->is_open || !is_local (state, port);
    pthread_mutex_unlock (&rank->device->mutex);
    while (is_made && port->stream && cudaStreamQuery (port->stream) == cudaErrorNotReady
           && pw__now_s () < deadline_s)
      g_usleep (100);
  }
}

static void
end_ports (PwTransportState *state, int r) {
  PwNcclRank *rank = &state->ranks[r];
  double deadline_s = MIN (deadline (state), pw__now_s () + 10);
  pthread_mutex_lock (&rank->device->mutex); /* from here on nobody else aborts them */
  for (int i = 0; i < rank->n_ports; i++)
    if (!is_local (state, rank->ports[i]))
      rank->ports[i]->is_open = FALSE;
  pthread_mutex_unlock (&rank->device->mutex);
  for (int i = 0; i < rank->n_ports && !atomic_load (&state->is_stopped); i++)
    if (!is_local (state, rank->ports[i]) && rank->ports[i]->comm)
      ncclCommFinalize (rank->ports[i]->comm);
  for (int i = 0; i < rank->n_ports; i++)
    if (!is_local (state, rank->ports[i]))
      end_communicator (state, rank->ports[i], deadline_s);
  drain_ports (state, rank, deadline_s);
  for (int i = 0; i < rank->n_ports; i++)
    if (!is_local (state, rank->ports[i]) && rank->ports[i]->stream)
      cudaStreamDestroy (g_steal_pointer (&rank->ports[i]->stream));
}

/* Two ranks have them together, and both have gone. */
void
pw__nccl_end_local_ports (PwTransportState *state) {
  for (guint i = 0; i < state->ports->len; i++) {
    PwNcclPort *port = g_ptr_array_index (state->ports, i);
    end_communicator (state, port, 0);
    if (port->stream)
      cudaStreamDestroy (g_steal_pointer (&port->stream));
  }
}

static void
end_lanes (const PwTransportState *state, PwNcclRank *rank) {
  for (int i = 0; i < rank->n_lanes && state->is_forked; i++) {
    if (rank->lanes[i].order)
      cudaEventDestroy (g_steal_pointer (&rank->lanes[i].order));
    if (rank->lanes[i].stream)
      cudaStreamDestroy (g_steal_pointer (&rank->lanes[i].stream));
  }
}

/* Sends and receives of a channel are the same number, unless the run was cut short. */
static void
check_counts (const PwTransportState *state) {
  for (int c = 0; c < state->channels->n; c++) {
    const PwNcclEnd *ends = &state->ends[2 * c];
    if (ends[0].port && ends[1].port)
      g_assert (ends[0].n_posted == ends[1].n_posted);
  }
}

static void
clean_up (PwTransportState *state, int r) {
  PwNcclRank *rank = &state->ranks[r];
  end_ports (state, r);
  end_lanes (state, rank);
  free_requests (rank);
  if (rank->scratch)
    cudaFree (g_steal_pointer (&rank->scratch));
}

void
pw__nccl_detach (PwTransportState *state, int r) {
  if (meet (state, NULL, NULL) && !atomic_load (&state->is_stopped))
    check_counts (state);
  clean_up (state, r);
}

static gboolean
find_device (PwNcclRank *rank, GError **error) {
  struct cudaDeviceProp properties;
  int device;
  if (!pw__nccl_check_cuda ("the device", cudaGetDevice (&device), error)
      || !pw__nccl_check_cuda ("properties of the device",
                               cudaGetDeviceProperties (&properties, device), error))
    return FALSE;
  memcpy (rank->uuid, properties.uuid.bytes, sizeof rank->uuid);
  return TRUE;
}

gboolean
pw__nccl_attach (PwTransportState *state, int r, PwStream *compute, GError **error) {
  PwNcclRank *rank = &state->ranks[r];
  g_assert (rank->is_here);
  rank->compute = compute;
  /* The others wait for this one: it fails with them. */
  rank->is_bad = !find_device (rank, error);
  if (!meet (state, pw__nccl_agree, rank->is_bad ? NULL : error))
    return FALSE;
  g_autoptr (GError) own = NULL;
  if (!make_ports (state, r, &own)) {
    pw__nccl_stop (state, (PwExecError)own->code, TRUE, own->message);
    g_propagate_error (error, g_steal_pointer (&own));
    clean_up (state, r);
    return FALSE;
  }
  if (!meet (state, NULL, error)) {
    clean_up (state, r);
    return FALSE;
  }
  take_streams (state, rank);
  return TRUE;
}
