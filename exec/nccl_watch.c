/* Errors of the NCCL transport. Its communicators do not block: what NCCL was asked to do is polled
 * for, so a peer that never comes ends in a timeout, and an abort from any thread ends it all. */
#include <sched.h>

#include "exec/nccl_private.h"

#define POLL_INTERVAL_S 1e-3
#define SPINS 200 /* before a poller sleeps */

double
pw__nccl_deadline (const PwTransportState *state) {
  return state->setup.timeout_s > 0 ? pw__now_s () + state->setup.timeout_s : G_MAXDOUBLE;
}

gboolean
pw__nccl_check_cuda (const char *what, cudaError_t code, GError **error) {
  if (code == cudaSuccess)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR,
               code == cudaErrorMemoryAllocation ? PW_EXEC_ERROR_MEMORY : PW_EXEC_ERROR_KERNEL,
               "nccl: %s: %s", what, cudaGetErrorString (code));
  return FALSE;
}

/* A peer that is gone does not answer. */
static PwExecError
error_code (ncclResult_t code) {
  return code == ncclRemoteError ? PW_EXEC_ERROR_TIMEOUT : PW_EXEC_ERROR_KERNEL;
}

gboolean
pw__nccl_check (const char *what, ncclComm_t comm, ncclResult_t code, GError **error) {
  if (code == ncclSuccess || code == ncclInProgress)
    return TRUE;
  const char *last = ncclGetLastError (comm);
  g_set_error (error, PW_EXEC_ERROR, (int)error_code (code), "nccl: %s: %s%s%s", what,
               ncclGetErrorString (code), last && *last ? ": " : "", last ? last : "");
  return FALSE;
}

/* ---- Names ---- */

char *
pw__nccl_describe (const PwTransportState *state, const PwNcclEnd *end) {
  g_autofree char *channel = pw__channels_describe (state->channels, end->channel);
  return g_strdup_printf ("rank %d, %s rank %d, %s", end->rank,
                          end->is_send ? "sending to" : "receiving from", end->peer, channel);
}

void
pw__nccl_set_error (const PwTransportState *state, const PwNcclEnd *end, PwExecError code,
                    const char *words, GError **error) {
  g_autofree char *where = end ? pw__nccl_describe (state, end) : NULL;
  g_set_error (error, PW_EXEC_ERROR, (int)code, "%s%s%s", end ? where : "", end ? ": " : "", words);
}

/* ---- Stopping ---- */

void
pw__nccl_stop (PwTransportState *state, PwExecError code, gboolean is_own_failure,
               const char *reason) {
  pthread_mutex_lock (&state->reason_mutex);
  if (!state->reason) {
    state->reason = g_strdup (reason);
    state->reason_code = code;
    state->is_own_failure = is_own_failure;
  }
  pthread_mutex_unlock (&state->reason_mutex);
  atomic_store (&state->is_stopped, 1);
  pthread_mutex_lock (&state->mutex);
  pthread_cond_broadcast (&state->met);
  pthread_mutex_unlock (&state->mutex);
  for (int r = 0; r < state->n_ranks; r++) {
    PwNcclDevice *device = &state->devices[r];
    pthread_mutex_lock (&device->mutex);
    pthread_cond_broadcast (&device->issued);
    pthread_mutex_unlock (&device->mutex);
  }
}

gboolean
pw__nccl_is_running (PwTransportState *state, const PwNcclEnd *end, GError **error) {
  if (!atomic_load (&state->is_stopped))
    return TRUE;
  pthread_mutex_lock (&state->reason_mutex);
  if (state->is_own_failure)
    g_set_error_literal (error, PW_EXEC_ERROR, (int)state->reason_code, state->reason);
  else
    pw__nccl_set_error (state, end, state->reason_code, state->reason, error);
  pthread_mutex_unlock (&state->reason_mutex);
  return FALSE;
}

void
pw__nccl_abort (PwTransportState *state, const char *reason) {
  pw__nccl_stop (state, PW_EXEC_ERROR_INTERRUPTED, FALSE, reason);
  for (int r = 0; r < state->n_ranks; r++) {
    PwNcclRank *rank = &state->ranks[r];
    if (!rank->device)
      continue;
    pthread_mutex_lock (&rank->device->mutex);
    for (int i = 0; i < rank->n_ports; i++) {
      PwNcclPort *port = rank->ports[i];
      if (port->is_open && port->comm)
        ncclCommAbort (g_steal_pointer (&port->comm));
    }
    pthread_mutex_unlock (&rank->device->mutex);
  }
}

