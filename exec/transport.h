/* How tensors travel between ranks. A transport is one file with one table.
 *
 * A channel is one (edge, F or B, direction) of the stage edges, or, where there are two
 * directions, leads from one replica of a stage to the other: messages of a channel arrive in the
 * order they were posted. Both sides post; the buffer of a send belongs to the transport until its
 * request is done, the buffer of a receive likewise. A rank's calls come from its own worker only.
 *
 * In host memory a message is there when `wait` returns. On a device nothing waits for the device:
 *
 *   compute stream   F  event ───────────────────── wait  (memory is reused)
 *   its transport    .    └─ waits ─ transfer ─ done ┘
 *   the peer's                       transfer ─ done ┐
 *   compute stream   (allocated) event                └ wait  F
 *
 * - post_send's EVENT was recorded on the compute stream after the work that makes BUFFER;
 *   post_recv's after BUFFER was allocated, so after all that used that memory before. The
 *   communication stream waits for them. EVENT is not recorded again before the request was waited
 *   for, or before the transport is closed.
 * - wait (request, STREAM) makes STREAM wait for the transfer. The host is held up only until the
 *   transfer is enqueued, if a transport cannot enqueue it before the peer's host has posted its
 * end; what is enqueued on STREAM from then on may read a received buffer, and may write a sent
 * one.
 * - test () is TRUE once the transfer has ended, so that `wait` holds up neither host nor STREAM.
 *
 * The policy says what shares a communication stream (schedules/policy.h): everything of a rank,
 * everything between two ranks, or one direction of one edge. A policy without queues has a stream
 * per channel. */
#pragma once
#include "kernels/kernels.h"
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef struct PwTransportState PwTransportState; /* shared by all ranks of the process */
typedef struct PwRequest PwRequest;               /* owned by the transport, recycled after wait */
typedef struct PwBootstrap PwBootstrap;           /* exec/bootstrap.h */

typedef struct {
  int edge;             /* between replicas: the stage */
  gboolean is_backward; /* a gradient: from consumer to producer */
  gboolean is_replica;  /* from the replica of `direction` to the other one */
  int direction;
} PwChannel;

/* What a transport is opened for. All but the numbers must outlive it. */
typedef struct {
  const PwStageEdges *edges;
  const PwPlacement *placement; /* ranks, directions, which rank has which stage */
  PwPolicy policy;
  double timeout_s;         /* a wait longer than this fails; 0: never */
  const PwBackend *backend; /* where buffers are and streams come from; NULL: host memory */
  /* The processes of the run, which have equal shares of the ranks, in order: process p of n has
   * ranks p R/n .. (p + 1) R/n - 1, and only these are attached here. NULL: this one has all. */
  PwBootstrap *bootstrap;
} PwTransportSetup;

typedef struct PwTransport {
  const char *name; /* "threads" */
  const char *summary;
  gboolean crosses_processes; /* its ranks may be in several: PwTransportSetup.bootstrap */
  PwTransportState *(*open) (const PwTransportSetup *setup, GError **error);
  void (*close) (PwTransportState *state);
  /* What a rank needs of its device: communication streams, communicators. On the rank's own
   * thread, on all ranks at once (so it may meet the others), before its first message. Every
   * attached rank is detached: on its own thread, after its last message or a failure, before
   * memory of any rank is freed. NULL, both: nothing to do. */
  gboolean (*attach) (PwTransportState *state, int rank, PwStream *compute, GError **error);
  void (*detach) (PwTransportState *state, int rank);
  /* On a device: when the transfer of the next message that RANK posts begins and ends is recorded
   * into these as timestamps, by the time `wait` returns. NULL: cannot. */
  void (*stamp) (PwTransportState *state, int rank, PwEvent *begin, PwEvent *end);
  /* Post and return at once. EVENT: the buffer may be read, or written, after it (NULL: now). NULL
   * on error. */
  PwRequest *(*post_send) (PwTransportState *state, int rank, PwChannel channel, const void *buffer,
                           gsize bytes, PwEvent *event, GError **error);
  PwRequest *(*post_recv) (PwTransportState *state, int rank, PwChannel channel, void *buffer,
                           gsize bytes, PwEvent *event, GError **error);
  /* TRUE once the request is done; never blocks. */
  gboolean (*test) (PwTransportState *state, int rank, PwRequest *request);
  /* Blocks until done, or on a device until it is enqueued (spins shortly, then parks), then
   * recycles the request. FALSE on a timeout, abort or transport error; the message names rank,
   * peer, edge. STREAM: later work on it sees the data. */
  gboolean (*wait) (PwTransportState *state, int rank, PwRequest *request, PwStream *stream,
                    GError **error);
  /* What is posted in between is one entry of its queues. Requests are not waited for before the
   * end. */
  void (*group_begin) (PwTransportState *state, int rank);
  gboolean (*group_end) (PwTransportState *state, int rank, GError **error);
  /* Moves pending messages on; called between actions. */
  void (*progress) (PwTransportState *state, int rank);
  /* For whoever waits for a device: FALSE, naming rank, peer and edge, once a message of this rank
   * cannot arrive any more (a peer is gone), or where LATE and one has not ended yet. Never blocks;
   * the rank's own worker calls it. NULL: never. */
  gboolean (*check) (PwTransportState *state, int rank, gboolean late, GError **error);
  /* What RANK has posted since its stream began a graph is void, since there will be no graph.
   * NULL: messages cannot be part of one. */
  void (*abandon) (PwTransportState *state, int rank);
  /* Wakes every waiter of every rank; their waits fail with REASON. From any thread. */
  void (*abort) (PwTransportState *state, const char *reason);
} PwTransport;

/* Between threads of one process. */
extern const PwTransport pw_transport_threads;
/* What "threads" means where the backend is a device: copies between the ranks' memories. */
extern const PwTransport pw_transport_copies;
/* By name. "nccl" lies in the CUDA module, which is loaded by this call (kernels/module.h). */
const PwTransport *pw_transport_get (const char *name, GError **error);
/* Those that every build has. */
const PwTransport *const *pw_transport_list (void);
