#include "sim/planner/sweep.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 1000000
#define PROGRESS_US 100000

GQuark
pw_sweep_error_quark (void) {
  return g_quark_from_static_string ("pw-sweep-error-quark");
}

/* ---- Axes ---- */

static gboolean fail (GError **error, PwSweepError code, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static gboolean
fail (GError **error, PwSweepError code, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_SWEEP_ERROR, code, message);
  return FALSE;
}

static gboolean
parse_number (const char *text, double *number) {
  char *end = NULL;
  *number = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && isfinite (*number);
}

/* How many values lie from FROM to TO, whose last may be missed by rounding; -1: none. */
static double
count_steps (double from, double to, double step, gboolean is_factor) {
  double steps = is_factor ? log (to / from) / log (step) : (to - from) / step;
  return isfinite (steps) && steps >= 0 ? floor (steps + 1e-9) + 1 : -1;
}

static gboolean
expand_range (PwSweepAxis *axis, char **parts, GError **error) {
  double from, to, step = 1;
  gboolean is_factor = parts[2] != NULL && parts[2][0] == 'x';
  if (!parse_number (parts[0], &from) || !parse_number (parts[1], &to)
      || (parts[2] != NULL && !parse_number (parts[2] + is_factor, &step)))
    return fail (error, PW_SWEEP_ERROR_AXIS,
                 "%s: expected FROM:TO, FROM:TO:STEP or FROM:TO:xFACTOR", axis->name);
  if (is_factor && (from <= 0 || to <= 0 || step <= 0 || step == 1))
    return fail (error, PW_SWEEP_ERROR_AXIS,
                 "%s: x%g leads from %g to %g only where all three are positive and the factor is "
                 "not 1",
                 axis->name, step, from, to);
  double n = count_steps (from, to, step, is_factor);
  if (n < 1 || n > VALUES_MAX)
    return fail (error, PW_SWEEP_ERROR_AXIS, "%s: steps of %s%g do not lead from %g to %g%s",
                 axis->name, is_factor ? "x" : "", step, from, to,
                 n > VALUES_MAX ? " in a million" : "");
  axis->n = (int)n;
  axis->values = g_new0 (char *, (gsize)axis->n + 1);
  double value = from;
  for (int i = 0; i < axis->n; i++, value *= is_factor ? step : 1)
    axis->values[i] = g_strdup_printf ("%.12g", is_factor ? value : from + i * step);
  return TRUE;
}

static gboolean
expand_list (PwSweepAxis *axis, const char *text, GError **error) {
  axis->values = g_strsplit (text, strchr (text, ';') ? ";" : ",", -1);
  axis->n = (int)g_strv_length (axis->values);
  for (int i = 0; i < axis->n; i++)
    if (*g_strstrip (axis->values[i]) == '\0')
      return fail (error, PW_SWEEP_ERROR_AXIS, "%s: value %d is missing", axis->name, i + 1);
  return axis->n > 0 || fail (error, PW_SWEEP_ERROR_AXIS, "%s: no values", axis->name);
}

/* "4:64:x2"; a path with a drive or a time would have letters. */
static gboolean
is_range (const char *text) {
  return strchr (text, ':') != NULL && strspn (text, "0123456789.+-eE:x") == strlen (text);
}

/* Where all values are some. */
static void
read_numbers (PwSweepAxis *axis) {
  axis->numbers = g_new (double, (gsize)axis->n);
  for (int i = 0; i < axis->n; i++)
    if (!parse_number (axis->values[i], &axis->numbers[i])) {
      g_clear_pointer (&axis->numbers, g_free);
      return;
    }
}

PwSweepAxis *
pw_sweep_axis_parse (const char *text, GError **error) {
  g_autoptr (PwSweepAxis) axis = g_new0 (PwSweepAxis, 1);
  const char *equals = strchr (text, '=');
  if (equals == NULL || equals == text) {
    fail (error, PW_SWEEP_ERROR_AXIS, "\"%s\": expected NAME=VALUES", text);
    return NULL;
  }
  axis->name = g_strndup (text, (gsize)(equals - text));
  g_auto (GStrv) parts = g_strsplit (equals + 1, ":", -1);
  guint n = g_strv_length (parts);
  if (is_range (equals + 1) ? n > 3 || !expand_range (axis, parts, error)
                            : !expand_list (axis, equals + 1, error)) {
    if (error != NULL && *error == NULL)
      fail (error, PW_SWEEP_ERROR_AXIS, "%s: expected FROM:TO:STEP", axis->name);
    return NULL;
  }
  read_numbers (axis);
  return g_steal_pointer (&axis);
}

