/* Communicators: their making and end, the launches on them, injected faults, what a hang says. */
#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <map>
#include <unistd.h>

#include "tests/device/fake/nccl_shared.h"
#include "tests/device/fake/runtime_private.h"

static SpinLock worlds_lock;
static std::atomic<int> version{ NCCL_VERSION_CODE };
static thread_local char last_words[256];
static struct {
  std::atomic<long> after;
  std::atomic<int> fault, now;
} faults[PW_FAKE_DEVICES_MAX];

static std::map<std::string, std::weak_ptr<World>> &
worlds () {
  static auto *all = new std::map<std::string, std::weak_ptr<World>>;
  return *all;
}

ncclResult_t
nccl_refuse (ncclResult_t code, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  vsnprintf (last_words, sizeof last_words, format, arguments);
  va_end (arguments);
  fprintf (stderr, "cuda-on-cpu: NCCL: %s\n", last_words);
  return code;
}

static void
dump_communicator (FILE *out, const std::string &name, const Communicator *member) {
  fprintf (out, "  communicator %s, rank %d of %d (device %d): %ld of %ld launches done%s\n",
           name.c_str (), member->rank, member->world->n, member->device, member->n_finished,
           member->n_issued, member->error != ncclSuccess ? ", has an asynchronous error" : "");
  if (member->running)
    for (const Post &post : member->running->posts)
      fprintf (out, "    waits in %s\n", post_text (&post).c_str ());
}

static void
dump (FILE *out) {
  SpinGuard guard (worlds_lock);
  for (auto &entry : worlds ()) {
    std::shared_ptr<World> world = entry.second.lock ();
    if (!world)
      continue;
    SpinGuard world_guard (world->lock);
    for (const Communicator *member : world->ranks)
      if (member)
        dump_communicator (out, entry.first, member);
  }
}

static std::shared_ptr<World>
find_world (const ncclUniqueId *id, int n) {
  static bool is_registered = false;
  sanitizers::Hidden hidden;
  SpinGuard guard (worlds_lock);
  if (!is_registered)
    pw__fake_on_hang (dump);
  is_registered = true;
  std::weak_ptr<World> &known = worlds ()[std::string (id->internal)];
  std::shared_ptr<World> world = known.lock ();
  if (!world) {
    world = std::make_shared<World> ();
    world->n = n;
    world->ranks.resize ((size_t)n);
    world->pairs.resize ((size_t)(n * n));
    world->n_collectives.resize ((size_t)n);
    if (n > 1 && shared_is_wanted ())
      world->shared = shared_open (id->internal, n);
    known = world;
  }
  return world;
}

static int
physical_device (const World *world, int rank) {
  return world->shared ? shared_device (world->shared.get (), rank)
                       : world->ranks[(size_t)rank]->device;
}

/* As NCCL: a device twice in one communicator is found when all have come together. */
static void
check_devices (World *world) {
  for (int i = 0; i < world->n; i++)
    for (int j = 0; j < i; j++)
      if (physical_device (world, i) == physical_device (world, j))
        world->init_error = nccl_refuse (ncclInvalidUsage, "ranks %d and %d are on device %d", j, i,
                                         physical_device (world, i));
}

bool
world_is_complete (World *world) {
  int n = world->shared ? shared_joined (world->shared.get ()) : world->n_joined;
  if (n == world->n && !world->is_settled) {
    world->is_settled = true;
    world->is_foreign = world->shared && shared_is_foreign (world->shared.get ());
    check_devices (world);
  }
  return n == world->n;
}

static ncclResult_t
join (ncclComm_t *out, int n, const ncclUniqueId *id, int rank, int device, bool is_blocking) {
  if (!out || n < 1 || rank < 0 || rank >= n)
    return nccl_refuse (ncclInvalidArgument, "rank %d of %d", rank, n);
  int n_devices;
  if (cudaGetDeviceCount (&n_devices) != cudaSuccess)
    return nccl_refuse (ncclUnhandledCudaError, "no device");
  std::shared_ptr<World> world = find_world (id, n);
  sanitizers::Hidden hidden;
  auto communicator = std::make_shared<Communicator> ();
  communicator->world = world;
  communicator->rank = rank;
  communicator->device = device;
  communicator->is_blocking = is_blocking;
  {
    SpinGuard guard (world->lock);
    if (world->n != n || world->ranks[(size_t)rank])
      return nccl_refuse (ncclInvalidArgument, "rank %d of %d has come already", rank, n);
    world->ranks[(size_t)rank] = communicator.get ();
    world->n_joined++;
    if (world->shared
        && !shared_join (world->shared.get (), rank, pw__fake_physical_device (device)))
      return nccl_refuse (ncclInvalidArgument, "rank %d of %d has come already", rank, n);
    world_is_complete (world.get ());
  }
  world->bell.ring ();
  *out = new ncclComm{ communicator };
  return ncclSuccess;
}

static bool
everybody_is_here (World *world) {
  SpinGuard guard (world->lock);
  return world_is_complete (world);
}

