/* Messages between threads of one process. Each channel has a lock-free queue with one producer
 * (the sending rank) and one consumer (the receiving rank):
 *
 *   sender    posts {buffer, bytes, request}; goes on
 *   receiver  posts its buffer; at its next progress or wait it takes the message, copies, and
 * marks both requests done
 *
 * so the copy is made on the core that will read the data, and a send is done when its receiver has
 * it. Ranks that wait spin shortly, then park on a condition variable; whoever makes something
 * happen for a rank wakes it if it is parked. C11 atomics and pthread only: ThreadSanitizer sees
 * both.
 *
 * All policies use this queue per channel: it never makes a message wait for another one, so it is
 * right for each of them. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "exec/channels_private.h"
#include "exec/exec.h"
#include "exec/waiting_private.h"

#define ITEMS_PER_SEGMENT 64
#define REQUESTS_PER_BLOCK 64
#define SPIN_S 100e-6       /* before parking; a wake-up costs 20 to 30 us */
#define SPIN_CROWDED_S 2e-6 /* more ranks than cores: the other one needs the core */

typedef struct Queue Queue;

enum { PENDING, DONE, FAILED };

struct PwRequest {
  PwRequest *next; /* in the free list, or among a queue's posted receives */
  Queue *queue;
  void *buffer; /* of a receive */
  gsize bytes;
  gboolean is_send;
  atomic_int state;
};

typedef struct {
  const void *buffer;
  gsize bytes;
  PwRequest *request;
} Item;

/* Published by `posted`, so `next` needs no atomic. */
typedef struct Segment Segment;
struct Segment {
  Item items[ITEMS_PER_SEGMENT];
  Segment *next;
};

struct Queue {
  PwChannel channel;
  int sender, receiver;
  alignas (64) Segment *tail; /* the sender's */
  uint64_t n_sent;
  alignas (64) atomic_ullong posted;
  _Atomic (Segment *) spare;  /* a drained segment on its way back */
  alignas (64) Segment *head; /* the receiver's */
  uint64_t n_taken;
  PwRequest *first, *last; /* posted receives, in order */
};

typedef struct {
  alignas (64) atomic_int parked;
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  PwRequest *free; /* the rank's own */
  GPtrArray *blocks;
  Queue **in; /* queues this rank receives from */
  int n_in;
  int n_receives; /* posted, not yet served */
} Rank;

struct PwTransportState {
  int n_ranks;
  double timeout_s, spin_s;
  Rank *ranks;
  PwChannels *channels;
  Queue **queues; /* [channels->n]; NULL inside a rank */
  atomic_int aborted;
  pthread_mutex_t reason_mutex;
  char *reason;
};

static void
relax (void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#else
  sched_yield ();
#endif
}

static Queue *
find_queue (const PwTransportState *state, PwChannel channel) {
  return state->queues[pw__channels_find (state->channels, channel)];
}

static Queue *
queue_new (PwChannel channel, int sender, int receiver) {
  Queue *queue = g_aligned_alloc0 (1, sizeof (Queue), 64);
  queue->channel = channel;
  queue->sender = sender;
  queue->receiver = receiver;
  queue->head = queue->tail = g_new0 (Segment, 1);
  atomic_init (&queue->posted, 0);
  atomic_init (&queue->spare, NULL);
  return queue;
}

static void
queue_free (Queue *queue) {
  if (!queue)
    return;
  for (Segment *segment = queue->head; segment;) {
    Segment *next = segment == queue->tail ? NULL : segment->next;
    g_free (segment);
    segment = next;
  }
  g_free (atomic_load (&queue->spare));
  g_aligned_free (queue);
}

static int
cores_allowed (void) {
  cpu_set_t set;
  return sched_getaffinity (0, sizeof set, &set) == 0 ? CPU_COUNT (&set) : 1;
}

