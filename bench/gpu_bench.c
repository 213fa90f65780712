#include "bench/gpu_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXIT_SKIPPED 77
#define BLOCK_ELEMENTS ((gsize)1 << 20) /* of random values, repeated through a tensor */
#define LEAD_BYTES ((gsize)1 << 30)     /* a device fills it in some hundred microseconds */

void
gpu_bench_need (gboolean good, GError **error) {
  if (good)
    return;
  fprintf (stderr, "%s\n", (*error)->message);
  exit (1);
}

static void
skip_unless (gboolean good, GError **error) {
  if (good)
    return;
  printf ("skipped: %s\n", (*error)->message);
  exit (EXIT_SKIPPED);
}

static void
usage (const char *program) {
  fprintf (stderr, "usage: %s [--tiny] [--module FILE]\n", program);
  exit (2);
}

void
gpu_bench_open (GpuBench *bench, int argc, char **argv) {
  const char *module_file = g_getenv ("PW_CUDA_MODULE_FILE");
  GError *error = NULL;
  *bench = (GpuBench){ .rounds = 15, .round_s = 4e-3 };
  for (int i = 1; i < argc; i++) {
    if (strcmp (argv[i], "--tiny") == 0)
      bench->tiny = TRUE;
    else if (strcmp (argv[i], "--module") == 0 && i + 1 < argc)
      module_file = argv[++i];
    else
      usage (argv[0]);
  }
  const PwBackend *backend = gpu_backend (module_file, &error);
  skip_unless (backend != NULL, &error);
  const PwBackendRun run = { .ranks = 1, .arithmetic = PW_ARITHMETIC_FP32 };
  skip_unless (backend->check (&run, &error), &error);
  bench->context = (PwOpContext){ .backend = backend, .seed = 1 };
  bench->context.stream = backend->stream_new (0, &error);
  gpu_bench_need (bench->context.stream != NULL, &error);
  if (bench->tiny) {
    bench->rounds = 1;
    bench->round_s = 0;
  }
  bench->lead_bytes = bench->tiny ? 4096 : LEAD_BYTES;
  bench->lead = gpu_bench_memory (bench, bench->lead_bytes);
  bench->begin = backend->event_new (&error);
  bench->end = bench->begin ? backend->event_new (&error) : NULL;
  gpu_bench_need (bench->end != NULL, &error);
}

/* All memory goes with its stream. */
void
gpu_bench_close (GpuBench *bench) {
  const PwBackend *backend = bench->context.backend;
  backend->event_free (bench->begin);
  backend->event_free (bench->end);
  backend->stream_free (bench->context.stream);
}

gboolean
gpu_bench_can (GpuBench *bench, const char *name, PwArithmetic arithmetic) {
  const PwBackendRun run = { .ranks = 1, .arithmetic = arithmetic };
  g_autoptr (GError) error = NULL;
  if (bench->context.backend->check (&run, &error))
    return TRUE;
  printf ("%s skipped: %s\n", name, error->message);
  return FALSE;
}

/* ---- Memory ---- */

void *
gpu_bench_memory (GpuBench *bench, gsize bytes) {
  const PwBackend *backend = bench->context.backend;
  GError *error = NULL;
  void *memory = backend->alloc (bench->context.stream, bytes, &error);
  gpu_bench_need (memory != NULL, &error);
  gpu_bench_need (backend->zero (bench->context.stream, memory, bytes, &error), &error);
  return memory;
}

PwWorkspace
gpu_bench_workspace (GpuBench *bench, gsize bytes) {
  return (PwWorkspace){ .data = bytes ? gpu_bench_memory (bench, bytes) : NULL, .bytes = bytes };
}

static gsize
element_bytes (PwElement element) {
  return element == PW_ELEMENT_F32 || element == PW_ELEMENT_I32 ? 4 : 2;
}

