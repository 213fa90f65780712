/* One executor over several processes, which all make the same calls in the same order. Each has
 * the workers, the memory and the parameters of its own ranks, and of the other ranks' stages only
 * what they are.
 *
 *   process 0   task on ranks 0, 1 ─┐          ┌─ losses, figures, or the first failure
 *   process 1   task on ranks 2, 3 ─┴─ agree ──┴─ the same
 *
 * A process whose part of a task has failed raises an alarm, since the others may be waiting for
 * its messages; they then end their part, and the failure that came first is told everywhere.
 * Where PwExec.processes is NULL there is one process, and nothing here is exchanged. */
#pragma once
#include "exec/bootstrap.h"
#include "exec/exec_private.h"

/* processes.c */
/* Meets the others: their version and plan must be ours. Then fills in which ranks are here. */
gboolean pw__processes_open (PwExec *exec, GError **error);
void pw__processes_free (PwProcesses *processes);
/* While a task that may wait for other processes is in progress; with the executor's mutex held. */
void pw__processes_watch (PwExec *exec);
/* Takes OWN, what failed here (NULL: nothing). */
gboolean pw__processes_agree (PwExec *exec, GError *own, GError **error);
/* The same after a run; all get each other's losses and figures, on process 0's clock. */
gboolean pw__processes_agree_run (PwExec *exec, GError *own, GError **error);

/* processes_share.c: what is in one process and others want. Without processes: nothing to do. */
/* DATA of the process that has RANK to that of all, or of process 0 only. */
gboolean pw__processes_hand_out (PwExec *exec, int rank, gboolean to_all, void *data, gsize bytes,
                                 GError **error);
/* What the last run has written of the batch's outputs. */
gboolean pw__processes_share_outputs (PwExec *exec, const PwExecBatch *batch, GError **error);
/* Adds the other processes' records, all on process 0's clock. If they are lost, their records are.
 */
void pw__processes_share_trace (PwExec *exec, PwTrace *trace);
/* After a stream, per step: the latest END and the sum of LOSSES; the least of the steps DONE. */
gboolean pw__processes_share_stream (PwExec *exec, int64_t steps, double *ends, double *losses,
                                     double *start, int64_t *done, GError **error);

/* processes_plan.c: SHA-256 of all that has to be the same everywhere. */
#define PW_DIGEST_BYTES 32
void pw__processes_digest (const PwExec *exec, guint8 digest[PW_DIGEST_BYTES]);

/* processes_clock.c */
typedef struct {
  gboolean is_same; /* all processes read one clock */
  double offset_s;  /* to be added here to get process 0's time */
  double error_s;   /* of any process's at most */
  double aligned_s; /* when, here */
} PwClock;
/* Every process calls it. NOW: the clock, for tests; NULL: the monotonic one. */
gboolean pw__clock_align (PwBootstrap *bootstrap, double (*now) (gpointer), gpointer data,
                          PwClock *clock, GError **error);
gboolean pw__clock_find_same (PwBootstrap *bootstrap, PwClock *clock, GError **error);

/* NULL: there is one process. */
PwBootstrap *pw__processes_bootstrap (const PwExec *exec);
const PwClock *pw__processes_clock (const PwExec *exec);
/* Estimates the offset again. */
gboolean pw__processes_align (PwExec *exec, GError **error);

/* The least of all processes; 0 where they cannot be asked, which the next exchange tells. */
int pw__processes_least (PwExec *exec, int mine);

static inline int
pw__exec_process_of (const PwExec *exec, int rank) {
  return rank / exec->n_local;
}
