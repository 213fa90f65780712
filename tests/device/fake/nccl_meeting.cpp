/* How the participants of a transfer come together. */
#include <cstring>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "tests/device/fake/nccl_private.h"

size_t
nccl_type_bytes (ncclDataType_t type) {
  switch (type) {
  case ncclInt8:
  case ncclUint8:
    return 1;
  case ncclFloat16:
  case ncclBfloat16:
    return 2;
  case ncclInt32:
  case ncclUint32:
  case ncclFloat32:
    return 4;
  case ncclInt64:
  case ncclUint64:
  case ncclFloat64:
    return 8;
  default:
    return 0;
  }
}

const char *
transfer_name (TransferKind kind) {
  static const char *const names[]
      = { "send", "receive", "all-reduce", "broadcast", "all-gather", "reduce-scatter" };
  return names[(int)kind];
}

static bool
is_pair (TransferKind kind) {
  return kind == TransferKind::send || kind == TransferKind::receive;
}

std::string
post_text (const Post *post) {
  char text[128];
  if (is_pair (post->kind))
    snprintf (text, sizeof text, "%s %s rank %d, %zu elements of type %d%s",
              transfer_name (post->kind), post->kind == TransferKind::send ? "to" : "from",
              post->peer, post->count, (int)post->type, post->is_in_graph ? ", in a graph" : "");
  else
    snprintf (text, sizeof text, "%s of %zu elements of type %d%s", transfer_name (post->kind),
              post->count, (int)post->type, post->is_in_graph ? ", in a graph" : "");
  return text;
}

bool
Meeting::complete () const {
  for (const Part &part : parts)
    if (!part.is_here)
      return false;
  return !failed;
}

/* The bytes that a participant gives: everyone's in a reduction or a gathering. */
static size_t
given_bytes (const World *world, int rank, const Post *post) {
  const size_t bytes = post->count * nccl_type_bytes (post->type);
  switch (post->kind) {
  case TransferKind::receive:
    return 0;
  case TransferKind::broadcast:
    return rank == post->peer ? bytes : 0;
  case TransferKind::reduce_scatter:
    return bytes * (size_t)world->n;
  default:
    return bytes;
  }
}

static bool
agree (const Post *a, const Post *b) {
  const bool pair = is_pair (a->kind);
  return a->count == b->count && a->type == b->type && a->is_in_graph == b->is_in_graph
         && (pair || (a->kind == b->kind && a->peer == b->peer && a->reduction == b->reduction));
}

static std::shared_ptr<Meeting>
meeting_of_pair (World *world, int rank, const Post *post) {
  const bool sends = post->kind == TransferKind::send;
  const int source = sends ? rank : post->peer, destination = sends ? post->peer : rank;
  auto &waiting = world->pairs[(size_t)(source * world->n + destination)];
  const size_t mine = sends ? 0 : 1;
  if (!waiting.empty () && !waiting.front ()->parts[mine].is_here) {
    std::shared_ptr<Meeting> meeting = waiting.front ();
    waiting.pop_front ();
    return meeting;
  }
  auto meeting = std::make_shared<Meeting> ();
  meeting->parts.resize (2);
  waiting.push_back (meeting);
  return meeting;
}

static std::shared_ptr<Meeting>
meeting_of_all (World *world, int rank) {
  const long number = world->n_collectives[(size_t)rank]++ - world->n_collectives_gone;
  while ((long)world->collectives.size () <= number) {
    world->collectives.push_back (std::make_shared<Meeting> ());
    world->collectives.back ()->parts.resize ((size_t)world->n);
  }
  std::shared_ptr<Meeting> meeting = world->collectives[(size_t)number];
  while (!world->collectives.empty () && world->collectives.front ()->complete ()) {
    world->collectives.pop_front ();
    world->n_collectives_gone++;
  }
  return meeting;
}

static size_t
part_index (int rank, const Post *post) {
  return post->kind == TransferKind::send      ? 0
         : post->kind == TransferKind::receive ? 1
                                               : (size_t)rank;
}

/* Everyone in the world learns of it; nobody goes on until the communicator is aborted. */
static void
disagree (World *world, int rank, const Post *mine, const Post *other) {
  fprintf (stderr, "cuda-on-cpu: NCCL: rank %d has a %s, another rank has a %s\n", rank,
           post_text (mine).c_str (), post_text (other).c_str ());
  for (Communicator *member : world->ranks)
    if (member)
      member->error = ncclInvalidUsage;
}

