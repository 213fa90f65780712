/* Sockets with a deadline. None of them blocks; what would wait is polled for. */
#include "exec/bootstrap_socket_private.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec/bootstrap.h"
#include "exec/waiting_private.h"

static void
prepare (int fd) {
  int one = 1, idle_s = 10, interval_s = 5, probes = 3;
  fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK);
  fcntl (fd, F_SETFD, FD_CLOEXEC);
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* A host that is gone says nothing: it is asked. */
  setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

PwSocketResult
pw__socket_wait (int fd, short events, double deadline_s) {
  for (;;) {
    double left_s = deadline_s - pw__now_s ();
    struct pollfd poller = { .fd = fd, .events = events };
    int n = poll (&poller, 1, left_s <= 0 ? 0 : (int)(MIN (left_s, 1e5) * 1e3) + 1);
    if (n > 0)
      return PW_SOCKET_DONE;
    if (n < 0 && errno != EINTR)
      return PW_SOCKET_BROKEN;
    if (n == 0 && left_s <= 0)
      return PW_SOCKET_LATE;
  }
}

static PwSocketResult
try_again (int fd, short events, double deadline_s) {
  if (errno == EINTR)
    return PW_SOCKET_DONE;
  if (errno != EAGAIN && errno != EWOULDBLOCK)
    return PW_SOCKET_BROKEN;
  return pw__socket_wait (fd, events, deadline_s);
}

PwSocketResult
pw__socket_write (int fd, const void *data, gsize bytes, double deadline_s) {
  for (const char *at = data; bytes > 0;) {
    ssize_t n = send (fd, at, bytes, MSG_NOSIGNAL);
    PwSocketResult result = n < 0 ? try_again (fd, POLLOUT, deadline_s) : PW_SOCKET_DONE;
    if (result != PW_SOCKET_DONE)
      return result;
    if (n > 0) {
      at += n;
      bytes -= (gsize)n;
    }
  }
  return PW_SOCKET_DONE;
}

PwSocketResult
pw__socket_read (int fd, void *data, gsize bytes, double deadline_s) {
  for (char *at = data; bytes > 0;) {
    ssize_t n = recv (fd, at, bytes, 0);
    if (n == 0)
      return PW_SOCKET_BROKEN;
    PwSocketResult result = n < 0 ? try_again (fd, POLLIN, deadline_s) : PW_SOCKET_DONE;
    if (result != PW_SOCKET_DONE)
      return result;
    if (n > 0) {
      at += n;
      bytes -= (gsize)n;
    }
  }
  return PW_SOCKET_DONE;
}

static struct addrinfo *
look_up (const char *address, int port, int flags) {
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags };
  struct addrinfo *found = NULL;
  g_autofree char *service = g_strdup_printf ("%d", port);
  return getaddrinfo (address, service, &hints, &found) == 0 ? found : NULL;
}

static int
listen_at (const struct addrinfo *at) {
  int fd = socket (at->ai_family, at->ai_socktype, at->ai_protocol), one = 1, zero = 0;
  if (fd < 0)
    return -1;
  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (at->ai_family == AF_INET6) /* IPv4 comes the same way */
    setsockopt (fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  prepare (fd);
  if (bind (fd, at->ai_addr, at->ai_addrlen) == 0 && listen (fd, SOMAXCONN) == 0)
    return fd;
  int code = errno;
  close (fd);
  errno = code;
  return -1;
}

int
pw__socket_listen (int port, GError **error) {
  static const char *const everywhere[] = { "::", "0.0.0.0" };
  int code = EADDRNOTAVAIL;
  for (gsize i = 0; i < G_N_ELEMENTS (everywhere); i++) {
    struct addrinfo *found = look_up (everywhere[i], port, AI_PASSIVE | AI_NUMERICHOST);
    int fd = found ? listen_at (found) : -1;
    code = fd < 0 && found ? errno : code;
    if (found)
      freeaddrinfo (found);
    if (fd >= 0)
      return fd;
    if (code == EADDRINUSE)
      break;
  }
  g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
               "rank 0 cannot listen at port %d: %s", port, g_strerror (code));
  return -1;
}

int
pw__socket_port (int fd) {
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  if (getsockname (fd, (struct sockaddr *)&name, &length) != 0)
    return 0;
  return ntohs (name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                           : ((struct sockaddr_in *)&name)->sin_port);
}

int
pw__socket_accept (int listener, double deadline_s) {
  for (;;) {
    if (pw__socket_wait (listener, POLLIN, deadline_s) != PW_SOCKET_DONE)
      return -1;
    int fd = accept (listener, NULL, NULL);
    if (fd < 0)
      continue; /* it has gone again */
    prepare (fd);
    return fd;
  }
}

static int
connect_to (const struct addrinfo *at, double deadline_s) {
  int fd = socket (at->ai_family, at->ai_socktype, at->ai_protocol), code = 0;
  socklen_t length = sizeof code;
  if (fd < 0)
    return -1;
  prepare (fd);
  if (connect (fd, at->ai_addr, at->ai_addrlen) == 0)
    return fd;
  if (errno == EINPROGRESS && pw__socket_wait (fd, POLLOUT, deadline_s) == PW_SOCKET_DONE
      && getsockopt (fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 && code == 0)
    return fd;
  close (fd);
  return -1;
}

int
pw__socket_connect (const char *address, int port, double deadline_s) {
  struct addrinfo *found = look_up (address, port, 0);
  int fd = -1;
  for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
    fd = connect_to (at, deadline_s);
  if (found)
    freeaddrinfo (found);
  return fd;
}
