/* Messages between devices by NCCL: point-to-point calls on communication streams, ordered by
 * events, so that no thread waits for a device. nccl_private.h draws what a policy's communicators
 * and streams are. */
#include "exec/nccl_private.h"
#include "kernels/cuda/handles.h"

extern const PwTransport pw_transport_nccl;

#define WAIT_SPINS 2000 /* before parking; a mate's thread is mostly about to post its end */

static PwTransportState *
alloc_state (const PwTransportSetup *setup) {
  PwTransportState *state = g_new0 (PwTransportState, 1);
  state->setup = *setup;
  state->n_ranks = setup->placement->ranks;
  state->channels = pw__channels_new (setup->edges, setup->placement);
  state->ports = g_ptr_array_new_with_free_func (g_free);
  state->ranks = g_new0 (PwNcclRank, (gsize)state->n_ranks);
  state->devices = g_new0 (PwNcclDevice, (gsize)state->n_ranks);
  pthread_mutex_init (&state->mutex, NULL);
  pthread_mutex_init (&state->reason_mutex, NULL);
  pw__cond_init (&state->met);
  for (int r = 0; r < state->n_ranks; r++) {
    pthread_mutex_init (&state->devices[r].mutex, NULL);
    pw__cond_init (&state->devices[r].issued);
    state->ranks[r].number = -1;
    state->ranks[r].requests = g_ptr_array_new_with_free_func (g_free);
  }
  return state;
}

static void
nccl_close (PwTransportState *state) {
  pw__nccl_end_local_ports (state);
  for (int r = 0; r < state->n_ranks; r++) {
    pthread_mutex_destroy (&state->devices[r].mutex);
    pthread_cond_destroy (&state->devices[r].issued);
    g_ptr_array_free (state->ranks[r].requests, TRUE);
  }
  pw__nccl_clear_layout (state);
  pw__channels_free (state->channels);
  pthread_cond_destroy (&state->met);
  pthread_mutex_destroy (&state->mutex);
  pthread_mutex_destroy (&state->reason_mutex);
  g_ptr_array_free (state->ports, TRUE);
  g_free (state->ranks);
  g_free (state->devices);
  g_free (state->reason);
  g_free (state);
}

static void
find_ranks_here (PwTransportState *state) {
  const PwBootstrap *bootstrap = state->setup.bootstrap;
  int per_process = state->n_ranks / (bootstrap ? bootstrap->size : 1);
  for (int r = 0; r < state->n_ranks; r++) {
    state->ranks[r].is_here = r / per_process == (bootstrap ? bootstrap->rank : 0);
    state->n_here += state->ranks[r].is_here;
  }
}

static PwTransportState *
nccl_open (const PwTransportSetup *setup, GError **error) {
  if (!setup->backend || !g_str_equal (setup->backend->name, "cuda")) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "transport \"nccl\" carries memory of devices, the backend \"%s\" has none",
                 setup->backend ? setup->backend->name : "cpu");
    return NULL;
  }
  PwTransportState *state = alloc_state (setup);
  if (!pw__nccl_check_processes (state, error)) {
    nccl_close (state);
    return NULL;
  }
  find_ranks_here (state);
  pw__nccl_find_ends (state);
  return state;
}

/* ---- Requests ---- */

static PwRequest *
request_new (PwNcclRank *rank, GError **error) {
  PwRequest *request = g_new0 (PwRequest, 1);
  if (!pw__nccl_check_cuda (
          "new event", cudaEventCreateWithFlags (&request->started, cudaEventDisableTiming), error)
      || !pw__nccl_check_cuda (
          "new event", cudaEventCreateWithFlags (&request->done, cudaEventDisableTiming), error)) {
    if (request->started)
      cudaEventDestroy (request->started);
    g_free (request);
    return NULL;
  }
  g_ptr_array_add (rank->requests, request);
  return request;
}

static void
append (PwNcclRank *rank, PwRequest *request) {
  if (rank->last)
    rank->last->next = request;
  else
    rank->first = request;
  rank->last = request;
}

