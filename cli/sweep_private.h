/* The rows of a sweep: made by sweep_point.c, shown by sweep_report.c and sweep_plot.c. */
#pragma once
#include "cli/workload.h"
#include "sim/planner/sweep.h"

/* Of a CSV, behind "sweep,point,points" and a "vary.NAME" for each axis. */
#define PW_SWEEP_COLUMNS                                                                           \
  ",schedule,ranks,stages,microbatches,iteration_time,ideal_time,bubble_fraction,bubble_ratio,"    \
  "longest_rank_span,peak_activations,peak_memory_bytes,throughput,error"

#define PW_SWEEP_FIGURES                                                                           \
  "iteration_time, bubble_fraction, bubble_ratio, peak_activations, peak_memory_bytes "            \
  "or throughput"

/* A point's figures, or why there are none. */
typedef struct {
  gboolean is_done;
  gboolean has_figures, is_unitless;
  char *schedule; /* NULL without figures */
  int ranks, stages, microbatches;
  double iteration_time, ideal_time, bubble_fraction, bubble_ratio, longest_rank_span;
  double peak_activations;
  int64_t peak_memory_bytes;
  double throughput; /* samples per second; synthetic costs: micro-batches per unit of time */
  char *error;       /* also of one whose figures are above the memory limit */
} PwSweepRow;

typedef struct {
  const PwCall *call;
  const PwPlan *plan; /* the file's; NULL: synthetic costs */
  GPtrArray *axes;    /* PwSweepAxis */
  char *id;           /* of all that decides the rows but the shard */
  PwSweepRun run;
  int64_t n;        /* of the shard */
  PwSweepRow *rows; /* [n] */
} PwSweep;

/* sweep_point.c */
/* Every axis is an option, or a plan's key. */
gboolean pw__sweep_check_axes (const PwSweep *sweep, GError **error);
/* VALUE as JSON where it is some (1e9 an integer), else as a text. */
json_t *pw__sweep_json_value (const char *value);
void pw__sweep_evaluate (int64_t point, int64_t place, gpointer sweep);

/* sweep_id.c: the same for all shards of one sweep, another where plan, options, values or the
 * contents of a file that these name differ. */
char *pw__sweep_id (const PwSweep *sweep, char **vary);

/* sweep_report.c */
static inline int64_t
pw__sweep_point (const PwSweep *sweep, int64_t place) {
  return sweep->run.shard.number - 1 + place * sweep->run.shard.of;
}
static inline const PwSweepAxis *
pw__sweep_axis (const PwSweep *sweep, guint i) {
  return g_ptr_array_index (sweep->axes, i);
}
/* Bytes; of synthetic costs activations. */
static inline double
pw__sweep_memory (const PwSweepRow *row) {
  return row->is_unitless ? row->peak_activations : (double)row->peak_memory_bytes;
}
const char *pw__sweep_value (const PwSweep *sweep, int64_t place, guint axis);
/* The place of the highest throughput; of equal ones the least memory. -1: none. */
int64_t pw__sweep_best (const PwSweep *sweep);
/* [n] nothing is both faster and smaller, and nothing as good in one is better in the other. */
/* The N places of the front, by memory. */
int64_t *pw__sweep_front_places (const PwSweep *sweep, int64_t *n);
gboolean *pw__sweep_front (const PwSweep *sweep);
void pw__sweep_print (const PwSweep *sweep, int64_t done, int64_t max_rows, gboolean pareto);
void pw__sweep_print_json (const PwSweep *sweep, int64_t done, double wall_seconds);
gboolean pw__sweep_write_csv (const PwSweep *sweep, const char *path, GError **error);

/* sweep_read.c: fills in axes, points and rows from a CSV of all points, its LINES in their
 * order. */
gboolean pw__sweep_read (PwSweep *sweep, const char *header, GPtrArray *lines, GError **error);
/* Frees what SWEEP owns. */
void pw__sweep_clear (PwSweep *sweep);

/* sweep_plot.c */
/* X, Y: names of axes and figures; NULL: what suits. PARETO: the front instead. */
gboolean pw__sweep_check_plot (const PwSweep *sweep, const char *x, const char *y, GError **error);
gboolean pw__sweep_plot (const PwSweep *sweep, const char *path, const char *x, const char *y,
                         gboolean pareto, GError **error);
