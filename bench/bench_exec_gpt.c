/* How much of the machine's product rate training reaches: gpt, fp32, 1F1B, two ranks.
 *   bench_exec_gpt [blocks width heads tokens batch micro-batches steps]
 *
 * efficiency = model FLOPs per second / (product rate of both cores at once x (1 - bubble)); the
 * bubble is the closed form of equal stages, (P - 1) / (M + P - 1). Then where the time goes, from
 * the same layers profiled. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exec/profile.h"
#include "exec/train.h"

#define RANKS 2

static double
now (void) {
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- The product rate ---- */

typedef struct {
  int core;
  double seconds, flops_per_s;
  pthread_barrier_t *barrier;
} Product;

static void *
multiply (void *data) {
  Product *product = data;
  const int64_t rows = 512, in = 1024, out = 1024;
  const PwBackend *cpu = &pw_backend_cpu;
  cpu_set_t set;
  CPU_ZERO (&set);
  CPU_SET ((gsize) product->core, &set);
  pthread_setaffinity_np (pthread_self (), sizeof set, &set);
  PwOpContext context = { .backend = cpu, .stream = cpu->stream_new (0, NULL) };
  PwWorkspace workspace = { .bytes = cpu->workspace.linear (&context, rows, in, out) };
  float *memory[3];
  int64_t sizes[3] = { rows * in, in * out, rows * out };
  for (int i = 0; i < 3; i++) {
    memory[i] = cpu->alloc (context.stream, (gsize)sizes[i] * sizeof (float), NULL);
    for (int64_t j = 0; j < sizes[i]; j++)
      memory[i][j] = (float)(j % 13) * 0.1f;
  }
  workspace.data = workspace.bytes ? cpu->alloc (context.stream, workspace.bytes, NULL) : NULL;
  PwTensor x = { .data = memory[0], .n_dims = 2, .dims = { rows, in } };
  PwTensor w = { .data = memory[1], .n_dims = 2, .dims = { out, in } };
  PwTensor y = { .data = memory[2], .n_dims = 2, .dims = { rows, out } };
  cpu->ops.linear_forward (&context, &x, &w, NULL, &y, workspace, NULL);
  pthread_barrier_wait (product->barrier);
  double start = now ();
  int64_t n = 0;
  for (; now () - start < product->seconds; n++)
    cpu->ops.linear_forward (&context, &x, &w, NULL, &y, workspace, NULL);
  product->flops_per_s = 2.0 * (double)(n * rows * in * out) / (now () - start);
  for (int i = 0; i < 3; i++)
    cpu->free (context.stream, memory[i]);
  if (workspace.data)
    cpu->free (context.stream, workspace.data);
  cpu->stream_free (context.stream);
  return NULL;
}

static double
product_rate (double seconds) {
  pthread_t threads[RANKS];
  Product products[RANKS];
  pthread_barrier_t barrier;
  double sum = 0;
  pthread_barrier_init (&barrier, NULL, RANKS);
  for (int r = 0; r < RANKS; r++) {
    products[r] = (Product){ .core = r, .seconds = seconds, .barrier = &barrier };
    pthread_create (&threads[r], NULL, multiply, &products[r]);
  }
  for (int r = 0; r < RANKS; r++) {
    pthread_join (threads[r], NULL);
    sum += products[r].flops_per_s;
  }
  pthread_barrier_destroy (&barrier);
  return sum;
}

/* ---- Where the time goes ---- */

typedef struct {
  const char *type;
  double seconds[4];
} TypeTime;

