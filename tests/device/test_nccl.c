/* The fake NCCL keeps NCCL's rules, and its injected faults look like NCCL's. */
#include <cuda_runtime_api.h>
#include <glib.h>
#include <nccl.h>
#include <pthread.h>

#include "tests/device/fake/fake.h"

#define SUCCEEDS(call) g_assert_cmpint (call, ==, 0)

enum { count = 16, n_ranks = 3 };

/* Ranks of one communicator, driven by one thread: what NCCL calls several devices per thread. */
typedef struct {
  int n;
  ncclComm_t comms[n_ranks];
  cudaStream_t streams[n_ranks];
  float *from[n_ranks], *to[n_ranks];
} Ranks;

static void
use (int rank) {
  SUCCEEDS (cudaSetDevice (rank));
}

/* Rank r has the values 10 r + i. */
static void
ranks_init (Ranks *ranks, int n) {
  ranks->n = n;
  SUCCEEDS (ncclCommInitAll (ranks->comms, n, NULL));
  for (int r = 0; r < n; r++) {
    float values[count];
    use (r);
    for (int i = 0; i < count; i++)
      values[i] = (float)(10 * r + i);
    SUCCEEDS (cudaStreamCreateWithFlags (&ranks->streams[r], cudaStreamNonBlocking));
    SUCCEEDS (cudaMalloc ((void **)&ranks->from[r], sizeof values));
    SUCCEEDS (cudaMalloc ((void **)&ranks->to[r], n_ranks * sizeof values));
    SUCCEEDS (cudaMemcpyAsync (ranks->from[r], values, sizeof values, cudaMemcpyHostToDevice,
                               ranks->streams[r]));
    SUCCEEDS (cudaStreamSynchronize (ranks->streams[r]));
  }
}

static void
ranks_clear (Ranks *ranks) {
  for (int r = 0; r < ranks->n; r++) {
    use (r);
    SUCCEEDS (cudaFree (ranks->from[r]));
    SUCCEEDS (cudaFree (ranks->to[r]));
    SUCCEEDS (cudaStreamDestroy (ranks->streams[r]));
    if (ranks->comms[r])
      SUCCEEDS (ncclCommDestroy (ranks->comms[r]));
  }
  use (0);
}

static void
get (Ranks *ranks, int rank, float *values, size_t n) {
  SUCCEEDS (cudaMemcpyAsync (values, ranks->to[rank], n * sizeof *values, cudaMemcpyDeviceToHost,
                             ranks->streams[rank]));
  SUCCEEDS (cudaStreamSynchronize (ranks->streams[rank]));
}

static void
test_collectives_compute (void) {
  Ranks ranks;
  float values[n_ranks * count];
  ranks_init (&ranks, n_ranks);
  SUCCEEDS (ncclGroupStart ());
  for (int r = 0; r < n_ranks; r++)
    SUCCEEDS (ncclAllReduce (ranks.from[r], ranks.to[r], count, ncclFloat, ncclSum, ranks.comms[r],
                             ranks.streams[r]));
  SUCCEEDS (ncclGroupEnd ());
  for (int r = 0; r < n_ranks; r++) {
    get (&ranks, r, values, count);
    for (int i = 0; i < count; i++)
      g_assert_cmpfloat (values[i], ==, (float)(30 + 3 * i));
  }
  SUCCEEDS (ncclGroupStart ());
  for (int r = 0; r < n_ranks; r++)
    SUCCEEDS (ncclAllGather (ranks.from[r], ranks.to[r], count, ncclFloat, ranks.comms[r],
                             ranks.streams[r]));
  SUCCEEDS (ncclGroupEnd ());
  for (int r = 0; r < n_ranks; r++) {
    get (&ranks, r, values, n_ranks * count);
    for (int i = 0; i < n_ranks * count; i++)
      g_assert_cmpfloat (values[i], ==, (float)(10 * (i / count) + i % count));
  }
  SUCCEEDS (ncclGroupStart ());
  for (int r = 0; r < n_ranks; r++)
    SUCCEEDS (ncclBroadcast (ranks.from[r], ranks.to[r], count, ncclFloat, 2, ranks.comms[r],
                             ranks.streams[r]));
  SUCCEEDS (ncclGroupEnd ());
  for (int r = 0; r < n_ranks; r++) {
    get (&ranks, r, values, count);
    for (int i = 0; i < count; i++)
      g_assert_cmpfloat (values[i], ==, (float)(20 + i));
  }
  ranks_clear (&ranks);
}

