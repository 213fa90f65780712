#include "tests/device/fake/nccl_shared.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMBERS_MAX 16
#define PIECE_BYTES ((size_t)32768)

namespace {
enum State { IDLE, POSTED, TAKEN };

struct Slot {
  int state;
  int type;
  size_t count;
  size_t n_full, n_taken; /* pieces */
  char piece[PIECE_BYTES];
};

struct Member {
  int pid, device, error, has_left;
};

struct File {
  int rings; /* a futex */
  int n_joined;
  Member members[MEMBERS_MAX];
  Slot slots[]; /* [source * n + destination] */
};

/* One post of a launch. */
struct Progress {
  bool is_posted = false, is_over = false, has_failed = false;
};
} // namespace

struct Shared {
  std::string path;
  int n;
  File *file = nullptr;
  int locks[MEMBERS_MAX]; /* of the members here: their open files; -1 */
  ~Shared () {
    if (file)
      munmap (file, bytes ());
    for (int fd : locks)
      if (fd >= 0)
        close (fd);
    unlink (path.c_str ());
  }
  size_t bytes () const {
    return sizeof (File) + (size_t)(n * n) * sizeof (Slot);
  }
};

template <class T>
static T
load (const T *at) {
  return __atomic_load_n (at, __ATOMIC_ACQUIRE);
}

template <class T>
static void
store (T *at, T value) {
  __atomic_store_n (at, value, __ATOMIC_RELEASE);
}

bool
shared_is_wanted () {
  static const char *value = getenv ("CUDA_ON_CPU_PROCESSES");
  return value && atoi (value) > 0;
}