static PwRequest *
request_take (PwNcclRank *rank, PwNcclEnd *end, void *buffer, gsize bytes, PwEvent *event,
              GError **error) {
  PwRequest *request = rank->free ? rank->free : request_new (rank, error);
  if (!request)
    return NULL;
  if (request == rank->free)
    rank->free = request->next;
  request->end = end;
  request->buffer = buffer;
  request->bytes = bytes;
  request->ready = event ? pw_cuda_event_handle (event) : NULL;
  request->stamp_begin = g_steal_pointer (&rank->stamp_begin);
  request->stamp_end = g_steal_pointer (&rank->stamp_end);
  request->entry = request;
  request->n_pending = 0;
  request->next_member = request->next_in_lane = request->next_at_end = request->next = NULL;
  request->is_waited_for = FALSE;
  request->is_captured = pw_cuda_stream_is_capturing (rank->compute);
  atomic_store_explicit (&request->state, PW_NCCL_PENDING, memory_order_relaxed);
  append (rank, request);
  return request;
}

/* Requests that were waited for and have ended, oldest first, may be used again. */
static void
recycle (PwNcclRank *rank) {
  while (rank->first && rank->first->is_waited_for
         && (rank->first->is_captured || cudaEventQuery (rank->first->done) == cudaSuccess)) {
    PwRequest *request = rank->first;
    rank->first = request->next;
    if (!rank->first)
      rank->last = NULL;
    request->next = rank->free;
    rank->free = request;
  }
}

/* ---- Posting ---- */

static PwRequest *
post (PwTransportState *state, int r, PwChannel channel, gboolean is_send, void *buffer,
      gsize bytes, PwEvent *event, GError **error) {
  PwNcclRank *rank = &state->ranks[r];
  PwNcclEnd *end
      = &state->ends[2 * pw__channels_find (state->channels, channel) + (is_send ? 0 : 1)];
  g_assert (end->rank == r && end->lane);
  if (!pw__nccl_is_running (state, end, error))
    return NULL;
  PwRequest *request = request_take (rank, end, buffer, bytes, event, error);
  if (!request)
    return NULL;
  end->n_posted++;
  if (!rank->in_group)
    return pw__nccl_enqueue (state, r, request, error) ? request : NULL;
  if (rank->group_first) {
    request->entry = rank->group_first;
    rank->group_last->next_member = request;
  } else {
    rank->group_first = request;
  }
  rank->group_last = request;
  return request;
}

static PwRequest *
nccl_post_send (PwTransportState *state, int r, PwChannel channel, const void *buffer, gsize bytes,
                PwEvent *event, GError **error) {
  return post (state, r, channel, TRUE, (void *)buffer, bytes, event, error);
}

static PwRequest *
nccl_post_recv (PwTransportState *state, int r, PwChannel channel, void *buffer, gsize bytes,
                PwEvent *event, GError **error) {
  return post (state, r, channel, FALSE, buffer, bytes, event, error);
}

static void
nccl_stamp (PwTransportState *state, int r, PwEvent *begin, PwEvent *end) {
  state->ranks[r].stamp_begin = begin;
  state->ranks[r].stamp_end = end;
}

static void
nccl_group_begin (PwTransportState *state, int r) {
  g_assert (!state->ranks[r].in_group);
  state->ranks[r].in_group = TRUE;
}

static gboolean
nccl_group_end (PwTransportState *state, int r, GError **error) {
  PwNcclRank *rank = &state->ranks[r];
  PwRequest *entry = g_steal_pointer (&rank->group_first);
  rank->group_last = NULL;
  rank->in_group = FALSE;
  return !entry || pw__nccl_enqueue (state, r, entry, error);
}

/* ---- Waiting ---- */

static gboolean
nccl_test (PwTransportState *state, int r, PwRequest *request) {
  (void)r;
  int now = atomic_load_explicit (&request->state, memory_order_acquire);
  if (request->is_captured)
    return FALSE; /* when it has ended is not known before it was waited for */
  return now == PW_NCCL_MISMATCH || atomic_load (&state->is_stopped)
         || (now == PW_NCCL_ISSUED && cudaEventQuery (request->done) != cudaErrorNotReady);
}

static gboolean
set_timeout (const PwTransportState *state, const PwNcclEnd *end, GError **error) {
  g_autofree char *words = g_strdup_printf ("no answer within %g s", state->setup.timeout_s);
  pw__nccl_set_error (state, end, PW_EXEC_ERROR_TIMEOUT, words, error);
  return FALSE;
}

static gboolean
is_held_up (PwTransportState *state, const PwRequest *request) {
  return atomic_load_explicit (&request->state, memory_order_acquire) == PW_NCCL_PENDING
         && !atomic_load (&state->is_stopped);
}

