/* Graphs: what is captured, and how it is launched.
 *
 *   capture   lane 0 (the origin)   [ a ]─────────[ c ]──►      each stream that a wait has pulled
 *             lane 1                   └►[ b ]────────└► d      in is a lane of nodes
 *
 * An instantiated graph has a stream of its own for each lane, so that nothing but the captured
 * order holds its nodes: the lane's own, and the waits for nodes of other lanes. The stream that
 * launches it does nothing but start them and wait until they have ended.
 *
 * Stricter than CUDA: an event that was recorded into a capture is of no use outside it, and a
 * thread that captures may not ask for events. */
#include <algorithm>

#include "tests/device/fake/runtime_private.h"

namespace {
struct Node {
  const char *what;
  std::function<void ()> run, at_launch;
  Positions after; /* in other lanes */
  bool is_waited_for = false;
};
struct Lane {
  std::vector<Node> nodes;
  Positions pending; /* what the next node has to wait for */
};
} // namespace

struct Capture {
  SpinLock lock;
  cudaStreamCaptureMode mode;
  pthread_t thread;
  CUstream_st *origin;
  std::vector<CUstream_st *> streams; /* by lane */
  std::vector<Lane> lanes;
  Positions order; /* of all nodes, as they were captured */
  std::atomic<bool> is_over{ false };
  std::atomic<cudaError_t> fault{ cudaSuccess };
};

struct CUgraph_st {
  std::shared_ptr<Capture> capture;
};

struct CUgraphExec_st {
  std::shared_ptr<Capture> capture;
  int device;
  std::vector<cudaStream_t> streams;
  std::vector<std::shared_ptr<Record>> ended; /* of the launch before */
};

static SpinLock captures_lock;
static thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
static std::atomic<long> n_live_graphs;

static std::vector<std::shared_ptr<Capture>> &
captures () {
  static auto *all = new std::vector<std::shared_ptr<Capture>>;
  return *all;
}

/* ---- While capturing ---- */

bool
is_capturing (const CUstream_st *stream) {
  return stream->capture != nullptr;
}

cudaError_t
check_capture (const CUstream_st *stream) {
  return stream->capture && stream->capture->fault != cudaSuccess
             ? set_last_error (cudaErrorStreamCaptureInvalidated)
             : cudaSuccess;
}

static cudaError_t
invalidate (Capture *capture, cudaError_t code, const char *call, const char *why) {
  capture->fault = code;
  return refuse (code, call, why);
}

cudaError_t
refuse_while_capturing (const CUstream_st *stream, const char *call) {
  return stream->capture ? invalidate (stream->capture.get (), cudaErrorStreamCaptureUnsupported,
                                       call, "the stream is being captured")
                         : cudaSuccess;
}

cudaError_t
check_unsafe_call (const char *call) {
  if (thread_mode == cudaStreamCaptureModeRelaxed)
    return cudaSuccess;
  std::shared_ptr<Capture> hit;
  {
    SpinGuard guard (captures_lock);
    for (auto &capture : captures ()) {
      const bool is_own = pthread_equal (capture->thread, pthread_self ());
      if (is_own ? capture->mode != cudaStreamCaptureModeRelaxed
                 : capture->mode == cudaStreamCaptureModeGlobal
                       && thread_mode == cudaStreamCaptureModeGlobal)
        hit = capture;
    }
  }
  return hit ? invalidate (hit.get (), cudaErrorStreamCaptureUnsupported, call,
                           "is not safe while a stream is being captured")
             : cudaSuccess;
}

cudaError_t
capture_add (CUstream_st *stream, const char *what, std::function<void ()> run,
             std::function<void ()> at_launch) {
  sanitizers::Hidden hidden;
  Capture *capture = stream->capture.get ();
  SpinGuard guard (capture->lock);
  Lane &lane = capture->lanes[(size_t)stream->lane];
  Node node;
  node.what = what;
  node.run = std::move (run);
  node.at_launch = std::move (at_launch);
  node.after.swap (lane.pending);
  for (const Position &position : node.after)
    capture->lanes[(size_t)position.lane].nodes[(size_t)position.node].is_waited_for = true;
  capture->order.push_back ({ stream->lane, (int)lane.nodes.size () });
  lane.nodes.push_back (std::move (node));
  return cudaSuccess;
}

static Positions
stands_at (const Capture *capture, int number) {
  const Lane &lane = capture->lanes[(size_t)number];
  Positions positions = lane.pending;
  if (!lane.nodes.empty ())
    positions.push_back ({ number, (int)lane.nodes.size () - 1 });
  return positions;
}

Positions
capture_position (const CUstream_st *stream) {
  SpinGuard guard (stream->capture->lock);
  return stands_at (stream->capture.get (), stream->lane);
}

