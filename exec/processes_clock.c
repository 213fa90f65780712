/* One clock for the processes of a run. On one host they read the same monotonic clock; between
 * hosts the offset to process 0's is estimated over the bootstrap, in rounds of two exchanges:
 *
 *   process p   before ── exchange ────────────── exchange ── after
 *   process 0             exchange ── reads T ─── exchange
 *
 * The first exchange ends at process 0 after p has begun it, the second ends at p after process 0
 * has begun it, so T lies between `before` and `after`: at their middle, but for half of the window
 * at most (Cristian's method). The round with the smallest window counts. */
#include <string.h>
#include <unistd.h>

#include "exec/processes_private.h"

#define ROUNDS 16

static double
monotonic (gpointer data) {
  (void)data;
  return pw__now_s ();
}

typedef struct {
  double stamp, window;
} Look;

/* A stamp is process 0's; windows are everybody's. */
static gboolean
look (PwBootstrap *bootstrap, double (*now) (gpointer), gpointer data, Look *all, double *middle,
      double *window, GError **error) {
  Look mine = { 0 };
  double before = now (data);
  if (!pw_bootstrap_barrier (bootstrap, error))
    return FALSE;
  mine.stamp = now (data);
  if (!bootstrap->all_gather (bootstrap, &mine, all, sizeof mine, error))
    return FALSE;
  double after = now (data);
  *middle = (before + after) / 2;
  *window = after - before;
  return TRUE;
}

gboolean
pw__clock_align (PwBootstrap *bootstrap, double (*now) (gpointer), gpointer data, PwClock *clock,
                 GError **error) {
  g_autofree Look *all = g_new0 (Look, (gsize)bootstrap->size);
  double smallest = G_MAXDOUBLE;
  now = now ? now : monotonic;
  for (int i = 0; i < ROUNDS; i++) {
    double middle, window;
    if (!look (bootstrap, now, data, all, &middle, &window, error))
      return FALSE;
    if (window >= smallest)
      continue;
    smallest = window;
    clock->offset_s = bootstrap->rank == 0 ? 0 : all[0].stamp - middle;
  }
  Look mine = { .window = bootstrap->rank == 0 ? 0 : smallest };
  if (!bootstrap->all_gather (bootstrap, &mine, all, sizeof mine, error))
    return FALSE;
  clock->error_s = 0;
  for (int p = 0; p < bootstrap->size; p++)
    clock->error_s = MAX (clock->error_s, all[p].window / 2);
  clock->aligned_s = pw__now_s ();
  return TRUE;
}

/* Which boot of which machine, and which of its time namespaces; "" where that is not known. */
static void
describe_clock (char *text, gsize bytes) {
  char space[64] = { 0 };
  g_autofree char *boot = NULL;
  memset (text, 0, bytes);
  if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL))
    return;
  if (readlink ("/proc/self/ns/time", space, sizeof space - 1) < 0)
    space[0] = '\0'; /* a kernel without such namespaces */
  g_snprintf (text, bytes, "%s %s", g_strstrip (boot), space);
}

gboolean
pw__clock_find_same (PwBootstrap *bootstrap, PwClock *clock, GError **error) {
  enum { bytes = 128 };
  char mine[bytes];
  g_autofree char *all = g_malloc0 ((gsize)bootstrap->size * bytes);
  describe_clock (mine, sizeof mine);
  if (!bootstrap->all_gather (bootstrap, mine, all, bytes, error))
    return FALSE;
  clock->is_same = TRUE;
  for (int p = 0; p < bootstrap->size; p++)
    clock->is_same = clock->is_same && all[0] != '\0' && memcmp (all, all + p * bytes, bytes) == 0;
  return TRUE;
}
