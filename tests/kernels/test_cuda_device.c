/* Which runs a machine's devices can do, and the pool that a rank's memory comes from. */
#include "fake_cuda.h"
#include "kernels/cuda/cuda_private.h"
#include <string.h>

#define GIB ((gsize)1 << 30)
#define MIB ((gsize)1 << 20)

static const FakeDevice two[] = { { .name = "new", .capability = 90, .bytes = 80 * GIB },
                                  { .name = "older", .capability = 75, .bytes = 16 * GIB } };
static const FakeDevice old[] = { { .name = "old", .capability = 61, .bytes = 8 * GIB } };
static const int64_t small[] = { 1, 2, 3, 4 };
static const int64_t large[] = { 40 * (int64_t)GIB, 1, 41 * (int64_t)GIB, 1 };
static const int64_t one_large[] = { 1, 17 * (int64_t)GIB };
static const int64_t medium[] = { 20 * (int64_t)GIB };

static const struct {
  const FakeDevice *devices;
  int n, code;
  PwBackendRun run;
  PwKernelError error;
  const char *message; /* NULL: it can be done */
} runs[] = {
  { .devices = two, .n = 2, .run = { .ranks = 2 } },
  { .devices = two, .n = 2, .run = { .ranks = 2, .rank_bytes = small } },
  { .devices = two, .n = 2, .run = { .ranks = 4, .share_devices = TRUE, .rank_bytes = small } },
  { .devices = two, .n = 2, .run = { .ranks = 1, .arithmetic = PW_ARITHMETIC_BF16 } },
  { .devices = two, .n = 2, .run = { .ranks = 2, .arithmetic = PW_ARITHMETIC_FP16 } },
  { .code = cudaErrorInsufficientDriver,
    .run = { .ranks = 1 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: this machine has no NVIDIA driver, or one that is older than this build's "
               "CUDA" },
  { .code = cudaErrorNoDevice,
    .run = { .ranks = 1 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: this machine has no CUDA device" },
  { .code = cudaErrorECCUncorrectable,
    .run = { .ranks = 1 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: no device can be used: uncorrectable ECC error encountered" },
  { .devices = two,
    .n = 1,
    .run = { .ranks = 4 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: the plan has 4 ranks, this machine has 1 device; --share-devices lets "
               "several ranks compute on one" },
  /* One of several processes: its devices are those of its places. */
  { .devices = two, .n = 2, .run = { .ranks = 1, .first_place = 2, .rank_bytes = medium } },
  { .devices = two,
    .n = 2,
    .run = { .ranks = 1, .first_place = 3, .processes = 4, .rank_bytes = medium },
    .error = PW_KERNEL_ERROR_MEMORY,
    .message = "cuda: the plan's 1 rank on device 1 (older) needs 20 GiB, it has 16 GiB" },
  { .devices = two,
    .n = 1,
    .run = { .ranks = 2, .first_place = 2, .processes = 2 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: this process has 2 ranks, it sees 1 device; --share-devices lets several "
               "ranks compute on one" },
  { .devices = two,
    .n = 2,
    .run = { .ranks = 2, .arithmetic = PW_ARITHMETIC_BF16 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: device 1 (older) has no bf16: that needs compute capability 8.0, it has "
               "7.5" },
  { .devices = two,
    .n = 2,
    .run = { .ranks = 2, .arithmetic = PW_ARITHMETIC_TF32 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: device 1 (older) has no tf32: that needs compute capability 8.0, it has "
               "7.5" },
  { .devices = old,
    .n = 1,
    .run = { .ranks = 1 },
    .error = PW_KERNEL_ERROR_UNSUPPORTED,
    .message = "cuda: device 0 (old) has compute capability 6.1, this build's kernels need 7.0" },
  { .devices = two,
    .n = 2,
    .run = { .ranks = 4, .share_devices = TRUE, .rank_bytes = large },
    .error = PW_KERNEL_ERROR_MEMORY,
    .message = "cuda: the plan's 2 ranks on device 0 (new) need 81 GiB, it has 80 GiB" },
  { .devices = two,
    .n = 2,
    .run = { .ranks = 2, .rank_bytes = one_large },
    .error = PW_KERNEL_ERROR_MEMORY,
    .message = "cuda: the plan's 1 rank on device 1 (older) needs 17 GiB, it has 16 GiB" },
};

static void
test_runs (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (runs); i++) {
    fake_cuda_set (runs[i].devices, runs[i].n, runs[i].code);
    g_autoptr (GError) error = NULL;
    gboolean good = pw__cuda_check_run (&runs[i].run, &error);
    g_assert_cmpstr (error ? error->message : NULL, ==, runs[i].message);
    g_assert_cmpint (good, ==, error == NULL);
    if (error)
      g_assert_error (error, PW_KERNEL_ERROR, (int)runs[i].error);
    g_assert_cmpuint (fake_cuda_allocated (), ==, 0);
  }
}

static void
test_mapping (void) {
  static const int expected[] = { 0, 1, 0, 1, 0 };
  fake_cuda_set (two, 2, cudaSuccess);
  for (int place = 0; place < 5; place++) {
    int device = -1;
    g_assert_true (pw__cuda_device_of_place (place, &device, NULL));
    g_assert_cmpint (device, ==, expected[place]);
  }
}

typedef struct {
  guchar *memory, value;
  gsize bytes;
} Live;

static void
check_and_free (PwStream *stream, Live *live) {
  for (gsize k = 0; k < live->bytes; k++)
    g_assert_cmpuint (live->memory[k], ==, live->value);
  pw__cuda_free (stream, live->memory);
  live->memory = NULL;
}

static gsize
random_bytes (void) {
  int bits = g_test_rand_int_range (0, 23);
  return (gsize)g_test_rand_int_range (0, 1 << bits);
}

/* Memory of one block is never another's: what was written is still there when it is freed. */
static void
test_no_overlap (void) {
  fake_cuda_set (two, 2, cudaSuccess);
  PwStream stream = { .device = 0 };
  stream.pool = pw__cuda_pool_new (&stream);
  Live live[24] = { 0 };
  for (int step = 0; step < 600; step++) {
    Live *one = &live[g_test_rand_int_range (0, G_N_ELEMENTS (live))];
    if (one->memory) {
      check_and_free (&stream, one);
      continue;
    }
    *one = (Live){ .bytes = random_bytes (), .value = (guchar)step };
    one->memory = pw__cuda_alloc (&stream, one->bytes, NULL);
    g_assert_nonnull (one->memory);
    g_assert_cmpuint ((gsize)one->memory % 256, ==, 0);
    memset (one->memory, one->value, one->bytes);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (live); i++)
    if (live[i].memory && i % 2)
      check_and_free (&stream, &live[i]);
  pw__cuda_pool_free (stream.pool);
  g_assert_cmpuint (fake_cuda_allocated (), ==, 0);
}

/* The same requests, freed in another order each time, are met by the same segments. */
static void
test_reuse (void) {
  fake_cuda_set (two, 2, cudaSuccess);
  PwStream stream = { .device = 0 };
  stream.pool = pw__cuda_pool_new (&stream);
  enum { N = 40 };
  gsize bytes[N];
  void *memory[N];
  for (int i = 0; i < N; i++)
    bytes[i] = random_bytes ();
  int asked = 0;
  for (int step = 0; step < 10; step++) {
    for (int i = 0; i < N; i++)
      memory[i] = pw__cuda_alloc (&stream, bytes[i], NULL);
    if (step < 2)
      asked = fake_cuda_allocations ();
    g_assert_cmpint (fake_cuda_allocations (), ==, asked);
    for (int i = N; i > 0; i--) {
      int at = g_test_rand_int_range (0, i);
      pw__cuda_free (&stream, memory[at]);
      memory[at] = memory[i - 1];
    }
  }
  pw__cuda_pool_free (stream.pool);
}

static void
test_out_of_memory (void) {
  static const FakeDevice tiny[] = { { .name = "tiny", .capability = 90, .bytes = 16 * MIB } };
  fake_cuda_set (tiny, 1, cudaSuccess);
  PwStream stream = { .device = 0 };
  stream.pool = pw__cuda_pool_new (&stream);
  void *kept = pw__cuda_alloc (&stream, 4 * MIB, NULL);
  void *freed = pw__cuda_alloc (&stream, 6 * MIB, NULL);
  g_autoptr (GError) error = NULL;
  g_assert_null (pw__cuda_alloc (&stream, 8 * MIB, &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY);
  g_assert_cmpstr (error->message, ==,
                   "cuda: device 0: out of memory: 8388608 bytes were asked for; the rank uses "
                   "10485760 and keeps 0 in free blocks, 6291456 of the device's 16777216 are "
                   "free");
  pw__cuda_free (&stream, freed);
  void *larger = pw__cuda_alloc (&stream, 8 * MIB, NULL);
  g_assert_nonnull (larger);
  g_assert_null (pw__cuda_alloc (&stream, G_MAXSIZE, NULL));
  pw__cuda_free (&stream, larger);
  pw__cuda_free (&stream, kept);
  pw__cuda_free (&stream, NULL);
  pw__cuda_pool_free (stream.pool);
  g_assert_cmpuint (fake_cuda_allocated (), ==, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/cuda/devices/what-a-machine-cannot-do-is-said-first", test_runs);
  g_test_add_func ("/kernels/cuda/devices/ranks-go-round-the-devices", test_mapping);
  g_test_add_func ("/kernels/cuda/pool/live-blocks-never-overlap", test_no_overlap);
  g_test_add_func ("/kernels/cuda/pool/a-repeated-step-asks-nothing-of-the-device", test_reuse);
  g_test_add_func ("/kernels/cuda/pool/free-segments-go-back-before-memory-is-out",
                   test_out_of_memory);
  return g_test_run ();
}
