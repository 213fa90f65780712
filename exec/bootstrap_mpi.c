/* The bootstrap of processes that mpirun started. Built with -DPW_MPI=ON: linking MPI costs every
 * start, so a build without it is the default. */
#include "exec/bootstrap_private.h"

#ifdef PW_MPI
#  include <mpi.h>

static gboolean
mpi_all_gather (PwBootstrap *bootstrap, const void *mine, void *all, gsize bytes, GError **error) {
  g_assert (bytes <= G_MAXINT);
  int code = bytes > 0 ? MPI_Allgather (mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE,
                                        MPI_COMM_WORLD)
                       : MPI_Barrier (MPI_COMM_WORLD);
  if (code == MPI_SUCCESS)
    return TRUE;
  g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
               "process %d: MPI_Allgather failed with code %d", bootstrap->rank, code);
  return FALSE;
}

static void
mpi_free (PwBootstrap *bootstrap) {
  g_free (bootstrap);
  MPI_Finalize ();
}

gboolean
pw_bootstrap_has_mpi (void) {
  static const char *const names[]
      = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MV2_COMM_WORLD_SIZE" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_getenv (names[i]))
      return TRUE;
  return FALSE;
}

PwBootstrap *
pw_bootstrap_new_mpi (GError **error) {
  int level;
  if (MPI_Init_thread (NULL, NULL, MPI_THREAD_SERIALIZED, &level) != MPI_SUCCESS) {
    g_set_error_literal (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
                         "MPI cannot be started");
    return NULL;
  }
  MPI_Comm_set_errhandler (MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  PwBootstrap *bootstrap = g_new0 (PwBootstrap, 1);
  bootstrap->all_gather = mpi_all_gather;
  bootstrap->free = mpi_free;
  MPI_Comm_rank (MPI_COMM_WORLD, &bootstrap->rank);
  MPI_Comm_size (MPI_COMM_WORLD, &bootstrap->size);
  if (pw__bootstrap_find_neighbours (bootstrap, error))
    return bootstrap;
  mpi_free (bootstrap);
  return NULL;
}
#else
gboolean
pw_bootstrap_has_mpi (void) {
  return FALSE;
}

PwBootstrap *
pw_bootstrap_new_mpi (GError **error) {
  g_set_error_literal (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
                       "this build has no MPI: -DPW_MPI=ON adds it");
  return NULL;
}
#endif
