/* Measures layer costs on this machine as they will be met in a run: whole stages in order, all
 * ranks' cores busy at once, the buffers allocated and freed as in training; medians per layer. */
#pragma once
#include "exec/exec.h"

typedef struct {
  const PwBackend *backend;     /* NULL: CPU */
  const PwTransport *transport; /* for latency and bandwidth; NULL: threads */
  int ranks;                    /* cores kept busy at once; as the run will have */
  const int64_t *samples;       /* micro-batch sizes to measure, ascending */
  int n_samples;
  int optimizer_kind;                                /* PwOptimizerKind, for update times */
  PwPrecision precision;                             /* the graph's shapes have its type already */
  double seconds;                                    /* budget for each size; 0: 2 */
  void (*progress) (double fraction, gpointer data); /* NULL: none */
  gpointer progress_data;
} PwProfileOptions;
PwLayerCosts *pw_profile_run (const PwGraph *graph, const PwProfileOptions *options,
                              GError **error);

/* The machine itself, without a model: rates of products by size and precision, of memory and of
 * copies by size, the link by message size. For estimates of models that are not at hand. */
typedef struct {
  const PwBackend *backend;     /* NULL: CPU */
  const PwTransport *transport; /* NULL: threads */
  int ranks;      /* of the CPU's cores that are busy at once; with 1 no link is measured */
  double seconds; /* budget for everything; 0: 20 */
  void (*progress) (double fraction, gpointer data); /* NULL: none */
  gpointer progress_data;
} PwMachineOptions;
PwHardware *pw_profile_machine (const PwMachineOptions *options, GError **error);
