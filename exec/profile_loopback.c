/* A neighbour that always has the message. */
#include "exec/profile_private.h"

struct PwTransportState {
  const PwBackend *backend;
  PwStream **streams;  /* [ranks] of those on a device */
  const void *pattern; /* what every message holds */
};

void
pw__loopback_set_pattern (PwTransportState *state, const void *pattern) {
  state->pattern = pattern;
}

static PwTransportState *
loopback_open (const PwTransportSetup *setup, GError **error) {
  (void)error;
  PwTransportState *state = g_new0 (PwTransportState, 1);
  state->backend = setup->backend;
  state->streams = g_new0 (PwStream *, (gsize)setup->placement->ranks);
  return state;
}

static gboolean
loopback_attach (PwTransportState *state, int rank, PwStream *compute, GError **error) {
  (void)error;
  state->streams[rank] = compute;
  return TRUE;
}

static void
loopback_close (PwTransportState *state) {
  g_free (state->streams);
  g_free (state);
}

static PwRequest *
loopback_post_send (PwTransportState *state, int rank, PwChannel channel, const void *buffer,
                    gsize bytes, PwEvent *event, GError **error) {
  (void)rank;
  (void)channel;
  (void)buffer;
  (void)bytes;
  (void)event;
  (void)error;
  return (PwRequest *)(void *)state;
}

static PwRequest *
loopback_post_recv (PwTransportState *state, int rank, PwChannel channel, void *buffer, gsize bytes,
                    PwEvent *event, GError **error) {
  (void)channel;
  (void)event;
  return state->backend->copy_from_host (state->streams[rank], buffer, state->pattern, bytes, error)
             ? (PwRequest *)(void *)state
             : NULL;
}

static gboolean
loopback_test (PwTransportState *state, int rank, PwRequest *request) {
  (void)state;
  (void)rank;
  (void)request;
  return TRUE;
}

static gboolean
loopback_wait (PwTransportState *state, int rank, PwRequest *request, PwStream *stream,
               GError **error) {
  (void)state;
  (void)rank;
  (void)request;
  (void)stream;
  (void)error;
  return TRUE;
}

static void
loopback_nothing (PwTransportState *state, int rank) {
  (void)state;
  (void)rank;
}

static gboolean
loopback_group_end (PwTransportState *state, int rank, GError **error) {
  (void)state;
  (void)rank;
  (void)error;
  return TRUE;
}

static void
loopback_abort (PwTransportState *state, const char *reason) {
  (void)state;
  (void)reason;
}

const PwTransport pw__transport_loopback = {
  .name = "loopback",
  .summary = "every message is there",
  .open = loopback_open,
  .close = loopback_close,
  .attach = loopback_attach,
  .detach = loopback_nothing,
  .post_send = loopback_post_send,
  .post_recv = loopback_post_recv,
  .test = loopback_test,
  .wait = loopback_wait,
  .group_begin = loopback_nothing,
  .group_end = loopback_group_end,
  .progress = loopback_nothing,
  .abort = loopback_abort,
};
