/* The bootstrap of processes that mpirun started. Built with -DPW_MPI=ON: linking MPI costs every
 * start, so a build without it is the default. */
#include "exec/bootstrap_private.h"

#ifdef PW_MPI
#  include <mpi.h>
#  include <pthread.h>

#  include "exec/waiting_private.h"

#  define SPINS 1000 /* looks at an exchange before sleeping between them */
#  define SLEEP_US 50
#  define PIECE_BYTES ((gsize)1 << 30) /* MPI counts in ints */

typedef struct {
  PwBootstrap base;
  double timeout_s;
  pthread_mutex_t busy; /* MPI is called by one thread at a time */
  MPI_Comm alarms;
  gint64 number; /* of the next exchange */
  gint64 raised; /* an alarm's content: the exchange that it is about */
  gboolean is_broken;
  int alarmed_by; /* -1: nobody */
} Mpi;

static gboolean
fail (Mpi *mpi, PwBootstrapError code, const char *words, GError **error) {
  mpi->is_broken = TRUE;
  g_set_error (error, PW_BOOTSTRAP_ERROR, (int)code, "process %d: %s", mpi->base.rank, words);
  return FALSE;
}

/* Not MPI_Wait, which may spin for ever. */
static gboolean
finish (Mpi *mpi, int code, MPI_Request *request, GError **error) {
  double deadline_s = mpi->timeout_s > 0 ? pw__now_s () + mpi->timeout_s : G_MAXDOUBLE;
  int is_done = 0;
  for (int looks = 0; code == MPI_SUCCESS && !is_done; looks++) {
    code = MPI_Test (request, &is_done, MPI_STATUS_IGNORE);
    if (code == MPI_SUCCESS && !is_done && pw__now_s () > deadline_s)
      return fail (mpi, PW_BOOTSTRAP_ERROR_TIMEOUT, "the other processes do not answer in time",
                   error);
    if (!is_done && looks > SPINS)
      g_usleep (SLEEP_US);
  }
  return code == MPI_SUCCESS
         || fail (mpi, PW_BOOTSTRAP_ERROR_CONNECTION, "MPI has lost another process", error);
}

static gboolean
begin (Mpi *mpi, GError **error) {
  pthread_mutex_lock (&mpi->busy);
  return !mpi->is_broken
         || fail (mpi, PW_BOOTSTRAP_ERROR_CONNECTION, "an earlier exchange failed", error);
}

/* Alarms about this exchange are over. */
static gboolean
end (Mpi *mpi, gboolean good) {
  mpi->number++;
  mpi->alarmed_by = -1;
  pthread_mutex_unlock (&mpi->busy);
  return good;
}

static gboolean
mpi_all_gather (PwBootstrap *bootstrap, const void *mine, void *all, gsize bytes, GError **error) {
  Mpi *mpi = (Mpi *)bootstrap;
  MPI_Request request;
  g_assert (bytes <= PIECE_BYTES);
  if (!begin (mpi, error))
    return end (mpi, FALSE);
  int n = (int)bytes;
  int code = n > 0 ? MPI_Iallgather (mine, n, MPI_BYTE, all, n, MPI_BYTE, MPI_COMM_WORLD, &request)
                   : MPI_Ibarrier (MPI_COMM_WORLD, &request);
  return end (mpi, finish (mpi, code, &request, error));
}

/* One piece; processes that have no part in it start nothing. */
static int
start_piece (const Mpi *mpi, int from, gboolean to_all, char *data, int n, MPI_Request *request) {
  *request = MPI_REQUEST_NULL;
  if (to_all)
    return MPI_Ibcast (data, n, MPI_BYTE, from, MPI_COMM_WORLD, request);
  if (mpi->base.rank == from && from != 0)
    return MPI_Isend (data, n, MPI_BYTE, 0, 0, MPI_COMM_WORLD, request);
  if (mpi->base.rank == 0 && from != 0)
    return MPI_Irecv (data, n, MPI_BYTE, from, 0, MPI_COMM_WORLD, request);
  return MPI_SUCCESS;
}

static gboolean
mpi_transfer (PwBootstrap *bootstrap, int from, gboolean to_all, void *data, gsize bytes,
              GError **error) {
  Mpi *mpi = (Mpi *)bootstrap;
  gboolean good = begin (mpi, error);
  for (gsize at = 0; good && at < bytes; at += PIECE_BYTES) {
    gsize n = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
    MPI_Request request;
    int code = start_piece (mpi, from, to_all, (char *)data + at, (int)n, &request);
    good = finish (mpi, code, &request, error);
  }
  return end (mpi, good);
}

