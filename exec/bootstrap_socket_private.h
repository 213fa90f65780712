/* Sockets of the TCP bootstrap. Deadlines are of the monotonic clock. */
#pragma once
#include <glib.h>

typedef enum { PW_SOCKET_DONE, PW_SOCKET_LATE, PW_SOCKET_BROKEN } PwSocketResult;

/* -1 on failure. Port 0: any that is free. */
int pw__socket_listen (int port, GError **error);
int pw__socket_port (int fd);
int pw__socket_accept (int listener, double deadline_s);
/* One try. */
int pw__socket_connect (const char *address, int port, double deadline_s);
PwSocketResult pw__socket_wait (int fd, short events, double deadline_s);
PwSocketResult pw__socket_write (int fd, const void *data, gsize bytes, double deadline_s);
PwSocketResult pw__socket_read (int fd, void *data, gsize bytes, double deadline_s);