static ncclResult_t
wait_for_everybody (ncclComm_t comm) {
  World *world = comm->communicator->world.get ();
  Deadline deadline;
  for (;;) {
    int seen = world->bell.count ();
    if (everybody_is_here (world))
      return world->init_error;
    world->bell.sleep (seen);
    deadline.check ("ncclCommInitRank");
  }
}

static void
leave (Communicator *communicator) {
  SpinGuard guard (communicator->world->lock);
  communicator->world->ranks[(size_t)communicator->rank] = nullptr;
  if (communicator->world->shared)
    shared_leave (communicator->world->shared.get (), communicator->rank);
}

static bool
is_over (const Communicator *communicator) {
  SpinGuard guard (communicator->world->lock);
  return communicator->n_finished == communicator->n_issued || communicator->is_aborted
         || communicator->error != ncclSuccess;
}

static void
wait_until_over (const Communicator *communicator, const char *who) {
  Deadline deadline;
  for (;;) {
    int seen = communicator->world->bell.count ();
    if (is_over (communicator))
      return;
    communicator->world->bell.sleep (seen);
    deadline.check (who);
  }
}

/* The device takes part no more; who shares a communicator with it is told, if it died. */
static void
tell_others (int device) {
  SpinGuard guard (worlds_lock);
  for (auto &entry : worlds ()) {
    std::shared_ptr<World> world = entry.second.lock ();
    if (!world)
      continue;
    SpinGuard world_guard (world->lock);
    auto is_dead
        = [device] (const Communicator *member) { return member && member->device == device; };
    if (std::none_of (world->ranks.begin (), world->ranks.end (), is_dead))
      continue;
    for (Communicator *member : world->ranks) {
      if (member && !is_dead (member))
        member->error = ncclRemoteError;
      if (member && is_dead (member) && world->shared)
        shared_tell_others (world->shared.get (), member->rank, ncclRemoteError);
    }
  }
}

static bool
is_faulty (int device) {
  if (countdown (faults[device].after)) {
    faults[device].now = 1;
    if (faults[device].fault == PW_FAKE_NCCL_DEAD)
      tell_others (device);
  }
  return faults[device].now;
}

static bool
may_begin (const Launch *launch, bool *aborted) {
  SpinGuard guard (launch->communicator->world->lock);
  *aborted = launch->communicator->is_aborted;
  return *aborted || launch->communicator->n_finished == launch->tickets.front ();
}

static bool
wait_for_turn (const Launch *launch) {
  World *world = launch->communicator->world.get ();
  for (;;) {
    int seen = world->bell.count ();
    bool aborted;
    if (may_begin (launch, &aborted))
      return !aborted;
    world->bell.sleep (seen);
  }
}

static void
set_running (Launch *launch, bool is_running) {
  SpinGuard guard (launch->communicator->world->lock);
  launch->communicator->running = is_running ? launch : nullptr;
  if (is_running)
    return;
  launch->communicator->n_finished++;
  launch->tickets.pop_front ();
}

static bool
is_aborted (const Launch *launch) {
  bool aborted;
  may_begin (launch, &aborted);
  return aborted;
}

static void
transfer (const Launch *launch) {
  Communicator *communicator = launch->communicator.get ();
  World *world = communicator->world.get ();
  if (world->is_foreign) {
    shared_transfer (world->shared.get (), launch, !is_faulty (communicator->device), is_aborted);
    return;
  }
  std::vector<std::shared_ptr<Meeting>> meetings;
  if (!is_faulty (communicator->device))
    for (const Post &post : launch->posts)
      meetings.push_back (meeting_join (world, communicator->rank, &post));
  const bool takes_part = !meetings.empty ();
  size_t n_left = launch->posts.size ();
  std::vector<bool> is_done (launch->posts.size ());
  for (bool aborted = false; n_left && !aborted;) {
    int seen = world->bell.count ();
    for (size_t i = 0; takes_part && i < launch->posts.size (); i++)
      if (!is_done[i]
          && meeting_advance (world, meetings[i].get (), communicator->rank, &launch->posts[i])) {
        is_done[i] = true;
        n_left--;
      }
    may_begin (launch, &aborted);
    if (n_left && !aborted)
      world->bell.sleep (seen);
  }
  sanitizers::Hidden hidden;
  meetings.clear ();
}

void
launch_run (Launch *launch) {
  if (!wait_for_turn (launch))
    return;
  set_running (launch, true);
  transfer (launch);
  set_running (launch, false);
  launch->communicator->world->bell.ring ();
}

/* Communicators that a group makes come together at its end. */
static thread_local int group_depth;
static thread_local std::vector<ncclComm_t> made_in_group;

void
nccl_group_begin () {
  group_depth++;
}

bool
nccl_group_is_open () {
  return group_depth > 0;
}

bool
nccl_group_close () {
  return --group_depth == 0;
}

ncclResult_t
nccl_group_wait_for_members () {
  ncclResult_t result = ncclSuccess;
  for (ncclComm_t comm : made_in_group)
    if (comm->communicator->is_blocking) {
      ncclResult_t code = wait_for_everybody (comm);
      result = code != ncclSuccess ? code : result;
    }
  std::vector<ncclComm_t> ().swap (made_in_group);
  return result;
}

