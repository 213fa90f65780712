/* Rendezvous over TCP. Rank 0 is the hub:
 *
 *   rank r   greeting {magic, rank, size} ────>  rank 0
 *            <──── answer: "" or why not
 *   then, for each exchange
 *            frame {DATA, number, bytes}, data ────>
 *            <──── DATA: everybody's data
 *
 * Both may send ALARM or LOST between exchanges, which the hub passes on, and the hub REFUSAL
 * instead of its answer: an exchange that failed at one connection fails everywhere, for the same
 * reason. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec/bootstrap_private.h"
#include "exec/bootstrap_socket_private.h"
#include "exec/waiting_private.h"

#define MAGIC 0x70776232u /* "pwb2": raise the digit when the exchange changes */
#define ANSWER_BYTES 128
#define RETRY_S 0.05
#define STRANGER_S 2.0 /* for one who connects and says nothing */

typedef struct {
  guint32 magic, rank, size, unused;
} Greeting;

typedef enum { DATA, ALARM, LOST, REFUSAL } Kind;

typedef struct {
  guint32 kind;
  guint32 rank; /* ALARM, LOST: whose; REFUSAL: the error's code */
  guint64 number, bytes;
} Frame;

typedef struct {
  PwBootstrap base;
  double timeout_s;
  guint64 number; /* of the next exchange */
  int *peers;     /* rank 0: [size]; else [1]: rank 0; -1: not connected */
  int n_peers;
  struct pollfd *polled; /* [n_peers] */
  pthread_mutex_t busy;  /* an exchange is in progress */
  GError *broken;        /* no more exchanges */
  GError *alarm;         /* of another process, since the last exchange */
} Tcp;

static double
deadline_after (double timeout_s) {
  return timeout_s > 0 ? pw__now_s () + timeout_s : G_MAXDOUBLE;
}

/* A socket that is closed with something unread in it takes back what was sent last: a refusal that
 * its peer is about to read. So whatever still comes is read before. */
static void
drain (const Tcp *tcp) {
  double deadline_s = pw__now_s () + STRANGER_S;
  char ignored[4096];
  for (int i = 0; i < tcp->n_peers; i++)
    if (tcp->peers[i] >= 0)
      shutdown (tcp->peers[i], SHUT_WR);
  for (int i = 0; i < tcp->n_peers; i++)
    while (tcp->peers[i] >= 0
           && pw__socket_wait (tcp->peers[i], POLLIN, deadline_s) == PW_SOCKET_DONE
           && recv (tcp->peers[i], ignored, sizeof ignored, MSG_DONTWAIT) > 0)
      continue;
}

static void
tcp_free (PwBootstrap *bootstrap) {
  Tcp *tcp = (Tcp *)bootstrap;
  if (tcp->broken && bootstrap->rank == 0)
    drain (tcp);
  for (int i = 0; i < tcp->n_peers; i++)
    if (tcp->peers[i] >= 0)
      close (tcp->peers[i]);
  pthread_mutex_destroy (&tcp->busy);
  g_clear_error (&tcp->broken);
  g_clear_error (&tcp->alarm);
  g_free (tcp->peers);
  g_free (tcp->polled);
  g_free (tcp);
}

static gboolean
fail (PwSocketResult result, int rank, double timeout_s, GError **error) {
  if (result == PW_SOCKET_LATE)
    g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT,
                 "process %d does not answer within %g s", rank, timeout_s);
  else
    g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
                 "the connection to process %d is lost", rank);
  return FALSE;
}

/* ---- Alarms ---- */

static void
send_to_others (const Tcp *tcp, const Frame *frame, const void *data, int but) {
  double deadline_s = pw__now_s () + STRANGER_S;
  for (int i = 0; i < tcp->n_peers; i++)
    if (tcp->peers[i] >= 0 && i != but
        && pw__socket_write (tcp->peers[i], frame, sizeof *frame, deadline_s) == PW_SOCKET_DONE
        && frame->bytes > 0)
      pw__socket_write (tcp->peers[i], data, frame->bytes, deadline_s);
}