static void
test_calls_to_one_peer_match_in_order (void) {
  Ranks ranks;
  float values[count];
  ranks_init (&ranks, 2);
  SUCCEEDS (ncclGroupStart ());
  for (size_t part = 0; part < 2; part++) {
    SUCCEEDS (
        ncclSend (ranks.from[0] + part * 8, 8, ncclFloat, 1, ranks.comms[0], ranks.streams[0]));
    SUCCEEDS (
        ncclRecv (ranks.to[1] + (1 - part) * 8, 8, ncclFloat, 0, ranks.comms[1], ranks.streams[1]));
  }
  SUCCEEDS (ncclGroupEnd ());
  get (&ranks, 1, values, count);
  for (int i = 0; i < count; i++)
    g_assert_cmpfloat (values[i], ==, (float)((i + 8) % 16));
  ranks_clear (&ranks);
}

static void
test_a_send_ends_when_it_was_received (void) {
  Ranks ranks;
  ranks_init (&ranks, 2);
  SUCCEEDS (ncclSend (ranks.from[0], count, ncclFloat, 1, ranks.comms[0], ranks.streams[0]));
  for (int i = 0; i < 20; i++) {
    g_assert_cmpint (cudaStreamQuery (ranks.streams[0]), ==, cudaErrorNotReady);
    g_usleep (100);
  }
  SUCCEEDS (ncclRecv (ranks.to[1], count, ncclFloat, 0, ranks.comms[1], ranks.streams[1]));
  SUCCEEDS (cudaStreamSynchronize (ranks.streams[0]));
  ranks_clear (&ranks);
}

static void
test_to_itself_only_within_a_group (void) {
  Ranks ranks;
  float values[count];
  ranks_init (&ranks, 1);
  g_assert_cmpint (ncclSend (ranks.from[0], count, ncclFloat, 0, ranks.comms[0], ranks.streams[0]),
                   ==, ncclInvalidUsage);
  SUCCEEDS (ncclGroupStart ());
  SUCCEEDS (ncclSend (ranks.from[0], count, ncclFloat, 0, ranks.comms[0], ranks.streams[0]));
  SUCCEEDS (ncclRecv (ranks.to[0], count, ncclFloat, 0, ranks.comms[0], ranks.streams[0]));
  SUCCEEDS (ncclGroupEnd ());
  get (&ranks, 0, values, count);
  for (int i = 0; i < count; i++)
    g_assert_cmpfloat (values[i], ==, (float)i);
  ranks_clear (&ranks);
}

static void
test_a_device_has_one_rank (void) {
  const int twice[] = { 1, 1 };
  ncclComm_t comms[2];
  g_assert_cmpint (ncclCommInitAll (comms, 2, twice), ==, ncclInvalidUsage);
  for (int r = 0; r < 2; r++)
    SUCCEEDS (ncclCommDestroy (comms[r]));
}