/* So short a message is gone when it is sent. */
static void
mpi_alarm (PwBootstrap *bootstrap) {
  Mpi *mpi = (Mpi *)bootstrap;
  pthread_mutex_lock (&mpi->busy);
  mpi->raised = mpi->number;
  for (int p = 0; p < bootstrap->size; p++) {
    MPI_Request request;
    if (p != bootstrap->rank
        && MPI_Isend (&mpi->raised, sizeof mpi->raised, MPI_BYTE, p, 0, mpi->alarms, &request)
               == MPI_SUCCESS)
      MPI_Request_free (&request);
  }
  pthread_mutex_unlock (&mpi->busy);
}

static void
take_alarms (Mpi *mpi) {
  int is_there = 0;
  MPI_Status status;
  while (MPI_Iprobe (MPI_ANY_SOURCE, 0, mpi->alarms, &is_there, &status) == MPI_SUCCESS
         && is_there) {
    gint64 about;
    if (MPI_Recv (&about, sizeof about, MPI_BYTE, status.MPI_SOURCE, 0, mpi->alarms,
                  MPI_STATUS_IGNORE)
        != MPI_SUCCESS)
      return;
    if (about == mpi->number && mpi->alarmed_by < 0)
      mpi->alarmed_by = status.MPI_SOURCE;
  }
}

static gboolean
mpi_watch (PwBootstrap *bootstrap, GError **error) {
  Mpi *mpi = (Mpi *)bootstrap;
  if (pthread_mutex_trylock (&mpi->busy) != 0)
    return TRUE;
  take_alarms (mpi);
  int by = mpi->alarmed_by;
  pthread_mutex_unlock (&mpi->busy);
  if (by < 0)
    return TRUE;
  g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION, "process %d has failed",
               by);
  return FALSE;
}

/* With a process lost, MPI's end would wait for it; mpirun ends the others. */
static void
mpi_free (PwBootstrap *bootstrap) {
  Mpi *mpi = (Mpi *)bootstrap;
  if (!mpi->is_broken) {
    take_alarms (mpi);
    MPI_Comm_free (&mpi->alarms);
    MPI_Finalize ();
  }
  pthread_mutex_destroy (&mpi->busy);
  g_free (mpi);
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
pw_bootstrap_new_mpi (double timeout_s, GError **error) {
  int level;
  if (MPI_Init_thread (NULL, NULL, MPI_THREAD_SERIALIZED, &level) != MPI_SUCCESS) {
    g_set_error_literal (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
                         "MPI cannot be started");
    return NULL;
  }
  Mpi *mpi = g_new0 (Mpi, 1);
  mpi->base = (PwBootstrap){ .name = "MPI",
                             .all_gather = mpi_all_gather,
                             .transfer = mpi_transfer,
                             .alarm = mpi_alarm,
                             .watch = mpi_watch,
                             .free = mpi_free };
  mpi->timeout_s = timeout_s;
  mpi->alarmed_by = -1;
  pthread_mutex_init (&mpi->busy, NULL);
  MPI_Comm_rank (MPI_COMM_WORLD, &mpi->base.rank);
  MPI_Comm_size (MPI_COMM_WORLD, &mpi->base.size);
  MPI_Comm_dup (MPI_COMM_WORLD, &mpi->alarms);
  MPI_Comm_set_errhandler (MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler (mpi->alarms, MPI_ERRORS_RETURN);
  if (level < MPI_THREAD_SERIALIZED)
    fail (mpi, PW_BOOTSTRAP_ERROR_CONNECTION, "this MPI serves one thread only", error);
  else if (pw__bootstrap_find_neighbours (&mpi->base, error))
    return &mpi->base;
  mpi_free (&mpi->base);
  return NULL;
}
#else
gboolean
pw_bootstrap_has_mpi (void) {
  return FALSE;
}

PwBootstrap *
pw_bootstrap_new_mpi (double timeout_s, GError **error) {
  (void)timeout_s;
  g_set_error_literal (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION,
                       "this build has no MPI: -DPW_MPI=ON adds it");
  return NULL;
}
#endif