/* The hub passes it on. */
static void
note_alarm (Tcp *tcp, const Frame *frame) {
  if (!tcp->alarm)
    tcp->alarm = frame->kind == LOST
                     ? g_error_new (PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
                                    "the connection to process %u is lost", frame->rank)
                     : g_error_new (PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
                                    "process %u has failed", frame->rank);
  if (tcp->base.rank == 0)
    send_to_others (tcp, frame, NULL, (int)frame->rank);
}

static void
note_lost (Tcp *tcp, int peer) {
  const Frame frame = { .kind = LOST, .rank = (guint32)peer, .number = tcp->number };
  close (tcp->peers[peer]);
  tcp->peers[peer] = -1;
  note_alarm (tcp, &frame);
}

/* Alarms at the head of what PEER has sent; anything else stays. */
static void
look_at (Tcp *tcp, int peer) {
  Frame frame;
  for (;;) {
    ssize_t n = recv (tcp->peers[peer], &frame, sizeof frame, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
      note_lost (tcp, peer);
      return;
    }
    if (n < (ssize_t)sizeof frame || frame.kind == DATA || frame.kind == REFUSAL)
      return;
    recv (tcp->peers[peer], &frame, sizeof frame, MSG_DONTWAIT);
    note_alarm (tcp, &frame);
  }
}

static gboolean
tcp_watch (PwBootstrap *bootstrap, GError **error) {
  Tcp *tcp = (Tcp *)bootstrap;
  if (pthread_mutex_trylock (&tcp->busy) != 0)
    return TRUE;
  for (int i = 0; i < tcp->n_peers; i++)
    if (tcp->peers[i] >= 0)
      look_at (tcp, i);
  const GError *found = tcp->alarm ? tcp->alarm : tcp->broken;
  if (found)
    g_propagate_error (error, g_error_copy (found));
  pthread_mutex_unlock (&tcp->busy);
  return !found;
}

static void
tcp_alarm (PwBootstrap *bootstrap) {
  Tcp *tcp = (Tcp *)bootstrap;
  pthread_mutex_lock (&tcp->busy);
  const Frame frame = { .kind = ALARM, .rank = (guint32)bootstrap->rank, .number = tcp->number };
  send_to_others (tcp, &frame, NULL, -1);
  pthread_mutex_unlock (&tcp->busy);
}

/* ---- Frames ---- */

/* The next frame of PEER that is no alarm. */
static PwSocketResult
read_frame (Tcp *tcp, int peer, Frame *frame, double deadline_s) {
  for (;;) {
    PwSocketResult result = pw__socket_read (tcp->peers[peer], frame, sizeof *frame, deadline_s);
    if (result != PW_SOCKET_DONE || frame->kind == DATA || frame->kind == REFUSAL)
      return result;
    note_alarm (tcp, frame);
  }
}

static PwSocketResult
write_frame (const Tcp *tcp, int peer, const void *data, gsize bytes, double deadline_s) {
  const Frame frame = { .kind = DATA, .number = tcp->number, .bytes = bytes };
  if (tcp->peers[peer] < 0)
    return PW_SOCKET_BROKEN;
  PwSocketResult result = pw__socket_write (tcp->peers[peer], &frame, sizeof frame, deadline_s);
  return result == PW_SOCKET_DONE ? pw__socket_write (tcp->peers[peer], data, bytes, deadline_s)
                                  : result;
}

static gboolean
read_refusal (Tcp *tcp, const Frame *frame, double deadline_s, GError **error) {
  char words[ANSWER_BYTES] = { 0 };
  if (frame->bytes >= sizeof words
      || pw__socket_read (tcp->peers[0], words, frame->bytes, deadline_s) != PW_SOCKET_DONE)
    return fail (PW_SOCKET_BROKEN, 0, tcp->timeout_s, error);
  g_set_error_literal (error, PW_BOOTSTRAP_ERROR, (int)frame->rank, words);
  return FALSE;
}