static void
test_wrong_calls_are_refused (void) {
  Ranks ranks;
  float on_host[count] = { 0 };
  ranks_init (&ranks, 2);
  ncclComm_t comm = ranks.comms[0];
  cudaStream_t stream = ranks.streams[0];
  g_assert_cmpint (ncclSend (ranks.from[0], count, ncclFloat, 2, comm, stream), ==,
                   ncclInvalidArgument);
  g_assert_cmpint (ncclSend (on_host, count, ncclFloat, 1, comm, stream), ==, ncclInvalidArgument);
  g_assert_cmpint (ncclSend (ranks.from[1], count, ncclFloat, 1, comm, stream), ==,
                   ncclInvalidArgument);
  g_assert_cmpint (ncclSend (ranks.from[0], count + 1, ncclFloat, 1, comm, stream), ==,
                   ncclInvalidArgument);
  g_assert_cmpint (ncclGroupEnd (), ==, ncclInvalidUsage);
  SUCCEEDS (ncclGroupStart ());
  g_assert_cmpint (ncclSend (ranks.from[0], count, ncclFloat, 7, comm, stream), ==,
                   ncclInvalidArgument);
  g_assert_cmpint (ncclGroupEnd (), ==, ncclInvalidArgument);
  ranks_clear (&ranks);
}

/* Waits as a program does that watches its communicators, and aborts them at the first error. */
static ncclResult_t
watch (Ranks *ranks, int rank) {
  ncclResult_t error = ncclSuccess;
  while (cudaStreamQuery (ranks->streams[rank]) == cudaErrorNotReady && error == ncclSuccess) {
    SUCCEEDS (ncclCommGetAsyncError (ranks->comms[rank], &error));
    g_usleep (100);
  }
  return error;
}

static void
abort_all (Ranks *ranks) {
  for (int r = 0; r < ranks->n; r++) {
    SUCCEEDS (ncclCommAbort (ranks->comms[r]));
    ranks->comms[r] = NULL;
    SUCCEEDS (cudaStreamSynchronize (ranks->streams[r]));
  }
}

static void
exchange (Ranks *ranks) {
  SUCCEEDS (ncclGroupStart ());
  for (int r = 0; r < 2; r++) {
    SUCCEEDS (
        ncclSend (ranks->from[r], count, ncclFloat, 1 - r, ranks->comms[r], ranks->streams[r]));
    SUCCEEDS (ncclRecv (ranks->to[r], count, ncclFloat, 1 - r, ranks->comms[r], ranks->streams[r]));
  }
  SUCCEEDS (ncclGroupEnd ());
}

static void
test_a_dead_peer_is_an_asynchronous_error (void) {
  Ranks ranks;
  ranks_init (&ranks, 2);
  pw_fake_nccl_fault (1, 2, PW_FAKE_NCCL_DEAD);
  exchange (&ranks);
  g_assert_cmpint (watch (&ranks, 0), ==, ncclSuccess);
  exchange (&ranks);
  g_assert_cmpint (watch (&ranks, 0), ==, ncclRemoteError);
  g_assert_cmpint (ncclSend (ranks.from[0], count, ncclFloat, 1, ranks.comms[0], ranks.streams[0]),
                   ==, ncclRemoteError);
  abort_all (&ranks);
  pw_fake_nccl_fault (1, 0, PW_FAKE_NCCL_WELL);
  ranks_clear (&ranks);
}

static void
test_a_hung_peer_is_silent_until_the_abort (void) {
  Ranks ranks;
  ncclResult_t error;
  ranks_init (&ranks, 2);
  pw_fake_nccl_fault (1, 1, PW_FAKE_NCCL_HUNG);
  exchange (&ranks);
  for (int i = 0; i < 20; i++) {
    g_assert_cmpint (cudaStreamQuery (ranks.streams[0]), ==, cudaErrorNotReady);
    SUCCEEDS (ncclCommGetAsyncError (ranks.comms[0], &error));
    SUCCEEDS (error);
    g_usleep (100);
  }
  abort_all (&ranks);
  pw_fake_nccl_fault (1, 0, PW_FAKE_NCCL_WELL);
  ranks_clear (&ranks);
}

