#include "exec/processes_private.h"

#include <unistd.h>

#define CLOCK_OLD_S 10 /* clocks of two hosts drift apart by some microseconds a second */

struct PwProcesses {
  PwBootstrap *bootstrap;
  PwClock clock;
  gboolean is_alarmed;  /* another process has failed, in the task in progress */
  gboolean has_alarmed; /* the others know of a failure here */
};

/* ---- Meeting ---- */

typedef struct {
  char version[24];
  char host[72];
  guint8 digest[PW_DIGEST_BYTES];
} Greeting;

static gboolean
compare (const Greeting *first, const Greeting *other, int number, GError **error) {
  if (strcmp (first->version, other->version) != 0)
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "process 0 (host %s) is pipewright %s, process %d (host %s) is %s: all need the "
                 "same version",
                 first->host, first->version, number, other->host, other->version);
  else if (memcmp (first->digest, other->digest, sizeof first->digest) != 0)
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA,
                 "process %d (host %s) has another plan than process 0 (host %s)", number,
                 other->host, first->host);
  else
    return TRUE;
  return FALSE;
}

static gboolean
greet (const PwExec *exec, PwBootstrap *bootstrap, GError **error) {
  Greeting mine = { .version = PW_VERSION };
  g_autofree Greeting *all = g_new0 (Greeting, (gsize)bootstrap->size);
  gethostname (mine.host, sizeof mine.host - 1);
  pw__processes_digest (exec, mine.digest);
  if (!bootstrap->all_gather (bootstrap, &mine, all, sizeof mine, error))
    return FALSE;
  for (int p = 1; p < bootstrap->size; p++)
    if (!compare (&all[0], &all[p], p, error))
      return FALSE;
  return TRUE;
}

/* The same verdict everywhere: the plan is. */
static gboolean
check_layout (const PwExec *exec, const PwBootstrap *bootstrap, GError **error) {
  if (!exec->transport->crosses_processes) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "transport \"%s\" carries messages within one process, there are %d: \"nccl\" "
                 "carries them between processes",
                 exec->transport->name, bootstrap->size);
    return FALSE;
  }
  if (exec->n_ranks % bootstrap->size == 0)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
               "%d ranks cannot be shared out evenly between %d processes", exec->n_ranks,
               bootstrap->size);
  return FALSE;
}

static gboolean
align (PwProcesses *processes, GError **error) {
  return processes->clock.is_same
         || pw__clock_align (processes->bootstrap, NULL, NULL, &processes->clock, error);
}

gboolean
pw__processes_open (PwExec *exec, GError **error) {
  PwBootstrap *bootstrap = exec->options.bootstrap;
  if (!bootstrap || bootstrap->size == 1)
    return TRUE;
  if (!greet (exec, bootstrap, error) || !check_layout (exec, bootstrap, error))
    return FALSE;
  PwProcesses *processes = exec->processes = g_new0 (PwProcesses, 1);
  processes->bootstrap = bootstrap;
  exec->n_local = exec->n_ranks / bootstrap->size;
  exec->first_rank = bootstrap->rank * exec->n_local;
  exec->first_place = bootstrap->local_rank * exec->n_local;
  return pw__clock_find_same (bootstrap, &processes->clock, error) && align (processes, error);
}

void
pw__processes_free (PwProcesses *processes) {
  g_free (processes);
}

PwBootstrap *
pw__processes_bootstrap (const PwExec *exec) {
  return exec->processes ? exec->processes->bootstrap : NULL;
}

const PwClock *
pw__processes_clock (const PwExec *exec) {
  return &exec->processes->clock;
}

gboolean
pw__processes_align (PwExec *exec, GError **error) {
  return align (exec->processes, error);
}

/* ---- A task in progress ---- */

void
pw__processes_watch (PwExec *exec) {
  PwProcesses *processes = exec->processes;
  PwBootstrap *bootstrap = processes->bootstrap;
  g_autoptr (GError) why = NULL;
  if (exec->task_error && !processes->has_alarmed) {
    processes->has_alarmed = TRUE;
    bootstrap->alarm (bootstrap);
  } else if (!exec->task_error && !processes->is_alarmed && !bootstrap->watch (bootstrap, &why)) {
    processes->is_alarmed = TRUE;
    pw__exec_stop_task (exec, why->message);
  }
}

static gboolean
agree (PwExec *exec, PwBootstrapReport *report, GError *own, GError **error) {
  PwProcesses *processes = exec->processes;
  PwBootstrap *bootstrap = processes->bootstrap;
  if (own && !processes->has_alarmed)
    bootstrap->alarm (bootstrap);
  report->failure = own;
  report->failed_s = exec->task_failed_s + processes->clock.offset_s;
  report->is_consequence = processes->is_alarmed;
  gboolean good = pw_bootstrap_agree (bootstrap, report, error);
  processes->is_alarmed = processes->has_alarmed = FALSE;
  g_clear_error (&own);
  return good;
}

