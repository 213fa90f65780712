/* The CUDA backend as a device, on the fakes of tests/device: streams, copies, events, the clock,
 * and what is said when the device fails. After each test nothing is left on it. */
#include "kernels/cuda/cuda_private.h"
#include "tests/device/fake/fake.h"
#include <string.h>
#include <time.h>

#define CLOCK_ERROR_S 0.05 /* half of the shortest of some rounds, on a busy machine */

static PwStream *
new_stream (int rank) {
  g_autoptr (GError) error = NULL;
  PwStream *stream = pw__cuda_stream_new (rank, &error);
  g_assert_no_error (error);
  return stream;
}

static void
synchronize (PwStream *stream) {
  g_autoptr (GError) error = NULL;
  pw__cuda_stream_synchronize (stream, &error);
  g_assert_no_error (error);
}

static void
check_nothing_left (void) {
  g_assert_cmpint (pw_fake_live_streams (), ==, 0);
  g_assert_cmpint (pw_fake_live_events (), ==, 0);
  g_assert_cmpint (pw_fake_live_allocations (), ==, 0);
}

static void
test_devices (void) {
  static const int expected[] = { 0, 1, 0, 1 };
  pw_fake_set_devices (2);
  for (int rank = 0; rank < 4; rank++) {
    PwStream *stream = new_stream (rank);
    g_assert_cmpint (stream->device, ==, expected[rank]);
    pw__cuda_stream_free (stream);
  }
  check_nothing_left ();
}

static void
test_no_device (void) {
  for (int devices = -1; devices <= 0; devices++) {
    pw_fake_set_devices (devices);
    g_autoptr (GError) error = NULL;
    g_assert_null (pw__cuda_stream_new (0, &error));
    g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
    g_assert_true (g_str_has_prefix (error->message, "cuda: this machine has no "));
  }
  pw_fake_set_devices (2);
  check_nothing_left ();
}

/* Freed memory is the next one's in the stream's order: work from before still has it, also by what
 * the address sanitizer is told. */
static void
wait_until_open (void *is_open) {
  while (!g_atomic_int_get ((gint *)is_open))
    g_usleep (100);
}

static void
test_free_is_in_order (void) {
  enum { BYTES = 5000 };
  PwStream *stream = new_stream (0);
  gint is_open = 0;
  guchar back[2][BYTES], *before = NULL;
  g_assert_cmpint (cudaLaunchHostFunc (stream->stream, wait_until_open, &is_open), ==, cudaSuccess);
  for (int i = 0; i < 2; i++) {
    guchar *memory = pw__cuda_alloc (stream, BYTES, NULL);
    g_assert_true (i == 0 || memory == before);
    memset (back[i], i + 1, BYTES);
    g_assert_true (pw__cuda_copy_from_host (stream, memory, back[i], BYTES, NULL));
    memset (back[i], 0, BYTES);
    g_assert_true (pw__cuda_copy_to_host (stream, back[i], memory, BYTES, NULL));
    pw__cuda_free (stream, memory);
    before = memory;
  }
  g_atomic_int_set (&is_open, 1);
  synchronize (stream);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < BYTES; k++)
      g_assert_cmpint (back[i][k], ==, i + 1);
  pw__cuda_stream_free (stream);
  check_nothing_left ();
}

#ifdef __SANITIZE_ADDRESS__
static void
use_after_free (void) {
  static guchar back[100];
  PwStream *stream = new_stream (0);
  guchar *memory = pw__cuda_alloc (stream, sizeof back, NULL);
  pw__cuda_free (stream, memory);
  pw__cuda_copy_to_host (stream, back, memory, sizeof back, NULL);
  synchronize (stream);
}