cudaError_t
capture_wait (CUstream_st *stream, const std::shared_ptr<Capture> &capture,
              const Positions &positions) {
  static const char *const call = "cudaStreamWaitEvent";
  if (!capture)
    return invalidate (stream->capture.get (), cudaErrorStreamCaptureIsolation, call,
                       "the event was recorded outside the capture");
  if (capture->is_over)
    return refuse (cudaErrorCapturedEvent, call, "the event belongs to a capture that has ended");
  if (stream->capture && stream->capture != capture) {
    capture->fault = cudaErrorStreamCaptureMerge;
    return invalidate (stream->capture.get (), cudaErrorStreamCaptureMerge, call,
                       "the event belongs to another capture");
  }
  sanitizers::Hidden hidden;
  SpinGuard guard (capture->lock);
  if (!stream->capture) {
    stream->capture = capture;
    stream->lane = (int)capture->lanes.size ();
    capture->streams.push_back (stream);
    capture->lanes.emplace_back ();
  }
  Lane &lane = capture->lanes[(size_t)stream->lane];
  for (const Position &position : positions)
    if (position.lane != stream->lane)
      lane.pending.push_back (position);
  return cudaSuccess;
}

/* ---- The end of a capture ---- */

/* Whether all nodes come before where the origin stands. */
static bool
is_joined (const Capture *capture) {
  std::vector<int> reached (capture->lanes.size (), -1);
  Positions todo = stands_at (capture, 0);
  while (!todo.empty ()) {
    const Position at = todo.back ();
    todo.pop_back ();
    int &last = reached[(size_t)at.lane];
    for (int i = last + 1; i <= at.node; i++)
      for (const Position &before : capture->lanes[(size_t)at.lane].nodes[(size_t)i].after)
        todo.push_back (before);
    last = std::max (last, at.node);
  }
  for (size_t l = 0; l < reached.size (); l++)
    if (reached[l] + 1 != (int)capture->lanes[l].nodes.size ())
      return false;
  return true;
}

static void
end (const std::shared_ptr<Capture> &capture) {
  capture->is_over = true;
  for (CUstream_st *stream : capture->streams)
    stream->capture.reset ();
  SpinGuard guard (captures_lock);
  auto &all = captures ();
  all.erase (std::remove (all.begin (), all.end (), capture), all.end ());
}

/* ---- Launching ---- */

typedef std::vector<std::vector<std::shared_ptr<Record>>> Records;

/* One for each node that another lane waits for. */
static std::shared_ptr<Records>
make_records (const Capture *capture) {
  auto records = std::make_shared<Records> ();
  for (const Lane &lane : capture->lanes) {
    records->emplace_back ();
    for (const Node &node : lane.nodes)
      records->back ().push_back (node.is_waited_for ? std::make_shared<Record> () : nullptr);
  }
  return records;
}

/* What an operation of a launch holds, whose last owner may be any thread. */
struct Held {
  std::shared_ptr<Capture> capture;
  std::shared_ptr<Records> records;
  std::vector<std::shared_ptr<Record>> waits;
  std::shared_ptr<Record> completes;
  ~Held () {
    sanitizers::Hidden hidden;
    capture.reset ();
    records.reset ();
    waits.clear ();
    completes.reset ();
  }
};

static void
enqueue_order (cudaStream_t stream, const char *what,
               const std::vector<std::shared_ptr<Record>> &waits,
               const std::shared_ptr<Record> &completes) {
  auto held = std::make_shared<Held> ();
  held->waits = waits;
  held->completes = completes;
  enqueue (stream, what, [held] {
    for (auto &record : held->waits)
      record_wait (record.get (), nullptr);
    if (held->completes)
      record_complete (held->completes.get ());
  });
}

static void
enqueue_node (cudaStream_t stream, const std::shared_ptr<Capture> &capture,
              const std::shared_ptr<Records> &records, size_t l, size_t i) {
  const Node *node = &capture->lanes[l].nodes[i];
  auto held = std::make_shared<Held> ();
  held->capture = capture;
  held->records = records;
  held->completes = (*records)[l][i];
  for (const Position &position : node->after)
    held->waits.push_back ((*records)[(size_t)position.lane][(size_t)position.node]);
  enqueue (stream, node->what, [held, node] {
    for (auto &record : held->waits)
      record_wait (record.get (), nullptr);
    node->run ();
    if (held->completes)
      record_complete (held->completes.get ());
  });
}

static void
launch (CUgraphExec_st *exec, cudaStream_t stream) {
  const std::shared_ptr<Capture> &capture = exec->capture;
  auto records = make_records (capture.get ());
  auto start = std::make_shared<Record> ();
  for (const Position &position : capture->order) {
    const Node &node = capture->lanes[(size_t)position.lane].nodes[(size_t)position.node];
    if (node.at_launch)
      node.at_launch ();
  }
  enqueue_order (stream, "the start of a graph", exec->ended, start);
  exec->ended.clear ();
  for (size_t l = 0; l < capture->lanes.size (); l++) {
    exec->ended.push_back (std::make_shared<Record> ());
    enqueue_order (exec->streams[l], "a graph's start", { start }, nullptr);
    for (size_t i = 0; i < capture->lanes[l].nodes.size (); i++)
      enqueue_node (exec->streams[l], capture, records, l, i);
    enqueue_order (exec->streams[l], "the end of a graph's lane", {}, exec->ended.back ());
  }
  enqueue_order (stream, "a graph", exec->ended, nullptr);
}

