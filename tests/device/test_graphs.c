/* Steps that are launched as CUDA graphs, streams late at random: the same losses and parameters as
 * without, to the last bit, a trace of every step, and plain steps again as soon as anything
 * changes. */
#include <string.h>

#include "tests/device/fake/fake.h"
#include "tests/exec/exec_case.h"

#ifdef __SANITIZE_THREAD__
#  define STEPS 5
#else
#  define STEPS 8
#endif
#define PLAIN 2 /* steps before a graph */

#define MLP "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': %d, 'output': 3}"
#define GPT "{'name': 'gpt', 'blocks': %d, 'width': 8, 'heads': 1, 'tokens': 4, 'vocabulary': 11}"
#define ADAMW "{'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}"

extern const PwBackend pw_backend_cuda;
extern const PwTransport pw_transport_nccl;

typedef struct {
  const char *model;
  int ranks, stages;
  const char *schedule;
  int microbatches;
  const char *more; /* members */
} Row;

static ExecCase *
make_case (const Row *row) {
  g_autoptr (GString) text = g_string_new ("'model': ");
  g_string_append_printf (text, row->model, row->stages); /* NOLINT: formats are ours */
  g_string_append_printf (text,
                          ", 'ranks': %d, 'schedule': {%s, 'microbatches': %d}, 'batch': %d, "
                          "'seed': 7, 'optimizer': " ADAMW ", 'data': 'random'%s",
                          row->ranks, row->schedule, row->microbatches, 2 * row->microbatches - 1,
                          row->more);
  return exec_case_new (text->str, NULL);
}

static PwExec *
make_exec (const ExecCase *c, gboolean graphs) {
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .backend = &pw_backend_cuda,
                            .transport = c->plan->ranks > 1 ? &pw_transport_nccl : NULL,
                            .timeout_s = 120,
                            .no_pinning = TRUE,
                            .trace_iterations = STEPS,
                            .cuda_graphs = graphs };
  pw_fake_set_devices (c->plan->ranks);
  pw_fake_set_seed ((uint64_t)g_test_rand_int () | 1);
  pw_fake_set_delay_us (100);
  PwExec *exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pw_exec_add (exec, c->resolved->lowered, &error), ==, 0);
  return exec;
}

static PwExecStep
run_step (ExecCase *c, PwExec *exec, int64_t s, const int64_t *samples) {
  g_autoptr (GError) error = NULL;
  PwExecBatch batch = exec_case_batch (c, s);
  PwExecStep step;
  batch.samples = samples;
  pw_exec_run (exec, 0, &batch, &step, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (step.iteration_s, >, 0);
  return step;
}

/* Each step's actions are there once, on each rank one after another. */
static void
check_trace (ExecCase *c, PwExec *exec) {
  PwTrace *trace = pw_exec_trace (exec);
  g_autofree double *end = g_new0 (double, (gsize)c->plan->ranks);
  int n[STEPS] = { 0 }, at[PW_MEMORY_N] = { 0 };
  g_assert_cmpint (trace->info.iterations, ==, STEPS);
  for (int i = 0; i < STEPS; i++)
    for (guint k = 0; k < trace->records->len; k++) {
      const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, k);
      if (record->iteration != i)
        continue;
      n[i]++;
      g_assert_cmpfloat (record->end, >=, record->start);
      if (!pw_action_kinds[record->action.kind].is_compute)
        continue;
      g_assert_cmpfloat (record->start, >=, end[record->rank]);
      end[record->rank] = record->end;
    }
  (void)at;
  for (int i = 0; i < STEPS; i++)
    g_assert_cmpint (n[i], ==, n[0]);
  g_assert_cmpint (n[0], >, 0);
  pw_trace_free (trace);
}

static void
compare (const Row *row) {
  g_test_message ("%s, %d ranks%s", row->schedule, row->ranks, row->more);
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (row);
  double losses[STEPS];
  char *sha[2];
  PwExecRank figures[2];
  for (int graphs = 0; graphs <= 1; graphs++) {
    g_autoptr (PwExec) exec = make_exec (c, graphs);
    for (int s = 0; s < STEPS; s++) {
      PwExecStep step = run_step (c, exec, s, NULL);
      g_assert_cmpint (step.is_graph, ==, graphs && s >= PLAIN);
      if (graphs)
        g_assert_cmpfloat (step.loss, ==, losses[s]);
      losses[s] = step.loss;
    }
    sha[graphs] = pw_exec_parameters_sha256 (exec, &error);
    g_assert_no_error (error);
    pw_exec_rank (exec, c->plan->ranks - 1, &figures[graphs]);
    check_trace (c, exec);
  }
  g_assert_cmpstr (sha[0], ==, sha[1]);
  g_assert_cmpint (figures[0].actions, ==, figures[1].actions);
  g_assert_cmpint (pw_fake_live_allocations () + pw_fake_live_streams () + pw_fake_live_events ()
                       + pw_fake_live_graphs (),
                   ==, 0);
  g_free (sha[0]);
  g_free (sha[1]);
}

#define PER_EDGE ", 'p2p_policy': 'per-edge'"
#define SHARED ", 'p2p_policy': 'shared-stream'"
static const Row rows[] = {
  { MLP, 1, 2, "'name': 'gpipe'", 3, "" },
  { GPT, 1, 1, "'name': '1f1b'", 2, "" },
  { MLP, 2, 2, "'name': 'gpipe'", 3, PER_EDGE },
  { MLP, 2, 2, "'name': '1f1b'", 3, SHARED ", 'p2p_batched': true" },
  { MLP, 2, 2, "'name': 'zb-h1'", 3, PER_EDGE },
  { MLP, 2, 4, "'name': 'interleaved-1f1b', 'chunks': 2", 4, PER_EDGE },
  { GPT, 2, 2, "'name': '1f1b'", 2, PER_EDGE ", 'recompute': 'stage'" },
  { MLP, 2, 2, "'name': 'chimera'", 2, PER_EDGE },
  { MLP, 4, 4, "'name': 'gpipe'", 4, SHARED },
  { MLP, 4, 4, "'name': '1f1b'", 5, PER_EDGE },
  { MLP, 4, 4, "'name': 'zb-h1'", 5, ", 'p2p_policy': 'per-peer', 'p2p_batched': true" },
  { MLP, 4, 8, "'name': 'interleaved-1f1b', 'chunks': 2", 4, PER_EDGE },
  { GPT, 4, 4, "'name': 'zb-h1'", 4, PER_EDGE },
};

static void
graphs_equal_plain_steps (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
#ifdef __SANITIZE_THREAD__
    if (i % 3 == 1 || strstr (rows[i].model, "gpt"))
      continue;
#endif
    compare (&rows[i]);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/device/graphs/equal-plain-steps", graphs_equal_plain_steps);
  return g_test_run ();
}
