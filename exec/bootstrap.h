/* How the processes of one run find each other: before there is any communicator, they exchange a
 * few bytes (NCCL's ids, versions, which device each has).
 *
 * Over TCP: rank 0 listens at ADDRESS and PORT, the others connect, trying again until the timeout,
 * and what all contribute goes through rank 0. Over MPI: its collectives. */
#pragma once
#include <glib.h>

#define PW_BOOTSTRAP_ERROR (pw_bootstrap_error_quark ())
GQuark pw_bootstrap_error_quark (void);
typedef enum {
  PW_BOOTSTRAP_ERROR_ENVIRONMENT, /* the variables make no sense: they are named */
  PW_BOOTSTRAP_ERROR_CONNECTION,
  PW_BOOTSTRAP_ERROR_TIMEOUT, /* who did not come is named */
  PW_BOOTSTRAP_ERROR_MISMATCH /* processes that do not belong to one run */
} PwBootstrapError;

/* Where a process stands in the run. */
typedef struct {
  int rank, size; /* among the processes */
  char *address;
  int port;
} PwBootstrapPlace;

typedef struct PwBootstrap PwBootstrap;
struct PwBootstrap {
  int rank, size;
  int local_rank, local_size; /* among the processes on this host, by rank */
  /* BYTES from each, in order of rank, to all. Every process calls it, with the same BYTES. */
  gboolean (*all_gather) (PwBootstrap *, const void *mine, void *all, gsize bytes, GError **error);
  void (*free) (PwBootstrap *);
};

/* RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun sets them; SLURM_PROCID and
 * SLURM_NTASKS stand in for the first two, so that a batch script need only export the others.
 * FALSE with an error for contradictions; *IS_SET FALSE: there is one process only. */
gboolean pw_bootstrap_read_environment (PwBootstrapPlace *place, gboolean *is_set, GError **error);
void pw_bootstrap_place_clear (PwBootstrapPlace *place);

/* Blocks until all processes are there, TIMEOUT_S at most (0: for ever). */
PwBootstrap *pw_bootstrap_new_tcp (const PwBootstrapPlace *place, double timeout_s, GError **error);
/* NULL with an error where this build has no MPI. Call it under mpirun only. */
PwBootstrap *pw_bootstrap_new_mpi (GError **error);
/* Started by mpirun, and this build has MPI. */
gboolean pw_bootstrap_has_mpi (void);

gboolean pw_bootstrap_barrier (PwBootstrap *bootstrap, GError **error);
void pw_bootstrap_free (PwBootstrap *bootstrap);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwBootstrap, pw_bootstrap_free)