extern "C" {

long
pw_fake_live_graphs (void) {
  return n_live_graphs;
}

cudaError_t
cudaStreamBeginCapture (cudaStream_t stream, cudaStreamCaptureMode mode) {
  cudaError_t code = check_stream ("cudaStreamBeginCapture", stream);
  if (code != cudaSuccess)
    return code;
  if (stream->capture)
    return refuse (cudaErrorIllegalState, "cudaStreamBeginCapture", "it is being captured");
  sanitizers::Hidden hidden;
  auto capture = std::make_shared<Capture> ();
  capture->mode = mode;
  capture->thread = pthread_self ();
  capture->origin = stream;
  capture->streams.push_back (stream);
  capture->lanes.emplace_back ();
  stream->lane = 0;
  stream->capture = capture;
  SpinGuard guard (captures_lock);
  captures ().push_back (capture);
  return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t *graph) {
  static const char *const call = "cudaStreamEndCapture";
  *graph = nullptr;
  if ((uintptr_t)stream <= 2 || !stream->capture)
    return refuse (cudaErrorIllegalState, call, "it is not being captured");
  sanitizers::Hidden hidden;
  std::shared_ptr<Capture> capture = stream->capture;
  if (capture->origin != stream)
    return invalidate (capture.get (), cudaErrorStreamCaptureUnmatched, call,
                       "the capture has begun on another stream");
  if (capture->mode != cudaStreamCaptureModeRelaxed
      && !pthread_equal (capture->thread, pthread_self ()))
    return invalidate (capture.get (), cudaErrorStreamCaptureWrongThread, call,
                       "the capture has begun on another thread");
  end (capture);
  if (capture->fault != cudaSuccess)
    return set_last_error (cudaErrorStreamCaptureInvalidated);
  if (!is_joined (capture.get ()))
    return refuse (cudaErrorStreamCaptureUnjoined, call,
                   "a stream that was pulled into the capture has not been waited for");
  *graph = new CUgraph_st{ capture };
  n_live_graphs++;
  return cudaSuccess;
}

cudaError_t
cudaStreamIsCapturing (cudaStream_t stream, cudaStreamCaptureStatus *status) {
  *status = !stream->capture                        ? cudaStreamCaptureStatusNone
            : stream->capture->fault != cudaSuccess ? cudaStreamCaptureStatusInvalidated
                                                    : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t
cudaThreadExchangeStreamCaptureMode (cudaStreamCaptureMode *mode) {
  std::swap (*mode, thread_mode);
  return cudaSuccess;
}

cudaError_t
cudaGraphInstantiate (cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags) {
  if (!out || !graph || flags)
    return set_last_error (cudaErrorInvalidValue);
  sanitizers::Hidden hidden;
  auto *exec = new CUgraphExec_st{ graph->capture, graph->capture->origin->device, {}, {} };
  exec->streams.resize (graph->capture->lanes.size ());
  for (cudaStream_t &stream : exec->streams) {
    cudaError_t code = internal_stream_new (&stream, exec->device);
    if (code != cudaSuccess)
      return code;
  }
  n_live_graphs++;
  *out = exec;
  return cudaSuccess;
}

cudaError_t
cudaGraphUpload (cudaGraphExec_t exec, cudaStream_t) {
  return set_last_error (exec ? cudaSuccess : cudaErrorInvalidValue);
}

/* Nodes of a launch are enqueued after those of the one before: they never run side by side. */
cudaError_t
cudaGraphLaunch (cudaGraphExec_t exec, cudaStream_t stream) {
  cudaError_t code = check_stream ("cudaGraphLaunch", stream);
  if (code != cudaSuccess)
    return code;
  if (!exec)
    return set_last_error (cudaErrorInvalidValue);
  if (stream->capture)
    return refuse (cudaErrorNotSupported, "cudaGraphLaunch", "into a capture is not covered");
  if (stream->device != exec->device)
    return refuse (cudaErrorInvalidValue, "cudaGraphLaunch", "the graph is of another device");
  sanitizers::Hidden hidden;
  launch (exec, stream);
  return cudaSuccess;
}

cudaError_t
cudaGraphDestroy (cudaGraph_t graph) {
  if (!graph)
    return set_last_error (cudaErrorInvalidValue);
  sanitizers::Hidden hidden;
  delete graph;
  n_live_graphs--;
  return cudaSuccess;
}

/* A launch under way is finished. */
cudaError_t
cudaGraphExecDestroy (cudaGraphExec_t exec) {
  if (!exec)
    return set_last_error (cudaErrorInvalidValue);
  sanitizers::Hidden hidden;
  for (cudaStream_t stream : exec->streams)
    cudaStreamDestroy (stream);
  delete exec;
  n_live_graphs--;
  return cudaSuccess;
}
}