gboolean
pw__processes_agree (PwExec *exec, GError *own, GError **error) {
  if (exec->processes)
    return agree (exec, &(PwBootstrapReport){ 0 }, own, error);
  if (own)
    g_propagate_error (error, own);
  return !own;
}

int
pw__processes_least (PwExec *exec, int mine) {
  if (!exec->processes)
    return mine;
  g_autofree int *all = g_new0 (int, (gsize)exec->processes->bootstrap->size);
  PwBootstrapReport report = { .mine = &mine, .all = all, .bytes = sizeof mine };
  if (!agree (exec, &report, NULL, NULL))
    return 0;
  for (int p = 0; p < exec->processes->bootstrap->size; p++)
    mine = MIN (mine, all[p]);
  return mine;
}

/* ---- After a run ---- */

typedef struct {
  double first_start, last_end;
  PwExecRank figures;
} RankReport;

/* Followed by RankReport [n_local], and the losses of micro-batches unless it was a stream. */
typedef struct {
  gint32 is_there; /* not where the exchange failed */
  gint32 is_interrupted, wants_clock;
  gint32 unused;
} RunReport;

static gsize
report_bytes (const PwExec *exec, int n_losses) {
  return sizeof (RunReport) + (gsize)exec->n_local * sizeof (RankReport)
         + (gsize)n_losses * sizeof (double);
}

static RankReport *
ranks_of (RunReport *report) {
  return (RankReport *)(void *)(report + 1);
}

static double *
losses_of (const PwExec *exec, RunReport *report) {
  return (double *)(void *)(ranks_of (report) + exec->n_local);
}

static void
fill_report (PwExec *exec, RunReport *report, int n_losses) {
  const PwClock *clock = &exec->processes->clock;
  report->is_there = TRUE;
  report->is_interrupted = pw__exec_is_interrupted (exec);
  report->wants_clock = !clock->is_same && pw__now_s () - clock->aligned_s > CLOCK_OLD_S;
  for (int i = 0; i < exec->n_local; i++) {
    const PwWorker *worker = &exec->workers[exec->first_rank + i];
    RankReport *rank = &ranks_of (report)[i];
    pw_exec_rank (exec, worker->rank, &rank->figures);
    rank->first_start = worker->first_start > 0 ? worker->first_start + clock->offset_s : 0;
    rank->last_end = worker->last_end > 0 ? worker->last_end + clock->offset_s : 0;
  }
  if (n_losses > 0)
    memcpy (losses_of (exec, report), exec->run.single.losses, (gsize)n_losses * sizeof (double));
}

/* A micro-batch's loss is in one process, the others have 0. */
static void
take_report (PwExec *exec, int process, RunReport *report, int n_losses) {
  if (!report->is_there)
    return;
  for (int i = 0; i < exec->n_local; i++) {
    PwWorker *worker = &exec->workers[process * exec->n_local + i];
    const RankReport *rank = &ranks_of (report)[i];
    worker->figures = rank->figures;
    worker->first_start = rank->first_start;
    worker->last_end = rank->last_end;
  }
  if (process == exec->processes->bootstrap->rank)
    return;
  for (int m = 0; m < n_losses; m++)
    exec->run.single.losses[m] += losses_of (exec, report)[m];
}

gboolean
pw__processes_agree_run (PwExec *exec, GError *own, GError **error) {
  if (!exec->processes)
    return pw__processes_agree (exec, own, error);
  const PwBootstrap *bootstrap = exec->processes->bootstrap;
  int n_losses = exec->run.stream ? 0 : exec->run.program->n_microbatches;
  gsize bytes = report_bytes (exec, n_losses);
  g_autofree RunReport *mine = g_malloc0 (bytes);
  g_autofree char *all = g_malloc0 (bytes * (gsize)bootstrap->size);
  gboolean is_interrupted = FALSE;
  fill_report (exec, mine, n_losses);
  PwBootstrapReport report = { .mine = mine, .all = all, .bytes = bytes };
  gboolean good = agree (exec, &report, own, error);
  for (int p = 0; p < bootstrap->size; p++) {
    RunReport *theirs = (RunReport *)(void *)(all + (gsize)p * bytes);
    take_report (exec, p, theirs, n_losses);
    is_interrupted |= theirs->is_interrupted;
  }
  if (good && is_interrupted)
    g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED, "interrupted");
  if (!good || is_interrupted)
    return FALSE;
  return !((RunReport *)(void *)all)->wants_clock || align (exec->processes, error);
}
