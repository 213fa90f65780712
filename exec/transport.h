/* How tensors travel between ranks. A transport is one file with one table.
 *
 * A channel is one (edge, F or B, direction) of the stage edges, or, where there are two directions,
 * leads from one replica of a stage to the other: messages of a channel arrive in the order they
 * were posted. Both sides post; the buffer of a send belongs to the transport until its
 * request is done, the buffer of a receive likewise. A rank's calls come from its own worker only. */
#pragma once
#include "kernels/kernels.h"
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef struct PwTransportState PwTransportState; /* shared by all ranks of the process */
typedef struct PwRequest PwRequest;               /* owned by the transport, recycled after wait */

typedef struct {
  int edge;             /* between replicas: the stage */
  gboolean is_backward; /* a gradient: from consumer to producer */
  gboolean is_replica;  /* from the replica of `direction` to the other one */
  int direction;
} PwChannel;

typedef struct PwTransport {
  const char *name; /* "threads" */
  const char *summary;
  PwTransportState *(*open) (const PwStageEdges *edges, const PwPlacement *placement,
                             PwPolicy policy, double timeout_s, GError **error);
  void (*close) (PwTransportState *state);
  /* Post and return at once. EVENT: the send's producer (NULL: ready now). NULL on error. */
  PwRequest *(*post_send) (PwTransportState *state, int rank, PwChannel channel, const void *buffer,
                           gsize bytes, PwEvent *event, GError **error);
  PwRequest *(*post_recv) (PwTransportState *state, int rank, PwChannel channel, void *buffer,
                           gsize bytes, GError **error);
  /* TRUE once the request is done; never blocks. */
  gboolean (*test) (PwTransportState *state, int rank, PwRequest *request);
  /* Blocks until done (spins shortly, then parks), then recycles the request. FALSE on a timeout,
   * abort or transport error; the message names rank, peer, edge. STREAM: later work on it sees the
   * data. */
  gboolean (*wait) (PwTransportState *state, int rank, PwRequest *request, PwStream *stream,
                    GError **error);
  void (*group_begin) (PwTransportState *state, int rank);
  gboolean (*group_end) (PwTransportState *state, int rank, GError **error);
  /* Moves pending messages on; called between actions. */
  void (*progress) (PwTransportState *state, int rank);
  /* Wakes every waiter of every rank; their waits fail with REASON. From any thread. */
  void (*abort) (PwTransportState *state, const char *reason);
} PwTransport;

extern const PwTransport pw_transport_threads;
const PwTransport *pw_transport_get (const char *name); /* NULL: not in this build */
const PwTransport *const *pw_transport_list (void);
