/* Queues of messages: who may be handed to NCCL, and how.
 *
 *   lane of rank 0   [ send a ][ group: send b, receive c ][ send d ]
 *   lane of rank 1   [ receive a ][ ...
 *
 * A member of an entry is handed over once the entry is at the head of that member's lane and, if
 * the other end is on the same device, its mate is at the head of its own. The entry leaves all its
 * lanes when all its members are handed over; what follows in any of them waits for all of them.
 * From then on streams and events keep the order, and no thread waits. Everything here is done
 * under the device's mutex: a thread may move another rank's lanes. */
#include "exec/nccl_private.h"

#include "kernels/cuda/handles.h"

/* Who moves the queues. */
typedef struct {
  PwTransportState *state;
  PwNcclRank *rank;
} Mover;

static gboolean
is_at_head (const PwRequest *request) {
  const PwNcclLane *lane = request->end->lane;
  return lane->first && lane->first->entry == request->entry;
}

static gboolean
is_pending (const PwRequest *request) {
  return atomic_load_explicit (&request->state, memory_order_relaxed) == PW_NCCL_PENDING;
}

static void
set_due (PwNcclDevice *device, PwNcclLane *lane) {
  if (lane->is_due)
    return;
  lane->is_due = TRUE;
  lane->next_due = device->due;
  device->due = lane;
}

/* ---- Streams ---- */

/* The port's stream comes after what the lane has done so far. */
static gboolean
follow_lane (const PwNcclEnd *end, GError **error) {
  PwNcclLane *lane = end->lane;
  return lane->stream == end->port->stream
         || (pw__nccl_check_cuda ("record an event", cudaEventRecord (lane->order, lane->stream),
                                  error)
             && pw__nccl_check_cuda ("wait for an event",
                                     cudaStreamWaitEvent (end->port->stream, lane->order, 0),
                                     error));
}

static gboolean
wait_for_buffer (const PwRequest *request, GError **error) {
  return follow_lane (request->end, error)
         && (!request->ready
             || pw__nccl_check_cuda (
                 "wait for a buffer",
                 cudaStreamWaitEvent (request->end->port->stream, request->ready, 0), error));
}

/* The event comes last: of a graph, who waits for it has waited for all. */
static gboolean
record (const Mover *mover, const PwRequest *request, cudaEvent_t event, PwEvent *stamp,
        GError **error) {
  cudaStream_t stream = request->end->port->stream;
  return (!stamp || pw_cuda_timestamp_record (stamp, mover->rank->compute, stream, error))
         && pw__nccl_check_cuda ("record an event", cudaEventRecord (event, stream), error);
}

static gboolean
record_start (const Mover *mover, const PwRequest *request, GError **error) {
  return record (mover, request, request->started, request->stamp_begin, error);
}

static gboolean
lane_waits (const PwNcclLane *lane, const PwRequest *request, GError **error) {
  return lane->stream == request->end->port->stream
         || pw__nccl_check_cuda ("wait for a transfer",
                                 cudaStreamWaitEvent (lane->stream, request->done, 0), error);
}

static gboolean
finish (const Mover *mover, PwRequest *request, GError **error) {
  if (!record (mover, request, request->done, request->stamp_end, error)
      || !lane_waits (request->end->lane, request, error))
    return FALSE;
  request->entry->n_pending--;
  atomic_store (&request->state, PW_NCCL_ISSUED);
  return TRUE;
}

/* ---- Entries ---- */

static void
leave_lane (PwNcclDevice *device, PwNcclLane *lane) {
  lane->first = lane->first->next_in_lane;
  if (!lane->first)
    lane->last = NULL;
  set_due (device, lane);
}

/* All members are handed over. */
static gboolean
leave (PwNcclDevice *device, PwRequest *entry, GError **error) {
  for (PwRequest *a = entry; a; a = a->next_member)
    for (const PwRequest *b = entry; b; b = b->next_member)
      if (a->end->lane != b->end->lane && atomic_load (&b->state) == PW_NCCL_ISSUED
          && !lane_waits (a->end->lane, b, error))
        return FALSE;
  for (PwRequest *member = entry; member; member = member->next_member)
    if (is_at_head (member))
      leave_lane (device, member->end->lane);
  return TRUE;
}

/* ---- To another device ---- */

static ncclResult_t
call (const PwRequest *request) {
  const PwNcclEnd *end = request->end;
  return end->is_send ? ncclSend (request->buffer, request->bytes, ncclUint8, end->peer_in_port,
                                  end->port->comm, end->port->stream)
                      : ncclRecv (request->buffer, request->bytes, ncclUint8, end->peer_in_port,
                                  end->port->comm, end->port->stream);
}

static gboolean
is_ready_to_leave_device (const PwRequest *request) {
  return !request->end->mate && is_pending (request) && is_at_head (request);
}

static gboolean
call_all (PwRequest *entry, GError **error) {
  ncclResult_t result = ncclSuccess;
  gboolean is_group = entry->next_member != NULL;
  if (is_group)
    ncclGroupStart ();
  for (PwRequest *m = entry; m; m = m->next_member)
    if (is_ready_to_leave_device (m)) {
      ncclResult_t code = call (m);
      result = code != ncclSuccess && code != ncclInProgress ? code : result;
    }
  ncclResult_t end = is_group ? ncclGroupEnd () : ncclSuccess;
  return pw__nccl_check ("a transfer", entry->end->port->comm, result, error)
         && pw__nccl_check ("transfers", entry->end->port->comm, end, error);
}