std::shared_ptr<Meeting>
meeting_join (World *world, int rank, const Post *post) {
  const size_t bytes = given_bytes (world, rank, post);
  std::vector<char> data (bytes);
  if (bytes)
    memcpy (data.data (), post->source, bytes);
  std::shared_ptr<Meeting> meeting;
  {
    SpinGuard guard (world->lock);
    meeting
        = is_pair (post->kind) ? meeting_of_pair (world, rank, post) : meeting_of_all (world, rank);
    for (const Part &part : meeting->parts)
      if (part.is_here && !agree (&part.post, post)) {
        meeting->failed = true;
        disagree (world, rank, post, &part.post);
        break;
      }
    Part *part = &meeting->parts[part_index (rank, post)];
    part->data = std::move (data);
    part->post = *post;
    sanitizers::release (&part->mark);
    part->is_here = true;
  }
  world->bell.ring ();
  return meeting;
}

template <class T>
static T
combine (T a, T b, ncclRedOp_t reduction) {
  switch (reduction) {
  case ncclMax:
    return a > b ? a : b;
  case ncclMin:
    return a < b ? a : b;
  case ncclProd:
    return a * b;
  default:
    return a + b;
  }
}

/* Over the parts in rank order, COUNT elements from OFFSET on. SUM is the type of the arithmetic.
 */
template <class T, class Sum>
static void
reduce_as (const Meeting *meeting, size_t offset, size_t count, ncclRedOp_t reduction, char *out) {
  for (size_t i = 0; i < count; i++) {
    Sum sum = (Sum)((const T *)meeting->parts[0].data.data ())[offset + i];
    for (size_t r = 1; r < meeting->parts.size (); r++)
      sum = combine (sum, (Sum)((const T *)meeting->parts[r].data.data ())[offset + i], reduction);
    if (reduction == ncclAvg)
      sum = sum / (Sum)meeting->parts.size ();
    ((T *)out)[i] = (T)sum;
  }
}

static std::vector<char>
reduce (const Meeting *meeting, size_t offset, const Post *post) {
  std::vector<char> out (post->count * nccl_type_bytes (post->type));
  switch (post->type) {
  case ncclFloat32:
    reduce_as<float, float> (meeting, offset, post->count, post->reduction, out.data ());
    break;
  case ncclFloat64:
    reduce_as<double, double> (meeting, offset, post->count, post->reduction, out.data ());
    break;
  case ncclBfloat16:
    reduce_as<__nv_bfloat16, float> (meeting, offset, post->count, post->reduction, out.data ());
    break;
  case ncclFloat16:
    reduce_as<__half, float> (meeting, offset, post->count, post->reduction, out.data ());
    break;
  case ncclInt32:
    reduce_as<int32_t, int64_t> (meeting, offset, post->count, post->reduction, out.data ());
    break;
  case ncclUint64:
    reduce_as<uint64_t, uint64_t> (meeting, offset, post->count, post->reduction, out.data ());
    break;
  case ncclInt64:
    reduce_as<int64_t, int64_t> (meeting, offset, post->count, post->reduction, out.data ());
    break;
  default:
    reduce_as<unsigned char, int64_t> (meeting, offset, post->count, post->reduction, out.data ());
  }
  return out;
}

static std::vector<char>
gather (const Meeting *meeting) {
  std::vector<char> out;
  for (const Part &part : meeting->parts)
    out.insert (out.end (), part.data.begin (), part.data.end ());
  return out;
}

/* Everything that the participant gets; the orders of those who gave it come with it. */
static std::vector<char>
received (Meeting *meeting, int rank, const Post *post) {
  for (Part &part : meeting->parts)
    if (!part.data.empty ())
      sanitizers::acquire (&part.mark);
  switch (post->kind) {
  case TransferKind::send:
    return {};
  case TransferKind::receive:
    return meeting->parts[0].data;
  case TransferKind::broadcast:
    return meeting->parts[(size_t)post->peer].data;
  case TransferKind::all_gather:
    return gather (meeting);
  case TransferKind::reduce_scatter:
    return reduce (meeting, (size_t)rank * post->count, post);
  default:
    return reduce (meeting, 0, post);
  }
}

bool
meeting_advance (World *world, Meeting *meeting, int rank, const Post *post) {
  Part *mine = &meeting->parts[part_index (rank, post)];
  {
    SpinGuard guard (world->lock);
    if (!meeting->complete ())
      return false;
    if (post->kind == TransferKind::send)
      return meeting->parts[1].has_taken;
  }
  std::vector<char> data;
  {
    sanitizers::Hidden hidden;
    data = received (meeting, rank, post);
  }
  if (!data.empty ())
    memcpy (post->destination, data.data (), data.size ());
  {
    SpinGuard guard (world->lock);
    mine->has_taken = true;
  }
  world->bell.ring ();
  return true;
}