/* ---- Polling ---- */

static gboolean
may_go_on (PwTransportState *state, const char *what, unsigned tries, double deadline_s,
           GError **error) {
  if (!pw__nccl_is_running (state, NULL, error))
    return FALSE;
  if (pw__now_s () > deadline_s) {
    g_autofree char *words = g_strdup_printf ("nccl: %s: no answer in time", what);
    pw__nccl_set_error (state, NULL, PW_EXEC_ERROR_TIMEOUT, words, error);
    return FALSE;
  }
  if (tries > SPINS)
    g_usleep (100);
  else
    sched_yield ();
  return TRUE;
}

gboolean
pw__nccl_settle (PwTransportState *state, const char *what, ncclComm_t comm, double deadline_s,
                 GError **error) {
  for (unsigned tries = 0;; tries++) {
    ncclResult_t progress = ncclSuccess;
    if (!pw__nccl_check (what, comm, ncclCommGetAsyncError (comm, &progress), error)
        || !pw__nccl_check (what, comm, progress, error))
      return FALSE;
    if (progress == ncclSuccess)
      return TRUE;
    if (!may_go_on (state, what, tries, deadline_s, error))
      return FALSE;
  }
}

gboolean
pw__nccl_drain (PwTransportState *state, const char *what, cudaStream_t stream, double deadline_s,
                GError **error) {
  for (unsigned tries = 0;; tries++) {
    cudaError_t code = cudaStreamQuery (stream);
    if (code != cudaErrorNotReady)
      return pw__nccl_check_cuda (what, code, error);
    if (!may_go_on (state, what, tries, deadline_s, error))
      return FALSE;
  }
}

/* A message whose turn has come waits for its peer; one that has not begun waits for the others. */
static const PwRequest *
unfinished (const PwNcclRank *rank, const PwNcclPort *port) {
  const PwRequest *oldest = NULL;
  for (const PwRequest *request = rank->first; request; request = request->next) {
    if ((port && request->end->port != port) || request->is_captured)
      continue;
    gboolean is_issued = atomic_load (&request->state) == PW_NCCL_ISSUED;
    if (is_issued && cudaEventQuery (request->done) != cudaErrorNotReady)
      continue;
    if (is_issued && cudaEventQuery (request->started) == cudaSuccess)
      return request;
    if (!oldest)
      oldest = request;
  }
  return oldest;
}

const PwRequest *
pw__nccl_unfinished (const PwNcclRank *rank) {
  return unfinished (rank, NULL);
}

static void
report (PwTransportState *state, const PwNcclRank *rank, const PwNcclPort *port,
        ncclResult_t result) {
  const PwRequest *request = unfinished (rank, port);
  g_autofree char *where = request ? pw__nccl_describe (state, request->end)
                                   : g_strdup_printf ("rank %d", (int)(rank - state->ranks));
  g_autofree char *reason = g_strdup_printf ("%s: NCCL: %s", where, ncclGetErrorString (result));
  pw__nccl_stop (state, result == ncclRemoteError ? PW_EXEC_ERROR_TIMEOUT : PW_EXEC_ERROR_KERNEL,
                 TRUE, reason);
}

void
pw__nccl_poll (PwTransportState *state, int r) {
  PwNcclRank *rank = &state->ranks[r];
  double now = pw__now_s ();
  if (now - rank->polled_s < POLL_INTERVAL_S || atomic_load (&state->is_stopped)
      || pthread_mutex_trylock (&rank->device->mutex) != 0)
    return;
  rank->polled_s = now;
  const PwNcclPort *failed = NULL;
  ncclResult_t result = ncclSuccess;
  for (int i = 0; i < rank->n_ports && !failed; i++) {
    ncclComm_t comm = rank->ports[i]->comm;
    if (comm && ncclCommGetAsyncError (comm, &result) == ncclSuccess && result != ncclSuccess
        && result != ncclInProgress)
      failed = rank->ports[i];
  }
  pthread_mutex_unlock (&rank->device->mutex);
  if (failed)
    report (state, rank, failed, result);
}