static gboolean
take (Tcp *tcp, int rank, void *to, gsize bytes, double deadline_s, GError **error) {
  Frame frame;
  PwSocketResult result = read_frame (tcp, rank, &frame, deadline_s);
  if (result == PW_SOCKET_DONE && frame.kind == REFUSAL)
    return read_refusal (tcp, &frame, deadline_s, error);
  if (result == PW_SOCKET_DONE && (frame.number != tcp->number || frame.bytes != bytes)) {
    g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH,
                 "process %d exchanges something else than process %d", rank, tcp->base.rank);
    return FALSE;
  }
  if (result == PW_SOCKET_DONE)
    result = pw__socket_read (tcp->peers[rank], to, bytes, deadline_s);
  return result == PW_SOCKET_DONE || fail (result, rank, tcp->timeout_s, error);
}

static gboolean
give (Tcp *tcp, int rank, const void *data, gsize bytes, double deadline_s, GError **error) {
  PwSocketResult result = write_frame (tcp, rank, data, bytes, deadline_s);
  return result == PW_SOCKET_DONE || fail (result, rank, tcp->timeout_s, error);
}

/* ---- At the hub ---- */

/* Whoever still owes its part is polled for, so that an alarm of one is passed on while another,
 * which waits for that one, is late. */
static int
poll_owing (Tcp *tcp, const gboolean *is_owing, double deadline_s, GError **error) {
  int first = -1;
  for (int r = 1; r < tcp->n_peers; r++) {
    tcp->polled[r] = (struct pollfd){ .fd = is_owing[r] ? tcp->peers[r] : -1, .events = POLLIN };
    if (is_owing[r] && tcp->peers[r] < 0) {
      fail (PW_SOCKET_BROKEN, r, tcp->timeout_s, error);
      return -1;
    }
    if (is_owing[r] && first < 0)
      first = r;
  }
  for (;;) {
    double left_s = deadline_s - pw__now_s ();
    int n = poll (tcp->polled + 1, (nfds_t)(tcp->n_peers - 1),
                  left_s <= 0 ? 0 : (int)(MIN (left_s, 1e5) * 1e3) + 1);
    for (int r = 1; n > 0 && r < tcp->n_peers; r++)
      if (tcp->polled[r].revents)
        return r;
    if (n == 0 && left_s <= 0) {
      fail (PW_SOCKET_LATE, first, tcp->timeout_s, error);
      return -1;
    }
  }
}

