/* How the processes of one run find each other, and what they exchange beside their ranks'
 * messages: NCCL's ids and versions before there is any communicator, losses and figures after a
 * step, parameters.
 *
 * Over TCP: rank 0 listens at ADDRESS and PORT, the others connect, trying again until the timeout,
 * and what all contribute goes through rank 0. Over MPI: its collectives.
 *
 * Every process makes the same exchanges in the same order. After one that failed there are no
 * more. One thread at a time; `alarm` and `watch` may be called while another thread is in an
 * exchange. */
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
  const char *name; /* "TCP" */
  int rank, size;
  int local_rank, local_size; /* among the processes on this host, by rank */
  /* BYTES from each, in order of rank, to all. Every process calls it, with the same BYTES. */
  gboolean (*all_gather) (PwBootstrap *, const void *mine, void *all, gsize bytes, GError **error);
  /* BYTES at DATA of process FROM to DATA of process 0, or of all. Every process calls it, with the
   * same BYTES. */
  gboolean (*transfer) (PwBootstrap *, int from, gboolean to_all, void *data, gsize bytes,
                        GError **error);
  /* Between exchanges, while the others may be at work that cannot end without this process: they
   * are told that it comes to the next exchange with a failure. */
  void (*alarm) (PwBootstrap *);
  /* FALSE once another process has raised an alarm since the last exchange, or is gone: it is
   * named. Never blocks. */
  gboolean (*watch) (PwBootstrap *, GError **error);
  void (*free) (PwBootstrap *);
};

/* RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun sets them; what srun and mpirun say
 * stands in for the first two, so that a batch script need only export the others.
 * FALSE with an error for contradictions; *IS_SET FALSE: there is one process only. */
gboolean pw_bootstrap_read_environment (PwBootstrapPlace *place, gboolean *is_set, GError **error);
void pw_bootstrap_place_clear (PwBootstrapPlace *place);

/* Blocks until all processes are there, TIMEOUT_S at most (0: for ever). */
PwBootstrap *pw_bootstrap_new_tcp (const PwBootstrapPlace *place, double timeout_s, GError **error);
/* NULL with an error where this build has no MPI. Call it under mpirun only. An exchange takes
 * TIMEOUT_S at most (0: for ever). */
PwBootstrap *pw_bootstrap_new_mpi (double timeout_s, GError **error);
/* Started by mpirun, and this build has MPI. */
gboolean pw_bootstrap_has_mpi (void);

gboolean pw_bootstrap_barrier (PwBootstrap *bootstrap, GError **error);

/* What came of a step here. */
typedef struct {
  const GError *failure;   /* NULL: none */
  double failed_s;         /* when, by a clock that all have: the first failure is the one told */
  gboolean is_consequence; /* of another process's: told only if there is no other */
  const void *mine;        /* exchanged along with it: all_gather's */
  void *all;
  gsize bytes;
} PwBootstrapReport;
/* An exchange: TRUE if all is well in all processes; else all get the same failure. */
gboolean pw_bootstrap_agree (PwBootstrap *bootstrap, const PwBootstrapReport *report,
                             GError **error);
/* The same with nothing but OWN, what failed here (NULL: nothing), which it takes. BOOTSTRAP NULL:
 * there is one process. */
gboolean pw_bootstrap_settle (PwBootstrap *bootstrap, GError *own, GError **error);
void pw_bootstrap_free (PwBootstrap *bootstrap);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwBootstrap, pw_bootstrap_free)