/* Until the mate on the same device is posted and both are handed over. */
static gboolean
wait_for_mate (PwTransportState *state, PwNcclRank *rank, const PwRequest *request,
               GError **error) {
  for (int i = 0; i < WAIT_SPINS && is_held_up (state, request); i++)
    continue;
  if (!is_held_up (state, request))
    return TRUE;
  struct timespec until = pw__timespec (MIN (pw__nccl_deadline (state), 1e9));
  int code = 0;
  pthread_mutex_lock (&rank->device->mutex);
  while (is_held_up (state, request) && code == 0)
    code = pthread_cond_timedwait (&rank->device->issued, &rank->device->mutex, &until);
  pthread_mutex_unlock (&rank->device->mutex);
  return !is_held_up (state, request) || set_timeout (state, request->end, error);
}

/* For callers without a stream. */
static gboolean
wait_on_host (PwTransportState *state, int r, PwRequest *request, GError **error) {
  double deadline_s = pw__nccl_deadline (state);
  for (int tries = 0; cudaEventQuery (request->done) == cudaErrorNotReady; tries++) {
    pw__nccl_poll (state, r);
    if (!pw__nccl_is_running (state, request->end, error))
      return FALSE;
    if (pw__now_s () > deadline_s)
      return set_timeout (state, request->end, error);
    if (tries > WAIT_SPINS)
      g_usleep (50);
  }
  return TRUE;
}

static gboolean
nccl_wait (PwTransportState *state, int r, PwRequest *request, PwStream *stream, GError **error) {
  PwNcclRank *rank = &state->ranks[r];
  g_assert (!rank->in_group);
  if (!wait_for_mate (state, rank, request, error)
      || !pw__nccl_is_running (state, request->end, error))
    return FALSE;
  if (atomic_load (&request->state) == PW_NCCL_MISMATCH) {
    pw__nccl_set_error (state, request->end, PW_EXEC_ERROR_DATA,
                        "the two ends disagree about the size", error);
    return FALSE;
  }
  gboolean good = stream ? pw__nccl_check_cuda (
                      "wait for a message",
                      cudaStreamWaitEvent (pw_cuda_stream_handle (stream), request->done, 0), error)
                         : wait_on_host (state, r, request, error);
  request->is_waited_for = good;
  return good;
}

static void
nccl_progress (PwTransportState *state, int r) {
  recycle (&state->ranks[r]);
  pw__nccl_poll (state, r);
}

/* One rank has the device, so nobody else moves its lanes. */
static void
nccl_abandon (PwTransportState *state, int r) {
  PwNcclRank *rank = &state->ranks[r];
  pthread_mutex_lock (&rank->device->mutex);
  for (int i = 0; i < rank->n_lanes; i++) {
    PwNcclLane *lane = &rank->lanes[i];
    lane->first = lane->last = NULL;
    lane->next_due = NULL;
    lane->is_due = FALSE;
  }
  rank->device->due = NULL;
  pthread_mutex_unlock (&rank->device->mutex);
  for (PwRequest *request = rank->first; request; request = request->next) {
    request->end->n_posted -= request->is_captured;
    request->is_waited_for = TRUE;
  }
  rank->group_first = rank->group_last = NULL;
  rank->in_group = FALSE;
  rank->stamp_begin = rank->stamp_end = NULL;
  recycle (rank);
}

static gboolean
nccl_check (PwTransportState *state, int r, gboolean late, GError **error) {
  pw__nccl_poll (state, r);
  if (!pw__nccl_is_running (state, NULL, error))
    return FALSE;
  const PwRequest *request = late ? pw__nccl_unfinished (&state->ranks[r]) : NULL;
  return !request || set_timeout (state, request->end, error);
}

const PwTransport pw_transport_nccl = {
  .name = "nccl",
  .summary = "NCCL between devices, communicators and streams as the policy says",
  .crosses_processes = TRUE,
  .open = nccl_open,
  .close = nccl_close,
  .attach = pw__nccl_attach,
  .detach = pw__nccl_detach,
  .stamp = nccl_stamp,
  .post_send = nccl_post_send,
  .post_recv = nccl_post_recv,
  .test = nccl_test,
  .wait = nccl_wait,
  .group_begin = nccl_group_begin,
  .group_end = nccl_group_end,
  .progress = nccl_progress,
  .check = nccl_check,
  .abandon = nccl_abandon,
  .abort = pw__nccl_abort,
};
