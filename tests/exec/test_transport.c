/* Messages between threads: order, contents, parking, the end of a waiting rank. */
#include <pthread.h>
#include <string.h>

#include "exec/exec.h"

#define MESSAGES 700 /* several segments of a queue */

typedef struct {
  PwTransportState *state;
  int rank;
  unsigned seed;
  gboolean failed;
} Peer;

static const PwTransport *const threads = &pw_transport_threads;

static PwTransportState *
open_pair (double timeout_s) {
  static PwStageEdges *edges;
  static PwPlacement *placement;
  if (!edges) {
    edges = pw_stage_edges_new_chain (2);
    placement = pw_placement_new (PW_PLACEMENT_LOOP, 2, 2);
  }
  g_autoptr (GError) error = NULL;
  PwTransportSetup setup = {
    .edges = edges, .placement = placement, .policy = PW_POLICY_DEFAULT, .timeout_s = timeout_s
  };
  PwTransportState *state = threads->open (&setup, &error);
  g_assert_no_error (error);
  return state;
}

static gsize
size_of (int message) {
  return (gsize)(1 + message * 7 % 50) * sizeof (int);
}

static unsigned
next (unsigned *seed) {
  *seed = *seed * 1103515245u + 12345u;
  return *seed >> 16;
}

/* Posts up to 9 receives and 9 sends ahead, in an order that differs from rank to rank. */
static void *
exchange (void *data) {
  Peer *peer = data;
  PwChannel out = { .is_backward = peer->rank == 1 };
  PwChannel in = { .is_backward = peer->rank == 0 };
  int (*buffers)[50] = g_malloc0 (sizeof (int[2 * MESSAGES][50]));
  PwRequest *sends[MESSAGES], *receives[MESSAGES];
  int posted_sends = 0, posted_receives = 0, done_sends = 0, done_receives = 0;
  while (done_sends < MESSAGES || done_receives < MESSAGES) {
    unsigned choice = next (&peer->seed) % 4;
    if (choice == 0 && posted_sends < MESSAGES && posted_sends < done_sends + 150) {
      int m = posted_sends++;
      for (int i = 0; i < 50; i++)
        buffers[m][i] = m * 100 + i + peer->rank;
      sends[m]
          = threads->post_send (peer->state, peer->rank, out, buffers[m], size_of (m), NULL, NULL);
    } else if (choice == 1 && posted_receives < MESSAGES && posted_receives < done_receives + 150) {
      int m = posted_receives++;
      receives[m] = threads->post_recv (peer->state, peer->rank, in, buffers[MESSAGES + m],
                                        size_of (m), NULL, NULL);
    } else if (choice == 2 && done_receives < posted_receives) {
      int m = done_receives++;
      if (!threads->wait (peer->state, peer->rank, receives[m], NULL, NULL))
        peer->failed = TRUE;
      for (gsize i = 0; i < size_of (m) / sizeof (int); i++)
        peer->failed |= buffers[MESSAGES + m][i] != m * 100 + (int)i + 1 - peer->rank;
    } else if (choice == 3 && done_sends < posted_sends
               && threads->test (peer->state, peer->rank, sends[done_sends])) {
      peer->failed |= !threads->wait (peer->state, peer->rank, sends[done_sends++], NULL, NULL);
    }
    threads->progress (peer->state, peer->rank);
    /* A rank blocked on a receive must find its message posted some time: send first. */
    if (posted_sends < MESSAGES && done_receives == posted_receives)
      continue;
    while (posted_sends < posted_receives) {
      int m = posted_sends++;
      for (int i = 0; i < 50; i++)
        buffers[m][i] = m * 100 + i + peer->rank;
      sends[m]
          = threads->post_send (peer->state, peer->rank, out, buffers[m], size_of (m), NULL, NULL);
    }
  }
  g_free (buffers);
  return NULL;
}

static void
many_messages (void) {
  Peer peers[2];
  pthread_t thread[2];
  PwTransportState *state = open_pair (60);
  for (int r = 0; r < 2; r++) {
    peers[r] = (Peer){ .state = state, .rank = r, .seed = (unsigned)g_test_rand_int () };
    pthread_create (&thread[r], NULL, exchange, &peers[r]);
  }
  for (int r = 0; r < 2; r++)
    pthread_join (thread[r], NULL);
  g_assert_false (peers[0].failed || peers[1].failed);
  threads->close (state);
}