static void
print_split (const PwGraph *graph, const PwLayerCosts *costs, int microbatches) {
  TypeTime types[32];
  int n = 0;
  double total = 0;
  memset (types, 0, sizeof types);
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayerCost *cost = &costs->tables[0].layers[l];
    const char *type = graph->layers[l].type->name;
    int t = 0;
    while (t < n && strcmp (types[t].type, type) != 0)
      t++;
    n = t == n && n < 31 ? n + 1 : n;
    types[t].type = type;
    double seconds[4] = { microbatches * cost->forward_s, microbatches * cost->input_s,
                          microbatches * cost->weight_s, cost->update_s };
    for (int k = 0; k < 4; k++) {
      types[t].seconds[k] += seconds[k];
      total += seconds[k];
    }
  }
  printf ("%-22s %8s %8s %8s %8s %6s   (ms per step, both ranks)\n", "layers", "F", "I", "W", "U",
          "share");
  for (int t = 0; t < n; t++) {
    const double *s = types[t].seconds;
    printf ("%-22s %8.2f %8.2f %8.2f %8.2f %5.1f%%\n", types[t].type, 1e3 * s[0], 1e3 * s[1],
            1e3 * s[2], 1e3 * s[3], 100 * (s[0] + s[1] + s[2] + s[3]) / total);
  }
  printf ("action overhead %.2f us, link %.2f us + %.1f GB/s\n", 1e6 * costs->action_overhead_s,
          1e6 * costs->link.latency_s, 1e-9 * costs->link.bandwidth);
}

int
main (int argc, char **argv) {
  int size[7] = { 8, 256, 4, 128, 16, 4, 20 };
  for (int i = 0; i < 7 && i + 1 < argc; i++)
    size[i] = atoi (argv[i + 1]);
  int microbatches = size[5];
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf (
      "{\"model\": {\"name\": \"gpt\", \"blocks\": %d, \"width\": %d, \"heads\": %d, "
      "\"tokens\": %d, \"vocabulary\": 256}, \"ranks\": 2, \"batch\": %d, \"seed\": 1, "
      "\"schedule\": {\"name\": \"1f1b\", \"microbatches\": %d}, \"data\": \"random\", "
      "\"optimizer\": {\"name\": \"adamw\", \"learning_rate\": 0.0003}}",
      size[0], size[1], size[2], size[3], size[4], microbatches);
  g_autoptr (PwPlan) plan = pw_plan_parse ("bench", text, &error);
  g_autoptr (PwResolvedPlan) resolved = plan ? pw_plan_resolve (plan, NULL, &error) : NULL;
  double seconds = size[6] < 5 ? 0.01 : 1;
  double before = product_rate (seconds);
  PwTrainOptions options = { .resolved = resolved,
                             .plan = plan,
                             .steps = size[6],
                             .warmup_steps = -1,
                             .exec = { .trace_iterations = size[6] / 2 } };
  g_autoptr (PwTrainResult) result = NULL;
  if (!resolved || !pw_train_run (&options, &result, &error)) {
    fprintf (stderr, "%s\n", error->message);
    return 1;
  }
  double rate = (before + product_rate (seconds)) / 2;
  double flops
      = (double)(pw_graph_flops (resolved->graph, 0, resolved->graph->n_layers) * resolved->batch);
  double bubble = (double)(RANKS - 1) / (microbatches + RANKS - 1);
  g_autoptr (PwTraceSummary) summary = pw_trace_summarise (result->trace, 0);
  double model_rate = flops / result->iteration_time;
  printf ("iteration %.2f ms, %.0f tokens/s, model %.1f GFLOP/s, products %.1f GFLOP/s\n",
          1e3 * result->iteration_time, result->items_per_second, 1e-9 * model_rate, 1e-9 * rate);
  printf ("bubble %.3f (closed form), %.3f (trace); efficiency %.1f%%\n", bubble,
          summary->bubble_fraction, 100 * model_rate / (rate * (1 - bubble)));
  for (int r = 0; r < result->n_ranks; r++)
    printf ("rank %d: busy %.2f ms, waiting %.2f ms, wall %.2f ms, peak %.1f MB\n", r,
            1e3 * result->rank[r].busy_time, 1e3 * result->rank[r].wait_time,
            1e3 * result->rank[r].wall_time, 1e-6 * (double)result->rank[r].peak_memory_bytes);

  PwProfileOptions profile = { .ranks = RANKS,
                               .samples = resolved->samples,
                               .n_samples = 1,
                               .optimizer_kind = PW_OPTIMIZER_ADAMW,
                               .seconds = 3 * seconds };
  g_autoptr (PwLayerCosts) costs = pw_profile_run (resolved->graph, &profile, &error);
  if (!costs) {
    fprintf (stderr, "%s\n", error->message);
    return 1;
  }
  print_split (resolved->graph, costs, microbatches);
  return 0;
}
