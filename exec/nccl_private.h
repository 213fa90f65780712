/* What the files of the NCCL transport share.
 *
 *   nccl_layout.c   which communicator, stream and queue each end of a channel uses
 *   nccl_agree.c    what all processes must know of each other
 *   nccl_setup.c    ranks meet, communicators are made and tried, and go again
 *   nccl_queue.c    entries of the queues are handed to NCCL in their order
 *   nccl_watch.c    errors: who waits for whom, what NCCL found on its own, aborting
 *   transport_nccl.c  the table
 *
 *   End (channel, sending or receiving) ── PwNcclPort: communicator and stream
 *                                       └─ PwNcclLane: the queue of schedules/policy.h
 *
 *   policy          ports of a rank             lanes of a rank
 *   per-edge        one per end                 one per end
 *   per-peer        one per peer                one per peer
 *   shared-stream   one                         one
 *
 * A lane and its port share a stream, unless the policy is shared-stream and ranks share devices:
 * then there is a communicator for each two ranks (NCCL refuses a device twice in one), and the
 * rank's one stream orders what runs on the ports'.
 *
 * Two ranks of one device and process have one port together: a communicator of one rank, in which
 * a send to itself and a receive from itself in one NCCL group carry the message. That needs both
 * ends, so whoever comes second enqueues both: a message is handed to NCCL once it is at the head
 * of its lane at both ends, by either thread, under the device's mutex. Messages between devices
 * are handed over as soon as they are at the head of their own lane, which is at once where no
 * ranks share devices. */
#pragma once
#include <nccl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "exec/bootstrap.h"
#include "exec/channels_private.h"
#include "exec/exec.h"
#include "exec/waiting_private.h"

typedef struct PwNcclEnd PwNcclEnd;
typedef struct PwNcclLane PwNcclLane;

/* The same number in every process. */
typedef struct {
  int ranks[2];      /* ascending; of `is_all` unused */
  gboolean is_all;   /* all ranks of the run, each with its own number */
  gboolean is_local; /* two ranks of one device: has one rank itself, ranks[0] makes it */
  ncclUniqueId id;
} PwNcclCommunicator;

typedef struct {
  int communicator;
  ncclComm_t comm;
  cudaStream_t stream;
  gboolean is_open; /* under the device's mutex: `comm` may be used by others than its maker */
} PwNcclPort;

struct PwNcclLane {
  cudaStream_t stream;     /* the port's, or, with `order`, its own */
  cudaEvent_t order;       /* the end of what is enqueued so far */
  PwRequest *first, *last; /* entries: of each the first member that is in this lane */
  gboolean is_due;         /* in the device's list */
  PwNcclLane *next_due;
};

struct PwNcclEnd {
  PwChannel channel;
  gboolean is_send;
  int rank, peer;
  int peer_in_port; /* the peer's number in the communicator */
  PwNcclPort *port; /* these are NULL where the rank is another process's */
  PwNcclLane *lane;
  PwNcclEnd *mate;         /* the other end, on the same device; NULL: elsewhere */
  PwRequest *first, *last; /* with a mate: in a lane, not yet issued */
  int64_t n_posted;
};

/* What ranks on one device have in common. */
typedef struct {
  pthread_mutex_t mutex;
  pthread_cond_t issued;
  PwNcclLane *due; /* lanes whose head is to be looked at */
} PwNcclDevice;

enum { PW_NCCL_PENDING, PW_NCCL_ISSUED, PW_NCCL_MISMATCH };

/* One message at one end; of a group the first is the entry. */
struct PwRequest {
  PwNcclEnd *end;
  void *buffer;
  gsize bytes;
  cudaEvent_t ready;   /* the caller's; NULL: now */
  cudaEvent_t started; /* its turn has come and the buffer may be used */
  cudaEvent_t done;
  PwEvent *stamp_begin, *stamp_end; /* the caller's; NULL: not wanted */
  PwRequest *entry;                 /* first of its group */
  int n_pending;                    /* of the entry: members that are not issued */
  PwRequest *next_member;           /* of the entry */
  PwRequest *next_in_lane;
  PwRequest *next_at_end;
  PwRequest *next; /* posted after it by the same rank, or in the free list */
  atomic_int state;
  gboolean is_waited_for;
  gboolean is_captured; /* in a graph: its events are not to be asked, the request is used again
                           once it was waited for */
};