/* Rounds towards zero; values are far from the ends of fp16's range. */
static uint16_t
half_of (float value, PwElement element) {
  uint32_t bits;
  memcpy (&bits, &value, sizeof bits);
  if (element == PW_ELEMENT_BF16)
    return (uint16_t)(bits >> 16);
  const int32_t exponent = (int32_t)(bits >> 23 & 0xff) - 127 + 15;
  if (exponent <= 0)
    return 0;
  return (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
}

static void
fill (char *block, PwElement element, double scale, gsize n) {
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (gsize i = 0; i < n; i++) {
    state ^= state << 13; /* xorshift64, Marsaglia 2003 */
    state ^= state >> 7;
    state ^= state << 17;
    const double unit = (double)(state >> 11) * 0x1p-53;
    const float value = (float)(scale * (2 * unit - 1));
    const uint16_t half = half_of (value, element);
    const int32_t index = (int32_t)(scale * unit);
    const gsize bytes = element_bytes (element);
    const void *from = element == PW_ELEMENT_F32   ? (const void *)&value
                       : element == PW_ELEMENT_I32 ? (const void *)&index
                                                   : (const void *)&half;
    memcpy (block + i * bytes, from, bytes);
  }
}

PwTensor
gpu_bench_tensor (GpuBench *bench, PwElement element, double scale, int n_dims,
                  const int64_t *dims) {
  const PwBackend *backend = bench->context.backend;
  PwStream *stream = bench->context.stream;
  GError *error = NULL;
  PwTensor tensor = { .element = element, .n_dims = n_dims };
  memcpy (tensor.dims, dims, (gsize)n_dims * sizeof *dims);
  const gsize bytes = (gsize)pw_tensor_bytes (&tensor);
  const gsize n = MIN ((gsize)pw_tensor_elements (&tensor), BLOCK_ELEMENTS);
  const gsize block_bytes = n * element_bytes (element);
  tensor.data = gpu_bench_memory (bench, bytes);
  g_autofree char *block = g_malloc (block_bytes);
  fill (block, element, scale, n);
  gpu_bench_need (backend->copy_from_host (stream, tensor.data, block, block_bytes, &error),
                  &error);
  for (gsize done = block_bytes; done < bytes; done *= 2)
    gpu_bench_need (backend->copy (stream, (char *)tensor.data + done, tensor.data,
                                   MIN (done, bytes - done), &error),
                    &error);
  gpu_bench_need (backend->stream_synchronize (stream, &error), &error);
  return tensor;
}

/* ---- Time ---- */

double
gpu_bench_now (void) {
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double
gpu_bench_round (GpuBench *bench, GpuCall call, gpointer data, int64_t calls) {
  const PwBackend *backend = bench->context.backend;
  PwStream *stream = bench->context.stream;
  GError *error = NULL;
  double begin_s = 0, end_s = 0;
  gboolean good = backend->zero (stream, bench->lead, bench->lead_bytes, &error)
                  && backend->timestamp_record (bench->begin, stream, &error);
  for (int64_t i = 0; i < calls && good; i++)
    good = call (data, i, &error);
  good = good && backend->timestamp_record (bench->end, stream, &error)
         && backend->stream_synchronize (stream, &error)
         && backend->timestamp_read (bench->begin, &begin_s, &error)
         && backend->timestamp_read (bench->end, &end_s, &error);
  gpu_bench_need (good, &error);
  return (end_s - begin_s) / (double)calls;
}

int64_t
gpu_bench_calls (GpuBench *bench, GpuCall call, gpointer data) {
  if (bench->tiny)
    return 1;
  gpu_bench_round (bench, call, data, 3); /* modules are loaded, algorithms chosen */
  const double seconds = gpu_bench_round (bench, call, data, 5);
  const double calls = bench->round_s / MAX (seconds, 1e-6);
  return (int64_t)CLAMP (calls, 1, 1000) + 1;
}

static int
compare (const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double
gpu_bench_median (double *values, int n) {
  qsort (values, (gsize)n, sizeof *values, compare);
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

double
gpu_bench_time (GpuBench *bench, GpuCall call, gpointer data) {
  const int64_t calls = gpu_bench_calls (bench, call, data);
  g_autofree double *seconds = g_new (double, (gsize)bench->rounds);
  for (int r = 0; r < bench->rounds; r++)
    seconds[r] = gpu_bench_round (bench, call, data, calls);
  return gpu_bench_median (seconds, bench->rounds);
}

void
gpu_bench_row (const char *figure, double value, const char *unit, const char *relation,
               double mark) {
  printf ("row\t%s\t%.6g\t%s\t%s\t", figure, value, unit, relation);
  if (strcmp (relation, "-") == 0)
    printf ("-\n");
  else
    printf ("%.6g\n", mark);
  fflush (stdout);
}
