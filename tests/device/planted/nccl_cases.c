/* Faults in messages between two ranks, a thread and a device each. */
#include <nccl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/device/planted/kernels.h"
#include "tests/device/planted/planted.h"

enum { count = 64 };

typedef struct {
  const char *name;
  int rank, wrong;
  ncclUniqueId id;
  ncclComm_t comm;
  cudaStream_t compute, transfer;
  cudaEvent_t produced;
  float *mine, *other;
} Rank;

static int
is (const Rank *rank, const char *name) {
  return !strcmp (rank->name, name);
}

static void
rank_init (Rank *r) {
  CHECK (cudaSetDevice (r->rank));
  CHECK (ncclCommInitRank (&r->comm, 2, r->id, r->rank));
  CHECK (cudaStreamCreateWithFlags (&r->compute, cudaStreamNonBlocking));
  CHECK (cudaStreamCreateWithFlags (&r->transfer, cudaStreamNonBlocking));
  CHECK (cudaEventCreateWithFlags (&r->produced, cudaEventDisableTiming));
  CHECK (cudaMalloc ((void **)&r->mine, count * sizeof (float)));
  CHECK (cudaMalloc ((void **)&r->other, count * sizeof (float)));
}

static void
rank_clear (Rank *r) {
  CHECK (cudaFree (r->mine));
  CHECK (cudaFree (r->other));
  CHECK (cudaStreamDestroy (r->compute));
  CHECK (cudaStreamDestroy (r->transfer));
  CHECK (cudaEventDestroy (r->produced));
  CHECK (ncclCommDestroy (r->comm));
}

/* mine = 100 rank + i, on the compute stream; the transfer stream waits for it. */
static void
produce (Rank *r) {
  float values[count];
  for (int i = 0; i < count; i++)
    values[i] = (float)(50 * r->rank) + 0.5f * (float)i;
  CHECK (cudaMemcpyAsync (r->mine, values, sizeof values, cudaMemcpyHostToDevice, r->compute));
  CHECK (cudaStreamSynchronize (r->compute));
  CHECK (planted_scale (r->mine, count, 2.f, r->compute));
  CHECK (cudaEventRecord (r->produced, r->compute));
  if (!is (r, "send-before-producer"))
    CHECK (cudaStreamWaitEvent (r->transfer, r->produced, 0));
}

static void
send (Rank *r) {
  CHECK (ncclSend (r->mine, count, ncclFloat, 1 - r->rank, r->comm, r->transfer));
}

static void
receive (Rank *r, size_t n) {
  CHECK (ncclRecv (r->other, n, ncclFloat, 1 - r->rank, r->comm, r->transfer));
}

static void
sum (Rank *r) {
  CHECK (ncclAllReduce (r->other, r->other, count, ncclFloat, ncclSum, r->comm, r->transfer));
}

static void
communicate (Rank *r) {
  if (is (r, "ungrouped-sends")) {
    send (r);
    receive (r, count);
  } else if (is (r, "other-order") && r->rank == 0) {
    sum (r);
    receive (r, count);
  } else if (is (r, "other-order")) {
    send (r);
    sum (r);
  } else if (is (r, "other-count")) {
    if (r->rank == 0)
      receive (r, count / 2);
    else
      send (r);
  } else {
    CHECK (ncclGroupStart ());
    send (r);
    receive (r, count);
    CHECK (ncclGroupEnd ());
    sum (r);
  }
}

/* Like a program that watches its communicators: ends with 6 at the first asynchronous error. */
static void
wait_for_transfers (Rank *r) {
  cudaError_t code;
  while ((code = cudaStreamQuery (r->transfer)) == cudaErrorNotReady) {
    ncclResult_t error;
    CHECK (ncclCommGetAsyncError (r->comm, &error));
    if (error != ncclSuccess) {
      fprintf (stderr, "rank %d: asynchronous error: %s\n", r->rank, ncclGetErrorString (error));
      fflush (stderr);
      _exit (6);
    }
    usleep (200);
  }
  CHECK (code);
}

static void *
run_rank (void *data) {
  Rank *r = data;
  float values[count];
  rank_init (r);
  produce (r);
  communicate (r);
  if (is (r, "other-count"))
    wait_for_transfers (r);
  CHECK (cudaStreamSynchronize (r->transfer));
  CHECK (cudaMemcpyAsync (values, r->other, sizeof values, cudaMemcpyDeviceToHost, r->transfer));
  CHECK (cudaStreamSynchronize (r->transfer));
  for (int i = 0; i < count; i++)
    r->wrong += values[i] != (float)(100 + 2 * i);
  CHECK (cudaStreamSynchronize (r->compute));
  rank_clear (r);
  return NULL;
}

static int
run_exchange (const char *name) {
  Rank ranks[2];
  pthread_t threads[2];
  pw_fake_set_delay_us (200);
  memset (ranks, 0, sizeof ranks);
  CHECK (ncclGetUniqueId (&ranks[0].id));
  for (int i = 0; i < 2; i++) {
    ranks[i].name = name;
    ranks[i].rank = i;
    ranks[i].id = ranks[0].id;
    CHECK (pthread_create (&threads[i], NULL, run_rank, &ranks[i]));
  }
  for (int i = 0; i < 2; i++)
    CHECK (pthread_join (threads[i], NULL));
  return ranks[0].wrong + ranks[1].wrong;
}

const PlantedCase planted_nccl_cases[] = {
  { "exchange", run_exchange },        { "send-before-producer", run_exchange },
  { "ungrouped-sends", run_exchange }, { "other-order", run_exchange },
  { "other-count", run_exchange },     { NULL, NULL },
};
