/* Training in several processes is training in one, to the last bit, and all of them know what came
 * of it; what fails in one ends all, at once and with the same words. */
#include <cuda_runtime_api.h>
#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

#include "exec/checkpoint.h"
#include "exec/processes_private.h"
#include "tests/device/process_case.h"

#ifdef __SANITIZE_THREAD__
#  define STEPS 2
#else
#  define STEPS 5
#endif

static const char *const models[] = {
  "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': %d, 'output': 3}",
  "{'name': 'gpt', 'blocks': %d, 'width': 8, 'heads': 1, 'tokens': 4, 'vocabulary': 11}",
};
static const struct {
  const char *json;
  int chunks, microbatches[2]; /* on 2 and on 4 ranks */
} schedules[] = {
  { "'name': 'gpipe'", 1, { 2, 4 } },
  { "'name': '1f1b'", 1, { 3, 5 } },
  { "'name': 'interleaved-1f1b', 'chunks': 2", 2, { 4, 4 } },
  { "'name': 'zb-h1'", 1, { 3, 5 } },
  { "'name': 'zb-v'", 2, { 4, 8 } },
  { "'name': 'chimera'", 1, { 2, 4 } },
};
static const struct { int ranks, processes; } layouts[] = { { 2, 2 }, { 4, 4 }, { 4, 2 } };

#define MLP(depth)                                                                                 \
  "'model': {'name': 'mlp', 'input': 5, 'width': 8, 'depth': " #depth ", 'output': 3}, "
#define REST                                                                                       \
  "'batch': 7, 'seed': 7, 'optimizer': {'name': 'adamw', 'learning_rate': 0.003}, "                \
  "'data': 'random'"
#define TWO MLP (3) "'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 3}, " REST

static char *
plan_text (int model, int schedule, int ranks) {
  int M = schedules[schedule].microbatches[ranks > 2];
  g_autofree char *of_model
      = g_strdup_printf (models[model], ranks * schedules[schedule].chunks); /* NOLINT */
  return g_strdup_printf (
      "'model': %s, 'ranks': %d, 'schedule': {%s, 'microbatches': %d}, 'batch': %d, 'seed': 7, "
      "'optimizer': {'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}, "
      "'data': 'random'",
      of_model, ranks, schedules[schedule].json, M, model == 0 ? 2 * M - 1 : M);
}

static void
set_machine (int devices) {
  pw_fake_set_devices (devices);
  pw_fake_set_seed ((uint64_t)g_test_rand_int () | 1);
  pw_fake_set_delay_us (20);
  pw_fake_set_hang_s (60);
}

/* ---- Training ---- */

static char *
train_sequentially (const char *plan, double *losses) {
  g_autoptr (ExecCase) c = exec_case_new (plan, NULL);
  g_autoptr (GError) error = NULL;
  PwExecOptions options
      = { .backend = &pw_backend_cuda, .timeout_s = 60, .share_devices = TRUE, .no_pinning = TRUE };
  pw_fake_set_delay_us (0);
  g_autoptr (PwExec) exec = pw_exec_new_sequential (c->resolved, &options, &error);
  g_assert_no_error (error);
  return exec_case_train (c, exec, STEPS, losses);
}