/* What can go becomes one group: NCCL makes one launch of it per communicator. */
static gboolean
issue_to_others (const Mover *mover, PwRequest *entry, GError **error) {
  double deadline_s = pw__nccl_deadline (mover->state);
  gboolean any = FALSE;
  for (PwRequest *m = entry; m; m = m->next_member)
    if (is_ready_to_leave_device (m)) {
      any = TRUE;
      if (!wait_for_buffer (m, error))
        return FALSE;
    }
  if (!any)
    return TRUE;
  for (PwRequest *m = entry; m; m = m->next_member)
    if (is_ready_to_leave_device (m) && !record_start (mover, m, error))
      return FALSE;
  if (!call_all (entry, error))
    return FALSE;
  for (PwRequest *m = entry; m; m = m->next_member)
    if (is_ready_to_leave_device (m)
        && (!pw__nccl_settle (mover->state, "a transfer", m->end->port->comm, deadline_s, error)
            || !finish (mover, m, error)))
      return FALSE;
  return TRUE;
}

/* ---- On one device ---- */

static PwRequest *
take_first (PwNcclEnd *end) {
  PwRequest *first = end->first;
  end->first = first->next_at_end;
  if (!end->first)
    end->last = NULL;
  return first;
}

static gboolean
transfer (const Mover *mover, PwRequest *send, PwRequest *receive, GError **error) {
  if (!wait_for_buffer (send, error) || !wait_for_buffer (receive, error)
      || !record_start (mover, send, error) || !record_start (mover, receive, error))
    return FALSE;
  ncclComm_t comm = send->end->port->comm;
  ncclGroupStart ();
  ncclResult_t first = call (send), second = call (receive), end = ncclGroupEnd ();
  return pw__nccl_check ("a send to the same device", comm, first, error)
         && pw__nccl_check ("a receive from the same device", comm, second, error)
         && pw__nccl_check ("a transfer on one device", comm, end, error)
         && finish (mover, send, error) && finish (mover, receive, error);
}

static void
mismatch (PwRequest *request) {
  request->entry->n_pending--;
  atomic_store (&request->state, PW_NCCL_MISMATCH);
}

static gboolean
issue_with_mate (const Mover *mover, PwRequest *request, gboolean *issued, GError **error) {
  PwNcclEnd *end = request->end;
  PwRequest *mate = end->mate->first;
  *issued = FALSE;
  if (end->first != request || !mate || !is_at_head (request) || !is_at_head (mate))
    return TRUE;
  *issued = TRUE;
  take_first (end);
  take_first (end->mate);
  if (request->bytes != mate->bytes) {
    mismatch (request);
    mismatch (mate);
  } else if (!transfer (mover, end->is_send ? request : mate, end->is_send ? mate : request,
                        error)) {
    return FALSE;
  }
  return mate->entry->n_pending > 0 || mate->entry == request->entry
         || leave (mover->rank->device, mate->entry, error);
}

static gboolean
issue_on_device (const Mover *mover, PwRequest *entry, GError **error) {
  gboolean any = FALSE;
  for (PwRequest *m = entry; m; m = m->next_member) {
    gboolean issued = FALSE;
    if (m->end->mate && is_pending (m) && !issue_with_mate (mover, m, &issued, error))
      return FALSE;
    any |= issued;
  }
  if (any)
    pthread_cond_broadcast (&mover->rank->device->issued);
  return TRUE;
}

/* ---- Moving on ---- */

static gboolean
move (const Mover *mover, PwRequest *entry, GError **error) {
  if (!issue_to_others (mover, entry, error) || !issue_on_device (mover, entry, error))
    return FALSE;
  return entry->n_pending > 0 || leave (mover->rank->device, entry, error);
}

static gboolean
move_all (const Mover *mover, GError **error) {
  PwNcclDevice *device = mover->rank->device;
  while (device->due) {
    PwNcclLane *lane = device->due;
    device->due = lane->next_due;
    lane->is_due = FALSE;
    PwRequest *entry = lane->first ? lane->first->entry : NULL;
    if (entry && !move (mover, entry, error)) {
      g_autofree char *where = pw__nccl_describe (mover->state, entry->end);
      if (!atomic_load (&mover->state->is_stopped))
        g_prefix_error (error, "%s: ", where);
      return FALSE;
    }
  }
  return TRUE;
}

static void
add_to_lane (PwNcclDevice *device, PwRequest *request) {
  PwNcclLane *lane = request->end->lane;
  if (lane->last && lane->last->entry == request->entry)
    return; /* by another member */
  if (lane->last)
    lane->last->next_in_lane = request;
  else
    lane->first = request;
  lane->last = request;
  set_due (device, lane);
}

static void
add_to_end (PwRequest *request) {
  PwNcclEnd *end = request->end;
  if (end->last)
    end->last->next_at_end = request;
  else
    end->first = request;
  end->last = request;
}

gboolean
pw__nccl_enqueue (PwTransportState *state, int r, PwRequest *entry, GError **error) {
  Mover mover = { .state = state, .rank = &state->ranks[r] };
  PwNcclDevice *device = mover.rank->device;
  pthread_mutex_lock (&device->mutex);
  for (PwRequest *m = entry; m; m = m->next_member) {
    entry->n_pending++;
    add_to_lane (device, m);
    if (m->end->mate)
      add_to_end (m);
  }
  gboolean good = pw__nccl_is_running (state, entry->end, error) && move_all (&mover, error);
  pthread_mutex_unlock (&device->mutex);
  return good;
}