static void
sends_are_done_when_taken (void) {
  g_autoptr (GError) error = NULL;
  PwTransportState *state = open_pair (0);
  PwChannel channel = { 0 };
  int from = 7, to = 0;
  PwRequest *send = threads->post_send (state, 0, channel, &from, sizeof from, NULL, &error);
  threads->progress (state, 1);
  g_assert_false (threads->test (state, 0, send));
  PwRequest *receive = threads->post_recv (state, 1, channel, &to, sizeof to, NULL, &error);
  g_assert_false (threads->test (state, 0, send));
  g_assert_true (threads->test (state, 1, receive));
  g_assert_true (threads->test (state, 0, send));
  g_assert_true (threads->wait (state, 1, receive, NULL, &error));
  g_assert_true (threads->wait (state, 0, send, NULL, &error));
  g_assert_cmpint (to, ==, 7);
  threads->close (state);
}

static void
sizes_must_agree (void) {
  g_autoptr (GError) error = NULL;
  PwTransportState *state = open_pair (0);
  PwChannel channel = { .is_backward = TRUE };
  char buffer[16] = { 0 };
  threads->post_send (state, 1, channel, buffer, 4, NULL, &error);
  PwRequest *receive = threads->post_recv (state, 0, channel, buffer + 8, 8, NULL, &error);
  g_assert_false (threads->wait (state, 0, receive, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA);
  g_assert_nonnull (strstr (error->message, "rank 0, receiving from rank 1, gradient of edge 0"));
  threads->close (state);
}

static void *
wait_for_nothing (void *data) {
  Peer *peer = data;
  GError *error = NULL;
  int to;
  PwRequest *receive
      = threads->post_recv (peer->state, 1, (PwChannel){ 0 }, &to, sizeof to, NULL, NULL);
  peer->failed = !threads->wait (peer->state, 1, receive, NULL, &error);
  return error;
}

static void
aborts_wake (void) {
  for (int i = 0; i < 20; i++) {
    Peer peer = { .state = open_pair (0), .rank = 1 };
    pthread_t thread;
    void *result;
    pthread_create (&thread, NULL, wait_for_nothing, &peer);
    if (i % 2)
      g_usleep (2000); /* parked by now, probably */
    threads->abort (peer.state, "the cat");
    pthread_join (thread, &result);
    g_autoptr (GError) error = result;
    g_assert_true (peer.failed);
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED);
    g_assert_nonnull (strstr (error->message, "the cat"));
    threads->close (peer.state);
  }
}

static void
waits_time_out (void) {
  g_autoptr (GError) error = NULL;
  int to;
  PwTransportState *state = open_pair (0.05);
  PwRequest *receive = threads->post_recv (state, 1, (PwChannel){ 0 }, &to, sizeof to, NULL, NULL);
  g_assert_false (threads->wait (state, 1, receive, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (error->message, "rank 1, receiving from rank 0, output of edge 0"));
  threads->close (state);
}

static void
transports_are_listed (void) {
  g_assert_true (pw_transport_get ("threads", NULL) == &pw_transport_threads);
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_transport_get ("pigeons", &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
  for (int i = 0; pw_transport_list ()[i]; i++)
    g_assert_true (pw_transport_get (pw_transport_list ()[i]->name, NULL)
                   == pw_transport_list ()[i]);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/transport/transports-are-found-by-name", transports_are_listed);
  g_test_add_func ("/exec/transport/messages-arrive-whole-and-in-order", many_messages);
  g_test_add_func ("/exec/transport/a-send-is-done-when-its-receive-has-it",
                   sends_are_done_when_taken);
  g_test_add_func ("/exec/transport/sizes-must-agree", sizes_must_agree);
  g_test_add_func ("/exec/transport/an-abort-wakes-who-waits", aborts_wake);
  g_test_add_func ("/exec/transport/waits-end-with-the-timeout", waits_time_out);
  return g_test_run ();
}