PwSweepAxis *
pw_sweep_axis_new (const char *name, const char *const *values) {
  PwSweepAxis *axis = g_new0 (PwSweepAxis, 1);
  axis->name = g_strdup (name);
  axis->values = g_strdupv ((char **)values);
  axis->n = (int)g_strv_length (axis->values);
  read_numbers (axis);
  return axis;
}

void
pw_sweep_axis_free (PwSweepAxis *axis) {
  if (axis == NULL)
    return;
  g_free (axis->name);
  g_strfreev (axis->values);
  g_free (axis->numbers);
  g_free (axis);
}

/* ---- Points ---- */

static int
size_of (const GPtrArray *axes, guint i) {
  return ((const PwSweepAxis *)g_ptr_array_index (axes, i))->n;
}

int64_t
pw_sweep_points (const GPtrArray *axes, GError **error) {
  int64_t points = 1;
  for (guint i = 0; i < axes->len; i++) {
    points *= size_of (axes, i);
    if (points > PW_SWEEP_POINTS_MAX) {
      fail (error, PW_SWEEP_ERROR_SIZE, "the grid has more than %d points", PW_SWEEP_POINTS_MAX);
      return -1;
    }
  }
  return points;
}

int
pw_sweep_index (const GPtrArray *axes, int64_t point, int i) {
  for (guint k = axes->len - 1; (int)k > i; k--)
    point /= size_of (axes, k);
  return (int)(point % size_of (axes, (guint)i));
}

gboolean
pw_sweep_shard_parse (const char *text, PwSweepShard *shard, GError **error) {
  int end = 0;
  if (sscanf (text, "%d/%d%n", &shard->number, &shard->of, &end) == 2 && text[end] == '\0'
      && shard->number >= 1 && shard->number <= shard->of)
    return TRUE;
  return fail (error, PW_SWEEP_ERROR_SHARD,
               "expected a shard and their number like 2/8, not \"%s\"", text);
}

int64_t
pw_sweep_shard_points (const PwSweepShard *shard, int64_t points) {
  return (points - shard->number) / shard->of + (points >= shard->number ? 1 : 0);
}

/* ---- Running ---- */

typedef struct {
  const PwSweepRun *run;
  int64_t n;
  atomic_int_least64_t next, done;
  atomic_int n_working;
} Work;

static gpointer
work (gpointer data) {
  Work *shared = data;
  const PwSweepRun *run = shared->run;
  while (run->interrupted == NULL || *run->interrupted == 0) {
    int64_t place = atomic_fetch_add (&shared->next, 1);
    if (place >= shared->n)
      break;
    run->evaluate (run->shard.number - 1 + place * run->shard.of, place, run->data);
    atomic_fetch_add (&shared->done, 1);
  }
  atomic_fetch_sub (&shared->n_working, 1);
  return NULL;
}

int64_t
pw_sweep_run (const PwSweepRun *run) {
  Work shared = { .run = run, .n = pw_sweep_shard_points (&run->shard, run->points) };
  int64_t cores = run->threads > 0 ? run->threads : (int)g_get_num_processors ();
  int n_threads = (int)CLAMP (cores, 1, shared.n > 0 ? shared.n : 1);
  atomic_init (&shared.n_working, n_threads);
  g_autofree GThread **threads = g_new (GThread *, (gsize)n_threads);
  for (int i = 0; i < n_threads; i++)
    threads[i] = g_thread_new ("sweep", work, &shared);
  while (run->progress != NULL && atomic_load (&shared.n_working) > 0) {
    run->progress (atomic_load (&shared.done), shared.n, run->data);
    g_usleep (PROGRESS_US);
  }
  for (int i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
  return atomic_load (&shared.done);
}