std::shared_ptr<Shared>
shared_open (const char *id, int n) {
  auto shared = std::make_shared<Shared> ();
  shared->n = n;
  for (int &fd : shared->locks)
    fd = -1;
  const char *folder = access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  shared->path = std::string (folder) + "/cuda-on-cpu-nccl-" + id;
  int fd = n <= MEMBERS_MAX ? open (shared->path.c_str (), O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (fd < 0)
    return nullptr;
  /* Whoever comes first makes it, of zeros, and the others leave it as it is. */
  void *file = ftruncate (fd, (off_t)shared->bytes ()) == 0
                   ? mmap (nullptr, shared->bytes (), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                   : MAP_FAILED;
  close (fd);
  if (file == MAP_FAILED)
    return nullptr;
  shared->file = (File *)file;
  return shared;
}

static struct flock
byte_of (int rank) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = rank;
  lock.l_len = 1;
  return lock;
}

bool
shared_join (Shared *shared, int rank, int device) {
  Member *member = &shared->file->members[rank];
  int nobody = 0, pid = (int)getpid ();
  if (!__atomic_compare_exchange_n (&member->pid, &nobody, pid, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
    return false;
  shared->locks[rank] = open (shared->path.c_str (), O_RDWR | O_CLOEXEC);
  struct flock lock = byte_of (rank);
  if (shared->locks[rank] < 0 || fcntl (shared->locks[rank], F_OFD_SETLK, &lock) != 0)
    return false;
  member->device = device;
  if (__atomic_add_fetch (&shared->file->n_joined, 1, __ATOMIC_ACQ_REL) == shared->n)
    unlink (shared->path.c_str ());
  shared_ring (shared);
  return true;
}

void
shared_leave (Shared *shared, int rank) {
  store (&shared->file->members[rank].has_left, 1);
  close (shared->locks[rank]);
  shared->locks[rank] = -1;
  shared_ring (shared);
}

int
shared_joined (const Shared *shared) {
  return load (&shared->file->n_joined);
}

int
shared_device (const Shared *shared, int rank) {
  return shared->file->members[rank].device;
}

bool
shared_is_foreign (const Shared *shared) {
  for (int r = 0; r < shared->n; r++)
    if (load (&shared->file->members[r].pid) != (int)getpid ())
      return true;
  return false;
}

static bool
is_gone (const Shared *shared, int fd, int rank) {
  const Member *member = &shared->file->members[rank];
  struct flock lock = byte_of (rank);
  return load (&member->pid) != (int)getpid () && !load (&member->has_left)
         && fcntl (fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK
         && !load (&member->has_left);
}

ncclResult_t
shared_error (Shared *shared, int rank) {
  int error = load (&shared->file->members[rank].error);
  if (error != ncclSuccess || shared_joined (shared) < shared->n)
    return (ncclResult_t)error;
  for (int r = 0; r < shared->n; r++)
    if (is_gone (shared, shared->locks[rank], r))
      return ncclRemoteError;
  return ncclSuccess;
}

void
shared_tell_others (Shared *shared, int rank, ncclResult_t error) {
  for (int r = 0; r < shared->n; r++)
    if (r != rank)
      store (&shared->file->members[r].error, (int)error);
}

void
shared_ring (Shared *shared) {
  __atomic_add_fetch (&shared->file->rings, 1, __ATOMIC_RELEASE);
  syscall (SYS_futex, &shared->file->rings, FUTEX_WAKE, 1 << 30, nullptr, nullptr, 0);
}

static void
sleep_unless_rung (Shared *shared, int seen) {
  struct timespec limit = { 0, 20 * 1000 * 1000 };
  syscall (SYS_futex, &shared->file->rings, FUTEX_WAIT, seen, &limit, nullptr, 0);
}

/* ---- Transfers ---- */

static size_t
piece_bytes (size_t bytes, size_t piece) {
  return std::min (PIECE_BYTES, bytes - piece * PIECE_BYTES);
}

/* The caller's memory is touched in sight of the sanitizers, what is shared is not. */
static void
copy_in (Slot *slot, const char *from, size_t bytes) {
  std::vector<char> piece (from, from + bytes);
  sanitizers::Hidden hidden;
  memcpy (slot->piece, piece.data (), bytes);
}

static void
copy_out (const Slot *slot, char *to, size_t bytes) {
  std::vector<char> piece (bytes);
  {
    sanitizers::Hidden hidden;
    memcpy (piece.data (), slot->piece, bytes);
  }
  memcpy (to, piece.data (), bytes);
}

static bool
advance_send (Slot *slot, const Post *post, Progress *progress) {
  const size_t bytes = post->count * nccl_type_bytes (post->type);
  const size_t n_pieces = (bytes + PIECE_BYTES - 1) / PIECE_BYTES;
  if (!progress->is_posted) {
    if (load (&slot->state) != IDLE)
      return false;
    slot->count = post->count;
    slot->type = (int)post->type;
    store (&slot->n_full, (size_t)0);
    store (&slot->n_taken, (size_t)0);
    store (&slot->state, (int)POSTED);
    progress->is_posted = true;
    return true;
  }
  const size_t n = slot->n_full;
  if (n < n_pieces && load (&slot->n_taken) == n) {
    copy_in (slot, (const char *)post->source + n * PIECE_BYTES, piece_bytes (bytes, n));
    store (&slot->n_full, n + 1);
    return true;
  }
  if (load (&slot->state) != TAKEN)
    return false;
  store (&slot->state, (int)IDLE);
  progress->is_over = true;
  return true;
}

static bool
advance_receive (Slot *slot, const Post *post, Progress *progress) {
  const size_t bytes = post->count * nccl_type_bytes (post->type);
  const size_t n_pieces = (bytes + PIECE_BYTES - 1) / PIECE_BYTES;
  if (load (&slot->state) != POSTED)
    return false;
  if (slot->count != post->count || slot->type != (int)post->type) {
    progress->has_failed = true;
    return true;
  }
  const size_t n = slot->n_taken;
  if (n < n_pieces && load (&slot->n_full) > n) {
    copy_out (slot, (char *)post->destination + n * PIECE_BYTES, piece_bytes (bytes, n));
    store (&slot->n_taken, n + 1);
  } else if (n < n_pieces) {
    return false;
  }
  if (slot->n_taken == n_pieces) {
    store (&slot->state, (int)TAKEN);
    progress->is_over = true;
  }
  return true;
}

/* Of one peer and direction the first that is not over; true if anything has moved. */
static bool
advance (Shared *shared, const Launch *launch, std::vector<Progress> &all, size_t i) {
  const Post *post = &launch->posts[i];
  const int rank = launch->communicator->rank;
  const bool sends = post->kind == TransferKind::send;
  for (size_t j = 0; j < i; j++)
    if (!all[j].is_over && launch->posts[j].kind == post->kind
        && launch->posts[j].peer == post->peer)
      return false;
  const int source = sends ? rank : post->peer, destination = sends ? post->peer : rank;
  Slot *slot = &shared->file->slots[source * shared->n + destination];
  bool moved = sends ? advance_send (slot, post, &all[i]) : advance_receive (slot, post, &all[i]);
  if (all[i].has_failed) {
    fprintf (stderr,
             "cuda-on-cpu: NCCL: rank %d has a %s, its peer has sent %zu elements of type %d\n",
             rank, post_text (post).c_str (), slot->count, slot->type);
    shared_tell_others (shared, -1, ncclInvalidUsage);
  }
  return moved;
}

void
shared_transfer (Shared *shared, const Launch *launch, bool takes_part,
                 bool (*is_aborted) (const Launch *)) {
  std::vector<Progress> all (launch->posts.size ());
  for (size_t n_left = all.size (); n_left > 0;) {
    const int seen = load (&shared->file->rings);
    bool moved = false;
    if (is_aborted (launch))
      return;
    for (size_t i = 0; takes_part && i < all.size (); i++)
      if (!all[i].is_over && !all[i].has_failed && advance (shared, launch, all, i)) {
        moved = true;
        n_left -= all[i].is_over;
      }
    if (moved)
      shared_ring (shared);
    else
      sleep_unless_rung (shared, seen);
  }
}
