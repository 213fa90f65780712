/* bench_plan [RANKS MICROBATCHES [REPEATS]]: the search for orders on 16 x 64 and 32 x 256 (or one
 * size), one chunk and two, memory for P/2, P, 3P/2 and 2P micro-batches, equal stages and uneven
 * ones. Prints for each the median time (default of 3 runs), its ratio to the limit (0.1 s up to
 * 16 x 64, 0.5 s beyond), the bubble, and how many points of bubble the proven bound is below it.
 * Before that the exact partition of 10,000 layers on 1,024 stages.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "schedules/partition.h"
#include "sim/planner/search.h"

typedef struct {
  int ranks, microbatches, repeats;
} Size;

static double
now_s (void) {
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int
compare (const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* A rank's F, I, W are about 1, 1.1, 0.9, a message 0.05; uneven: stages differ by up to 20%. */
static PwStageCosts *
make_costs (int ranks, int chunks, gboolean uneven) {
  int stages = ranks * chunks;
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (stages);
  PwStageCosts *costs = pw_stage_costs_new (stages, edges);
  for (int s = 0; s < stages; s++) {
    double scale = (uneven ? 1 + 0.05 * (s * 7 % 5) : 1) / chunks;
    costs->stage[s].forward = scale;
    costs->stage[s].input = (uneven ? 1.1 : 1) * scale;
    costs->stage[s].weight = (uneven ? 0.9 : 1) * scale;
    costs->stage[s].backward = costs->stage[s].input + costs->stage[s].weight;
  }
  for (int e = 0; e < costs->n_edges; e++)
    costs->link[e].latency_s = uneven ? 0.05 : 0;
  return costs;
}

/* The mean rank's work. */
static double
ideal (const PwStageCosts *costs, const Size *size) {
  double work = 0;
  for (int s = 0; s < costs->stages; s++)
    work += costs->stage[s].forward + costs->stage[s].backward;
  return work * size->microbatches / size->ranks;
}

static void
bench (const Size *size, int chunks, gboolean uneven, double limit) {
  g_autoptr (PwStageCosts) costs = make_costs (size->ranks, chunks, uneven);
  gsize stages = (gsize)costs->stages;
  g_autofree double *held = g_new (double, stages), *kept = g_new (double, stages);
  g_autofree double *limits = g_new (double, (gsize)size->ranks);
  g_autofree double *times = g_new (double, (gsize)size->repeats);
  for (gsize s = 0; s < stages; s++) {
    held[s] = 1.0 / chunks;
    kept[s] = 0.5 / chunks;
  }
  for (int rank = 0; rank < size->ranks; rank++)
    limits[rank] = limit;
  PwSearchInput input = { .ranks = size->ranks,
                          .microbatches = size->microbatches,
                          .chunks = chunks,
                          .costs = costs,
                          .held = held,
                          .kept = kept,
                          .limit = limits };
  g_autoptr (PwSearchResult) result = NULL;
  for (int i = 0; i < size->repeats; i++) {
    g_autoptr (GError) error = NULL;
    g_clear_pointer (&result, pw_search_result_free);
    double start = now_s ();
    result = pw_search_run (&input, &error);
    times[i] = now_s () - start;
    if (result == NULL) {
      printf ("%s\n", error->message);
      exit (1);
    }
  }
  qsort (times, (size_t)size->repeats, sizeof *times, compare);
  double median = times[size->repeats / 2];
  double allowed = size->ranks * size->microbatches <= 16 * 64 ? 0.1 : 0.5;
  printf ("%3d x %-4d %d %-6s %5.1f  %8.4f s  %6.2f of %.1f s  bubble %6.2f%%  gap %5.2f points"
          "  %s%s\n",
          size->ranks, size->microbatches, chunks, uneven ? "uneven" : "equal", limit, median,
          median / allowed, allowed, 100 * (1 - ideal (costs, size) / result->value),
          100 * (result->value - result->lower_bound) / result->value, result->method,
          result->is_optimal ? ", optimal" : "");
  fflush (stdout);
}

/* The exact partition of layers whose times differ. */
static void
bench_partition (int layers, int stages) {
  g_autofree double *costs = g_new (double, (gsize)layers);
  for (int i = 0; i < layers; i++)
    costs[i] = 1 + 0.5 * sin (i * 0.7) + 0.25 * (i % 17);
  double best = G_MAXDOUBLE;
  for (int i = 0; i < 5; i++) {
    double start = now_s ();
    g_autoptr (PwPartition) partition
        = pw_partition_new_balanced (costs, layers, stages, 3, 5, NULL);
    best = MIN (best, now_s () - start);
  }
  printf ("exact partition of %d layers on %d stages: %.2f ms of 100 ms\n", layers, stages,
          best * 1e3);
}

int
main (int argc, char **argv) {
  Size sizes[] = { { .ranks = 16, .microbatches = 64, .repeats = 3 },
                   { .ranks = 32, .microbatches = 256, .repeats = 3 } };
  int n_sizes = argc > 2 ? 1 : 2;
  if (argc > 2)
    sizes[0] = (Size){ .ranks = atoi (argv[1]),
                       .microbatches = atoi (argv[2]),
                       .repeats = argc > 3 ? atoi (argv[3]) : 3 };
  if (argc == 2 || sizes[0].ranks < 2 || sizes[0].microbatches < 1 || sizes[0].repeats < 1) {
    fprintf (stderr, "usage: bench_plan [RANKS MICROBATCHES [REPEATS]], at least 2 ranks\n");
    return 2;
  }
  bench_partition (10000, 1024);
  printf ("    size   V stages memory     median   of the limit\n");
  for (int i = 0; i < n_sizes; i++)
    for (int chunks = 1; chunks <= 2; chunks++)
      for (int uneven = 0; uneven <= 1; uneven++)
        for (int halves = 1; halves <= 4; halves++)
          bench (&sizes[i], chunks, uneven, 0.5 * halves * sizes[i].ranks);
  return 0;
}
