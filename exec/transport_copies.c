/* Messages between ranks of one process whose buffers are on devices, on one device or on several:
 * each is a copy that the receiver enqueues, in stream order. What shares a communication stream,
 * by the policy, is a lane; both ends of a message stand in a lane of their rank:
 *
 *   sender's lane    waits for the producer | head ........................ | waits for done
 *   receiver's lane  waits for the buffer   | waits for head | copy | done  |
 *
 * A lane enqueues one entry (a message, or a batched group) after the other, and a copy only when
 * both ends are at the heads of their lanes. That is decided on the host, when the ends are posted,
 * so an order that a policy cannot carry out stops the hosts, and `wait` ends with the timeout; the
 * streams hold nothing that waits for what was not enqueued.
 *
 * One mutex guards all of it: a message costs it a few hundred nanoseconds, its copy microseconds.
 * Each rank enqueues on its own lanes only. */
#include <errno.h>

#include "exec/channels_private.h"
#include "exec/exec.h"
#include "exec/fifo_private.h"
#include "exec/waiting_private.h"

typedef enum { POSTED, AT_HEAD, COPIED, ENQUEUED, FAILED } Phase;

typedef struct Channel Channel;
typedef struct Lane Lane;
typedef struct Entry Entry;

struct PwRequest {
  PwRequest *next; /* among the channel end's free ones */
  Channel *channel;
  gboolean is_send;
  Phase phase;
  void *buffer;
  gsize bytes;
  Entry *entry;
  PwEvent *after;       /* the caller's */
  PwEvent *begin, *end; /* timestamps, the caller's; NULL: not wanted */
  PwEvent *head;        /* of a send: the sender's lane has come to it */
  PwEvent *done;        /* recorded by the receiver, for this end */
};

/* What is complete together: a message, or a group. */
struct Entry {
  GPtrArray *members; /* PwRequest */
  GPtrArray *lanes;
  int n_left;
};

struct Lane {
  PwStream *stream;
  PwFifo entries;
};

struct Channel {
  PwChannel name;
  int sender, receiver;
  Lane *lane[2];    /* [is_send] */
  PwFifo posted[2]; /* [is_send] PwRequest that were not copied yet */
  PwRequest *unused[2];
};

typedef struct {
  pthread_cond_t cond;
  GPtrArray *lanes;
  GPtrArray *unused_entries;
  Entry *group;         /* open; NULL: none */
  PwEvent *begin, *end; /* of the next message */
  GError *error;
} Rank;

struct PwTransportState {
  PwTransportSetup setup;
  PwChannels *channels;
  Channel *channel; /* [channels->n] */
  Rank *ranks;
  GPtrArray *requests, *entries; /* all of them */
  pthread_mutex_t mutex;
  char *aborted; /* why; NULL: not */
};

/* ---- Making and unmaking ---- */

static PwTransportState *
copies_open (const PwTransportSetup *setup, GError **error) {
  (void)error;
  PwTransportState *state = g_new0 (PwTransportState, 1);
  state->setup = *setup;
  state->channels = pw__channels_new (setup->edges, setup->placement);
  state->channel = g_new0 (Channel, (gsize)state->channels->n);
  for (int i = 0; i < state->channels->n; i++) {
    const PwChannelEnds *ends = &state->channels->ends[i];
    state->channel[i]
        = (Channel){ .name = ends->channel, .sender = ends->sender, .receiver = ends->receiver };
  }
  state->ranks = g_new0 (Rank, (gsize)setup->placement->ranks);
  for (int r = 0; r < setup->placement->ranks; r++) {
    pw__cond_init (&state->ranks[r].cond);
    state->ranks[r].lanes = g_ptr_array_new ();
    state->ranks[r].unused_entries = g_ptr_array_new ();
  }
  state->requests = g_ptr_array_new_with_free_func (g_free);
  state->entries = g_ptr_array_new ();
  pthread_mutex_init (&state->mutex, NULL);
  return state;
}

static void
free_events (const PwBackend *backend, PwRequest *request) {
  if (request->head)
    backend->event_free (request->head);
  if (request->done)
    backend->event_free (request->done);
}