/* Alarms alone are not what is owed. */
static gboolean
has_data (Tcp *tcp, int rank) {
  Frame frame;
  look_at (tcp, rank);
  return tcp->peers[rank] >= 0
         && recv (tcp->peers[rank], &frame, sizeof frame, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static gboolean
gather (Tcp *tcp, void *mine_and_theirs, gsize bytes, double deadline_s, GError **error) {
  g_autofree gboolean *is_owing = g_new (gboolean, (gsize)tcp->n_peers);
  for (int r = 0; r < tcp->n_peers; r++)
    is_owing[r] = r > 0;
  for (int n = tcp->n_peers - 1; n > 0;) {
    int r = poll_owing (tcp, is_owing, deadline_s, error);
    if (r < 0)
      return FALSE;
    if (!has_data (tcp, r))
      continue;
    if (!take (tcp, r, (char *)mine_and_theirs + (gsize)r * bytes, bytes, deadline_s, error))
      return FALSE;
    is_owing[r] = FALSE;
    n--;
  }
  return TRUE;
}

static gboolean
give_all (Tcp *tcp, int but, const void *data, gsize bytes, double deadline_s, GError **error) {
  for (int r = 1; r < tcp->n_peers; r++)
    if (r != but && !give (tcp, r, data, bytes, deadline_s, error))
      return FALSE;
  return TRUE;
}

/* ---- Exchanges ---- */

static gboolean
begin (Tcp *tcp, GError **error) {
  pthread_mutex_lock (&tcp->busy);
  if (tcp->broken)
    g_propagate_error (error, g_error_copy (tcp->broken));
  return !tcp->broken;
}

/* Alarms were about this exchange. The hub tells the others why it cannot answer. */
static gboolean
end (Tcp *tcp, GError *failure, GError **error) {
  if (failure && tcp->base.rank == 0) {
    Frame frame = { .kind = REFUSAL,
                    .rank = (guint32)failure->code,
                    .number = tcp->number,
                    .bytes = MIN (strlen (failure->message), ANSWER_BYTES - 1) };
    send_to_others (tcp, &frame, failure->message, -1);
  }
  if (failure) {
    tcp->broken = g_error_copy (failure);
    g_propagate_error (error, failure);
  }
  g_clear_error (&tcp->alarm);
  tcp->number++;
  pthread_mutex_unlock (&tcp->busy);
  return !failure;
}

static gboolean
tcp_all_gather (PwBootstrap *bootstrap, const void *mine, void *all, gsize bytes, GError **error) {
  Tcp *tcp = (Tcp *)bootstrap;
  gsize total = (gsize)bootstrap->size * bytes;
  double deadline_s = deadline_after (tcp->timeout_s);
  GError *failure = NULL;
  if (!begin (tcp, error)) {
    pthread_mutex_unlock (&tcp->busy);
    return FALSE;
  }
  if (bootstrap->rank > 0) {
    if (give (tcp, 0, mine, bytes, deadline_s, &failure))
      take (tcp, 0, all, total, deadline_s, &failure);
    return end (tcp, failure, error);
  }
  if (bytes > 0)
    memcpy (all, mine, bytes);
  if (gather (tcp, all, bytes, deadline_s, &failure))
    give_all (tcp, -1, all, total, deadline_s, &failure);
  return end (tcp, failure, error);
}

static gboolean
tcp_transfer (PwBootstrap *bootstrap, int from, gboolean to_all, void *data, gsize bytes,
              GError **error) {
  Tcp *tcp = (Tcp *)bootstrap;
  double deadline_s = deadline_after (tcp->timeout_s);
  GError *failure = NULL;
  if (!begin (tcp, error)) {
    pthread_mutex_unlock (&tcp->busy);
    return FALSE;
  }
  if (bootstrap->rank > 0) {
    if (bootstrap->rank == from)
      give (tcp, 0, data, bytes, deadline_s, &failure);
    else if (to_all)
      take (tcp, 0, data, bytes, deadline_s, &failure);
  } else if ((from == 0 || take (tcp, from, data, bytes, deadline_s, &failure)) && to_all) {
    give_all (tcp, from, data, bytes, deadline_s, &failure);
  }
  return end (tcp, failure, error);
}

/* ---- Coming together ---- */

/* NULL: welcome. */
static char *
judge (const Tcp *tcp, const Greeting *greeting) {
  guint32 size = ntohl (greeting->size), rank = ntohl (greeting->rank);
  if (size != (guint32)tcp->base.size)
    return g_strdup_printf ("process 0 expects %d processes, process %u expects %u", tcp->base.size,
                            rank, size);
  if (rank == 0 || rank >= (guint32)tcp->base.size || tcp->peers[rank] >= 0)
    return g_strdup_printf ("there are two processes of rank %u", rank);
  return NULL;
}

/* Whoever does not speak as we do is none of us: a port may be scanned. */
static gboolean
admit (Tcp *tcp, int fd, double deadline_s, int *n, GError **error) {
  Greeting greeting;
  char answer[ANSWER_BYTES] = { 0 };
  double limit_s = MIN (deadline_s, pw__now_s () + STRANGER_S);
  if (pw__socket_read (fd, &greeting, sizeof greeting, limit_s) != PW_SOCKET_DONE
      || ntohl (greeting.magic) != MAGIC) {
    close (fd);
    return TRUE;
  }
  g_autofree char *refusal = judge (tcp, &greeting);
  if (refusal)
    g_strlcpy (answer, refusal, sizeof answer);
  PwSocketResult result = pw__socket_write (fd, answer, sizeof answer, limit_s);
  if (refusal || result != PW_SOCKET_DONE) {
    close (fd);
    if (refusal)
      g_set_error_literal (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH, refusal);
    return !refusal;
  }
  tcp->peers[ntohl (greeting.rank)] = fd;
  (*n)++;
  return TRUE;
}

static gboolean
set_missing (const Tcp *tcp, GError **error) {
  g_autoptr (GString) missing = g_string_new (NULL);
  int n = 0;
  for (int r = 1; r < tcp->base.size; r++)
    if (tcp->peers[r] < 0 && n++ < 8)
      g_string_append_printf (missing, "%s%d", n > 1 ? ", " : "", r);
  g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT,
               "%d of %d processes did not come within %g s: %s%s", n, tcp->base.size,
               tcp->timeout_s, missing->str, n > 8 ? ", ..." : "");
  return FALSE;
}

static gboolean
receive_all (Tcp *tcp, int port, double deadline_s, GError **error) {
  int listener = pw__socket_listen (port, error);
  if (listener < 0)
    return FALSE;
  gboolean good = TRUE;
  for (int n = 1; good && n < tcp->base.size;) {
    int fd = pw__socket_accept (listener, deadline_s);
    good = fd >= 0 ? admit (tcp, fd, deadline_s, &n, error) : set_missing (tcp, error);
  }
  close (listener);
  return good;
}

/* Rank 0 may start later. */
static int
reach (const PwBootstrapPlace *place, double deadline_s) {
  for (;;) {
    int fd = pw__socket_connect (place->address, place->port, deadline_s);
    if (fd >= 0 || pw__now_s () + RETRY_S > deadline_s)
      return fd;
    g_usleep ((gulong)(RETRY_S * 1e6));
  }
}

static gboolean
greet (Tcp *tcp, const PwBootstrapPlace *place, double deadline_s, GError **error) {
  Greeting greeting = { .magic = htonl (MAGIC),
                        .rank = htonl ((guint32)place->rank),
                        .size = htonl ((guint32)place->size) };
  char answer[ANSWER_BYTES] = { 0 };
  tcp->peers[0] = reach (place, deadline_s);
  if (tcp->peers[0] < 0) {
    g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT,
                 "process 0 cannot be reached at %s, port %d, within %g s", place->address,
                 place->port, tcp->timeout_s);
    return FALSE;
  }
  PwSocketResult result = pw__socket_write (tcp->peers[0], &greeting, sizeof greeting, deadline_s);
  if (result == PW_SOCKET_DONE)
    result = pw__socket_read (tcp->peers[0], answer, sizeof answer, deadline_s);
  if (result != PW_SOCKET_DONE)
    return fail (result, 0, tcp->timeout_s, error);
  answer[ANSWER_BYTES - 1] = '\0';
  if (answer[0] == '\0')
    return TRUE;
  g_set_error_literal (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH, answer);
  return FALSE;
}

