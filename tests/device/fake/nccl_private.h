/* NCCL between the threads of one process; nccl_shared.h carries it between processes.
 *
 * A call, or a group's part on one communicator, is a launch: one operation of its stream, which
 * ends when all its transfers have. Launches of one communicator run in the order in which they
 * were issued, on whatever streams. A transfer is a meeting of its participants; a send ends only
 * when its receive has taken the data, the strictest thing NCCL may do.
 *
 *   sender's stream      copies its data into the meeting, waits until it was taken
 *   receiver's stream    waits for the data, copies it out
 *
 * so that each side's memory is touched in its own stream's order, and the only order that is added
 * is from who gives to who takes. */
#pragma once
#include <nccl.h>

#include <atomic>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tests/device/fake/fake.h"
#include "tests/device/fake/lock.h"

enum class TransferKind { send, receive, all_reduce, broadcast, all_gather, reduce_scatter };

/* One participant's call. Whether it is in a graph is the same for all: NCCL's rule. */
struct Post {
  TransferKind kind;
  const void *source;
  void *destination;
  size_t count;
  ncclDataType_t type;
  ncclRedOp_t reduction;
  int peer; /* of send and receive; a broadcast's root */
  bool is_in_graph = false;
};

/* What participant RANK brings. */
struct Part {
  bool is_here = false, has_taken = false;
  Post post;
  std::vector<char> data;
  char mark = 0;
};

struct Meeting {
  std::vector<Part> parts; /* p2p: sender, receiver; else by rank */
  bool failed = false;
  bool complete () const;
};

struct Communicator;
struct Shared;

struct World {
  int n;
  std::shared_ptr<Shared> shared;              /* nullptr: all members are of this process */
  bool is_settled = false, is_foreign = false; /* of a shared one: all have come, from elsewhere */
  SpinLock lock;
  Bell bell;
  std::vector<Communicator *> ranks; /* who has joined and not left */
  int n_joined = 0;
  ncclResult_t init_error = ncclSuccess;
  /* Meetings that lack a participant: [source * n + destination], and the collectives in order. */
  std::vector<std::deque<std::shared_ptr<Meeting>>> pairs;
  std::deque<std::shared_ptr<Meeting>> collectives;
  long n_collectives_gone = 0;
  std::vector<long> n_collectives; /* joined so far, by rank */
};

struct Launch;

struct Communicator {
  std::shared_ptr<World> world;
  int rank, device;
  bool is_blocking;
  /* Under the world's lock. */
  bool has_to_poll = false, is_aborted = false, is_finalizing = false;
  ncclResult_t error = ncclSuccess;
  long n_issued = 0, n_finished = 0;
  const Launch *running = nullptr;
};

struct Launch {
  std::shared_ptr<Communicator> communicator;
  /* Places in the communicator's order: of each time it is enqueued, those that have not ended. */
  std::deque<long> tickets;
  std::vector<Post> posts;
};

/* The handle's own struct, in nccl.h without a body. */
struct ncclComm {
  std::shared_ptr<Communicator> communicator;
};

/* How many have come; with the world's lock held. The last one settles whether they can be. */
bool world_is_complete (World *world);

size_t nccl_type_bytes (ncclDataType_t type); /* 0: not covered */
const char *transfer_name (TransferKind kind);
std::string post_text (const Post *post);
/* In the stream's thread, until the end of the launch or the communicator's abort. */
void launch_run (Launch *launch);

/* POST's part is put into its meeting; NULL where the participants disagree. */
std::shared_ptr<Meeting> meeting_join (World *world, int rank, const Post *post);
/* True when RANK's part of the meeting is over; the receiver's data is then in place. */
bool meeting_advance (World *world, Meeting *meeting, int rank, const Post *post);

/* Says why on standard error and for ncclGetLastError. */
ncclResult_t nccl_refuse (ncclResult_t code, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Groups, per thread. */
void nccl_group_begin ();
bool nccl_group_is_open ();
bool nccl_group_close (); /* true: that was the outermost */
ncclResult_t nccl_group_wait_for_members ();
