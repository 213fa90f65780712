/* A grid of values, and something done for each of its points on all cores. What a point is worth
 * is the caller's affair; results do not depend on the number of threads. */
#pragma once
#include <glib.h>
#include <stdint.h>

#define PW_SWEEP_ERROR (pw_sweep_error_quark ())
GQuark pw_sweep_error_quark (void);
typedef enum {
  PW_SWEEP_ERROR_AXIS, /* no name, no values, a range that is none */
  PW_SWEEP_ERROR_SIZE, /* more points than PW_SWEEP_POINTS_MAX */
  PW_SWEEP_ERROR_SHARD
} PwSweepError;

#define PW_SWEEP_POINTS_MAX 10000000

/* What is varied, in the order given. */
typedef struct {
  char *name;
  char **values; /* [n], as text */
  int n;
  double *numbers; /* [n]; NULL: some are none */
} PwSweepAxis;
/* "NAME=A,B,C" (or by semicolons, where values have commas), "NAME=FROM:TO" in steps of 1,
 * "NAME=FROM:TO:STEP", "NAME=FROM:TO:xFACTOR"; both ends are meant. */
PwSweepAxis *pw_sweep_axis_parse (const char *text, GError **error);
/* Of values as they are, NULL-terminated. */
PwSweepAxis *pw_sweep_axis_new (const char *name, const char *const *values);
void pw_sweep_axis_free (PwSweepAxis *axis);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSweepAxis, pw_sweep_axis_free)

/* AXES: PwSweepAxis *. The last one changes fastest. -1 with an error: too many. */
int64_t pw_sweep_points (const GPtrArray *axes, GError **error);
/* Which value of axis I point POINT has. */
int pw_sweep_index (const GPtrArray *axes, int64_t point, int i);

/* The points number - 1, number - 1 + of, ...: neighbours, which take as long, go to different
 * shards. */
typedef struct {
  int number, of; /* from 1 */
} PwSweepShard;
/* "2/8" */
gboolean pw_sweep_shard_parse (const char *text, PwSweepShard *shard, GError **error);
int64_t pw_sweep_shard_points (const PwSweepShard *shard, int64_t points);

typedef struct {
  int64_t points; /* of the grid */
  PwSweepShard shard;
  int threads; /* 0: one per core */
  /* On some thread; POINT of the grid, PLACE among the shard's. */
  void (*evaluate) (int64_t point, int64_t place, gpointer data);
  /* On the caller's thread, now and then; NULL: none. */
  void (*progress) (int64_t done, int64_t of, gpointer data);
  gpointer data;
  const volatile int *interrupted; /* not 0: no further points are begun; NULL: never */
} PwSweepRun;
/* Returns how many were done. */
int64_t pw_sweep_run (const PwSweepRun *run);