static void
copies_close (PwTransportState *state) {
  for (guint i = 0; i < state->requests->len; i++)
    free_events (state->setup.backend, g_ptr_array_index (state->requests, i));
  for (guint i = 0; i < state->entries->len; i++) {
    Entry *entry = g_ptr_array_index (state->entries, i);
    g_ptr_array_free (entry->members, TRUE);
    g_ptr_array_free (entry->lanes, TRUE);
    g_free (entry);
  }
  for (int i = 0; i < state->channels->n; i++)
    for (int end = 0; end < 2; end++)
      pw__fifo_clear (&state->channel[i].posted[end]);
  for (int r = 0; r < state->setup.placement->ranks; r++) {
    Rank *rank = &state->ranks[r];
    pthread_cond_destroy (&rank->cond);
    g_ptr_array_free (rank->lanes, TRUE);
    g_ptr_array_free (rank->unused_entries, TRUE);
    g_clear_error (&rank->error);
  }
  pthread_mutex_destroy (&state->mutex);
  g_ptr_array_free (state->requests, TRUE);
  g_ptr_array_free (state->entries, TRUE);
  pw__channels_free (state->channels);
  g_free (state->channel);
  g_free (state->ranks);
  g_free (state->aborted);
  g_free (state);
}

static Lane *
lane_new (PwTransportState *state, int r, GError **error) {
  PwStream *stream = state->setup.backend->stream_new (r, error);
  if (!stream)
    return NULL;
  Lane *lane = g_new0 (Lane, 1);
  lane->stream = stream;
  g_ptr_array_add (state->ranks[r].lanes, lane);
  return lane;
}

/* The lane that an end of the rank's shares with an earlier one. */
static Lane *
shared_lane (PwTransportState *state, int r, const Channel *channel) {
  PwQueueScope scope = pw_policies[state->setup.policy].queue;
  int peer = channel->sender == r ? channel->receiver : channel->sender;
  for (const Channel *other = state->channel; other < channel; other++) {
    gboolean is_here = other->sender == r || other->receiver == r;
    gboolean is_same_peer = other->sender == peer || other->receiver == peer;
    if (is_here && (scope == PW_QUEUE_RANK || (scope == PW_QUEUE_PEER && is_same_peer)))
      return other->lane[other->sender == r];
  }
  return NULL;
}

static void
copies_detach (PwTransportState *state, int r) {
  GPtrArray *lanes = state->ranks[r].lanes;
  for (guint i = 0; i < lanes->len; i++) {
    Lane *lane = g_ptr_array_index (lanes, i);
    state->setup.backend->stream_free (lane->stream);
    pw__fifo_clear (&lane->entries);
    g_free (lane);
  }
  g_ptr_array_set_size (lanes, 0);
}

