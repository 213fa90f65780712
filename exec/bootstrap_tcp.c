/* Rendezvous over TCP. Rank 0 is the hub:
 *
 *   rank r   greeting {magic, rank, size} ────>  rank 0
 *            <──── answer: "" or why not
 *   then, for each all_gather
 *            header {number, bytes}, data ────>
 *            <──── everybody's data
 *
 * The contributions are small and few: NCCL's ids and names of hosts. */
#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "exec/bootstrap_private.h"
#include "exec/bootstrap_socket_private.h"
#include "exec/waiting_private.h"

#define MAGIC 0x70776231u /* "pwb1": raise the digit when the exchange changes */
#define ANSWER_BYTES 128
#define RETRY_S 0.05
#define STRANGER_S 2.0 /* for one who connects and says nothing */

typedef struct {
  guint32 magic, rank, size, unused;
} Greeting;

typedef struct {
  guint64 number, bytes;
} Header;

typedef struct {
  PwBootstrap base;
  double timeout_s;
  guint64 number; /* of the next all_gather */
  int *peers;     /* rank 0: [size]; else [1]: rank 0; -1: not connected */
  int n_peers;
} Tcp;

static double
deadline_after (double timeout_s) {
  return timeout_s > 0 ? pw__now_s () + timeout_s : G_MAXDOUBLE;
}

static void
tcp_free (PwBootstrap *bootstrap) {
  Tcp *tcp = (Tcp *)bootstrap;
  for (int i = 0; i < tcp->n_peers; i++)
    if (tcp->peers[i] >= 0)
      close (tcp->peers[i]);
  g_free (tcp->peers);
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

/* ---- Exchange ---- */

static gboolean
take (Tcp *tcp, int rank, const Header *expected, void *to, double deadline_s, GError **error) {
  Header header;
  PwSocketResult result = pw__socket_read (tcp->peers[rank], &header, sizeof header, deadline_s);
  if (result == PW_SOCKET_DONE && memcmp (&header, expected, sizeof header) != 0) {
    g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH,
                 "process %d exchanges something else than process 0", rank);
    return FALSE;
  }
  if (result == PW_SOCKET_DONE)
    result = pw__socket_read (tcp->peers[rank], to, expected->bytes, deadline_s);
  return result == PW_SOCKET_DONE || fail (result, rank, tcp->timeout_s, error);
}

static gboolean
gather_at_hub (Tcp *tcp, const Header *header, const void *mine, char *all, double deadline_s,
               GError **error) {
  if (header->bytes > 0)
    memcpy (all, mine, header->bytes);
  for (int r = 1; r < tcp->base.size; r++)
    if (!take (tcp, r, header, all + (gsize)r * header->bytes, deadline_s, error))
      return FALSE;
  gsize total = MAX ((gsize)tcp->base.size * header->bytes, 1); /* a barrier's answer: one byte */
  char nothing = 0;
  for (int r = 1; r < tcp->base.size; r++) {
    PwSocketResult result
        = pw__socket_write (tcp->peers[r], header->bytes > 0 ? all : &nothing, total, deadline_s);
    if (result != PW_SOCKET_DONE)
      return fail (result, r, tcp->timeout_s, error);
  }
  return TRUE;
}

static gboolean
gather_at_spoke (Tcp *tcp, const Header *header, const void *mine, char *all, double deadline_s,
                 GError **error) {
  char nothing;
  int fd = tcp->peers[0];
  PwSocketResult result = pw__socket_write (fd, header, sizeof *header, deadline_s);
  if (result == PW_SOCKET_DONE)
    result = pw__socket_write (fd, mine, header->bytes, deadline_s);
  if (result == PW_SOCKET_DONE)
    result = pw__socket_read (fd, header->bytes > 0 ? all : &nothing,
                              MAX ((gsize)tcp->base.size * header->bytes, 1), deadline_s);
  return result == PW_SOCKET_DONE || fail (result, 0, tcp->timeout_s, error);
}

static gboolean
tcp_all_gather (PwBootstrap *bootstrap, const void *mine, void *all, gsize bytes, GError **error) {
  Tcp *tcp = (Tcp *)bootstrap;
  Header header = { .number = tcp->number++, .bytes = bytes };
  double deadline_s = deadline_after (tcp->timeout_s);
  return bootstrap->rank == 0 ? gather_at_hub (tcp, &header, mine, all, deadline_s, error)
                              : gather_at_spoke (tcp, &header, mine, all, deadline_s, error);
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
  tcp->base = (PwBootstrap){
    .rank = place->rank, .size = place->size, .all_gather = tcp_all_gather, .free = tcp_free
  };
  tcp->timeout_s = timeout_s;
  tcp->n_peers = place->rank == 0 ? place->size : 1;
  tcp->peers = g_new (int, (gsize)tcp->n_peers);
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