typedef struct {
  gboolean is_here; /* in this process */
  gboolean is_bad;  /* its device does not answer */
  int number;       /* of its device; -1: not known yet */
  guint8 uuid[16];
  PwNcclDevice *device;
  PwStream *compute;
  PwNcclPort **ports; /* ascending by communicator */
  int n_ports;
  PwNcclLane *lanes; /* per-edge: [ends]; per-peer: [ranks]; else [1] */
  int n_lanes;
  PwRequest *free, *first, *last; /* under way: in the order they were posted */
  GPtrArray *requests;            /* all of them */
  gboolean in_group;
  PwRequest *group_first, *group_last;
  PwEvent *stamp_begin, *stamp_end; /* of the next message */
  void *scratch;                    /* device memory of the first messages */
  double polled_s;                  /* when NCCL was asked for errors */
} PwNcclRank;

struct PwTransportState {
  PwTransportSetup setup;
  int n_ranks, n_here;
  PwChannels *channels;
  PwNcclRank *ranks;
  PwNcclEnd *ends;       /* [channels->n][2]: sending, receiving; rank -1: no messages there */
  PwNcclDevice *devices; /* [n_ranks]; by number */
  PwNcclCommunicator *communicators;
  int n_communicators;
  int *communicator_of; /* [channels->n]; -1 */
  gboolean is_forked;   /* lanes have streams of their own */
  GPtrArray *ports;     /* PwNcclPort, of this process */

  /* Ranks meet. */
  pthread_mutex_t mutex;
  pthread_cond_t met;
  int n_met, n_meetings;

  atomic_int is_stopped; /* nothing is enqueued or waited for any more */
  pthread_mutex_t reason_mutex;
  char *reason;
  gboolean is_own_failure; /* the reason names rank, peer and edge itself */
  PwExecError reason_code;
};

/* nccl_layout.c */
void pw__nccl_find_ends (PwTransportState *state);
/* After the devices of all ranks are known: communicators, ports and lanes. */
void pw__nccl_lay_out (PwTransportState *state);
void pw__nccl_clear_layout (PwTransportState *state);

/* nccl_agree.c */
/* Before anything is made: all processes have the same NCCL and the same plan. */
gboolean pw__nccl_check_processes (const PwTransportState *state, GError **error);
/* One thread, while all others of the process wait: which devices ranks have, and ids. */
gboolean pw__nccl_agree (PwTransportState *state, GError **error);

/* nccl_setup.c */
gboolean pw__nccl_attach (PwTransportState *state, int rank, PwStream *compute, GError **error);
void pw__nccl_detach (PwTransportState *state, int rank);
void pw__nccl_end_local_ports (PwTransportState *state);

/* nccl_queue.c */
/* ENTRY with all its members goes to the ends of its lanes, and to NCCL if it may. RANK's thread
 * calls. */
gboolean pw__nccl_enqueue (PwTransportState *state, int rank, PwRequest *entry, GError **error);

/* nccl_watch.c */
gboolean pw__nccl_check_cuda (const char *what, cudaError_t code, GError **error);
gboolean pw__nccl_check (const char *what, ncclComm_t comm, ncclResult_t code, GError **error);
/* Until NCCL has done what was last asked of a communicator that does not block. */
gboolean pw__nccl_settle (PwTransportState *state, const char *what, ncclComm_t comm,
                          double deadline_s, GError **error);
/* Until the stream is idle. */
gboolean pw__nccl_drain (PwTransportState *state, const char *what, cudaStream_t stream,
                         double deadline_s, GError **error);
double pw__nccl_deadline (const PwTransportState *state); /* G_MAXDOUBLE: none */
/* "rank 0, receiving from rank 1, output of edge 0 (stage 0 to stage 1)" */
char *pw__nccl_describe (const PwTransportState *state, const PwNcclEnd *end);
/* END NULL: nothing in particular. */
void pw__nccl_set_error (const PwTransportState *state, const PwNcclEnd *end, PwExecError code,
                         const char *words, GError **error);
/* The first reason stays. */
void pw__nccl_stop (PwTransportState *state, PwExecError code, gboolean is_own_failure,
                    const char *reason);
/* FALSE, with the reason, once stopped. */
gboolean pw__nccl_is_running (PwTransportState *state, const PwNcclEnd *end, GError **error);
/* Asks NCCL, now and then. */
void pw__nccl_poll (PwTransportState *state, int rank);
/* The message that RANK has waited for longest; NULL: all have ended. */
const PwRequest *pw__nccl_unfinished (const PwNcclRank *rank);
void pw__nccl_abort (PwTransportState *state, const char *reason);