static void
open_queues (PwTransportState *state) {
  state->queues = g_new0 (Queue *, (gsize)MAX (state->channels->n, 1));
  for (int i = 0; i < state->channels->n; i++) {
    const PwChannelEnds *ends = &state->channels->ends[i];
    if (ends->sender != ends->receiver)
      state->queues[i] = queue_new (ends->channel, ends->sender, ends->receiver);
  }
}

static void
open_rank (PwTransportState *state, int r) {
  Rank *rank = &state->ranks[r];
  atomic_init (&rank->parked, 0);
  pthread_mutex_init (&rank->mutex, NULL);
  pw__cond_init (&rank->cond);
  rank->blocks = g_ptr_array_new_with_free_func (g_free);
  rank->in = g_new0 (Queue *, (gsize)MAX (state->channels->n, 1));
  for (int q = 0; q < state->channels->n; q++)
    if (state->queues[q] && state->queues[q]->receiver == r)
      rank->in[rank->n_in++] = state->queues[q];
}

static PwTransportState *
threads_open (const PwTransportSetup *setup, GError **error) {
  const PwPlacement *placement = setup->placement;
  (void)error;
  PwTransportState *state = g_new0 (PwTransportState, 1);
  state->n_ranks = placement->ranks;
  state->timeout_s = setup->timeout_s;
  state->spin_s = placement->ranks > cores_allowed () ? SPIN_CROWDED_S : SPIN_S;
  atomic_init (&state->aborted, 0);
  pthread_mutex_init (&state->reason_mutex, NULL);
  state->channels = pw__channels_new (setup->edges, placement);
  open_queues (state);
  state->ranks = g_aligned_alloc0 ((gsize)placement->ranks, sizeof (Rank), 64);
  for (int r = 0; r < placement->ranks; r++)
    open_rank (state, r);
  return state;
}

static void
threads_close (PwTransportState *state) {
  for (int r = 0; r < state->n_ranks; r++) {
    Rank *rank = &state->ranks[r];
    pthread_mutex_destroy (&rank->mutex);
    pthread_cond_destroy (&rank->cond);
    g_ptr_array_free (rank->blocks, TRUE);
    g_free (rank->in);
  }
  for (int q = 0; q < state->channels->n; q++)
    queue_free (state->queues[q]);
  pthread_mutex_destroy (&state->reason_mutex);
  g_free (state->queues);
  pw__channels_free (state->channels);
  g_aligned_free (state->ranks);
  g_free (state->reason);
  g_free (state);
}

static PwRequest *
request_take (PwTransportState *state, int r, Queue *queue, gboolean is_send, void *buffer,
              gsize bytes) {
  Rank *rank = &state->ranks[r];
  if (!rank->free) {
    PwRequest *block = g_new0 (PwRequest, REQUESTS_PER_BLOCK);
    g_ptr_array_add (rank->blocks, block);
    for (int i = 0; i < REQUESTS_PER_BLOCK; i++) {
      block[i].next = rank->free;
      rank->free = &block[i];
    }
  }
  PwRequest *request = rank->free;
  rank->free = request->next;
  request->next = NULL;
  request->queue = queue;
  request->buffer = buffer;
  request->bytes = bytes;
  request->is_send = is_send;
  atomic_store_explicit (&request->state, PENDING, memory_order_relaxed);
  return request;
}

/* After something was published for rank R. Sequentially consistent, as is parking: either the
 * waker sees `parked`, or the sleeper sees what was published. */
static void
wake (PwTransportState *state, int r) {
  Rank *rank = &state->ranks[r];
  if (!atomic_load (&rank->parked))
    return;
  pthread_mutex_lock (&rank->mutex);
  pthread_cond_signal (&rank->cond);
  pthread_mutex_unlock (&rank->mutex);
}

