/* Several processes as one run, as threads of this one: each has an executor and a bootstrap of its
 * own, and knows nothing of the others but what the bootstrap and NCCL tell it. Or as processes:
 * this program again, for what only they can do. */
#pragma once
#include "exec/bootstrap.h"
#include "tests/device/fake/fake.h"
#include "tests/exec/exec_case.h"

extern const PwBackend pw_backend_cuda;
extern const PwTransport pw_transport_nccl;

#define PROCESSES_MAX 4

typedef struct Process Process;
struct Process {
  int number, count, port;
  double timeout_s;
  /* Owned; each process its own. */
  ExecCase *c;
  PwExecOptions exec;
  PwBootstrap *bootstrap;
  /* Called when all have met. */
  void (*run) (Process *process);
  gpointer data;
  /* For RUN to fill. */
  GError *error;
  char *sha;
  double losses[16];
  guint graph_steps; /* bit s: step s was launched as graphs */
  PwTrace *trace;
  PwExecRank figures[8];
};

int process_free_port (void);
/* PLAN: members of exec_case_new's. All alike, on the CUDA backend over NCCL. */
void processes_init (Process *processes, int n, const char *plan, void (*run) (Process *process));
void processes_run (Process *processes, int n);
/* All have failed with what is expected, the same words behind "process N: ". */
void processes_check_failure (const Process *processes, int n, PwExecError code, const char *words);
void processes_clear (Process *processes, int n);
/* This program again, N times with --child KIND and the plan, over a fake NCCL between processes.
 */
typedef struct {
  int status; /* of waitpid */
  char *out, *err;
} Child;
void children_run (Child *children, int n, const char *kind, const char *plan);
void children_clear (Child *children, int n);
/* In such a child: RUN as the environment says; the SHA-256 goes to standard output, or the error
 * to standard error and the exit status is 3. */
int child_main (const char *plan, int steps, void (*run) (Process *process));
/* A RUN: STEPS mini-batches, then everything that can be asked for. DATA: how many, as a pointer.
 */
void process_train (Process *process);