PwBootstrap *
pw_bootstrap_new_tcp (const PwBootstrapPlace *place, double timeout_s, GError **error) {
  g_assert (place->size >= 1 && place->rank >= 0 && place->rank < place->size);
  double deadline_s = deadline_after (timeout_s);
  Tcp *tcp = g_new0 (Tcp, 1);
  tcp->base = (PwBootstrap){ .name = "TCP",
                             .rank = place->rank,
                             .size = place->size,
                             .all_gather = tcp_all_gather,
                             .transfer = tcp_transfer,
                             .alarm = tcp_alarm,
                             .watch = tcp_watch,
                             .free = tcp_free };
  pthread_mutex_init (&tcp->busy, NULL);
  tcp->timeout_s = timeout_s;
  tcp->n_peers = place->rank == 0 ? place->size : 1;
  tcp->peers = g_new (int, (gsize)tcp->n_peers);
  tcp->polled = g_new0 (struct pollfd, (gsize)tcp->n_peers);
  for (int i = 0; i < tcp->n_peers; i++)
    tcp->peers[i] = -1;
  gboolean good = place->size == 1   ? TRUE
                  : place->rank == 0 ? receive_all (tcp, place->port, deadline_s, error)
                                     : greet (tcp, place, deadline_s, error);
  if (good && pw__bootstrap_find_neighbours (&tcp->base, error))
    return &tcp->base;
  tcp_free (&tcp->base);
  return NULL;
}