static PwRequest *
threads_post_send (PwTransportState *state, int r, PwChannel channel, const void *buffer,
                   gsize bytes, PwEvent *event, GError **error) {
  (void)event; /* work is done when it is called: the data is there */
  (void)error;
  Queue *queue = find_queue (state, channel);
  g_assert (queue && queue->sender == r);
  PwRequest *request = request_take (state, r, queue, TRUE, NULL, bytes);
  uint64_t at = queue->n_sent % ITEMS_PER_SEGMENT;
  if (at == 0 && queue->n_sent > 0) {
    Segment *segment = atomic_exchange (&queue->spare, NULL);
    if (!segment)
      segment = g_new (Segment, 1);
    segment->next = NULL;
    queue->tail->next = segment;
    queue->tail = segment;
  }
  queue->tail->items[at] = (Item){ .buffer = buffer, .bytes = bytes, .request = request };
  queue->n_sent++;
  atomic_store (&queue->posted, queue->n_sent);
  wake (state, queue->receiver);
  return request;
}

static PwRequest *
threads_post_recv (PwTransportState *state, int r, PwChannel channel, void *buffer, gsize bytes,
                   PwEvent *event, GError **error) {
  (void)event; /* work is done when it is called */
  (void)error;
  Queue *queue = find_queue (state, channel);
  g_assert (queue && queue->receiver == r);
  PwRequest *request = request_take (state, r, queue, FALSE, buffer, bytes);
  if (queue->last)
    queue->last->next = request;
  else
    queue->first = request;
  queue->last = request;
  state->ranks[r].n_receives++;
  return request;
}

static Item
queue_take (Queue *queue) {
  uint64_t at = queue->n_taken % ITEMS_PER_SEGMENT;
  if (at == 0 && queue->n_taken > 0) {
    Segment *drained = queue->head;
    queue->head = drained->next;
    g_free (atomic_exchange (&queue->spare, drained));
  }
  queue->n_taken++;
  return queue->head->items[at];
}

/* One message into the first posted receive. */
static void
deliver (PwTransportState *state, Queue *queue) {
  PwRequest *receive = queue->first;
  Item item = queue_take (queue);
  int outcome = item.bytes == receive->bytes ? DONE : FAILED;
  queue->first = receive->next;
  if (!queue->first)
    queue->last = NULL;
  state->ranks[queue->receiver].n_receives--;
  if (outcome == DONE)
    memcpy (receive->buffer, item.buffer, item.bytes);
  atomic_store_explicit (&receive->state, outcome, memory_order_relaxed);
  atomic_store (&item.request->state, outcome);
  wake (state, queue->sender);
}

static void
threads_progress (PwTransportState *state, int r) {
  Rank *rank = &state->ranks[r];
  if (rank->n_receives == 0)
    return;
  for (int i = 0; i < rank->n_in; i++) {
    Queue *queue = rank->in[i];
    while (queue->first && atomic_load (&queue->posted) > queue->n_taken)
      deliver (state, queue);
  }
}

static gboolean
threads_test (PwTransportState *state, int r, PwRequest *request) {
  if (!request->is_send)
    threads_progress (state, r);
  return atomic_load_explicit (&request->state, memory_order_acquire) != PENDING;
}

/* TRUE if rank R need not sleep: its request is done, or a message for it has come. */
static gboolean
has_work (PwTransportState *state, int r, PwRequest *request) {
  Rank *rank = &state->ranks[r];
  if (atomic_load (&request->state) != PENDING || atomic_load (&state->aborted))
    return TRUE;
  for (int i = 0; i < rank->n_in; i++) {
    Queue *queue = rank->in[i];
    if (queue->first && atomic_load (&queue->posted) > queue->n_taken)
      return TRUE;
  }
  return FALSE;
}