static void
check_trace (const Process *process, int ranks) {
  g_autoptr (GError) error = NULL;
  gboolean seen[8] = { FALSE };
  g_assert_true (pw_trace_check (process->trace, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (process->trace->info.clock, ==, "one clock");
  for (guint i = 0; i < process->trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (process->trace->records, PwTraceRecord, i);
    seen[record->rank] = TRUE;
  }
  for (int r = 0; r < ranks; r++)
    g_assert_true (seen[r]);
}

static void
check_process (const Process *process, int ranks, const char *sha, const double *losses) {
  g_assert_no_error (process->error);
  g_assert_cmpstr (process->sha, ==, sha);
  for (int s = 0; s < STEPS; s++)
    g_assert_cmpfloat (process->losses[s], ==, losses[s]);
  for (int r = 0; r < ranks; r++) {
    g_assert_cmpint (process->figures[r].rank, ==, r);
    g_assert_cmpfloat (process->figures[r].busy_time, >, 0);
    g_assert_cmpint (process->figures[r].peak_memory_bytes, >, 0);
  }
  check_trace (process, ranks);
}

/* What gpt adds to mlp is its kernels. */
static gboolean
is_left_out (int model, int schedule, int layout) {
#ifdef __SANITIZE_THREAD__
  return model == 1 || schedule % 2 == 0 || layout == 1;
#else
  return model == 1 && (schedule == 5 || layout != (schedule == 1 ? 2 : 0)); /* no chimera */
#endif
}

static void
compare (const char *plan, int layout, gboolean graphs, const char *sha, const double *losses) {
  Process processes[PROCESSES_MAX];
  int ranks = layouts[layout].ranks, n = layouts[layout].processes;
  g_test_message ("%d ranks in %d processes", ranks, n);
  set_machine (ranks);
  processes_init (processes, n, plan, process_train);
  for (int p = 0; p < n; p++) {
    processes[p].data = GINT_TO_POINTER (STEPS);
    processes[p].exec.trace_iterations = 2;
    processes[p].exec.cuda_graphs = graphs;
  }
  processes_run (processes, n);
  for (int p = 0; p < n; p++) {
    check_process (&processes[p], ranks, sha, losses);
    g_assert_cmpint (processes[p].graph_steps, ==, graphs ? (1u << STEPS) - 4 : 0);
  }
  processes_clear (processes, n);
}

static void
equals_sequential (gconstpointer argument) {
  int model = GPOINTER_TO_INT (argument);
  for (int schedule = 0; schedule < (int)G_N_ELEMENTS (schedules); schedule++) {
    g_autofree char *sha = NULL;
    double losses[STEPS];
    int ranks_of_sha = 0;
    g_test_message ("%s", schedules[schedule].json);
    for (int layout = 0; layout < (int)G_N_ELEMENTS (layouts); layout++) {
      int ranks = layouts[layout].ranks;
      if (is_left_out (model, schedule, layout))
        continue;
      g_autofree char *plan = plan_text (model, schedule, ranks);
      if (ranks != ranks_of_sha) {
        g_free (sha);
        sha = train_sequentially (plan, losses);
        ranks_of_sha = ranks;
      }
      compare (plan, layout, schedule % 2, sha, losses);
    }
  }
}

/* ---- Graphs ---- */

enum { FAILS_AT = 2, MOVES_AT = 6, GRAPH_STEPS = 10 };

/* A launch of a kernel fails while one process captures; later one has its inputs elsewhere. */
static void
graphs_main (Process *process) {
  const PwResolvedPlan *resolved = process->c->resolved;
  gsize bytes = (gsize)(resolved->batch * pw_shape_bytes (&resolved->graph->input));
  g_autofree void *moved = g_malloc (bytes);
  g_autoptr (PwExec) exec = pw_exec_new (resolved, &process->exec, &process->error);
  int program = exec ? pw_exec_add (exec, resolved->lowered, &process->error) : -1;
  for (int s = 0; program >= 0 && s < GRAPH_STEPS; s++) {
    PwExecBatch batch = exec_case_batch (process->c, s);
    PwExecStep step;
    if (process->exec.cuda_graphs && process->number == 0 && s == FAILS_AT)
      pw_fake_fail_launch (3, cudaErrorLaunchOutOfResources);
    if (process->number == 1 && s == MOVES_AT)
      batch.inputs = memcpy (moved, batch.inputs, bytes);
    if (!pw_exec_run (exec, program, &batch, &step, &process->error))
      return;
    process->losses[s] = step.loss;
    process->graph_steps |= (guint)step.is_graph << s;
  }
}

/* Where one process cannot go on with graphs, none does. */
static void
graphs_are_of_all (void) {
  double losses[GRAPH_STEPS];
  for (int graphs = 0; graphs <= 1; graphs++) {
    Process processes[2];
    set_machine (2);
    processes_init (processes, 2, TWO, graphs_main);
    processes[0].exec.cuda_graphs = processes[1].exec.cuda_graphs = graphs;
    processes_run (processes, 2);
    for (int p = 0; p < 2; p++) {
      g_assert_no_error (processes[p].error);
      g_assert_cmpint (processes[p].graph_steps, ==, graphs ? 1 << 5 | 1 << 9 : 0);
      for (int s = 0; s < GRAPH_STEPS; s++) {
        if (graphs || p)
          g_assert_cmpfloat (processes[p].losses[s], ==, losses[s]);
        losses[s] = processes[p].losses[s];
      }
    }
    processes_clear (processes, 2);
  }
}

/* ---- Streams ---- */

static void
stream_main (Process *process) {
  g_autoptr (PwExec) exec = pw_exec_new (process->c->resolved, &process->exec, &process->error);
  g_assert_no_error (process->error);
  process->sha = exec_case_stream (process->c, exec, STEPS, process->losses);
}

/* NCCL carries no more in the one process of the reference than the copies do. */
static void
streams_equal_one_process (void) {
  static const char *const endless[] = { "pipedream", "pipedream-2bw" };
  for (gsize i = 0; i < G_N_ELEMENTS (endless); i++) {
    Process processes[2];
    double losses[STEPS];
    g_autofree char *plan = g_strdup_printf (
        MLP (4) "'ranks': 4, 'schedule': {'name': '%s', 'microbatches': 4}, " REST, endless[i]);
    set_machine (4);
    processes_init (processes, 2, plan, stream_main);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwExec) alone = pw_exec_new (processes[0].c->resolved, &processes[0].exec, &error);
    g_assert_no_error (error);
    g_autofree char *sha = exec_case_stream (processes[0].c, alone, STEPS, losses);
    g_clear_pointer (&alone, pw_exec_free);
    processes_run (processes, 2);
    for (int p = 0; p < 2; p++) {
      g_assert_cmpstr (processes[p].sha, ==, sha);
      for (int s = 0; s < STEPS; s++)
        g_assert_cmpfloat (processes[p].losses[s], ==, losses[s]);
    }
    processes_clear (processes, 2);
  }
}

/* ---- What all get ---- */

#define LAYERS                                                                                     \
  "'model': {'layers': [{'type': 'linear', 'in': 9, 'out': 6}, {'type': 'gelu'}, "                 \
  "{'type': 'linear', 'in': 6, 'out': 5}], 'loss': 'none'}, 'ranks': 2, "                          \
  "'schedule': {'name': '1f1b', 'microbatches': 3}, " REST

typedef struct {
  float outputs[35], gradient[54], parameter[54];
  double loss;
  int n_calls; /* of the loss */
} Seen;

static void
half_square (int microbatch, const PwTensor *output, PwTensor *gradient, double *loss,
             gpointer data) {
  (void)microbatch;
  Seen *seen = data;
  const float *y = output->data;
  float *dy = gradient->data;
  seen->n_calls++;
  for (int64_t i = 0; i < pw_tensor_elements (output); i++) {
    *loss += 0.5 * (double)y[i] * (double)y[i];
    dy[i] = y[i];
  }
}

static void
look_main (Process *process) {
  Seen *seen = process->data;
  const PwExecOptions *options = &process->exec;
  float fresh[54];
  g_autoptr (PwExec) exec = pw_exec_new (process->c->resolved, options, &process->error);
  g_assert_no_error (process->error);
  int program = pw_exec_add (exec, process->c->resolved->lowered, &process->error);
  PwExecBatch batch = exec_case_batch (process->c, 0);
  PwExecStep step;
  batch.outputs = seen->outputs;
  batch.loss_func = half_square;
  batch.loss_data = seen;
  for (int i = 0; i < 54; i++)
    fresh[i] = 0.01f * (float)(i % 7);
  g_assert_true (pw_exec_set_parameter (exec, 0, 0, fresh, &process->error));
  g_assert_true (pw_exec_run (exec, program, &batch, &step, &process->error));
  seen->loss = step.loss;
  g_assert_true (pw_exec_get_parameter (exec, 2, 0, seen->parameter, &process->error));
  g_assert_true (pw_exec_zero_gradients (exec, &process->error));
  g_assert_true (pw_exec_get_gradient (exec, 0, 0, seen->gradient, &process->error));
}

static void
everybody_sees_everything (void) {
  Process processes[2], alone;
  Seen seen[2], expected;
  set_machine (2);
  memset (seen, 7, sizeof seen);
  memset (&expected, 7, sizeof expected);
  seen[0].n_calls = seen[1].n_calls = expected.n_calls = 0;
  processes_init (&alone, 1, LAYERS, look_main);
  alone.data = &expected;
  processes_run (&alone, 1);
  processes_init (processes, 2, LAYERS, look_main);
  for (int p = 0; p < 2; p++)
    processes[p].data = &seen[p];
  processes_run (processes, 2);
  g_assert_cmpint (seen[0].n_calls, ==, 0);
  g_assert_cmpint (seen[1].n_calls, ==, 3);
  for (int p = 0; p < 2; p++) {
    g_assert_cmpfloat (seen[p].loss, ==, expected.loss);
    g_assert_true (memcmp (seen[p].outputs, expected.outputs, sizeof expected.outputs) == 0);
    g_assert_true (memcmp (seen[p].parameter, expected.parameter, 30 * sizeof (float)) == 0);
    g_assert_true (memcmp (seen[p].gradient, expected.gradient, sizeof expected.gradient) == 0);
  }
  processes_clear (processes, 2);
  processes_clear (&alone, 1);
}

static void
checkpoint_main (Process *process) {
  const char *path = process->data;
  const PwResolvedPlan *resolved = process->c->resolved;
  g_autoptr (PwExec) exec = pw_exec_new (resolved, &process->exec, &process->error);
  int program = pw_exec_add (exec, resolved->lowered, &process->error);
  PwExecBatch batch = exec_case_batch (process->c, 0);
  g_assert_true (pw_exec_run (exec, program, &batch, NULL, &process->error));
  g_assert_true (pw_checkpoint_save (exec, path, &process->error));
  batch = exec_case_batch (process->c, 1);
  g_assert_true (pw_exec_run (exec, program, &batch, NULL, &process->error));
  g_autofree char *once = pw_exec_parameters_sha256 (exec, &process->error);
  g_assert_true (pw_checkpoint_load (exec, path, &process->error));
  g_assert_true (pw_exec_run (exec, program, &batch, NULL, &process->error));
  process->sha = pw_exec_parameters_sha256 (exec, &process->error);
  g_assert_cmpstr (process->sha, ==, once);
  g_autofree char *nowhere = g_strdup_printf ("%s.d/x", path);
  g_assert_false (pw_checkpoint_save (exec, nowhere, &process->error));
}

static void
checkpoints_are_of_all (void) {
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("pw-processes-XXXXXX", &error);
  g_autofree char *paths[]
      = { g_build_filename (folder, "one", NULL), g_build_filename (folder, "two", NULL) };
  g_autofree char *texts[2] = { NULL };
  gsize sizes[2];
  set_machine (2);
  for (int n = 1; n <= 2; n++) {
    Process processes[2];
    processes_init (processes, n, TWO, checkpoint_main);
    for (int p = 0; p < n; p++)
      processes[p].data = paths[n - 1];
    processes_run (processes, n);
    for (int p = 0; p < n; p++)
      g_assert_nonnull (processes[p].error); /* no such folder, known everywhere */
    processes_clear (processes, n);
    g_assert_true (g_file_get_contents (paths[n - 1], &texts[n - 1], &sizes[n - 1], &error));
    g_unlink (paths[n - 1]);
  }
  g_assert_cmpuint (sizes[0], ==, sizes[1]);
  g_assert_true (memcmp (texts[0], texts[1], sizes[0]) == 0);
  for (int i = 0; i < 2; i++) {
    g_free (g_steal_pointer (&texts[i]));
    g_free (g_steal_pointer (&paths[i]));
  }
  g_rmdir (folder);
}

/* ---- Refusals ---- */

static void
refused (Process *processes, int n, PwExecError code, const char *words) {
  for (int p = 0; p < n; p++)
    processes[p].data = GINT_TO_POINTER (1);
  processes_run (processes, n);
  processes_check_failure (processes, n, code, words);
  processes_clear (processes, n);
}

static void
what_cannot_be_is_refused_everywhere (void) {
  Process processes[3];
  set_machine (4);
  processes_init (processes, 2, TWO, process_train);
  processes[0].exec.transport = processes[1].exec.transport = NULL;
  refused (processes, 2, PW_EXEC_ERROR_UNSUPPORTED,
           "carries messages within one process, there are 2");
  processes_init (processes, 3, TWO, process_train);
  refused (processes, 3, PW_EXEC_ERROR_UNSUPPORTED,
           "2 ranks cannot be shared out evenly between 3 processes");
  processes_init (processes, 2, TWO, process_train);
  exec_case_free (processes[1].c);
  processes[1].c = exec_case_new (
      MLP (3) "'ranks': 2, 'schedule': {'name': 'gpipe', 'microbatches': 3}, " REST, NULL);
  refused (processes, 2, PW_EXEC_ERROR_DATA, "has another plan than process 0");
  pw_fake_set_devices (1);
  processes_init (processes, 2, TWO, process_train);
  refused (processes, 2, PW_EXEC_ERROR_UNSUPPORTED,
           "ranks 0 and 1 are two processes on one device");
}

/* ---- Failures ---- */

/* Whichever allocation, launch or rank it is. */
static void
memory_runs_out_in_one (void) {
  int failures = 0;
  set_machine (2);
  for (long n = 1;; n++, failures++) {
    Process processes[2];
    processes_init (processes, 2, TWO, process_train);
    for (int p = 0; p < 2; p++)
      processes[p].data = GINT_TO_POINTER (1);
    pw_fake_fail_allocation (n);
    processes_run (processes, 2);
    gboolean good = !processes[0].error;
    g_assert_cmpint (good, ==, !processes[1].error);
    for (int p = 0; p < 2 && !good; p++) {
      g_test_message ("%ld, process %d: %s", n, p, processes[p].error->message);
      g_assert_nonnull (strstr (processes[p].error->message, "rank "));
      g_assert_nonnull (strstr (processes[p].error->message, "out of memory"));
    }
    processes_clear (processes, 2);
    if (good)
      break;
  }
  pw_fake_fail_allocation (0);
  g_assert_cmpint (failures, >, 1);
}

static atomic_int n_products;

static gboolean
failing_forward (PwOpContext *context, const PwTensor *x, const PwTensor *w, const PwTensor *bias,
                 PwTensor *y, PwWorkspace workspace, GError **error) {
  if (context->rank == 1 && atomic_fetch_add (&n_products, 1) == 3) {
    g_set_error_literal (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY, "planted");
    return FALSE;
  }
  return pw_backend_cuda.ops.linear_forward (context, x, w, bias, y, workspace, error);
}

/* Nobody waits for the timeout. */
static void
a_failure_ends_all_at_once (void) {
  Process processes[2];
  PwBackend failing = pw_backend_cuda;
  failing.ops.linear_forward = failing_forward;
  atomic_store (&n_products, 0);
  set_machine (2);
  processes_init (processes, 2, TWO, process_train);
  for (int p = 0; p < 2; p++) {
    processes[p].exec.backend = &failing;
    processes[p].exec.timeout_s = processes[p].timeout_s = 0;
  }
  refused (processes, 2, PW_EXEC_ERROR_KERNEL, "planted");
}

static void
interrupted_main (Process *process) {
  const PwResolvedPlan *resolved = process->c->resolved;
  g_autoptr (PwExec) exec = pw_exec_new (resolved, &process->exec, &process->error);
  int program = pw_exec_add (exec, resolved->lowered, &process->error);
  for (int s = 0; s < 1000; s++) {
    PwExecBatch batch = exec_case_batch (process->c, s);
    if (s == 2 && process->number == 1)
      pw_exec_interrupt (exec);
    if (!pw_exec_run (exec, program, &batch, NULL, &process->error))
      return;
  }
}

static void
an_interrupt_ends_all (void) {
  Process processes[2];
  set_machine (2);
  processes_init (processes, 2, TWO, interrupted_main);
  refused (processes, 2, PW_EXEC_ERROR_INTERRUPTED, "");
}

/* ---- Clocks ---- */

typedef struct {
  double skew_s;
  PwClock clock;
} Skewed;

static double
skewed_now (gpointer data) {
  return pw__now_s () + ((Skewed *)data)->skew_s;
}

static void
clock_main (Process *process) {
  Skewed *skewed = process->data;
  g_assert_true (
      pw__clock_align (process->bootstrap, skewed_now, skewed, &skewed->clock, &process->error));
}

static void
clocks_are_aligned_within_their_bound (void) {
  Process processes[3];
  Skewed skewed[3] = { { .skew_s = 5 }, { .skew_s = -1000 }, { .skew_s = 0.001 } };
  processes_init (processes, 3, TWO, clock_main);
  for (int p = 0; p < 3; p++)
    processes[p].data = &skewed[p];
  processes_run (processes, 3);
  for (int p = 0; p < 3; p++) {
    double wanted_s = skewed[0].skew_s - skewed[p].skew_s;
    g_test_message ("off by %g s of %g s", skewed[p].clock.offset_s - wanted_s,
                    skewed[p].clock.error_s);
    g_assert_cmpfloat (fabs (skewed[p].clock.offset_s - wanted_s), <=,
                       skewed[p].clock.error_s + 1e-9);
  }
  processes_clear (processes, 3);
}

/* ---- Real processes ---- */

#define CHILD_STEPS 2

static void
dying_main (Process *process) {
  const PwResolvedPlan *resolved = process->c->resolved;
  process->exec.timeout_s = 0;
  g_autoptr (PwExec) exec = pw_exec_new (resolved, &process->exec, &process->error);
  int program = pw_exec_add (exec, resolved->lowered, &process->error);
  for (int s = 0; s < 1000; s++) {
    PwExecBatch batch = exec_case_batch (process->c, s);
    if (s == 1 && process->number == 1)
      raise (SIGKILL);
    if (!pw_exec_run (exec, program, &batch, NULL, &process->error))
      return;
  }
}

static void
real_processes_equal_one (void) {
  static const int counts[] = { 2, 4, 2 };
  for (gsize layout = 0; layout < G_N_ELEMENTS (counts); layout++) {
    Child children[PROCESSES_MAX];
    int n = counts[layout];
    g_autofree char *plan = plan_text (0, layout == 2 ? 4 : 1, layout == 0 ? 2 : 4); /* zb-v */
    g_autoptr (ExecCase) c = exec_case_new (plan, NULL);
    g_autoptr (GError) error = NULL;
    PwExecOptions options = { .backend = &pw_backend_cuda, .share_devices = TRUE };
    g_autoptr (PwExec) exec = pw_exec_new_sequential (c->resolved, &options, &error);
    g_autofree char *sha = exec_case_train (c, exec, CHILD_STEPS, NULL);
    children_run (children, n, "train", plan);
    for (int p = 0; p < n; p++) {
      g_test_message ("process %d: %s", p, children[p].err);
      g_assert_cmpint (children[p].status, ==, 0);
      g_assert_cmpstr (g_strchomp (children[p].out), ==, sha);
    }
    children_clear (children, n);
  }
}

/* Without any timeout. */
static void
a_killed_process_is_named (void) {
  Child children[3];
  g_autofree char *plan
      = g_strdup (MLP (4) "'ranks': 3, 'schedule': {'name': '1f1b', 'microbatches': 4}, " REST);
  children_run (children, 3, "die", plan);
  for (int p = 0; p < 3; p++) {
    g_test_message ("process %d: %s", p, children[p].err);
    if (p == 1) {
      g_assert_true (WIFSIGNALED (children[p].status));
      continue;
    }
    g_assert_true (WIFEXITED (children[p].status));
    g_assert_cmpint (WEXITSTATUS (children[p].status), ==, 3);
    g_assert_nonnull (strstr (children[p].err, "the connection to process 1 is lost"));
  }
  children_clear (children, 3);
}

int
main (int argc, char **argv) {
  if (argc == 4 && strcmp (argv[1], "--child") == 0)
    return child_main (argv[3], CHILD_STEPS,
                       strcmp (argv[2], "die") == 0 ? dying_main : process_train);
  g_test_init (&argc, &argv, NULL);
  /* GLib makes a lock at the first error, in a way that ThreadSanitizer cannot see. */
  g_error_free (g_error_new_literal (PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT, ""));
  g_test_add_data_func ("/device/processes/mlp-under-every-schedule-equals-sequential",
                        GINT_TO_POINTER (0), equals_sequential);
  g_test_add_data_func ("/device/processes/gpt-under-every-schedule-equals-sequential",
                        GINT_TO_POINTER (1), equals_sequential);
  g_test_add_func ("/device/processes/graphs-are-of-all", graphs_are_of_all);
  g_test_add_func ("/device/processes/streams-equal-those-of-one-process",
                   streams_equal_one_process);
  g_test_add_func ("/device/processes/everybody-sees-everything", everybody_sees_everything);
  g_test_add_func ("/device/processes/checkpoints-are-of-all", checkpoints_are_of_all);
  g_test_add_func ("/device/processes/what-cannot-be-is-refused-everywhere",
                   what_cannot_be_is_refused_everywhere);
  g_test_add_func ("/device/processes/memory-that-runs-out-in-one-ends-all",
                   memory_runs_out_in_one);
  g_test_add_func ("/device/processes/a-failure-ends-all-at-once", a_failure_ends_all_at_once);
  g_test_add_func ("/device/processes/an-interrupt-ends-all", an_interrupt_ends_all);
  g_test_add_func ("/device/processes/clocks-are-aligned-within-their-bound",
                   clocks_are_aligned_within_their_bound);
  g_test_add_func ("/device/processes/real-ones-equal-sequential", real_processes_equal_one);
  g_test_add_func ("/device/processes/a-killed-one-ends-all-and-is-named",
                   a_killed_process_is_named);
  return g_test_run ();
}