extern "C" {

void
pw_fake_nccl_fault (int device, long n, PwFakeNcclFault fault) {
  faults[device].now = 0;
  faults[device].fault = fault;
  faults[device].after = fault == PW_FAKE_NCCL_WELL ? 0 : n;
}

void
pw_fake_nccl_set_version (int code) {
  version = code;
}

ncclResult_t
ncclGetVersion (int *code) {
  *code = version;
  return ncclSuccess;
}

const char *
ncclGetLastError (ncclComm_t) {
  return last_words;
}

ncclResult_t
ncclGetUniqueId (ncclUniqueId *id) {
  static std::atomic<int> n;
  memset (id, 0, sizeof *id);
  snprintf (id->internal, sizeof id->internal, "%d-%d", (int)getpid (), ++n);
  return ncclSuccess;
}

ncclResult_t
ncclCommInitRankConfig (ncclComm_t *comm, int n, ncclUniqueId id, int rank, ncclConfig_t *config) {
  int device;
  cudaGetDevice (&device);
  const bool is_blocking = !config || config->blocking != 0; /* undefined: blocking */
  ncclResult_t code = join (comm, n, &id, rank, device, is_blocking);
  if (code != ncclSuccess)
    return code;
  if (!is_blocking)
    return ncclInProgress;
  if (!nccl_group_is_open ())
    return wait_for_everybody (*comm);
  made_in_group.push_back (*comm);
  return ncclSuccess;
}

ncclResult_t
ncclCommInitRank (ncclComm_t *comm, int n, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig (comm, n, id, rank, nullptr);
}

ncclResult_t
ncclCommInitAll (ncclComm_t *comms, int n, const int *devices) {
  ncclUniqueId id;
  ncclGetUniqueId (&id);
  int n_devices;
  if (cudaGetDeviceCount (&n_devices) != cudaSuccess)
    return nccl_refuse (ncclUnhandledCudaError, "no device");
  for (int i = 0; i < n; i++) {
    const int device = devices ? devices[i] : i;
    if (device < 0 || device >= n_devices)
      return nccl_refuse (ncclUnhandledCudaError, "no device %d", device);
    ncclResult_t code = join (&comms[i], n, &id, i, device, true);
    if (code != ncclSuccess)
      return code;
  }
  return n > 0 ? comms[0]->communicator->world->init_error : ncclInvalidArgument;
}

ncclResult_t
ncclCommFinalize (ncclComm_t comm) {
  if (!comm->communicator->is_blocking) {
    SpinGuard guard (comm->communicator->world->lock);
    comm->communicator->is_finalizing = true;
    return ncclInProgress;
  }
  wait_until_over (comm->communicator.get (), "ncclCommFinalize");
  return ncclSuccess;
}

/* A communicator whose transfers will never end is to be aborted, not destroyed. */
ncclResult_t
ncclCommDestroy (ncclComm_t comm) {
  if (!comm)
    return ncclSuccess;
  wait_until_over (comm->communicator.get (), "ncclCommDestroy");
  leave (comm->communicator.get ());
  sanitizers::Hidden hidden;
  delete comm;
  return ncclSuccess;
}

ncclResult_t
ncclCommAbort (ncclComm_t comm) {
  if (!comm)
    return ncclSuccess;
  {
    SpinGuard guard (comm->communicator->world->lock);
    comm->communicator->is_aborted = true;
  }
  comm->communicator->world->bell.ring ();
  if (comm->communicator->world->shared)
    shared_ring (comm->communicator->world->shared.get ());
  leave (comm->communicator.get ());
  sanitizers::Hidden hidden;
  delete comm;
  return ncclSuccess;
}

/* A communicator that does not block is asked here whether its last call is through. */
ncclResult_t
ncclCommGetAsyncError (ncclComm_t comm, ncclResult_t *error) {
  Communicator *communicator = comm->communicator.get ();
  World *world = communicator->world.get ();
  SpinGuard guard (world->lock);
  if (communicator->error == ncclSuccess && world->shared)
    communicator->error = shared_error (world->shared.get (), communicator->rank);
  if (communicator->error != ncclSuccess)
    *error = communicator->error;
  else if (!world_is_complete (world)
           || (communicator->is_finalizing && communicator->n_finished < communicator->n_issued))
    *error = ncclInProgress;
  else {
    *error = world->init_error;
    communicator->has_to_poll = false;
  }
  return ncclSuccess;
}

ncclResult_t
ncclCommCount (const ncclComm_t comm, int *n) {
  *n = comm->communicator->world->n;
  return ncclSuccess;
}

ncclResult_t
ncclCommUserRank (const ncclComm_t comm, int *rank) {
  *rank = comm->communicator->rank;
  return ncclSuccess;
}

ncclResult_t
ncclCommCuDevice (const ncclComm_t comm, int *device) {
  *device = comm->communicator->device;
  return ncclSuccess;
}

ncclResult_t
ncclMemAlloc (void **data, size_t bytes) {
  return cudaMalloc (data, bytes) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t
ncclMemFree (void *data) {
  return cudaFree (data) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}
}
