/* The training loop and the profile: figures that fit together. */
#include "exec_case.h"

#include <math.h>

#include "exec/profile.h"
#include "exec/train.h"

#define MEMBERS                                                                                    \
  "'model': " PW_TEST_GPT ", 'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 3}, "        \
  "'batch': 6, 'data': 'random'"

static void
figures (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  g_autoptr (PwTrainResult) result = NULL;
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  double losses[8];
  g_autofree char *sha = exec_case_train (c, exec, 8, losses);
  PwTrainOptions options = { .resolved = c->resolved,
                             .plan = c->plan,
                             .steps = 8,
                             .warmup_steps = -1,
                             .exec = { .trace_iterations = 3 } };
  pw_train_run (&options, &result, &error);
  g_assert_no_error (error);
  g_assert_cmpint (result->steps, ==, 8);
  g_assert_cmpstr (result->parameters_sha256, ==, sha);
  for (int s = 0; s < 8; s++)
    g_assert_cmpfloat (result->losses[s], ==, losses[s]);
  g_assert_true (result->items_are_tokens);
  g_assert_cmpfloat_with_epsilon (result->items_per_second * result->iteration_time, 6 * 8, 1e-9);
  g_assert_cmpint (result->n_ranks, ==, 2);
  for (int r = 0; r < 2; r++) {
    const PwExecRank *rank = &result->rank[r];
    g_assert_cmpint (rank->rank, ==, r);
    g_assert_cmpfloat (rank->busy_time, >, 0);
    g_assert_cmpfloat (rank->busy_time + rank->wait_time, <=, rank->wall_time);
    g_assert_cmpint (rank->actions, ==, 2 * 3 + 1 + 2 * 3);
  }
  g_assert_true (pw_trace_check (result->trace, &error));
  g_autoptr (PwTraceSummary) summary = pw_trace_summarise (result->trace, 0);
  g_assert_cmpint (summary->ranks[0].actions, ==, 3 * 6);
  g_assert_cmpfloat (summary->start, >=, 0);
}

static void
interrupt_at_2 (int64_t step, double loss, double iteration_s, gpointer data) {
  (void)loss;
  (void)iteration_s;
  if (step == 2)
    *(volatile int *)data = 1;
}

/* All steps are one stream; what is said of each adds up. */
static void
streamed (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = exec_case_new (
      "'model': " PW_TEST_GPT ", 'ranks': 3, 'schedule': {'name': 'pipedream-2bw', "
      "'microbatches': 6, 'update_every': 3}, 'batch': 6, 'data': 'random'",
      NULL);
  g_autoptr (PwTrainResult) result = NULL;
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  double losses[12];
  g_autofree char *sha = exec_case_stream (c, exec, 12, losses);
  PwTrainOptions options = { .resolved = c->resolved,
                             .plan = c->plan,
                             .steps = 12,
                             .warmup_steps = -1,
                             .exec = { .trace_iterations = 3 } };
  pw_train_run (&options, &result, &error);
  g_assert_no_error (error);
  g_assert_cmpint (result->steps, ==, 12);
  g_assert_cmpstr (result->parameters_sha256, ==, sha);
  for (int s = 0; s < 12; s++)
    g_assert_cmpfloat (result->losses[s], ==, losses[s]);
  g_assert_cmpfloat_with_epsilon (result->items_per_second * result->iteration_time, 6 * 8, 1e-9);
  for (int r = 0; r < 3; r++)
    g_assert_cmpint (result->rank[r].actions, ==, 2 * 6 + 2 + (r == 1 ? 4 : 2) * 6);
  g_assert_true (pw_trace_check (result->trace, &error));
  g_assert_cmpint (result->trace->info.iterations, ==, 3);
}

static void
interrupted (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS, NULL);
  g_autoptr (PwTrainResult) result = NULL;
  volatile int flag = 0;
  PwTrainOptions options = { .resolved = c->resolved,
                             .plan = c->plan,
                             .steps = 100,
                             .warmup_steps = -1,
                             .exec = { .trace_iterations = 2 },
                             .progress = interrupt_at_2,
                             .progress_data = (gpointer)&flag,
                             .interrupted = &flag };
  g_assert_false (pw_train_run (&options, &result, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED);
  g_assert_nonnull (result);
  g_assert_cmpint (result->steps, ==, 3);
  g_assert_nonnull (result->trace);
  g_assert_true (pw_trace_check (result->trace, NULL));
}