/* Sleeps until woken or, with a timeout, DEADLINE. */
static void
park (PwTransportState *state, int r, PwRequest *request, double deadline) {
  Rank *rank = &state->ranks[r];
  pthread_mutex_lock (&rank->mutex);
  atomic_store (&rank->parked, 1);
  if (!has_work (state, r, request)) {
    if (state->timeout_s > 0) {
      struct timespec until = pw__timespec (deadline);
      pthread_cond_timedwait (&rank->cond, &rank->mutex, &until);
    } else {
      pthread_cond_wait (&rank->cond, &rank->mutex);
    }
  }
  atomic_store (&rank->parked, 0);
  pthread_mutex_unlock (&rank->mutex);
}

static void
set_wait_error (PwTransportState *state, int r, const PwRequest *request, PwExecError code,
                GError **error) {
  const Queue *queue = request->queue;
  g_autofree char *channel = pw__channels_describe (state->channels, queue->channel);
  g_autofree char *what = NULL;
  if (code == PW_EXEC_ERROR_INTERRUPTED) {
    pthread_mutex_lock (&state->reason_mutex);
    what = g_strdup (state->reason ? state->reason : "aborted");
    pthread_mutex_unlock (&state->reason_mutex);
  } else if (code == PW_EXEC_ERROR_TIMEOUT) {
    what = g_strdup_printf ("no answer within %g s", state->timeout_s);
  } else {
    what = g_strdup ("the two ends disagree about the size");
  }
  g_set_error (error, PW_EXEC_ERROR, code, "rank %d, %s rank %d, %s: %s", r,
               request->is_send ? "sending to" : "receiving from",
               request->is_send ? queue->receiver : queue->sender, channel, what);
}

static gboolean
threads_wait (PwTransportState *state, int r, PwRequest *request, PwStream *stream,
              GError **error) {
  (void)stream;
  double started = 0, deadline = 0;
  for (unsigned spins = 0;; spins++) {
    if (threads_test (state, r, request))
      break;
    threads_progress (state, r);
    if (atomic_load_explicit (&state->aborted, memory_order_relaxed)) {
      set_wait_error (state, r, request, PW_EXEC_ERROR_INTERRUPTED, error);
      return FALSE;
    }
    relax ();
    if (spins % 32 != 0)
      continue;
    double time = pw__now_s ();
    if (started == 0) {
      started = time;
      deadline = time + state->timeout_s;
    }
    if (state->timeout_s > 0 && time >= deadline) {
      set_wait_error (state, r, request, PW_EXEC_ERROR_TIMEOUT, error);
      return FALSE;
    }
    if (time - started > state->spin_s)
      park (state, r, request, deadline);
  }
  if (atomic_load (&request->state) == FAILED) {
    set_wait_error (state, r, request, PW_EXEC_ERROR_DATA, error);
    return FALSE;
  }
  request->next = state->ranks[r].free;
  state->ranks[r].free = request;
  return TRUE;
}

static void
threads_group_begin (PwTransportState *state, int rank) {
  (void)state;
  (void)rank;
}

static gboolean
threads_group_end (PwTransportState *state, int rank, GError **error) {
  (void)state;
  (void)rank;
  (void)error;
  return TRUE;
}

static void
threads_abort (PwTransportState *state, const char *reason) {
  pthread_mutex_lock (&state->reason_mutex);
  if (!state->reason)
    state->reason = g_strdup (reason);
  pthread_mutex_unlock (&state->reason_mutex);
  atomic_store (&state->aborted, 1);
  for (int r = 0; r < state->n_ranks; r++) {
    Rank *rank = &state->ranks[r];
    pthread_mutex_lock (&rank->mutex);
    pthread_cond_signal (&rank->cond);
    pthread_mutex_unlock (&rank->mutex);
  }
}

const PwTransport pw_transport_threads = {
  .name = "threads",
  .summary = "threads of one process, a lock-free queue per channel",
  .open = threads_open,
  .close = threads_close,
  .post_send = threads_post_send,
  .post_recv = threads_post_recv,
  .test = threads_test,
  .wait = threads_wait,
  .group_begin = threads_group_begin,
  .group_end = threads_group_end,
  .progress = threads_progress,
  .abort = threads_abort,
};
