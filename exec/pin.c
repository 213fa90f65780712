/* Which core a rank's worker runs on: cores first, their further hardware threads after them, all
 * within what the process is allowed to use. */
#include <hwloc.h>

#include "exec/exec_private.h"

struct PwPinning {
  hwloc_topology_t topology;
  GArray *places; /* unsigned: PUs in the order they are handed out */
};

static void
append_places (PwPinning *pinning, hwloc_const_cpuset_t allowed, int nth) {
  hwloc_obj_t core = NULL;
  while ((core = hwloc_get_next_obj_by_type (pinning->topology, HWLOC_OBJ_CORE, core))) {
    int seen = 0;
    int pu = -1;
    while ((pu = hwloc_bitmap_next (core->cpuset, pu)) >= 0) {
      unsigned place = (unsigned)pu;
      if (hwloc_bitmap_isset (allowed, place) && seen++ == nth)
        g_array_append_val (pinning->places, place);
    }
  }
}

PwPinning *
pw__pinning_new (void) {
  PwPinning *pinning = g_new0 (PwPinning, 1);
  pinning->places = g_array_new (FALSE, FALSE, sizeof (unsigned));
  if (hwloc_topology_init (&pinning->topology) != 0) {
    g_array_free (pinning->places, TRUE);
    g_free (pinning);
    return NULL;
  }
  hwloc_bitmap_t allowed = hwloc_bitmap_alloc ();
  if (hwloc_topology_load (pinning->topology) == 0
      && hwloc_get_cpubind (pinning->topology, allowed, HWLOC_CPUBIND_PROCESS) == 0) {
    guint wanted = (guint)hwloc_bitmap_weight (allowed);
    for (int nth = 0; nth < 16 && pinning->places->len < wanted; nth++)
      append_places (pinning, allowed, nth);
  }
  hwloc_bitmap_free (allowed);
  return pinning;
}

void
pw__pinning_free (PwPinning *pinning) {
  if (!pinning)
    return;
  hwloc_topology_destroy (pinning->topology);
  g_array_free (pinning->places, TRUE);
  g_free (pinning);
}

void
pw__pinning_apply (const PwPinning *pinning, int rank) {
  if (!pinning || pinning->places->len == 0)
    return;
  hwloc_bitmap_t set = hwloc_bitmap_alloc ();
  hwloc_bitmap_only (set,
                     g_array_index (pinning->places, unsigned, (guint)rank % pinning->places->len));
  /* Refused only where the system forbids it; the run is right without. */
  (void)hwloc_set_cpubind (pinning->topology, set, HWLOC_CPUBIND_THREAD);
  hwloc_bitmap_free (set);
}
