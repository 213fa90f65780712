#include "tests/device/process_case.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exec/bootstrap_socket_private.h"

int
process_free_port (void) {
  g_autoptr (GError) error = NULL;
  int fd = pw__socket_listen (0, &error);
  g_assert_no_error (error);
  int port = pw__socket_port (fd);
  close (fd);
  return port;
}

void
processes_init (Process *processes, int n, const char *plan, void (*run) (Process *process)) {
  int port = process_free_port ();
  for (int p = 0; p < n; p++) {
    processes[p] = (Process){ .number = p, .count = n, .port = port, .timeout_s = 60, .run = run };
    processes[p].c = exec_case_new (plan, NULL);
    processes[p].exec = (PwExecOptions){ .backend = &pw_backend_cuda,
                                         .transport = &pw_transport_nccl,
                                         .timeout_s = 60,
                                         .no_pinning = TRUE };
  }
}

static void *
process_main (void *data) {
  Process *process = data;
  PwBootstrapPlace place = { .rank = process->number,
                             .size = process->count,
                             .address = (char *)"127.0.0.1",
                             .port = process->port };
  process->bootstrap = pw_bootstrap_new_tcp (&place, process->timeout_s, &process->error);
  g_assert_no_error (process->error);
  process->exec.bootstrap = process->bootstrap;
  process->run (process);
  g_clear_pointer (&process->bootstrap, pw_bootstrap_free);
  return NULL;
}

void
processes_run (Process *processes, int n) {
  pthread_t threads[PROCESSES_MAX];
  for (int p = 0; p < n; p++)
    pthread_create (&threads[p], NULL, process_main, &processes[p]);
  for (int p = 0; p < n; p++)
    pthread_join (threads[p], NULL);
  g_assert_cmpint (pw_fake_live_allocations () + pw_fake_live_streams () + pw_fake_live_events (),
                   ==, 0);
}

void
processes_check_failure (const Process *processes, int n, PwExecError code, const char *words) {
  for (int p = 0; p < n; p++) {
    const GError *error = processes[p].error;
    g_assert_error (error, PW_EXEC_ERROR, (int)code);
    g_test_message ("process %d: %s", p, error->message);
    if (!strstr (error->message, words))
      g_error ("process %d: %s: should say %s", p, error->message, words);
  }
}

void
processes_clear (Process *processes, int n) {
  for (int p = 0; p < n; p++) {
    exec_case_free (processes[p].c);
    g_clear_error (&processes[p].error);
    g_free (processes[p].sha);
    if (processes[p].trace)
      pw_trace_free (processes[p].trace);
  }
}

static gboolean
train_steps (Process *process, PwExec *exec, int program) {
  int steps = GPOINTER_TO_INT (process->data);
  for (int s = 0; s < steps; s++) {
    PwExecBatch batch = exec_case_batch (process->c, s);
    PwExecStep step;
    if (!pw_exec_run (exec, program, &batch, &step, &process->error))
      return FALSE;
    g_assert_cmpfloat (step.iteration_s, >, 0);
    process->losses[s] = step.loss;
    process->graph_steps |= (guint)step.is_graph << s;
  }
  return TRUE;
}

void
process_train (Process *process) {
  const PwResolvedPlan *resolved = process->c->resolved;
  g_autoptr (PwExec) exec = pw_exec_new (resolved, &process->exec, &process->error);
  int program = exec ? pw_exec_add (exec, resolved->lowered, &process->error) : -1;
  if (program < 0 || !train_steps (process, exec, program))
    return;
  for (int r = 0; r < pw_exec_ranks (exec); r++)
    pw_exec_rank (exec, r, &process->figures[r]);
  if (process->exec.trace_iterations > 0)
    process->trace = pw_exec_trace (exec);
  process->sha = pw_exec_parameters_sha256 (exec, &process->error);
}

/* ---- Real processes ---- */

int
child_main (const char *plan, int steps, void (*run) (Process *process)) {
  Process process;
  PwBootstrapPlace place;
  gboolean is_set;
  processes_init (&process, 1, plan, run);
  if (pw_bootstrap_read_environment (&place, &is_set, &process.error))
    process.bootstrap = pw_bootstrap_new_tcp (&place, 20, &process.error);
  pw_bootstrap_place_clear (&place);
  g_assert_no_error (process.error);
  process.number = process.bootstrap->rank;
  process.count = process.bootstrap->size;
  process.exec.bootstrap = process.bootstrap;
  process.data = GINT_TO_POINTER (steps);
  run (&process);
  int status = process.error ? 3 : 0;
  if (process.error)
    fprintf (stderr, "%s\n", process.error->message);
  else
    printf ("%s\n", process.sha);
  fflush (stdout);
  g_clear_pointer (&process.bootstrap, pw_bootstrap_free);
  processes_clear (&process, 1);
  return status;
}

typedef struct {
  Child *child;
  const char *kind, *plan;
  int rank, size, port;
} Start;

static void *
start_child (void *data) {
  Start *start = data;
  const char *argv[] = { "/proc/self/exe", "--child", start->kind, start->plan, NULL };
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) environment = g_get_environ ();
  g_autofree char *rank = g_strdup_printf ("%d", start->rank);
  g_autofree char *size = g_strdup_printf ("%d", start->size);
  g_autofree char *port = g_strdup_printf ("%d", start->port);
  const char *const values[][2] = {
    { "RANK", rank },        { "WORLD_SIZE", size },           { "MASTER_ADDR", "127.0.0.1" },
    { "MASTER_PORT", port }, { "CUDA_ON_CPU_PROCESSES", "1" }, { "CUDA_ON_CPU_DEVICES", "4" }
  };
  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    environment = g_environ_setenv (environment, values[i][0], values[i][1], TRUE);
  g_spawn_sync (NULL, (char **)argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &start->child->out,
                &start->child->err, &start->child->status, &error);
  g_assert_no_error (error);
  return NULL;
}

void
children_run (Child *children, int n, const char *kind, const char *plan) {
  pthread_t threads[PROCESSES_MAX];
  Start starts[PROCESSES_MAX];
  int port = process_free_port ();
  for (int p = 0; p < n; p++) {
    children[p] = (Child){ 0 };
    starts[p] = (Start){ &children[p], kind, plan, p, n, port };
    pthread_create (&threads[p], NULL, start_child, &starts[p]);
  }
  for (int p = 0; p < n; p++)
    pthread_join (threads[p], NULL);
}

void
children_clear (Child *children, int n) {
  for (int p = 0; p < n; p++) {
    g_free (children[p].out);
    g_free (children[p].err);
  }
}
