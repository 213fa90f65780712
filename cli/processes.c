#include "cli/processes.h"
#include "cli/command.h"

/* What mpirun says where this build cannot ask MPI itself; 1: nothing. */
static int
count_of_mpirun (void) {
  static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    const char *text = g_getenv (names[i]);
    if (text)
      return (int)g_ascii_strtoll (text, NULL, 10);
  }
  return 1;
}

/* *PLACE of one process: there are no others, or MPI knows them. */
static gboolean
read_place (PwBootstrapPlace *place, gboolean *is_mpi, GError **error) {
  gboolean is_set;
  if (!pw_bootstrap_read_environment (place, &is_set, error))
    return FALSE;
  *is_mpi = !is_set && pw_bootstrap_has_mpi ();
  if (is_set || *is_mpi || count_of_mpirun () <= 1)
    return TRUE;
  return pw_input_fail (error,
                        "mpirun has started %d processes, and this build has no MPI for them to "
                        "find each other: set MASTER_ADDR and MASTER_PORT (mpirun -x), or build "
                        "with -DPW_MPI=ON",
                        count_of_mpirun ());
}

static gboolean
describe (PwProcessGroup *group, const PwBootstrapPlace *place, GError **error) {
  PwBootstrap *bootstrap = group->bootstrap;
  g_autofree int *local = g_new0 (int, (gsize)bootstrap->size);
  int hosts = 0;
  if (!bootstrap->all_gather (bootstrap, &bootstrap->local_rank, local, sizeof *local, error))
    return FALSE;
  for (int p = 0; p < bootstrap->size; p++)
    hosts += local[p] == 0;
  g_autofree char *where = place->address
                               ? g_strdup_printf (" (port %d of %s)", place->port, place->address)
                               : g_strdup ("");
  group->summary = g_strdup_printf ("%d processes over %s%s, on %d host%s", bootstrap->size,
                                    bootstrap->name, where, hosts, hosts == 1 ? "" : "s");
  return TRUE;
}

static gboolean
join (PwProcessGroup *group, const PwBootstrapPlace *place, gboolean is_mpi, double timeout_s,
      GError **error) {
  if (!is_mpi && place->size == 1)
    return TRUE;
  group->bootstrap = is_mpi ? pw_bootstrap_new_mpi (timeout_s, error)
                            : pw_bootstrap_new_tcp (place, timeout_s, error);
  if (!group->bootstrap)
    return FALSE;
  group->is_first = group->bootstrap->rank == 0;
  return group->bootstrap->size == 1 || describe (group, place, error);
}

gboolean
pw_process_group_open (PwProcessGroup *group, double timeout_s, GError **error) {
  PwBootstrapPlace place = { 0 };
  gboolean is_mpi;
  *group = (PwProcessGroup){ .is_first = TRUE };
  gboolean good
      = read_place (&place, &is_mpi, error) && join (group, &place, is_mpi, timeout_s, error);
  pw_bootstrap_place_clear (&place);
  return good;
}

void
pw_process_group_clear (PwProcessGroup *group) {
  g_clear_pointer (&group->bootstrap, pw_bootstrap_free);
  g_clear_pointer (&group->summary, g_free);
}

gboolean
pw_process_group_refuse (const char *command, const char *why, GError **error) {
  PwBootstrapPlace place = { 0 };
  gboolean is_mpi;
  if (!read_place (&place, &is_mpi, error))
    return FALSE;
  int n = is_mpi ? count_of_mpirun () : place.size;
  pw_bootstrap_place_clear (&place);
  return n <= 1 || pw_input_fail (error, "%s: there are %d processes, %s", command, n, why);
}
