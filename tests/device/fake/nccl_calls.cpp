/* Sends, receives, collectives, and the groups that make one launch of several. */
#include "tests/device/fake/nccl_private.h"
#include "tests/device/fake/runtime_private.h"

namespace {
struct Call {
  std::shared_ptr<Communicator> communicator;
  cudaStream_t stream;
  Post post;
};
} // namespace

static thread_local std::vector<Call> calls; /* of the open group */
static thread_local ncclResult_t group_error;

static ncclResult_t
check_communicator (const Communicator *communicator) {
  SpinGuard guard (communicator->world->lock);
  if (communicator->error != ncclSuccess)
    return communicator->error;
  if (!world_is_complete (communicator->world.get ()) || communicator->has_to_poll)
    return nccl_refuse (
        ncclInvalidArgument,
        "a call before ncclCommGetAsyncError has said that the last one is through");
  return communicator->world->init_error;
}

static ncclResult_t
check_memory (const Communicator *communicator, const void *data, size_t bytes) {
  if (!bytes || pw__fake_device_of (data, bytes) == communicator->device)
    return ncclSuccess;
  return nccl_refuse (ncclInvalidArgument, "%zu bytes at %p are not memory of device %d", bytes,
                      data, communicator->device);
}

static ncclResult_t
check_post (const Communicator *communicator, const Post *post) {
  const World *world = communicator->world.get ();
  const size_t bytes = post->count * nccl_type_bytes (post->type);
  const bool has_peer = post->kind == TransferKind::send || post->kind == TransferKind::receive
                        || post->kind == TransferKind::broadcast;
  if (!nccl_type_bytes (post->type) || (has_peer && (post->peer < 0 || post->peer >= world->n)))
    return nccl_refuse (ncclInvalidArgument, "%s in a communicator of %d ranks",
                        post_text (post).c_str (), world->n);
  if (world->is_foreign && post->kind != TransferKind::send && post->kind != TransferKind::receive)
    return nccl_refuse (ncclInvalidUsage, "collectives between processes are not covered");
  const size_t n = (size_t)world->n;
  const bool gives
      = post->kind != TransferKind::receive
        && !(post->kind == TransferKind::broadcast && post->peer != communicator->rank);
  ncclResult_t code = ncclSuccess;
  if (gives)
    code = check_memory (communicator, post->source,
                         post->kind == TransferKind::reduce_scatter ? bytes * n : bytes);
  if (code == ncclSuccess && post->kind != TransferKind::send)
    code = check_memory (communicator, post->destination,
                         post->kind == TransferKind::all_gather ? bytes * n : bytes);
  return code;
}

/* To itself a rank sends only within a group that also receives. */
static ncclResult_t
check_self_transfers (const Launch *launch) {
  long balance = 0;
  for (const Post &post : launch->posts)
    if (post.peer == launch->communicator->rank)
      balance += post.kind == TransferKind::send ? 1 : post.kind == TransferKind::receive ? -1 : 0;
  return balance == 0 ? ncclSuccess
                      : nccl_refuse (ncclInvalidUsage,
                                     "a send to itself without its receive in the same group");
}

static void
run (void *data) {
  launch_run ((Launch *)data);
}

/* Its place in the communicator's order, also when a graph launches it. */
static void
issue (void *data) {
  Launch *launch = (Launch *)data;
  Communicator *communicator = launch->communicator.get ();
  SpinGuard guard (communicator->world->lock);
  launch->tickets.push_back (communicator->n_issued++);
}

static void
free_launch (void *data) {
  delete (Launch *)data;
}

static ncclResult_t
start (Launch *launch, cudaStream_t stream) {
  Communicator *communicator = launch->communicator.get ();
  ncclResult_t code = check_self_transfers (launch);
  if (code != ncclSuccess) {
    delete launch;
    return code;
  }
  {
    SpinGuard guard (communicator->world->lock);
    communicator->has_to_poll = !communicator->is_blocking;
  }
  for (Post &post : launch->posts)
    post.is_in_graph = pw__fake_is_capturing (stream);
  const bool is_blocking = communicator->is_blocking;
  if (pw__fake_enqueue (stream, "an NCCL launch", run, issue, free_launch, launch) != cudaSuccess)
    return ncclUnhandledCudaError;
  return is_blocking ? ncclSuccess : ncclInProgress;
}