static void
test_use_after_free_is_found (void) {
  if (g_test_subprocess ()) {
    use_after_free ();
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*use-after-poison*");
}
#endif

/* In pieces, with the host's side overwritten at once; what comes back waits for the end. Several
 * rounds: the staging grows, then is reused. */
static void
test_copies (void) {
  enum { BYTES = 3000000 };
  PwStream *stream = new_stream (0);
  g_autofree guchar *host = g_malloc (BYTES), *back = g_malloc (BYTES);
  guchar *device = pw__cuda_alloc (stream, BYTES, NULL);
  for (int round = 0; round < 4; round++) {
    gsize piece = (gsize)g_test_rand_int_range (1000, BYTES);
    for (gsize at = 0; at < BYTES; at += piece) {
      gsize bytes = MIN (piece, BYTES - at);
      for (gsize i = 0; i < bytes; i++)
        host[at + i] = (guchar)(7 * (at + i) + (gsize)round);
      g_assert_true (pw__cuda_copy_from_host (stream, device + at, host + at, bytes, NULL));
      memset (host + at, 0, bytes);
    }
    g_assert_true (pw__cuda_zero (stream, device, 10, NULL));
    g_assert_true (pw__cuda_copy (stream, device + 20, device, 10, NULL));
    for (gsize at = 0; at < BYTES; at += piece)
      g_assert_true (
          pw__cuda_copy_to_host (stream, back + at, device + at, MIN (piece, BYTES - at), NULL));
    synchronize (stream);
    for (gsize i = 0; i < BYTES; i++)
      g_assert_cmpuint (back[i], ==,
                        i < 10 || (i >= 20 && i < 30) ? 0 : (guchar)(7 * i + (gsize)round));
  }
  pw__cuda_stream_free (stream); /* with its memory, which was not freed */
  check_nothing_left ();
}

/* Work of one stream that another one reads; an event that was never recorded orders nothing. */
static void
test_events (void) {
  enum { BYTES = 5000 };
  PwStream *from = new_stream (0), *to = new_stream (0);
  PwEvent *event = pw__cuda_event_new (NULL);
  guchar host[BYTES], back[BYTES];
  guchar *written = pw__cuda_alloc (from, BYTES, NULL), *read = pw__cuda_alloc (to, BYTES, NULL);
  g_assert_true (pw__cuda_event_wait (event, to, NULL));
  for (int round = 0; round < 5; round++) {
    memset (host, round + 1, BYTES);
    g_assert_true (pw__cuda_copy_from_host (from, written, host, BYTES, NULL));
    g_assert_true (pw__cuda_event_record (event, from, NULL));
    g_assert_true (pw__cuda_event_wait (event, to, NULL));
    g_assert_true (pw__cuda_copy (to, read, written, BYTES, NULL));
    g_assert_true (pw__cuda_event_record (event, to, NULL));
    g_assert_true (pw__cuda_event_wait (event, from, NULL));
    g_assert_true (pw__cuda_copy_to_host (to, back, read, BYTES, NULL));
    synchronize (to);
    g_assert_cmpint (memcmp (host, back, BYTES), ==, 0);
  }
  pw__cuda_event_free (event);
  pw__cuda_stream_free (from);
  pw__cuda_stream_free (to);
  check_nothing_left ();
}

static double
host_seconds (void) {
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double
stamp (PwStream *stream, PwEvent *event) {
  double before = host_seconds (), seconds = 0;
  g_assert_true (pw__cuda_timestamp_record (event, stream, NULL));
  g_assert_true (pw__cuda_timestamp_read (event, &seconds, NULL));
  g_assert_cmpfloat (seconds, >=, before - CLOCK_ERROR_S);
  g_assert_cmpfloat (seconds, <=, host_seconds () + CLOCK_ERROR_S);
  return seconds;
}

/* An event keeps the base that it was recorded against, and outlives its stream. */
static void
test_clock (void) {
  PwStream *stream = new_stream (1);
  PwEvent *first = pw__cuda_event_new (NULL), *event = pw__cuda_event_new (NULL);
  double start = stamp (stream, first), last = start, again = 0;
  const PwCudaClock *base = stream->clock;
  for (int i = 0; i < 3; i++) {
    double seconds = stamp (stream, event);
    g_assert_cmpfloat (seconds, >=, last);
    last = seconds;
  }
  synchronize (stream);
  g_assert_true (stream->clock == base);
  g_usleep (1010000);
  synchronize (stream);
  g_assert_true (stream->clock != base);
  g_assert_cmpfloat (stamp (stream, event), >, last);
  pw__cuda_stream_free (stream);
  g_assert_true (pw__cuda_timestamp_read (first, &again, NULL));
  g_assert_cmpfloat (again, ==, start);
  pw__cuda_event_free (first);
  pw__cuda_event_free (event);
  pw__cuda_event_free (NULL);
  check_nothing_left ();
}

static void
test_indices (void) {
  static const struct {
    int flag;
    const char *message;
  } cases[] = {
    { PW_CUDA_INDEX_TOKEN, "cuda: device 1: a token is outside its table" },
    { PW_CUDA_INDEX_TARGET, "cuda: device 1: a target is outside its table" },
    { PW_CUDA_INDEX_LENGTH, "cuda: device 1: a length is outside its table" },
  };
  PwStream *stream = new_stream (1);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_true (
        pw__cuda_copy_from_host (stream, stream->error_flag, &cases[i].flag, sizeof (int), NULL));
    g_assert_false (pw__cuda_stream_synchronize (stream, &error));
    g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
    g_assert_cmpstr (error->message, ==, cases[i].message);
    synchronize (stream);
  }
  pw__cuda_stream_free (stream);
  check_nothing_left ();
}

/* What a failed copy would have written stays as it was. */
static void
test_broken_device (void) {
  enum { LAUNCH_FAILURE = 719 };
  PwStream *stream = new_stream (0);
  int value = 5;
  int *memory = pw__cuda_alloc (stream, sizeof value, NULL);
  g_assert_true (pw__cuda_zero (stream, memory, sizeof value, NULL));
  g_assert_true (pw__cuda_copy_to_host (stream, &value, memory, sizeof value, NULL));
  pw_fake_break_operation (1, LAUNCH_FAILURE);
  pw__cuda_zero (stream, memory, sizeof value, NULL);
  g_autoptr (GError) error = NULL;
  g_assert_false (pw__cuda_stream_synchronize (stream, &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY);
  g_assert_true (g_str_has_suffix (error->message, ": unspecified launch failure"));
  pw_fake_repair ();
  synchronize (stream);
  g_assert_cmpint (value, ==, 5);
  pw__cuda_stream_free (stream);
  check_nothing_left ();
}

static void
test_out_of_memory (void) {
  pw_fake_set_memory ((gsize)64 << 20);
  PwStream *stream = new_stream (0);
  g_autoptr (GError) error = NULL;
  g_assert_nonnull (pw__cuda_alloc (stream, (gsize)32 << 20, NULL));
  g_assert_null (pw__cuda_alloc (stream, (gsize)32 << 20, &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "33554432 bytes were asked for"));
  synchronize (stream);
  pw__cuda_stream_free (stream);
  pw_fake_set_memory ((gsize)8 << 30);
  check_nothing_left ();
}

/* Each allocation on the way to a stream fails once. */
static void
test_unfinished (void) {
  for (int n = 1;; n++) {
    g_autoptr (GError) error = NULL;
    pw_fake_fail_allocation (n);
    PwStream *stream = pw__cuda_stream_new (0, &error);
    pw_fake_fail_allocation (0);
    if (stream) {
      pw__cuda_stream_free (stream);
      g_assert_cmpint (n, >, 1);
      break;
    }
    g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY);
    check_nothing_left ();
  }
  check_nothing_left ();
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  pw_fake_set_seed ((uint64_t)g_test_rand_int ());
  pw_fake_set_delay_us (50);
  g_test_add_func ("/kernels/cuda/streams/ranks-go-round-the-devices", test_devices);
  g_test_add_func ("/kernels/cuda/streams/no-device-is-one-sentence", test_no_device);
  g_test_add_func ("/kernels/cuda/streams/host-memory-may-be-reused-at-once", test_copies);
  g_test_add_func ("/kernels/cuda/streams/freed-memory-is-in-the-streams-order",
                   test_free_is_in_order);
#ifdef __SANITIZE_ADDRESS__
  g_test_add_func ("/kernels/cuda/streams/use-after-free-is-found", test_use_after_free_is_found);
#endif
  g_test_add_func ("/kernels/cuda/streams/events-order-two-streams", test_events);
  g_test_add_func ("/kernels/cuda/streams/timestamps-are-on-the-hosts-clock", test_clock);
  g_test_add_func ("/kernels/cuda/streams/an-index-outside-its-table-is-said-once", test_indices);
  g_test_add_func ("/kernels/cuda/streams/a-broken-device-is-an-error", test_broken_device);
  g_test_add_func ("/kernels/cuda/streams/out-of-memory-says-how-much", test_out_of_memory);
  g_test_add_func ("/kernels/cuda/streams/a-stream-half-made-leaves-nothing", test_unfinished);
  return g_test_run ();
}