static void
interrupted_stream (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c
      = exec_case_new ("'model': " PW_TEST_GPT ", 'ranks': 2, 'schedule': {'name': 'pipedream', "
                       "'microbatches': 3}, 'batch': 6, 'data': 'random'",
                       NULL);
  g_autoptr (PwTrainResult) result = NULL;
  volatile int flag = 0;
  PwTrainOptions options = { .resolved = c->resolved,
                             .plan = c->plan,
                             .steps = 1000000,
                             .warmup_steps = -1,
                             .exec = { .trace_iterations = 2 },
                             .progress = interrupt_at_2,
                             .progress_data = (gpointer)&flag,
                             .interrupted = &flag };
  g_assert_false (pw_train_run (&options, &result, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED);
  g_assert_cmpint (result->steps, >=, 3);
  g_assert_cmpint (result->steps, <, 1000000);
  g_assert_true (pw_trace_check (result->trace, NULL));
}

static void
profile (gconstpointer data) {
  const char *model = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *members = g_strdup_printf (
      "'model': %s, 'ranks': 2, 'schedule': {'name': 'gpipe', 'microbatches': 2}, 'batch': 4, "
      "'data': 'random'",
      model);
  g_autoptr (ExecCase) c = exec_case_new (members, NULL);
  const PwGraph *graph = c->resolved->graph;
  int64_t samples[] = { 1, 2 };
  for (int ranks = 1; ranks <= 2; ranks++) {
    PwProfileOptions options = { .ranks = ranks,
                                 .samples = samples,
                                 .n_samples = 2,
                                 .optimizer_kind = PW_OPTIMIZER_ADAM,
                                 .seconds = 0.02 };
    g_autoptr (PwLayerCosts) costs = pw_profile_run (graph, &options, &error);
    g_assert_no_error (error);
    g_assert_cmpint (costs->n_tables, ==, 2);
    for (int t = 0; t < 2; t++) {
      g_assert_cmpint (costs->tables[t].samples, ==, samples[t]);
      for (int l = 0; l < graph->n_layers; l++) {
        const PwLayerCost *cost = &costs->tables[t].layers[l];
        const PwLayerInfo *info = &graph->layers[l].info;
        g_assert_cmpstr (cost->layer, ==, graph->layers[l].name);
        /* A gelu that runs with its linear layer is timed with it. */
        gboolean is_second = l > 0 && pw_graph_runs_with_next (graph, NULL, l - 1);
        g_assert_true ((cost->forward_s > 0) == !is_second);
        g_assert_true ((cost->weight_s > 0) == (info->flops_weight > 0 || info->bytes_weight > 0));
        g_assert_cmpfloat (cost->update_s, >=, 0);
      }
    }
    g_assert_cmpfloat (costs->action_overhead_s, >=, 0);
    if (ranks == 2) {
      g_assert_cmpfloat (costs->link.latency_s, >, 0);
      g_assert_cmpfloat (costs->link.latency_s, <, 0.1);
    }
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/train/figures-fit-together", figures);
  g_test_add_func ("/exec/train/an-endless-schedule-is-one-stream", streamed);
  g_test_add_func ("/exec/train/an-interrupt-leaves-what-was-done", interrupted);
  g_test_add_func ("/exec/train/an-interrupt-stops-a-stream", interrupted_stream);
  g_test_add_data_func ("/exec/profile/gpt-has-costs-for-every-layer", PW_TEST_GPT, profile);
  g_test_add_data_func ("/exec/profile/mlp-has-costs-for-every-layer", PW_TEST_MLP, profile);
  g_test_add_data_func ("/exec/profile/shared-parameters-are-profiled-on-one-rank",
                        "{'name': 'gpt', 'blocks': 2, 'width': 16, 'heads': 2, 'tokens': 8, "
                        "'vocabulary': 32, 'tied': true}",
                        profile);
  return g_test_run ();
}