/* The second launch of a communicator waits for the first, on whatever streams they are. */
static void
test_launches_of_a_communicator_keep_their_order (void) {
  Ranks ranks;
  cudaStream_t other;
  float values[count];
  ranks_init (&ranks, 2);
  SUCCEEDS (cudaStreamCreateWithFlags (&other, cudaStreamNonBlocking));
  SUCCEEDS (ncclSend (ranks.from[0], 8, ncclFloat, 1, ranks.comms[0], ranks.streams[0]));
  SUCCEEDS (ncclSend (ranks.from[0] + 8, 8, ncclFloat, 1, ranks.comms[0], other));
  SUCCEEDS (ncclRecv (ranks.to[1], 8, ncclFloat, 0, ranks.comms[1], ranks.streams[1]));
  SUCCEEDS (cudaStreamSynchronize (ranks.streams[0]));
  g_assert_cmpint (cudaStreamQuery (other), ==, cudaErrorNotReady);
  SUCCEEDS (ncclRecv (ranks.to[1] + 8, 8, ncclFloat, 0, ranks.comms[1], ranks.streams[1]));
  SUCCEEDS (cudaStreamSynchronize (other));
  get (&ranks, 1, values, count);
  for (int i = 0; i < count; i++)
    g_assert_cmpfloat (values[i], ==, (float)i);
  SUCCEEDS (cudaStreamDestroy (other));
  ranks_clear (&ranks);
}

static void
test_a_communicator_that_does_not_block_is_polled (void) {
  Ranks ranks;
  ncclComm_t comms[2];
  ncclUniqueId id;
  ncclResult_t error;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ranks_init (&ranks, 2);
  SUCCEEDS (ncclGetUniqueId (&id));
  use (0);
  g_assert_cmpint (ncclCommInitRankConfig (&comms[0], 2, id, 0, &config), ==, ncclInProgress);
  SUCCEEDS (ncclCommGetAsyncError (comms[0], &error));
  g_assert_cmpint (error, ==, ncclInProgress);
  g_assert_cmpint (ncclSend (ranks.from[0], count, ncclFloat, 1, comms[0], ranks.streams[0]), ==,
                   ncclInvalidArgument);
  use (1);
  g_assert_cmpint (ncclCommInitRankConfig (&comms[1], 2, id, 1, &config), ==, ncclInProgress);
  for (int r = 0; r < 2; r++) {
    SUCCEEDS (ncclCommGetAsyncError (comms[r], &error));
    SUCCEEDS (error);
  }
  g_assert_cmpint (ncclSend (ranks.from[0], count, ncclFloat, 1, comms[0], ranks.streams[0]), ==,
                   ncclInProgress);
  g_assert_cmpint (ncclRecv (ranks.to[1], count, ncclFloat, 0, comms[1], ranks.streams[1]), ==,
                   ncclInProgress);
  SUCCEEDS (cudaStreamSynchronize (ranks.streams[0]));
  SUCCEEDS (cudaStreamSynchronize (ranks.streams[1]));
  for (int r = 0; r < 2; r++)
    SUCCEEDS (ncclCommDestroy (comms[r]));
  ranks_clear (&ranks);
}

int
main (int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run) (void);
  } tests[] = {
    { "collectives-compute", test_collectives_compute },
    { "calls-to-one-peer-match-in-order", test_calls_to_one_peer_match_in_order },
    { "a-send-ends-when-it-was-received", test_a_send_ends_when_it_was_received },
    { "to-itself-only-within-a-group", test_to_itself_only_within_a_group },
    { "a-device-has-one-rank", test_a_device_has_one_rank },
    { "wrong-calls-are-refused", test_wrong_calls_are_refused },
    { "a-dead-peer-is-an-asynchronous-error", test_a_dead_peer_is_an_asynchronous_error },
    { "a-hung-peer-is-silent-until-the-abort", test_a_hung_peer_is_silent_until_the_abort },
    { "launches-of-a-communicator-keep-their-order",
      test_launches_of_a_communicator_keep_their_order },
    { "a-communicator-that-does-not-block-is-polled",
      test_a_communicator_that_does_not_block_is_polled },
  };
  g_test_init (&argc, &argv, NULL);
  pw_fake_set_devices (n_ranks);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strconcat ("/device/nccl/", tests[i].name, NULL);
    g_test_add_func (path, tests[i].run);
  }
  return g_test_run ();
}