static gboolean
copies_attach (PwTransportState *state, int r, PwStream *compute, GError **error) {
  (void)compute;
  for (int i = 0; i < state->channels->n; i++) {
    Channel *channel = &state->channel[i];
    if (channel->sender == channel->receiver || (channel->sender != r && channel->receiver != r))
      continue;
    gboolean is_send = channel->sender == r;
    channel->lane[is_send] = shared_lane (state, r, channel);
    if (!channel->lane[is_send])
      channel->lane[is_send] = lane_new (state, r, error);
    if (!channel->lane[is_send]) {
      g_prefix_error (error, "rank %d, a stream for messages: ", r);
      copies_detach (state, r);
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- Lanes, with the mutex held ---- */

static gboolean
record_stamp (PwTransportState *state, PwEvent *stamp, PwStream *stream, GError **error) {
  return !stamp || state->setup.backend->timestamp_record (stamp, stream, error);
}

static gboolean
come_to_head (PwTransportState *state, PwRequest *request, PwStream *stream, GError **error) {
  const PwBackend *backend = state->setup.backend;
  request->phase = AT_HEAD;
  if (request->after && !backend->event_wait (request->after, stream, error))
    return FALSE;
  if (!request->is_send)
    return TRUE;
  pthread_cond_signal (&state->ranks[request->channel->receiver].cond);
  return backend->event_record (request->head, stream, error)
         && record_stamp (state, request->begin, stream, error);
}

static void
note_enqueued (PwRequest *request) {
  request->phase = ENQUEUED;
  request->entry->n_left--;
}

/* The receiver's end is at the head of its lane; TRUE without a copy where the sender's is not. */
static gboolean
copy (PwTransportState *state, PwRequest *receive, PwStream *stream, GError **error) {
  const PwBackend *backend = state->setup.backend;
  Channel *channel = receive->channel;
  PwRequest *send = pw__fifo_head (&channel->posted[TRUE]);
  if (!send || send->phase != AT_HEAD || pw__fifo_head (&channel->posted[FALSE]) != receive)
    return TRUE;
  pw__fifo_pop (&channel->posted[TRUE]);
  pw__fifo_pop (&channel->posted[FALSE]);
  pthread_cond_signal (&state->ranks[channel->sender].cond);
  if (send->bytes != receive->bytes) {
    send->phase = receive->phase = FAILED;
    return TRUE;
  }
  send->phase = COPIED;
  note_enqueued (receive);
  return backend->event_wait (send->head, stream, error)
         && record_stamp (state, receive->begin, stream, error)
         && backend->copy (stream, receive->buffer, send->buffer, receive->bytes, error)
         && record_stamp (state, receive->end, stream, error)
         && backend->event_record (receive->done, stream, error)
         && backend->event_record (send->done, stream, error);
}

/* As far as the other end allows. */
static gboolean
advance (PwTransportState *state, PwRequest *request, PwStream *stream, GError **error) {
  if (request->phase == POSTED && !come_to_head (state, request, stream, error))
    return FALSE;
  if (request->phase == AT_HEAD && !request->is_send)
    return copy (state, request, stream, error);
  if (request->phase != COPIED)
    return TRUE;
  note_enqueued (request);
  return state->setup.backend->event_wait (request->done, stream, error)
         && record_stamp (state, request->end, stream, error);
}

static void
retire (Rank *rank, Entry *entry) {
  for (guint i = 0; i < entry->lanes->len; i++)
    pw__fifo_pop (&((Lane *)g_ptr_array_index (entry->lanes, i))->entries);
  g_ptr_array_set_size (entry->members, 0);
  g_ptr_array_set_size (entry->lanes, 0);
  g_ptr_array_add (rank->unused_entries, entry);
}

/* Members whose lane the entry is at the head of; FALSE if that did not complete it. A member that
 * is enqueued may have been recycled meanwhile, and belong to another entry. */
static gboolean
advance_entry (PwTransportState *state, int r, Entry *entry) {
  Rank *rank = &state->ranks[r];
  for (guint i = 0; i < entry->members->len && !rank->error; i++) {
    PwRequest *request = g_ptr_array_index (entry->members, i);
    Lane *lane = request->channel->lane[request->is_send];
    if (request->entry == entry && pw__fifo_head (&lane->entries) == entry)
      advance (state, request, lane->stream, &rank->error);
  }
  if (entry->n_left > 0)
    return FALSE;
  retire (rank, entry);
  return TRUE;
}

static void
advance_rank (PwTransportState *state, int r) {
  Rank *rank = &state->ranks[r];
  gboolean any = TRUE;
  while (any && !rank->error) {
    any = FALSE;
    for (guint i = 0; i < rank->lanes->len; i++) {
      Lane *lane = g_ptr_array_index (rank->lanes, i);
      Entry *entry = pw__fifo_head (&lane->entries);
      any |= entry && advance_entry (state, r, entry);
    }
  }
}

/* ---- Posting ---- */

static Entry *
entry_take (PwTransportState *state, Rank *rank) {
  if (rank->unused_entries->len > 0)
    return g_ptr_array_steal_index_fast (rank->unused_entries, rank->unused_entries->len - 1);
  Entry *entry = g_new0 (Entry, 1);
  entry->members = g_ptr_array_new ();
  entry->lanes = g_ptr_array_new ();
  g_ptr_array_add (state->entries, entry);
  return entry;
}

static PwRequest *
request_new (PwTransportState *state, Channel *channel, gboolean is_send, GError **error) {
  const PwBackend *backend = state->setup.backend;
  PwRequest *request = g_new0 (PwRequest, 1);
  g_ptr_array_add (state->requests, request);
  request->channel = channel;
  request->is_send = is_send;
  request->done = backend->event_new (error);
  request->head = is_send && request->done ? backend->event_new (error) : NULL;
  return request->done && (request->head || !is_send) ? request : NULL;
}

/* In the order in which they are posted, whatever the entry waits for. */
static void
enter (PwTransportState *state, int r, Entry *entry) {
  entry->n_left = (int)entry->members->len;
  for (guint i = 0; i < entry->members->len; i++) {
    PwRequest *request = g_ptr_array_index (entry->members, i);
    Lane *lane = request->channel->lane[request->is_send];
    if (g_ptr_array_find (entry->lanes, lane, NULL))
      continue;
    g_ptr_array_add (entry->lanes, lane);
    pw__fifo_push (&lane->entries, entry);
  }
  if (entry->members->len == 0)
    retire (&state->ranks[r], entry);
  advance_rank (state, r);
}

static PwRequest *
post (PwTransportState *state, int r, PwChannel name, gboolean is_send, void *buffer, gsize bytes,
      PwEvent *event, GError **error) {
  Rank *rank = &state->ranks[r];
  Channel *channel = &state->channel[pw__channels_find (state->channels, name)];
  g_assert ((is_send ? channel->sender : channel->receiver) == r && channel->lane[is_send]);
  pthread_mutex_lock (&state->mutex);
  PwRequest *request = channel->unused[is_send];
  if (request)
    channel->unused[is_send] = request->next;
  else
    request = request_new (state, channel, is_send, error);
  if (request) {
    request->phase = POSTED;
    request->buffer = buffer;
    request->bytes = bytes;
    request->after = event;
    request->begin = g_steal_pointer (&rank->begin);
    request->end = g_steal_pointer (&rank->end);
    request->entry = rank->group ? rank->group : entry_take (state, rank);
    pw__fifo_push (&channel->posted[is_send], request);
    g_ptr_array_add (request->entry->members, request);
    if (!rank->group)
      enter (state, r, request->entry);
  }
  pthread_mutex_unlock (&state->mutex);
  return request;
}

static PwRequest *
copies_post_send (PwTransportState *state, int r, PwChannel channel, const void *buffer,
                  gsize bytes, PwEvent *event, GError **error) {
  return post (state, r, channel, TRUE, (void *)buffer, bytes, event, error);
}

static PwRequest *
copies_post_recv (PwTransportState *state, int r, PwChannel channel, void *buffer, gsize bytes,
                  PwEvent *event, GError **error) {
  return post (state, r, channel, FALSE, buffer, bytes, event, error);
}

static void
copies_stamp (PwTransportState *state, int r, PwEvent *begin, PwEvent *end) {
  state->ranks[r].begin = begin;
  state->ranks[r].end = end;
}

static void
copies_group_begin (PwTransportState *state, int r) {
  pthread_mutex_lock (&state->mutex);
  state->ranks[r].group = entry_take (state, &state->ranks[r]);
  pthread_mutex_unlock (&state->mutex);
}

static gboolean
copies_group_end (PwTransportState *state, int r, GError **error) {
  (void)error; /* met by the waits */
  pthread_mutex_lock (&state->mutex);
  enter (state, r, g_steal_pointer (&state->ranks[r].group));
  pthread_mutex_unlock (&state->mutex);
  return TRUE;
}

/* ---- Waiting ---- */

static void
copies_progress (PwTransportState *state, int r) {
  pthread_mutex_lock (&state->mutex);
  advance_rank (state, r);
  pthread_mutex_unlock (&state->mutex);
}

static gboolean
copies_test (PwTransportState *state, int r, PwRequest *request) {
  const PwBackend *backend = state->setup.backend;
  gboolean is_reached = FALSE;
  pthread_mutex_lock (&state->mutex);
  advance_rank (state, r);
  if (state->ranks[r].error || request->phase == FAILED)
    is_reached = TRUE;
  else if (request->phase == ENQUEUED && backend->event_test)
    is_reached = !backend->event_test (request->done, &is_reached, NULL) || is_reached;
  pthread_mutex_unlock (&state->mutex);
  return is_reached;
}

static void
set_wait_error (const PwTransportState *state, int r, const PwRequest *request, PwExecError code,
                const char *what, GError **error) {
  const Channel *channel = request->channel;
  g_autofree char *name = pw__channels_describe (state->channels, channel->name);
  g_set_error (error, PW_EXEC_ERROR, (int)code, "rank %d, %s rank %d, %s: %s", r,
               request->is_send ? "sending to" : "receiving from",
               request->is_send ? channel->receiver : channel->sender, name, what);
}

static gboolean
set_timeout_error (const PwTransportState *state, int r, const PwRequest *request, GError **error) {
  g_autofree char *what = g_strdup_printf ("no answer within %g s", state->setup.timeout_s);
  set_wait_error (state, r, request, PW_EXEC_ERROR_TIMEOUT, what, error);
  return FALSE;
}

/* With the mutex held. */
static gboolean
wait_until_enqueued (PwTransportState *state, int r, PwRequest *request, GError **error) {
  Rank *rank = &state->ranks[r];
  struct timespec until = pw__timespec (pw__now_s () + state->setup.timeout_s);
  gboolean is_late = FALSE;
  for (;;) {
    advance_rank (state, r);
    if (rank->error) {
      set_wait_error (state, r, request, PW_EXEC_ERROR_KERNEL, rank->error->message, error);
      return FALSE;
    }
    if (request->phase == ENQUEUED)
      return TRUE;
    if (request->phase == FAILED) {
      set_wait_error (state, r, request, PW_EXEC_ERROR_DATA, "the two ends disagree about the size",
                      error);
      return FALSE;
    }
    if (state->aborted) {
      set_wait_error (state, r, request, PW_EXEC_ERROR_INTERRUPTED, state->aborted, error);
      return FALSE;
    }
    if (is_late)
      return set_timeout_error (state, r, request, error);
    if (state->setup.timeout_s > 0)
      is_late = pthread_cond_timedwait (&rank->cond, &state->mutex, &until) == ETIMEDOUT;
    else
      pthread_cond_wait (&rank->cond, &state->mutex);
  }
}

static gboolean
copies_wait (PwTransportState *state, int r, PwRequest *request, PwStream *stream, GError **error) {
  Channel *channel = request->channel;
  pthread_mutex_lock (&state->mutex);
  gboolean good = wait_until_enqueued (state, r, request, error)
                  && state->setup.backend->event_wait (request->done, stream, error);
  if (good) {
    request->next = channel->unused[request->is_send];
    channel->unused[request->is_send] = request;
  }
  pthread_mutex_unlock (&state->mutex);
  return good;
}

static void
copies_abort (PwTransportState *state, const char *reason) {
  pthread_mutex_lock (&state->mutex);
  if (!state->aborted)
    state->aborted = g_strdup (reason);
  for (int r = 0; r < state->setup.placement->ranks; r++)
    pthread_cond_broadcast (&state->ranks[r].cond);
  pthread_mutex_unlock (&state->mutex);
}

const PwTransport pw_transport_copies = {
  .name = "threads",
  .summary = "threads of one process, copies between their devices",
  .open = copies_open,
  .close = copies_close,
  .attach = copies_attach,
  .detach = copies_detach,
  .stamp = copies_stamp,
  .post_send = copies_post_send,
  .post_recv = copies_post_recv,
  .test = copies_test,
  .wait = copies_wait,
  .group_begin = copies_group_begin,
  .group_end = copies_group_end,
  .progress = copies_progress,
  .abort = copies_abort,
};
