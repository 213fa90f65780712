/* What the benchmarks of a device share: arguments, memory, timing, rows.
 *
 *   --module FILE   the CUDA module, where the program does not lie beside it
 *   --tiny          small shapes and few repeats: does it run at all
 *
 * Without a device the program prints the reason and ends with status 77, on any failure with 1.
 *
 * Times are differences of device timestamps around N calls, N such that a round takes some
 * milliseconds; medians of several rounds after warm-up. Each round starts behind a fill of memory
 * that keeps the device busy while the host enqueues, so the host's pace is not measured.
 *
 * A line "row TAB figure TAB value TAB unit TAB relation TAB mark" is what gpu.sh makes its table
 * of; relation and mark are "-" where no mark is set. */
#pragma once
#include "kernels/kernels.h"

typedef struct {
  PwOpContext context;
  gboolean tiny;
  int rounds;
  double round_s; /* what a round should take */
  PwEvent *begin, *end;
  void *lead;
  gsize lead_bytes;
} GpuBench;

/* I: the how manieth call since the start of the round, for rotating among buffers. */
typedef gboolean (*GpuCall) (gpointer data, int64_t i, GError **error);

/* gpu_backend_module.c, or, on the fakes, gpu_backend_linked.c */
const PwBackend *gpu_backend (const char *module_file, GError **error);

void gpu_bench_open (GpuBench *bench, int argc, char **argv);
void gpu_bench_close (GpuBench *bench);
/* FALSE, with a line that says so, where the device cannot compute in ARITHMETIC. */
gboolean gpu_bench_can (GpuBench *bench, const char *name, PwArithmetic arithmetic);
/* Ends the program with the message unless GOOD. A pointer, since GOOD is often the call that sets
 * ERROR. */
void gpu_bench_need (gboolean good, GError **error);

/* Random values within SCALE; of PW_ELEMENT_I32 non-negative below SCALE. Freed by close. */
PwTensor gpu_bench_tensor (GpuBench *bench, PwElement element, double scale, int n_dims,
                           const int64_t *dims);
void *gpu_bench_memory (GpuBench *bench, gsize bytes); /* zeroed */
PwWorkspace gpu_bench_workspace (GpuBench *bench, gsize bytes);

/* Calls for a round; the first ones are the warm-up. */
int64_t gpu_bench_calls (GpuBench *bench, GpuCall call, gpointer data);
double gpu_bench_round (GpuBench *bench, GpuCall call, gpointer data,
                        int64_t calls); /* s per call */
double gpu_bench_time (GpuBench *bench, GpuCall call, gpointer data);
double gpu_bench_median (double *values, int n); /* sorts them */
double gpu_bench_now (void);                     /* the host's, for what the host takes */

/* RELATION: ">=", "<=" or "-". */
void gpu_bench_row (const char *figure, double value, const char *unit, const char *relation,
                    double mark);