/* One launch per communicator, in the order of its first call. */
static ncclResult_t
flush () {
  sanitizers::Hidden hidden;
  std::vector<std::pair<Launch *, cudaStream_t>> launches;
  ncclResult_t result = ncclSuccess;
  for (const Call &call : calls) {
    Launch *launch = nullptr;
    for (auto &known : launches)
      if (known.first->communicator == call.communicator) {
        launch = known.first;
        if (known.second != call.stream)
          result = nccl_refuse (ncclInvalidUsage,
                                "two streams for one communicator in one group are not covered");
      }
    if (!launch) {
      launch = new Launch{ call.communicator, {}, {} };
      launches.push_back ({ launch, call.stream });
    }
    launch->posts.push_back (call.post);
  }
  std::vector<Call> ().swap (calls);
  for (auto &launch : launches) {
    ncclResult_t code = ncclSuccess;
    if (result != ncclSuccess && result != ncclInProgress)
      delete launch.first;
    else
      code = start (launch.first, launch.second);
    result = code != ncclSuccess ? code : result;
  }
  return result;
}

static ncclResult_t
add (ncclComm_t comm, cudaStream_t stream, const Post &post) {
  if (!comm)
    return nccl_refuse (ncclInvalidArgument, "a communicator that is NULL");
  ncclResult_t code = check_communicator (comm->communicator.get ());
  if (code == ncclSuccess)
    code = check_post (comm->communicator.get (), &post);
  if (code != ncclSuccess) {
    group_error = nccl_group_is_open () ? code : ncclSuccess;
    return code;
  }
  {
    sanitizers::Hidden hidden;
    calls.push_back ({ comm->communicator, stream, post });
  }
  return nccl_group_is_open () ? ncclSuccess : flush ();
}

extern "C" {

ncclResult_t
ncclGroupStart (void) {
  nccl_group_begin ();
  return ncclSuccess;
}

ncclResult_t
ncclGroupEnd (void) {
  if (!nccl_group_is_open ())
    return nccl_refuse (ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  if (!nccl_group_close ())
    return ncclSuccess;
  ncclResult_t code = nccl_group_wait_for_members ();
  if (group_error != ncclSuccess) {
    code = group_error;
    group_error = ncclSuccess;
    std::vector<Call> ().swap (calls);
  }
  return code != ncclSuccess ? code : flush ();
}

ncclResult_t
ncclSend (const void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
          cudaStream_t stream) {
  return add (comm, stream, { TransferKind::send, data, nullptr, count, type, ncclSum, peer });
}

ncclResult_t
ncclRecv (void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
          cudaStream_t stream) {
  return add (comm, stream, { TransferKind::receive, nullptr, data, count, type, ncclSum, peer });
}

ncclResult_t
ncclAllReduce (const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t reduction,
               ncclComm_t comm, cudaStream_t stream) {
  return add (comm, stream, { TransferKind::all_reduce, from, to, count, type, reduction, -1 });
}

ncclResult_t
ncclBroadcast (const void *from, void *to, size_t count, ncclDataType_t type, int root,
               ncclComm_t comm, cudaStream_t stream) {
  return add (comm, stream, { TransferKind::broadcast, from, to, count, type, ncclSum, root });
}

ncclResult_t
ncclBcast (void *data, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
           cudaStream_t stream) {
  return ncclBroadcast (data, data, count, type, root, comm, stream);
}

ncclResult_t
ncclAllGather (const void *from, void *to, size_t count, ncclDataType_t type, ncclComm_t comm,
               cudaStream_t stream) {
  return add (comm, stream, { TransferKind::all_gather, from, to, count, type, ncclSum, -1 });
}

ncclResult_t
ncclReduceScatter (const void *from, void *to, size_t count, ncclDataType_t type,
                   ncclRedOp_t reduction, ncclComm_t comm, cudaStream_t stream) {
  return add (comm, stream, { TransferKind::reduce_scatter, from, to, count, type, reduction, -1 });
}

const char *
ncclGetErrorString (ncclResult_t code) {
  switch (code) {
  case ncclSuccess:
    return "no error";
  case ncclUnhandledCudaError:
    return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
  case ncclSystemError:
    return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
  case ncclInternalError:
    return "internal error - please report this issue to the NCCL developers";
  case ncclInvalidArgument:
    return "invalid argument (run with NCCL_DEBUG=WARN for details)";
  case ncclInvalidUsage:
    return "invalid usage (run with NCCL_DEBUG=WARN for details)";
  case ncclRemoteError:
    return "remote process exited or there was a network error";
  case ncclInProgress:
    return "NCCL operation in progress";
  default:
    return "unknown result code";
  }
}
}
